"""The distilled set as a file, and as something to train on."""

import errno
import json
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.models import resnet18

import lightning_dd
from lightning_dd.artifact import dataset as artifact
from lightning_dd.artifact import files
from lightning_dd.artifact.codecs import CODECS, Frequencies, Pixels, Tiles
from lightning_dd.artifact.dataset import DistilledDataset, load
from lightning_dd.artifact.preprocessing import Normalization, Whitening
from lightning_dd.errors import UserError

NORMALIZATION = Normalization([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])
NAMES = ("cat", "dog", "Ärger über $x^2$")
SOFT = ("probabilities", "logits", "targets")


def _images(number=6, shape=(3, 4, 5), seed=0):
    """Far outside [0, 1]: what methods learn."""
    return torch.randn(number, *shape, generator=torch.Generator().manual_seed(seed)) * 3


def _distilled(**changes):
    arguments = {
        "images": _images(),
        "labels": torch.tensor([0, 0, 1, 1, 2, 2]),
        "class_names": NAMES,
        "preprocessing": NORMALIZATION,
    }
    return DistilledDataset(**{**arguments, **changes})


def _whitening(size=60):
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(3))
    matrix = matrix @ matrix.T / size + torch.eye(size)
    return Whitening(NORMALIZATION, torch.linspace(-1, 1, size), matrix, matrix.inverse())


def _sentence(call):
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def _describe(**changes):
    description = {
        "class_names": NAMES,
        "label_kind": "index",
        "preprocessing": {"mean": [0, 0, 0], "std": [1, 1, 1]},
        "recipe": {},
        "info": {},
    }
    metadata = {"format": artifact.FORMAT, "format_version": "1", "description": json.dumps(description)}
    return {**metadata, **changes}


def test_index_labels_round_trip(tmp_path):
    distilled = _distilled(
        recipe={"protocol": "dm", "augmentation": "crop_flip", "lr": 0.0123, "batches": [1, 2]},
        tensors={"step_sizes": torch.rand(4, 3), "order": torch.tensor([[2, 0], [1, 1]]), "scalar": torch.tensor(0.5)},
        info={"method": "DM", "seed": 3, "accuracy": 48.9, "nested": {"lightning": "2.6"}, "none": None},
    )
    path = tmp_path / "distilled.safetensors"
    distilled.save(path)
    again = load(path)
    assert again.images.dtype == torch.float32
    assert torch.equal(again.images.view(torch.int32), distilled.images.view(torch.int32))  # bit for bit
    assert distilled.images.max() > 1  # or the line above says little about clipping
    assert distilled.images.min() < 0
    assert again.labels.dtype == torch.int64
    assert torch.equal(again.labels, distilled.labels)
    assert again.class_names == NAMES
    assert again.label_kind == "index"
    assert again.recipe == distilled.recipe
    assert again.info == distilled.info
    assert set(again.tensors) == set(distilled.tensors)
    for name, tensor in distilled.tensors.items():
        assert again.tensors[name].dtype == tensor.dtype
        assert torch.equal(again.tensors[name], tensor)
    assert (again.num_classes, again.image_shape, again.ipc, len(again)) == (3, (3, 4, 5), 2, 6)


@pytest.mark.parametrize("kind", SOFT)
def test_soft_labels_round_trip(kind, tmp_path):
    labels = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    labels = labels.softmax(1) if kind == "probabilities" else labels
    _distilled(labels=labels, label_kind=kind).save(tmp_path / "soft.safetensors")
    again = load(tmp_path / "soft.safetensors")
    assert again.label_kind == kind
    assert torch.equal(again.labels, labels)
    assert again.hard_labels.tolist() == [max(range(3), key=row.__getitem__) for row in labels.tolist()]
    assert [again[row][1] for row in range(6)] == again.hard_labels.tolist()
    wanted = "targets" if kind == "targets" else "soft"
    image, label = again.pairs(wanted)[4]
    assert torch.equal(image, again[4][0])
    expected = labels[4].softmax(0) if kind == "logits" else labels[4]
    torch.testing.assert_close(label, expected)
    assert f"pairs(labels='{wanted}') with the loss " in repr(again)


def test_info_that_is_no_table():
    assert "info" in _sentence(lambda: _distilled(info="DM"))


def test_pairs_of_hard_labels_are_those_of_indexing():
    distilled = _distilled()
    assert [label.item() for _, label in distilled.pairs("hard")] == [label for _, label in distilled]
    assert "pairs" not in repr(distilled)
    assert "hard, soft or targets, got 'index'" in _sentence(lambda: distilled.pairs("index"))


def test_selected_classes_keep_their_names_and_indices(tmp_path):
    distilled = _distilled(tensors={"order": torch.zeros(3).long()}, recipe={"inner": {"optimizer": "sgd"}})
    distilled.select(["dog", 2]).save(tmp_path / "some.safetensors")
    some = load(tmp_path / "some.safetensors")
    assert torch.equal(some.images, distilled.images[2:])
    assert (some.labels.tolist(), some.class_names) == ([1, 1, 2, 2], NAMES)
    assert (some.ipc, some.images_per_class, some.tensors) == (2, 2, {})
    assert some.folder == tmp_path
    assert "no class 3" in _sentence(lambda: distilled.select([3]))
    assert "no class 'cow'" in _sentence(lambda: distilled.select(["cow"]))


def test_a_notebook_shows_picture_and_facts():
    record = {"step": 1, "network": "ConvNet", "protocol": "dm", "epochs": 9, "split": "test", "num_networks": 2}
    record |= {"accuracy_mean": 91.3, "accuracy_std": 1.0, "random_real_mean": 70.0, "random_real_std": 1.0}
    distilled = _distilled(info={"method": "<DM>", "dataset": "pets", "evaluations": [record]})
    shown = distilled._repr_html_()
    assert "data:image/png;base64," in shown
    assert "&lt;DM&gt; on pets" in shown
    assert "91.3 % (ConvNet, protocol dm); random real images 70.0 %" in shown
    assert "91.3" not in distilled.select([0])._repr_html_()


@pytest.mark.parametrize("make", [Tiles, lambda *shape: Frequencies(*shape, keep=3)])
@pytest.mark.parametrize("kind", ["index", "logits"])
def test_codecs_round_trip(make, kind, tmp_path):
    """The file holds what the codec stores, in the networks' space, and says how much that is."""
    codec = make(3, 2, (3, 4, 5))
    codec.start_noise(torch.Generator().manual_seed(5))
    labels = torch.arange(3).repeat_interleave(codec.images_per_class)
    labels = labels if kind == "index" else torch.eye(3)[labels]
    distilled = DistilledDataset(None, labels, NAMES, NORMALIZATION, kind, codec=codec)
    distilled.save(tmp_path / "distilled.safetensors")
    again = load(tmp_path)
    assert torch.equal(again.images, NORMALIZATION.inverse(codec.decode()))
    assert again.images.requires_grad is False
    assert (again.ipc, again.images_per_class, len(again)) == (2, codec.images_per_class, len(codec))
    with safe_open(tmp_path / "distilled.safetensors", "pt") as file:
        names, description = set(file.keys()), json.loads(file.metadata()["description"])
        assert torch.equal(file.get_tensor("codec.images"), codec.images)
    beside = {"codec.positions"} if isinstance(codec, Frequencies) else set()
    assert names == {"codec.images", "labels", *beside}
    numbers = {"images": codec.images.numel(), "labels": labels.numel() if kind == "logits" else 0}
    assert again.stored == description["stored"] == {**numbers, "beside": 9 * len(beside)}
    assert description["images_per_class"] == codec.images_per_class


def test_pixels_are_stored_in_pixel_units(tmp_path):
    codec = Pixels(3, 2, (3, 4, 5))
    codec.start(_images())
    _distilled(images=None, codec=codec).save(tmp_path / "distilled.safetensors")
    again = load(tmp_path)
    assert torch.equal(again.images, NORMALIZATION.inverse(_images()))
    assert (again.codec, again.stored) == (None, {"images": 360, "labels": 0, "beside": 0})
    assert set(load_file(tmp_path / "distilled.safetensors")) == {"images", "labels"}


def test_targets_that_are_not_learned_are_not_counted():
    soft = {"labels": torch.eye(3)[[0, 0, 1, 1, 2, 2]], "label_kind": "targets"}
    assert [_distilled(**soft, learned_labels=learned).stored["labels"] for learned in (None, True, False)] == [
        18,
        18,
        0,
    ]


def test_a_codec_that_was_not_imported(tmp_path, monkeypatch):
    codec = Tiles(3, 2, (3, 4, 5))
    labels = torch.arange(3).repeat_interleave(8)
    _distilled(images=None, labels=labels, codec=codec).save(tmp_path / "distilled.safetensors")
    monkeypatch.delitem(CODECS, "Tiles")
    assert "import its class first" in _sentence(lambda: load(tmp_path))


def test_first_version_of_the_format(tmp_path):
    tensors = {"images": _images(), "labels": torch.tensor([0, 0, 1, 1, 2, 2]), "step_size": torch.tensor(0.1)}
    save_file(tensors, tmp_path / "distilled.safetensors", _describe())
    again = load(tmp_path)
    assert torch.equal(again.images, _images())
    assert torch.equal(again.tensors["step_size"], tensors["step_size"])
    assert (again.ipc, again.stored) == (2, {"images": 360, "labels": 0, "beside": 0})


def test_folder_of_a_run_and_the_package_itself(tmp_path):
    _distilled().save(tmp_path / "distilled.safetensors")
    assert torch.equal(lightning_dd.load(tmp_path).images, _images())
    assert lightning_dd.DistilledDataset is DistilledDataset


def test_tensors_that_share_memory_or_are_no_plain_layout(tmp_path):
    everything = _images(12)
    transposed = torch.rand(4, 5).t()
    distilled = _distilled(images=everything[:6], tensors={"all": everything, "same": everything, "t": transposed})
    distilled.save(tmp_path / "a.safetensors")
    again = load(tmp_path / "a.safetensors")
    assert torch.equal(again.images, everything[:6])
    assert torch.equal(again.tensors["all"], everything)
    assert torch.equal(again.tensors["same"], everything)
    assert torch.equal(again.tensors["t"], transposed)


def test_parameters_are_saved_without_their_graph(tmp_path):
    _distilled(images=_images().requires_grad_()).save(tmp_path / "a.safetensors")
    assert not load(tmp_path / "a.safetensors").images.requires_grad


def test_item_is_a_normalized_image_and_an_int():
    image, label = _distilled()[2]
    assert label == 1
    assert type(label) is int
    for channel, (mean, std) in enumerate(zip(NORMALIZATION.mean, NORMALIZATION.std, strict=True)):
        torch.testing.assert_close(image[channel], (_images()[2, channel] - mean) / std)


def test_iteration_ends():
    assert [label for _, label in _distilled()] == [0, 0, 1, 1, 2, 2]


def test_data_loader():
    distilled = _distilled()
    batches = list(DataLoader(distilled, batch_size=4))
    assert [tuple(images.shape) for images, _ in batches] == [(4, 3, 4, 5), (2, 3, 4, 5)]
    labels = torch.cat([labels for _, labels in batches])
    assert labels.dtype == torch.int64
    assert torch.equal(labels, distilled.labels)
    assert torch.equal(torch.cat([images for images, _ in batches]), NORMALIZATION(_images()))


@pytest.mark.parametrize(
    ("low", "high", "sentence"),
    [
        (0, 254, "these go from 0 to 254: divide them by 255"),
        (-1, 1, "these go from -1 to 1: give them without normalization"),
        (-1.9, 2.2, "these go from -1.9 to 2.2: give them without normalization"),
    ],
)
def test_preprocess_refuses_floats_of_another_range(low, high, sentence):
    pixels = torch.full((2, *_distilled().image_shape), float(low))
    pixels[0] = high
    with pytest.raises(UserError, match=sentence):
        _distilled().preprocess(pixels)


def test_preprocess_takes_real_pixels():
    pixels = torch.randint(256, (2, 3, 4, 5), dtype=torch.uint8)
    torch.testing.assert_close(_distilled().preprocess(pixels), NORMALIZATION(pixels.float() / 255))


def test_whitening_is_saved_beside(tmp_path):
    whitening = _whitening()
    _distilled(preprocessing=whitening).save(tmp_path / "distilled.safetensors")
    beside = list(tmp_path.glob("whitening-*.safetensors"))
    assert len(beside) == 1
    again = load(tmp_path).preprocessing
    for name in ("center", "matrix", "inverse_matrix"):
        assert torch.equal(getattr(again, name), getattr(whitening, name))
    assert (again.normalization.mean, again.normalization.std) == (NORMALIZATION.mean, NORMALIZATION.std)
    flat = NORMALIZATION(_images()).reshape(6, -1)
    expected = ((flat - whitening.center) @ whitening.matrix).reshape(6, 3, 4, 5)
    torch.testing.assert_close(load(tmp_path).prepared, expected)


def test_two_sets_share_a_whitening_and_another_has_its_own(tmp_path):
    _distilled(preprocessing=_whitening()).save(tmp_path / "a.safetensors")
    _distilled(preprocessing=_whitening()).save(tmp_path / "b.safetensors")
    assert len(list(tmp_path.glob("whitening-*"))) == 1
    other = _whitening()
    other.center = other.center + 1
    _distilled(preprocessing=other).save(tmp_path / "c.safetensors")
    assert len(list(tmp_path.glob("whitening-*"))) == 2
    assert torch.equal(load(tmp_path / "a.safetensors").preprocessing.center, _whitening().center)
    assert torch.equal(load(tmp_path / "c.safetensors").preprocessing.center, other.center)


def test_whitening_that_is_not_there(tmp_path):
    _distilled(preprocessing=_whitening()).save(tmp_path / "distilled.safetensors")
    beside = next(tmp_path.glob("whitening-*"))
    beside.unlink()
    assert beside.name in _sentence(lambda: load(tmp_path))


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "other"])
def test_damaged_whitening(damage, tmp_path):
    distilled = _distilled(preprocessing=_whitening())
    distilled.save(tmp_path / "distilled.safetensors")
    beside = next(tmp_path.glob("whitening-*"))
    content = beside.read_bytes()
    if damage == "other":
        save_file({"center": torch.zeros(60)}, beside)
    else:
        flipped = content[:-1] + bytes([content[-1] ^ 1])
        beside.write_bytes({"flipped": flipped, "truncated": content[:-9], "empty": b""}[damage])
    assert "damaged" in _sentence(lambda: load(tmp_path))
    distilled.save(tmp_path / "distilled.safetensors")  # makes it whole again
    assert torch.equal(load(tmp_path).preprocessing.matrix, _whitening().matrix)


def test_nothing_there(tmp_path):
    assert "nowhere" in _sentence(lambda: load(tmp_path / "nowhere.safetensors"))
    assert "distilled.safetensors" in _sentence(lambda: load(tmp_path))


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_truncated_file(length, tmp_path):
    path = tmp_path / "a.safetensors"
    _distilled().save(path)
    path.write_bytes(path.read_bytes()[:length])
    assert str(path) in _sentence(lambda: load(path))


@pytest.mark.parametrize(
    "content", [b"\x00" * 64, b"\xff" * 64, b"# Notes\nThis is a text file.\n" * 9, b"PK\x03\x04" * 9]
)
def test_garbage(content, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    assert str(path) in _sentence(lambda: load(path))


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_safetensors_file_of_something_else(metadata, tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "a.safetensors", metadata)
    assert "not a distilled" in _sentence(lambda: load(tmp_path / "a.safetensors"))


def test_newer_format(tmp_path):
    save_file({"images": _images()}, tmp_path / "a.safetensors", _describe(format_version="3"))
    assert "newer" in _sentence(lambda: load(tmp_path / "a.safetensors"))


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": "one"},
        {"description": json.dumps({"preprocessing": {"mean": [0], "std": [1]}, "class_names": "abc"})},
        {"description": "{"},
        {"description": "[]"},
        {"description": "{}"},
        {"description": json.dumps({"preprocessing": {"mean": [0], "std": [1]}})},
        {"description": json.dumps({"preprocessing": {"mean": [0], "std": [1]}, "class_names": [], "unknown": 1})},
    ],
)
def test_damaged_description(changes, tmp_path):
    tensors = {"images": _images(), "labels": torch.zeros(6, dtype=torch.int64)}
    save_file(tensors, tmp_path / "a.safetensors", _describe(**changes))
    assert "damaged" in _sentence(lambda: load(tmp_path / "a.safetensors"))


@pytest.mark.parametrize("left", ["images", "labels"])
def test_missing_tensor(left, tmp_path):
    save_file({left: torch.zeros(6, 3, 4, 5)}, tmp_path / "a.safetensors", _describe())
    assert "damaged" in _sentence(lambda: load(tmp_path / "a.safetensors"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_images_that_are_not_finite(value, tmp_path):
    images = _images()
    images[3, 1, 2, 2] = value
    assert "not finite" in _sentence(lambda: _distilled(images=images))
    tensors = {"images": images, "labels": torch.zeros(6, dtype=torch.int64)}
    save_file(tensors, tmp_path / "a.safetensors", _describe())
    assert "not finite" in _sentence(lambda: load(tmp_path / "a.safetensors"))


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"labels": torch.zeros(5, dtype=torch.int64)}, "(5,) labels"),
        ({"labels": torch.rand(6, 2), "label_kind": "logits"}, "3 classes do not go with (6, 2) labels"),
        ({"labels": torch.tensor([0, 0, 1, 1, 2, 3])}, "from 0 to 2"),
        ({"labels": torch.tensor([0, 0, 1, 1, 2, -1])}, "from 0 to 2"),
        ({"labels": torch.zeros(6)}, "from 0 to 2"),
        ({"labels": torch.full((6, 3), torch.nan), "label_kind": "targets"}, "labels hold values that are not finite"),
        ({"label_kind": "hard"}, "'hard' is unknown"),
        ({"images": _images()[..., 0]}, "(6, 3, 4)"),
        ({"images": _images()[:0], "labels": torch.zeros(0, dtype=torch.int64)}, "(0, 3, 4, 5)"),
        ({"class_names": ("a", "b", "a")}, "none occurs twice"),
        ({"class_names": ("a", "b", 3)}, "Class names are texts"),
        ({"preprocessing": Normalization([0.5], [0.5])}, "1 and 1 numbers for 3 channels"),
        ({"preprocessing": Normalization([0.0] * 3, [1.0, 0.0, 1.0])}, "std above 0"),
        ({"preprocessing": Normalization([torch.nan] * 3, [1.0] * 3)}, "must be finite"),
        ({"preprocessing": Normalization([0.0] * 3, [torch.inf] * 3)}, "must be finite"),
        ({"preprocessing": _whitening(48)}, "not one of images of shape (3, 4, 5)"),
        ({"recipe": []}, "recipe"),
        ({"images": None, "codec": Tiles(2, 1, (3, 4, 5)), "labels": torch.zeros(8, dtype=torch.int64)}, "2 classes"),
    ],
)
def test_what_does_not_go_together_is_refused_when_made_and_when_loaded(changes, part, tmp_path, monkeypatch):
    assert part in _sentence(lambda: _distilled(**changes))
    with monkeypatch.context() as patched:
        patched.setattr(artifact, "check_set", lambda distilled: None)
        _distilled(**changes).save(tmp_path / "distilled.safetensors")
    sentence = _sentence(lambda: load(tmp_path))
    assert part in sentence
    assert str(tmp_path) in sentence


def test_full_disk_leaves_the_previous_file(tmp_path, monkeypatch):
    path = tmp_path / "distilled.safetensors"
    _distilled().save(path)
    before = path.read_bytes()

    def half(tensors, file, metadata):
        file.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "save_file", half)
    assert "No space left on device" in _sentence(lambda: _distilled(images=_images(seed=9)).save(path))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    assert "Cannot write" in _sentence(lambda: _distilled().save(tmp_path / "file" / "distilled.safetensors"))


def test_loading_needs_torch_and_safetensors_only(tmp_path):
    _distilled(preprocessing=_whitening()).save(tmp_path / "distilled.safetensors")
    code = (
        "import sys, lightning_dd\n"
        "distilled = lightning_dd.load(sys.argv[1])\n"
        "print(distilled[5][1], *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    label, *loaded = result.stdout.split()
    assert label == "2"
    assert {"torch", "safetensors", "lightning_dd"} <= set(loaded)
    heavy = {"lightning", "pytorch_lightning", "torchvision", "kornia", "torchmetrics", "jsonargparse", "matplotlib"}
    heavy |= {"huggingface_hub", "pyarrow", "yaml", "PIL"}
    assert not heavy & set(loaded)


def test_picture_beside(tmp_path):
    _distilled().save_picture(tmp_path / "distilled.png")
    assert (tmp_path / "distilled.png").read_bytes().startswith(b"\x89PNG")


def test_any_network_trains_on_it_in_a_plain_loop(tmp_path):
    torch.set_num_threads(1)  # two on a busy machine wait for each other; conftest.py sets them again
    images = torch.rand(10, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    distilled = DistilledDataset(images, torch.arange(10), tuple("0123456789"), Normalization([0.5], [0.25]))
    distilled.save(tmp_path / "distilled.safetensors")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = resnet18(num_classes=10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for _ in range(12):
        for batch, labels in DataLoader(lightning_dd.load(tmp_path), batch_size=10):
            loss = F.cross_entropy(network(batch.expand(-1, 3, -1, -1)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_images_of_another_shape_are_not_preprocessed_silently():
    distilled = DistilledDataset(torch.rand(2, 1, 8, 8), torch.arange(2), ("a", "b"), Normalization([0.5], [0.5]))
    assert distilled.preprocess(torch.rand(5, 1, 8, 8)).shape == (5, 1, 8, 8)
    with pytest.raises(UserError, match="resize them first"):
        distilled.preprocess(torch.rand(2, 3, 28, 28))


def test_a_short_text_stands_for_a_set():
    info = {"method": "DM", "dataset": "digits"}
    distilled = DistilledDataset(
        torch.rand(2, 1, 8, 8), torch.arange(2), ("a", "b"), Normalization([0.5], [0.5]), info=info
    )
    assert repr(distilled) == "DistilledDataset(DM digits: 2 images 1x8x8, 2 classes)"


def test_images_of_another_type_are_no_pixels():
    distilled = DistilledDataset(torch.rand(2, 1, 4, 4), torch.arange(2), ("a", "b"), Normalization([0.5], [0.25]))
    with pytest.raises(UserError, match="uint8, or floats in"):
        distilled.preprocess(torch.zeros(2, 1, 4, 4, dtype=torch.long))
