"""Distillation methods, one file a paper."""

from lightning_dd.methods.base import Distiller, NonFiniteLossError
from lightning_dd.methods.coreset import Coreset
from lightning_dd.methods.dm import DM

__all__ = ["DM", "Coreset", "Distiller", "NonFiniteLossError"]
