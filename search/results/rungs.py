"""Whether the first rung tells anything: how its ranks agree with those of the trials that went on from there.

It looks at records alone. The trials that went on are mostly the best of the first rung, among which ranks agree less
than among all; what it says names that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.record.header import StudyHeader
from search.record.notes import FIRST_RUNG, first_rung_text
from search.record.record import Record
from search.record.trial import TrialRecord
from search.stats import rank_correlation

FEWEST_TRIALS = 8
"""Trials of which a rank correlation is worth a word."""
CHANCE = 1.645
"""Standard deviations that a rank correlation of chance exceeds in 1 of 20 cases."""


@dataclass(frozen=True, kw_only=True)
class RungAgreement:
    """The rank correlation (Spearman) of the scores after two epochs, over the trials that came to the later one."""

    rung: int
    later: int
    num_trials: int
    correlation: float
    """In [-1, 1]; NaN where all scores of one epoch are equal."""

    @property
    def is_chance(self) -> bool:
        """Whether it is no higher than chance is in 19 of 20 cases: its deviation by chance is 1 / sqrt(n - 1)."""
        return not self.correlation * math.sqrt(self.num_trials - 1) > CHANCE

    def __str__(self) -> str:
        """A sentence without its end.

        >>> str(RungAgreement(rung=1, later=3, num_trials=9, correlation=0.8))
        'the order of trials after epoch 1 agrees with that after 3: rank correlation 0.80 over the 9 trials \
that reached it'
        """
        measured = f"rank correlation {self.correlation:.2f} over the {self.num_trials} trials that reached it"
        if self.is_chance:
            return (
                f"the order of trials after epoch {self.rung} says no more than chance about that after {self.later}: "
                f"{measured}, mostly the best of epoch {self.rung}"
            )
        return f"the order of trials after epoch {self.rung} agrees with that after {self.later}: {measured}"


def rung_agreement(header: StudyHeader, trials: Sequence[TrialRecord]) -> RungAgreement | None:
    """How the first rung agrees with the next one, or with the end where there is one rung; None without rungs, or
    where too few trials came so far.
    """
    if not header.rungs:
        return None
    first, later = (*header.rungs, header.max_epochs)[:2]
    pairs = [
        (trial.epochs[first - 1].get(header.metric, math.nan), trial.epochs[later - 1].get(header.metric, math.nan))
        for trial in trials
        if trial.reuse is None and len(trial.epochs) >= later
    ]
    pairs = [pair for pair in pairs if all(map(math.isfinite, pair))]
    if len(pairs) < FEWEST_TRIALS:
        return None
    correlation = rank_correlation(*zip(*pairs, strict=True))
    return RungAgreement(rung=first, later=later, num_trials=len(pairs), correlation=correlation)


def rung_warning(record: Record, trials: Sequence[TrialRecord]) -> str | None:
    """What somebody should know who trusts the first rung: that it ranks no better than chance; None where it does, or
    nobody can tell.
    """
    header, found = record.header, record.noted(FIRST_RUNG)
    if found is not None:  # measured over trials that passed whatever their score
        return None if found["epoch"] == header.rungs[0] else first_rung_text(found, header.rungs)
    agreement = rung_agreement(header, trials)
    return str(agreement) if agreement is not None and agreement.is_chance else None
