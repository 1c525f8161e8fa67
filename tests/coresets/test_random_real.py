import pytest
import torch

from lightning_dd.coresets import random_real
from lightning_dd.errors import UserError


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


LABELS = torch.tensor([2, 0, 1, 0, 2, 1, 0, 2, 2, 1, 0, 0])


@pytest.mark.parametrize("ipc", [1, 3])
def test_class_major_without_repeats(ipc):
    indices = random_real(LABELS, 3, ipc, _generator())
    assert LABELS[indices].tolist() == [c for c in range(3) for _ in range(ipc)]
    assert len(set(indices.tolist())) == 3 * ipc


def test_generator_decides_and_global_one_is_untouched():
    state = torch.get_rng_state()
    first, again, other = (random_real(LABELS, 3, 2, _generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_every_image_is_equally_likely():
    generator, counts = _generator(), torch.zeros(len(LABELS))
    for _ in range(2000):
        counts[random_real(LABELS, 3, 1, generator)] += 1
    # classes of 5, 3 and 4 images, 2000 draws each: a standard deviation is at most 21
    expected = 2000 / torch.bincount(LABELS)[LABELS]
    assert (counts - expected).abs().max() < 100


def test_labels_beyond_num_classes_are_left_out():
    assert LABELS[random_real(LABELS, 2, 3, _generator())].tolist() == [0, 0, 0, 1, 1, 1]


def test_short_class_is_refused_by_name():
    with pytest.raises(UserError) as error:
        random_real(LABELS, 3, 4, _generator(), class_names=["cat", "dog", "owl"])
    message = str(error.value)
    for part in ('"dog"', "3 training images", "init noise", "repeat_images true", "smaller ipc"):
        assert part in message
    with pytest.raises(UserError, match='Class "1"'):
        random_real(LABELS, 3, 4, _generator())


def test_repeat_cycles_through_the_class():
    indices = random_real(LABELS, 3, 7, _generator(), repeat=True).view(3, 7)
    assert torch.equal(indices[1, :3], indices[1, 3:6])
    assert indices[1, 6] == indices[1, 0]
    assert indices[1].unique().numel() == 3
    assert torch.equal(LABELS[indices], torch.arange(3)[:, None].expand(3, 7))


@pytest.mark.parametrize("repeat", [False, True])
def test_empty_class_is_refused(repeat):
    with pytest.raises(UserError, match='"owl" has no images'):
        random_real(LABELS[LABELS != 2], 3, 1, _generator(), class_names=["cat", "dog", "owl"], repeat=repeat)
