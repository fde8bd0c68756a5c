"""`--dry-run`: what a study would search and how long it would take here, without Ray and without making data."""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch

from mgc.training.device import best_device
from search.estimate.estimate import estimate_lines
from search.estimate.stairs import count_networks
from search.execution.ground import Ground, prepare
from search.machines.slots import Slots
from search.settings.metrics import NUM_WEIGHTS
from search.space.describe import describe
from search.space.space import Space
from search.words import brief

SAMPLES = 5


def dry_run(space: Space) -> None:
    """Print the space, its networks, some configs with their number of weights, how trials are packed, and the hours.

    Raises ConfigError for data that is not there or cannot be split so, as a study would.
    """
    ground = prepare(space, device=best_device(), make=False)
    print(describe(space))
    print(f"networks: {count_networks(ground)}")
    for line in (
        *data_lines(ground),
        *sample_lines(ground),
        *estimate_lines(ground, _slots(space), ground.configs(), budget=space.budget, trials=space.num_trials),
    ):
        print(line)
    if space.resources.trials_per_gpu == "auto":
        print("trials_per_gpu auto: decided when the study starts, on a card (here counted as 1)")


def data_lines(ground: Ground) -> Iterator[str]:
    yield f"data: {len(ground.dataset.tracks)} tracks of {ground.dataset.name}, split {ground.split.label}"
    for note in (*ground.dataset.notes, *ground.split.notes):
        yield f"  {note}"


def sample_lines(ground: Ground) -> Iterator[str]:
    yield "samples:"
    configs = ground.configs()
    count = min(SAMPLES, len(configs))
    for params in (configs[len(configs) * index // count] for index in range(count)):
        varying = ", ".join(f"{name} {brief(params[name])}" for name in ground.space.varying if name in params)
        broken = ground.space.search.objectives.violations_text(known := ground.known_metrics(params))
        outside = f"  (not trained: {broken})" if broken else ""
        yield f"  {known[NUM_WEIGHTS]:>12,} weights  {varying}{outside}"


def _slots(space: Space) -> Slots:
    """What this machine has."""
    return Slots(
        nodes=1,
        cpus=os.cpu_count() or 1,
        gpus=torch.cuda.device_count(),
        cpus_per_trial=space.resources.cpus_per_trial,
        trials_per_gpu=space.resources.known_per_gpu,
    )
