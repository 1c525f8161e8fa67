"""Distillation methods, one file a paper."""

from lightning_dd.methods.base import Distiller, NonFiniteLossError
from lightning_dd.methods.coreset import Coreset
from lightning_dd.methods.dm import DM
from lightning_dd.methods.frepo import FRePo
from lightning_dd.methods.kip import KIP

__all__ = ["DM", "KIP", "Coreset", "Distiller", "FRePo", "NonFiniteLossError"]
