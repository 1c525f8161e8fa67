"""Bad inputs of every door: `python tests/fuzz/cases.py` prints what each comes to."""

import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from harness import LaunchError, command, outcome
from safetensors import safe_open
from safetensors.torch import save_file

CONF = Path(__file__).parents[1] / "conf" / "dm_digits.yaml"
Case = tuple[str, Callable[[], object]]


def fit(root: Path, *words: str, config: Path | str = CONF) -> Callable[[], int]:
    """Return a run of one step on the bundled digits."""
    short = () if "--trainer.max_steps" in words else ("--trainer.max_steps", "1")
    return command("fit", "--config", config, "--trainer.default_root_dir", root, *short, *words)


WORDS = """
trainer.max_steps 0 | trainer.max_epochs 0 --trainer.max_steps -1 | trainer.limit_train_batches 0
trainer.max_time 00:00:00:00
trainer.devices 0 | trainer.devices abc | trainer.devices [0,1] | trainer.devices 99 | trainer.max_steps -5
trainer.strategy nonsense | trainer.strategy deepspeed | trainer.strategy fsdp | trainer.strategy dp
trainer.strategy null | trainer.strategy ddp_spawn | trainer.strategy ddp_notebook
trainer.accelerator gpu | trainer.accelerator tpu | trainer.accelerator mps | trainer.max_time nonsense
trainer.max_time 1 | trainer.max_epochs -7 | trainer.limit_train_batches -1 | trainer.num_nodes 0
trainer.profiler nonsense | trainer.barebones true | trainer.enable_checkpointing false
trainer.logger WandbLogger | trainer.default_root_dir http://x | seed_everything -1
seed_everything 4294967296 | ckpt_path= | data.num_workers -1 | data.num_workers 9999
model.ipc 99999999999999999999 | model.lr null | data.held_out null | model.network.width 0
model.network.width -1 | model.network Network | model.init null | data ImageData | model Distiller | model Task
evaluation null | trainer null | model.lr_decay 0 | model.feature_epochs -1 | product.every_n_steps 0
evaluation.split foo | data.held_out 0.9999 | model.lr nan | model.lr inf | trainer.precision nonsense
trainer.log_every_n_steps -1 | trainer.detect_anomaly maybe | trainer.callbacks Nonsense
trainer.overfit_batches -1 | trainer.val_check_interval -3 | trainer.fast_dev_run -1 | trainer.plugins nonsense
trainer.model_registry x --trainer.num_sanity_val_steps -9 | trainer.devices null | trainer.devices -2
trainer.devices {} | trainer.strategy {} | trainer.logger {} | trainer.check_val_every_n_epoch 0
trainer.min_steps 5 | trainer.limit_train_batches 1.5 | trainer.reload_dataloaders_every_n_epochs -1
model.network.width 999999999 | model.ipc 999999999 | model.real_per_class 99999999999 | model.codec Codec
model.networks NetworkSource | model.codec Tiles --model.codec.factor 99999 | model.augmentation nonsense
checkpoint.every_n_steps 0 | gallery.every_n_steps -1 | evaluation.protocol nonsense --evaluation.enabled true
""".replace("\n", "|")


def lines(root: Path) -> Iterator[Case]:
    """Give bad command lines of `fit`, and of the other commands."""
    for text in filter(None, map(str.strip, WORDS.split("|"))):
        yield f"--{text}", fit(root, *f"--{text}".split())
    for words in (
        "evaluate {artifact} --networks ConvNet:width=0 --data Digits",
        "evaluate {artifact} --networks_at_once -1",
        "evaluate {artifact} --epochs -1",
        "evaluate {artifact} --out /dev/full --epochs 1 --num_networks 1 --networks ConvNet:width=8",
        "evaluate {artifact} --out /proc/x --epochs 1 --num_networks 1 --networks ConvNet:width=8",
        "evaluate",
        "report {run} --out {pipe}",
        "report {run} --out {link}",
        "report {run} --out /proc/x",
        "report {run} --out {run}",
        "report",
        "cost --ipc 99999999999 --methods DM --data MNIST",
        "cost --ipc 1 --methods DM --data MNIST --out /dev/full",
        "cost --ipc x",
        "cost --options DM.ipc=[",
        "list nonsense",
        "cache --days x",
        "cache --days nan",
        "show",
        "show /dev/zero",
        "show /nowhere",
        "nonsense",
        "fit",
        "fit --config",
        "test --ckpt_path {run} --trainer.devices 0",
    ):
        pipe, link = root / "pipe", root / "link"  # never a device of this machine
        if not pipe.exists():
            os.mkfifo(pipe)
            link.symlink_to(pipe)
        places = {"run": run_of(root), "artifact": artifact(root), "pipe": pipe, "link": link}
        yield words, lambda words=words, places=places: command(*words.format(**places).split())()


def run_of(root: Path) -> Path:
    """Return the folder of a finished run, made once."""
    folder = root / "good" / "dm_digits_ipc1" / "version_0"
    if not folder.is_dir():
        good = ("--evaluation.enabled", "true", "--evaluation.num_networks", "1", "--evaluation.epochs", "1")
        found = outcome(fit(root / "good", *good), 120)
        assert found == "ok", found
    return folder


def artifact(root: Path) -> Path:
    """Return its distilled set."""
    return run_of(root) / "distilled.safetensors"


def content(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return tensors and description of a distilled set."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["description"])  # noqa: SIM118


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


def checkpoints(root: Path) -> Iterator[Case]:
    """Give checkpoints with damaged content, each resumed."""
    good = run_of(root) / "checkpoints" / "last.ckpt"

    def of(change: Callable[[dict], Any]) -> Callable[[], object]:
        def use() -> int:
            loaded = torch.load(good, weights_only=True)
            changed = change(loaded)
            path = root / "damaged.ckpt"
            torch.save(loaded if changed is None else changed, path)
            return fit(root / "resumed", "--ckpt_path", str(path), "--trainer.max_steps", "2")()

        return use

    def put(*keys: str, value: Any) -> Callable[[dict], None]:
        def change(loaded: dict) -> None:
            for key in keys[:-1]:
                loaded = loaded[key]
            if value == "REMOVED":
                del loaded[keys[-1]]
            else:
                loaded[keys[-1]] = value

        return change

    for name in torch.load(good, weights_only=True):
        for value in ("REMOVED", "x", None, [], {}, -1, 2**70, torch.tensor(math.nan)):
            yield f"checkpoint: {name} is {value}", of(put(name, value=value))
    for name in ("format", "iteration", "options", "commands", "networks", "key"):
        for value in ("REMOVED", "x", None, [], {}, -1, torch.tensor(math.nan)):
            yield f"checkpoint: distiller.{name} is {value}", of(put("distiller", name, value=value))
    for value in (
        "REMOVED",
        "x",
        None,
        torch.zeros(3),
        torch.zeros(10, 1, 8, 8) * math.nan,
        torch.zeros(10, 1, 8, 8) + 0j,
    ):
        shown = type(value).__name__ if isinstance(value, torch.Tensor) else value
        yield f"checkpoint: images are {shown}", of(put("state_dict", "synthetic.codec.images", value=value))
    yield "checkpoint: a list", of(lambda loaded: [loaded])
    yield "checkpoint: a tensor", of(lambda loaded: torch.zeros(3))
    yield "checkpoint: a model that is none", of(put("distiller", "options", value={"model": 5}))
    yield (
        "checkpoint: init_args a list",
        of(put("distiller", "options", value={"model": {"class_path": "DM", "init_args": []}})),
    )
    yield "checkpoint: records a number", of(put("callbacks", "Evaluation", value=5))
    yield "checkpoint: records of nothing", of(put("callbacks", "Evaluation", value={"records": [{}]}))
    yield (
        "checkpoint: momentum NaN",
        of(
            lambda c: c["optimizer_states"][0]["state"].update(
                {0: {"momentum_buffer": torch.full((10, 1, 8, 8), math.nan)}}
            )
        ),
    )
    yield (
        "checkpoint: momentum of another shape",
        of(lambda c: c["optimizer_states"][0]["state"].update({0: {"momentum_buffer": torch.zeros(3)}})),
    )
    yield "checkpoint: lr negative", of(lambda c: c["optimizer_states"][0]["param_groups"][0].update(lr=-1.0))
    yield "checkpoint: lr a text", of(lambda c: c["optimizer_states"][0]["param_groups"][0].update(lr="x"))


def configs(root: Path) -> Iterator[Case]:
    """Give configs that are none."""
    good = CONF.read_text()
    for name, text in {
        "binary": bytes(range(256)),
        "UTF-16": good.encode("utf-16"),
        "latin-1": good.replace("tiny", "tiné").encode("latin-1"),
        "empty": b"",
        "a list": b"- 1\n- 2\n",
        "a number": b"5\n",
        "trainer null": good.replace(
            "trainer:\n  max_steps: 6\n  enable_progress_bar: false\n  accelerator: cpu", "trainer: null"
        ).encode(),
        "evaluation null": (good.partition("evaluation:")[0] + "evaluation: null\n").encode(),
        "evaluation a list": (good.partition("evaluation:")[0] + "evaluation: [1, 2]\n").encode(),
        "model a list": b"model: [1]\ndata: Digits\n",
        "model a number": b"model: 3\ndata: Digits\n",
        "init_args a list": b"model:\n  class_path: DM\n  init_args: [1]\ndata: Digits\n",
        "a self-referring anchor": b"model: &a\n  class_path: DM\n  init_args: *a\ndata: Digits\n",
        "a billion laughs": b"a: &a [1,1,1,1,1,1,1,1]\n"
        + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 8)) for c in range(98, 108)),
        "duplicate keys": (good + "trainer:\n  max_steps: 1\n").encode(),
        "duplicate inner keys": good.replace("ipc: 1", "ipc: 1\n    ipc: 2").encode(),
        "tabs": good.replace("  ", "\t").encode(),
        "deep": b"model: " + b"[" * 5000,
        "NUL": b"model: \x00",
        "a tag of Python": b"model: !!python/object/apply:os.system ['true']\n",
        "a date": b"model: 2001-01-01\n",
        "keys that are no texts": b"1: 2\ntrue: 3\n",
    }.items():
        path = root / "config.yaml"

        def use(text=text, path=path) -> int:
            path.write_bytes(text)
            return fit(root, config=path)()

        yield f"config: {name}", use


def folders(root: Path) -> Iterator[Case]:
    """Give folders of images, and Parquet files, that cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    def pictures(name: str) -> Path:
        place = root / "folders" / name.replace(" ", "_")
        for kind in ("cat", "dog"):
            (place / kind).mkdir(parents=True, exist_ok=True)
            for index in range(6):
                Image.new("L", (8, 8), 20 * index).save(place / kind / f"{index}.png")
        return place

    def images(name: str, change: Callable[[Path], object], *more: str) -> Case:
        def use() -> int:
            place = pictures(name)
            change(place)
            return fit(root, "--data", "ImageFolder", "--data.root", str(place), "--data.cache", "false", *more)()

        return f"folder: {name}", use

    def undecodable(place: Path) -> None:
        folder = os.fsencode(place) + b"/\xff\xfe"
        os.mkdir(folder)
        os.link(place / "cat" / "0.png", folder + b"/0.png")

    yield images("a FIFO", lambda place: os.mkfifo(place / "cat" / "f.png"))
    yield images(
        "a FIFO with a size",
        lambda place: os.mkfifo(place / "cat" / "f.png"),
        "--data.image_size",
        "8",
        "--data.channels",
        "1",
    )
    yield images("a device", lambda place: (place / "cat" / "f.png").symlink_to("/dev/zero"))
    yield images("a link to nothing", lambda place: (place / "cat" / "f.png").symlink_to("/nowhere"))
    yield images("a link to itself", lambda place: (place / "cat" / "loop").symlink_to(place))
    yield images("names that are no UTF-8", undecodable)
    yield images("image_size 200000", lambda place: None, "--data.image_size", "200000")
    yield images("image_size huge", lambda place: None, "--data.image_size", "99999999999")
    yield images("a folder called a.png", lambda place: (place / "cat" / "a.png").mkdir())
    yield images("an unreadable class", lambda place: (place / "fish").mkdir())

    def parquet(name: str, change: Callable[[Path], object]) -> Case:
        def use() -> int:
            place = root / "parquet" / name.replace(" ", "_")
            place.mkdir(parents=True, exist_ok=True)
            change(place)
            return fit(root, "--data", "Parquet", "--data.root", str(place), "--data.cache", "false")()

        return f"Parquet: {name}", use

    png = (pictures("for_parquet") / "cat" / "3.png").read_bytes()

    def table(place: Path, names: Any = None, label: Any = None, bad: bytes | None = None) -> None:
        found = pa.table({"image": [png] * 8, "label": label or [0, 1] * 4})
        if names is not None:
            about = {"info": {"features": {"label": {"_type": "ClassLabel", "names": names}}}}
            found = found.replace_schema_metadata({"huggingface": json.dumps(about)})
        pq.write_table(found, place / "train-00000-of-00001.parquet")
        if bad is not None:
            file = place / "train-00000-of-00001.parquet"
            written = bytearray(file.read_bytes())
            written[40:140] = bad
            file.write_bytes(bytes(written))

    yield parquet("garbage", lambda place: (place / "train.parquet").write_bytes(b"garbage"))
    yield parquet("damaged pages", lambda place: table(place, bad=b"\xff" * 100))
    yield parquet("class names numbers", lambda place: table(place, names=[1, 2]))
    yield parquet("class names a number", lambda place: table(place, names=5))
    yield parquet("class names a text", lambda place: table(place, names="ab"))
    yield parquet("class names twice", lambda place: table(place, names=["a", "a"]))
    yield parquet("class names null", lambda place: table(place, names=[None, None]))
    yield parquet("class names empty", lambda place: table(place, names=["", ""]))
    yield parquet("metadata deep", lambda place: table(place, names=json.loads("[" * 900 + "]" * 900)))
    yield parquet("labels huge", lambda place: table(place, label=[2**62, 1] * 4))
    yield parquet("labels lists", lambda place: table(place, label=[[1], [2]] * 4))


def results(root: Path) -> Iterator[Case]:
    """Give `results.json` that are none, to `report` and to `record`."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
    import record

    good = (run_of(root) / "results.json").read_bytes()
    for name, text in {
        "a list": b"[]",
        "a number": b"5",
        "no UTF-8": b"\xff\xfe{}",
        "empty": b"",
        "deep": b"[" * 10**5,
        "lacks all": b"{}",
        "evaluations a number": json.dumps({**json.loads(good), "evaluations": 5}).encode(),
        "evaluations of nothing": json.dumps({**json.loads(good), "evaluations": [{}]}).encode(),
        "cost a text": json.dumps({**json.loads(good), "cost": "x"}).encode(),
        "steps a text": json.dumps({**json.loads(good), "steps": "x"}).encode(),
        "accuracy NaN": good.replace(b'"accuracy_mean": ', b'"accuracy_mean": NaN, "was": '),
    }.items():
        place, config = root / "results", root / "recorded.yaml"
        place.mkdir(exist_ok=True)

        def use(which: str, text=text, place=place, config=config) -> int:
            (place / "distilled.safetensors").write_bytes(artifact(root).read_bytes())
            (place / "results.json").write_bytes(text)
            config.write_bytes(CONF.read_bytes())
            config.with_suffix(".results.json").unlink(missing_ok=True)
            if which == "record":
                return record.main([str(place), str(config)])
            return command("report", place, "--out", root / "report.html")()

        yield f"report: {name}", lambda use=use: use("report")
        yield f"record: {name}", lambda use=use: use("record")


DOORS = {
    "artifacts": artifacts,
    "foreign": foreign,
    "configs": configs,
    "folders": folders,
    "results": results,
    "checkpoints": checkpoints,
    "lines": lines,
}


def no_launch(patch: Callable[..., None] = setattr) -> None:
    """Make Lightning fail where it would start processes; `patch` sets an attribute."""
    from lightning.pytorch.strategies.launchers import multiprocessing, subprocess_script

    def launch(self: Any, *_: Any, **__: Any) -> None:
        raise LaunchError(type(self).__name__)

    patch(subprocess_script._SubprocessScriptLauncher, "_call_children_scripts", launch)
    patch(multiprocessing._MultiProcessingLauncher, "launch", launch)


def main(doors: list[str]) -> None:
    """Print all cases of some doors, or of all."""
    os.environ["LIGHTNING_DD_CACHE"] = tempfile.mkdtemp()
    no_launch()
    root = Path(tempfile.mkdtemp())
    os.chdir(root)
    for door in doors or DOORS:
        for name, action in DOORS[door](root):
            print(f"{name}\t{outcome(action)}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1:])
