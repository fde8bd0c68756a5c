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
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState
from scipy.stats import qmc

from search.domains import Choice, Domain, Float, Int, label
from search.record import Proposal, TrialRecord
from search.space import Space

STARTUP_TRIALS = 10
"""Results that a Bayesian sampler waits for, at least, and one for each param that varies: of fewer it would settle on
the first model that did well. Until then proposals spread over the space.
"""

MAX_PROPOSALS = 100
"""Times that params are proposed for one trial until their network keeps the study's limits; then it is not trained."""
SAMPLED_PROPOSALS = 10
"""So many of those times the sampler is asked, which may insist; then params are drawn from anywhere."""

Training = tuple[str, int | None]
"""An effective network and the fold that it is trained on: what may be repeated with another seed."""


class Sampler:
    """Proposes a study's trials, one after another.

    `network_key` gives the key of the effective network of a flat table of params, `known` those of its metrics that
    need no training; both need torch, which this file does not. `slots` is the number of trials that run at once: the
    spread start grows with it, since that many proposals are made without each other's results.

    Several metrics are optimized together. There a trial that ASHA stopped counts as worse than every complete one,
    however far it had come: its curve is of the first metric alone.
    """

    def __init__(
        self,
        space: Space,
        network_key: Callable[[Mapping[str, Any]], str],
        *,
        known: Callable[[Mapping[str, Any]], Mapping[str, float]] = lambda _: {},
        slots: int = 1,
    ) -> None:
        self.space = space
        self.objectives = space.search.objectives
        self._network_key, self._metrics_of = network_key, known
        self._startup = max(STARTUP_TRIALS, 2 * slots, len(space.varying))
        self._grid = space.grid() if space.search.sampler == "grid" else None
        self._study = optuna.create_study(
            directions=["maximize" if mode == "max" else "minimize" for mode in self.objectives.modes]
        )
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
            for rejected in trial.rejected:
                distributions = {name: json_to_distribution(text) for name, text in rejected["distributions"].items()}
                self._reject(self._known(rejected["labels"], distributions), rejected["violations"])
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
            self._tell(trial, result["state"], {**self._metrics_of(params), **result["metrics"]}, result["epoch"])
            self._results += 1

    def propose(self, number: int) -> Proposal:
        """The trial of that number, which must be the next one. The same results so far give the same proposal."""
        rejected: list[dict[str, Any]] = []
        while True:
            trial, params, domains = self._enter(number, len(rejected))
            labels = {name: stored(domain, params[name]) for name, domain in domains.items()}
            distributions = {name: distribution(domain) for name, domain in domains.items()}
            known = self._metrics_of(params)
            violations = self.objectives.violations(known)
            infeasible = self.objectives.broken(known)
            if infeasible is None or self._grid is not None or len(rejected) == MAX_PROPOSALS - 1:
                break
            self._reject(trial, violations)
            as_text = {name: distribution_to_json(each) for name, each in distributions.items()}
            rejected.append({"labels": labels, "distributions": as_text, "violations": violations})
        self._pending[number] = trial
        network = self._network_key(params)
        training = (network, params.get("fold"))
        repeat = self._networks[training]
        self._networks[training] += 1
        return Proposal(
            params=params,
            varying={name: params[name] for name in domains},
            labels=labels,
            distributions=distributions,
            seed=self._seed(params, repeat),
            network=network,
            repeat=repeat,
            reuse=self._trained.get(training) if self.space.search.on_repeat == "reuse" else None,
            known=known,
            rejected=tuple(rejected),
            infeasible=infeasible,
        )

    def tell(self, trial: TrialRecord) -> None:
        """How a trial ended: a complete one with its scores, a stopped one with how far it had come."""
        pending = self._pending.pop(trial.number)
        if trial.infeasible is not None:
            self._reject(pending, self.objectives.violations(trial.known))
        elif trial.state == "failed" or self.objectives.values(trial.last) is None:
            self._study.tell(pending, state=TrialState.FAIL)
        else:
            self._tell(pending, trial.state, trial.last, int(trial.last["epoch"]))
            self._results += 1
            self._trained.setdefault((trial.network, trial.params.get("fold")), trial.number)

    def _tell(self, trial: Trial, state: str, metrics: Mapping[str, float], epoch: int) -> None:
        """A result in Optuna's words: what a stopped trial had reached is worth less than a complete one's score."""
        for limit, miss in self.objectives.violations(metrics).items():
            trial.set_constraint(limit, miss)
        if state == "complete":
            self._study.tell(trial, [metrics[name] for name in self.objectives.metrics])
            return
        if not self.objectives.are_several:  # Optuna has no words for it where they are
            trial.report(metrics[self.objectives.metric], step=epoch)
        self._study.tell(trial, state=TrialState.PRUNED)

    def _reject(self, trial: Trial, violations: Mapping[str, float]) -> None:
        """Params that were not trained, since their network breaks a limit: worse than any result."""
        for limit, miss in violations.items():
            trial.set_constraint(limit, miss)
        self._study.tell(trial, state=TrialState.PRUNED)

    def _chooser(self, number: int, attempt: int) -> Callable[[str, Domain], Any] | None:
        """What chooses the values of that trial at this attempt; None leaves it to Optuna."""
        if self._grid is not None:
            combination = self._grid[number]
            return lambda name, _: combination[name]
        is_spread = self.space.search.sampler == "qmc" or self._results < self._startup
        if self.space.search.sampler == "random" or attempt >= (1 if is_spread else SAMPLED_PROPOSALS):
            generator = self._generator(number, attempt)
            return lambda name, domain: at(domain, generator.random())
        if is_spread:
            point = self._sobol_point(number)
            return lambda name, domain: at(domain, point[name])
        return None

    def _enter(self, number: int, attempt: int) -> tuple[Trial, dict[str, Any], dict[str, Domain]]:
        """Make a trial known to Optuna as running. Returns it, its params, and the domains of those that vary."""
        choose = self._chooser(number, attempt)
        if choose is None:
            self._study.sampler = self._bayesian(seed=int(self._generator(number, attempt).integers(2**31)))
            trial = self._study.ask()
            params, domains = self._walk(lambda name, domain: suggest(trial, name, domain))
        else:
            params, domains = self._walk(choose)
            labels = {name: stored(domain, params[name]) for name, domain in domains.items()}
            trial = self._known(labels, {name: distribution(domain) for name, domain in domains.items()})
        return trial, params, domains

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

    def _generator(self, number: int, attempt: int) -> np.random.Generator:
        """The first attempt's, and one of its own for each other."""
        entropy = (self.space.search.seed, number, attempt)
        return np.random.default_rng(entropy if attempt else entropy[:2])

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
