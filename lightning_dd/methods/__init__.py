"""Distillation methods, one file a paper."""

from lightning_dd.methods.base import Distiller, NonFiniteLossError
from lightning_dd.methods.coreset import Coreset
from lightning_dd.methods.dc import DC
from lightning_dd.methods.dd import DD
from lightning_dd.methods.dm import DM
from lightning_dd.methods.dsa import DSA
from lightning_dd.methods.frepo import FRePo
from lightning_dd.methods.kip import KIP
from lightning_dd.methods.ratbptt import RaTBPTT

__all__ = ["DC", "DD", "DM", "DSA", "KIP", "Coreset", "Distiller", "FRePo", "NonFiniteLossError", "RaTBPTT"]
