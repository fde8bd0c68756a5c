"""Proposals: which params, with which seed, for which effective network. Optuna's samplers behind our own words.

A sampler's whole state is the record: what it proposes next depends on the study's seed, the trial's number and the
results so far, never on a generator that a killed process took with it. It knows nothing of Ray or of files.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState
from scipy.stats import qmc

from search.domains import Choice, Domain, Float, Int, label
from search.record import Proposal, TrialRecord
from search.space import Space

STARTUP_TRIALS = 10
"""Results that a Bayesian sampler waits for, at least; until then proposals spread over the space."""

Training = tuple[str, int | None]
"""An effective network and the fold that it is trained on: what may be repeated with another seed."""


class Sampler:
    """Proposes a study's trials, one after another.

    `network_key` gives the key of the effective network of a flat table of params; it needs torch, which this file
    does not. `slots` is the number of trials that run at once: the spread start grows with it, since that many
    proposals are made without each other's results.
    """

    def __init__(self, space: Space, network_key: Callable[[Mapping[str, Any]], str], *, slots: int = 1) -> None:
        self.space = space
        self._network_key = network_key
        self._startup = max(STARTUP_TRIALS, 2 * slots)
        self._grid = space.grid() if space.search.sampler == "grid" else None
        self._study = optuna.create_study(direction="maximize" if space.search.mode == "max" else "minimize")
        self._pending: dict[int, Trial] = {}
        self._networks: Counter[Training] = Counter()
        self._trained: dict[Training, int] = {}
        self._results = 0

    @property
    def size(self) -> int | None:
        """How many trials there are to propose: every combination of a grid once; None where there is no end."""
        return None if self._grid is None else len(self._grid)

    def restore(self, trials: Iterable[TrialRecord]) -> None:
        """Take over what a record holds, in the order of the trials' numbers."""
        for trial in trials:
            self._pending[trial.number] = self._known(trial.labels, trial.distributions)
            self._networks[trial.network, trial.params.get("fold")] += 1
            if trial.state != "running":
                self.tell(trial)

    def learn(self, results: Iterable[Mapping[str, Any]]) -> None:
        """Take over results of an earlier study (search.warmstart): before `restore`, in the same order each time."""
        for result in results:
            given = result["params"]
            params, domains = self._walk(lambda name, _: given[name])  # noqa: B023 - it is called here, at once
            labels = {name: stored(domain, params[name]) for name, domain in domains.items()}
            trial = self._known(labels, {name: distribution(domain) for name, domain in domains.items()})
            self._networks[self._network_key(params), params.get("fold")] += 1
            self._tell(trial, result["state"], result["score"], result["epoch"])
            self._results += 1

    def propose(self, number: int) -> Proposal:
        """The trial of that number, which must be the next one. The same results so far give the same proposal."""
        params, domains = self._enter(number, self._chooser(number))
        network = self._network_key(params)
        training = (network, params.get("fold"))
        repeat = self._networks[training]
        self._networks[training] += 1
        return Proposal(
            params=params,
            varying={name: params[name] for name in domains},
            labels={name: stored(domain, params[name]) for name, domain in domains.items()},
            distributions={name: distribution(domain) for name, domain in domains.items()},
            seed=self._seed(params, repeat),
            network=network,
            repeat=repeat,
            reuse=self._trained.get(training) if self.space.search.on_repeat == "reuse" else None,
        )

    def tell(self, trial: TrialRecord) -> None:
        """How a trial ended: a complete one with its score, a stopped one with how far it had come."""
        pending = self._pending.pop(trial.number)
        score = trial.score(self.space.search.metric)
        if trial.state == "failed" or score is None:
            self._study.tell(pending, state=TrialState.FAIL)
            return
        self._tell(pending, trial.state, score, int(trial.last["epoch"]))
        self._results += 1
        self._trained.setdefault((trial.network, trial.params.get("fold")), trial.number)

    def _tell(self, trial: Trial, state: str, score: float, epoch: int) -> None:
        """A result in Optuna's words: what a stopped trial had reached is worth less than a complete one's score."""
        if state == "complete":
            self._study.tell(trial, score)
        else:
            trial.report(score, step=epoch)
            self._study.tell(trial, state=TrialState.PRUNED)

    def _chooser(self, number: int) -> Callable[[str, Domain], Any] | None:
        """What chooses the values of that trial; None leaves it to Optuna."""
        if self._grid is not None:
            combination = self._grid[number]
            return lambda name, _: combination[name]
        if self.space.search.sampler == "random":
            generator = self._generator(number)
            return lambda name, domain: at(domain, generator.random())
        if self.space.search.sampler == "qmc" or self._results < self._startup:
            point = self._sobol_point(number)
            return lambda name, domain: at(domain, point[name])
        return None

    def _enter(
        self, number: int, choose: Callable[[str, Domain], Any] | None
    ) -> tuple[dict[str, Any], dict[str, Domain]]:
        """Make the trial known to Optuna as running. Returns its params, and the domains of those that vary."""
        if choose is None:
            self._study.sampler = self._bayesian(seed=int(self._generator(number).integers(2**31)))
            trial = self._study.ask()
            params, domains = self._walk(lambda name, domain: suggest(trial, name, domain))
        else:
            params, domains = self._walk(choose)
            labels = {name: stored(domain, params[name]) for name, domain in domains.items()}
            trial = self._known(labels, {name: distribution(domain) for name, domain in domains.items()})
        self._pending[number] = trial
        return params, domains

    def _known(self, labels: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> Trial:
        """A running trial of Optuna's whose every value is given."""
        self._study.sampler = RandomSampler()  # is asked for nothing
        self._study.enqueue_trial(dict(labels))
        return self._study.ask(dict(distributions))

    def _walk(self, choose: Callable[[str, Domain], Any]) -> tuple[dict[str, Any], dict[str, Domain]]:
        domains: dict[str, Domain] = {}

        def noted(name: str, domain: Domain) -> Any:
            domains[name] = domain
            return choose(name, domain)

        return self.space.walk(noted), domains

    def _bayesian(self, seed: int) -> BaseSampler:
        conditional = any(param.when for param in self.space.varying.values())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if self.space.search.sampler == "gp":
                return GPSampler(seed=seed, n_startup_trials=0, deterministic_objective=False)
            return TPESampler(seed=seed, n_startup_trials=0, multivariate=True, group=conditional, constant_liar=True)

    def _sobol_point(self, number: int) -> dict[str, float]:
        """Point of a scrambled Sobol sequence, in [0, 1) per param: spread evenly however many are taken."""
        names = sorted(self.space.varying)
        sequence = qmc.Sobol(len(names), seed=np.random.default_rng(self.space.search.seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # exact balance needs a power of two; any start is fine here
            return dict(zip(names, sequence.random(number + 1)[number], strict=True))

    def _generator(self, number: int) -> np.random.Generator:
        return np.random.default_rng((self.space.search.seed, number))

    def _seed(self, params: Mapping[str, Any], repeat: int) -> int:
        """A trial's seed: its own where the space gives one, else the study's plus its network's repeats so far."""
        if "seed" in params:
            return int(params["seed"])
        return self.space.search.seed + (repeat if self.space.search.on_repeat == "reseed" else 0)


def distribution(domain: Domain) -> BaseDistribution:
    """A domain in Optuna's words."""
    match domain:
        case Float(low, high, log):
            return FloatDistribution(low, high, log=log)
        case Int(low, high, log):
            return IntDistribution(low, high, log=log)
        case Choice():
            return CategoricalDistribution(domain.labels())


def suggest(trial: Trial, name: str, domain: Domain) -> Any:
    """Optuna's proposal for one param, as our own value."""
    match domain:
        case Float(low, high, log):
            return trial.suggest_float(name, low, high, log=log)
        case Int(low, high, log):
            return trial.suggest_int(name, low, high, log=log)
        case Choice():
            return domain.from_label(trial.suggest_categorical(name, domain.labels()))


def stored(domain: Domain, value: Any) -> Any:
    """A value as Optuna keeps it: choices by their labels, since its categories must be plain."""
    return label(value) if isinstance(domain, Choice) else value


def at(domain: Domain, share: float) -> Any:
    """The value that lies at this share, in [0, 1), of a domain's width."""
    match domain:
        case Float(low, high, False):
            return low + share * (high - low)
        case Float(low, high, True):
            return min(max(low * (high / low) ** share, low), high)
        case Int(low, high, False):
            return low + int(share * (high - low + 1))
        case Int(low, high, True):
            return min(max(int(low * ((high + 1) / low) ** share), low), high)
        case Choice(values):
            return values[int(share * len(values))]


def importances(trials: Iterable[TrialRecord], scores: Mapping[int, float]) -> dict[str, float]:
    """Each varying param's share of the variance of the scores (by trial number), the largest first.

    fANOVA (Hutter et al. 2014) on the trials that have a score; Optuna's forest for it has a fixed seed here. Empty
    where fewer than two trials or no two different values are there to tell anything.
    """
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(trial.labels), distributions=dict(trial.distributions), value=scores[trial.number]
            )
            for trial in trials
            if trial.number in scores
        ]
    )
    if len(study.trials) < 2 or len(set(scores.values())) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)
