"""Batches of real images that are larger than the data shrink to it, and say so."""

import pytest
import torch
from torch.utils.data import TensorDataset

import lightning_dd as dd

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.mark.parametrize(
    ("method", "option", "size"),
    [("dm", "real_per_class", 6), ("frepo", "real_batch", 10), ("kip", "real_batch", 12), ("dd", "real_batch", 10)],
)
def test_default_batches_shrink_to_the_data(method, option, size, tmp_path, capsys):
    draw = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 6 + [1] * 4)
    few = TensorDataset(torch.rand(10, 1, 8, 8, generator=draw), labels)
    test = TensorDataset(torch.rand(2, 1, 8, 8, generator=draw), torch.arange(2))
    network = {} if method == "kip" else {"network": "ConvNet:width=4,depth=2"}
    distilled = dd.distill(few, method, 1, 1, test, root=tmp_path, evaluation=False, trainer=QUIET, **network)
    assert f"{option} is {size} and not" in capsys.readouterr().out
    assert distilled.info["resolved"][option] == size
