"""Learning curves of the joint space on the embedded music, trained once for benchmarks.searches to replay.

    python -m benchmarks.joint_curves

It took 23 minutes on two cores beside other work. The table is written again after each config; configs that it has are
not trained again. Configs are drawn as a random search draws them. Nothing was scored on test tracks: a config is
judged by its validation accuracy.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.searches.tables import Table
from mgc.clips.clips import open_clips
from mgc.files.whole import whole
from mgc.networks.training_config import training_config
from mgc.training.training import Training
from search.execution.ground import prepare
from search.space.domains import Choice, label
from search.space.space import Space

HERE = Path(__file__).parent
SPACE = HERE.parent / "spaces" / "joint.yaml"
CURVES = HERE / "joint_curves.npz"
CONFIGS = 150

Curve = Sequence[tuple[float, float]]
"""The validation accuracy and the seconds of each epoch."""


def curve(space: Space, params: Mapping[str, Any]) -> Curve:
    """The curve of one config, on one core: its seconds are of the processor, so that what else runs there counts
    less.
    """
    torch.set_num_threads(1)
    config = training_config({**params, "seed": space.search.seed}, data=space.data, epochs=space.budget.full)
    training = Training(config, open_clips(config, progress=False))
    rows, before_s = [], time.process_time()
    for scores in training:
        now_s = time.process_time()
        rows.append((scores.val_accuracy, now_s - before_s))
        before_s = now_s
    return rows


def read(path: Path) -> dict[str, tuple[Mapping[str, Any], Curve]]:
    """Each config that the table has, by its label, and its curve; none where there is no file."""
    if not path.is_file():
        return {}
    table = Table.load(path)
    configs = [table.config(row) for row in range(len(table.values_CP))]
    curves = [list(zip(*rows, strict=True)) for rows in zip(table.score_CE, table.seconds_CE, strict=True)]
    return {label(config): (config, of) for config, of in zip(configs, curves, strict=True)}


def write(path: Path, space: Space, curves: Sequence[tuple[Mapping[str, Any], Curve]]) -> None:
    """A table of benchmarks.searches."""
    score_CE = np.array([[score for score, _ in of] for _, of in curves])
    with whole(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            space=json.dumps({name: param.canonical() for name, param in space.varying.items()}),
            params=np.array([_numbers(space, config) for config, _ in curves]),
            score=score_CE,
            test=score_CE,
            seconds=np.array([[seconds for _, seconds in of] for _, of in curves]),
        )


def _numbers(space: Space, config: Mapping[str, Any]) -> list[float]:
    domains = {name: param.domain for name, param in space.varying.items()}
    return [
        of.labels().index(label(config[name])) if isinstance(of, Choice) else config[name]
        for name, of in domains.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joint_curves", description="Curves of the joint space.")
    parser.add_argument("--configs", type=int, default=CONFIGS)
    parser.add_argument("--curves", type=Path, default=CURVES)
    given = parser.parse_args()
    space = Space.load(SPACE)
    prepare(space, device="cpu").open_clips()  # the features, before both cores want them
    curves = read(given.curves)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        running = {}
        for params in space.sample(given.configs):
            config = {name: params[name] for name in space.varying}
            if label(config) not in curves:
                running[pool.submit(curve, space, params)] = config
        for ended in as_completed(running):
            config, rows = running[ended], ended.result()
            curves[label(config)] = (config, rows)
            write(given.curves, space, list(curves.values()))
            print(f"{config}: {rows[-1][0]:.3f}, {sum(seconds for _, seconds in rows):.0f} s", flush=True)


if __name__ == "__main__":
    main()
