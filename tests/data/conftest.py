import gzip
import io
import json
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("LIGHTNING_DD_CACHE", str(folder))
    yield folder
    # The real sets leave hundreds of megabytes.
    shutil.rmtree(folder)


@pytest.fixture
def real_data():
    folder = os.environ.get("LIGHTNING_DD_DATA")
    if not folder:
        pytest.skip("LIGHTNING_DD_DATA names no folder")
    return folder


@pytest.fixture
def picture():
    """Make an image of one brightness as bytes of a format."""

    def make(value=100, size=(6, 4), mode="RGB", format="PNG", **options):
        height, width = size
        buffer = io.BytesIO()
        color = value if mode in ("L", "I;16", "P", "1") else (value,) * len(mode)
        Image.new(mode, (width, height), color).save(buffer, format, **options)
        return buffer.getvalue()

    return make


@pytest.fixture
def write_idx():
    def write(path: Path, array: np.ndarray, zipped=False, magic=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        head = struct.pack(">I", magic or 0x0800 + array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
        content = head + array.astype(np.uint8).tobytes()
        if zipped:
            path = path.with_name(path.name + ".gz")
            content = gzip.compress(content)
        path.write_bytes(content)

    return write


@pytest.fixture
def write_mnist(write_idx):
    """Write both parts; every pixel of image i is i, its label i % 10."""

    def write(folder: Path, zipped=False, train=30, test=20):
        for prefix, count in (("train", train), ("t10k", test)):
            images = np.broadcast_to(np.arange(count)[:, None, None], (count, 28, 28))
            write_idx(folder / f"{prefix}-images-idx3-ubyte", images, zipped)
            write_idx(folder / f"{prefix}-labels-idx1-ubyte", np.arange(count) % 10, zipped)

    return write


@pytest.fixture
def write_parquet():
    def write(path: Path, contents, labels, names=None, image="image", label="label", struct_type=True):
        import pyarrow as pa
        import pyarrow.parquet as pq

        path.parent.mkdir(parents=True, exist_ok=True)
        if struct_type:
            contents = pa.array(
                [{"bytes": content, "path": None} for content in contents],
                pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
            )
        table = pa.table({image: contents, label: labels})
        if names:
            features = {image: {"_type": "Image"}, label: {"_type": "ClassLabel", "names": names}}
            table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pq.write_table(table, path)

    return write


@pytest.fixture
def write_folder(picture):
    """Write `files`: a mapping of relative path to the arguments of `picture`, or to raw bytes."""

    def write(root: Path, files):
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else picture(**content))
        return root

    return write
