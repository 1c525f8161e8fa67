"""TESLA: its gradients by the paper's formula, and a run through the command line."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lightning_dd.app.cli import main
from lightning_dd.artifact.dataset import load
from lightning_dd.data.sampling import Batch
from lightning_dd.methods import MTT, TESLA
from tests.methods.steps import objective

CONF = Path(__file__).parents[1] / "conf"
BATCH = Batch(0, *[torch.tensor([])] * 3)


def _formula(module: TESLA) -> tuple[torch.Tensor, torch.Tensor]:
    """dL/dS = 2/||D||² Σ (α D + α² G)' dg_n/dS at fixed θ_n, and dL/dα = 2/||D||² (D + α G)' G."""
    ((_, start, target),) = module.networks.at(0)
    way, alpha = target - start, module.step_size.detach()
    weights, gradients, images = start, [], module.synthetic.codec.images
    for _ in range(module.synthetic_steps):
        given = weights.detach().requires_grad_()
        loss = F.cross_entropy(module.networks.flat(given, images), module.synthetic.labels.values)
        gradients.append(torch.autograd.grad(loss, given, create_graph=True)[0])
        weights = weights - alpha * gradients[-1].detach()
    total = sum(gradient.detach() for gradient in gradients)
    scale = 2 / way.square().sum()
    onto = sum(gradient @ (alpha * way + alpha**2 * total) for gradient in gradients)
    return scale * torch.autograd.grad(onto, images)[0], scale * (way + alpha * total) @ total


@pytest.mark.parametrize("half", [False, True])
def test_gradients_are_those_of_the_formula(matching, half):
    module = matching(TESLA, half_gradient=half)
    of_step_size, of_images = torch.autograd.grad(objective(module, BATCH), list(module.parameters()))
    expected, expected_size = _formula(module)
    torch.testing.assert_close(of_images, expected / 2 if half else expected)
    torch.testing.assert_close(of_step_size, expected_size)


def test_the_loss_is_mtt_s(matching):
    ours, mtt = matching(TESLA, synthetic_batch=4), matching(MTT, synthetic_batch=4)
    torch.testing.assert_close(objective(ours, BATCH), objective(mtt, BATCH))


def test_a_run(experts, tmp_path: Path):
    folders = ["--trainer.default_root_dir", str(tmp_path), "--model.experts", str(experts)]
    options = ["--model", "TESLA", "--trainer.max_steps", "2", "--model.synthetic_batch", "8"]
    assert main(["fit", "--config", str(CONF / "mtt_digits.yaml"), *options, *folders]) == 0
    distilled = load(tmp_path / "tesla_digits_ipc2" / "version_0")
    assert distilled.recipe["protocol"] == "mtt"
    assert distilled.images.isfinite().all()
