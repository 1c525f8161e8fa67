"""Each rule against the plainest form of what it is to choose."""

import itertools

import pytest
import torch

from lightning_dd.coresets import forgetting_events, herding, k_center, k_means, most_forgotten


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _features(number=12, seed=0, size=3):
    return torch.randn(number, size, generator=_generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("count", [1, 2, 5, 12])
@pytest.mark.parametrize("seed", range(3))
def test_herding_is_the_greedy_formula(seed, count):
    features = _features(seed=seed)
    mean, chosen = features.mean(0), []
    for i in range(1, count + 1):
        selected = sum((features[j] for j in chosen), torch.zeros(3, dtype=torch.float64))
        cost = {j: (i * mean - selected - features[j]).norm().item() for j in range(12) if j not in chosen}
        chosen.append(min(cost, key=cost.get))
    assert herding(features, count).tolist() == chosen


def test_herding_follows_the_mean_better_than_chance():
    features = _features(200, size=8)
    mean = features.mean(0)
    ours = (features[herding(features, 10)].mean(0) - mean).norm()
    draws = [(features[torch.randperm(200, generator=_generator(s))[:10]].mean(0) - mean).norm() for s in range(50)]
    assert ours < min(draws)


@pytest.mark.parametrize("count", [1, 2, 5, 12])
@pytest.mark.parametrize("seed", range(3))
def test_k_center_is_the_greedy_rule(seed, count):
    features = _features(seed=seed)
    distance = [(f - features.mean(0)).norm().item() for f in features]
    chosen = [distance.index(min(distance))]
    while len(chosen) < count:
        reach = [min((f - features[c]).norm().item() for c in chosen) for f in features]
        chosen.append(max((j for j in range(12) if j not in chosen), key=lambda j: reach[j]))
    assert k_center(features, count).tolist() == chosen


@pytest.mark.parametrize("seed", range(5))
def test_k_center_covers_at_most_twice_as_wide_as_the_best(seed):
    # the greedy rule's guarantee, from any first center, against all choices of three
    features = _features(9, seed)

    def radius(centers):
        return torch.cdist(features, features[torch.as_tensor(centers)]).min(1).values.max().item()

    best = min(radius(three.tolist()) for three in torch.combinations(torch.arange(9), 3))
    assert best <= radius(k_center(features, 3)) <= 2 * best


@pytest.mark.parametrize("rule", [herding, k_center, lambda f, count: k_means(f, count, _generator())])
def test_equal_images_are_chosen_once(rule):
    assert sorted(rule(torch.ones(4, 2), 4).tolist()) == [0, 1, 2, 3]
    assert len(set(rule(torch.ones(4, 2), 3).tolist())) == 3


def _clusters():
    centers = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]])
    return centers[torch.arange(30) % 3] + torch.randn(30, 2, generator=_generator())


def test_k_means_takes_the_middle_of_each_cluster():
    features = _clusters()
    chosen = k_means(features, 3, _generator()).tolist()
    for cluster in range(3):
        members = range(cluster, 30, 3)
        mean = features[list(members)].mean(0)
        nearest = min(members, key=lambda j: (features[j] - mean).norm().item())
        assert nearest in chosen


def test_k_means_of_one_is_the_image_nearest_to_the_mean():
    features = _features()
    assert k_means(features, 1, _generator()).item() == (features - features.mean(0)).norm(dim=1).argmin()


def test_k_means_depends_on_the_generator_alone():
    state, features = torch.get_rng_state(), _features(60)
    first, again = (k_means(features, 5, _generator(seed)) for seed in (0, 0))
    assert torch.equal(first, again)
    assert len({tuple(sorted(k_means(features, 5, _generator(seed)).tolist())) for seed in range(5)}) > 1
    assert torch.equal(torch.get_rng_state(), state)


def test_forgetting_events_by_hand():
    presentations = [
        # image:  0  1  2  3
        [1, 0, 1, 0],
        [0, 1, 1, 0],
        [1, 1, 0, 0],
        [0, 1, 0, 0],
    ]
    # 0 is lost twice, 1 learned for good, 2 lost once, 3 never learned: more than four presentations allow
    assert forgetting_events(torch.tensor(presentations)).tolist() == [2, 0, 1, 4]


@pytest.mark.parametrize("epochs", [1, 2, 7])
def test_forgetting_events_by_counting(epochs):
    history = torch.rand(epochs, 20, generator=_generator()) < 0.5
    for image, events in enumerate(forgetting_events(history).tolist()):
        seen = history[:, image].tolist()
        pairs = itertools.pairwise(seen)
        assert events == (sum(before and not after for before, after in pairs) if any(seen) else epochs)


def test_most_forgotten():
    assert most_forgotten(torch.tensor([1, 5, 0, 5, 2]), 3).tolist() == [1, 3, 4]
