"""Searches of others, by Optuna and Ray Tune, each called as its own documentation and Tune's controller call it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import HyperbandPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.searches.replay import Begin
from benchmarks.searches.space import METRIC, Taken
from search.sampler.translate import Candidate, distribution, suggest
from search.space.domains import Choice, Domain
from search.space.space import Space


class TakenConfigs(BaseSampler):
    """One of Optuna's samplers, whose proposals are replaced by the configs that a table has for them.

    A config is put together as Optuna's trials do it: what the sampler proposes for params together, and each other
    param by itself.
    """

    def __init__(self, inner: BaseSampler, space: Space, taken: Taken) -> None:
        self.inner, self.space, self.taken = inner, space, taken
        self._configs: dict[int, Candidate] = {}

    def infer_relative_search_space(self, study: Any, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(self, study: Any, trial: FrozenTrial, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Any, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if trial.number not in self._configs:
            self._configs[trial.number] = self._taken(study, trial)
        return self._configs[trial.number].labels[param_name]

    def before_trial(self, study: Any, trial: FrozenTrial) -> None:
        self.inner.before_trial(study, trial)

    def after_trial(self, study: Any, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self.inner.after_trial(study, trial, state, values)

    def _taken(self, study: Any, trial: FrozenTrial) -> Candidate:
        together = self.inner.sample_relative(study, trial, self.inner.infer_relative_search_space(study, trial))

        def proposed(name: str, domain: Domain) -> Any:
            if name in together:
                return _value(domain, together[name])
            return _value(domain, self.inner.sample_independent(study, trial, name, distribution(domain)))

        own = self.taken(Candidate.chosen(self.space, proposed).varying)
        return Candidate.chosen(self.space, lambda name, _: own[name])


class TpeHyperband:
    """TPE and HyperbandPruner as Optuna's tutorial has them."""

    def __init__(self, space: Space, taken: Taken) -> None:
        self.space = space
        pruner = HyperbandPruner(max_resource=space.budget.full, reduction_factor=space.budget.reduction_factor)
        self.study = optuna.create_study(
            direction="maximize",
            sampler=TakenConfigs(TPESampler(seed=space.search.seed), space, taken),
            pruner=pruner,
            study_name=f"seed {space.search.seed}",  # by which the pruner deals trials out to its brackets
        )
        self.trials: list[Trial] = []

    def next(self) -> Begin:
        trial = self.study.ask()
        self.trials.append(trial)
        return Begin(trial.number, Candidate.chosen(self.space, partial(suggest, trial)).varying)

    def goes_on(self, number: int, epoch: int, score: float) -> bool:
        trial = self.trials[number]
        trial.report(score, step=epoch)
        if epoch == self.space.budget.full:
            self.study.tell(trial, score)
            return False
        if trial.should_prune():
            self.study.tell(trial, state=TrialState.PRUNED)
            return False
        return True

    def cpu_s(self) -> float:
        return time.process_time()


class RaysOptuna:
    """OptunaSearch and ASHAScheduler as Tune's controller calls them: a report goes to the scheduler first, and the
    search hears of a trial that stops as of one that is complete.
    """

    def __init__(self, space: Space, taken: Taken) -> None:
        self.space = space
        self.search = OptunaSearch(
            self._define,
            metric=METRIC,
            mode="max",
            sampler=TakenConfigs(TPESampler(seed=space.search.seed), space, taken),
        )
        self.scheduler = ASHAScheduler(
            metric=METRIC,
            mode="max",
            max_t=space.budget.full,
            grace_period=space.budget.rungs()[0],
            reduction_factor=space.budget.reduction_factor,
        )
        self.trials: list[TuneTrial] = []

    def next(self) -> Begin:
        number = len(self.trials)
        labels = self.search.suggest(str(number))
        assert labels is not None
        trial = TuneTrial("stub", trial_id=str(number), stub=True)
        self.trials.append(trial)
        self.scheduler.on_trial_add(None, trial)
        return Begin(number, self._config(labels))

    def goes_on(self, number: int, epoch: int, score: float) -> bool:
        result = {METRIC: score, "training_iteration": epoch}
        stops = self.scheduler.on_trial_result(None, self.trials[number], result) == TrialScheduler.STOP
        if stops:
            self.search.on_trial_complete(str(number), result)
        else:
            self.search.on_trial_result(str(number), result)
        return not stops

    def cpu_s(self) -> float:
        return time.process_time()

    def _define(self, trial: Any) -> None:
        Candidate.chosen(self.space, partial(suggest, trial))

    def _config(self, labels: Mapping[str, Any]) -> dict[str, Any]:
        varying = self.space.varying
        return {name: _value(domain, labels[name]) for name in labels if (domain := varying[name].domain) is not None}


def _value(domain: Domain, label: Any) -> Any:
    """What Optuna stores as our own value."""
    return domain.from_label(label) if isinstance(domain, Choice) else label
