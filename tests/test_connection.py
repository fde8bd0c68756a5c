"""A Ray cluster of one's own: what is done while it starts, and leaving it, which must not end the process."""

import subprocess
import sys
import threading

import pytest

from mgc.config import ConfigError
from search.connection import cluster

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


@pytest.mark.slow
def test_what_tune_left_in_cycles_does_not_end_the_process_when_another_thread_collects_it():
    done = subprocess.run(
        [sys.executable, "-c", ENDED_WHILE_COLLECTING], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_a_cluster_that_is_not_there_is_said_when_what_was_done_meanwhile_is_over(monkeypatch):
    begun, over = threading.Event(), []

    def no_cluster(**_):
        assert begun.wait(10)
        raise ConnectionError("nobody is there")

    def work():
        begun.set()
        over.append(threading.current_thread() is not threading.main_thread())

    monkeypatch.setattr("ray.init", no_cluster)
    with (
        pytest.raises(ConfigError, match="no Ray cluster answers at auto: nobody is there"),
        cluster("auto", meanwhile=work),
    ):
        pass
    assert over == [True]


def test_what_goes_wrong_meanwhile_is_said_and_the_cluster_left(monkeypatch):
    left = []
    monkeypatch.setattr("ray.init", lambda **_: None)
    monkeypatch.setattr("ray.shutdown", lambda: left.append(True))
    with pytest.raises(ZeroDivisionError), cluster("auto", meanwhile=lambda: 1 // 0):
        pytest.fail("the body ran")
    assert left == [True]
