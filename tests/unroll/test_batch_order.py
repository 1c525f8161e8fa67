"""The images of each inner step, and the steps that are differentiated."""

import pytest
import torch

from lightning_dd.errors import OptionError
from lightning_dd.unroll.batch_order import Schedule, permuted_chunks


def test_mini_batches_take_turns():
    assert Schedule(2, 4, 3, per_class=2).order(0).tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [0, 1, 4, 5]]
    assert Schedule(3, 1, 2).order(5).tolist() == [[0, 1, 2]] * 2
    assert Schedule(1, 3, 3, per_class=2).order(0).tolist() == [[0, 1], [2, 0], [1, 2]]  # goes on where it stopped


def test_random_mini_batches_are_balanced_and_without_replacement():
    order = Schedule(3, 5, 40, per_class=2, shuffle=True).order(0)
    assert order.shape == (40, 6)
    assert (order // 5 == torch.tensor([0, 0, 1, 1, 2, 2])).all()
    assert all(len(set(rows)) == 6 for rows in order.tolist())
    assert order.unique().tolist() == list(range(15))


def test_some_of_the_classes():
    order = Schedule(6, 2, 60, shuffle=True, classes=4).order(0)
    assert all(len(set(rows)) == 4 for rows in (order // 2).tolist())
    assert (order // 2).unique().tolist() == list(range(6))


def test_draws_depend_on_seed_purpose_and_iteration_alone():
    schedule, state = Schedule(3, 5, 10, shuffle=True), torch.get_rng_state()
    first = schedule.order(4)
    others = schedule.order(5), schedule.order(4, "another"), Schedule(3, 5, 10, shuffle=True, seed=1).order(4)
    assert not any(torch.equal(first, other) for other in others)
    assert torch.equal(first, Schedule(3, 5, 10, shuffle=True).order(4))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("where", ["pass", "step", "end"])
def test_windows(where):
    schedule = Schedule(3, 1, 9, window=2, where=where)
    spans = [schedule.differentiated(iteration, 5) for iteration in range(40)]
    assert all(len(span) == 2 and span[0] >= 0 and span[-1] < 9 for span in spans)
    if where == "end":
        assert set(spans) == {range(7, 9)}
    else:
        assert len(set(spans)) > 4
        alike = [len(set(spans[start : start + 5])) == 1 for start in range(0, 40, 5)]
        assert all(alike) == (where == "pass")


def test_without_a_window_every_step_is_differentiated():
    assert Schedule(3, 1, 9).differentiated(0, 1) == range(9)


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"per_class": 0},
        {"per_class": 3},
        {"window": 0},
        {"window": 5},
        {"classes": 4, "shuffle": True},
        {"classes": 2},
    ],
)
def test_numbers_out_of_range(options):
    with pytest.raises(OptionError, match=r"must be|set shuffle true"):
        Schedule(**{"num_classes": 3, "ipc": 2, "steps": 4, **options})


def _chunks(*arguments: int) -> list[torch.Tensor]:
    return permuted_chunks(*arguments, torch.Generator().manual_seed(0))


def test_each_pass_shows_every_row_once_and_the_incomplete_chunk_first():
    chunks = _chunks(7, 3, 6)
    assert [len(rows) for rows in chunks] == [1, 3, 3, 1, 3, 3]
    for start in (0, 3):
        assert torch.cat(chunks[start : start + 3]).sort().values.tolist() == list(range(7))
    assert not torch.equal(torch.cat(chunks[:3]), torch.cat(chunks[3:]))


def test_whole_chunks_and_steps_that_end_within_a_pass():
    assert [len(rows) for rows in _chunks(6, 3, 3)] == [3, 3, 3]
    assert [len(rows) for rows in _chunks(4, 4, 2)] == [4, 4]
    assert all(torch.equal(a, b) for a, b in zip(_chunks(7, 3, 2), _chunks(7, 3, 6), strict=False))
