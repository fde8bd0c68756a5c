"""Ray Tune as an executor: trials on the cluster's resources, warm workers, lost workers replaced.

Ray decides and keeps nothing here: after each report Tune leaves the trial waiting until the study has answered, and
what Tune writes is never read back. Tune's controller is driven step by step, which takes some names that are private
to the pinned version of Ray (tests/execution/test_ray_tune.py holds what they must do). Knows Ray and the seam, not
the record, the sampler, or what a trial trains.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.train._internal.storage import StorageContext
from ray.tune.execution.class_cache import _ActorClassCache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import SearchAlgorithm

from mgc.words.redact import redacted
from search.execution.executor import SPEC, Answer, Blocked, Event, Failed, Lost, Reported
from search.machines.scratch import scratch

ENVIRONMENT = {"RAY_CHDIR_TO_TRIAL_DIR": "0"}
"""What a worker's environment has beside its node's: it stays in the folder that the study was started in."""
ROOM = 2**16
"""Bytes that must be free where Ray writes, or a worker that was lost was lost for want of room."""
IDLE_S = 0.1
"""How long `events` waits where no trial is there."""


class RayTuneExecutor:
    """Runs trials on the Ray cluster that this process is connected to: an `Executor`.

    A worker is a `trainable` whose config holds the trial's spec under SPEC. Each of its steps returns `metrics` and
    `facts`, or `failed` with a `trace`, or `blocked`; it trains until it is stopped. `request` is what a trial takes,
    in Ray's words; `at_once` tells how many trials may run now.
    """

    def __init__(
        self,
        trainable: type[tune.Trainable],
        *,
        study: str,
        request: Mapping[str, float],
        at_once: Callable[[], int],
    ) -> None:
        quiet_tune()
        self._at_once = at_once
        self._live: dict[int, _Trial] = {}
        self._events: list[Event] = []
        self._scratch = ExitStack()
        self._folder = self._scratch.enter_context(scratch())
        self._storage = StorageContext(storage_path=str(self._folder), experiment_dir_name=study)
        self._resources = tune.PlacementGroupFactory([dict(request)])
        self._name = trainable.__name__
        tune.register_trainable(self._name, trainable)
        self._arrivals = _Arrivals()
        self._controller = TuneController(
            search_alg=self._arrivals,
            scheduler=_Waits(self._live),
            callbacks=[_Hears(self._hear)],
            storage=self._storage,
            reuse_actors=True,
        )
        self._controller._class_cache = _Workers()  # type: ignore[no-untyped-call]

    @property
    def free_slots(self) -> int:
        return self._at_once() - len(self._live)

    @property
    def running(self) -> Collection[int]:
        return [number for number, trial in self._live.items() if trial.status == Trial.RUNNING]

    @property
    def waiting(self) -> Collection[int]:
        return [number for number, trial in self._live.items() if trial.status == Trial.PENDING]

    def start(self, number: int, spec: Any) -> None:
        self._arrivals.is_over = False
        self._live[number] = _Trial(
            self._name,
            config={SPEC: spec},
            trial_id=f"{number:05d}",
            storage=self._storage,
            placement_group_factory=self._resources,
            max_failures=-1,  # the study counts a trial's lost workers
        )
        self._controller.add_trial(self._live[number])

    def events(self) -> Sequence[Event]:
        """What Tune's next step brings, mostly one event; it waits for a tenth of a second at most."""
        if self._live:
            self._controller.step()  # type: ignore[no-untyped-call]
        else:
            time.sleep(IDLE_S)
        events = self._events.copy()
        self._events.clear()
        return events

    def answer(self, number: int, answer: Answer) -> None:
        trial = self._live[number]
        if answer == "stop":
            del self._live[number]
            self._controller.stop_trial(trial)  # type: ignore[no-untyped-call]
            self._forget(trial)
        elif trial.status == Trial.RUNNING:
            self._controller._execute_action(trial, TrialScheduler.CONTINUE)
        elif trial.status == Trial.ERROR:  # a trial that is PENDING is started on another worker by Tune itself
            self.start(number, trial.config[SPEC])

    def _forget(self, trial: Trial) -> None:
        """Drop what Tune keeps of each trial to its own end: its spec, last result and numbers of every metric."""
        kept = self._controller
        kept._trials.remove(trial)
        for trials in (kept._stopped_trials, kept._failed_trials, kept._trials_to_cache):
            trials.discard(trial)

    def _hear(self, event: Event) -> None:
        """One event of a trial at a time: of a warm worker that is lost Tune tells twice."""
        if isinstance(event, Lost) and (reason := _no_room(self._folder)) is not None:
            event = Blocked(number=event.number, reason=f"{self._folder.parent}: Ray cannot write its files: {reason}")
        if isinstance(event, Reported | Failed) or event.number not in {each.number for each in self._events}:
            self._events.append(event)

    def release(self) -> None:
        self._arrivals.is_over = True

    def close(self) -> None:
        for trial in self._live.values():
            if (worker := trial.temporary_state.ray_actor) is not None:
                ray.kill(worker)  # else Tune waits for its epoch
        self._arrivals.is_over = True
        self._controller.cleanup()  # type: ignore[no-untyped-call]
        self._scratch.close()


class _Workers(_ActorClassCache):
    """Starts workers in the environment of their node.

    Tune's own copies the driver's AWS keys into it, and Ray writes these into a log. A node has credentials of its own;
    those of this machine have the driver's environment.
    """

    def get(self, trainable_cls: type[tune.Trainable]) -> Any:
        if trainable_cls not in self._cache:
            self._cache[trainable_cls] = ray.remote(runtime_env={"env_vars": ENVIRONMENT})(trainable_cls)
        return self._cache[trainable_cls]


class _Trial(Trial):
    """A trial without files. Tune's own writes down why its worker was lost, for which the disk may have no room."""

    loss: Lost
    """How its worker was lost the last time."""
    local_path = None

    def init_local_path(self) -> None:
        assert self.storage is not None
        self.storage.trial_dir_name = self.trial_id

    def handle_error(self, exc: Exception | None = None) -> None:
        before = self.run_metadata.num_failures
        super().handle_error(exc)  # type: ignore[arg-type]
        is_announced = self.run_metadata.num_failures == before  # by the node: Tune does not count such a loss
        self.loss = Lost(number=int(self.trial_id), reason=loss_reason(redacted(str(exc))), is_announced=is_announced)


class _Arrivals(SearchAlgorithm):
    """Tells Tune whether more trials may come, for which it keeps free workers warm. Trials come by `add_trial`."""

    is_over = False

    def next_trial(self) -> Trial | None:
        return None

    def is_finished(self) -> bool:
        return self.is_over


class _Waits(FIFOScheduler):
    """Leaves a trial that has reported waiting, and starts trials in the order in which they came."""

    def __init__(self, live: Mapping[int, Trial]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._live = live

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        return TrialScheduler.NOOP

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """Looks at live trials alone, where Tune's own looks at all that there ever were."""
        return next((trial for trial in self._live.values() if trial.status == Trial.PENDING), None)


class _Hears(tune.Callback):
    """Translates what happens to Tune's trials into events."""

    def __init__(self, hear: Callable[[Event], None]) -> None:
        self._hear = hear

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        self._hear(_event(int(trial.trial_id), result))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        assert isinstance(trial, _Trial)
        self._hear(trial.loss)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """A warm worker was lost while it got ready for this trial, which Tune then gives up."""
        self.on_trial_recover(iteration, trials, trial)


def _event(number: int, result: Mapping[str, Any]) -> Event:
    """What a step of a worker says."""
    if "blocked" in result:
        return Blocked(number=number, reason=result["blocked"])
    facts = result.get("facts", {})
    if "failed" in result:
        return Failed(number=number, reason=result["failed"], facts=facts, trace=result.get("trace"))
    return Reported(number=number, metrics=result["metrics"], facts=facts)


def loss_reason(text: str) -> str:
    """Why Ray lost a worker, in one line of the many that it tells."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any("low on memory" in line or "OutOfMemoryError" in line for line in lines):
        return "out of host memory"
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (named[-1:] or lines[:1] or ["unknown"])[0]


def _no_room(folder: Path) -> str | None:
    """Why nothing can be written to a folder, such as what Ray needs to start a worker; None if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            if file.write(bytes(ROOM)) < ROOM:
                return os.strerror(errno.ENOSPC)
    except OSError as error:
        return error.strerror
    return None


def quiet_tune() -> None:
    """No files and no advice of Tune's own; how many trials wait for a worker is the study's affair."""
    os.environ |= {
        "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
        "TUNE_MAX_PENDING_TRIALS_PG": "100000",
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a failed trial has no metric to report
        "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "120",
    }
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a lost worker is in the record
