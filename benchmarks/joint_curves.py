"""Learning curves of the joint space on the embedded music, trained once for benchmarks.quality to replay.

    python -m benchmarks.joint_curves

It took 23 minutes on two cores beside other work. A line of benchmarks/joint_curves.csv is an epoch; configs that are
there are not trained again. Configs are drawn as a random search draws them.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mgc.clips import open_clips
from mgc.config import training_config
from mgc.train import Training
from search.prepare import prepare
from search.space import Space

HERE = Path(__file__).parent
SPACE = HERE.parent / "spaces" / "joint.yaml"
CURVES = HERE / "joint_curves.csv"
CONFIGS = 150
SCORES = ("epoch", "val_accuracy", "seconds")


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Configs C of the space and what each gave in each epoch E of its full budget."""

    params: tuple[Mapping[str, Any], ...]
    """Those that vary."""
    val_CE: npt.NDArray[np.float64]
    seconds_CE: npt.NDArray[np.float64]


def curve(space: Space, params: Mapping[str, Any]) -> list[tuple[float, ...]]:
    """SCORES after each epoch of one config, on one core: of its time, so that what else runs there counts less."""
    torch.set_num_threads(1)
    config = training_config({**params, "seed": space.search.seed}, data=space.data, epochs=space.budget.full)
    training = Training(config, open_clips(config, progress=False))
    rows, before_s = [], time.process_time()
    for scores in training:
        now_s = time.process_time()
        rows.append((scores.epoch, scores.val_accuracy, now_s - before_s))
        before_s = now_s
    return rows


def read(path: Path, space: Space) -> Curves:
    """The configs whose every epoch is there."""
    rows: dict[int, list[Mapping[str, str]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(int(row["config"]), []).append(row)
    whole = [rows[config] for config in sorted(rows) if len(rows[config]) == space.budget.full]
    return Curves(
        params=tuple({name: json.loads(of[0][name]) for name in space.varying} for of in whole),
        val_CE=np.array([[float(row["val_accuracy"]) for row in of] for of in whole]),
        seconds_CE=np.array([[float(row["seconds"]) for row in of] for of in whole]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joint_curves", description="Curves of the joint space.")
    parser.add_argument("--configs", type=int, default=CONFIGS)
    parser.add_argument("--curves", type=Path, default=CURVES)
    given = parser.parse_args()
    space = Space.load(SPACE)
    prepare(space, device="cpu").open_clips()  # the features, before both cores want them
    names = list(space.varying)
    configs = space.sample(given.configs)
    known = read(given.curves, space).params if given.curves.is_file() else ()
    if not known:
        given.curves.write_text(",".join(("config", *names, *SCORES)) + "\n")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        left = [n for n in range(given.configs) if {name: configs[n][name] for name in names} not in known]
        running = {pool.submit(curve, space, configs[number]): number for number in left}
        for done in as_completed(running):
            number, rows = running[done], done.result()
            with given.curves.open("a", newline="") as file:
                values = [json.dumps(configs[number][name]) for name in names]
                csv.writer(file, lineterminator="\n").writerows(
                    [number, *values, epoch, f"{val:.4f}", f"{seconds:.3f}"] for epoch, val, seconds in rows
                )
            print(f"config {number}: {rows[-1]}, {sum(row[2] for row in rows):.0f} s", flush=True)


if __name__ == "__main__":
    main()
