import itertools

import pytest
import torch

from lightning_dd.runtime import timing


def test_sums_all_times_and_leaves_the_first_out_of_the_median(monkeypatch):
    clock = itertools.chain.from_iterable((start, start + seconds) for start, seconds in ((0, 10), (20, 1), (30, 3)))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    stopwatch = timing.Stopwatch()
    for _ in range(3):
        with stopwatch.part("step", torch.device("cpu")):
            pass
    assert stopwatch.totals == {"step": 14}
    assert stopwatch.medians() == {"step": pytest.approx(2)}
