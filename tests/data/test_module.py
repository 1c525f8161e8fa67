import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from torch.utils.data import TensorDataset

from lightning_dd.artifact.preprocessing import Whitening
from lightning_dd.data import Digits, FromDataset, ImageData, module
from lightning_dd.data.module import measure
from lightning_dd.data.sampling import Batch, ClassBalanced, Uniform
from lightning_dd.errors import UserError


def floats(count=40, shape=(3, 5, 4), num_classes=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.rand(count, *shape, generator=rng), torch.arange(count) % num_classes)


def test_held_out_is_disjoint_stratified_and_always_the_same():
    whole, data, again = Digits(), Digits(held_out=0.25), Digits(held_out=0.25)
    for each in (whole, data, again):
        each.setup()
    assert torch.equal(data.held_out_images, again.held_out_images)
    counts, held = whole.train_labels.bincount(), data.held_out_labels.bincount()
    assert ((held - counts * 0.25).abs() <= 0.5).all()
    assert torch.equal(data.train_labels.bincount() + held, counts)
    # Disjoint and complete: together they are the whole train part, image by image.
    together = torch.cat([data.train_images, data.held_out_images]).flatten(1).double()
    weights = torch.rand(64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = whole.train_images.flatten(1).double() @ weights
    torch.testing.assert_close((together @ weights).sort().values, expected.sort().values)
    assert torch.equal(data.test_images, whole.test_images)


def test_digits_parts_do_not_overlap():
    data = Digits()
    data.setup()
    train = {image.numpy().tobytes() for image in data.train_images}
    assert not train & {image.numpy().tobytes() for image in data.test_images}
    assert len(data.train_images) + len(data.test_images) == 1797


def test_setup_twice_keeps_the_first():
    data = Digits()
    data.setup("fit")
    images = data.train_images
    data.setup("test")
    assert data.train_images is images


def test_split_names():
    data = Digits()
    data.setup()
    assert data.split("test")[0] is data.test_images
    with pytest.raises(UserError, match=r"set data\.held_out"):
        data.split("held_out")
    with pytest.raises(UserError, match="no split 'valid'"):
        data.split("valid")


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_held_out_must_be_a_fraction(fraction):
    with pytest.raises(UserError, match="held_out"):
        Digits(held_out=fraction)


def test_class_without_images_is_named():
    data = FromDataset(floats(), class_names=["a", "b", "c", "d", "zebra"])
    with pytest.raises(UserError, match=r"'zebra'.* no training images"):
        data.setup()


def test_more_labels_than_classes():
    data = FromDataset(floats(), class_names=["a", "b"])
    with pytest.raises(UserError, match="labels from 0 to 3, but 2 classes"):
        data.setup()


def test_measured_statistics():
    images = torch.rand(50, 2, 4, 3)
    images[:, 1] = 0.25
    normalization = measure(images, chunk=7)
    assert normalization.mean == pytest.approx([images[:, 0].mean().item(), 0.25], abs=1e-6)
    assert normalization.std[0] == pytest.approx(images[:, 0].std(correction=0).item(), abs=1e-6)
    assert normalization.std[1] == 1.0  # constant channels are not divided by zero
    levels = images.mul(255).round().to(torch.uint8)
    assert measure(levels).mean == pytest.approx(measure(levels / 255).mean, abs=1e-6)


def test_large_images_are_measured_a_few_at_a_time(monkeypatch):
    sizes, split, images = [], torch.Tensor.split, torch.rand(9, 3, 4, 2)
    whole = measure(images)
    monkeypatch.setattr(module, "MEASURED_AT_ONCE", 60)
    monkeypatch.setattr(torch.Tensor, "split", lambda tensor, size: sizes.append(size) or split(tensor, size))
    few = measure(images)
    assert sizes == [2]  # of 24 values each
    assert few.mean == pytest.approx(whole.mean)
    assert few.std == pytest.approx(whole.std)


def test_real_images_are_preprocessed():
    data = Digits()
    data.setup()
    expected = (data.train_images[[3, 1]].float() / 255 - data.preprocessing.mean[0]) / data.preprocessing.std[0]
    torch.testing.assert_close(data.real_images(torch.tensor([3, 1])), expected)


class Recorder(LightningModule):
    """Keeps the batches it is given, and counts like a distiller."""

    def __init__(self, sampling, iteration=0):
        super().__init__()
        self.sampling, self.seed, self.iteration = sampling, 3, iteration
        self.images = torch.nn.Parameter(torch.zeros(1))
        self.automatic_optimization = False
        self.batches = []

    def training_step(self, batch, batch_idx):
        assert batch.iteration == self.iteration
        self.batches.append(batch)
        self.iteration += 1
        self.optimizers().step()

    def test_step(self, batch, batch_idx):
        self.batches.append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD([self.images], 0.1)


def run(data, sampling, steps=3, iteration=0, folder=None, **options):
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    module = Recorder(sampling, iteration)
    trainer.fit(module, datamodule=data)
    return module.batches


def test_fit_gets_preprocessed_class_balanced_batches():
    data = Digits()
    batches = run(data, ClassBalanced(4))
    assert [batch.iteration for batch in batches] == [0, 1, 2]
    batch = batches[0]
    assert batch.images.shape == (10, 4, 1, 8, 8)
    assert batch.images.dtype == torch.float32
    assert torch.equal(batch.labels, torch.arange(10)[:, None].expand(10, 4))
    space = data.preprocessing(data.train_images)
    assert (space == batch.images[7, 2]).flatten(1).all(1).any()


def test_fit_gets_uniform_or_empty_batches():
    data = Digits()
    assert run(data, Uniform(16))[0].images.shape == (16, 1, 8, 8)
    nothing = run(data, None)[0]
    assert nothing.images.shape == (0, 1, 8, 8)
    assert len(nothing.labels) == 0


def test_fit_whitened_in_double_precision():
    data = Digits(zca="frepo")
    batch = run(data, ClassBalanced(2), precision="64-true")[0]
    assert isinstance(data.preprocessing, Whitening)
    assert batch.images.dtype == torch.float64
    pixels = data.preprocessing.inverse(batch.images.float())
    assert ((data.train_images / 255 - pixels[0, 0]).abs().flatten(1).amax(1) < 1e-4).any()


def test_fit_resumed_at_an_iteration_sees_the_same_images():
    straight = run(Digits(), ClassBalanced(3), steps=4)
    resumed = run(Digits(), ClassBalanced(3), steps=2, iteration=2)
    for expected, got in zip(straight[2:], resumed, strict=True):
        assert got.iteration == expected.iteration
        assert torch.equal(got.images, expected.images)


def test_test_loop_runs_once():
    module = Recorder(None)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.test(module, datamodule=Digits(), verbose=False)
    assert len(module.batches) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["CIFAR10", "--data.zca=mtt", "--data.download=true"], {"zca": "mtt", "download": True}),
        (["TinyImageNet", "--data.normalization=frepo"], {"normalization": "frepo"}),
        (["MNIST", "--data.normalization={mean: [0.1], std: [1]}"], {"normalization": {"mean": [0.1], "std": [1.0]}}),
        (["ImageFolder", "--data.root=x", "--data.image_size=[8, 9]"], {"image_size": (8, 9), "channels": None}),
        (["Parquet", "--data.root=x", "--data.held_out=0.1"], {"held_out": 0.1, "image_column": None}),
    ],
)
def test_command_line_finds_short_names_and_common_arguments(arguments, expected):
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(ImageData, "data", subclass_mode=True)
    chosen = parser.parse_args(["--data", *arguments]).data.init_args
    assert {name: chosen[name] for name in expected} == expected


def test_classes_stay_on_the_cpu():
    data = Digits()
    batch = Batch(0, torch.arange(2), torch.zeros(2, 3, 1, 8, 8), torch.zeros(2, 3, dtype=torch.long))
    moved = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert [moved[place].device.type for place in (1, 2, 3)] == ["cpu", "meta", "meta"]
