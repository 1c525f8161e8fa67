"""Preparation of a method: options, synthetic set, networks, optimizer."""

import math
import time
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.callbacks import Timer
from torch import Tensor
from torch.nn import functional as F

from lightning_dd.artifact.codecs import Codec, CodecFactory, Pixels
from lightning_dd.artifact.labels import Labels
from lightning_dd.artifact.synthetic import SyntheticSet
from lightning_dd.augmentation import DSA
from lightning_dd.coresets import select
from lightning_dd.errors import OptionError, UserError
from lightning_dd.methods.resumable import Resumable
from lightning_dd.methods.summary import method_text, network_text, set_text
from lightning_dd.networks import ConvNet, NetworkFactory
from lightning_dd.networks.build import sample
from lightning_dd.rng import generator
from lightning_dd.runtime.flops import forward_operations
from lightning_dd.runtime.memory import check_fits
from lightning_dd.runtime.options import Momentum, PositiveFloat, PositiveInt, UnitInterval
from lightning_dd.training.data import training_set
from lightning_dd.training.features import TrainedFeatures, train_features
from lightning_dd.training.sources import NetworkSource, NoNetworks, RandomNetworks, SourceContext

Init = Literal["real", "noise", "herding", "k_center", "forgetting", "k_means"]
CHECK_EVERY_ON_GPU = 10
CODEC_IMAGES = 20_000  # that a codec is fitted to


class Preparation(Resumable):
    """Options, synthetic set, networks and optimizer of a method.

    Args:
        ipc: images per class: what is stored.
        network: the network that the method matches on; called with an image shape and a number of classes.
        codec: how the images are stored: `Pixels`, `Tiles` or `Frequencies`.
        networks: where the networks come from; None takes the method's own source.
        init: how the images start: `"noise"` (standard normal), `"real"` (random training images of the class), or
            training images chosen by the rule of a coreset, which trains a network on the whole training set first.
        repeat_images: where they start from training images, use those of a class more than once if it has too few.
        augmentation: DSA operations joined by `_`, for example `"color_crop_cutout_flip_scale_rotate"`; None for none.
        lr: learning rate of the images (SGD).
        momentum: momentum of the images.
        clip: largest norm of the gradient in one step, of the images and of whatever else is learned, each for itself;
            None leaves it as it is.
        lr_decay: factor on the learning rates at the end, reached along a cosine over `trainer.max_steps`; 1 is
            constant, as published.
        feature_epochs: passes over the training set in which that network is trained; only with `init` of a coreset.
        ema: decay of a running average of the stored images over the steps, as in FTD (arXiv 2211.11004); what is
            evaluated and written is then the average. None has none.
        compile: compile the objective with `torch.compile` (slow once, then faster steps).
        **facts: of the data and the run; see `Task`.

    Attributes:
        synthetic: what is learned: decoded images `(N, C, H, W)`, class-major, in normalized or whitened space, never
            clipped; and their labels, class indices `(N,)` or `(N, num_classes)`.
    """

    paper: ClassVar[str] = ""
    """Title, venue and arXiv id."""
    published_steps: ClassVar[int | None] = None
    protocol: ClassVar[str] = "common"
    """The evaluation protocol of the paper."""
    needs: ClassVar[str] = RandomNetworks.gives
    """The kind of networks that its source has to give."""
    differentiates_weights: ClassVar[bool] = False
    """Whether the objective takes gradients of networks' weights."""
    network_options: ClassVar[tuple[str, ...]] = ()
    """The options that say how the method's own networks are made, which have no effect beside `networks`."""
    real_option: ClassVar[str | None] = None
    """The option that is the number of real images in a step, or of each class in a step; it shrinks to the data."""
    finite_check_interval = 1
    """Check that the loss is finite every this many steps."""

    def __init__(
        self,
        ipc: PositiveInt,
        network: NetworkFactory = ConvNet,
        codec: CodecFactory = Pixels,
        networks: NetworkSource | None = None,
        init: Init = "real",
        repeat_images: bool = False,
        augmentation: str | None = None,
        lr: PositiveFloat = 1.0,
        momentum: Momentum = 0.5,
        clip: PositiveFloat | None = None,
        lr_decay: UnitInterval = 1.0,
        feature_epochs: PositiveInt = 10,
        ema: Momentum | None = None,
        compile: bool = False,
        **facts: Any,
    ) -> None:
        super().__init__(**facts)
        for option, made in (("network", network), ("codec", codec)):
            if made is None:
                raise OptionError(option, "cannot be null: leave it out for the default")
        self.ipc, self.network, self.given_networks = ipc, network, self.checked_source(networks)
        self.init, self.repeat_images, self.feature_epochs = init, repeat_images, feature_epochs
        self.augmentation = DSA(augmentation) if augmentation else None
        self.lr, self.momentum, self.clip, self.lr_decay = lr, momentum, clip, lr_decay
        self.compile_objective = compile
        self.ema = ema
        self._last_finite: dict[str, Any] = {}
        self.shrunk: dict[str, int] = {}
        self.start_operations = 0  # of a network that was trained to choose the first images by
        height, width = self.image_shape[1:]
        stored_bytes = 4 * self.num_classes * ipc * self.image_shape[0] * height * width
        check_fits(stored_bytes, f"{self.num_classes * ipc:,} synthetic images of {height}x{width} pixels")
        stored = codec(self.num_classes, ipc, self.image_shape)
        classes = torch.arange(self.num_classes).repeat_interleave(stored.images_per_class)
        self.synthetic = SyntheticSet(stored, Labels(classes))

    @cached_property
    def networks(self) -> NetworkSource:
        """The source of networks: what the user asked for, or else the method's own."""
        return self.given_networks or self.own_networks()

    def checked_source(self, networks: NetworkSource | None) -> NetworkSource | None:
        """Return a source that the user gave; an `OptionError` where it gives something else than the method needs."""
        if networks is not None and networks.gives != self.needs:
            raise OptionError("networks", f"gives {networks.gives}, and {type(self).__name__} needs {self.needs}")
        return networks

    @property
    def evaluation_network(self) -> NetworkFactory:
        """The network that evaluations train where the user names none: the one that the method matches on."""
        return self.network

    def own_networks(self) -> NetworkSource:
        """Return the source of the paper."""
        return RandomNetworks()

    def network_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of networks that are trained on the synthetic set."""
        return F.cross_entropy(logits, targets)

    def setup(self, stage: str) -> None:
        """Prepare the networks and initialize the synthetic set; a checkpoint, loaded later, replaces it."""
        if stage != "fit":
            return
        self._set_length()
        self._fit_batches()
        run = self.trainer
        device = run.strategy.root_device
        self.finite_check_interval = CHECK_EVERY_ON_GPU if device.type == "cuda" else 1
        progress = run.progress_bar_callback is not None and run.is_global_zero
        context = {"device": device, "rank": run.global_rank, "world_size": run.world_size, "progress": progress}
        self.networks.setup(self.source_context(data=run.datamodule, **context))
        self._fit_codec()
        with torch.no_grad(), self.stopwatch.part("start", device):
            self.initialize(generator(self.seed, "init"))

    def source_context(self, **run: Any) -> SourceContext:
        """Return what the source of networks is told of the method and of the run (`device`, `rank`, `data`, ...)."""
        return SourceContext(
            self.network,
            self.image_shape,
            self.num_classes,
            self.seed,
            trainable=self.differentiates_weights,
            compile=self.compile_objective,
            loss=self.network_loss,
            augment=self.augmentation,
            **run,
        )

    def _fit_codec(self) -> None:
        """Show the codec real images, where it looks at them."""
        codec, data = self.synthetic.codec, self.trainer.datamodule
        if not codec.whitening and data.preprocessing.kind == "whitening":
            raise OptionError("codec", f"{codec.kind} takes no whitened images: leave {{data.zca}} out")
        if type(codec).fit is not Codec.fit:
            rows = torch.randperm(len(data.train_labels), generator=generator(self.seed, "codec"))[:CODEC_IMAGES]
            codec.fit(data.real_images(rows), data.train_labels[rows])

    def _set_length(self) -> None:
        """Take the published number of steps where nobody said when to stop: the loader is endless.

        Raises:
            UserError: there is no such number.
        """
        trainer = self.trainer
        timed = any(isinstance(callback, Timer) for callback in trainer.callbacks)
        counted = trainer.max_epochs not in (None, -1) and trainer.limit_train_batches != 1.0
        if trainer.max_steps == -1 and not timed and not counted:
            if self.published_steps is None:
                raise UserError(f"{type(self).__name__} has no published number of steps: give {{trainer.max_steps}}.")
            trainer.fit_loop.epoch_loop.max_steps = self.published_steps

    def _fit_batches(self) -> None:
        """Shrink a batch that is larger than the data, which would only repeat images, and say so."""
        if self.real_option is None:
            return
        asked, largest = getattr(self, self.real_option), self.largest_batch(self.trainer.datamodule.train_labels)
        if asked > largest:
            setattr(self, self.real_option, largest)
            self.shrunk = {self.real_option: largest}
            if self.trainer.is_global_zero:
                print(f"{self.real_option} is {largest:,} and not {asked:,}: the data have no more.", flush=True)

    def largest_batch(self, labels: Tensor) -> int:
        """Return the largest value of `real_option` for training images with labels `(N,)`."""
        return self.sampling.largest(labels)

    def resolved(self) -> dict[str, Any]:
        """Return what options came to that were left out or larger than the data: plain values, by name."""
        return {**super().resolved(), **self.shrunk}

    def initialize(self, draws: torch.Generator) -> None:
        """Give the synthetic images their first values.

        Raises:
            UserError: a class has too few images and they may not be repeated.
        """
        if self.init == "noise":
            self.synthetic.codec.start_noise(draws)
        else:
            self.synthetic.codec.start(self.trainer.datamodule.real_images(self.initial_rows(draws)))

    def initial_rows(self, draws: torch.Generator) -> Tensor:
        """Return the training images that the synthetic ones start from, `(N,)` rows."""
        data = self.trainer.datamodule
        rule = "random" if self.init == "real" else self.init
        classes, more = (self.num_classes, self.synthetic.images_per_class), (self._features, data.class_names)
        return select(rule, data.train_labels, *classes, draws, *more, repeat=self.repeat_images)

    def _features(self) -> TrainedFeatures:
        """Return the feature network of coresets."""
        run, data = self.networks.context, self.trainer.datamodule
        real = training_set(data, run.device)
        start, where = time.perf_counter(), (run.device, data.cache, run.progress)
        trained = train_features(real, self.network, self.feature_epochs, self.seed, *where)
        # a network that was trained before has cost as much
        self.stopwatch.add("start", max(0.0, trained.network.seconds - (time.perf_counter() - start)))
        images = self.feature_epochs * len(data.train_labels)
        self.start_operations = 3 * images * forward_operations(trained.network, self.image_shape)
        return trained

    def configure_optimizers(self) -> Any:
        """Return the one optimizer, with a named group for each kind of learnable tensor."""
        learned = {name: tensor for name, tensor in self.named_parameters() if tensor.requires_grad}
        groups = [{"params": [tensor], "name": _group(name)} for name, tensor in learned.items()]
        optimizer = self.build_optimizer(sorted(groups, key=lambda group: group["name"] != "images"))
        if not self.scheduled():
            return optimizer
        if self.lr_decay != 1 and self.trainer.max_steps <= 0:
            raise OptionError("lr_decay", "ends with the last step: set {trainer.max_steps}")
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, self.lr_factor)}

    def build_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return the optimizer of the images and of whatever else is learned."""
        return torch.optim.SGD(groups, self.lr, momentum=self.momentum)

    def scheduled(self) -> bool:
        """Return whether learning rates change."""
        return self.lr_decay != 1

    def lr_factor(self, step: int) -> float:
        """Return the factor on the learning rates at a step."""
        progress = min(1.0, step / max(1, self.trainer.max_steps))
        return self.lr_decay + (1 - self.lr_decay) * (1 + math.cos(math.pi * progress)) / 2

    def summary(self) -> dict[str, str]:
        """Return what the start of a run says of the method, by title."""
        own = "paper" in vars(type(self))  # not its parent's
        facts = self.trainer.max_steps, self.iteration, self.published_steps if own else None, self.resolved()
        rows = {"learned": set_text(self.synthetic), "method": method_text(type(self).__name__, *facts)}
        if self.needs == NoNetworks.gives:
            return rows
        return {"network": network_text(sample(self.network, self.image_shape, self.num_classes)), **rows}


def _group(parameter: str) -> str:
    """Return the name of a parameter's group: `images`, `labels`, or that of what a method learns besides."""
    return "labels" if parameter == "synthetic.labels.values" else parameter.split(".")[-1].removeprefix("raw_")
