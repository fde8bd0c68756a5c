"""One replayed search at equal cost: slots that train, and an end when the budget is spent.

It knows a search by what it answers (`Searcher`) and a problem by its curves. What a search costs beside its epochs is
what it costs in this project, for every method alike, so that methods differ by what they decide.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.searches.problems import Config, Curve, Problem, Scale, Trainings

START_S = 0.1
"""Seconds of a slot for a trial's start in a warm worker, its proposal, record and MLflow included: two slots together
begin and end a trial that does nothing every 0.052 s (benchmarks/RESULTS.md)."""
CONTINUE_S = 0.1
"""For a paused trial's: the same, since it is started anew; its checkpoint is read in milliseconds."""
TICK_S = 1e-6
"""What ends this much after a look still counts, so that sums of rounded times do not decide."""
LOOKS = (0.25, 0.5, 1.0)
"""The shares of the budget after which a search is looked at."""


@dataclass(frozen=True)
class Begin:
    """A new trial."""

    number: int
    config: Config


@dataclass(frozen=True)
class Continue:
    """A paused trial, from the epoch where it was paused."""

    number: int


class Searcher(Protocol):
    """A sampler and a scheduler together: one method."""

    def next(self) -> Begin | Continue:
        """What a free slot trains."""
        ...

    def goes_on(self, number: int, epoch: int, score: float) -> bool:
        """Hears a report, and says whether the trial keeps its slot; the answer to a last epoch does not count."""
        ...

    def cpu_s(self) -> float:
        """Processor seconds that its process has used."""
        ...


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A complete trial."""

    at_s: float
    score: float
    """By what the search saw."""
    worth: float


@dataclass
class Course:
    """What happened in a replay."""

    limit_s: float
    """When it ended; each slot was busy until then."""
    completed: list[Completed] = field(default_factory=list)
    begun: int = 0
    continued: int = 0
    epochs: int = 0
    propose_s: float = 0.0
    """Processor seconds of all proposals."""

    def scores(self, scale: Scale) -> list[float]:
        """At each look, on the problem's scale, the trial that the search would name: the best complete one by what it
        saw. 0 before the first.
        """
        named = [self._named(look * self.limit_s) for look in LOOKS]
        return [0.0 if trial is None else scale(trial.worth) for trial in named]

    def _named(self, at_s: float) -> Completed | None:
        return max(
            (trial for trial in self.completed if trial.at_s <= at_s + TICK_S), key=lambda of: of.score, default=None
        )


def full_trainings(slots: int) -> int:
    """The budget: so many trainings of average cost, by all slots together."""
    return 20 if slots <= 4 else 5 * slots


def limit_s(problem: Problem, slots: int) -> float:
    """When the budget is spent, the trainings' starts included."""
    return full_trainings(slots) * (problem.full_s + START_S) / slots


@dataclass
class Replay:
    """A search on a problem, `slots` trials at once, until `limit_s`. Times are in seconds since its start."""

    searcher: Searcher
    trainings: Trainings
    slots: int
    limit_s: float
    _events: list[tuple[float, int]] = field(default_factory=list)
    """When which trial reports its next epoch."""
    _curves: dict[int, Curve] = field(default_factory=dict)
    _epochs: dict[int, int] = field(default_factory=dict)
    """How many epochs each trial has trained."""

    def run(self) -> Course:
        course = Course(self.limit_s)
        for _ in range(self.slots):
            self._start(0.0, course)
        while self._events[0][0] <= self.limit_s + TICK_S:
            self._report(*heapq.heappop(self._events), course)
        return course

    def _report(self, now_s: float, number: int, course: Course) -> None:
        self._epochs[number] += 1
        course.epochs += 1
        epoch, curve = self._epochs[number], self._curves[number]
        score, is_complete = float(curve.score_E[epoch - 1]), epoch == len(curve.score_E)
        goes_on = self.searcher.goes_on(number, epoch, score)
        if is_complete:
            course.completed.append(Completed(at_s=now_s, score=score, worth=curve.worth))
        if goes_on and not is_complete:
            self._train(now_s, number)
        else:
            self._start(now_s, course)

    def _start(self, now_s: float, course: Course) -> None:
        """Give a free slot its next trial."""
        before_s = self.searcher.cpu_s()
        step = self.searcher.next()
        if isinstance(step, Continue):
            course.continued += 1
            self._train(now_s + CONTINUE_S, step.number)
            return
        course.begun += 1
        course.propose_s += self.searcher.cpu_s() - before_s
        self._curves[step.number] = self.trainings.curve(step.config)
        self._epochs[step.number] = 0
        self._train(now_s + START_S, step.number)

    def _train(self, now_s: float, number: int) -> None:
        """Let the trial's next epoch begin."""
        epoch_s = self._curves[number].seconds_E[self._epochs[number]]
        heapq.heappush(self._events, (now_s + float(epoch_s), number))
