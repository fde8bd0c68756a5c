"""The proposals of a study: each trial's params, its effective network and its seed.

What is proposed next depends on the record alone. It knows nothing of Ray, files or torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.samplers import BaseSampler

from search.record.trial import Proposal, TrialRecord
from search.sampler.choosers import Random, Request, chooser
from search.sampler.optuna_study import OptunaStudy
from search.sampler.translate import Candidate, stored
from search.sampler.warmstart import EarlierResult
from search.space.params import Choose
from search.space.space import Space

Training = tuple[str, int | None]
"""An effective network and the fold that it is trained on: what may be repeated with another seed."""


class Sampler:
    """Proposes the trials of a study, one after another, and learns from how they end.

    `network_key` gives the key of the effective network of a flat table of params, `known` those of its metrics that
    need no training; both need torch, which this file does not. `slots` is the number of trials that run at once.
    `name` is that of the sampler, the space's own where it is None. A study that began before samplers heard of rungs
    goes on as it began, with `hears_rungs` False: its sampler hears only how trials end.
    """

    def __init__(
        self,
        space: Space,
        network_key: Callable[[Mapping[str, Any]], str],
        *,
        known: Callable[[Mapping[str, Any]], Mapping[str, float]] = lambda _: {},
        slots: int = 1,
        name: str | None = None,
        hears_rungs: bool = True,
    ) -> None:
        self.space = space
        self.objectives = space.search.objectives
        self.first_rung = 1
        """The first epoch whose results count: a scheduler may find that earlier ones say nothing."""
        self._network_key, self._known_metrics = network_key, known
        self._chooser = chooser(name or space.search.own_sampler, space, slots, hears_rungs)
        self._rungs = (*space.budget.rungs(), space.budget.full)
        self._study = OptunaStudy(self.objectives, self._rungs if hears_rungs else ())
        self._first = list(space.search.first)
        """Those that no trial has had yet."""
        self._num_proposed: Counter[Training] = Counter()
        self._trained: dict[Training, int] = {}
        """The number of the first trial with a result."""

    def learn(self, results: Iterable[EarlierResult]) -> None:
        """Take over results of an earlier study: before `restore`, in the same order each time."""
        for result in results:
            params = result.params
            candidate = Candidate.chosen(self.space, lambda name, _: params[name])  # noqa: B023 - it is called at once
            metrics = {**self._known_metrics(candidate.params), **result.metrics}
            self._num_proposed[self._training(candidate.params)] += 1
            self._study.add(candidate, result.state, metrics, result.epoch)

    def restore(self, trials: Iterable[TrialRecord]) -> None:
        """Take over what a record holds, in the order of the trials' numbers."""
        for trial in trials:
            for rejected in trial.rejected:
                self._take_first(rejected["labels"])
                distributions = {name: json_to_distribution(text) for name, text in rejected["distributions"].items()}
                self._study.reject(rejected["labels"], distributions, rejected["violations"])
            self._take_first(trial.labels)
            self._study.start(trial.number, trial.labels, trial.distributions)
            self._num_proposed[trial.network, trial.params.get("fold")] += 1
            if trial.state not in ("running", "paused"):
                self.tell(trial)
                continue
            self._study.report(trial)
            if trial.state == "paused":
                self.pause(trial.number)

    def propose(self, number: int) -> Proposal:
        """The trial of that number, which must be the next one. The same results so far give the same proposal.

        A candidate whose network breaks a limit is rejected, and noted in the proposal; the last one that may be made
        is proposed though it breaks one, with `infeasible` saying which.
        """
        rejected: list[Mapping[str, Any]] = []
        candidate, known = self._candidate(number, attempt=0)
        while not self.objectives.is_feasible(known) and len(rejected) + 1 < self._chooser.attempts:
            rejected.append(self._reject(candidate, self.objectives.violations(known)))
            candidate, known = self._candidate(number, attempt=len(rejected))
        self._take_first(candidate.labels)
        self._study.start(number, candidate.labels, candidate.distributions)
        return self._proposal(candidate, known, rejected)

    def report(self, trial: TrialRecord) -> None:
        """A trial has got further: its epochs are in the record."""
        self._study.report(trial)

    def pause(self, number: int) -> None:
        """A trial waits at a rung: its results count, and no other is awaited until it goes on."""
        self._study.set_paused(number, True)

    def go_on(self, number: int) -> None:
        """A paused trial trains again."""
        self._study.set_paused(number, False)

    def tell(self, trial: TrialRecord) -> None:
        """A trial has ended: complete, stopped with the metrics of its last epoch, failed, or not trained at all."""
        if self._study.end(trial):
            training = (trial.network, trial.params.get("fold"))
            self._trained[training] = min(trial.number, self._trained.get(training, trial.number))

    def _candidate(self, number: int, attempt: int) -> tuple[Candidate, Mapping[str, float]]:
        """A candidate for that trial, and the metrics of its network that need no training."""
        request = Request(
            seed=self.space.search.seed,
            number=number,
            attempt=attempt,
            num_results=self._study.num_results,
            rungs=[rung for rung in self._rungs if rung >= self.first_rung],
        )
        chosen_by = self._chooser.choose(request) if attempt or not self._first else self._first_or_random(request)
        if isinstance(chosen_by, BaseSampler):
            candidate = self._study.ask(self.space, chosen_by, self._chooser.min_at_rung)
        else:
            candidate = Candidate.chosen(self.space, chosen_by)
        return candidate, self._known_metrics(candidate.params)

    def _first_or_random(self, request: Request) -> Choose:
        """The next of the space's first params; what these leave out is random."""
        first, random = self._first[0], Random().choose(request)
        return lambda name, domain: first[name] if name in first else random(name, domain)

    def _take_first(self, labels: Mapping[str, Any]) -> None:
        """These are tried now: where they are some of the space's first params, those are done with."""
        for first in self._first:
            if self._labels(first).items() <= labels.items():
                self._first.remove(first)
                return

    def _labels(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Params that vary as Optuna stores them."""
        return {name: stored(domain, params[name]) for name in params if (domain := self.space.params[name].domain)}

    def _reject(self, candidate: Candidate, violations: Mapping[str, float]) -> dict[str, Any]:
        """Returns what the record keeps of a candidate that breaks a limit, for `restore` to read."""
        labels, distributions = candidate.labels, candidate.distributions
        self._take_first(labels)
        self._study.reject(labels, distributions, violations)
        as_text = {name: distribution_to_json(each) for name, each in distributions.items()}
        return {"labels": labels, "distributions": as_text, "violations": violations}

    def _proposal(
        self, candidate: Candidate, known: Mapping[str, float], rejected: Sequence[Mapping[str, Any]]
    ) -> Proposal:
        training = self._training(candidate.params)
        repeat = self._num_proposed[training]
        self._num_proposed[training] += 1
        return Proposal(
            params=candidate.params,
            varying=candidate.varying,
            labels=candidate.labels,
            distributions=candidate.distributions,
            seed=self._seed(candidate.params, repeat),
            network=training[0],
            repeat=repeat,
            reuse=self._trained.get(training) if self.space.search.on_repeat == "reuse" else None,
            known=known,
            rejected=tuple(rejected),
            infeasible=self.objectives.violations_text(known),
        )

    def _training(self, params: Mapping[str, Any]) -> Training:
        return self._network_key(params), params.get("fold")

    def _seed(self, params: Mapping[str, Any], repeat: int) -> int:
        """A trial's seed: its own where the space gives one, else the study's plus its network's repeats so far."""
        if "seed" in params:
            return int(params["seed"])
        return self.space.search.seed + (repeat if self.space.search.on_repeat == "reseed" else 0)
