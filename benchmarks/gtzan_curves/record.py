"""Records the learning curves of random configs of space.yaml, then packs them into curves.npz.

    python -m benchmarks.gtzan_curves --data gtzan_logmel_64x500.npz --runs runs.jsonl --minutes 300
    python -m benchmarks.gtzan_curves --runs runs.jsonl --pack

It goes on where it was ended: a line of the runs is a whole training. Each training has one thread of its own, and its
times are the CPU's, so that what else runs there counts less. It needs the features of README.md's data section.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from mgc.clips.clips import open_clips
from mgc.networks.training_config import training_config
from mgc.training.metrics import Predictions
from mgc.training.training import Training, TrainingError
from search.space.domains import Choice
from search.space.space import Space

HERE = Path(__file__).parent
SPACE = HERE / "space.yaml"
CURVES = HERE / "curves.npz"
NUM_CONFIGS = 300
REPEATED_EVERY = 10
SEEDS = range(5)
"""Of the repeated configs; the others have the first one only."""
SCORES = ("score", "score_clip", "loss", "test", "test_clip", "test_loss", "train_loss", "seconds")
"""What is kept of each epoch: accuracies by track and by clip and the mean cross-entropy, of the validation and of the
test part, and the CPU seconds of training and validation.
"""


class Plan(NamedTuple):
    """One training of a config of the space, counted from 0."""

    config: int
    seed: int


def plans(num_configs: int) -> Iterator[Plan]:
    """All trainings, config by config, so that whatever is done when it ends early is whole."""
    for config in range(num_configs):
        yield from (Plan(config, seed) for seed in (SEEDS if config % REPEATED_EVERY == 0 else SEEDS[:1]))


def train(plan: Plan, params: Mapping[str, Any], data: str) -> list[list[float]]:
    """SCORES after each epoch; those of epochs after a loss that is not finite are NaN."""
    torch.set_num_threads(1)
    space = Space.load(SPACE, data=data)
    config = training_config({**params, "seed": plan.seed}, data=space.data, epochs=space.budget.full)
    training = Training(config, open_clips(config, parts=("train", "validation", "test"), progress=False))
    rows: list[list[float]] = []
    try:
        while len(rows) < config.epochs:
            rows.append(_epoch(training))
    except TrainingError:
        rows += [[np.nan] * len(SCORES)] * (config.epochs - len(rows))
    return rows


def _epoch(training: Training) -> list[float]:
    started_s = time.process_time()
    scores = training.epoch()
    seconds = time.process_time() - started_s
    test = training.predict("test")
    validation = (scores.val_accuracy_sum, scores.val_clip_accuracy, scores.val_loss)
    return [*validation, *_test_scores(test), scores.train_loss, seconds]


def _test_scores(test: Predictions) -> tuple[float, float, float]:
    return test.scores("sum").accuracy, test.scores("none").accuracy, test.loss


def record(data: str, runs: Path, *, num_configs: int, workers: int, minutes: float) -> None:
    """Train what `runs` does not hold yet, and append a line for each training that has ended."""
    until_s = time.monotonic() + 60 * minutes
    configs = Space.load(SPACE, data=data).sample(num_configs)
    held = {Plan(run["config"], run["seed"]) for run in read(runs)}
    left = (plan for plan in plans(num_configs) if plan not in held)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running: dict[Future[list[list[float]]], Plan] = {}
        while True:
            while len(running) < workers and time.monotonic() < until_s and (plan := next(left, None)) is not None:
                running[pool.submit(train, plan, configs[plan.config], data)] = plan
            if not running:
                return
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                _append(runs, running.pop(ended), ended.result())


def _append(runs: Path, plan: Plan, rows: Sequence[Sequence[float]]) -> None:
    line = json.dumps({**plan._asdict(), "epochs": [[round(value, 4) for value in row] for row in rows]})
    with runs.open("a") as file:
        file.write(line + "\n")
    print(
        f"config {plan.config}, seed {plan.seed}: {rows[-1][0]:.3f} after {sum(r[-1] for r in rows):.0f} s", flush=True
    )


def read(runs: Path) -> list[dict[str, Any]]:
    """The trainings that the file holds; none where there is no file."""
    return [json.loads(line) for line in runs.read_text().splitlines()] if runs.is_file() else []


def pack(runs: Path, curves: Path) -> None:
    """Write the arrays that README.md describes: configs C, params P, epochs E, further trainings R."""
    space = Space.load(SPACE)
    trainings = {Plan(run["config"], run["seed"]): np.array(run["epochs"]) for run in read(runs)}
    first = sorted(plan for plan in trainings if plan.seed == 0)
    further = sorted(plan for plan in trainings if plan.seed > 0 and Plan(plan.config, 0) in trainings)
    configs = space.sample(1 + max(plan.config for plan in first))
    declared = json.dumps({name: param.canonical() for name, param in space.varying.items()})
    place = {plan.config: row for row, plan in enumerate(first)}
    arrays: dict[str, npt.NDArray[Any]] = {
        "space": np.array(declared),
        "params": np.array([_row(space, configs[plan.config]) for plan in first]),
        "repeat_of": np.array([place[plan.config] for plan in further], dtype=np.int64),
    }
    for column, name in enumerate(SCORES):
        for prefix, chosen in (("", first), ("repeat_", further)):
            arrays[prefix + name] = np.array([trainings[plan][:, column] for plan in chosen], dtype=np.float32)
    np.savez_compressed(curves, **arrays)
    print(f"{curves}: {len(first)} configs, {len(further)} further trainings")


def _row(space: Space, config: Mapping[str, Any]) -> list[float]:
    """The varying params of a config as numbers: a choice by its index, a param that is off by NaN."""
    return [_number(param.domain, config[name]) if name in config else np.nan for name, param in space.varying.items()]


def _number(domain: Any, value: Any) -> float:
    return float(domain.values.index(value) if isinstance(domain, Choice) else value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gtzan_curves", description="Learning curves on GTZAN.")
    parser.add_argument("--runs", type=Path, required=True, help="a line of JSON for each training; made where missing")
    parser.add_argument("--pack", action="store_true", help="write curves.npz of the runs, and train nothing")
    parser.add_argument("--data", help="the features of GTZAN: an .npz file")
    parser.add_argument("--configs", type=int, default=NUM_CONFIGS)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=300.0, help="no training begins later")
    options = parser.parse_args()
    if options.pack:
        pack(options.runs, CURVES)
    elif options.data is None:
        parser.error("--data is missing")
    else:
        limits = {"num_configs": options.configs, "workers": options.workers, "minutes": options.minutes}
        record(str(Path(options.data).resolve()), options.runs, **limits)
