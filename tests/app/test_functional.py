"""`distill_tensors` in a loop of another program: no file, no output, no change of the global generators."""

import random

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import lightning_dd as dd
from lightning_dd.errors import UserError

SMALL = {"network": "ConvNet:width=8,depth=1", "augmentation": None}


def _task(first: int, offset: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes, `first` and the next, in a range of their own: bright on the left or on the right."""
    labels = torch.arange(20) % 2
    images = 0.1 * torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(first))
    images[labels == 0, :, :, :4] += 2
    images[labels == 1, :, :, 4:] += 2
    return images + offset, labels + first


def test_a_memory_of_tasks(tmp_path, monkeypatch, capfd):
    """Continual learning: each task is distilled in turn, and a network learns all of them from the memory."""
    monkeypatch.chdir(tmp_path)
    memory = []
    for first, offset in ((3, 0.0), (8, -5.0)):
        images, labels = _task(first, offset)
        states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        few, classes = dd.distill_tensors(images, labels, method="dm", ipc=2, steps=5, **SMALL)
        assert torch.equal(torch.get_rng_state(), states[0])
        assert np.array_equal(np.random.get_state()[1], states[1])
        assert random.getstate() == states[2]
        assert few.shape == (4, 1, 8, 8)
        assert classes.tolist() == [first, first, first + 1, first + 1]
        assert abs(few.mean() - images.mean()) < 0.5
        memory.append((few, classes))
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    images, labels = (torch.cat(parts) for parts in zip(*memory, strict=True))
    for _ in range(100):
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    for first, offset in ((3, 0.0), (8, -5.0)):
        images, labels = _task(first, offset)
        assert (network(images).argmax(1) == labels).float().mean() > 0.9
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_learned_labels_on_request():
    images, labels = _task(3, 0.0)
    options = {"method": "frepo", "ipc": 1, "steps": 1, "network": "ConvNet:width=8,depth=1", "real_batch": 20}
    assert dd.distill_tensors(images, labels, **options)[1].tolist() == [3, 4]
    targets = dd.distill_tensors(images, labels, label_kind="targets", **options)[1]
    assert targets.shape == (2, 2)
    assert targets.min() < 0
    soft = dd.distill_tensors(images, labels, label_kind="soft", **options)[1]
    torch.testing.assert_close(soft.sum(1), torch.ones(2))


def test_labels_may_be_an_option_of_the_method():
    images, labels = _task(3, 0.0)
    options = {"method": "kip", "ipc": 1, "steps": 1, "labels": "learned"}
    assert dd.distill_tensors(images, labels, label_kind="targets", **options)[1].shape == (2, 2)


def test_classes_are_called_by_their_labels():
    images, labels = _task(3, 0.0)
    with pytest.raises(UserError, match='Class "3" has only 10'):
        dd.distill_tensors(images, labels, ipc=11, steps=1, **SMALL)


def test_bytes_come_back_in_pixel_units():
    images, labels = torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8), torch.arange(8) % 2
    few, _ = dd.distill_tensors(images, labels, ipc=4, steps=1, lr=1e-6, **SMALL)
    torch.testing.assert_close(few.sum(0), images.float().div(255).sum(0))


@pytest.mark.parametrize("method", ["dm", "dance", "dsdm", "ncfm", "idc", "dream", "accdd"])
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (4e6, 1e8)])
def test_images_of_any_range_come_back_in_it(method, scale, offset):
    """Also those of methods that keep pixels between black and white."""
    images, labels = _task(3, -1.0)
    options = {"ipc": 1, "steps": 2, "network": "ConvNet:width=8,depth=1", "augmentation": None}
    if method in ("dance", "dsdm", "ncfm"):
        options |= {"num_networks": 1, "network_epochs": 1}
    if method in ("idc", "dream", "accdd"):
        options |= {"n_data": 20, "synthetic_per_class": 4, "init": "real"}
    low, span = images.min(), images.max() - images.min()
    inside, _ = dd.distill_tensors((images - low) / span, labels, method=method, **options)
    few, _ = dd.distill_tensors(scale * images + offset, labels, method=method, **options)
    few = ((few - offset) / scale - low) / span
    if method == "dm":  # a range of length one need not start at zero
        shifted, _ = dd.distill_tensors((images - low) / span - 0.5, labels, method=method, **options)
        torch.testing.assert_close(shifted + 0.5, inside, atol=1e-3, rtol=0)
    torch.testing.assert_close(few, inside, atol=1e-3, rtol=0)
    assert inside.min() < 0.4  # the darkest real images' mean is at 0.1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": torch.arange(3)}, r"are \(N, C, H, W\) and \(N,\), and these are \(8, 1, 8, 8\) and \(3,\)"),
        ({"labels": torch.rand(8)}, "Labels are integers, and these are torch.float32"),
        ({"images": torch.full((8, 1, 8, 8), torch.nan)}, "uint8 or finite floats"),
        ({"method": "dmm"}, "did you mean dm"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"ipc": 0}, "^ipc must be at least 1"),
        ({"ipc": 50}, "set init noise|init noise"),
        ({"lrr": 1}, "There is no option lrr of DM; did you mean lr"),
        ({"label_kind": "index"}, "label_kind must be hard, soft or targets"),
        ({"method": "mtt"}, "Give experts"),
    ],
)
def test_errors_are_in_words_of_python(changes, words):
    given = {"images": torch.rand(8, 1, 8, 8), "labels": torch.arange(8) % 2, "ipc": 1, "steps": 1}
    changed = {**given, **changes}
    images, labels = changed.pop("images"), changed.pop("labels")
    with pytest.raises(UserError, match=words) as caught:
        dd.distill_tensors(images, labels, **changed)
    assert "--" not in str(caught.value)


def test_a_teacher_that_nothing_is_there_to_test():
    images, labels = _task(3, 0.0)
    options = {"method": "rded", "ipc": 1, "network": "ConvNet:width=8,depth=1", "network_epochs": 1}
    few, classes = dd.distill_tensors(images, labels, **options)
    assert few.shape == (2, 1, 8, 8)
    assert classes.tolist() == [3, 4]


def test_arrays_are_taken_too():
    images, labels = _task(3, 0.0)
    few, classes = dd.distill_tensors(images.numpy(), labels.numpy(), ipc=1, steps=1, **SMALL)
    assert (few.shape, classes.tolist()) == ((2, 1, 8, 8), [3, 4])


def test_gradients_flow_in_the_inference_mode_of_another_program():
    images, labels = _task(3, 0.0)
    options = {"ipc": 1, "steps": 2, **SMALL}
    with torch.inference_mode():
        few, _ = dd.distill_tensors(images + 0, labels, **options)
    assert torch.equal(few, dd.distill_tensors(images, labels, **options)[0])
