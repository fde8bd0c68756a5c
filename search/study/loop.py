"""The loop of a study: it proposes trials, starts them, keeps what they report, and ends them as the scheduler says.

The order is always the same: first the record, then everybody else. A trial is in the record before a worker hears of
it, a report or an end before the sampler learns from it and the scheduler is asked; so a driver may be killed
anywhere, and the next one goes on from the record alone. The loop knows the record, and a sampler, a scheduler and an
executor as what they must be; it must not know Optuna, Ray or MLflow.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from mgc.words.errors import ConfigError
from search.execution.executor import Answer, Blocked, Event, Executor, Failed, Lost, Reported
from search.record.faults import note_fault
from search.record.journal import RecordError
from search.record.notes import FIRST_RUNG
from search.record.record import Record
from search.record.trial import Ended, EndedBy, EndState, Proposal, TrialRecord
from search.scheduler.scheduler import Decision, Go, Pause, Scheduler, Stop
from search.settings.objectives import Objectives
from search.storage.checkpoints import CHECKPOINT_FACT, GIVEN_UP

MAX_WORKER_LOSSES = 3
"""Times that a trial is started again after its worker or node was lost, without having come further meanwhile."""
EPOCH_WAIT_S = 15.0
"""How long a polite stop waits for epochs to end. A longer epoch follows a checkpoint (worker.CHECKPOINT_EVERY_S)."""
SAME_FAILURES = 5
"""A study whose first so many trials all fail for one reason is ended."""


class BlockedError(ConfigError):
    """A study that cannot go on here and now, though nothing of it is lost: its disk is full."""


class Proposer(Protocol):
    """What proposes trials (search.sampler.sampler.Sampler)."""

    first_rung: int

    def propose(self, number: int) -> Proposal: ...
    def report(self, trial: TrialRecord) -> None: ...
    def pause(self, number: int) -> None: ...
    def go_on(self, number: int) -> None: ...
    def tell(self, trial: TrialRecord) -> None: ...


class StudyLoop:
    """Runs a study until `trials` trials, each of at most `epochs` epochs, have begun, and none is left to go on. Where
    the scheduler pauses trials, paused ones go on at the end until `min_complete` trials are complete.

    `specs` makes of a trial what its worker is given; `changed` is called with the number of each trial whose record
    changed; `stop` is asked between events whether to end politely.
    """

    def __init__(
        self,
        record: Record,
        proposer: Proposer,
        scheduler: Scheduler,
        executor: Executor,
        *,
        specs: Callable[[TrialRecord], Any],
        objectives: Objectives,
        epochs: int,
        trials: int,
        min_complete: int = 1,
        changed: Callable[[int], None] = lambda number: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.record, self.proposer, self.scheduler, self.executor = record, proposer, scheduler, executor
        self.specs, self.objectives = specs, objectives
        self.epochs, self.trials, self.min_complete = epochs, trials, min_complete
        self.changed, self.stop = changed, stop
        self.hopeless: str | None = None
        """Why no trial of this study can succeed, once the first ones have all failed alike."""
        self._begun = 0
        """How many trials are in the record."""
        self._unfinished: deque[TrialRecord] = deque()
        """Trials of the record that no worker has now and that are to go on."""
        self._losses: Counter[int] = Counter()
        """How often each trial has lost its worker since it last came further."""

    @property
    def is_stopping(self) -> bool:
        return self.hopeless is not None or self.stop()

    def run(self) -> None:
        """Run what is left to run. Returns when all trials have ended, or when it was asked to stop.

        Raises BlockedError when the record or a checkpoint could not be written.
        """
        try:
            self._resume()
            self._run_trials()
            self._stop_politely(self._take)
        except (RecordError, BlockedError) as error:
            self._stop_politely(lambda event: self.executor.answer(event.number, "stop"))
            raise BlockedError(f"{error}; mend that, and --resume {self.record.name} goes on") from None
        finally:
            self.executor.close()

    def _resume(self) -> None:
        """Tell the scheduler every report and promotion of the record, in the order in which they came, and see what is
        left to run.

        A running trial whose last report already decided its end or its pause, though the driver died before writing
        that down, is ended or paused now by the same decision.
        """
        trials = self.record.trials()
        self._begun = len(trials)
        decisions = self._decisions(trials)
        self._note_first_rung()
        for trial in (trial for trial in trials if trial.state == "running"):
            decision = decisions.get(trial.number, Go())
            if trial.is_untrained:
                self._end_untrained(trial)
            elif trial.last.get("epoch") == self.epochs:
                self._end(trial.number, Ended("complete", None, by="budget"))
            elif isinstance(decision, Stop):
                self._end(trial.number, Ended("stopped", decision.reason, by="scheduler"))
            elif isinstance(decision, Pause):
                self._pause(trial.number)
            else:
                self._unfinished.append(trial)

    def _decisions(self, trials: Iterable[TrialRecord]) -> dict[int, Decision]:
        """The scheduler's last word on each trial, by its number."""
        decisions: dict[int, Decision] = {}
        for number, metrics in _history(trials):
            if metrics is None:
                self.scheduler.promoted(number)
                decisions[number] = Go()
            else:
                decisions[number] = self._decision(number, metrics)
        return decisions

    def _run_trials(self) -> None:
        while not self.is_stopping:
            is_more = self._start_trials()
            if not (is_more or self.executor.running or self.executor.waiting):
                return
            for event in self.executor.events():
                self._take(event)

    def _stop_politely(self, take: Callable[[Event], None]) -> None:
        """Let the epochs that are being trained end, unless that takes too long, and start no more."""
        for number in tuple(self.executor.waiting):
            self.executor.answer(number, "stop")
        self.executor.release()
        deadline_s = time.monotonic() + EPOCH_WAIT_S
        while self.executor.running and time.monotonic() < deadline_s:
            for event in self.executor.events():
                take(event)

    def _start_trials(self) -> bool:
        """Fill the free slots. Returns whether there may be more to start than slots."""
        while self.executor.free_slots > 0 and not self.is_stopping:
            trial = self._next_trial()
            if trial is None:
                self.executor.release()
                return False
            self.executor.start(trial.number, self.specs(trial))
        return True

    def _next_trial(self) -> TrialRecord | None:
        """An unfinished trial, else a paused one that is to go on, else a new one; None where none is left."""
        if self._unfinished:
            return self._unfinished.popleft()
        if (number := self._next_paused()) is not None:
            self._promote(number)
            return self.record.trial(number)
        while self._begun < self.trials and not self.is_stopping:
            trial = self._begin()
            if not trial.is_untrained:
                return trial
            self._end_untrained(trial)
        return None

    def _next_paused(self) -> int | None:
        """The paused trial that goes on next: one that has earned it; where no trial is left to begin and too few will
        be complete, the best.
        """
        if (number := self.scheduler.next()) is not None:
            return number
        if self._begun < self.trials or (best := self.scheduler.best_paused()) is None:
            return None
        live = {*self.executor.running, *self.executor.waiting} - {best}
        return best if len(self.record.trials("complete")) + len(live) < self.min_complete else None

    def _promote(self, number: int) -> None:
        """Let a paused trial go on; the record has it before a worker hears of it."""
        if self.record.trial(number).facts.get(CHECKPOINT_FACT) == GIVEN_UP:
            self.record.fact(number, CHECKPOINT_FACT, "trained again")
        self.record.promote(number)
        self.scheduler.promoted(number)
        self.proposer.go_on(number)
        self.changed(number)

    def _begin(self) -> TrialRecord:
        """A new trial in the record, which also holds how long its proposal took."""
        began_s = time.perf_counter()
        proposal = self.proposer.propose(self._begun)
        number = self.record.start(proposal, {"proposal_seconds": round(time.perf_counter() - began_s, 3)})
        self._begun += 1
        self.changed(number)
        return self.record.trial(number)

    def _take(self, event: Event) -> None:
        """Keep what has happened to a trial, and answer it; a trial that cannot be kept gives its worker back."""
        answer: Answer = "stop"
        try:
            answer = self._keep(event)
        finally:
            self.executor.answer(event.number, answer)

    def _keep(self, event: Event) -> Answer:
        match event:
            case Reported():
                return self._report(event)
            case Failed():
                self._fail(event.number, self._failure(event), by="trial")
                return "stop"
            case Lost():
                return self._lose(event)
            case Blocked():
                raise BlockedError(event.reason)

    def _report(self, event: Reported) -> Answer:
        number = event.number
        self._note_facts(number, event.facts)
        is_new = self.record.report(number, event.metrics)
        self.changed(number)
        if is_new:
            self._losses[number] = 0
            self.proposer.report(self.record.trial(number))
        if event.metrics["epoch"] >= self.epochs:
            self._end(number, Ended("complete", None, by="budget"))
            return "stop"
        if self.is_stopping:
            return "stop"  # its record stays open: it goes on, or the scheduler ends it, when the study does
        if not is_new:
            return "go"
        decision = self._decision(number, event.metrics)
        self._note_first_rung()
        return self._follow(number, decision)

    def _follow(self, number: int, decision: Decision) -> Answer:
        """Do as the scheduler has decided."""
        match decision:
            case Go():
                return "go"
            case Pause() if self._next_paused() == number:
                self._promote(number)  # it keeps its worker
                return "go"
            case Pause():
                self._pause(number)
                return "stop"
            case Stop(reason):
                self._end(number, Ended("stopped", reason, by="scheduler"))
                return "stop"

    def _pause(self, number: int) -> None:
        """Keep in the record that a trial waits, and which trials give their checkpoints up."""
        self.record.pause(number)
        self.proposer.pause(number)
        for each in self.scheduler.hopeless():
            if self.record.trial(each).facts.get(CHECKPOINT_FACT) != GIVEN_UP:
                self.record.fact(each, CHECKPOINT_FACT, GIVEN_UP)
        self.changed(number)

    def _note_first_rung(self) -> None:
        """Keep what the scheduler has found out, before it judges a trial by that."""
        found = self.scheduler.first_rung
        if found is None:
            return
        if self.record.noted(FIRST_RUNG) is None:
            self.record.note(FIRST_RUNG, {"epoch": found.epoch, "agreement": found.agreement})
        self.proposer.first_rung = found.epoch

    def _decision(self, number: int, metrics: Mapping[str, float]) -> Decision:
        """The scheduler's word on a report; the last epoch of the budget needs none."""
        if metrics["epoch"] >= self.epochs:
            return Go()
        return self.scheduler.on_report(number, int(metrics["epoch"]), metrics.get(self.objectives.metric, math.nan))

    def _lose(self, event: Lost) -> Answer:
        number = event.number
        self._losses[number] += not event.is_announced
        if self._losses[number] > MAX_WORKER_LOSSES:
            self._fail(number, f"worker lost {MAX_WORKER_LOSSES + 1} times: {event.reason}", by="executor")
            return "stop"
        losses = int(self.record.trial(number).facts.get("worker_losses", 0)) + 1
        self.record.fact(number, "worker_losses", losses)
        return "stop" if self.is_stopping else "go"

    def _failure(self, event: Failed) -> str:
        """Why the trial failed; names the log that holds the traceback where there is one."""
        self._note_facts(event.number, event.facts)
        if event.trace is None:
            return event.reason
        log = note_fault(self.record.folder, f"trial {event.number} failed: {event.reason}", trace=event.trace)
        return f"{event.reason} (traceback in {log.name})"

    def _fail(self, number: int, reason: str, *, by: EndedBy) -> None:
        self._end(number, Ended("failed", reason, by=by))
        self.hopeless = common_failure(self.record.trials("complete", "stopped", "failed"))

    def _note_facts(self, number: int, facts: Mapping[str, Any]) -> None:
        before = self.record.trial(number).facts
        for key, value in facts.items():
            if before.get(key) != value:
                self.record.fact(number, key, value)

    def _end_untrained(self, trial: TrialRecord) -> None:
        """End a trial whose network breaks a limit, or one that takes over the scores and the end of another."""
        if trial.infeasible is not None or trial.reuse is None:
            self._end(trial.number, Ended("stopped", f"not trained: {trial.infeasible}", by="limits"))
            return
        first = self.record.trial(trial.reuse)
        for metrics in first.epochs:
            self.record.report(trial.number, metrics)
        state: EndState = "complete" if first.state == "complete" else "stopped"
        self._end(trial.number, Ended(state, first.reason, by="repeat"))

    def _end(self, number: int, ended: Ended) -> None:
        """End a trial in the record, tell the sampler, and let the others know."""
        last, is_failed = self.record.trial(number).last, ended.state == "failed"
        values, violations = self.objectives.values(last), self.objectives.violations(last)
        self.record.end(
            number, ended, values=None if is_failed else values, violations=None if is_failed else violations
        )
        self.proposer.tell(self.record.trial(number))
        self.changed(number)


def _history(trials: Iterable[TrialRecord]) -> list[tuple[int, Mapping[str, float] | None]]:
    """What the scheduler has heard, in order: the reports of the trials that were trained, and promotions (None)."""
    trained = [trial for trial in trials if trial.reuse is None]
    heard = [(int(metrics["order"]), trial.number, metrics) for trial in trained for metrics in trial.epochs]
    promotions = [(order, trial.number, None) for trial in trained for order in trial.promotions.values()]
    return [(number, metrics) for _, number, metrics in sorted((*heard, *promotions), key=lambda each: each[0])]


def common_failure(ended: list[TrialRecord]) -> str | None:
    """The reason for which the first trials of a study all failed; None while there is hope."""
    if len(ended) < SAME_FAILURES or any(trial.state != "failed" for trial in ended):
        return None
    reasons = {trial.reason for trial in ended[:SAME_FAILURES]}
    return reasons.pop() if len(reasons) == 1 else None
