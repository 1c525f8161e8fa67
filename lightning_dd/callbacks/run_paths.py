"""The folder of a run, and what lies in it."""

from pathlib import Path

from lightning.pytorch import Trainer

ARTIFACT, PICTURE = "distilled.safetensors", "distilled.png"
RESULTS, TESTS = "results.json", "test_results.json"
CONFIG = "config.yaml"
CHECKPOINT = Path("checkpoints") / "last.ckpt"
BEST, BEST_CHECKPOINT = "best.safetensors", Path("checkpoints") / "best.ckpt"


def run_folder(trainer: Trainer) -> Path:
    """Return `<default_root_dir>/<name>/version_N`; collective: every process must ask."""
    return Path(trainer.log_dir or trainer.default_root_dir)
