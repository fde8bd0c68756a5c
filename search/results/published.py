"""The papers' figures, which the space files declare as published, and the study that measures ours beside each.

A figure stands in one place only: the space whose settings it belongs to. Reads space files; knows no study.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgc.words.errors import ConfigError
from search.settings.sections import Published
from search.space.domains import label
from search.space.shipped import word_for
from search.space.space import Space

PROFILE = "paper"
SEEDS = 3
"""Trainings of each config where the paper does not say how many its figure is the mean of."""

NOT_PARAMS = ("epochs", "vote")
"""Settings of a figure that are no params of a config: epochs are the budget's, and every vote is scored."""
BY_VOTE = {"none": "clip_accuracy", "sum": "accuracy_sum", "majority": "accuracy_majority"}
"""The name of the accuracy under each vote, after `test_`, `val_` or `train_`."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One published figure, with the space under the papers' profile that declares it."""

    published: Published
    space: Space
    paper: str

    @property
    def setting(self) -> str:
        """The settings in a line: `clip_seconds=30 dropout=0`."""
        return " ".join(f"{name}={label(value)}" for name, value in self.published.params.items())

    @property
    def metric(self) -> str:
        """The name of the published metric in our records: that of an accuracy under a vote names the vote."""
        part, _, what = self.published.metric.partition("_")
        vote = self.published.params.get("vote")
        return f"{part}_{BY_VOTE[vote]}" if what == "accuracy" and vote else self.published.metric

    @property
    def epochs(self) -> int | None:
        """The epochs of training behind the figure; None where the paper does not say."""
        return self.published.params.get("epochs")

    @property
    def params(self) -> Mapping[str, Any]:
        """The params that a config must have to be the figure's."""
        return {name: value for name, value in self.published.params.items() if name not in NOT_PARAMS}

    @property
    def reason(self) -> str | None:
        """Why nothing can be compared with the figure; None where something can."""
        if self.published.value == 0:
            return "the paper prints 0.00 for a run that it did not finish"
        return None

    @property
    def study(self) -> str:
        """The name of the study that `commands` makes."""
        return "-".join([self.space.name, PROFILE, *([str(self.epochs)] if self._other_budget else [])])

    def commands(self, out: Path) -> tuple[str, str]:
        """What to type for our own figure: the study, then its configs trained again and scored on the test part.

        `out` is where studies are kept.
        """
        changed = ["--set", f"budget.epochs={self.epochs}"] if self._other_budget else []
        place = [] if out == Path("runs") else ["--out", str(out)]
        run = ["search.run", word_for(self.space.path), "--profile", PROFILE, *changed, "--name", self.study, *place]
        confirm = ["search.confirm", self.study, "--all", "--seeds", str(self._num_seeds), *place]
        return shlex.join(["python", "-m", *run]), shlex.join(["python", "-m", *confirm])

    @property
    def _other_budget(self) -> bool:
        return self.epochs is not None and self.epochs != self.space.budget.full

    @property
    def _num_seeds(self) -> int:
        seed = self.space.params.get("seed")
        return int(seed.domain.size) if seed and seed.domain else SEEDS


def figures(folder: Path) -> list[Figure]:
    """Every figure that the space files of a folder declare, each once, in the order of papers and tables.

    Where several spaces declare a figure, one that is searched by a grid goes first: it surely trains the figure's
    settings. Raises ConfigError for a folder without spaces.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise ConfigError(f"no space files in {folder}")
    by_key: dict[str, Figure] = {}
    for space in sorted(map(_by_the_papers, paths), key=lambda space: not space.search.is_exhaustive):
        for published in space.published:
            figure = Figure(published=published, space=space, paper=published.paper or space.name)
            by_key.setdefault(_key(figure), figure)
    return sorted(by_key.values(), key=lambda figure: (figure.paper, figure.published.table))


def _by_the_papers(path: Path) -> Space:
    space = Space.load(path)
    return Space.load(path, profile=PROFILE) if PROFILE in space.profiles else space


def _key(figure: Figure) -> str:
    settings = sorted(figure.published.params.items())
    return label([figure.paper, figure.published.table, figure.published.metric, settings])


def has_settings(config: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Whether a config has all of these settings."""
    return all(name in config and config[name] == value for name, value in params.items())
