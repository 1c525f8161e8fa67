"""Callbacks: evaluation, output files, checkpoints, logging, and orderly shutdown."""

from lightning_dd.callbacks.artifact_writer import ArtifactWriter
from lightning_dd.callbacks.best import BestCheckpoint
from lightning_dd.callbacks.checkpoint import AtomicCheckpointIO, LastCheckpoint
from lightning_dd.callbacks.evaluation import Evaluation
from lightning_dd.callbacks.hyperparameters import HyperparameterLogger
from lightning_dd.callbacks.image_logger import ImageLogger
from lightning_dd.callbacks.progress import ProgressBar
from lightning_dd.callbacks.replica_sync import ReplicaSyncCheck
from lightning_dd.callbacks.run_summary import RunSummary
from lightning_dd.callbacks.shutdown import GracefulShutdown
from lightning_dd.callbacks.step_timer import StepTimer

__all__ = [
    "ArtifactWriter",
    "AtomicCheckpointIO",
    "BestCheckpoint",
    "Evaluation",
    "GracefulShutdown",
    "HyperparameterLogger",
    "ImageLogger",
    "LastCheckpoint",
    "ProgressBar",
    "ReplicaSyncCheck",
    "RunSummary",
    "StepTimer",
]
