"""A study that never ran, but looks as if: several params, rungs, pauses and promotions, for tests of pages."""

from __future__ import annotations

import math
import os
from pathlib import Path
from unittest import mock

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution
from small_study import ended, new_record

from search.record.record import Record
from search.record.trial import Proposal

PARAMS = {
    "lr": {"loguniform": [1e-5, 1e-1]},
    "r": {"uniform": [2.0, 64.0]},
    "optimizer": {"choice": ["adam", "sgd", "adamw"]},
    "channels": {"choice": [[16, 32], [32, 64, 128], [8, 8]]},
}
OPTIMIZERS = ("adam", "sgd", "adamw")
CHANNELS = ("[16, 32]", "[32, 64, 128]", "[8, 8]")


def invented(
    out: Path,
    name: str = "joint-001",
    *,
    trials: int = 50,
    epochs: int = 27,
    reason: str = "out of host memory",
    **header: object,
) -> Record:
    """A study of so many trials with learning curves: a third is complete, others stopped or paused, or failed for this
    reason.
    """
    rungs = [3, 9] if epochs > 9 else [1]
    canonical = {
        "data": {"dataset": "synthetic", "split": "artist", "fold": None},
        "params": {"model": "se_cnn"} | PARAMS,
    }
    about = {"canonical": canonical, "trials": trials, "max_epochs": epochs, "rungs": rungs} | header
    with mock.patch.object(os, "fsync"):
        record = new_record(out, name, **about)
        for number in range(trials):
            add_invented(record, number, reason=reason)
    return record


def add_invented(record: Record, number: int, *, end: bool = True, reason: str = "out of host memory") -> None:
    """The next trial, drawn by its number; with `end` it ends as most trials do."""
    rng = np.random.default_rng(number)
    epochs = record.header.max_epochs
    lr, r = float(10 ** rng.uniform(-5, -1)), float(rng.uniform(2, 64))
    optimizer, channels = (int(rng.integers(3)) for _ in range(2))
    varying = {
        "lr": lr,
        "r": r,
        "optimizer": OPTIMIZERS[optimizer],
        "channels": [[16, 32], [32, 64, 128], [8, 8]][channels],
    }
    labels = varying | {"channels": CHANNELS[channels]}
    made = record.start(
        Proposal(
            params={"model": "se_cnn", **varying, "sr": 22050, "batch_size": 32, "vote": "sum"},
            varying=varying,
            labels=labels,
            distributions={
                "lr": FloatDistribution(1e-5, 1e-1, log=True),
                "r": FloatDistribution(2.0, 64.0),
                "optimizer": CategoricalDistribution(OPTIMIZERS),
                "channels": CategoricalDistribution(CHANNELS),
            },
            seed=number % 5,
            network=f"net-{int(128 / r)}-{optimizer}-{channels}",
            repeat=0,
        ),
        {"node": f"node-{number % 2}"},
    )
    goal = 0.72 - 0.09 * abs(math.log10(lr) + 2.6) - 0.03 * optimizer + 0.02 * channels + float(rng.normal(0, 0.02))
    last = epochs if number % 3 == 0 else int(rng.choice([*record.header.rungs, epochs]))
    for epoch in range(1, last + 1):
        learnt = 1 - math.exp(-3 * epoch / epochs)
        scores = {
            "val_accuracy": goal * learnt + float(rng.normal(0, 0.008)),
            "train_accuracy": min(1.0, (goal + 0.2) * learnt),
        }
        record.report(made, {"epoch": epoch, "seconds": 0.002, **scores})
        if epoch in record.header.rungs and epoch < last and number % 4 == 0:
            record.promote(made)
    if not end:
        return
    if number % 17 == 5:
        record.end(made, ended("failed", reason))
    elif last == epochs:
        record.end(made, ended("complete"), values=[goal])
    elif number % 2:
        record.end(made, ended("stopped", f"ASHA after epoch {last}"))
    else:
        record.pause(made)
