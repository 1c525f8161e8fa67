"""What a step costs."""

from types import SimpleNamespace

import torch

from lightning_dd.callbacks.step_timer import _summed


def test_operations_of_processes_are_summed_where_these_can_share_tensors():
    seen = []
    strategy = SimpleNamespace(reduce=lambda tensor, reduce_op: seen.append(tensor.device.type) or 7.0)
    assert _summed(SimpleNamespace(world_size=2, strategy=strategy), 5, torch.device("meta")) == 7
    assert seen == ["meta"]
