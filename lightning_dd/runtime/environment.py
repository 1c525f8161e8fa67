"""Versions, device and commit of a run, and an evaluation as a table."""

import os
import platform
import subprocess
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lightning_dd.version import __version__

PACKAGES = ("torch", "lightning", "torchvision", "kornia")


FEW_TEST_IMAGES = 200


def environment(device: torch.device) -> dict[str, Any]:
    """Return versions, device and commit."""
    versions = {"lightning_dd": __version__, "python": platform.python_version()}
    return {
        **versions,
        **{package: version(package) for package in PACKAGES},
        "device": device_name(device),
        "commit": _commit(),
    }


def device_name(device: torch.device | None = None) -> str:
    """Return what a device is called; without one, that of the GPU where there is one; of a CPU the cores in use.

    A CPU's instructions are named, for one name may stand for processors of which one is twice as fast.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    used, cores = torch.get_num_threads(), os.cpu_count() or 1
    instructions = torch.backends.cpu.get_cpu_capability()
    return f"{processor()} ({instructions}), {f'{used} of ' if used < cores else ''}{cores} cores"


def table(record: dict[str, Any]) -> str:
    """Return one evaluation as a small table for the screen."""
    length = f" ({record['epochs']} epochs)" if record["epochs"] else ""  # some protocols count steps
    title = (
        f"step {record['step']}: {record['num_networks']} x {record['network']}, protocol {record['protocol']}"
        f"{length}, {record['split']} split of {record['num_test_images']:,} images"
    )
    rows = [("distilled", record["accuracy_mean"], record["accuracy_std"])]
    if record["random_real_mean"] is not None:
        rows.append(("random real", record["random_real_mean"], record["random_real_std"]))
    if record.get("random_coded_mean") is not None:
        rows.append(("random coded", record["random_coded_mean"], record["random_coded_std"]))
    lines = [title, f"  {'trained on':<12} accuracy (%)"]
    several = record["num_networks"] > 1  # one network has no spread
    lines += [f"  {name:<12} {mean:5.1f}" + (f" ± {std:.1f}" if several else "") for name, mean, std in rows]
    if len(rows) > 1:
        lines.append(f"  {'difference':<12} {rows[0][1] - rows[1][1]:+5.1f}")
    if (images := record["num_test_images"]) < FEW_TEST_IMAGES:
        lines.append(f"  (one of {images} test images is {100 / images:.1f} points)")
    return "\n".join(lines)


def processor() -> str:
    """Return what the CPU is called."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str | None:
    """Return the commit of a checkout that this code runs from, `-dirty` where the package's files differ from it.

    None for an installed package, and where git is not installed.
    """
    package = Path(__file__).resolve().parents[1]
    if not (package.parent / ".git").exists():
        return None
    run = partial(subprocess.run, cwd=package.parent, capture_output=True, text=True, check=False)
    try:
        commit = run(["git", "describe", "--always"]).stdout.strip()
        changed = run(["git", "diff", "--quiet", "HEAD", "--", package.name]).returncode == 1
    except OSError:
        return None
    return f"{commit}{'-dirty' * changed}" or None
