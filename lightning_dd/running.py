"""What every run has, whether it starts from the command line or from Python."""

import logging
import warnings
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from lightning_dd.callbacks import Agreement, Cost, Evaluation, Gallery, Guard, LastCheckpoint, Product

TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": -1,  # the loader is endless: max_steps says when to stop
    "default_root_dir": "runs",
    "use_distributed_sampler": False,  # the sampler shares the work itself
    "num_sanity_val_steps": 0,
    "inference_mode": False,  # `test` trains networks
    "enable_model_summary": False,
    "log_every_n_steps": 10,
}

CALLBACKS = {
    "agreement": Agreement,
    "evaluation": Evaluation,
    "gallery": Gallery,
    "cost": Cost,
    "product": Product,
    "checkpoint": LastCheckpoint,
    "guard": Guard,
}
"""In the order in which they are called: what is written at the end holds what was measured before."""


ABOUT_A_SET = (Agreement, Evaluation, Gallery, Cost, Product, LastCheckpoint)
"""Those that look at a synthetic set, which experts have none of."""


def quiet() -> None:
    """Leave out messages that speak of what this program does on purpose, or of other products."""
    for message in (
        ".*does not have many workers.*",
        ".*LeafSpec.*is deprecated.*",
        ".*args parameter is intended to run.*",
    ):
        warnings.filterwarnings("ignore", message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(lambda record: "Tip:" not in record.msg)
    logging.getLogger("lightning.pytorch.trainer.connectors.checkpoint_connector").setLevel(logging.WARNING)
    if rank_zero_only.rank:  # the first process speaks for all
        for package in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(package).setLevel(logging.ERROR)
