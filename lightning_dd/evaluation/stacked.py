"""Train and test several networks of one architecture as one stacked model.

A GPU is kept waiting by the launches of small layers: there one stacked layer takes hardly longer than one network's.
On two CPU cores stacking loses, since a stacked convolution is a grouped one, which is slow there (`tools/benchmark.py
evaluate`). So networks are stacked on a GPU and take turns on a CPU. The gain on a GPU has not been measured.
"""

import copy
from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from lightning_dd.augmentation import DSA, Draw
from lightning_dd.evaluation.protocol import Protocol, RecordedProtocol
from lightning_dd.evaluation.regression import KernelProtocol
from lightning_dd.evaluation.training import Augmentation, batches, test_chunk

AT_ONCE_ON_GPU = 10  # not measured


def networks_at_once(asked: int | None, device: torch.device, protocol: Protocol) -> int:
    """Return how many networks are trained together.

    Args:
        asked: by the user; None takes 1 on a CPU and 10 on a GPU.
        device: where they are trained.
        protocol: where each network has a learning rate of its own, as under `kip`, or the set brings its own steps,
            they are trained one by one; a kernel is no network.
    """
    own_rate = type(protocol).highest_rate is not Protocol.highest_rate
    if own_rate or isinstance(protocol, RecordedProtocol | KernelProtocol):
        return 1
    return asked or (1 if device.type == "cpu" else AT_ONCE_ON_GPU)


class Stack(nn.Module):
    """Several networks of one architecture as one module; every parameter and buffer has a leading dimension K.

    Args:
        networks: K of them, on one device; they are copied.

    Shape:
        - Input: `(K, B, C, H, W)`, a batch for each network, or `(B, C, H, W)`, one for all.
        - Output: logits `(K, B, num_classes)`.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        parameters, self._buffers_by_name = stack_module_state(list(networks))
        self._names = list(parameters)
        self.stacked = nn.ParameterList([nn.Parameter(value.detach()) for value in parameters.values()])
        self._skeleton = [copy.deepcopy(networks[0]).to("meta")]  # in a list: its parameters are none of ours

    def train(self, mode: bool = True) -> "Stack":
        """Put all networks into training or evaluation mode."""
        self._skeleton[0].train(mode)
        return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of every network."""
        parameters = dict(zip(self._names, self.stacked, strict=True))

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor) -> Tensor:
            return functional_call(self._skeleton[0], (parameters, buffers), (images,))

        each = torch.vmap(one, in_dims=(0, 0, 0 if images.ndim == 5 else None), randomness="different")
        return each(parameters, self._buffers_by_name, images)


def train_stack(
    networks: Sequence[nn.Module],
    images: Sequence[Tensor],
    labels: Sequence[Tensor],
    protocol: Protocol,
    augment: Augmentation | None,
    generators: Sequence[torch.Generator],
) -> Stack:
    """Train networks together, each as `train_network` would alone, and return them as one model.

    Args:
        networks: K fresh ones, on the device of the images; they stay as they are.
        images: of each network, `(N, C, H, W)`.
        labels: of each network, `(N,)` or `(N, num_classes)`.
        protocol: with one learning rate for all networks.
        augment: applied to each network's mini-batch with its own generator.
        generators: of each network, on the CPU.
    """
    stack = Stack(networks).train()
    count = len(images[0])
    shown, answers = torch.stack(list(images)).detach(), torch.stack(list(labels)).detach()
    which = torch.arange(len(networks))[:, None]
    mean_losses = torch.vmap(protocol.loss)
    rate, optimizer = protocol.highest_rate(networks[0], images[0]), protocol.optimizer(stack)
    orders = zip(*(batches(protocol, count, generator) for generator in generators), strict=True)
    for step, rows in enumerate(islice(orders, protocol.num_steps(count))):
        if protocol.starts_anew(step, count):
            optimizer = protocol.optimizer(stack)
        for group in optimizer.param_groups:
            group["lr"] = rate * protocol.rate_factor(step, count)
        chosen = which, torch.stack(rows)
        batch = _augmented(shown[chosen], augment, generators)
        # each network's parameters are in one term only, so the sum's gradient is each one's own
        loss = mean_losses(stack(batch), answers[chosen]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return stack


@torch.no_grad()
def accuracies_of(stack: Stack, images: Tensor, labels: Tensor, chunk: int | None = None) -> list[float]:
    """Return the accuracy of each network in percent.

    Args:
        stack: the networks; they are put into eval mode.
        images: `(N, C, H, W)` in the space in which the networks were trained.
        labels: `(N,)` class indices.
        chunk: images in one forward; None takes what suits the device.
    """
    stack.eval()
    chunk = chunk or test_chunk(images.device)
    correct: Any = 0
    for part, truth in zip(images.split(chunk), labels.split(chunk), strict=True):
        correct = correct + (stack(part).argmax(2) == truth).sum(1)
    return (100 * correct.double() / len(labels)).tolist()


def _augmented(images: Tensor, augment: Augmentation | None, generators: Sequence[torch.Generator]) -> Tensor:
    """Return the batches `(K, B, C, H, W)`, each augmented under its own generator."""
    if augment is None:
        return images
    if not isinstance(augment, DSA):
        return torch.stack([augment(batch, generator) for batch, generator in zip(images, generators, strict=True)])
    # as if each were alone, but in at most one call for each kind of operation
    size, count = images.shape[-2:], images.shape[1]
    draws = [augment.draw(1, generator, size, per_image=count) for generator in generators]
    joined = Draw(tuple(draw.operations[0] for draw in draws), torch.cat([draw.values for draw in draws]))
    return augment.apply(joined.to(images.device), images)
