"""Quality for time: when searches hold a trial nearly as good as their best, replayed on recorded curves.

    python -m benchmarks.quality

Reads benchmarks/joint_curves.csv (made by benchmarks.joint_curves) and trains nothing: a proposal becomes the recorded
config that is nearest to it, an epoch takes the seconds that it took then, two trials run at once. Samplers and ASHA
are the real ones, called as Tune calls them. Only training counts, not the cost of starting trials, which is measured
elsewhere (benchmarks.trials) and would favor ours.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import optuna
from optuna.trial import TrialState
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.figure import Figure
from benchmarks.joint_curves import CURVES, SPACE, Curves, read
from search.domains import Choice, Domain, Float, Int
from search.record import Proposal, TrialRecord
from search.rungs import asha, trial_id
from search.sampler import Sampler, distribution, stored, suggest
from search.space import Space

Floats = npt.NDArray[np.float64]

SLOTS = 2
SEEDS = 20
POINT = 0.01
"""How near to the best a trial must come."""
SECONDS = (30, 60, 120)
"""At which studies are looked at."""
LESS = "ends more than a point below TPE without stopping"
RESAMPLES = 10_000
NOBODY: Any = None
"""ASHA asks nothing of a controller."""


class Searcher(Protocol):
    """What proposes: params of a trial, of which it is told after each epoch that it survives, and at its end."""

    def propose(self, number: int) -> Mapping[str, Any]: ...
    def report(self, number: int, epoch: int, score: float) -> None: ...
    def end(self, number: int, epoch: int, score: float, *, is_complete: bool) -> None: ...


class Ours:
    """This project's sampler, told what its tuner tells it."""

    def __init__(self, space: Space, nearest: Callable[[Mapping[str, Any]], int]) -> None:
        self.sampler = Sampler(space, lambda params: str(nearest(params)), slots=SLOTS)
        self.proposals: dict[int, Proposal] = {}

    def propose(self, number: int) -> Mapping[str, Any]:
        self.proposals[number] = self.sampler.propose(number)
        return self.proposals[number].varying

    def report(self, number: int, epoch: int, score: float) -> None:
        return None

    def end(self, number: int, epoch: int, score: float, *, is_complete: bool) -> None:
        self.sampler.tell(
            TrialRecord(
                **vars(self.proposals.pop(number)),
                number=number,
                state="complete" if is_complete else "stopped",
                reason=None,
                epochs=({"epoch": epoch, "val_accuracy": score},),
                facts={},
                started=0.0,
                ended=0.0,
            )
        )


class PlainOptuna:
    """Optuna's TPE as its tutorial has it."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        self.trials: dict[int, optuna.Trial] = {}

    def propose(self, number: int) -> Mapping[str, Any]:
        trial = self.trials[number] = self.study.ask()
        return {name: suggest(trial, name, domain) for name, domain in domains(self.space).items()}

    def report(self, number: int, epoch: int, score: float) -> None:
        return None

    def end(self, number: int, epoch: int, score: float, *, is_complete: bool) -> None:
        self.study.tell(self.trials.pop(number), score, state=TrialState.COMPLETE)


class RaysOptuna:
    """OptunaSearch as Tune calls it, which tells it of reports of trials that go on, and of every end."""

    def __init__(self, space: Space, seed: int) -> None:
        self.domains = domains(space)
        self.search = OptunaSearch(
            {name: distribution(domain) for name, domain in self.domains.items()},
            metric="val_accuracy",
            mode="max",
            seed=seed,
        )

    def propose(self, number: int) -> Mapping[str, Any]:
        given = self.search.suggest(trial_id(number))
        assert given is not None
        return {name: _value(domain, given[name]) for name, domain in self.domains.items()}

    def report(self, number: int, epoch: int, score: float) -> None:
        self.search.on_trial_result(trial_id(number), {"val_accuracy": score, "training_iteration": epoch})

    def end(self, number: int, epoch: int, score: float, *, is_complete: bool) -> None:
        last = {"val_accuracy": score, "training_iteration": epoch}
        self.search.on_trial_complete(trial_id(number), last)


class Random:
    """Proposals from anywhere."""

    def __init__(self, space: Space) -> None:
        self.sampler = Sampler(space, lambda params: "")

    def propose(self, number: int) -> Mapping[str, Any]:
        return self.sampler.propose(number).varying

    def report(self, number: int, epoch: int, score: float) -> None:
        return None

    def end(self, number: int, epoch: int, score: float, *, is_complete: bool) -> None:
        return None


def domains(space: Space) -> dict[str, Domain]:
    """Those of the params that vary; none of this space's has a condition."""
    return {name: param.domain for name, param in space.varying.items() if param.domain is not None}


def _value(domain: Domain, given: Any) -> Any:
    return domain.from_label(given) if isinstance(domain, Choice) else given


@dataclass
class Nearest:
    """The recorded config that is nearest to params: choices count 1 where they differ, numbers by the share of their
    domain that lies between.
    """

    space: Space
    curves: Curves
    _known: dict[str, int] = field(default_factory=dict)

    def __call__(self, params: Mapping[str, Any]) -> int:
        key = str([params[name] for name in self.space.varying])
        if key not in self._known:
            away = [self._distance(params, of) for of in self.curves.params]
            self._known[key] = int(np.argmin(away))
        return self._known[key]

    def _distance(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
        return sum(_apart(domain, a[name], b[name]) ** 2 for name, domain in domains(self.space).items())


def _apart(domain: Domain, a: Any, b: Any) -> float:
    match domain:
        case Choice():
            return float(stored(domain, a) != stored(domain, b))
        case Float(low, high, False) | Int(low, high, False):
            return float(abs(a - b) / (high - low))
        case Float(low, high, True) | Int(low, high, True):
            return float(abs(np.log(a / b)) / np.log(high / low))


@dataclass(frozen=True, kw_only=True)
class Course:
    """When each complete trial of a replayed study ended, and its score."""

    at_s: tuple[float, ...]
    score: tuple[float, ...]
    end_s: float
    """When the last trial of all ended, complete or stopped."""

    @property
    def best(self) -> float:
        return max(self.score)

    def reached(self, score: float) -> float:
        """Seconds until a trial had this score, which one has."""
        return min(at for at, of in zip(self.at_s, self.score, strict=True) if of >= score)

    def held(self, second: float) -> float:
        """The best score so far at this second; 0 before the first."""
        return max((of for at, of in zip(self.at_s, self.score, strict=True) if at <= second), default=0.0)


def replay(searcher: Searcher, scheduler: TrialScheduler, curves: Curves, nearest: Nearest, trials: int) -> Course:
    """One study of so many trials, SLOTS at a time."""
    now, events = 0.0, list[tuple[float, int, int]]()
    """When which trial ends which epoch."""
    chosen: dict[int, int] = {}
    stubs: dict[int, Trial] = {}
    ended: list[tuple[float, float]] = []

    def start(now: float) -> None:
        number = len(chosen)
        if number < trials:
            chosen[number] = nearest(searcher.propose(number))
            stubs[number] = Trial("stub", trial_id=trial_id(number), stub=True)
            scheduler.on_trial_add(NOBODY, stubs[number])
            heapq.heappush(events, (now + curves.seconds_CE[chosen[number], 0], number, 1))

    for _ in range(SLOTS):
        start(0.0)
    num_epochs = curves.val_CE.shape[1]
    while events:
        now, number, epoch = heapq.heappop(events)
        score = float(curves.val_CE[chosen[number], epoch - 1])
        result = {"metrics/epoch": epoch, "metrics/val_accuracy": score}
        is_complete = epoch == num_epochs
        if is_complete:
            scheduler.on_trial_complete(NOBODY, stubs[number], result)
            ended.append((now, score))
        if is_complete or scheduler.on_trial_result(NOBODY, stubs[number], result) == TrialScheduler.STOP:
            searcher.end(number, epoch, score, is_complete=is_complete)
            start(now)
        else:
            searcher.report(number, epoch, score)
            heapq.heappush(events, (now + curves.seconds_CE[chosen[number], epoch], number, epoch + 1))
    return Course(at_s=tuple(at for at, _ in ended), score=tuple(score for _, score in ended), end_s=now)


OURS, PATIENT, RAYS, RANDOM = METHODS = (
    "ours",
    "TPE without stopping",
    "Ray's OptunaSearch and ASHA",
    "random and ASHA",
)
GOALS = {PATIENT: ">= 3x", RAYS: ">= 1x", RANDOM: ">= 1x"}


def courses(method: str, curves: Curves, seeds: int) -> list[Course]:
    """The replayed studies of one method, a seed after another."""
    found = []
    for seed in range(seeds):
        sampler = "random" if method == RANDOM else "tpe"
        space = Space.load(SPACE, overrides=[f"search.seed={seed}", f"search.sampler={sampler}"])
        nearest = Nearest(space, curves)
        searcher: Searcher
        scheduler: TrialScheduler = asha(space.budget, space.search.objectives)
        if method == OURS:
            searcher = Ours(space, nearest)
        elif method == PATIENT:
            searcher, scheduler = PlainOptuna(space, seed), FIFOScheduler()  # type: ignore[no-untyped-call]
        elif method == RAYS:
            searcher = RaysOptuna(space, seed)
        else:
            searcher = Random(space)
        found.append(replay(searcher, scheduler, curves, nearest, space.num_trials))
    return found


def times(of: Sequence[Course]) -> Floats:
    """Seconds until each study had a trial within a point of its own final best."""
    return np.array([course.reached(course.best - POINT) for course in of])


def never(of: Sequence[Course], patient: Sequence[Course]) -> int:
    """How many studies never had a trial within a point of what the patient search of the same seed ends with."""
    return sum(mine.best < theirs.best - POINT for mine, theirs in zip(of, patient, strict=True))


def ratio(theirs: Floats, ours: Floats) -> tuple[float, float, float]:
    """How many times longer theirs take, as a ratio of medians, with its 95 % bootstrap interval over seeds."""
    draws = np.random.default_rng(0).integers(len(ours), size=(RESAMPLES, len(ours)))
    drawn = np.median(theirs[draws], axis=1) / np.median(ours[draws], axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(np.median(theirs) / np.median(ours)), float(low), float(high)


def figures(data: str, *, quick: bool) -> Iterator[Figure]:
    """For `make bench`."""
    of = replayed(5 if quick else SEEDS)
    ours = times(of[OURS])
    for method, goal in GOALS.items():
        theirs = times(of[method])
        _, low, high = ratio(theirs, ours)
        yield Figure(
            name=f"until a trial is within a point of the study's final best, replayed, median of {len(ours)} seeds",
            unit="s",
            ours=float(np.median(ours)),
            baseline=float(np.median(theirs)),
            baseline_name=method,
            more_is_better=False,
            goal=goal,
            limit=f"95 % of the ratio: {low:.1f} to {high:.1f}",
        )


def replayed(seeds: int) -> dict[str, list[Course]]:
    """The studies of every method."""
    curves = read(CURVES, Space.load(SPACE))
    return {method: courses(method, curves, seeds) for method in METHODS}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description="Quality for time, replayed.")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    of = replayed(parser.parse_args().seeds)
    curves = read(CURVES, Space.load(SPACE))
    whole_s, num_epochs = curves.seconds_CE.sum(axis=1).mean(), curves.val_CE.shape[1]
    print(f"{len(curves.params)} configs of {num_epochs} epochs, {whole_s:.1f} s each; {SLOTS} trials at once")
    print(f"their scores: median {np.median(curves.val_CE[:, -1]):.3f}, best {curves.val_CE[:, -1].max():.3f}\n")
    looks = " | ".join(f"best at {second} s" for second in SECONDS)
    print(f"| search | until within a point of its final best | ours is faster by | {looks} | whole study | {LESS} |")
    print("|---|---|---|" + "---|" * (len(SECONDS) + 2))
    ours = times(of[OURS])
    for method, studies in of.items():
        theirs = times(studies)
        faster, low, high = ratio(theirs, ours)
        held = " | ".join(f"{np.mean([study.held(second) for study in studies]):.3f}" for second in SECONDS)
        best, end_s = np.mean([study.best for study in studies]), np.mean([study.end_s for study in studies])
        print(
            f"| {method} | {np.median(theirs):.0f} s | {faster:.1f}x [{low:.1f}, {high:.1f}] | {held} "
            f"| {best:.3f} after {end_s:.0f} s | {never(studies, of[PATIENT])} of {len(studies)} |"
        )


if __name__ == "__main__":
    main()
