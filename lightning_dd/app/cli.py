"""The command line: `fit` a method, `test` its result."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # addressed to developers

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from lightning_dd import data, networks  # noqa: F401  (short class names resolve among what is imported)
from lightning_dd.app.cli_errors import PlainParser
from lightning_dd.app.config_files import check_configs
from lightning_dd.app.configs import with_paths
from lightning_dd.app.help_topics import refuse_bases
from lightning_dd.app.named_parts import with_own_defaults
from lightning_dd.app.recorded import command_line
from lightning_dd.app.refusals import refusal
from lightning_dd.app.resuming import (
    apply_checkpoint,
    find_checkpoint,
    refuse_overwriting,
    run_name,
    with_own_config,
)
from lightning_dd.app.running import (
    CALLBACKS,
    DISTILLER_CALLBACKS,
    TRAINER_DEFAULTS,
    RunConfig,
    check_learned,
    check_processes,
    prepare_trainer,
    silence_third_party_warnings,
)
from lightning_dd.callbacks import ProgressBar
from lightning_dd.callbacks.shutdown import InterruptedRunError
from lightning_dd.data import ImageData
from lightning_dd.errors import OptionError, UserError
from lightning_dd.methods import Distiller
from lightning_dd.methods.task import Task
from lightning_dd.runtime import processes
from lightning_dd.runtime.memory import keep_freed_memory
from lightning_dd.runtime.precision import check_precision

LINKED = ("num_classes", "image_shape", "class_names")
"""Facts about the data, given to the model."""


class DistillationCLI(LightningCLI):
    """LightningCLI with this project's links, callbacks and run folders."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the two commands and the arguments that they do not take."""
        return {
            "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "weights_only"},
            "test": {"model", "dataloaders", "datamodule", "weights_only", "verbose"},
        }

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks, the allocator's switch, and the links from data and seed to the model."""
        parser.add_argument(
            "--keep_freed_memory", type=bool, default=True, help="CPU runs: keep freed memory for the next step"
        )
        for name, callback in CALLBACKS.items():
            parser.add_lightning_class_args(callback, name)
        for fact in LINKED:
            parser.link_arguments(f"data.{fact}", f"model.init_args.{fact}", apply_on="instantiate")
        parser.link_arguments("seed_everything", "model.init_args.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the command line, and take the method's options from the checkpoint of a resumed run."""
        words = sys.argv[1:] if args is None else args
        words_with_configs = with_own_defaults(with_paths(with_own_config(words)))
        check_configs(words_with_configs, (*CALLBACKS, "trainer"))
        super().parse_arguments(parser, words_with_configs)
        self.command = command_line(words)
        config = self.config[self.config.subcommand]
        refuse_bases(config)
        if "://" in str(config.trainer.default_root_dir):
            raise OptionError("trainer.default_root_dir", "must be a folder of this machine")
        root = os.path.expanduser(config.trainer.default_root_dir or TRAINER_DEFAULTS["default_root_dir"])
        config.trainer.default_root_dir, run = root, None
        if self.config.subcommand == "test":
            if not config.get("ckpt_path"):
                raise UserError("`test` needs --ckpt_path: a run's folder, or a checkpoint in it.")
            if not config.evaluation.enabled:
                raise OptionError("evaluation.enabled", "cannot be false here: `test` does nothing else")
        if config.get("ckpt_path") is not None:
            runs = Path(root) / ("" if config.trainer.logger is False else run_name(config))
            path, run = find_checkpoint(str(config.ckpt_path), runs)
            config.ckpt_path = str(path)
            apply_checkpoint(config, self.config.subcommand)
        self.run_name = run_name(config)  # of the options that the checkpoint brings
        goes_on = run is not None and run.parent == (Path(root) / self.run_name).resolve()
        self.version = run.name if goes_on else None

    def before_instantiate_classes(self) -> None:
        """Set up the allocator and the run's folder."""
        config = self.config[self.subcommand]
        check_precision(config.trainer.precision)
        if config.keep_freed_memory:
            keep_freed_memory()
        if config.trainer.enable_progress_bar is not False:
            self.trainer_defaults["callbacks"] = [ProgressBar()]
        if self.subcommand == "test":  # its result goes into the folder of the run that it tests
            config.trainer.logger = False
            self.save_config_callback = None
        elif config.trainer.logger is False:
            refuse_overwriting(config)
        elif config.trainer.logger in (None, True):
            config.trainer.logger = {
                "class_path": "lightning_dd.app.running.Events",
                "init_args": {
                    "save_dir": config.trainer.default_root_dir,
                    "name": self.run_name,
                    "version": self.version,
                },
            }

    def instantiate_trainer(self, **options: Any) -> Trainer:
        """Return the trainer, without the callbacks of a synthetic set where the model makes none."""
        trainer = super().instantiate_trainer(**options)
        prepare_trainer(trainer, flag)
        check_processes(trainer)
        processes.watch(trainer.strategy.launcher, UserError(self.model.resume_hint).worded(flag))
        if not isinstance(self.model, Distiller):
            trainer.callbacks = [each for each in trainer.callbacks if not isinstance(each, DISTILLER_CALLBACKS)]
        return trainer

    def after_fit(self) -> None:
        """Refuse to end well where nothing was learned."""
        check_learned(self.trainer)

    def after_instantiate_classes(self) -> None:
        """Give the method the plain values that it was made from, for checkpoints and records."""
        self._dump_config()
        self.model.command = self.command
        self.model.options = {"model": self.config_dump["model"], "data": self.config_dump["data"]}
        for linked in LINKED:  # the data say these
            self.model.options["model"]["init_args"].pop(linked, None)
        if "root" in self.model.options["data"]["init_args"]:
            self.model.options["data"]["init_args"]["root"] = "DATA"  # records name no machine's folders


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: in place of the process's own arguments.

    Returns:
        The exit code; an error that a user can fix is one sentence on standard error.
    """
    try:
        _run(args)
    except KeyboardInterrupt:
        return _fail("Interrupted before the run had started.", 130)
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        return _fail("Interrupted before the first step.", 130)  # Lightning made an exit of it
    except Exception as error:
        return _explain(error)
    return 0


def _explain(error: BaseException) -> int:
    """Print an error that a user can fix, and return the exit code; raise any other."""
    processes.wait_for_rank_zero()
    if processes.lost_process(error):
        said = processes.explain_lost()
        processes.end_others()
        return _fail(said, 1) if said else 1
    processes.end_others()
    found = refusal(error)
    if found is None:
        raise error
    if isinstance(found, InterruptedRunError):
        print(f"\n{found.worded(flag)}", file=sys.stderr)
        return found.exit_code
    return _fail(found, 1)


def _run(args: Sequence[str] | None) -> None:
    silence_third_party_warnings()
    words, commands = sys.argv[1:] if args is None else args, DistillationCLI.subcommands()
    asked = {name: left_out for name, left_out in commands.items() if name in words[:1]} or commands
    # the parser of a command takes a while to build: only that of the one that was asked for
    type("DistillationCLI", (DistillationCLI,), {"subcommands": staticmethod(lambda: asked)})(
        Task,
        ImageData,
        subclass_mode_model=True,
        subclass_mode_data=True,
        seed_everything_default=0,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,  # checkpoints hold the method's options themselves
        parser_class=PlainParser,
        parser_kwargs={"prog": "python -m lightning_dd"},  # not the name of a file
        save_config_callback=RunConfig,
        save_config_kwargs={"save_to_log_dir": False},  # it does so itself
        trainer_defaults=dict(TRAINER_DEFAULTS),
        args=args,
    )


def flag(option: str) -> str:
    """Return an option's name on the command line: `--model.lr` for `lr`, `--evaluation.epochs` for that of a group."""
    return (
        f"--{option}" if "." in option or option in ("ckpt_path", "config", "seed_everything") else f"--model.{option}"
    )


def _fail(error: object, code: int) -> int:
    text = (error.worded(flag) if isinstance(error, UserError) else str(error)).replace("\n", " ")
    print(f"\nerror: {text}{'' if text.endswith('.') else '.'}", file=sys.stderr)
    return code
