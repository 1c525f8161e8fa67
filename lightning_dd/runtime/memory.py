"""Memory: how much was used, whether it ran out, and allocator settings for CPU runs.

glibc maps every large activation afresh and returns it to the system when it is freed; the page faults of that take up
to 40 % of a distillation step. Keeping freed memory costs nothing but a higher plateau of the process's size.
"""

import ctypes
import os
import resource
import sys

import torch

from lightning_dd.errors import UserError

# the names and numbers of glibc's <malloc.h>
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TOP_PAD = 256 * 2**20  # bytes asked from the system at a time


def keep_freed_memory() -> bool:
    """Make the C allocator keep freed memory for the next step; call it before the first large tensor.

    Returns:
        Whether it took effect: False where the C library has no `mallopt` (other systems, other allocators).
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, TOP_PAD))
    return all(mallopt(name, value) == 1 for name, value in settings)


def peak_memory(device: torch.device) -> int:
    """Return the largest memory used so far in bytes: of the GPU, or of the process on CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def check_fits(size: int, what: str) -> None:
    """Refuse, before memory is taken, what this machine has none for.

    Args:
        size: in bytes.
        what: it is, for the sentence.

    Raises:
        UserError: the machine has less.
    """
    has = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > has:
        needed = f"{size / 2**30:,.0f} GiB of memory, and this machine has {has / 2**30:,.0f}"
        raise UserError(f"{what[:1].upper()}{what[1:]} take {needed}: give fewer or smaller ones.")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)
