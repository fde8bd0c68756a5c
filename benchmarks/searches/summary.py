"""What the replays show, as Markdown: means and ranks of the methods, each problem, and differences with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from benchmarks.searches.kept import Result
from benchmarks.searches.replay import LOOKS

Results = Mapping[tuple[str, str, int], Result]
"""The results of one group of problems at one number of slots, by problem, method and seed: whole, that is with every
method and seed of every problem."""

T = TypeVar("T")
RESAMPLES = 10_000
LOOK_NAMES = ("1/4", "1/2", "all")


def summary(results: Results, names: Mapping[str, str]) -> str:
    """Three tables. `names` has the problems' short names."""
    methods = unique(method for _, method, _ in results)
    scores_MPSL = {method: scores(results, method) for method in methods}
    parts = [means(results, scores_MPSL), per_problem(results, scores_MPSL, names)]
    if len(methods) > 1:
        parts.append(differences(scores_MPSL))
    return "\n\n".join(parts)


def scores(results: Results, method: str) -> npt.NDArray[np.float64]:
    """(P, S, L): the scores of a method on each problem, with each seed, at each look."""
    problems, seeds = unique(problem for problem, _, _ in results), unique(seed for *_, seed in results)
    return np.array([[results[problem, method, seed].scores for seed in seeds] for problem in problems])


def means(results: Results, scores_MPSL: Mapping[str, npt.NDArray[np.float64]]) -> str:
    """A row for each method."""
    ranks_MPSL = rankdata(-np.stack(list(scores_MPSL.values())), axis=0)
    rows = []
    for method, rank_PSL in zip(scores_MPSL, ranks_MPSL, strict=True):
        of = [result for (_, by, _), result in results.items() if by == method]
        rows.append(
            [
                method,
                *(f"{mean:.3f}" for mean in scores_MPSL[method].mean(axis=(0, 1))),
                f"{rank_PSL[..., -1].mean():.2f}",
                f"{np.mean([result.begun for result in of]):.0f}",
                f"{np.mean([result.completed for result in of]):.1f}",
                f"{np.mean([result.continued for result in of]):.0f}",
                f"{np.sum([result.propose_s for result in of]) / np.sum([result.begun for result in of]):.3f}",
            ]
        )
    columns = ["method", *LOOK_NAMES, "mean rank", "begun", "complete", "continued", "s per proposal"]
    return table(columns, rows)


def per_problem(results: Results, scores_MPSL: Mapping[str, npt.NDArray[np.float64]], names: Mapping[str, str]) -> str:
    """A row for each problem: the mean score of each method at the end."""
    problems = unique(problem for problem, _, _ in results)
    rows = [
        [names[problem], *(f"{of[index, :, -1].mean():.2f}" for of in scores_MPSL.values())]
        for index, problem in enumerate(problems)
    ]
    return table(["at the end", *scores_MPSL], rows)


def differences(scores_MPSL: Mapping[str, npt.NDArray[np.float64]]) -> str:
    """The first method minus each other one, with 95 % intervals, and on how many problems it is better at the end."""
    (first, mine_PSL), *others = scores_MPSL.items()
    rows = []
    for other, theirs_PSL in others:
        apart_PSL = mine_PSL - theirs_PSL
        better = int((apart_PSL[..., -1].mean(axis=1) > 0).sum())
        looks = [difference(apart_PSL[..., look]) for look in range(len(LOOKS))]
        rows.append([other, *looks, f"{better} of {len(apart_PSL)}"])
    return table([f"{first} minus", *LOOK_NAMES, "better on"], rows)


def difference(apart_PS: npt.NDArray[np.float64]) -> str:
    low, high = interval(apart_PS)
    return f"{apart_PS.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def interval(apart_PS: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of the mean of paired differences, problems P and seeds S: the percentiles of means of samples
    that draw problems with replacement, then for each of them seeds (Efron and Tibshirani 1993, section 8.3).
    """
    generator = np.random.default_rng(0)
    num_problems, num_seeds = apart_PS.shape
    problems_BP = generator.integers(num_problems, size=(RESAMPLES, num_problems))
    seeds_BPS = generator.integers(num_seeds, size=(RESAMPLES, num_problems, num_seeds))
    low, high = np.percentile(apart_PS[problems_BP[..., None], seeds_BPS].mean(axis=(1, 2)), [2.5, 97.5])
    return float(low), float(high)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def unique(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))
