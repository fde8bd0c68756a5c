"""This project's samplers and schedulers, driven as a study's loop drives them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from benchmarks.searches.replay import Begin, Continue
from benchmarks.searches.space import METRIC, Taken
from search.record.trial import TrialRecord
from search.sampler.sampler import Sampler
from search.sampler.translate import Candidate
from search.scheduler.scheduler import Decision, Go, Pause, Stop, scheduler_of
from search.space.domains import label
from search.space.space import Space


class TableSampler(Sampler):
    """Proposes the configs that a table has, each taken for what the sampler would propose."""

    def __init__(self, space: Space, taken: Taken, slots: int) -> None:
        super().__init__(space, lambda params: label(sorted(params.items())), slots=slots)
        self._taken = taken

    def _candidate(self, number: int, attempt: int) -> tuple[Candidate, Any]:
        candidate, known = super()._candidate(number, attempt)
        own = self._taken(candidate.varying)
        return Candidate.chosen(self.space, lambda name, _: own[name]), known


class Ours:
    """A sampler and a scheduler of ours, by their names."""

    def __init__(self, space: Space, taken: Taken, slots: int) -> None:
        self.num_epochs = space.budget.full
        self.sampler = TableSampler(space, taken, slots)
        self.scheduler = scheduler_of(space.budget, space.search.objectives.mode)
        self.trials: list[TrialRecord] = []

    def next(self) -> Begin | Continue:
        if (paused := self.scheduler.next()) is not None:
            self._promote(paused)
            return Continue(paused)
        number = len(self.trials)
        proposal = self.sampler.propose(number)
        self.trials.append(
            TrialRecord(
                **vars(proposal),
                number=number,
                state="running",
                reason=None,
                epochs=(),
                facts={},
                started=0.0,
                ended=None,
            )
        )
        return Begin(number, proposal.varying)

    def goes_on(self, number: int, epoch: int, score: float) -> bool:
        trial = self.trials[number]
        self.trials[number] = replace(trial, epochs=(*trial.epochs, {"epoch": epoch, METRIC: score}))
        self.sampler.report(self.trials[number])
        if epoch == self.num_epochs:
            self._end(number, "complete")
            return False
        decision = self.scheduler.on_report(number, epoch, score)
        if self.scheduler.first_rung is not None:
            self.sampler.first_rung = self.scheduler.first_rung.epoch
        return self._follow(number, decision)

    def cpu_s(self) -> float:
        return time.process_time()

    def _follow(self, number: int, decision: Decision) -> bool:
        """Do as the scheduler has decided. Returns whether the trial keeps its slot."""
        match decision:
            case Go():
                return True
            case Pause() if self.scheduler.next() == number:
                self._promote(number)
                return True
            case Pause():
                self.sampler.pause(number)
                return False
            case Stop():
                self._end(number, "stopped")
                return False

    def _promote(self, number: int) -> None:
        """Let a paused trial go on."""
        self.scheduler.promoted(number)
        self.sampler.go_on(number)

    def _end(self, number: int, state: Any) -> None:
        self.trials[number] = replace(self.trials[number], state=state, ended=0.0)
        self.sampler.tell(self.trials[number])
