"""Random generators keyed by what they are for.

A draw depends on `(seed, purpose, iteration)` and on nothing that happened before. That makes a resumed run equal
to the uninterrupted one, several processes equal to one, and lets evaluation happen without changing the run.
"""

import hashlib

import torch


def key(seed: int, purpose: str, iteration: int = 0) -> int:
    """Return a stable 63-bit number for a seed, a purpose and an iteration.

    Stable means: the same on every machine, process and Python version (unlike `hash`).
    """
    digest = hashlib.blake2b(f"{seed}|{purpose}|{iteration}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, purpose: str, iteration: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator that serves all items of one purpose at one iteration.

    Args:
        seed: the run's seed.
        purpose: what is drawn, for example `"real"` or `"network"`.
        iteration: the method's own counter, or the index of what is drawn.
        device: CPU for indices and operations, the run's device for noise and weights.

    Example:
        >>> a, b = (torch.rand(3, generator=generator(0, "real", 5)) for _ in range(2))
        >>> torch.equal(a, b)
        True
    """
    return torch.Generator(device=device).manual_seed(key(seed, purpose, iteration))
