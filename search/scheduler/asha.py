"""Stopping ASHA: asynchronous successive halving (Li et al. 2020) that stops a trial at a rung, with one bracket.

The same decisions as Ray Tune's ASHAScheduler of one bracket, which a test compares report by report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from search.scheduler.scheduler import Decision, Go, NeverPauses, Stop
from search.settings.sections import Budget


class StoppingAsha(NeverPauses):
    """Stops a trial at a rung where its score is below the best 1 / `reduction_factor` of those that came there before.

    A score counts at the highest rung that the trial has reached and was not judged at yet, and at one rung only. The
    first trial at a rung has nobody to be compared with and goes on; so does one whose score is NaN.

    >>> asha = StoppingAsha(rungs=(1, 3), reduction_factor=3, mode="max")
    >>> asha.on_report(0, 1, 0.5), asha.on_report(1, 1, 0.4)
    (Go(), Stop(reason='ASHA after epoch 1'))
    """

    def __init__(self, *, rungs: Sequence[int], reduction_factor: int, mode: str) -> None:
        self._sign = 1.0 if mode == "max" else -1.0
        self._percentile = (1 - 1 / reduction_factor) * 100
        self._scores: dict[int, dict[int, float]] = {rung: {} for rung in sorted(rungs, reverse=True)}
        """Rung, the highest first -> trial -> its score there, of which more is better."""

    def on_report(self, trial: int, epoch: int, score: float) -> Decision:
        rung = next((at for at, scores in self._scores.items() if at <= epoch and trial not in scores), None)
        if rung is None:
            return Go()
        before = [of for of in self._scores[rung].values() if not math.isnan(of)]
        signed = self._sign * score
        self._scores[rung][trial] = signed
        is_below = bool(before) and signed < np.percentile(before, self._percentile)
        return Stop(f"ASHA after epoch {epoch}") if is_below else Go()


def stopping_asha(budget: Budget, mode: str) -> StoppingAsha:
    """The scheduler `stop` of a budget."""
    return StoppingAsha(rungs=budget.rungs(), reduction_factor=budget.reduction_factor, mode=mode)
