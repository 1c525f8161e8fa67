import itertools

import pytest
import torch

from lightning_dd.data.batches import ClassTable, InMemoryImages, RealBatches
from lightning_dd.data.sampling import ClassBalanced, Uniform
from lightning_dd.errors import UserError

LABELS = torch.tensor([2, 0, 1, 1, 0, 2, 2, 1, 2, 0, 2, 2, 0, 1])  # 4, 4 and 6 images


def batches(sampling, seed=0, iteration=0, rank=0, world_size=1, labels=LABELS, num_classes=3):
    return RealBatches(labels, num_classes, sampling, seed, lambda: iteration, rank, world_size)


def first(sampler, count):
    return list(itertools.islice(sampler, count))


@pytest.mark.parametrize("sampling", [ClassBalanced(3), Uniform(5), None])
def test_same_key_same_draw(sampling):
    for one, two in zip(first(batches(sampling), 4), first(batches(sampling), 4), strict=True):
        assert one.iteration == two.iteration
        assert torch.equal(one.indices, two.indices)


@pytest.mark.parametrize("sampling", [ClassBalanced(3), Uniform(5)])
def test_other_key_other_draw(sampling):
    sampler = batches(sampling)
    draws = first(sampler, 20)
    assert any(not torch.equal(draws[0].indices, draw.indices) for draw in draws[1:])
    others = first(batches(sampling, seed=1), 20)
    assert any(not torch.equal(a.indices, b.indices) for a, b in zip(draws, others, strict=True))


@pytest.mark.parametrize("sampling", [ClassBalanced(3), Uniform(5)])
def test_starting_at_an_iteration_equals_getting_there(sampling):
    straight = first(batches(sampling), 7)[4:]
    for expected, got in zip(straight, first(batches(sampling, iteration=4), 3), strict=True):
        assert got.iteration == expected.iteration
        assert torch.equal(got.indices, expected.indices)


def test_the_iteration_is_read_whenever_iterating_starts():
    now = 5
    sampler = RealBatches(LABELS, 3, Uniform(2), 0, lambda: now)
    assert next(iter(sampler)).iteration == 5
    now = 9
    assert next(iter(sampler)).iteration == 9


def test_classes_are_right_and_nothing_repeats():
    for draw in first(batches(ClassBalanced(4)), 20):
        assert torch.equal(LABELS[draw.indices], torch.arange(3)[:, None].expand(3, 4))
        assert all(len(set(row)) == 4 for row in draw.indices.tolist())


def test_every_image_is_equally_likely():
    table = ClassTable(LABELS, 3)
    rng = torch.Generator().manual_seed(0)
    counts = sum(torch.bincount(table.draw(2, rng).flatten(), minlength=14) for _ in range(3000)) / 3000
    expected = (2 / torch.tensor([4.0, 4.0, 6.0]))[LABELS]
    assert (counts - expected).abs().max() < 0.05  # about five standard deviations


@pytest.mark.parametrize("per_class", [5, 50])
def test_short_classes_are_drawn_with_replacement(per_class):
    seen = set()
    for draw in first(batches(ClassBalanced(per_class)), 30):
        drawn = min(per_class, 6)  # no more than the largest class has
        assert torch.equal(LABELS[draw.indices], torch.arange(3)[:, None].expand(3, drawn))
        seen |= set(draw.indices[:2].flatten().tolist())
        assert len(set(draw.indices[2].tolist())) == drawn  # class 2 has six images
    assert seen == set((LABELS < 2).nonzero().flatten().tolist())


@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_ranks_share_the_draw_exactly(world_size):
    for sampling in (ClassBalanced(3), Uniform(7)):
        whole = batches(sampling).draw(6)
        shares = [batches(sampling, rank=r, world_size=world_size).draw(6) for r in range(world_size)]
        merged = torch.empty_like(whole.indices)
        for rank, share in enumerate(shares):
            merged[rank::world_size] = share.indices
            if isinstance(sampling, ClassBalanced):
                assert torch.equal(share.classes, whole.classes[rank::world_size])
        assert torch.equal(merged, whole.indices)
        assert sum(len(share.indices) for share in shares) == len(whole.indices)


def test_uniform_batch_without_repeats_and_not_larger_than_the_set():
    assert all(len(draw.indices.unique()) == 14 for draw in first(batches(Uniform(14)), 5))
    with pytest.raises(UserError, match=r"15 real images .* has 14"):
        batches(Uniform(15))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_images_follow_the_indices(dtype):
    images = torch.arange(14)[:, None, None, None].expand(14, 1, 2, 3).to(dtype)
    data = InMemoryImages(images, LABELS)
    draw = batches(ClassBalanced(3), rank=1, world_size=2).draw(2)
    batch = data[draw]
    assert batch.images.shape == (1, 3, 1, 2, 3)
    assert batch.images.dtype == dtype
    assert torch.equal(batch.images[:, :, 0, 0, 0].long(), draw.indices)
    assert batch.labels.tolist() == [[1, 1, 1]]
    assert batch.classes.tolist() == [1]


def test_rank_without_classes():
    batch = InMemoryImages(torch.zeros(14, 1, 2, 3), LABELS)[batches(ClassBalanced(3), rank=3, world_size=4).draw(0)]
    assert batch.images.shape == (0, 3, 1, 2, 3)
    assert batch.classes.shape == (0,)
