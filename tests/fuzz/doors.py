"""The doors that are fuzzed: each takes a random case and says what came of it."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fuzz_runs import CONF, content, fit
from harness import outcome
from mutations import damaged_bytes, damaged_table, damaged_tensors
from PIL import Image
from safetensors.torch import save
from torch.nn import functional as F

import lightning_dd as dd
from lightning_dd.app.commands.list import accuracy
from lightning_dd.app.commands.show import _facts
from lightning_dd.artifact.checkpoint import read_checkpoint
from lightning_dd.artifact.codecs import Frequencies, Tiles
from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.data import ImageFolder

Door = Callable[[random.Random], str]


def artifacts(root: Path, artifact: Path) -> Door:
    """Return a door that loads and uses damaged distilled sets."""
    bases = [content(artifact), *_kinds(root)]
    path = root / "fuzzed.safetensors"

    def case(draw: random.Random) -> str:
        tensors, description = draw.choice(bases)
        way = draw.randrange(4)
        if way in (1, 3):
            description = damaged_table(description, draw)
        if way in (2, 3):
            tensors = damaged_tensors(tensors, draw)
        metadata = {"format": "lightning_dd.distilled", "format_version": "2", "description": json.dumps(description)}
        written = save(tensors, metadata)
        path.write_bytes(damaged_bytes(written, draw) if way == 0 else written)
        return outcome(lambda: _use(dd.load(path), draw.random() < 0.01, path))

    return case


def _kinds(root: Path) -> list[tuple[dict, dict]]:
    """Return the content of sets of each codec and kind of label."""
    found, names = [], ("cat", "dog", "fish")
    rest = {"class_names": names, "preprocessing": Normalization([0.5], [0.25]), "info": {"method": "DM", "ipc": 1}}
    soft = torch.rand(3, 3).softmax(1)
    for labels, kind in ((soft, "probabilities"), (soft, "logits"), (soft - 1 / 3, "targets")):
        found.append(DistilledDataset(torch.rand(3, 1, 8, 8), labels, label_kind=kind, **rest))
    for codec in (Tiles(3, 1, (1, 8, 8), 2), Frequencies(3, 1, (1, 8, 8), 16)):
        codec.start(torch.rand(len(codec), 1, 8, 8))
        labels = torch.arange(3).repeat_interleave(codec.images_per_class)
        found.append(DistilledDataset(None, labels, codec=codec, **rest))
    steps = {"step_sizes": torch.rand(2), "order": torch.zeros(2, 3, dtype=torch.int64)}
    recipe = {"protocol": "dd", "inner": {"optimizer": "sgd", "momentum": None}}
    found.append(DistilledDataset(torch.rand(3, 1, 8, 8), torch.arange(3), recipe=recipe, tensors=steps, **rest))
    contents = []
    for each in found:
        each.save(root / "base.safetensors")
        contents.append(content(root / "base.safetensors"))
    return contents


def _use(distilled: DistilledDataset, draws: bool, path: Path) -> None:
    """Use a set as everything does that takes one; what it gives is finite and in range."""
    own = distilled.label_hint.partition("'")[2].partition("'")[0]
    examples = distilled.pairs(own)
    images, labels = examples.tensors
    weights = torch.full((distilled.num_classes, images[0].numel()), 1e-3, requires_grad=True)
    logits = images.flatten(1) @ weights.T
    loss = F.mse_loss(logits, labels) if own == "targets" else F.cross_entropy(logits, labels)
    loss.backward()
    assert loss.isfinite()
    assert weights.grad.isfinite().all()
    assert 0 <= distilled.hard_labels.min() <= distilled.hard_labels.max() < distilled.num_classes
    assert distilled.images_per_class >= 1
    assert distilled.ipc >= 1
    assert all(0 <= distilled[index][1] < distilled.num_classes for index in (0, len(distilled) - 1))
    repr(distilled), _facts(distilled), accuracy(distilled.info)
    json.dumps(distilled.info)
    distilled.preprocess(torch.zeros(2, *distilled.image_shape, dtype=torch.uint8))
    if draws:
        distilled._repr_html_()
        distilled.save(path.with_name("again.safetensors"))
        assert torch.equal(dd.load(path.with_name("again.safetensors")).images, distilled.images)


def checkpoints(root: Path, good: dict[Path, Path]) -> Door:
    """Return a door that resumes from damaged checkpoints; what is refused when it is read is not resumed.

    Args:
        root: where the damaged ones are written.
        good: checkpoints by the configs of their runs.
    """
    path = root / "fuzzed.ckpt"
    contents = {config: torch.load(each, weights_only=True) for config, each in good.items()}

    def case(draw: random.Random) -> str:
        config, way = draw.choice(list(good)), draw.randrange(4)
        loaded = contents[config]
        if way == 0:
            path.write_bytes(damaged_bytes(good[config].read_bytes(), draw))
        elif way == 1:
            tensors = damaged_tensors(loaded["state_dict"], draw)
            torch.save({**loaded, "state_dict": tensors}, path)
        elif way == 2:
            torch.save(damaged_table(loaded, draw), path)
        else:
            saved = loaded["distiller"]
            torch.save({**loaded, "distiller": {**saved, "networks": _damaged_networks(saved["networks"], draw)}}, path)
        found = outcome(lambda: read_checkpoint(path) and None)
        if found != "ok":
            return found
        return outcome(fit(root / "resumed", "--ckpt_path", str(path), "--trainer.max_steps", "2", config=config))

    return case


def _damaged_networks(networks: dict[str, Any], draw: random.Random) -> Any:
    """Return the state of a source of networks with damage in one of its tensors or in the table."""
    tensors = {name: tensor for name, tensor in networks.items() if isinstance(tensor, torch.Tensor)}
    if tensors and draw.random() < 0.5:
        return {
            **{name: part for name, part in networks.items() if name not in tensors},
            **damaged_tensors(tensors, draw),
        }
    if networks.get("members") and draw.random() < 0.5:
        first, *rest = networks["members"]
        return {**networks, "members": [{**first, "state": damaged_tensors(first["state"], draw)}, *rest]}
    return damaged_table(networks, draw)


LONG = ("max_steps", "max_time", "max_epochs", "print_config", "help", "config", "width", "epochs", "ckpt_path")
WORDS = ("0", "-1", "1", "2", "99999999999", "1e30", "nan", "inf", "-inf", "null", "true", "x", "", "[]", "{}", "[1,2]")
WORDS += (
    "{a: 1}",
    "é",
    "\ud800",
    "/dev/null/x",
    "http://x",
    "*",
    "!!python/none",
    "auto",
    "DM",
    "ConvNet",
    "os.system",
)


def lines(root: Path, options: list[str]) -> Door:
    """Return a door that runs command lines with options of the program and odd values."""
    usable = [option for option in options if option.startswith("--") and option.rpartition(".")[2] not in LONG]

    def case(draw: random.Random) -> str:
        words = []
        for _ in range(draw.choice((1, 1, 2))):
            option = draw.choice(usable)
            option = draw.choice((option, option, option, option[:-1], option + ".x"))
            words += [f"{option}={draw.choice(WORDS)}"] if draw.random() < 0.7 else [option, draw.choice(WORDS)]
        found = outcome(fit(root, *words))
        return found if found == "ok" or found.startswith("error") else f"{words}: {found}"

    return case


def configs(root: Path) -> Door:
    """Return a door that runs damaged configs."""
    import yaml

    written, path = CONF.read_bytes(), root / "fuzzed.yaml"
    loaded = yaml.safe_load(written)

    def case(draw: random.Random) -> str:
        if draw.random() < 0.4:
            path.write_bytes(damaged_bytes(written, draw))
        else:
            path.write_text(yaml.safe_dump(damaged_table(loaded, draw)), errors="surrogatepass")
        found = outcome(fit(root, "--evaluation.enabled", "false", config=path))
        return found if found == "ok" or found.startswith("error") else f"{path.read_bytes()!r}: {found}"

    return case


def folders(root: Path) -> Door:
    """Return a door that reads folders of images with damaged files, odd names, links and pipes."""
    picture = root / "picture.png"
    Image.new("RGB", (8, 8), 90).save(picture)
    content = picture.read_bytes()

    def spoil(place: Path, draw: random.Random) -> None:
        kind, target = draw.randrange(9), place / draw.choice(("a", "b")) / draw.choice(("0.png", "new.png", "x.jpg"))
        if target.is_dir() and not target.is_symlink():
            target.rmdir()
        target.unlink(missing_ok=True)
        if kind == 0:
            os.mkfifo(target)
        elif kind == 1:
            target.symlink_to(draw.choice(("/nowhere", "/dev/zero", str(place), target.name, str(picture))))
        elif kind == 2:
            target.mkdir()
        elif kind == 3:
            os.makedirs(
                os.fsencode(place) + draw.choice((b"/\xff", b"/a\nb", "/é".encode(), b"/train", b"/__x", b"/c"))
            )
        elif kind == 4:
            shutil.rmtree(place / draw.choice(("a", "b")))
        elif kind == 5:
            Image.new(draw.choice(("L", "RGBA", "P", "1", "I;16", "F", "CMYK")), (draw.randrange(1, 9), 8)).save(
                target.with_suffix(".tiff")
            )
        elif kind == 6:
            (place / draw.choice(("a", "b"))).joinpath("loop").symlink_to(draw.choice((place, picture.parent)))
        else:
            target.write_bytes(damaged_bytes(content, draw))

    def case(draw: random.Random) -> str:
        place = root / "fuzzed"
        shutil.rmtree(place, ignore_errors=True)
        for name in ("a", "b"):
            (place / name).mkdir(parents=True)
            for index in range(3):
                (place / name / f"{index}.png").write_bytes(content)
        for _ in range(draw.choice((1, 2))):
            try:
                spoil(place, draw)
            except (FileNotFoundError, FileExistsError):  # it was spoiled before
                continue

        def read() -> None:
            options = {"image_size": draw.choice((None, 8, 1, 10**7)), "on_unreadable": draw.choice(("error", "skip"))}
            data = ImageFolder(str(place), cache=False, **options)
            data.setup()
            assert data.train_images.shape[1:] == data.image_shape
            assert data.train_labels.unique().numel() >= 1
            assert all(map(len, data.class_names))
            assert all(name.encode() for name in data.class_names)

        return outcome(read)

    return case
