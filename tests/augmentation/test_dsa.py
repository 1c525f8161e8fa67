from collections import Counter

import pytest
import torch

from lightning_dd.augmentation import DSA, Draw
from lightning_dd.augmentation.operations import OPERATIONS
from lightning_dd.errors import UserError


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _images(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=_generator(9), dtype=dtype)


def _same(a, b):
    return a.operations == b.operations and torch.equal(a.values, b.values)


@pytest.mark.parametrize(
    ("strategy", "hint"),
    [("colour_crop", 'did you mean "color"'), ("zzz", "color, crop, cutout"), ("", "unknown"), ("none", "unknown")],
)
def test_unknown_name_is_refused(strategy, hint):
    with pytest.raises(UserError, match=hint):
        DSA(strategy)


@pytest.mark.parametrize("shape", [(1, 1, 3, 8, 8), (6, 5, 1, 8, 8), (6, 5, 3, 7, 12)])
def test_siamese_on_identical_images_gives_identical_results(shape):
    dsa, images = DSA(), _images(*shape)
    for seed in range(8):
        draw = dsa.draw(shape[0], _generator(seed), shape[-2:])
        real, synthetic = dsa.apply(draw, images), dsa.apply(draw, images.clone().requires_grad_())
        assert torch.equal(real, synthetic)
        assert synthetic.requires_grad


@pytest.mark.parametrize("num_synthetic", [1, 4])
def test_siamese_sets_may_differ_in_size(num_synthetic):
    dsa, images = DSA(), _images(10, 6, 3, 8, 8)
    draw = dsa.draw(10, _generator(), (8, 8))
    real, synthetic = dsa.apply(draw, images), dsa.apply(draw, images[:, :num_synthetic])
    torch.testing.assert_close(real[:, :num_synthetic], synthetic)


def test_groups_are_transformed_by_their_own_draw():
    dsa, images = DSA(), _images(12, 2, 3, 8, 8)
    draw = dsa.draw(12, _generator(), (8, 8))
    assert len(set(draw.operations)) > 2
    together = dsa.apply(draw, images)
    for k in range(12):
        operation = OPERATIONS[draw.operations[k]]()
        alone = operation.apply_transform(images[k : k + 1], {"values": draw.values[k : k + 1]})
        torch.testing.assert_close(together[k : k + 1], alone)


def test_share_of_a_rank_equals_the_slice_of_the_whole():
    dsa, images = DSA(), _images(12, 3, 3, 8, 8)
    draw = dsa.draw(12, _generator(), (8, 8))
    whole = dsa.apply(draw, images)
    classes = torch.tensor([7, 1, 4])
    torch.testing.assert_close(dsa.apply(draw[classes], images[classes]), whole[classes])
    torch.testing.assert_close(dsa.apply(draw[6:], images[6:]), whole[6:])
    assert _same(draw[classes], draw[[7, 1, 4]])


def test_share_without_classes_is_empty():
    dsa = DSA()
    draw = dsa.draw(4, _generator(), (8, 8))[4:]
    assert len(draw) == 0
    assert dsa.apply(draw, _images(0, 3, 3, 8, 8)).shape == (0, 3, 3, 8, 8)


def test_parameters_do_not_depend_on_what_other_groups_drew():
    # under strategies with one and the same last name, groups that drew it have the same numbers
    whole, flips = DSA("crop_rotate"), DSA("flip_rotate")
    a, b = whole.draw(40, _generator(), (8, 8)), flips.draw(40, _generator(), (8, 8))
    rotated = [k for k, name in enumerate(a.operations) if name == "rotate"]
    assert rotated == [k for k, name in enumerate(b.operations) if name == "rotate"]
    assert torch.equal(a.values[rotated], b.values[rotated])


def test_draw_depends_on_the_generator_alone():
    dsa, state = DSA(), torch.get_rng_state()
    first, again, other = (dsa.draw(10, _generator(seed), (8, 8)) for seed in (0, 0, 1))
    dsa.apply(first, _images(10, 2, 3, 8, 8))
    dsa(_images(4, 3, 8, 8), _generator())
    assert _same(first, again)
    assert not _same(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_operations_are_equally_likely_by_name():
    counts = Counter(DSA().draw(6000, _generator(), (32, 32)).operations)
    assert set(counts) == set(OPERATIONS)
    assert max(abs(count - 1000) for count in counts.values()) < 150  # 5 standard deviations
    assert set(DSA("color_crop_cutout_scale_rotate").draw(500, _generator(), (28, 28)).operations) == (
        set(OPERATIONS) - {"flip"}
    )


def test_at_most_one_call_an_operation(monkeypatch):
    calls = Counter()
    for name, operation in OPERATIONS.items():

        def counted(self, *args, name=name, plain=operation.apply_transform):
            calls[name] += 1
            return plain(self, *args)

        monkeypatch.setattr(operation, "apply_transform", counted)
    dsa = DSA()
    dsa.apply(dsa.draw(100, _generator(), (8, 8)), _images(100, 2, 1, 8, 8))
    assert calls == Counter(dict.fromkeys(OPERATIONS, 1))


@pytest.mark.parametrize("name", OPERATIONS)
def test_mini_batch_has_parameters_for_each_image(name):
    dsa = DSA(name)
    images = _images(1, 3, 16, 16).expand(12, -1, -1, -1)
    result = dsa(images, _generator())
    assert result.shape == images.shape
    assert len({tuple(image.flatten().tolist()) for image in result}) > 1
    draw = dsa.draw(1, _generator(), (16, 16), per_image=12)
    assert draw.values.shape == (1, 12, 3)
    assert torch.equal(result, dsa.apply(draw, images[None])[0])


def test_gradcheck_through_all_operations():
    dsa = DSA()
    draw = dsa.draw(8, _generator(3), (4, 5))
    assert set(draw.operations) == set(OPERATIONS)
    images = _images(8, 1, 2, 4, 5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: dsa.apply(draw, x), images, fast_mode=True)


def test_gradient_stays_in_its_class():
    dsa = DSA()
    images = _images(6, 2, 1, 8, 8).requires_grad_()
    dsa.apply(dsa.draw(6, _generator(), (8, 8)), images)[2].sum().backward()
    assert images.grad[2].abs().sum() > 0
    assert images.grad[[0, 1, 3, 4, 5]].abs().sum() == 0


def test_draw_for_other_groups_is_refused():
    dsa = DSA()
    with pytest.raises(ValueError, match="3 groups"):
        dsa.apply(dsa.draw(3, _generator(), (8, 8)), _images(4, 1, 1, 8, 8))


def test_draw_moves():
    draw = DSA().draw(3, _generator(), (8, 8))
    moved = draw.to("meta")
    assert isinstance(moved, Draw)
    assert moved.values.device.type == "meta"
    assert moved.operations == draw.operations
