"""Ray Tune, and nothing of Optuna or MLflow: trials on the cluster's resources, ASHA, warm actors, failures, resume.

Ray holds no truth here. Every trial is in the record before Ray sees it, every report before ASHA's word takes effect;
a new driver rebuilds ASHA's rungs from the record, and running trials go on from their own checkpoints.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.search import SearchAlgorithm
from ray.tune.stopper import Stopper

from mgc.config import ConfigError
from search.journal import RecordError
from search.objectives import Objectives
from search.record import Proposal, Record, TrialRecord
from search.rungs import asha, number_of, restore_rungs, trial_id
from search.study import Budget, Slots

MAX_WORKER_LOSSES = 3
"""Times that a trial is started again after its worker or node was lost, without having come further meanwhile."""
EPOCH_WAIT_S = 15.0
"""How long a polite stop waits for running epochs. A longer one follows a checkpoint (trial.CHECKPOINT_EVERY_S)."""
SAME_FAILURES = 5
"""A study whose first so many trials all fail for one reason is ended."""


class BlockedError(ConfigError):
    """A study that cannot go on here and now, though nothing of it is lost: its disk is full."""


class Proposer(Protocol):
    """What proposes trials (search.sampler.Sampler)."""

    def propose(self, number: int) -> Proposal: ...
    def tell(self, trial: TrialRecord) -> None: ...


class Tuner:
    """Runs a study's trials until there are as many as asked for. `changed` is told the number of each trial whose
    record changed; `stop` is asked between events whether to end politely, `at_once` how many trials may run now.
    """

    def __init__(
        self,
        record: Record,
        proposer: Proposer,
        *,
        trainable: type[tune.Trainable],
        specs: Callable[[TrialRecord], dict[str, Any]],
        objectives: Objectives,
        budget: Budget,
        slots: Slots,
        trials: int,
        changed: Callable[[int], None] = lambda number: None,
        stop: Callable[[], bool] = lambda: False,
        at_once: Callable[[], int] | None = None,
    ) -> None:
        self.record, self.proposer = record, proposer
        self.trainable, self.specs = trainable, specs
        self.objectives, self.budget = objectives, budget
        self.slots, self.trials = slots, trials
        self.changed, self.stop = changed, stop
        self.at_once = at_once or (lambda: slots.count)
        self.scheduler = asha(budget, objectives)
        self.hopeless: str | None = None
        """Why no trial of this study can succeed, once the first ones have all failed alike."""
        self.blocked: str | None = None
        """Why nothing can be written any more."""

    @property
    def is_stopping(self) -> bool:
        return self.hopeless is not None or self.blocked is not None or self.stop()

    def run(self) -> None:
        """Run what is left to run. Returns when all trials have ended, or `stop` said so.

        Raises BlockedError when the record or a checkpoint could not be written.
        """
        rerun = restore_rungs(self.scheduler, self.record, self.budget, end=self._end)
        for trial in rerun:
            if trial.is_untrained:
                self._end_untrained(trial)
        rerun = [trial for trial in rerun if not trial.is_untrained]
        if not rerun and len(self.record.trials()) >= self.trials:
            return
        self._tune(rerun)
        if self.blocked is not None:
            raise BlockedError(f"{self.blocked}; mend that, and --resume {self.record.name} goes on")

    def _tune(self, rerun: list[TrialRecord]) -> None:
        quiet_tune()
        trials = _Trials(self, rerun)
        with tempfile.TemporaryDirectory(prefix="search-tune-", ignore_cleanup_errors=True) as scratch:
            tune.run(
                self.trainable,
                name=self.record.name,
                storage_path=scratch,  # Tune's own bookkeeping, which nothing is ever read back from
                search_alg=trials,
                scheduler=self.scheduler,
                callbacks=[_Recorder(self)],
                stop=_Polite(self, trials),
                resources_per_trial=self.slots.request,
                max_failures=MAX_WORKER_LOSSES,
                reuse_actors=True,
                raise_on_failed_trial=False,
                verbose=0,
            )

    def _report(self, number: int, result: Mapping[str, Any]) -> bool:
        """Keep what a trial's step brought: where it runs, its epoch's metrics. Returns whether the epoch is new."""
        trial = self.record.trial(number)
        for key, value in result.get("facts", {}).items():
            if trial.facts.get(key) != value:
                self.record.fact(number, key, value)
        is_new = "metrics" in result and self.record.report(number, result["metrics"])
        self.changed(number)
        return is_new

    def is_complete(self, number: int) -> bool:
        """Whether a trial has used its whole budget."""
        return self.record.trial(number).last.get("epoch") == self.budget.full

    def _end_untrained(self, trial: TrialRecord) -> None:
        """End a trial whose network breaks a limit, or give it the scores of the one that it repeats."""
        if trial.reuse is not None and trial.infeasible is None:
            for epoch in self.record.trial(trial.reuse).epochs:
                self.record.report(trial.number, epoch)
        self._end(trial.number)

    def _end(self, number: int, failure: str | None = None) -> None:
        """End a trial in the record as what it is, tell the sampler, and let the tracker know."""
        trial = self.record.trial(number)
        values, violations = self.objectives.values(trial.last), self.objectives.violations(trial.last)
        if failure is not None:
            self.record.end(number, "failed", reason=failure)
        elif trial.infeasible is not None:
            self.record.end(number, "stopped", violations=violations, reason=f"not trained: {trial.infeasible}")
        elif trial.last["epoch"] == self.budget.full:
            self.record.end(number, "complete", values=values, violations=violations)
        else:
            asha = f"ASHA after epoch {trial.last['epoch']:g}"
            self.record.end(number, "stopped", values=values, violations=violations, reason=asha)
        self.proposer.tell(self.record.trial(number))
        self.changed(number)
        if failure is not None:
            self.hopeless = common_failure(self.record.trials("complete", "stopped", "failed"))


class _Trials(SearchAlgorithm):
    """Hands Tune the trials to start again, then new proposals, never more at once than may be."""

    def __init__(self, tuner: Tuner, rerun: list[TrialRecord]) -> None:
        self.tuner, self.rerun = tuner, rerun
        self.live: dict[str, Trial] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        return True

    def add_configurations(self, experiments: Any) -> None:
        self.spec = (experiments[0] if isinstance(experiments, list) else experiments).spec
        self.total = len(self.tuner.record.trials())

    @property
    def total_samples(self) -> int:
        return self.tuner.trials

    @property
    def running(self) -> list[Trial]:
        return [trial for trial in self.live.values() if trial.status == Trial.RUNNING]

    def next_trial(self) -> Trial | None:
        if self.is_finished() or len(self.live) >= self.tuner.at_once():
            return None
        try:
            return self._next()
        except RecordError as error:
            self.tuner.blocked = str(error)
            return None

    def _next(self) -> Trial | None:
        if self.rerun:
            return self._tune_trial(self.rerun.pop(0))
        while self.total < self.tuner.trials:
            trial = self._next_record()
            if not trial.is_untrained:
                return self._tune_trial(trial)
            self.tuner._end_untrained(trial)
        self._finished = True
        return None

    def _next_record(self) -> TrialRecord:
        number = self.tuner.record.start(self.tuner.proposer.propose(self.total))
        self.total += 1
        self.tuner.changed(number)
        return self.tuner.record.trial(number)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.live.pop(trial_id, None)

    def is_finished(self) -> bool:
        if self._finished or self.tuner.is_stopping:
            return True
        return not self.rerun and self.total >= self.tuner.trials

    def _tune_trial(self, trial: TrialRecord) -> Trial:
        spec = {**self.spec, "config": self.tuner.specs(trial)}
        tune_trial: Trial = _create_trial_from_spec(spec, _make_parser(), trial_id=trial_id(trial.number))
        self.live[tune_trial.trial_id] = tune_trial
        return tune_trial


class _Recorder(tune.Callback):
    """Writes what happens to trials into the record, before anything else learns of it.

    Tune takes an exception in here for one of the trial's: that the record cannot be written is kept for later.
    """

    def __init__(self, tuner: Tuner) -> None:
        self.tuner = tuner
        self.reasons: dict[str, str] = {}

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        if "failed" in result:
            self.reasons[trial.trial_id] = result["failed"]
        if "blocked" in result:
            self.tuner.blocked = result["blocked"]
        self._write(lambda: self._report(trial, result))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        failure = self.reasons.pop(trial.trial_id, None)
        if failure is None and self.tuner.is_stopping and not self.tuner.is_complete(number_of(trial)):
            return  # asked to stop: it goes on, or ASHA ends it, when the study does
        self._write(lambda: self.tuner._end(number_of(trial), failure))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        number = number_of(trial)
        losses = int(self.tuner.record.trial(number).facts.get("worker_losses", 0)) + 1
        self._write(lambda: self.tuner.record.fact(number, "worker_losses", losses))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        failure = f"worker lost {MAX_WORKER_LOSSES + 1} times: {last_error(trial)}"
        self._write(lambda: self.tuner._end(number_of(trial), failure))

    def _report(self, trial: Trial, result: dict[str, Any]) -> None:
        if self.tuner._report(number_of(trial), result):
            trial.run_metadata.num_failures = 0  # losses are counted since it last came further

    def _write(self, change: Callable[[], None]) -> None:
        if self.tuner.blocked is None:
            try:
                change()
            except RecordError as error:
                self.tuner.blocked = str(error)


def last_error(trial: Trial) -> str:
    """Why Ray lost a trial's worker the last time, in one line of what it wrote down."""
    if not trial.error_file or not os.path.isfile(trial.error_file):
        return "unknown"
    with open(trial.error_file) as file:
        lines = [line.strip() for line in file.read().rpartition("Failure #")[2].splitlines()[1:] if line.strip()]
    if any("low on memory" in line or "OutOfMemoryError" in line for line in lines):
        return "out of host memory"
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (named[-1:] or lines[:1] or ["unknown"])[0]


class _Polite(Stopper):
    """Ends the experiment when it is asked to: each trial after its epoch, or all together when they take too long."""

    def __init__(self, tuner: Tuner, trials: _Trials) -> None:
        self.tuner, self.trials = tuner, trials
        self.asked_at: float | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self.tuner.is_stopping

    def stop_all(self) -> bool:
        if not self.tuner.is_stopping:
            return False
        self.asked_at = self.asked_at or time.monotonic()
        running = self.trials.running
        if running and time.monotonic() < self.asked_at + EPOCH_WAIT_S:
            return False
        for trial in running:
            if (worker := trial.temporary_state.ray_actor) is not None:
                ray.kill(worker)  # else Tune waits for its epoch
        return True

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its stoppers into its own bookkeeping, which nobody reads back."""
        return {}


def common_failure(ended: list[TrialRecord]) -> str | None:
    """The reason for which the first trials of a study all failed; None while there is hope."""
    if len(ended) < SAME_FAILURES or any(trial.state != "failed" for trial in ended):
        return None
    reasons = {trial.reason for trial in ended[:SAME_FAILURES]}
    return reasons.pop() if len(reasons) == 1 else None


def quiet_tune() -> None:
    """No files, tables or advice of Tune's own; proposals are limited by `_Trials`, not by Tune."""
    os.environ |= {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
        "TUNE_MAX_PENDING_TRIALS_PG": "100000",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a failed trial has no metric to report
        "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "120",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
    }
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a lost worker is in the record
