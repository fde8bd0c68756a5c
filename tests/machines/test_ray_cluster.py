"""A Ray cluster of one's own: what is done while it starts, and leaving it, which must not end the process."""

import errno
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest
import ray

from mgc.words.errors import ConfigError
from search.machines.ray_cluster import cluster

ROOT = Path(__file__).parents[2]
ENDED_WHILE_COLLECTING = """
import gc, sys, threading
import ray
from search.machines.ray_cluster import cluster

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


@pytest.mark.long
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
    monkeypatch.setattr("search.machines.ray_cluster._is_to_start", lambda _: False)
    with (
        pytest.raises(ConfigError, match=r"no Ray cluster answers at 127\.0\.0\.1:9: nobody is there"),
        cluster("127.0.0.1:9", meanwhile=work),
    ):
        pass
    assert over == [True]


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:9", "no-host.invalid:6379"])
def test_an_address_that_is_none_is_one_line(address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "")
    with pytest.raises(ConfigError, match=r"^no Ray cluster answers at .*$"), cluster(address):
        pass


@pytest.mark.parametrize("address", [None, "auto"])
def test_a_killed_cluster_that_ray_has_written_down_is_joined_only_where_one_is_asked_for(
    address, monkeypatch, tmp_path
):
    begun = []
    monkeypatch.setattr("ray.init", lambda **options: begun.append(options["address"]))
    monkeypatch.setenv("RAY_ADDRESS", "")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:9")
    # For "auto" Ray takes the only cluster that runs on this machine, which may be one of another test.
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", Mock(return_value=set()))
    if address is None:
        with cluster(address):
            assert begun == ["local"]
    else:
        with pytest.raises(ConfigError, match=r"^no Ray cluster answers at auto"), cluster(address):
            pass


def test_ray_does_not_take_sigterm_from_the_study(monkeypatch):
    seen = []

    def begin(**_):
        ray._private.utils.set_sigterm_handler(lambda *_: sys.exit(1))  # as Ray's node does
        seen.append(signal.getsignal(signal.SIGTERM))

    monkeypatch.setattr("ray.init", begin)
    monkeypatch.setattr("search.machines.ray_cluster._is_to_start", lambda _: True)
    before = signal.getsignal(signal.SIGTERM)
    with cluster("local"):
        seen.append(signal.getsignal(signal.SIGTERM))
    assert seen == [before, before]


def test_what_goes_wrong_meanwhile_is_said_and_the_cluster_left(monkeypatch):
    left = []
    monkeypatch.setattr("ray.init", lambda **_: None)
    monkeypatch.setattr("ray.shutdown", lambda: left.append(True))
    with pytest.raises(ZeroDivisionError), cluster("auto", meanwhile=lambda: 1 // 0):
        pytest.fail("the body ran")
    assert left == [True]


WITHOUT_CONTROL = """
import time
import ray
from search.machines.ray_cluster import cluster

try:
    with cluster("local"):
        ray._private.worker._global_node.all_processes["gcs_server"][0].process.kill()
        time.sleep(50)  # Ray itself ends the process after a minute
        print("nobody knows")
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.long
@pytest.mark.slow
def test_a_cluster_whose_control_is_killed_stops_the_study_with_a_line_that_tells_how_to_go_on():
    code = [sys.executable, "-c", WITHOUT_CONTROL]
    done = subprocess.run(code, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr
    assert "Ray's control (gcs_server at 127.0.0.1:" in done.stderr
    assert "its record is whole, and --resume goes on with it" in done.stderr


@pytest.mark.parametrize(
    "error",
    [Exception("The current node timed out\nduring startup"), BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))],
)
def test_a_cluster_that_does_not_start_is_one_line_that_names_what_it_needs(error, monkeypatch):
    def no_room(**_):
        raise error

    monkeypatch.setattr("ray.init", no_room)
    line = r"^Ray did not start on this machine \(.*(startup|unavailable)\): see that /\w+ and /dev/shm have room, .*$"
    with pytest.raises(ConfigError, match=line), cluster("local"):
        pytest.fail("the body ran")


FAMILY = """
import os, signal
import ray
from search.machines.ray_cluster import cluster
import psutil  # Ray's own, which importing Ray makes known

def program(words):
    # its file or title, or the script that Python runs
    return next(word for word in words if not os.path.basename(word).startswith(("python", "-")))

with cluster("local"):
    assert ray.get(ray.remote(lambda: 2).remote()) == 2
    me = psutil.Process()
    family = [me, *me.children(recursive=True)]
    addresses = {
        process: {each.laddr.ip for each in process.net_connections() if each.status == "LISTEN"} for process in family
    }
    words = [process.cmdline() for process in family if addresses[process] and process != me]
    signal.signal(signal.SIGTERM, lambda number, frame: print("asked to end"))
    os.killpg(0, signal.SIGTERM)
    assert ray.get(ray.remote(lambda: 3).remote()) == 3
    assert all(process.is_running() for process in family)
print(*map(program, words))
print(len(family) > 5, {each.removeprefix("::ffff:") for own in addresses.values() for each in own})
"""


@pytest.fixture(scope="module")
def family():
    """What a process prints that looks at all processes of its own cluster, and sends SIGTERM to its process group."""
    code = [sys.executable, "-c", FAMILY]
    done = subprocess.run(code, capture_output=True, text=True, timeout=300, check=False, start_new_session=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.long
@pytest.mark.slow
def test_a_cluster_of_its_own_listens_on_loopback_alone(family):
    assert family[-1] == "True {'127.0.0.1'}"


@pytest.mark.long
@pytest.mark.slow
def test_what_listens_has_its_row_in_the_guide(family):
    table = (ROOT / "docs" / "cluster.md").read_text().partition("### What listens")[2].partition("### Secrets")[0]
    rows = re.findall(r"^\|([^|]*)\|", table, flags=re.MULTILINE)
    known = {name for row in rows for name in re.findall(r"`([\w.:]+)`", row)} | {"ray::<lambda>"}  # FAMILY's own task
    listeners = {word.rpartition("/")[2] for word in family[-2].split()}
    assert listeners <= known
    assert {"gcs_server", "raylet", "ray::DashboardAgent"} <= listeners


@pytest.mark.long
@pytest.mark.slow
def test_a_signal_to_the_process_group_leaves_the_cluster_to_its_process(family):
    assert family[0] == "asked to end"


ONE_AFTER_THE_OTHER = """
import os, subprocess, sys
import ray
from ray.cluster_utils import Cluster
from search.machines.ray_cluster import cluster

with cluster("local"):
    assert os.environ["RAY_AUTH_MODE"] == "token"
assert "RAY_AUTH_MODE" not in os.environ
ray.init("local", include_dashboard=False)  # somebody else's code, which leaves the mode behind
ray.shutdown()
del os.environ["RAY_AUTH_MODE"]
others = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})

@ray.remote
class Two:
    def get(self):
        return 2

for _ in range(2):
    with cluster(others.address):
        assert ray.get(Two.remote().get.remote(), timeout=30) == 2
code = f"import ray; ray.init({others.address!r}); print(ray.get(ray.remote(lambda: 3).remote(), timeout=30))"
print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip())
"""


@pytest.mark.long
@pytest.mark.slow
def test_after_its_own_cluster_a_process_starts_and_joins_one_that_every_process_may_join(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "")
    monkeypatch.delenv("RAY_AUTH_MODE")
    code = [sys.executable, "-c", ONE_AFTER_THE_OTHER]
    done = subprocess.run(code, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["3"]), done.stderr
