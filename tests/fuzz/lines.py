"""Bad command lines and configs."""

import os
from collections.abc import Iterator
from pathlib import Path

from fuzz_runs import CONF, Case, artifact, fit, run_of
from harness import command

WORDS = """
trainer.max_steps 0 | trainer.max_epochs 0 --trainer.max_steps -1 | trainer.limit_train_batches 0
trainer.max_time 00:00:00:00
trainer.devices 0 | trainer.devices abc | trainer.devices [0,1] | trainer.devices 99 | trainer.max_steps -5
trainer.strategy nonsense | trainer.strategy deepspeed | trainer.strategy fsdp | trainer.strategy dp
trainer.strategy null | trainer.strategy ddp_spawn | trainer.strategy ddp_notebook
trainer.accelerator gpu | trainer.accelerator tpu | trainer.accelerator mps | trainer.max_time nonsense
trainer.max_time 1 | trainer.max_epochs -7 | trainer.limit_train_batches -1 | trainer.num_nodes 0
trainer.profiler nonsense | trainer.barebones true | trainer.enable_checkpointing false
trainer.logger WandbLogger | trainer.default_root_dir http://x | seed_everything -1
seed_everything 4294967296 | ckpt_path= | data.num_workers -1 | data.num_workers 9999
model.ipc 99999999999999999999 | model.lr null | data.held_out null | model.network.width 0
model.network.width -1 | model.network Network | model.init null | data ImageData | model Distiller | model Task
evaluation null | trainer null | model.lr_decay 0 | model.feature_epochs -1 | product.every_n_steps 0
evaluation.split foo | data.held_out 0.9999 | model.lr nan | model.lr inf | trainer.precision nonsense
trainer.log_every_n_steps -1 | trainer.detect_anomaly maybe | trainer.callbacks Nonsense
trainer.overfit_batches -1 | trainer.val_check_interval -3 | trainer.fast_dev_run -1 | trainer.plugins nonsense
trainer.model_registry x --trainer.num_sanity_val_steps -9 | trainer.devices null | trainer.devices -2
trainer.devices {} | trainer.strategy {} | trainer.logger {} | trainer.check_val_every_n_epoch 0
trainer.min_steps 5 | trainer.limit_train_batches 1.5 | trainer.reload_dataloaders_every_n_epochs -1
model.network.width 999999999 | model.ipc 999999999 | model.real_per_class 99999999999 | model.codec Codec
model.networks NetworkSource | model.codec Tiles --model.codec.factor 99999 | model.augmentation nonsense
checkpoint.every_n_steps 0 | gallery.every_n_steps -1 | evaluation.protocol nonsense --evaluation.enabled true
""".replace("\n", "|")


def lines(root: Path) -> Iterator[Case]:
    """Give bad command lines of `fit`, and of the other commands."""
    for text in filter(None, map(str.strip, WORDS.split("|"))):
        yield f"--{text}", fit(root, *f"--{text}".split())
    for words in (
        "evaluate {artifact} --networks ConvNet:width=0 --data Digits",
        "evaluate {artifact} --networks_at_once -1",
        "evaluate {artifact} --epochs -1",
        "evaluate {artifact} --out /dev/full --epochs 1 --num_networks 1 --networks ConvNet:width=8",
        "evaluate {artifact} --out /proc/x --epochs 1 --num_networks 1 --networks ConvNet:width=8",
        "evaluate",
        "report {run} --out {pipe}",
        "report {run} --out {link}",
        "report {run} --out /proc/x",
        "report {run} --out {run}",
        "report",
        "cost --ipc 99999999999 --methods DM --data MNIST",
        "cost --ipc 1 --methods DM --data MNIST --out /dev/full",
        "cost --ipc x",
        "cost --options DM.ipc=[",
        "list nonsense",
        "cache --days x",
        "cache --days nan",
        "show",
        "show /dev/zero",
        "show /nowhere",
        "nonsense",
        "fit",
        "fit --config",
        "test --ckpt_path {run} --trainer.devices 0",
    ):
        pipe, link = root / "pipe", root / "link"  # never a device of this machine
        if not pipe.exists():
            os.mkfifo(pipe)
            link.symlink_to(pipe)
        places = {"run": run_of(root), "artifact": artifact(root), "pipe": pipe, "link": link}
        yield words, lambda words=words, places=places: command(*words.format(**places).split())()


def configs(root: Path) -> Iterator[Case]:
    """Give configs that are none."""
    good = CONF.read_text()
    for name, text in {
        "binary": bytes(range(256)),
        "UTF-16": good.encode("utf-16"),
        "latin-1": good.replace("tiny", "tiné").encode("latin-1"),
        "empty": b"",
        "a list": b"- 1\n- 2\n",
        "a number": b"5\n",
        "trainer null": good.replace(
            "trainer:\n  max_steps: 6\n  enable_progress_bar: false\n  accelerator: cpu", "trainer: null"
        ).encode(),
        "evaluation null": (good.partition("evaluation:")[0] + "evaluation: null\n").encode(),
        "evaluation a list": (good.partition("evaluation:")[0] + "evaluation: [1, 2]\n").encode(),
        "model a list": b"model: [1]\ndata: Digits\n",
        "model a number": b"model: 3\ndata: Digits\n",
        "init_args a list": b"model:\n  class_path: DM\n  init_args: [1]\ndata: Digits\n",
        "a self-referring anchor": b"model: &a\n  class_path: DM\n  init_args: *a\ndata: Digits\n",
        "a billion laughs": b"a: &a [1,1,1,1,1,1,1,1]\n"
        + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 8)) for c in range(98, 108)),
        "duplicate keys": (good + "trainer:\n  max_steps: 1\n").encode(),
        "duplicate inner keys": good.replace("ipc: 1", "ipc: 1\n    ipc: 2").encode(),
        "tabs": good.replace("  ", "\t").encode(),
        "deep": b"model: " + b"[" * 5000,
        "NUL": b"model: \x00",
        "a tag of Python": b"model: !!python/object/apply:os.system ['true']\n",
        "a date": b"model: 2001-01-01\n",
        "keys that are no texts": b"1: 2\ntrue: 3\n",
    }.items():
        path = root / "config.yaml"

        def use(text=text, path=path) -> int:
            path.write_bytes(text)
            return fit(root, config=path)()

        yield f"config: {name}", use
