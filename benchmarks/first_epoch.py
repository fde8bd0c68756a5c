"""From the command to the first epoch of the first trial, features cached; beside what starting Ray alone takes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure
from search.record.files import JOURNAL

SPACE = Path(__file__).parents[1] / "spaces" / "se_ratio.yaml"
RAY_ALONE = """
import ray, torch
ray.init(include_dashboard=False, configure_logging=False, log_to_driver=False)

@ray.remote
class Worker:
    def ready(self):
        import torch
        return torch.get_num_threads()

ray.get(Worker.remote().ready.remote())
print("ready", flush=True)
"""


def figures(data: str, *, quick: bool) -> Iterator[Figure]:
    first_epoch_s()  # makes the music and its features, where they are not in the cache yet
    rounds = 1 if quick else 3
    pairs = [(first_epoch_s(), ray_alone_s()) for _ in range(rounds)]
    yield Figure(
        name="from the command to the first epoch, features cached",
        unit="s",
        ours=min(ours for ours, _ in pairs),
        baseline=min(ray for _, ray in pairs),
        baseline_name="Ray and torch in one warm worker, nothing else",
        more_is_better=False,
        goal="<= 10 s",
    )


def first_epoch_s() -> float:
    """Seconds until the record of a study has its first epoch."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as out:
        command = [sys.executable, "-m", "search.run", str(SPACE), "--trials", "2", "--out", out, "--name", "first"]
        started = time.perf_counter()
        process = subprocess.Popen([*command, "--address", "local", "--quiet"], stdout=subprocess.DEVNULL)
        journal = Path(out) / "first" / JOURNAL
        while not (journal.is_file() and b'"epoch/' in journal.read_bytes()):
            if process.poll() is not None:
                raise RuntimeError(f"the study ended before its first epoch, with {process.returncode}")
            time.sleep(0.005)
        seconds = time.perf_counter() - started
        process.wait()
    return seconds


def ray_alone_s() -> float:
    """Seconds until one worker of a new Ray has imported torch, as its driver has."""
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", RAY_ALONE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout is not None
        if child.stdout.readline() != b"ready\n":
            raise RuntimeError("Ray alone did not start")
        return time.perf_counter() - started
