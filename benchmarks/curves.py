"""Learning curves of small networks on real GTZAN, trained once for benchmarks.selection to replay.

    python -m benchmarks.curves --data gtzan:gtzan_logmel_64x500.npz --configs 32

Each config of benchmarks/selection.yaml is trained on every fold of train + validation and, with seeds of their own, on
the listed split: the latter say what the config is worth to somebody who trains it again. Every epoch is scored on the
validation and on the test part. A line of benchmarks/curves.csv is an epoch; what is there is not trained again.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mgc.clips.clips import open_clips
from mgc.config import DataConfig
from mgc.networks.training_config import training_config
from mgc.training.training import Training
from search.space.space import Space

HERE = Path(__file__).parent
SPACE = HERE / "selection.yaml"
CURVES = HERE / "curves.csv"
COLUMNS = ("config", "fold", "seed", "epoch", "val_accuracy", "test_accuracy", "seconds")
NUM_FOLDS = 3
FRESH_SEEDS = (1,)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One training: `fold` None is the listed split."""

    config: int
    fold: int | None
    seed: int

    @property
    def key(self) -> tuple[str, str, str]:
        return str(self.config), "" if self.fold is None else str(self.fold), str(self.seed)


def plans(num_configs: int) -> Iterator[Plan]:
    """All trainings, config by config: whatever is done when it ends early is whole configs and a part of one."""
    for config in range(num_configs):
        yield from (Plan(config=config, fold=fold, seed=0) for fold in range(NUM_FOLDS))
        yield from (Plan(config=config, fold=None, seed=seed) for seed in FRESH_SEEDS)


def curve(plan: Plan, params: Mapping[str, Any], space: Space) -> list[tuple[float, ...]]:
    """Epoch, validation and test accuracy by track, and the epoch's CPU seconds, its test part left out."""
    folds = {} if plan.fold is None else {"folds": NUM_FOLDS, "fold": plan.fold}
    data = DataConfig.checked({**space.data.model_dump(), **folds})
    config = training_config({**params, "seed": plan.seed}, data=data, epochs=space.budget.full)
    training = Training(config, open_clips(config, parts=("train", "validation", "test"), progress=False))
    rows = []
    for _ in range(config.epochs):
        started = time.process_time()
        scores = training.epoch()
        seconds = time.process_time() - started
        rows.append((scores.epoch, scores.val_accuracy, training.predict("test").scores("sum").accuracy, seconds))
    return rows


def done(path: Path) -> set[tuple[str, str, str]]:
    """The trainings that the file holds."""
    if not path.is_file():
        return set()
    with path.open(newline="") as file:
        return {(row["config"], row["fold"], row["seed"]) for row in csv.DictReader(file)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves", description="Curves for benchmarks.selection.")
    parser.add_argument("--data", required=True, help="GTZAN: a folder or an .npz file of 64 mel bands")
    parser.add_argument("--configs", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=30.0, help="no training begins later")
    parser.add_argument("--curves", type=Path, default=CURVES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    space = Space.load(SPACE, data=given.data)
    configs, known = space.sample(given.configs), done(given.curves)
    until = time.monotonic() + 60 * given.minutes
    for plan in plans(given.configs):
        if plan.key in known or time.monotonic() > until:
            continue
        rows = curve(plan, configs[plan.config], space)
        is_new = not given.curves.is_file()
        with given.curves.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([COLUMNS] if is_new else [])
            writer.writerows(
                [*plan.key, epoch, f"{val:.4f}", f"{test:.4f}", f"{s:.2f}"] for epoch, val, test, s in rows
            )
        print(f"config {plan.config}, fold {plan.fold}, seed {plan.seed}: {rows[-1]}", flush=True)


if __name__ == "__main__":
    main()
