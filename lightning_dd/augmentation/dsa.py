"""Differentiable siamese augmentation (DSA, arXiv 2102.08259).

One operation is sampled uniformly by name for each group of images. In matching, a group is a class, and its real and
synthetic images share the transform. In training on a set, a group is a mini-batch, and each image has its own
parameters. Later papers (IDC, arXiv 2205.14959; NCFM, 2502.20653) chain operations: a chain takes the place of one.

Shapes: K groups (classes), N images in each, P sets of parameters in each: 1 (shared) or N.
"""

import difflib
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lightning_dd.augmentation.operations import NUM_UNIFORMS, OPERATIONS
from lightning_dd.errors import UserError

ALL_OPERATIONS = "color_crop_cutout_flip_scale_rotate"
CHAIN = "color+crop+cutout"
"""The operations that IDC, NCFM and DANCE apply one after another to all images of a class."""


@dataclass(frozen=True)
class Draw:
    """The operations and parameters of K groups.

    Attributes:
        operations: the name of each of the K groups' operation or chain.
        values: `(K, P, 3 L)` parameters of each group's operation, or of up to L operations one after another.
    """

    operations: tuple[str, ...]
    values: Tensor

    def __len__(self) -> int:
        return len(self.operations)

    def __getitem__(self, groups: slice | list[int] | Tensor) -> "Draw":
        """Return the draw of some groups, for example of a rank's classes (given on the CPU, or the device waits)."""
        if isinstance(groups, Tensor):
            groups = groups.cpu()
        rows = torch.arange(len(self))[groups]
        return Draw(tuple(self.operations[row] for row in rows.tolist()), self.values[rows.to(self.values.device)])

    def to(self, device: torch.device | str) -> "Draw":
        """Return the same draw with its parameters on a device."""
        return replace(self, values=self.values.to(device, non_blocking=True))


class DSA:
    """Samples and applies one differentiable operation, or one chain of them, per group.

    Args:
        strategy: names joined by `_`, out of color, crop, cutout, flip, scale, rotate, one of which is sampled. Names
            joined by `+` are applied one after another and count as one. Digits (MNIST, SVHN) leave out flip.

    Raises:
        UserError: a name that is none of these.

    Example:
        >>> dsa = DSA("color_crop_cutout_scale_rotate")
        >>> real, synthetic = torch.randn(10, 256, 1, 28, 28), torch.randn(10, 1, 1, 28, 28)
        >>> draw = dsa.draw(10, torch.Generator().manual_seed(0), (28, 28))
        >>> real, synthetic = (dsa.apply(draw, images) for images in (real, synthetic))
    """

    def __init__(self, strategy: str = ALL_OPERATIONS) -> None:
        self.strategy = strategy
        self.names = tuple(strategy.split("_"))
        self._chains = {name: [self._operation(part) for part in name.split("+")] for name in self.names}
        self._length = max(map(len, self._chains.values()))

    def without(self, name: str) -> "DSA | None":
        """Return the same strategy without an operation; None where none is left."""
        chains = ["+".join(part for part in chain.split("+") if part != name) for chain in self.names]
        strategy = "_".join(filter(None, chains))
        return DSA(strategy) if strategy else None

    def _operation(self, name: str) -> Any:
        if name not in OPERATIONS:
            near = difflib.get_close_matches(name, OPERATIONS, n=1)
            hint = f' (did you mean "{near[0]}"?)' if near else ""
            known = f"{hint}: the operations are {', '.join(OPERATIONS)}"
            raise UserError(f'"{name}" in the augmentation strategy "{self.strategy}" is unknown{known}.')
        return OPERATIONS[name]()

    def draw(
        self, groups: int, generator: torch.Generator, image_size: tuple[int, int], per_image: int | None = None
    ) -> Draw:
        """Sample an operation for each group, and its parameters for each group or each image, on the CPU.

        A group's parameters depend on no other group's operation. Sample for all classes and take a rank's share
        afterwards.

        Args:
            groups: K.
            generator: a CPU generator.
            image_size: `(H, W)`.
            per_image: N for parameters per image; None for one set a group (siamese).
        """
        chosen = torch.randint(len(self.names), (groups,), generator=generator).tolist()
        uniforms = torch.rand(groups, per_image or 1, self._length * NUM_UNIFORMS, generator=generator)
        names = tuple(self.names[index] for index in chosen)
        for name, members in _by_operation(names).items():
            of_these = uniforms[members].split(NUM_UNIFORMS, -1)  # those of a longer chain stay as they are
            found = [op.parameters(part, image_size) for op, part in zip(self._chains[name], of_these, strict=False)]
            uniforms[members, :, : len(found) * NUM_UNIFORMS] = torch.cat(found, -1)
        return Draw(names, uniforms)

    def apply(self, draw: Draw, images: Tensor) -> Tensor:
        """Transform each group with its draw, in one call for each operation that occurs.

        Args:
            draw: of K groups, on the images' device.
            images: `(K, N, C, H, W)` in normalized or whitened space.

        Returns:
            Images of the same shape and dtype, differentiable in `images`.

        Raises:
            ValueError: the draw is for another number of groups.
        """
        if len(draw) != len(images):
            raise ValueError(f"The draw is for {len(draw)} groups, but there are images of {len(images)}.")
        by_operation = _by_operation(draw.operations)
        if len(by_operation) <= 1:  # nothing to sort; also the case of no group at all
            return self._call(*by_operation, images, draw.values) if by_operation else images
        # Views are stacked rather than indexed: no index tensor travels to the device, no write goes into the graph.
        groups, values = images.unbind(), draw.values.unbind()
        transformed: dict[int, Tensor] = {}
        for name, members in by_operation.items():
            of_these = (torch.stack([parts[k] for k in members]) for parts in (groups, values))
            transformed.update(zip(members, self._call(name, *of_these).unbind(), strict=True))
        return torch.stack([transformed[k] for k in range(len(draw))])

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a mini-batch `(N, C, H, W)` under one operation, with new parameters for each image."""
        draw = self.draw(1, generator, images.shape[-2:], per_image=len(images))
        return self.apply(draw.to(images.device), images.unsqueeze(0)).squeeze(0)

    def _call(self, name: str, images: Tensor, values: Tensor) -> Tensor:
        for operation, part in zip(self._chains[name], values.split(NUM_UNIFORMS, -1), strict=False):
            images = operation.apply_transform(images, {"values": part})
        return images


def _by_operation(names: tuple[str, ...]) -> dict[str, list[int]]:
    """Return the groups of each operation, in order of appearance."""
    members: dict[str, list[int]] = {}
    for group, name in enumerate(names):
        members.setdefault(name, []).append(group)
    return members
