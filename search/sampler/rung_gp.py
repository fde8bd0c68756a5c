"""`RungGPSampler`, a sampler of Optuna's for studies with early stopping: it learns from every rung of every trial.

    study = optuna.create_study(direction="maximize", sampler=RungGPSampler(seed=0), pruner=...)

It knows Optuna and nothing of this project's studies, so that it serves in any study (docs/sampler.md).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import ThreadpoolController

from search.sampler.acquisition import NUM_STARTS, highest, log_expected_improvement
from search.sampler.encoding import Encoding, conditions, union
from search.sampler.evidence import Evidence, Steps, representative
from search.sampler.feasibility import Feasibility
from search.sampler.gaussian_process import Floats, Points, Prior

RANDOM_SHARE = 0.2
"""Of the proposals: with these a study is never much worse than random ones for long."""
STARTUP_TRIALS = 10


class RungGPSampler(BaseSampler):
    """Proposes the params whose value at the full budget is expected to improve most on the best.

    A Gaussian process over params and epochs (search.sampler.gaussian_process) learns from the values that trials have
    reported, `trial.report(value, step)`, whatever became of them: complete, pruned, running. Failed trials are
    ignored. A running trial counts as one whose result is awaited, so that proposals made side by side differ; unless
    its user attribute `paused` is true: then nobody trains it now. Params may depend on others, constraints
    (`trial.set_constraint`, or `constraints_func`) are learned too. With several objectives proposals are TPE's.

    A proposal depends on the seed, the trial's number and the trials so far, on nothing that a process would take with
    it when it ends.

    - `seed`: None draws one.
    - `rungs`: the steps at which values count; None takes those that were reported, of many a ladder.
    - `full`: the step at which a trial is complete; None takes the highest so far.
    - `startup`: trials with a result, below which proposals are random.
    - `random_share`: the share of random proposals later.
    - `number`: counts in place of the trial's number, where studies ask for more trials than they run.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        rungs: Sequence[int] | None = None,
        full: int | None = None,
        startup: int = STARTUP_TRIALS,
        random_share: float = RANDOM_SHARE,
        number: int | None = None,
    ) -> None:
        self._rungs, self._full = rungs, full
        self._startup, self._random_share = startup, random_share
        self._number = number
        self._seed = int(np.random.default_rng().integers(2**32)) if seed is None else seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All params that any trial has had; TPE's own choice with several objectives."""
        if len(study.directions) > 1:
            return self._tpe(trial).infer_relative_search_space(study, trial)
        return union(_trials(study, trial))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if len(study.directions) > 1:
            return self._tpe(trial).sample_relative(study, trial, search_space)
        generator = self._generator(trial, "relative")
        if not search_space or generator.random() < self._random_share:
            return {}
        trials = _trials(study, trial)
        steps = Steps.of(trials, self._rungs, self._full)
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        evidence = Evidence.of(trials, steps, sign=sign)
        if evidence.num_trials < max(self._startup, 1):
            return {}
        encoding = Encoding(search_space, conditions(trials, search_space))
        with _thread_pools().limit(limits=1, user_api="blas"):
            return proposal(encoding, evidence, steps, Feasibility.of(trials, encoding, generator), generator)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value: of a random proposal, or of a param that no trial has had."""
        if len(study.directions) > 1:
            return self._tpe(trial).sample_independent(study, trial, param_name, param_distribution)
        encoding = Encoding({param_name: param_distribution}, {})
        return encoding.params(encoding.random(1, self._generator(trial, param_name))[0])[param_name]

    def _generator(self, trial: FrozenTrial, purpose: str) -> np.random.Generator:
        """Random numbers of this trial for one purpose."""
        number = trial.number if self._number is None else self._number
        return np.random.default_rng((self._seed, number, zlib.crc32(purpose.encode())))

    def _tpe(self, trial: FrozenTrial) -> TPESampler:
        seed = int(self._generator(trial, "tpe").integers(2**31))
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)


@cache
def _thread_pools() -> ThreadpoolController:
    """Those of NumPy and SciPy. Beside trials that use all cores, threads on these small matrices wait for each other:
    a proposal then takes ten times as long.
    """
    return ThreadpoolController()


def _trials(study: Study, trial: FrozenTrial) -> list[FrozenTrial]:
    """Those that did not fail, in the order of their numbers, without the one that is asked for."""
    trials = study.get_trials(deepcopy=False)
    return [each for each in trials if each.state != TrialState.FAIL and each.number != trial.number]


def proposal(
    encoding: Encoding, evidence: Evidence, steps: Steps, feasibility: Feasibility, generator: np.random.Generator
) -> dict[str, Any]:
    """The params of the highest expected improvement, times the probability that constraints are kept.

    Running trials count as if they had come to their ends as expected.
    """
    kept = representative(evidence.results, generator)
    results = [evidence.results[index] for index in kept]
    numbers = sorted({result.trial for result in results}.union(evidence.pending))
    rows = {number: encoding.row(evidence.trials[number].params) for number in numbers}

    def points(trials: Sequence[int], depths: Sequence[float]) -> Points:
        columns = encoding.columns(np.array([rows[number] for number in trials]))
        return Points(configs_NC=columns, depths_N=np.array(depths), trials_N=np.array(trials))

    known = points([result.trial for result in results], [steps.depth(result.epoch) for result in results])
    posterior = Prior(encoding.params_C).posterior(known, evidence.scores()[kept], generator)
    if evidence.pending:
        posterior = posterior.supposing(points(evidence.pending, [1.0] * len(evidence.pending)))
    tried_NP = np.array([rows[number] for number in numbers])
    expected_N = posterior.mean(Points.at(encoding.columns(tried_NP), 1.0))
    is_kept = [all(miss <= 0 for miss in evidence.trials[number].constraints.values()) for number in numbers]
    best = float(np.max(expected_N[is_kept])) if any(is_kept) else None

    def acquisition(rows_MP: Floats) -> Floats:
        columns = encoding.columns(rows_MP)
        log_feasible = feasibility.log_probability(columns)
        if best is None:
            return log_feasible
        return log_expected_improvement(*posterior.predict(Points.at(columns, 1.0)), best) + log_feasible

    starts_NP = tried_NP[np.argsort(-expected_N, kind="stable")[:NUM_STARTS]]
    return encoding.params(highest(acquisition, encoding, starts_NP, generator))
