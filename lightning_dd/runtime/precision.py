"""Precision: supported settings of the trainer, and contexts for full precision."""

import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from lightning.pytorch.plugins import Precision
from torch import Tensor

from lightning_dd.errors import OptionError
from lightning_dd.runtime.environment import processor

PRECISIONS = ("32-true", "64-true", "bf16-mixed")
"""Precisions that a trainer may have; methods say themselves which part of theirs stays in float32 under the last."""
_SAME = {"None": "32-true", "32": "32-true", "64": "64-true", "bf16": "bf16-mixed"}


def check_precision(precision: object) -> None:
    """Refuse what would lose the images' gradients or their small updates.

    The scale of a half-precision loss does not reach the gradients that methods take within it, and on a CPU Lightning
    makes bf16 of half precision without being asked; `-true` below float32 would round the images themselves.

    Raises:
        OptionError: it is another precision.
    """
    if _SAME.get(str(precision), str(precision)) not in PRECISIONS:
        sentence = f"must be 32-true, 64-true or bf16-mixed, got {precision}, which loses small gradients or updates"
        raise OptionError("trainer.precision", sentence)


@contextmanager
def precision_context(device_type: str, full_precision: bool, tf32: bool) -> Iterator[None]:
    """Compute without autocast where `full_precision` says so, and without TF32 unless `tf32` allows it."""
    with ExitStack() as stack:
        if full_precision:
            stack.enter_context(torch.autocast(device_type, enabled=False))
        if not tf32:
            stack.enter_context(without_tf32())
        yield


@contextmanager
def without_tf32() -> Iterator[None]:
    """Compute float32 in full: a GPU's convolutions use TF32 by default, which has 10 bits of mantissa."""
    convolutions, products = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.set_float32_matmul_precision(products)


def faster_in_bf16(device: torch.device) -> bool:
    """Return whether a device computes in bf16 faster than in float32.

    Intel's processors do by their matrix unit (AMX), which virtual machines may hide: without it, those with AVX-512's
    bf16 take 1.4 times as long as in float32, or more (see `tools/README.md`). AMD's take half the time.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if platform.machine() in ("aarch64", "arm64"):
        return device.type == "cpu" and getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", bool)()
    if device.type != "cpu":
        return False
    amx, avx512 = (
        getattr(torch.cpu, name, bool)()  # torch says it nowhere else
        for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )
    return amx or (avx512 and "Intel" not in processor())


class Float32Fallback(Precision):
    """Float32 on a processor that gains nothing from the bf16 that a trainer asks for; many emulate it."""

    message = "This processor is slower in bf16, up to sixty times: float32 takes its place."


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return a tensor of a half precision in float32, any other as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
