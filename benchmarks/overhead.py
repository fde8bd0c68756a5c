"""`python -m benchmarks.overhead`: what record, checkpoints and tracking cost per epoch.

The same trials (20 of 9 epochs of the tiny study, one at a time) are run as a study, and by Ray Tune alone: without
record, sampler, checkpoints, display and MLflow. The time of an epoch is that from the first report to the last one,
divided by the reports between them; of several rounds the fastest counts. Exit status 1 from 50 ms on, which is 5 % of
an epoch of one second.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from ray import tune

from benchmarks import tiny_study
from benchmarks.figure import Figure
from benchmarks.trials import quiet_tune_run
from search.execution.executor import Answer, Reported
from search.execution.spec import trial_spec
from search.execution.worker import TrainingTrial
from search.machines.nodes import slots
from search.machines.ray_cluster import cluster
from search.record.record import Record
from search.space.space import Space
from search.study.loop import StudyLoop
from search.study.plan import SearchOptions
from search.study.searching import run_study

LIMIT_S = 0.05


class Clock(tune.Callback):
    """Notes when reports come."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_trial_result(self, *_: Any, **__: Any) -> None:
        self.times.append(time.perf_counter())

    @property
    def epoch_s(self) -> float:
        return (self.times[-1] - self.times[0]) / (len(self.times) - 1)


class Bare(TrainingTrial):
    """A trial that leaves nothing on the disk."""

    def step(self) -> dict[str, Any]:
        result = super().step()
        return {**result, "done": result["metrics"]["epoch"] == self.spec.epochs}  # Tune alone must be told

    def _save(self) -> None:
        return None


def figures(data: str, *, quick: bool) -> Iterator[Figure]:
    """For `make bench`: what an epoch takes as a study, beside Ray Tune alone."""
    kept_s, bare_s = measure(trials=10 if quick else 20, rounds=2)
    yield Figure(
        name="an epoch of milliseconds, with record, checkpoints and tracking",
        unit="ms",
        ours=1e3 * kept_s,
        baseline=1e3 * bare_s,
        baseline_name="Ray Tune alone",
        more_is_better=False,
        goal=f"at most {1e3 * LIMIT_S:.0f} ms more",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description="What keeping a study costs.")
    parser.add_argument("--trials", type=int, default=20, help="of each study (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="of which the fastest counts (default: %(default)s)")
    given = parser.parse_args(arguments)
    kept_s, bare_s = measure(trials=given.trials, rounds=given.rounds)
    cost_s = kept_s - bare_s
    print(f"an epoch takes {1e3 * kept_s:.1f} ms as a study, {1e3 * bare_s:.1f} ms by Ray Tune alone")
    print(f"record, checkpoints and tracking: {1e3 * cost_s:.1f} ms, {100 * cost_s:.1f} % of an epoch of one second")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return 0 if cost_s < LIMIT_S else 1


def measure(*, trials: int, rounds: int) -> tuple[float, float]:
    """Seconds per epoch as a study, and without one; the fastest of the rounds."""
    with tempfile.TemporaryDirectory(prefix="overhead-", ignore_cleanup_errors=True) as name:
        own = tiny_study.environment(Path(name))
        path = tiny_study.write_space(Path(name), trials=trials, cpus_per_trial=os.cpu_count() or 1)
        space = Space.load(path, overrides=["budget.epochs=9"])
        with mock.patch.dict(os.environ, own):
            times = [_round(space, Path(name) / f"runs-{number}") for number in range(rounds)]
    return min(kept_s for kept_s, _ in times), min(bare_s for _, bare_s in times)


def _round(space: Space, out: Path) -> tuple[float, float]:
    """Seconds per epoch as a study, and without one."""
    clock, report = Clock(), StudyLoop._report

    def timed(loop: StudyLoop, event: Reported) -> Answer:
        clock.on_trial_result()
        return report(loop, event)

    with mock.patch.object(StudyLoop, "_report", timed):
        record = run_study(space, SearchOptions(out=out, name="kept", address="local", quiet=True)).record
    return clock.epoch_s, _bare(space, record).epoch_s


def _bare(space: Space, record: Record) -> Clock:
    """The study's trials once more, by Ray Tune alone."""
    clock = Clock()
    with cluster("local"), tempfile.TemporaryDirectory() as scratch:
        quiet_tune_run()
        share = slots(space.resources)
        threads = share.cpus_per_trial
        specs = [trial_spec(record, trial, threads=threads) for trial in record.trials()]
        tune.run(
            Bare,
            config={"spec": tune.grid_search([replace(spec, known_epochs=0, folder="/nowhere") for spec in specs])},
            storage_path=scratch,
            callbacks=[clock],
            resources_per_trial=share.request,
            reuse_actors=True,
            verbose=0,
        )
    return clock


if __name__ == "__main__":
    sys.exit(main())
