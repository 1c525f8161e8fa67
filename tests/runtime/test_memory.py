"""The allocator's switch, thrown in a process of its own."""

import platform
import subprocess
import sys

import pytest

from lightning_dd.runtime import memory

CODE = """
import resource

import torch

from lightning_dd.runtime.memory import keep_freed_memory

torch.set_num_threads(1)


def faults(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        activations = torch.ones(8 * 2**20)  # 32 MB
        del activations
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


faults(5)
returned = faults(20)
took_effect = keep_freed_memory()
faults(5)
print(took_effect, returned, faults(20))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_freed_memory_is_kept():
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    took_effect, returned, kept = result.stdout.split()
    assert took_effect == "True"
    assert int(kept) < int(returned) / 3


def test_other_systems_go_without(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.keep_freed_memory() is False


def test_other_c_libraries_go_without(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert memory.keep_freed_memory() is False
