"""Evaluation: named protocols, training of fresh networks, records."""

from lightning_dd.evaluation.evaluate import Accuracies, evaluate
from lightning_dd.evaluation.protocol import Protocol
from lightning_dd.evaluation.protocols import PROTOCOLS, find_protocol

__all__ = ["PROTOCOLS", "Accuracies", "Protocol", "evaluate", "find_protocol"]
