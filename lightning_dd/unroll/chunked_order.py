"""Mini-batches of synthetic images as trajectory matching takes them."""

import torch
from torch import Tensor


def permuted_chunks(images: int, batch: int, steps: int, generator: torch.Generator) -> list[Tensor]:
    """Return the rows of each step: chunks of a random permutation, and of another when it is used up.

    As the official code of MTT (arXiv 2203.11932) does it, chunks are taken from the end, so that one that is
    incomplete comes first.

    Args:
        images: N, the number of rows.
        batch: rows in a chunk.
        steps: how many chunks are wanted.
        generator: a CPU generator.

    Example:
        >>> [len(rows) for rows in permuted_chunks(5, 2, 4, torch.Generator().manual_seed(0))]
        [1, 2, 2, 1]
    """
    chunks: list[Tensor] = []
    while len(chunks) < steps:
        chunks += reversed(torch.randperm(images, generator=generator).split(batch))
    return chunks[:steps]
