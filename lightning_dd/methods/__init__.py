"""Distillation methods, one file a paper."""

from lightning_dd.methods.base import Distiller, NonFiniteLossError
from lightning_dd.methods.coreset import Coreset
from lightning_dd.methods.dc import DC
from lightning_dd.methods.dm import DM
from lightning_dd.methods.dsa import DSA

__all__ = ["DC", "DM", "DSA", "Coreset", "Distiller", "NonFiniteLossError"]
