"""TESLA: trajectory matching whose memory does not grow with the steps, by leaving a part of the gradient out."""

from typing import Any

from torch import Tensor

from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.methods.mtt import MTT
from lightning_dd.runtime.options import PositiveInt
from lightning_dd.unroll.first_order import unroll_first_order
from lightning_dd.unroll.unroll import Inputs


class TESLA(MTT):
    """Scaling Up Dataset Distillation to ImageNet-1K with Constant Memory (Cui et al., ICML 2023, arXiv 2211.10586).

    MTT's loss with another gradient. With G the sum of the N gradients g_n and D the way of the expert, the student
    ends at `θ*_t - α G`, and

        dL/dS_n = 2 / ||D||² (α D + α² G)' dg_n/dS_n        dL/dα = 2 / ||D||² (D + α G)' G

    with dg_n/dS_n taken at fixed weights θ_n: how a batch changes the steps after its own is left out. That, and not
    the memory, sets it apart from `MTT`, whose recomputation keeps as little and gives the whole gradient. The released
    code departs from its formula in that the 2 never reaches the images (it doubles a tuple); its learning rates are
    for half the gradient, and so are ours by default. Its soft labels for ImageNet-1K are not here.

    Args:
        half_gradient: as the released code has it; with False the images' gradient is that of the formula.
        **options: those of `MTT`.
    """

    paper = "Scaling Up Dataset Distillation to ImageNet-1K with Constant Memory (ICML 2023, arXiv 2211.10586)"
    published_steps = 10_000
    memory_option = "{synthetic_batch}"

    def __init__(self, ipc: PositiveInt, experts: str, half_gradient: bool = True, **options: Any) -> None:
        super().__init__(ipc, experts, recompute=False, compile=False, **options)  # no options: there is no graph
        self.half_gradient = half_gradient

    def inputs(self, synthetic: SyntheticSet) -> Inputs:
        """Return all images and labels, the images with half their gradient where asked for."""
        images, labels = super().inputs(synthetic)
        if self.half_gradient:
            images = 0.5 * images + 0.5 * images.detach()  # exactly the same values
        return images, labels

    def student(self, start: Tensor, inputs: Inputs, number: int) -> Tensor:
        """Return the student's weights after the synthetic steps; see `MTT.student`."""
        batches, step_sizes = self.batches(number)
        return unroll_first_order(self.step.objective, start, inputs, batches, step_sizes)
