"""A problem as a space of this project, by which every method knows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from benchmarks.searches.problems import Config, Problem
from mgc.config import DataConfig
from search.settings.sections import Budget, Resources, SearchConfig
from search.space.space import Space

ETA = 3
"""Of so many trials at a rung, one goes on: under every method that has rungs."""
METRIC = "val_accuracy"
Taken = Callable[[Config], Config]
"""Gives the config that is trained in place of a proposed one (Trainings.taken)."""


def space_of(
    problem: Problem,
    *,
    sampler: str = "random",
    seed: int = 0,
    scheduler: str = "promote",
    min_epochs: int | Literal["auto"] | None = 1,
) -> Space:
    """The problem's params as a space; no space file has them, since no model of ours does. There are no rungs,
    and there is no scheduler, where `min_epochs` is None.
    """
    rungs = {"scheduler": scheduler, "min_epochs": min_epochs, "reduction_factor": ETA}
    return Space(
        name=problem.name,
        path=Path(problem.name),
        description="",
        data=DataConfig(),
        params=problem.params,
        search=SearchConfig(sampler=sampler, seed=seed, metric=METRIC, on_repeat="reseed"),
        budget=Budget(epochs=problem.num_epochs)
        if min_epochs is None
        else Budget(max_epochs=problem.num_epochs, **rungs),
        resources=Resources(),
    )
