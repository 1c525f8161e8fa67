import hashlib
import pickle

import numpy as np
import pytest
import torch

from lightning_dd.data import CIFAR10, CIFAR100, MNIST, SVHN, FashionMNIST
from lightning_dd.errors import UserError


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("named", ["root", "MNIST", "raw"])
def test_mnist_from_idx_files(tmp_path, write_mnist, zipped, named):
    write_mnist(tmp_path / "MNIST" / "raw", zipped)
    root = {"root": tmp_path, "MNIST": tmp_path / "MNIST", "raw": tmp_path / "MNIST" / "raw"}[named]
    data = MNIST(str(root))
    data.setup()
    assert data.train_images.shape == (30, 1, 28, 28)
    assert data.train_images.dtype == torch.uint8
    assert data.train_images[17].unique().tolist() == [17]
    assert data.train_labels.dtype == torch.int64
    assert data.test_labels.tolist() == [i % 10 for i in range(20)]


def test_fashion_mnist_does_not_take_mnists_folder(tmp_path, write_mnist):
    write_mnist(tmp_path / "MNIST" / "raw")
    with pytest.raises(UserError, match=r"fashion_mnist was not found in .*FashionMNIST/raw.*data\.download to true"):
        FashionMNIST(str(tmp_path)).setup()


def damage_cut(path, write_idx):
    path.write_bytes(path.read_bytes()[:-5])


def damage_magic(path, write_idx):
    write_idx(path, np.zeros((30, 28, 28)), magic=0x0003)


def damage_empty(path, write_idx):
    path.write_bytes(b"")


def damage_labels_as_images(path, write_idx):
    write_idx(path, np.zeros(30))


@pytest.mark.parametrize("damage", [damage_cut, damage_magic, damage_empty, damage_labels_as_images])
def test_damaged_idx_file_is_named(tmp_path, write_mnist, write_idx, damage):
    write_mnist(tmp_path)
    damage(tmp_path / "train-images-idx3-ubyte", write_idx)
    with pytest.raises(UserError, match="train-images-idx3-ubyte is cut off or not an idx file"):
        MNIST(str(tmp_path)).setup()


def test_damaged_gz_file_is_named(tmp_path, write_mnist):
    write_mnist(tmp_path, zipped=True)
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz is cut off"):
        MNIST(str(tmp_path)).setup()


def test_missing_and_unequal_idx_files(tmp_path, write_mnist, write_idx):
    write_mnist(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(29))
    with pytest.raises(UserError, match="30 train images but 29 train labels"):
        MNIST(str(tmp_path)).setup()
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="train-labels-idx1-ubyte is missing"):
        MNIST(str(tmp_path)).setup()


def test_images_of_another_size(tmp_path, write_mnist, write_idx):
    write_mnist(tmp_path)
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((30, 20, 20)))
    with pytest.raises(UserError, match=r"\(1, 20, 20\), but mnist has \(1, 28, 28\)"):
        MNIST(str(tmp_path)).setup()


@pytest.fixture
def write_cifar(monkeypatch):
    """Write torchvision's pickles, and let torchvision expect their checksums."""

    def write(data_class, root, label_key):
        dataset = data_class.dataset
        folder = root / dataset.base_folder
        folder.mkdir(parents=True)
        rng = np.random.default_rng(0)

        def store(name, content):
            (folder / name).write_bytes(pickle.dumps(content))
            return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

        def part(name):
            pixels = rng.integers(0, 256, (data_class.facts.class_names and 100, 3072)).astype(np.uint8)
            return store(
                name, {"data": pixels, label_key: list(range(10)) * 10 if label_key == "labels" else list(range(100))}
            )

        monkeypatch.setattr(dataset, "train_list", [part(name) for name, _ in dataset.train_list])
        monkeypatch.setattr(dataset, "test_list", [part(name) for name, _ in dataset.test_list])
        key, filename = dataset.meta["key"], dataset.meta["filename"]
        _, checksum = store(filename, {key: list(data_class.facts.class_names)})
        monkeypatch.setattr(dataset, "meta", {"filename": filename, "key": key, "md5": checksum})
        return folder

    return write


@pytest.mark.parametrize(("data_class", "key", "count"), [(CIFAR10, "labels", 500), (CIFAR100, "fine_labels", 100)])
def test_cifar_from_torchvisions_files(tmp_path, write_cifar, data_class, key, count):
    folder = write_cifar(data_class, tmp_path, key)
    for root in (tmp_path, folder):
        data = data_class(str(root))
        data.setup()
        assert data.train_images.shape == (count, 3, 32, 32)
        assert data.train_labels.unique().tolist() == list(range(data.num_classes))
    stored = pickle.loads((folder / data.dataset.test_list[0][0]).read_bytes())["data"]
    assert torch.equal(data.test_images[7].flatten(), torch.from_numpy(stored[7]))


def test_damaged_cifar_files(tmp_path, write_cifar):
    folder = write_cifar(CIFAR10, tmp_path, "labels")
    (folder / "data_batch_3").write_bytes(b"no")
    with pytest.raises(UserError, match="cifar-10-batches-py is incomplete or damaged"):
        CIFAR10(str(tmp_path)).setup()


def test_svhn_from_mat_files(tmp_path, monkeypatch):
    import scipy.io
    import torchvision.datasets

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (32, 32, 3, 20)).astype(np.uint8)
    expected = dict(torchvision.datasets.SVHN.split_list)
    for split in ("train", "test"):
        path = tmp_path / f"{split}_32x32.mat"
        scipy.io.savemat(path, {"X": pixels, "y": (np.arange(20) % 10 + 1)[:, None]})
        expected[split] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", expected)
    for _ in range(2):  # read, then from the cache
        data = SVHN(str(tmp_path))
        data.setup()
        assert data.train_labels[:10].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
        assert torch.equal(data.test_images[3, 1], torch.from_numpy(pixels[:, :, 1, 3]))


@pytest.mark.parametrize("inner", ["cifar10", ".", "plain_text"])
def test_cifar10_from_parquet_shards(tmp_path, write_parquet, picture, inner):
    for shard in range(2):
        contents = [picture(10 * label + shard, (32, 32)) for label in range(10)]
        write_parquet(tmp_path / inner / f"train-0000{shard}-of-00002.parquet", contents, list(range(10)), image="img")
    write_parquet(tmp_path / inner / "test-00000-of-00001.parquet", contents, list(range(10)), image="img")
    data = CIFAR10(str(tmp_path))
    data.setup()
    assert data.train_labels.tolist() == [*range(10), *range(10)]
    assert data.train_images[:, 0, 0, 0].tolist() == [*range(0, 100, 10), *range(1, 101, 10)]
    assert len(data.test_images) == 10


def test_cifar100_takes_the_fine_labels(tmp_path, picture):
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = picture(1, (32, 32))
    table = pa.table(
        {
            "img": [{"bytes": content, "path": ""}] * 100,
            "coarse_label": [i // 5 for i in range(100)],
            "fine_label": list(range(100)),
        }
    )
    for part in ("train", "test"):
        pq.write_table(table, tmp_path / f"{part}-00000-of-00001.parquet")
    data = CIFAR100(str(tmp_path))
    data.setup()
    assert data.train_labels.tolist() == list(range(100))


def test_parquet_of_another_set(tmp_path, write_parquet, picture):
    for part in ("train", "test"):
        write_parquet(tmp_path / f"{part}.parquet", [picture(size=(32, 32))], [0], names=["only", "two"])
    with pytest.raises(UserError, match="2 classes where 10 were expected"):
        CIFAR10(str(tmp_path)).setup()


def test_parquet_in_the_folder_of_another_set(tmp_path, write_parquet, picture):
    for part in ("train", "test"):
        write_parquet(tmp_path / "svhn" / f"{part}.parquet", [picture(size=(32, 32))] * 10, list(range(10)))
    SVHN(str(tmp_path)).setup()
    with pytest.raises(UserError, match="cifar10 was not found"):
        CIFAR10(str(tmp_path)).setup()


@pytest.mark.parametrize("data_class", [MNIST, CIFAR10, SVHN])
def test_missing_files_say_what_was_looked_for(tmp_path, data_class):
    with pytest.raises(UserError, match=rf"{data_class.facts.name} was not found .*parquet.*data\.download to true"):
        data_class(str(tmp_path / "nowhere")).setup()


def test_download_only_where_asked_and_needed(tmp_path, monkeypatch, write_mnist):
    asked = []
    monkeypatch.setattr(MNIST, "fetch", lambda self: asked.append(self.root))
    MNIST(str(tmp_path)).prepare_data()
    assert asked == []
    MNIST(str(tmp_path), download=True).prepare_data()
    assert asked == [str(tmp_path)]
    write_mnist(tmp_path / "MNIST" / "raw")
    MNIST(str(tmp_path), download=True).prepare_data()
    assert len(asked) == 1


def test_failed_download_is_one_sentence(tmp_path, monkeypatch):
    def fail(self):
        raise OSError("no route to host")

    monkeypatch.setattr(MNIST, "fetch", fail)
    with pytest.raises(UserError, match=r"mnist could not be downloaded .*no route to host"):
        MNIST(str(tmp_path), download=True).prepare_data()
