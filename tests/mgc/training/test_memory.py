"""Freed memory: kept between the steps of a training, returned after it. In a process of its own, since the C library
is asked for the whole process.
"""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc"
)

ROOT = Path(__file__).parents[3]
PASSES = """
import ctypes
import resource
import torch
from pathlib import Path
from benchmarks.training import RandomClips
from mgc.training import memory
from mgc.config import ClipShape, DataConfig
from mgc.networks.training_config import training_config
from mgc.training.training import Training

NO_HUGE_PAGES = 41  # PR_SET_THP_DISABLE: with them a page is 2 MB
ctypes.CDLL(None).prctl(NO_HUGE_PAGES, 1, 0, 0, 0)
torch.set_num_threads(1)
shape = ClipShape(modality="spectrogram", bins=128, frames=128, samples=66_150, picture=None)
params = {"model": "se_cnn", "channels": [32, 8, 8, 8, 8], "r": 8, "batch_size": 16, "precision": "fp32"}
training = Training(training_config(params, data=DataConfig(), epochs=1), RandomClips(shape, 16))

def pages_fetched(is_kept):
    fetched = 0
    for _ in range(6):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        training._train()
        fetched += resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        if not is_kept:
            memory.give_back()
    return fetched

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

pages_fetched(is_kept=True)
kept, held = pages_fetched(is_kept=True), resident()
memory.give_back()
print(kept, pages_fetched(is_kept=False), held, resident())
block = torch.ones(1 << 28, dtype=torch.uint8)
with_block = resident()
del block
print(with_block, resident())
"""


@pytest.fixture(scope="module")
def seen():
    """Of six passes of a training of one step each the pages that they fetched, and those of six after each of which
    all was given back; bytes resident before and after that; and with a block of 256 MB and when it was freed.
    """
    done = subprocess.run([sys.executable, "-c", PASSES], cwd=ROOT, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_a_training_keeps_what_its_steps_free(seen):
    kept, by_themselves, *_ = seen
    assert kept < by_themselves / 5


def test_what_is_given_back_is_the_systems(seen):
    _, _, held, after, *_ = seen
    assert after < held - (1 << 26)


def test_from_then_on_large_blocks_are_the_systems_as_before(seen):
    *_, with_block, without = seen
    assert without < with_block - (1 << 27)
