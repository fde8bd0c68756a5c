"""What a trial costs that does nothing but report five times: ours with record and tracking, beside plain Ray Tune."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from mlflow import MlflowClient
from ray import tune

from benchmarks.figure import Figure
from search.execution.executor import SPEC
from search.execution.ray_tune import RayTuneExecutor, quiet_tune
from search.machines.nodes import slots
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
search: {trials: 2}
budget: {epochs: 5}
"""
REPORTS = 5


class Nothing(tune.Trainable):
    """Imports torch, reports."""

    def setup(self, config: dict[str, Any]) -> None:
        import torch

        self.threads = torch.get_num_threads()
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.spec, self.epoch = new_config.get(SPEC, new_config), 0
        return True

    def step(self) -> dict[str, Any]:
        self.epoch += 1
        metrics = {"epoch": self.epoch, "val_accuracy": 1 - abs(self.spec["r"] - 30) / 64 - 0.1 / self.epoch}
        return {"metrics": metrics, "facts": {}, "done": self.epoch == REPORTS}


@contextmanager
def own_ray() -> Iterator[None]:
    """A Ray of two slots, which says nothing."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


def figures(data: str, *, quick: bool) -> Iterator[Figure]:
    with own_ray():
        count = 60 if quick else 200
        started = {name: first_and_rest(run, count) for name, run in OURS.items()}
        plain = plain_tune(4 if quick else 10)
    for name, seconds in started.items():
        yield Figure(
            name=f"a trial that does nothing, 2 slots, {name}",
            unit="s",
            ours=seconds,
            baseline=plain,
            baseline_name="plain Tune: function, OptunaSearch, ASHA, MLflow callback",
            more_is_better=False,
            goal="<= 0.12 s",
        )


def first_and_rest(run: Callable[[int], None], count: int) -> float:
    """Seconds per trial beyond a study of two, which pays for starting workers."""
    started = time.perf_counter()
    run(2)
    start = time.perf_counter() - started
    started = time.perf_counter()
    run(count)
    return (time.perf_counter() - started - start) / (count - 2)


def study(count: int, *, track: bool, seen: Callable[[int, str], None] | None = None) -> None:
    """A study of trials that do nothing; `seen` is told the number and state of each trial that changed."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        (out / "s.yaml").write_text(SPACE)
        space = Space.load(out / "s.yaml", overrides=[f"search.trials={count}"])
        folder = out / "s-001"
        with locked(folder):
            record = Record.create(folder, new_header(space, "s-001"))
            share = slots(space.resources)
            tracker = None
            if track:
                MlflowClient(default_uri(out)).search_experiments()  # makes the file, which is no trial's cost
                tracker = tracker_of(record, default_uri(out))
                tracker.start()

            def changed(number: int) -> None:
                if tracker is not None:
                    tracker.touch(number)
                if seen is not None:
                    seen(number, record.trial(number).state)

            StudyLoop(
                record,
                Sampler(space, lambda params: str(int(128 / params["r"])), slots=share.count),
                NoScheduler(),
                RayTuneExecutor(Nothing, study="s-001", request=share.request, at_once=lambda: share.count),
                specs=lambda trial: dict(trial.params),
                objectives=space.search.objectives,
                epochs=space.budget.full,
                trials=count,
                changed=changed,
            ).run()
            if tracker is not None:
                tracker.finish("FINISHED")


def quiet_tune_run() -> None:
    """No files and no tables of `tune.run`, as the executor has none."""
    quiet_tune()
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}


def bare_tune(count: int) -> None:
    """The same trials on warm actors by Tune alone: what Ray takes of ours."""
    quiet_tune_run()
    with tempfile.TemporaryDirectory() as scratch:
        tune.run(
            Nothing,
            config={"r": tune.uniform(2, 64)},
            num_samples=count,
            storage_path=scratch,
            resources_per_trial={"cpu": 1},
            reuse_actors=True,
            verbose=0,
        )


OURS: dict[str, Callable[[int], None]] = {
    "Ray Tune's part": bare_tune,
    "record": lambda count: study(count, track=False),
    "record and MLflow": lambda count: study(count, track=True),
}


def plain_tune(count: int) -> float:
    """Seconds per trial as Ray's tutorials write it."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    def nothing(config: dict[str, Any]) -> None:
        import torch

        torch.get_num_threads()
        for epoch in range(1, REPORTS + 1):
            tune.report({"epoch": epoch, "val_accuracy": 1 - abs(config["r"] - 30) / 64})

    with tempfile.TemporaryDirectory() as scratch:
        callback = MLflowLoggerCallback(tracking_uri=f"sqlite:///{scratch}/mlflow.db", experiment_name="s")
        tuner = tune.Tuner(
            nothing,
            param_space={"r": tune.uniform(2, 64)},
            tune_config=tune.TuneConfig(
                metric="val_accuracy",
                mode="max",
                num_samples=count,
                search_alg=OptunaSearch(),
                scheduler=ASHAScheduler(max_t=REPORTS),
                max_concurrent_trials=2,
            ),
            run_config=tune.RunConfig(storage_path=scratch, callbacks=[callback], verbose=0),
        )
        started = time.perf_counter()
        tuner.fit()
        return (time.perf_counter() - started) / count
