"""Networks trained on the whole training set before the run: one mechanism for coresets' features and for methods."""

import hashlib
import inspect
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_dd.artifact.files import tensor_digest
from lightning_dd.artifact.schema import digest
from lightning_dd.data.cache import cached
from lightning_dd.errors import OptionError, UserError
from lightning_dd.networks import Network, NetworkFactory, build
from lightning_dd.networks.base import has_batch_norm
from lightning_dd.networks.build import without_dropout
from lightning_dd.rng import generator, key
from lightning_dd.runtime.bars import tqdm
from lightning_dd.runtime.flops import forward_operations
from lightning_dd.runtime.options import PositiveInt
from lightning_dd.training import recipes
from lightning_dd.training.data import TrainingSet, training_set
from lightning_dd.training.recipes import Recipe
from lightning_dd.training.sources import NetworkSource, SourceContext
from lightning_dd.training.states import check_networks


def trained_network(
    data: TrainingSet,
    factory: NetworkFactory,
    recipe: Recipe,
    epochs: int,
    seed: int,
    device: torch.device,
    cache: bool = True,
    compile: bool = False,
    tick: recipes.Tick = lambda: None,
) -> tuple[Network, Tensor | None]:
    """Train a network, or take it from the cache folder where it was trained on the same images before.

    It depends on the recipe (`lightning_dd.training.recipes`), E epochs, and the seed of its initial weights and of the
    order of the images; on the device, and on `compile`, which `plain` does not heed, to rounding. `cache` keeps it on
    disk; `tick` is called after each mini-batch.

    Returns:
        The network, with the `seconds` that it took, wherever it was trained; and under `plain` whether it classified
        each image rightly in each epoch, `(E, N)`.

    Raises:
        UserError: the network has no features.
    """
    shape, weights = tuple(data.images.shape[1:]), initial_weights(seed, device)
    network = without_dropout(build(factory, shape, data.num_classes, weights, device))
    if not isinstance(network, Network):
        raise UserError(f"A network with features is needed, and {type(network).__name__} has none; use ConvNet.")

    def learn() -> dict[str, Tensor]:
        found, start = {}, time.perf_counter()
        with torch.enable_grad():
            if recipe == "plain":
                found["history"] = recipes.train_plain(network, data, epochs, seed, tick)
            else:
                training = epochs, seed, tick, compile
                if recipe == "fast":
                    recipes.train_fast(network, data, *training)
                else:
                    recipes.train_cutmix(network, data, recipe, *training)
        found |= {name: tensor.cpu() for name, tensor in network.state_dict().items()}
        return found | {"seconds": torch.tensor(time.perf_counter() - start)}

    depends_on = {
        "network": str(network),
        "kept": "seconds too",
        "epochs": epochs,
        "seed": seed,
        "device": device.type,  # devices round
    }
    if own := source_digest(network.written_in):
        depends_on |= {"source": own, "options": network.made_from["init_args"]}  # which its text need not show
    cache = cache and own is not None
    depends_on |= {"shape": list(data.images.shape), "pixels and labels": data.digest}
    depends_on |= {"preprocessing": data.preprocessing, "recipe": recipes.describe(recipe, data, device)}
    state = cached([], depends_on, learn, cache)
    history, network.seconds = state.pop("history", None), float(state.pop("seconds", 0))
    network.load_state_dict(state)
    return network.eval(), history


def source_digest(kind: type) -> str | None:
    """Return a digest of the files in which a user's network and what it inherits from stand; empty for this package's.

    A network whose modules are called alike may compute otherwise. None where there are no files, as in a notebook.
    """
    known = "lightning_dd", "torch", "builtins"
    own = [each for each in kind.__mro__ if each.__module__.partition(".")[0] not in known]
    try:
        files = sorted({inspect.getsourcefile(each) for each in own})
        return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest() if files else ""
    except (OSError, TypeError):
        return None


def initial_weights(seed: int, device: torch.device) -> torch.Generator:
    """Return the generator of a trained network's initial weights."""
    return generator(seed, "features/weights", device=device)


class PretrainedNetworks(NetworkSource):
    """At every iteration one of some networks that were trained on the real images, in eval mode.

    They are trained before the first step, shared out among processes, or taken from the cache folder.

    Args:
        number: of networks.
        epochs: passes over the training set of each.
        recipe: `fast` (one-cycle SGD with crops and mirror images, in bf16 where the processor has it, compiled where
            the method is), `dance`, `ncfm`, `dsdm` or `accdd` (those of the methods' official code), or `plain` (that
            of the coresets' network).
        mix: give each iteration's network the weights `u initial + (1 - u) trained`, u uniform in [0, 1), as DANCE and
            NCFM (arXiv 2502.20653) do.

    Raises:
        UserError: at the start, where the network has no features, or batch normalization and is to be mixed.
    """

    def __init__(
        self, number: PositiveInt = 20, epochs: PositiveInt = 5, recipe: Recipe = "fast", mix: bool = False
    ) -> None:
        self.number, self.epochs, self.recipe, self.mix = number, epochs, recipe, mix
        self._states: list[dict[str, Tensor]] = []
        self._trained_network: Network | None = None
        self._network: Network | None = None

    def setup(self, context: SourceContext) -> None:
        """Train the networks."""
        super().setup(context)
        if self.mix and has_batch_norm(context.sample()):
            raise OptionError("model.networks.mix", "suits no batch normalization, whose statistics would fit neither")
        data = training_set(context.data, context.device)
        share = range(self.number)[context.rank :: context.world_size]
        total = len(share) * self.epochs * recipes.steps_per_epoch(self.recipe, data)
        with tqdm(total=total, desc="pretraining networks", leave=False, disable=not context.progress) as bar:
            states = {index: self._trained(index, data, bar) for index in share}
        if context.world_size > 1:
            shares: list[dict[int, Any]] = [{}] * context.world_size
            torch.distributed.all_gather_object(shares, states)
            states = {index: state for part in shares for index, state in part.items()}
        named = {f"{i}.{name}": t for i, state in states.items() for name, t in state.items() if name != "seconds"}
        self._digest = tensor_digest(named)
        for state in states.values():
            state.update((name, tensor.to(context.device)) for name, tensor in state.items())
        seconds = sum(float(state.pop("seconds", 0)) for state in states.values())
        self._states = [states[index] for index in range(self.number)]
        # in the precision that networks were trained in, whatever that of the steps: others draw other weights
        self._initial = context.build(initial_weights(self._seed(0), context.device)).eval()
        network = context.sample()
        epoch = recipes.steps_per_epoch(self.recipe, data) * recipes.batch_size(self.recipe, data)
        operations = 3 * self.number * self.epochs * epoch * forward_operations(network.eval(), context.image_shape)
        self.prepared = {"seconds": round(seconds, 1), "operations": operations}

    def at(self, iteration: int) -> Network:
        """Return the network of an iteration."""
        context = self.context
        index, draw = self._drawn(iteration)
        trained, start = self._states[index], initial_weights(self._seed(index), context.device)
        if self._network is None:
            weights = initial_weights(context.seed, context.device)  # replaced below
            self._network = context.build(weights).eval().requires_grad_(context.trainable)
        initial = self._initial.initialize(start).state_dict() if self.mix else {}
        share = 1 - torch.rand((), generator=draw, dtype=torch.float32).item() if self.mix else 1
        for name, tensor in self._network.state_dict().items():
            last = trained[name].to(tensor)
            tensor.copy_(torch.lerp(initial[name].to(tensor), last, share) if self.mix else last)
        return self._network

    def trained(self, iteration: int) -> Network:
        """Return the network of an iteration with its last weights."""
        if not self.mix:
            return self._network
        index, _ = self._drawn(iteration)
        if self._trained_network is None:
            start = initial_weights(self._seed(index), self.context.device)
            self._trained_network = self.context.build(start).eval().requires_grad_(False)
        self._trained_network.load_state_dict(self._states[index])
        return self._trained_network

    def _drawn(self, iteration: int) -> tuple[int, torch.Generator]:
        """Return which network an iteration has, and the generator of its share."""
        draw = generator(self.context.seed, "pretrained network", iteration)
        return int(torch.randint(self.number, (), generator=draw)), draw

    def state_dict(self) -> dict[str, str]:
        """Return a digest of the networks, which are trained or read again."""
        return {"digest": self._digest}

    def has_state(self, iteration: int) -> bool:
        """Return whether there are networks."""
        return True

    def load_state_dict(self, state: dict[str, str]) -> None:
        """Raise a `UserError` where the networks of the checkpoint were others."""
        check_networks(digest(state.get("digest")), "their digest")
        if self._states and state["digest"] != self._digest:
            raise UserError(
                "The pretrained networks are not those of the checkpoint: they were trained again, on other data, or "
                "rounded otherwise. Give the cache folder of that run as LIGHTNING_DD_CACHE, or start a new run."
            )

    def _trained(self, index: int, data: TrainingSet, bar: tqdm) -> dict[str, Tensor]:
        context, before = self.context, bar.n
        training = data, context.factory, self.recipe, self.epochs, self._seed(index), context.device
        network, _ = trained_network(*training, context.data.cache, context.compile, bar.update)
        if bar.n == before:  # it was in the cache: no time is estimated for it
            bar.total -= self.epochs * recipes.steps_per_epoch(self.recipe, data)
        state = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
        return state | {"seconds": torch.tensor(network.seconds)}

    def _seed(self, index: int) -> int:
        """Return the seed of a network; the first is that of the coresets."""
        return key(self.context.seed, "pretrained network", index) if index else self.context.seed
