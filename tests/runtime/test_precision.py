"""Precisions that are refused, and TF32, which only DM may take."""

from pathlib import Path

import pytest
import torch

from lightning_dd.errors import UserError
from lightning_dd.methods import DC, DM
from lightning_dd.runtime.precision import check_precision, faster_in_bf16, without_tf32

CONF = Path(__file__).parents[1] / "conf"


@pytest.mark.parametrize("precision", [16, "16-mixed", "16-true", "bf16-true", "transformer-engine"])
def test_refused(precision):
    with pytest.raises(UserError, match="bf16-mixed"):
        check_precision(precision)


@pytest.mark.parametrize("precision", [None, 32, "32-true", 64, "64-true", "bf16", "bf16-mixed"])
def test_accepted(precision):
    check_precision(precision)


def _flags():
    return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()


def test_flags_come_back_after_an_error():
    torch.set_float32_matmul_precision("medium")
    before = _flags()
    with without_tf32():
        assert _flags() == (False, "highest")
    assert _flags() == before == (True, "medium")
    with pytest.raises(ZeroDivisionError), without_tf32():
        1 / 0  # noqa: B018
    assert _flags() == before
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(("method", "allowed"), [(DM, True), (DC, False)])
def test_tf32_is_off_where_gradients_are_differentiated(method, allowed, fit, monkeypatch):
    objective, seen = method.objective, []

    def looks(self, *given):
        seen.append(torch.backends.cudnn.allow_tf32)
        return objective(self, *given)

    monkeypatch.setattr(method, "objective", looks)
    assert fit("--trainer.max_steps", "1", config=CONF / f"{method.__name__.lower()}_digits.yaml") == 0
    assert seen == [allowed]
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("amx", "avx512", "name", "faster"),
    [
        (True, True, "Intel(R) Xeon(R) Processor", True),
        (False, True, "Intel(R) Xeon(R) Processor", False),
        (False, True, "AMD EPYC", True),
        (False, False, "AMD EPYC", False),
    ],
)
def test_processors_that_are_faster_in_bf16(amx, avx512, name, faster, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("lightning_dd.runtime.precision.processor", lambda: name)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert faster_in_bf16(torch.device("cpu")) == faster
