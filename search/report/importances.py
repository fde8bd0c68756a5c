"""Which params the scores of a study depend on, in shares. Optuna's fANOVA; knows no page and no plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import optuna

from search.record.trial import TrialRecord

FEWEST_TRIALS = 20
"""With fewer scores than this the forest of fANOVA says more about chance than about params."""


MOST_TRIALS = 1000
"""More make the forest take minutes, and tell it little."""


def importances(trials: Iterable[TrialRecord], scores: Mapping[int, float]) -> dict[str, float]:
    """Each varying param's share, in [0, 1], of the variance of the scores (by trial number), the largest first.

    fANOVA (Hutter et al. 2014) on the trials that have a score, or on MOST_TRIALS of them; the seed of its forest is
    fixed. Empty for fewer than FEWEST_TRIALS scores, for scores that are all equal, and where one param alone varies:
    it explains what it can.
    """
    scored = evenly([trial for trial in trials if trial.number in scores])
    names = {name for trial in scored for name in trial.distributions}
    if len(scored) < FEWEST_TRIALS or len(set(scores.values())) < 2 or len(names) < 2:
        return {}
    study = optuna.create_study()
    for trial in scored:
        params, distributions = dict(trial.labels), dict(trial.distributions)
        value = scores[trial.number]
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def evenly(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """At most MOST_TRIALS of these, at even distances."""
    step = max(1.0, len(trials) / MOST_TRIALS)
    return [trials[int(index * step)] for index in range(int(len(trials) / step))]
