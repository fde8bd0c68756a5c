"""Freed memory: kept between the steps of a training, returned after it. In a process of its own, since the C library
is asked for the whole process.
"""

import ctypes
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc"
)

STEPS = """
import resource
import torch
from pathlib import Path
from torch import nn
from mgc import memory

torch.set_num_threads(1)
network = nn.Sequential(nn.Conv2d(1, 16, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.MaxPool2d(2))
x = torch.rand(16, 1, 256, 256)

def step():
    network(x).sum().backward()

def pages_fetched(num_steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(num_steps):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

step()
by_itself, before = pages_fetched(6), resident()
memory.keep_freed()
step()
kept, held = pages_fetched(6), resident()
memory.give_back()
print(by_itself, kept, before, held, resident())
"""


@pytest.fixture(scope="module")
def seen():
    """Pages that six steps fetched before and after the process was told to keep what it frees, and bytes resident
    before that, after it, and once they were given back.
    """
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_steps_fetch_little_memory_that_those_before_had(seen):
    by_itself, kept, *_ = seen
    assert by_itself >= 1000  # one per 4 kB, fewer where pages are huge
    assert kept < by_itself / 5


def test_what_is_given_back_is_the_systems(seen):
    *_, before, held, after = seen
    assert held > before + (1 << 26)
    assert after < before + (1 << 25)
