"""Distilled sets that lie, and files that are none."""

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from fuzz_runs import Case, artifact, content
from harness import command
from safetensors.torch import save_file


def lie(path: Path, tensors: dict[str, Any], changes: dict[str, Any], version: str = "2") -> None:
    """Write a distilled set with some tensors and parts of its description replaced; None removes one."""
    own, description = content(path)
    own = {name: tensor for name, tensor in {**own, **tensors}.items() if tensor is not None}
    described = {name: part for name, part in {**description, **changes}.items() if part != "REMOVED"}
    metadata = {"format": "lightning_dd.distilled", "format_version": version, "description": json.dumps(described)}
    save_file(own, path, metadata)


def lies(root: Path) -> Iterator[tuple[str, dict, dict, str]]:
    """Give artifacts that lie: a name, tensors, parts of the description, and the version."""
    tensors, description = content(artifact(root))
    images, labels, names = tensors["images"], tensors["labels"], description["class_names"]

    def normalized(mean: Any = 0.5, std: Any = 0.5) -> dict[str, Any]:
        return {"preprocessing": {"mean": [mean], "std": [std]}}

    yield "std 0", {}, normalized(std=0), "2"
    yield "std NaN", {}, normalized(std=math.nan), "2"
    yield "std negative", {}, normalized(std=-1), "2"
    yield "std 1e-300", {}, normalized(std=1e-300), "2"
    yield "mean infinite", {}, normalized(math.inf), "2"
    yield "mean 1e30", {}, normalized(1e30), "2"
    yield "mean a text", {}, {"preprocessing": {"mean": "1", "std": "1"}}, "2"
    yield "mean a million numbers", {}, {"preprocessing": {"mean": [0.1] * 10**6, "std": [1] * 10**6}}, "2"
    yield "preprocessing null", {}, {"preprocessing": None}, "2"
    yield "whitening ../x", {}, {"preprocessing": {"mean": [0.5], "std": [0.5], "whitening": "../x"}}, "2"
    yield "images times 1e30", {"images": images * 1e30}, {}, "2"
    yield "images NaN", {"images": images * math.nan}, {}, "2"
    yield "zero images", {"images": images[:0], "labels": labels[:0]}, {}, "2"
    yield "images without pixels", {"images": images[..., :0]}, {}, "2"
    yield "integer images", {"images": images.long()}, {}, "2"
    yield "complex images", {"images": images.to(torch.complex64)}, {}, "2"
    yield "images half", {"images": images.half()}, {}, "2"
    yield "five-dimensional images", {"images": images[None]}, {}, "2"
    yield "no images", {"images": None}, {}, "2"
    yield "two channels", {"images": images.expand(-1, 2, -1, -1).contiguous()}, {}, "2"
    soft = torch.full((len(labels), len(names)), math.nan)
    yield "probabilities NaN", {"labels": soft}, {"label_kind": "probabilities"}, "2"
    yield "probabilities -1 and 5", {"labels": soft.nan_to_num(0) + 5}, {"label_kind": "probabilities"}, "2"
    yield "logits 1e38", {"labels": soft.nan_to_num(0) + 1e38}, {"label_kind": "logits"}, "2"
    yield "label 10**9", {"labels": labels + 10**9}, {}, "2"
    yield "labels negative", {"labels": labels - 5}, {}, "2"
    yield "labels 2-D", {"labels": labels[:, None]}, {}, "2"
    yield "labels floats", {"labels": labels.float() + 0.5}, {}, "2"
    yield "labels of one class alone", {"labels": labels * 0}, {}, "2"
    yield "no labels", {"labels": None}, {}, "2"
    yield "label kind a list", {}, {"label_kind": ["index"]}, "2"
    yield "class names a string", {}, {"class_names": "0123456789"}, "2"
    yield "class names null", {}, {"class_names": None}, "2"
    yield "class names repeated", {}, {"class_names": ["a"] * len(names)}, "2"
    yield "class names numbers", {}, {"class_names": list(range(len(names)))}, "2"
    yield "class names empty", {}, {"class_names": ["", *names[1:]]}, "2"
    yield "no class names", {}, {"class_names": "REMOVED"}, "2"
    yield "info a list", {}, {"info": []}, "2"
    yield "info of other kinds", {}, {"info": {"evaluations": 5, "config": [], "dataset": {}, "steps": "x"}}, "2"
    yield "evaluations of nothing", {}, {"info": {"evaluations": [{}]}}, "2"
    yield "selected classes lie", {}, {"info": {"selected": ["x"]}}, "2"
    yield "recipe null", {}, {"recipe": None}, "2"
    yield "recipe lies", {}, {"recipe": {"augmentation": 5, "step_size": "x", "network": 3, "protocol": []}}, "2"
    yield "step size -1", {}, {"recipe": {"protocol": "mtt", "step_size": -1}}, "2"
    yield "foreign network", {}, {"recipe": {"network": {"class_path": "os.system", "init_args": {}}}}, "2"
    yield "an unknown part", {}, {"nonsense": 1}, "2"
    yield "folder", {}, {"folder": "/etc"}, "2"
    shape = {"num_classes": len(names), "ipc": 1, "image_shape": list(images.shape[1:])}
    for name, value in (
        ("a number", 5),
        ("unknown", {"kind": "X", **shape, "options": {}}),
        ("huge", {"kind": "Pixels", **shape, "ipc": 10**9, "options": {}}),
        ("with huge images", {"kind": "Frequencies", **shape, "image_shape": [1, 10**5, 10**5], "options": {}}),
        ("with a factor of 1e9", {"kind": "Tiles", **shape, "options": {"factor": 10**9}}),
        ("Tiles", {"kind": "Tiles", **shape, "options": {"factor": 2}}),
        ("list", [1]),
    ):
        yield f"codec {name}", {"images": None, "codec.images": images}, {"codec": value}, "2"
    keep = {"kind": "Frequencies", **shape, "options": {"keep": 4}}
    parts = {"images": None, "codec.images": torch.randn(16 * len(names), 1, 4), "labels": labels.repeat_interleave(16)}
    for name, positions in (("out of range", 10**6), ("negative", -5)):
        stored = {**parts, "codec.positions": torch.full((len(names), 4), positions)}
        yield f"codec positions {name}", stored, {"codec": keep}, "2"
    for version in ("-3", "0", "3", "x", "", "1e9", "²"):
        yield f"format_version {version}", {}, {}, version


def wrong_bytes(root: Path) -> Iterator[tuple[str, bytes]]:
    """Give the bytes of files that are no distilled sets."""
    good = artifact(root).read_bytes()
    yield "empty", b""
    yield "half", good[: len(good) // 2]
    yield "a huge header", (2**62).to_bytes(8, "little") + good[8:]
    yield "text", b"whatever it is"
    yield "pickle", b"\x80\x04cos\nsystem\n(S'true'\ntR."
    for name, description in (
        ("deep", "[" * 10**6),
        ("NaN", "NaN"),
        ("a list", "[]"),
        ("no JSON", "{"),
        ("deep class names", '{"class_names": ' + "[" * 10**5 + "]" * 10**5 + "}"),
    ):
        header = {
            "__metadata__": {"format": "lightning_dd.distilled", "format_version": "2", "description": description}
        }
        text = json.dumps(header).encode()
        yield f"description {name}", len(text).to_bytes(8, "little") + text


def artifacts(root: Path) -> Iterator[Case]:
    """Give artifacts that lie, each loaded, shown, and evaluated where that is possible."""
    import lightning_dd as dd

    path = root / "lie" / "distilled.safetensors"
    path.parent.mkdir(exist_ok=True)

    def use() -> int:
        distilled = dd.load(path)
        distilled.save_picture(path.with_suffix(".png"))
        assert distilled.prepared.isfinite().all()
        repr(distilled)
        distilled._repr_html_()
        distilled.train("ConvNet:width=8", epochs=1)
        short = ("--num_networks", "1", "--epochs", "1", "--networks", "ConvNet:width=8", "--no_random_real")
        out = ("--data", "Digits", "--out", tempfile.mkdtemp(dir=root))
        return (
            command("show", path)()
            or command("list", "sets", "--runs", root)()
            or command("evaluate", path, *short, *out)()
        )

    for name, tensors, changes, version in lies(root):

        def lying(tensors=tensors, changes=changes, version=version) -> int:
            path.write_bytes(artifact(root).read_bytes())
            lie(path, tensors, changes, version)
            return use()

        yield f"artifact: {name}", lying
    for name, wrong in wrong_bytes(root):

        def damaged(wrong=wrong) -> int:
            path.write_bytes(wrong)
            return use()

        yield f"artifact: {name}", damaged


def foreign(root: Path) -> Iterator[Case]:
    """Give `.pt` files that lie."""
    images, labels = torch.randn(10, 1, 8, 8), torch.arange(10)
    soft = torch.eye(10)
    for name, wrong in {
        "labels NaN": (images, labels * math.nan),
        "labels at x.5": (images, labels + 0.5),
        "labels negative": (images, labels - 3),
        "labels huge": (images, labels + 10**12),
        "labels bool": (images, labels > 3),
        "labels float whole": (images, labels.float()),
        "images complex": (images.to(torch.complex64), labels),
        "images NaN": (images * math.nan, labels),
        "images 1e30": (images * 1e30, labels),
        "images bool": (images > 0, labels),
        "soft NaN": (images, soft * math.nan),
        "soft complex": (images, soft.to(torch.complex64)),
        "no images": (images[:0], labels[:0]),
        "no pixels": (images[:, :, :0], labels),
        "sparse": (images.to_sparse(), labels),
        "quantized": (torch.quantize_per_tensor(images, 0.1, 0, torch.qint8), labels),
        "meta": (images.to("meta"), labels),
        "expanded to 10**9": (images[:1, :, :1, :1].expand(10, 1, 10**5, 10**4), labels),
    }.items():
        path = root / "foreign.pt"

        def use(wrong=wrong, path=path) -> int:
            torch.save(list(wrong), path)
            short = ("--num_networks", "1", "--epochs", "1", "--networks", "ConvNet:width=8", "--no_random_real")
            return command("evaluate", path, "--data", "Digits", *short, "--out", tempfile.mkdtemp(dir=root))()

        yield f".pt: {name}", use
