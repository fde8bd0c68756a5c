"""The papers' figures: what the space files declare as published, and the study that each of them needs.

A figure stands in one place only, the space whose settings it belongs to. Reads space files; knows no studies.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgc.config import ConfigError
from search.domains import Domain, contains, label
from search.space import Space
from search.study import Published

PROFILE = "paper"
SEEDS = 3
"""Runs behind a confirmed figure where the paper does not say that its own is a mean."""

NOT_PARAMS = ("epochs", "vote")
"""Settings of a figure that no config of a space must have: epochs are the budget's, and all three votes are scored."""
BY_VOTE = {"none": "clip_accuracy", "sum": "accuracy_sum", "majority": "accuracy_majority"}
"""How the accuracy under each vote is called here, after `test_`, `val_` or `train_`."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One published figure, with the space under the papers' profile that declares it."""

    published: Published
    space: Space
    paper: str

    @property
    def setting(self) -> str:
        """`clip_seconds=30 dropout=0`, the space's fixed values left out."""
        return " ".join(f"{name}={label(value)}" for name, value in self.published.params.items())

    @property
    def metric(self) -> str:
        """The published metric by its name here: an accuracy under a vote has the vote in its name."""
        part, _, what = self.published.metric.partition("_")
        vote = self.published.params.get("vote")
        return f"{part}_{BY_VOTE[vote]}" if what == "accuracy" and vote else self.published.metric

    @property
    def epochs(self) -> int | None:
        """After how many epochs it was read; None where the paper does not say."""
        return self.published.params.get("epochs")

    @property
    def params(self) -> Mapping[str, Any]:
        """What a config must have to be the figure's."""
        return {name: value for name, value in self.published.params.items() if name not in NOT_PARAMS}

    @property
    def reason(self) -> str | None:
        """Why nothing can be compared with it, if that is so."""
        if self.published.value == 0:
            return "the paper prints 0.00 for a run that it did not finish"
        return None

    @property
    def study(self) -> str:
        """Name of the study that the commands make."""
        return "-".join([self.space.name, PROFILE, *([str(self.epochs)] if self._other_budget else [])])

    def commands(self, out: Path) -> tuple[str, str]:
        """What to type for our own value: the study, then its configs retrained and scored on the test split."""
        changed = f" --set budget.epochs={self.epochs}" if self._other_budget else ""
        place = "" if out == Path("runs") else f" --out {shlex.quote(str(out))}"
        run = f"python -m search.run {self.space.path} --profile {PROFILE}{changed} --name {self.study}{place}"
        return run, f"python -m search.confirm {self.study} --all --seeds {self._num_seeds}{place}"

    @property
    def _other_budget(self) -> bool:
        return self.epochs is not None and self.epochs != self.space.budget.full

    @property
    def _num_seeds(self) -> int:
        seed = self.space.params.get("seed")
        return int(seed.domain.size) if seed and seed.domain else SEEDS


def figures(folder: Path) -> list[Figure]:
    """Every figure that the space files of a folder declare, by paper and table, each once.

    Of several spaces with the same figure the one counts that surely trains its settings: a grid. Raises ConfigError
    for a folder without spaces.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise ConfigError(f"no space files in {folder}")
    found: dict[str, Figure] = {}
    for space in sorted(map(_by_the_papers, paths), key=lambda space: space.search.sampler != "grid"):
        for published in space.published:
            figure = Figure(published=published, space=space, paper=published.paper or space.name)
            found.setdefault(_key(figure), figure)
    return sorted(found.values(), key=lambda figure: (figure.paper, figure.published.table))


def _by_the_papers(path: Path) -> Space:
    space = Space.load(path)
    return Space.load(path, profile=PROFILE) if PROFILE in space.profiles else space


def _key(figure: Figure) -> str:
    settings = sorted(figure.published.params.items())
    return label([figure.paper, figure.published.table, figure.published.metric, settings])


def config_for(figure: Figure) -> dict[str, Any] | None:
    """The config of the figure's space that has its settings; None where no config has."""

    def choose(name: str, domain: Domain) -> Any:
        wanted = figure.params.get(name)
        return wanted if name in figure.params and contains(domain, wanted) else domain.ends()[0]

    config = figure.space.walk(choose)
    return config if has(config, figure.params) else None


def has(config: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Whether a config has these settings."""
    return all(name in config and config[name] == value for name, value in params.items())
