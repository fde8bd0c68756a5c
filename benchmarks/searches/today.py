"""What this project searched with until it learned of rungs: the mark that its successors must beat, kept as it was.

Points of a Sobol sequence, then multivariate TPE, to which a stopped trial is a pruned one with its last score, and
stopping ASHA from the first epoch on.
"""

from __future__ import annotations

import time
import warnings
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import Trial, TrialState
from scipy.stats import qmc

from benchmarks.searches.replay import Begin
from benchmarks.searches.space import Taken
from search.sampler.translate import Candidate, at, suggest
from search.scheduler.asha import StoppingAsha
from search.scheduler.scheduler import Scheduler, Stop
from search.space.space import Space

STARTUP_TRIALS = 10


class Today:
    """TPE and a scheduler that stops, as of November 2026."""

    def __init__(self, space: Space, scheduler: Scheduler, taken: Taken, slots: int) -> None:
        self.space, self.scheduler, self.taken = space, scheduler, taken
        self.startup = max(STARTUP_TRIALS, 2 * slots, len(space.varying))
        self.study = optuna.create_study(direction="maximize")
        self.running: dict[int, Trial] = {}
        self.begun = self.num_results = 0
        self._sobol = qmc.Sobol(len(space.varying), seed=np.random.default_rng(space.search.seed))

    def next(self) -> Begin:
        number = self.begun
        self.begun += 1
        own = self.taken(self._proposed(number).varying)
        candidate = Candidate.chosen(self.space, lambda name, _: own[name])
        self.study.sampler = RandomSampler()
        self.study.enqueue_trial(candidate.labels)
        self.running[number] = self.study.ask(candidate.distributions)
        return Begin(number, own)

    def goes_on(self, number: int, epoch: int, score: float) -> bool:
        if epoch == self.space.budget.full:
            self.study.tell(self.running.pop(number), score)
            self.num_results += 1
            return False
        if not isinstance(self.scheduler.on_report(number, epoch, score), Stop):
            return True
        trial = self.running.pop(number)
        trial.report(score, step=epoch)
        self.study.tell(trial, state=TrialState.PRUNED)
        self.num_results += 1
        return False

    def cpu_s(self) -> float:
        return time.process_time()

    def _proposed(self, number: int) -> Candidate:
        if self.num_results < self.startup:
            point = self._point()
            return Candidate.chosen(self.space, lambda name, domain: at(domain, point[name]))
        seed = int(np.random.default_rng((self.space.search.seed, number, 0)).integers(2**31))
        is_conditional = any(param.when for param in self.space.varying.values())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study.sampler = TPESampler(
                seed=seed, n_startup_trials=0, multivariate=True, group=is_conditional, constant_liar=True
            )
        trial = self.study.ask()
        candidate = Candidate.chosen(self.space, partial(suggest, trial))
        self.study.tell(trial, state=TrialState.FAIL)
        return candidate

    def _point(self) -> dict[str, Any]:
        """The next point of the sequence."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return dict(zip(sorted(self.space.varying), self._sobol.random(1)[0], strict=True))


def stopping_asha(space: Space) -> StoppingAsha:
    """From the first epoch on."""
    return StoppingAsha(rungs=space.budget.rungs(), reduction_factor=space.budget.reduction_factor, mode="max")
