"""Distillation methods, one file a paper."""

from lightning_dd.methods.accdd import AccDD
from lightning_dd.methods.base import Distiller, NonFiniteLossError
from lightning_dd.methods.coreset import Coreset
from lightning_dd.methods.dance import DANCE
from lightning_dd.methods.datadam import DataDAM
from lightning_dd.methods.datm import DATM
from lightning_dd.methods.dc import DC
from lightning_dd.methods.dd import DD
from lightning_dd.methods.dm import DM
from lightning_dd.methods.dream import DREAM
from lightning_dd.methods.dsa import DSA
from lightning_dd.methods.dsdm import DSDM
from lightning_dd.methods.experts import Experts
from lightning_dd.methods.frepo import FRePo
from lightning_dd.methods.idc import IDC
from lightning_dd.methods.idm import IDM
from lightning_dd.methods.kip import KIP
from lightning_dd.methods.mtt import MTT, NegativeStepSizeError
from lightning_dd.methods.ncfm import NCFM
from lightning_dd.methods.ratbptt import RaTBPTT
from lightning_dd.methods.rded import RDED
from lightning_dd.methods.tesla import TESLA

__all__ = ["DANCE", "DATM", "DC", "DD", "DM", "DREAM", "DSA", "DSDM", "IDC", "IDM", "KIP", "MTT", "NCFM", "TESLA"]
__all__ += ["AccDD", "Coreset", "DataDAM", "Distiller", "Experts", "FRePo", "NegativeStepSizeError"]
__all__ += ["RDED", "NonFiniteLossError", "RaTBPTT"]
