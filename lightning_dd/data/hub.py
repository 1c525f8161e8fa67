"""Image sets in the layout of the Hugging Face hub: Parquet files with encoded images and labels."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lightning_dd.artifact.schema import misfit, text
from lightning_dd.data.cache import cached
from lightning_dd.data.decoding import Decoding, OnUnreadable, Source, decode_all, skipping, warn_of_skipped
from lightning_dd.errors import UserError

# In order of preference: a test part before a validation part (the literature tests on the latter where it must).
SPLIT_WORDS = {"train": ("train",), "test": ("test", "valid", "validation", "val")}
LABEL_NAMES = ("label", "fine_label", "labels", "class", "target", "targets")
SHARD = re.compile(r"-(\d+)-of-(\d+)$")


@dataclass(frozen=True)
class HubSet:
    """Parquet files of one data set, and the columns to read.

    Attributes:
        root: the folder or file that was named.
        splits: files of "train" and, if there are any, of "test".
        image_column: encoded images: bytes, or a struct with a field "bytes".
        label_column: integers or strings.
        class_names: from the files' metadata, or None where they have none.
    """

    root: Path
    splits: dict[str, tuple[Path, ...]]
    image_column: str
    label_column: str
    class_names: tuple[str, ...] | None

    def labels(self, split: str) -> list[int | str]:
        """Return the raw labels of a split.

        Raises:
            UserError: if some rows have none.
        """
        import pyarrow.parquet as pq

        name = self.label_column
        tables = (pq.read_table(file, columns=[name]) for file in self.splits[split])
        values = [value for table in tables for value in table[name].to_pylist()]
        if any(isinstance(value, list | dict) for value in values):
            raise UserError(f"column {name!r} in {self.root} holds no numbers or texts: set {{data.label_column}}")
        # The hub writes -1 where a split's labels are secret.
        if any(value is None or (self.class_names and value == -1) for value in values):
            raise UserError(f"some {split} rows in {self.root} have no label: use a split that is labeled")
        return values

    def num_rows(self, split: str) -> int:
        """Return how many rows a split has, from the files' footers."""
        return sum(_open_parquet(file).metadata.num_rows for file in self.splits[split])

    def sources(self, split: str) -> Iterator[Source]:
        """Give the encoded images of a split one after another, a few thousand in memory at a time."""
        for file in self.splits[split]:
            row = 0
            for batch in _open_parquet(file).iter_batches(batch_size=2048, columns=[self.image_column]):
                column = batch.column(0)
                for content in (column.field("bytes") if column.type.num_fields else column).to_pylist():
                    # No bytes decode to nothing, which the decoder reports with the row's name.
                    yield Source(f"row {row} of {file}", BytesIO(content or b""))
                    row += 1

    def images(
        self, split: str, how: Decoding, cache: bool = True, on_unreadable: OnUnreadable = "error"
    ) -> dict[str, Tensor]:
        """Decode a split; see `decode_all`."""
        key = {"how": vars(how), "column": self.image_column} | skipping(on_unreadable)
        build = partial(decode_all, self.sources(split), self.num_rows(split), how, on_unreadable)
        decoded = cached(self.splits[split], key, build, cache)
        if on_unreadable == "skip":
            warn_of_skipped([f"row {row} of the {split} part" for row in range(self.num_rows(split))], decoded["kept"])
        return decoded

    def known_part(
        self, split: str, image_shape: tuple[int, int, int], num_classes: int, cache: bool
    ) -> tuple[Tensor, Tensor]:
        """Return images `(N, C, H, W)` and labels `(N,)` of a set whose shape and classes are known.

        Raises:
            UserError: if there is no such part, its labels are not integers, or the classes are of another number.
        """
        if split not in self.splits:
            raise UserError(f"{self.root} has no Parquet files for the {split} part: add them")
        if self.class_names and len(self.class_names) != num_classes:
            found = f"{len(self.class_names)} classes where {num_classes} were expected"
            raise UserError(f"{self.root} has {found}: name the right folder")
        values = self.labels(split)
        if not all(isinstance(value, int) for value in values):
            column = f"column {self.label_column!r} in {self.root}"
            raise UserError(f"{column} does not hold integers: name the right folder")
        decoded = self.images(split, Decoding(image_shape[1:], image_shape[0]), cache)
        return decoded["images"], torch.tensor(values, dtype=torch.long)


def find_hub_set(root: Path, *folders: str) -> HubSet | None:
    """Return the set in `root/<one of folders>`, or in `root` itself, or None where there are no Parquet files.

    Of the folders in `root` only splits and unnamed configurations count: others hold other sets.
    """
    for place in (root / name for name in folders):
        if place.is_dir() and any(_parquet_files(place)):
            return open_hub_set(place)
    own = (file for file in _parquet_files(root) if all(map(_is_split_or_config, _folders(file, root))))
    return open_hub_set(root) if root.is_dir() and any(own) else None


def open_hub_set(root: Path, image_column: str | None = None, label_column: str | None = None) -> HubSet:
    """Return the set of which files' names and the first one's schema tell, without reading any rows.

    Args:
        root: a folder with Parquet files in it or up to two folders below, or one file (which is then the train part).
        image_column: name, where it is not to be guessed.
        label_column: likewise.

    Raises:
        UserError: if there are no such files, none to train on, or no such columns.
    """
    splits = {"train": (root,)} if root.is_file() else _find_splits(root)
    if "train" not in splits:
        raise UserError(f"{root} has no Parquet files to train on: their names, or their folder's, must say train")
    schema = _open_parquet(splits["train"][0]).schema_arrow
    features = _features(schema.metadata)
    image = _pick(image_column, _image_columns(schema), schema, root, "image")
    label = _pick(label_column, _label_columns(schema, features, image), schema, root, "label")
    names = features.get(label, {}).get("names")
    if names is not None and (misfit(names, [text]) is not None or "" in names or len(set(names)) < len(names)):
        raise UserError(f"{root} has class names that are no texts, empty or repeated: fetch it again")
    hub_set = HubSet(root, splits, image, label, tuple(names) if names else None)
    # An unlabeled or differently built file would only be noticed after minutes of decoding.
    for file in sum(splits.values(), ()):
        if missing := {image, label} - set(_open_parquet(file).schema_arrow.names):
            first = splits["train"][0].name
            raise UserError(f"{file} lacks column {min(missing)!r} that {first} has: use files of one data set")
    return hub_set


def _is_split_or_config(folder: str) -> bool:
    """Return whether a folder has the name of a split, or of a repository's only configuration."""
    known = {"data", "plain", "default", *sum(SPLIT_WORDS.values(), ())}
    return bool(known & set(_words(folder)))


def _find_splits(root: Path) -> dict[str, tuple[Path, ...]]:
    if not root.is_dir():
        raise UserError(f"there is no folder or Parquet file {root}: check {{data.root}}")
    files = _parquet_files(root)
    below = {name for file in files for name in _folders(file, root)}
    folders = sorted(name for name in below if not _is_split_or_config(name))
    if len(folders) > 1:
        raise UserError(f"{root} holds several data sets ({', '.join(folders)}): name the folder of one of them")
    splits = {}
    for split, words in SPLIT_WORDS.items():
        found = (tuple(file for file in files if _split_word(file, root) == word) for word in words)
        if first := next(filter(None, found), None):
            splits[split] = first
            _warn_of_missing_shards(first, split)
    return splits


def _parquet_files(folder: Path) -> list[Path]:
    levels = (sorted(folder.glob(f"{below}*.parquet")) for below in ("", "*/", "*/*/"))
    return next(filter(None, levels), [])


def _folders(file: Path, root: Path) -> tuple[str, ...]:
    """Return the names of the folders that a file is in, below a root."""
    return file.relative_to(root).parts[:-1]


def _words(name: str) -> list[str]:
    return re.findall("[a-z]+", name.lower())


def _split_word(file: Path, root: Path) -> str | None:
    """Return the split that a file is of: `train-00000-of-00001`, `crash_test-train`, or that of the folder it is in.

    Of several words the first counts where it is the name's first one, else the last; None where there is none.
    """
    known = sum(SPLIT_WORDS.values(), ())
    for name in (file.stem, *reversed(_folders(file, root))):
        words = _words(name)
        if found := [word for word in words if word in known]:
            return found[0] if words[0] == found[0] else found[-1]
    return None


def _warn_of_missing_shards(files: tuple[Path, ...], split: str) -> None:
    shards = [match for file in files if (match := SHARD.search(file.stem))]
    total = max((int(match[2]) for match in shards), default=0)
    if shards and len(shards) < total:
        found = f"only {len(shards)} of {total} {split} files are in {files[0].parent}"
        rank_zero_warn(f"{found}: going on with what is there")


def _open_parquet(file: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file} cannot be read as Parquet ({error}): fetch it again") from None


def _features(metadata: dict[bytes, bytes] | None) -> dict[str, dict]:
    """Return what the `datasets` package wrote about each column, or nothing."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, RecursionError, TypeError, ValueError):
        return {}
    if not isinstance(features, dict):
        return {}
    return {name: feature for name, feature in features.items() if isinstance(feature, dict)}


def _image_columns(schema) -> list[str]:
    import pyarrow as pa

    def holds_bytes(kind: pa.DataType) -> bool:
        if pa.types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0
        return any(fits(kind) for fits in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view))

    return [field.name for field in schema if holds_bytes(field.type)]


def _label_columns(schema, features: dict[str, dict], image: str) -> list[str]:
    """Return candidates, best first: usual names, then columns described as labels, then integers and strings."""
    import pyarrow as pa

    types = pa.types
    kinds = (types.is_integer, types.is_string, types.is_large_string, types.is_string_view)

    def holds_labels(kind: pa.DataType) -> bool:
        return any(fits(kind.value_type if types.is_dictionary(kind) else kind) for fits in kinds)

    plain = [field.name for field in schema if field.name != image and holds_labels(field.type)]
    described = [name for name in plain if features.get(name, {}).get("_type") == "ClassLabel"]
    best = [name for name in LABEL_NAMES if name in plain] + described
    return best or (plain if len(plain) == 1 else [])


def _pick(wanted: str | None, candidates: list[str], schema, root: Path, what: str) -> str:
    columns = ", ".join(schema.names)
    if wanted is not None and wanted not in schema.names:
        raise UserError(f"{root} has no column {wanted!r}: its columns are {columns}")
    if wanted is None and not candidates:
        missing = f"no {what} column was found in {root}, whose columns are {columns}"
        raise UserError(f"{missing}: set {{data.{what}_column}} to one")
    return wanted or candidates[0]
