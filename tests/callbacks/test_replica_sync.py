"""Processes that hold different images are found out."""

from types import SimpleNamespace

import pytest
import torch

from lightning_dd.callbacks import ReplicaSyncCheck
from lightning_dd.callbacks.replica_sync import CHUNK, checksum
from lightning_dd.errors import UserError


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_changed_bit_or_place_changes_the_checksum(dtype):
    images = torch.randn(3, 1, 4, 4, dtype=dtype)
    labels = torch.randn(3, dtype=dtype)
    before = checksum([images, labels])
    assert checksum([images.clone(), labels]) == before
    assert checksum([images.flip(0), labels]) != before
    assert checksum([labels, images]) != before
    last = images.clone()
    last[2, 0, 3, 3] = torch.nextafter(last[2, 0, 3, 3], last.new_tensor(torch.inf))
    assert checksum([last, labels]) != before


def test_every_chunk_counts():
    images = torch.zeros(CHUNK + 2)
    before = checksum([images])
    images[-1] = 1e-45
    assert checksum([images]) != before


def _compare(step, others, world_size=2):
    """Look after a step of a run whose images are ones, beside a process that holds others."""

    def reduce(ours, reduce_op):
        return torch.maximum(ours, torch.stack([checksum([others]), -checksum([others])]))

    module = torch.nn.ParameterList([torch.nn.Parameter(torch.ones(2))])
    strategy = SimpleNamespace(reduce=reduce)
    trainer = SimpleNamespace(global_step=step, max_steps=25, world_size=world_size, strategy=strategy)
    ReplicaSyncCheck(10).on_train_batch_end(trainer, module)


@pytest.mark.parametrize("step", [1, 10, 20, 25])
def test_a_difference_ends_the_run_at_the_next_look(step):
    with pytest.raises(UserError, match=f"after step {step}"):
        _compare(step, torch.zeros(2))
    _compare(step, torch.ones(2))
    _compare(step, torch.zeros(2), world_size=1)
    _compare(step + 1, torch.zeros(2))  # not due


def test_a_rhythm_that_makes_no_sense():
    with pytest.raises(UserError, match="every_n_steps"):
        ReplicaSyncCheck(0)
