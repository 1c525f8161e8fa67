"""What a step costs."""

from types import SimpleNamespace

import pytest
import torch

from lightning_dd.callbacks import StepTimer
from lightning_dd.callbacks.step_timer import _summed
from lightning_dd.runtime.timing import Stopwatch


def test_operations_of_processes_are_summed_where_these_can_share_tensors():
    seen = []
    strategy = SimpleNamespace(reduce=lambda tensor, reduce_op: seen.append(tensor.device.type) or 7.0)
    assert _summed(SimpleNamespace(world_size=2, strategy=strategy), 5, torch.device("meta")) == 7
    assert seen == ["meta"]


@pytest.mark.parametrize(("iteration", "max_steps", "counts"), [(0, 2, False), (0, 1, True), (1, 2, True)])
def test_the_first_step_which_may_prepare_much_is_counted_only_where_it_is_the_only_one(iteration, max_steps, counts):
    module = SimpleNamespace(iteration=iteration, stopwatch=Stopwatch(), device=torch.device("cpu"))
    module.compile_objective = False
    trainer = SimpleNamespace(max_steps=max_steps, global_step=iteration + 1, log_every_n_steps=9, loggers=[])
    trainer.world_size = 1
    timer = StepTimer()
    timer.on_train_start(trainer, module)
    timer.on_train_batch_start(trainer, module)
    torch.ones(2, 3) @ torch.ones(3, 4)
    timer.on_train_batch_end(trainer, module)
    assert timer.spent(module)["operations"] == (2 * 2 * 3 * 4 * iteration if counts else None)
