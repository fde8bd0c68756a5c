"""Leaving a Ray cluster of one's own, which must not end the process that goes on."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

ENDED_WHILE_COLLECTING = """
import gc, sys, threading
import ray
from search.connection import cluster

def litter():
    leaving.wait()
    references.clear()  # cycles: only the collector finds them
    [[] for _ in range(1_000_000)]  # which allocating starts, if it may run

references, leaving = [], threading.Event()
disconnect = ray._private.worker.disconnect

def leave(*arguments):
    disconnect(*arguments)
    sys.setswitchinterval(1e-6)
    leaving.set()

ray._private.worker.disconnect = leave
thread = threading.Thread(target=litter)
with cluster("local"):
    for _ in range(20_000):
        references.append(cycle := [ray.put(0)])
        cycle.append(cycle)
    gc.collect()  # old by now, so that only a full collection finds them
    gc.set_threshold(700, 1, 0)
    thread.start()
thread.join()
assert gc.isenabled()
gc.collect()
print("alive")
"""


def test_what_tune_left_in_cycles_does_not_end_the_process_when_another_thread_collects_it():
    done = subprocess.run(
        [sys.executable, "-c", ENDED_WHILE_COLLECTING], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
