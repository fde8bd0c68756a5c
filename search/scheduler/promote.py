"""Promoting ASHA: asynchronous successive halving that pauses a trial at a rung and continues it once it is among the
best there (Li et al. 2020), with three rules of its own.

- The first complete trials come early: until three trials have passed the last rung, one that is among the best third
  of those that came to its rung before it goes on at once.
- Promotions are delayed (Tiao et al. 2020): of n trials at a rung at most n / `reduction_factor` go on, however the
  ranks change later; but one of the best ninth always does.
- The first rung is used only if it tells something, where `finds_first_rung` says so: the first trials pass it
  whatever their score, and if it ranks them otherwise than the second rung, new trials are no longer judged there.

It must not know the record, the sampler, or how trials are trained.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from search.scheduler.scheduler import Decision, FirstRung, Go, Pause
from search.settings.sections import Budget
from search.stats import rank_correlation

EARLY_TRIALS = 3
"""Until so many trials have passed the last rung, good ones go on at once."""
PROBES = 16
"""The first trials, which pass the first rung so that its ranks can be compared with the second's."""
MIN_AGREEMENT = 0.5
"""The rank correlation (Spearman) of the first two rungs over the probes, below which the first is skipped."""


@dataclass
class _Rung:
    ranks: list[tuple[float, int]] = field(default_factory=list)
    """(-score, trial), of which less is better; the best first."""
    scores: dict[int, float] = field(default_factory=dict)
    """Trial -> its score, of which more is better; a NaN is the worst."""
    promoted: set[int] = field(default_factory=set)
    """The trials that went on because of their rank."""
    paused: set[int] = field(default_factory=set)

    def add(self, trial: int, score: float) -> int:
        """Returns how many trials are better."""
        self.scores[trial] = score
        entry = (-score, trial)
        insort(self.ranks, entry)
        return bisect_left(self.ranks, entry)


class PromotingAsha:
    """Pauses every trial at each rung, and continues the best.

    >>> asha = PromotingAsha(rungs=(1,), reduction_factor=2, mode="max")
    >>> asha.on_report(0, 1, 0.5), asha.on_report(1, 1, 0.4), asha.next()
    (Go(), Pause(), None)
    """

    def __init__(
        self, *, rungs: Sequence[int], reduction_factor: int, mode: str, finds_first_rung: bool = False
    ) -> None:
        self._sign = 1.0 if mode == "max" else -1.0
        self._factor = reduction_factor
        self._rungs = {epoch: _Rung() for epoch in sorted(rungs)}
        self._is_probing = finds_first_rung and len(self._rungs) > 1
        self._probes: set[int] = set()
        self._judged_from = min(rungs)
        self.first_rung: FirstRung | None = None

    def on_report(self, trial: int, epoch: int, score: float) -> Decision:
        self._go_on(trial, before=epoch)
        rung = self._rungs.get(epoch)
        if rung is None or epoch < self._judged_from or trial in rung.scores:
            return Go()
        num_better = rung.add(trial, -math.inf if math.isnan(score) else self._sign * score)
        if self._passes_as_probe(trial, epoch):
            return Go()
        if self._is_early() and num_better < max(1, len(rung.ranks) / self._factor):
            rung.promoted.add(trial)
            return Go()
        rung.paused.add(trial)
        return Pause()

    def next(self) -> int | None:
        """The deepest rung's best paused trial that its rank lets go on."""
        for rung in reversed(self._rungs.values()):
            quota = len(rung.ranks) // self._factor
            at_once = max(1, quota // self._factor)
            has_room = len(rung.promoted) < quota
            for rank, (_, trial) in enumerate(rung.ranks[:quota]):
                if trial in rung.paused and (has_room or rank < at_once):
                    return trial
        return None

    def best_paused(self) -> int | None:
        for rung in reversed(self._rungs.values()):
            if rung.paused:
                return next(trial for _, trial in rung.ranks if trial in rung.paused)
        return None

    def promoted(self, trial: int) -> None:
        self._go_on(trial, before=math.inf)

    def hopeless(self) -> Collection[int]:
        """Those in the worse half of a rung to which twice as many trials came as one needs to promote one."""
        hopeless: set[int] = set()
        for rung in self._rungs.values():
            if len(rung.ranks) >= 2 * self._factor:
                worse = {trial for _, trial in rung.ranks[len(rung.ranks) // 2 :]}
                hopeless |= worse & rung.paused
        return hopeless

    def _go_on(self, trial: int, *, before: float) -> None:
        """The trial is not paused any more at a rung before that epoch."""
        for epoch, rung in self._rungs.items():
            if epoch < before and trial in rung.paused:
                rung.paused.remove(trial)
                rung.promoted.add(trial)

    def _is_early(self) -> bool:
        *_, last = self._rungs.values()
        return len(last.promoted) < EARLY_TRIALS

    def _passes_as_probe(self, trial: int, epoch: int) -> bool:
        """Whether the trial is one of the probes, at the first rung."""
        if not self._is_probing:
            return False
        first, second, *_ = self._rungs
        if epoch == second:
            self._compare(self._rungs[first].scores, self._rungs[second].scores)
        elif epoch == first and len(self._probes) < PROBES:
            self._probes.add(trial)
        return epoch == first and trial in self._probes

    def _compare(self, first: Mapping[int, float], second: Mapping[int, float]) -> None:
        """Once all probes are at the second rung: keep the first, or skip it from now on."""
        if len(self._probes) < PROBES or not self._probes <= second.keys():
            return
        self._is_probing = False
        agreement = rank_correlation(*([scores[trial] for trial in self._probes] for scores in (first, second)))
        self._judged_from = list(self._rungs)[0 if agreement >= MIN_AGREEMENT else 1]
        self.first_rung = FirstRung(self._judged_from, agreement)


def promoting_asha(budget: Budget, mode: str) -> PromotingAsha:
    """The scheduler `promote` of a budget."""
    return PromotingAsha(
        rungs=budget.rungs(),
        reduction_factor=budget.reduction_factor,
        mode=mode,
        finds_first_rung=budget.min_epochs == "auto",
    )
