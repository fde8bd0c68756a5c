"""`python -m benchmarks.scale`: what a report and a trial cost the driver of a study, by how many trials run at once.

Trials do nothing but report, on one machine whose Ray is told that it has the GPUs. The driver is one thread's worth of
Python: its processor time, and the time that it waits for the disk to have the record's lines, are what limits how many
GPUs one study can keep busy. Two studies at each concurrency, with few and with many reports, give both costs.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune

from search.execution.ray_tune import RayTuneExecutor
from search.machines.slots import Slots
from search.record.header import new_header
from search.record.journal import locked
from search.record.record import Record
from search.sampler.sampler import Sampler
from search.scheduler.scheduler import NoScheduler
from search.space.space import Space
from search.study.loop import StudyLoop
from search.tracking.registry import default_uri, tracker_of

SPACE = """
params: {model: se_cnn, r: {uniform: [2, 64]}}
search: {trials: 2, sampler: random}
budget: {epochs: 5}
"""
TRIALS_PER_GPU = 4
REPORTS = (2, 22)


class Nothing(tune.Trainable):
    """Reports. Its module's imports are not a worker's: Ray sends a class of `__main__` as it is."""

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.epoch = 0
        return True

    def step(self) -> dict[str, Any]:
        self.epoch += 1
        return {"metrics": {"epoch": self.epoch, "val_accuracy": 0.5, "train_loss": 0.5}, "facts": {}}


@dataclass(frozen=True, kw_only=True)
class Busy:
    """What a study cost its driver, in seconds."""

    cpu: float
    disk: float
    """Waited for the record to be on it."""
    wall: float

    @property
    def total(self) -> float:
        return self.cpu + self.disk


class Disk:
    """Adds up what `os.fsync` takes."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._fsync = os.fsync

    def __call__(self, file: int) -> None:
        started = time.perf_counter()
        self._fsync(file)
        self.seconds += time.perf_counter() - started


def study(at_once: int, trials: int, reports: int, disk: Disk) -> Busy:
    """A whole study, record and MLflow on."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        (out / "s.yaml").write_text(SPACE)
        settings = [f"search.trials={trials}", f"budget.epochs={reports}"]
        space = Space.load(out / "s.yaml", overrides=settings)
        with locked(out / "s-001"):
            record = Record.create(out / "s-001", new_header(space, "s-001"))
            gpus = at_once / TRIALS_PER_GPU
            share = Slots(nodes=1, cpus=at_once, gpus=gpus, cpus_per_trial=1, trials_per_gpu=TRIALS_PER_GPU)
            tracker = tracker_of(record, default_uri(out))
            tracker.start()
            cpu, waited, wall = time.process_time(), disk.seconds, time.perf_counter()
            StudyLoop(
                record,
                Sampler(space, lambda params: str(params["r"]), slots=share.count),
                NoScheduler(),
                RayTuneExecutor(Nothing, study="s-001", request=share.request, at_once=lambda: share.count),
                specs=lambda trial: {},
                objectives=space.search.objectives,
                epochs=space.budget.full,
                trials=trials,
                changed=tracker.touch,
            ).run()
            busy = Busy(
                cpu=time.process_time() - cpu, disk=disk.seconds - waited, wall=time.perf_counter() - wall
            )  # MLflow's thread shares the driver's processor, so its time counts
            tracker.finish("FINISHED")
            return busy


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; prints a line of a Markdown table for each concurrency."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("--at-once", type=int, nargs="+", default=[8, 32, 96], help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="times that each study is run (default: %(default)s)")
    given = parser.parse_args(arguments)
    logging.getLogger("ray").setLevel(logging.ERROR)
    disk = Disk()
    os.fsync = disk
    print("| at once | trials | ms per report | of it disk | ms per trial | wall, s |\n|---|---|---|---|---|---|")
    for at_once in given.at_once:
        ray.init(
            num_cpus=at_once, num_gpus=at_once // TRIALS_PER_GPU, include_dashboard=False, log_to_driver=False,
            object_store_memory=200_000_000,
        )  # fmt: skip
        try:
            trials = 3 * at_once
            few, many = ([study(at_once, trials, each, disk) for _ in range(given.rounds)] for each in REPORTS)
        finally:
            ray.shutdown()
        more = trials * (REPORTS[1] - REPORTS[0])
        report_s = _median(many, few, "total") / more
        disk_s = _median(many, few, "disk") / more
        trial_s = statistics.median(each.total for each in few) / trials - REPORTS[0] * report_s
        wall = sum(each.wall for each in (*few, *many))
        shown = f"{report_s * 1e3:.1f} | {disk_s * 1e3:.1f} | {trial_s * 1e3:.0f} | {wall:.0f}"
        print(f"| {at_once} | {trials} | {shown} |", flush=True)
    return 0


def _median(many: Sequence[Busy], few: Sequence[Busy], name: str) -> float:
    """By how much the studies with many reports took more."""
    return statistics.median(getattr(m, name) - getattr(f, name) for m, f in zip(many, few, strict=True))


if __name__ == "__main__":
    sys.exit(main())
