"""Which score of a trial finds the better test accuracy per hour: rules replayed on recorded curves.

    python -m benchmarks.selection

Reads benchmarks/curves.csv (made by benchmarks.curves) and trains nothing. A rule says what a trial's score is after
each epoch: its last accuracy, its best so far, or the mean of its last K; and whether trials that ASHA let through are
trained on the other folds as well, and judged by the mean. A search draws configs at random, stops them as ASHA does by
that score, and holds the best complete one. What that is worth is its test accuracy after the last epoch of a training
that no rule saw: another seed on the listed split, as search.confirm trains it.

Configs c, folds f, epochs e.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from benchmarks.curves import CURVES, NUM_FOLDS

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]

RUNGS = (1, 3)
REDUCTION = 3
SECONDS = (30.0, 60.0, 120.0, 300.0)
"""Of training on one core, at which searches are looked at."""
SEARCHES = 60
RESAMPLES = 300
MAX_TRIALS = 120
"""Trials of a search at most: more than fit into the longest of SECONDS."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`num_epochs` None takes the best so far; `folded` trains what ASHA let through on the other folds."""

    name: str
    num_epochs: int | None
    folded: bool = False


RULES = tuple(
    Rule(name=f"{name}{', folds' * folded}", num_epochs=num_epochs, folded=folded)
    for folded in (False, True)
    for name, num_epochs in (("last epoch", 1), ("best epoch", None), ("mean of 3", 3), ("mean of 5", 5))
)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The curves of configs that were trained on every fold and afresh."""

    val_CFE: Floats
    seconds_CFE: Floats
    test_C: Floats
    """Test accuracy after the last epoch of the fresh trainings."""

    def of(self, configs: Ints) -> Recorded:
        """Those configs, repeated ones as often as they are named."""
        return Recorded(
            val_CFE=self.val_CFE[configs], seconds_CFE=self.seconds_CFE[configs], test_C=self.test_C[configs]
        )


def read(path: Path) -> Recorded:
    """The configs of which every training is there."""
    curves: dict[tuple[str, str, str], list[Mapping[str, str]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            curves.setdefault((row["config"], row["fold"], row["seed"]), []).append(row)
    configs = sorted({config for config, _, _ in curves}, key=int)
    folds = [str(fold) for fold in range(NUM_FOLDS)]
    fresh = {c: [rows for (config, fold, _), rows in curves.items() if (config, fold) == (c, "")] for c in configs}
    whole = [c for c in configs if fresh[c] and all((c, fold, "0") in curves for fold in folds)]

    def table(column: str) -> Floats:
        return np.array([[[float(row[column]) for row in curves[c, f, "0"]] for f in folds] for c in whole])

    test = [np.mean([float(rows[-1]["test_accuracy"]) for rows in fresh[c]]) for c in whole]
    return Recorded(val_CFE=table("val_accuracy"), seconds_CFE=table("seconds"), test_C=np.array(test))


def scores(val_E: Floats, num_epochs: int | None) -> Floats:
    """A trial's score after each epoch, along the last axis.

    >>> scores(np.array([0.1, 0.3, 0.2]), 2).round(2).tolist(), scores(np.array([0.1, 0.3, 0.2]), None).tolist()
    ([0.1, 0.2, 0.25], [0.1, 0.3, 0.3])
    """
    if num_epochs is None:
        return np.maximum.accumulate(val_E, axis=-1)
    ends = range(1, val_E.shape[-1] + 1)
    return np.stack([val_E[..., max(0, end - num_epochs) : end].mean(axis=-1) for end in ends], axis=-1)


def search(
    of: Recorded, score_CFE: Floats, order: Sequence[int], fold: int, *, folded: bool
) -> Iterator[tuple[float, int]]:
    """One search on this fold: the second at which each new best config was known, and the config."""
    rungs: dict[int, list[float]] = {rung: [] for rung in RUNGS}
    now, best = 0.0, -np.inf
    for config in order:
        epochs = _epochs(score_CFE[config, fold], rungs)
        now += of.seconds_CFE[config, fold, :epochs].sum()
        if epochs < of.val_CFE.shape[-1]:
            continue
        score = score_CFE[config, fold, -1]
        if folded:
            now += np.delete(of.seconds_CFE[config], fold, axis=0).sum()
            score = score_CFE[config, :, -1].mean()
        if score > best:
            best = score
            yield now, config


def _epochs(score_E: Floats, rungs: dict[int, list[float]]) -> int:
    """How many epochs ASHA lets a trial run; its score joins those of the rungs that it comes to."""
    for rung, known in rungs.items():
        mine, before = score_E[rung - 1], sorted(known)
        known.append(mine)
        if before and mine < _percentile(before, 1 - 1 / REDUCTION):
            return rung
    return len(score_E)


def _percentile(ordered: Sequence[float], share: float) -> float:
    """As np.percentile, which takes ten times as long for so few.

    >>> np.isclose(_percentile([1.0, 2.0, 4.0], 2 / 3), np.percentile([1.0, 2.0, 4.0], 200 / 3)).item()
    True
    """
    index, rest = divmod(share * (len(ordered) - 1), 1)
    low, high = ordered[int(index)], ordered[min(int(index) + 1, len(ordered) - 1)]
    return low + rest * (high - low)


def found(of: Recorded, rule: Rule, rng: np.random.Generator, searches: int) -> Floats:
    """Mean test accuracy of what searches hold at SECONDS; before their first complete trial, that of any config."""
    value = np.full((searches, len(SECONDS)), of.test_C.mean())
    score_CFE = scores(of.val_CFE, rule.num_epochs)
    for index in range(searches):
        order = rng.integers(len(of.test_C), size=MAX_TRIALS).tolist()
        for second, config in search(of, score_CFE, order, index % NUM_FOLDS, folded=rule.folded):
            if second > SECONDS[-1]:
                break
            value[index, second <= np.array(SECONDS)] = of.test_C[config]
    return value.mean(axis=0)


def agreement(of: Recorded, rule: Rule) -> float:
    """Spearman's rank correlation of whole trainings' scores with the test accuracy, mean over folds searched on."""
    final_CF = scores(of.val_CFE, rule.num_epochs)[..., -1]
    if rule.folded:
        return float(spearmanr(final_CF.mean(axis=1), of.test_C).statistic)
    return float(np.mean([spearmanr(final_CF[:, fold], of.test_C).statistic for fold in range(NUM_FOLDS)]))


def resampled(of: Recorded, seed: int = 0) -> Floats:
    """Test accuracy (resample, rule, second): every rule on the same resamples of the configs and the same orders."""
    num = len(of.test_C)
    draws = [np.random.default_rng((seed, index)).integers(num, size=num) for index in range(RESAMPLES)]
    return np.array(
        [
            [found(of.of(draw), rule, np.random.default_rng((seed, index, 1)), NUM_FOLDS) for rule in RULES]
            for index, draw in enumerate(draws)
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selection", description="Rules of selection, replayed.")
    parser.add_argument("--curves", type=Path, default=CURVES)
    of = read(parser.parse_args().curves)
    print(f"{len(of.test_C)} configs, {of.val_CFE.shape[-1]} epochs, {NUM_FOLDS} folds, rungs {RUNGS}")
    print(f"test accuracy of a config after training afresh: mean {of.test_C.mean():.3f}, best {of.test_C.max():.3f}")
    print(f"a whole training takes {of.seconds_CFE.sum(axis=-1).mean():.1f} s of one core\n")
    columns = " | ".join(f"{second:.0f} s" for second in SECONDS)
    print(
        f"| score | rank correlation | {columns} | minus last epoch, mean of all |\n|---|---|"
        + "---|" * (len(SECONDS) + 1)
    )
    by_resample = resampled(of)
    for index, rule in enumerate(RULES):
        mean = found(of, rule, np.random.default_rng(0), SEARCHES * NUM_FOLDS)
        low, high = np.percentile(by_resample[:, index], [2.5, 97.5], axis=0)
        cells = [f"{m:.3f} [{lo:.3f}, {hi:.3f}]" for m, lo, hi in zip(mean, low, high, strict=True)]
        gap = (by_resample[:, index] - by_resample[:, 0]).mean(axis=1)
        ends = np.percentile(gap, [2.5, 97.5])
        print(
            f"| {rule.name} | {agreement(of, rule):.2f} | {' | '.join(cells)} "
            f"| {100 * gap.mean():+.2f} [{100 * ends[0]:+.2f}, {100 * ends[1]:+.2f}] points |"
        )


if __name__ == "__main__":
    main()
