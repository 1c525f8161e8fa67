"""Folders of images, Parquet files and records that cannot be read."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fuzz_runs import CONF, Case, artifact, fit, run_of
from harness import command


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
