"""What a confirmation found: configs trained over seeds, their predictions of the test part, and what those say.

It reads the folder that `search.confirm` wrote and computes everything again from the kept predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import numpy as np

from mgc.config import Vote
from mgc.metrics import Predictions
from search.answer import MOST_NAMED, Answer, named, right
from search.journal import JOURNAL, RecordError
from search.overview import Heading, finite_score
from search.predictions import file_of_test, kept
from search.record import Record
from search.stats import Floats, Interval, difference, over_both, over_seeds, over_tracks, verdict

VOTES: tuple[Vote, ...] = get_args(Vote)
REFERENCE = "default"
"""The role of the config that has the model's own values."""


@dataclass(frozen=True, kw_only=True)
class ConfirmedConfig:
    """One config's trainings on the test part: S seeds, M tracks."""

    varying: Mapping[str, Any]
    role: str
    """`default`, or the rank that it had in the search: `best 1`."""
    trials: tuple[int, ...]
    vote: Vote
    said_S: tuple[Predictions, ...]
    validation: tuple[float, ...]
    """The study's metric after the last epoch, for each training that has a validation part."""

    @property
    def name(self) -> str:
        """What varies in it; of many params only the first, after its rank in the search."""
        label = named(self.varying)
        if self.role == REFERENCE:
            return f"{label} (default)" if self.varying else label
        return f"{self.role} of the search ({label})" if len(self.varying) > MOST_NAMED else label

    @cached_property
    def right_SM(self) -> Floats:  # noqa: N802 (a tensor's name carries its shape)
        """Whether each training told each track right, by vote (`sum` where the config has none)."""
        vote: Vote = "sum" if self.vote == "none" else self.vote
        return np.stack([right(said, vote) for said in self.said_S])

    @cached_property
    def accuracy(self) -> Interval:
        """By track under the config's vote, with the interval over seeds."""
        return over_seeds(self.right_SM.mean(axis=1))

    @cached_property
    def accuracy_over_tracks(self) -> Interval:
        return over_tracks(self.right_SM)

    def by(self, vote: Vote, score: str = "accuracy") -> Interval:
        """A score under any vote, with its interval over seeds."""
        return over_seeds([getattr(said.scores(vote), score) for said in self.said_S])


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A finished confirmation."""

    name: str
    heading: Heading
    configs: tuple[ConfirmedConfig, ...]
    train_on: str
    opened: str
    """When the test part was opened."""

    @property
    def num_tracks(self) -> int:
        return len(self.configs[0].said_S[0].track_ids)

    @property
    def chosen(self) -> ConfirmedConfig:
        """The best by validation over the new seeds, of those that the search proposed; the test part has no say."""
        proposed = [config for config in self.configs if config.role != REFERENCE] or list(self.configs)
        if not all(config.validation for config in proposed):
            return proposed[0]
        sign = 1 if self.heading.mode == "max" else -1
        return max(proposed, key=lambda config: sign * float(np.mean(config.validation)))

    @cached_property
    def differences(self) -> list[tuple[ConfirmedConfig, ConfirmedConfig, Interval]]:
        """Every pair with the interval of its difference, paired over tracks and seeds."""
        return [(a, b, difference(a.right_SM, b.right_SM)) for a, b in combinations(self.configs, 2)]

    def answer(self, openings: int) -> Answer:
        """The two sentences after the test part was opened."""
        chosen = self.chosen
        seeds = len(chosen.trials)
        sure = "95 % bootstrap over seeds and tracks" if seeds > 1 else "95 % bootstrap over tracks, one seed"
        trained = f"mean of {seeds} seed{'s' * (seeds > 1)}, {sure}; trained on {self.train_on}"
        first = (
            f"On {self.num_tracks} test tracks of {self.heading.dataset_label} (split {self.heading.split}), "
            f"{chosen.name} reaches an accuracy of {over_both(chosen.right_SM)} ({trained}; "
            f"the test part was opened {openings} time{'s' * (openings != 1)})."
        )
        return Answer(sentences=(first, self._comparison(chosen)), cautions=self.heading.cautions)

    def _comparison(self, chosen: ConfirmedConfig) -> str:
        others = [config for config in self.configs if config is not chosen]
        if not others:
            why = "It is the model's own default" if REFERENCE in chosen.role else "It was confirmed alone"
            return f"{why}, so there is nothing to compare it with."
        other = next((config for config in others if REFERENCE in config.role), others[0])
        gap = difference(chosen.right_SM, other.right_SM)
        return _sentence(verdict(chosen.name, other.name, gap)) + " (paired bootstrap over tracks and seeds)."


def _sentence(text: str) -> str:
    """A verdict as the beginning of a sentence; a param's name keeps its case."""
    return text[0].upper() + text[1:] if text.startswith(("no ", "best ")) else text


def folder_of(study: Path, train_on: str) -> Path:
    """Where a study is confirmed: beside it, one folder for each choice of what is trained on."""
    return study.with_name(f"{study.name}-confirm{'' if train_on == 'train' else '-train-val'}")


def confirmations(study: Path) -> list[Confirmed]:
    """The finished confirmations of a study, the newest first."""
    folders = [folder_of(study, train_on) for train_on in ("train", "train+val")]
    found = [read for folder in folders if (folder / JOURNAL).is_file() and (read := confirmed(folder)) is not None]
    return sorted(found, key=lambda each: each.opened, reverse=True)


def confirmed(folder: Path) -> Confirmed | None:
    """What a confirmation found; None before the test part was opened."""
    try:
        record = Record.open(folder)
    except RecordError:
        return None
    notes = record.notes()
    if "test" not in notes:
        return None
    heading = Heading.of(record.header)
    asked: Sequence[Mapping[str, Any]] = record.header["confirm"]["configs"]
    configs = [_config(record, heading, index, config, len(asked)) for index, config in enumerate(asked)]
    known = tuple(config for config in configs if config is not None)
    if not known:
        return None
    train_on = record.header["confirm"]["train_on"]
    return Confirmed(
        name=record.name, heading=heading, configs=known, train_on=train_on, opened=notes["test"]["opened"]
    )


def _config(record: Record, heading: Heading, index: int, asked: Mapping[str, Any], num: int) -> ConfirmedConfig | None:
    """The trainings of one config; None where none was tested. Trials go through all configs seed by seed."""
    trials = [t for t in record.trials("complete") if t.number % num == index]
    tested = [trial for trial in trials if (record.folder / file_of_test(trial.number)).is_file()]
    if not tested:
        return None
    scores = [finite_score(trial, heading.metric) for trial in tested]
    return ConfirmedConfig(
        varying=asked["varying"],
        role=asked["role"],
        trials=tuple(trial.number for trial in tested),
        vote=asked["vote"],
        said_S=tuple(kept(record.folder / file_of_test(trial.number))[0] for trial in tested),
        validation=tuple(score for score in scores if score is not None),
    )
