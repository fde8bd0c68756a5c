"""The results of a confirmation: configs trained over seeds, their scores on the test part, and the study's answer.

It reads the folder that `search.confirm` wrote, and computes every score again from the predictions there.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import numpy as np

from mgc.config import Vote
from mgc.training.metrics import Predictions
from search.record.files import confirmation_folder, predictions_on_test
from search.record.header import TRAIN_PARTS, Candidate, StudyHeader
from search.record.notes import OPENINGS, TEST, scores_on_test
from search.record.ranking import finite_score, ranked
from search.record.record import Record, readable
from search.results.answer import Answer, is_right, search_answer
from search.results.predictions import read_predictions
from search.stats import Floats, Interval, difference, over_both, over_seeds, over_tracks, verdict
from search.words import MOST_NAMED, named

VOTES: tuple[Vote, ...] = get_args(Vote)
REFERENCE = "default"
"""The role of the config that has the model's own values."""


@dataclass(frozen=True, kw_only=True)
class ConfirmedConfig:
    """One config, trained with S seeds, and its predictions of the M tracks of the test part."""

    params: Mapping[str, Any]
    """Every param, without `seed`."""
    varying: Mapping[str, Any]
    role: str
    """`default`, or the rank that it had in the search: `best 1`."""
    trials: tuple[int, ...]
    vote: Vote
    predictions_S: tuple[Predictions, ...]
    validation: tuple[float, ...]
    """The study's metric after the last epoch, for each training that has a validation part."""
    violations: str | None = None
    """The constraints that it breaks by the means of its trainings: `num_weights 701,584 > 250,000`."""

    @property
    def name(self) -> str:
        """What varies in it; of many params only the first, after its rank in the search."""
        label = named(self.varying)
        if self.role == REFERENCE:
            role = "default, infeasible" if self.violations else "default"
            return f"{label} ({role})" if self.varying else label
        return f"{self.role} of the search ({label})" if len(self.varying) > MOST_NAMED else label

    @cached_property
    def right_SM(self) -> Floats:  # noqa: N802 (a tensor's name carries its shape)
        """Whether each training is right about each track, as 0 or 1, by vote (`sum` where the config has none)."""
        vote: Vote = "sum" if self.vote == "none" else self.vote
        return np.stack([is_right(predictions, vote) for predictions in self.predictions_S])

    @cached_property
    def accuracy(self) -> Interval:
        """By track under the config's vote, with the interval over seeds."""
        return over_seeds(self.right_SM.mean(axis=1))

    @cached_property
    def accuracy_over_tracks(self) -> Interval:
        return over_tracks(self.right_SM)

    def by(self, vote: Vote, score: str = "accuracy") -> Interval:
        """A score under any vote, with its interval over seeds."""
        return over_seeds([getattr(predictions.scores(vote), score) for predictions in self.predictions_S])


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A confirmation whose test part was opened."""

    name: str
    header: StudyHeader
    configs: tuple[ConfirmedConfig, ...]
    train_on: str
    opened: str
    """When the test part was opened."""

    @property
    def num_tracks(self) -> int:
        return len(self.configs[0].predictions_S[0].track_ids)

    @property
    def chosen(self) -> ConfirmedConfig:
        """The best config of the search: by its mean over the new seeds on validation, never by the test part; and one
        that keeps the constraints, if there is one.
        """
        searched = [config for config in self.configs if config.role != REFERENCE] or list(self.configs)
        proposed = [config for config in searched if not config.violations] or searched
        if not all(config.validation for config in proposed):
            return proposed[0]
        sign = 1 if self.header.mode == "max" else -1
        return max(proposed, key=lambda config: sign * float(np.mean(config.validation)))

    @cached_property
    def differences(self) -> list[tuple[ConfirmedConfig, ConfirmedConfig, Interval]]:
        """Every pair with the interval of its difference, paired over tracks and seeds."""
        return [(a, b, difference(a.right_SM, b.right_SM)) for a, b in combinations(self.configs, 2)]

    def answer(self, openings: int) -> Answer:
        """The two sentences of a confirmed study. `openings`: how often its test part was opened."""
        chosen = self.chosen
        seeds = len(chosen.trials)
        interval = "95 % bootstrap over seeds and tracks" if seeds > 1 else "95 % bootstrap over tracks, one seed"
        trained = f"mean of {seeds} seed{'s' * (seeds > 1)}, {interval}; trained on {self.train_on}"
        first = (
            f"On {self.num_tracks} test tracks of {self.header.dataset_label} (split {self.header.split}), "
            f"{chosen.name} reaches an accuracy of {over_both(chosen.right_SM)} ({trained}; "
            f"the test part was opened {openings} time{'s' * (openings != 1)})."
        )
        return Answer(sentences=(first, self._comparison(chosen)), cautions=self.header.cautions)

    def _comparison(self, chosen: ConfirmedConfig) -> str:
        """The chosen config beside the default, or beside the next one where the default breaks a constraint."""
        others = [config for config in self.configs if config is not chosen and not config.violations]
        default = next((config for config in self.configs if config.role == REFERENCE and config.violations), None)
        if not others:
            why = "It is the model's own default" if REFERENCE in chosen.role else "It was confirmed alone"
            if default is not None:
                why = f"The default breaks a constraint ({default.violations})"
            return f"{why}, so there is nothing to compare it with."
        other = next((config for config in others if REFERENCE in config.role), others[0])
        gap = difference(chosen.right_SM, other.right_SM)
        left_out = "" if default is None else f"; the default breaks a constraint ({default.violations})"
        compared = _sentence(verdict(chosen.name, other.name, gap))
        return f"{compared} (paired bootstrap over tracks and seeds){left_out}."


def _sentence(text: str) -> str:
    """A verdict as the beginning of a sentence; a param's name keeps its case."""
    return text[0].upper() + text[1:] if text.startswith(("no ", "best ")) else text


def study_answer(record: Record, confirmations: Sequence[Confirmed]) -> Answer:
    """The answer of a study: the newest confirmation's (the first of these), or else the search's own."""
    if confirmations:
        return confirmations[0].answer(len(record.noted(OPENINGS)))
    return search_answer(record)


def winner(record: Record, confirmations: Sequence[Confirmed]) -> Mapping[str, Any] | None:
    """Every param of the config that the study's answer is about; None where there is no best one."""
    if confirmations:
        return confirmations[0].chosen.params
    best = next(iter(ranked(record.trials(), record.header.objectives)), None)
    return None if best is None else best.params


def confirmations(study: Path) -> list[Confirmed]:
    """The confirmations of a study whose test part was opened, the newest first."""
    folders = [confirmation_folder(study, train_on) for train_on in TRAIN_PARTS]
    opened = [result for folder in folders if (result := confirmed(folder)) is not None]
    return sorted(opened, key=lambda confirmation: confirmation.opened, reverse=True)


def confirmed(folder: Path) -> Confirmed | None:
    """The confirmation in this folder; None where there is none, and before its test part was opened."""
    record = readable(folder)
    if record is None:
        return None
    test, plan = record.noted(TEST), record.header.confirm
    if test is None or plan is None:
        return None
    tested = scores_on_test(test)
    results = (_config(record, index, config, len(plan.configs), tested) for index, config in enumerate(plan.configs))
    configs = tuple(config for config in results if config is not None)
    if not configs:
        return None
    return Confirmed(
        name=record.name, header=record.header, configs=configs, train_on=plan.train_on, opened=test["opened"]
    )


def _config(
    record: Record, index: int, candidate: Candidate, num_configs: int, scored: Container[int]
) -> ConfirmedConfig | None:
    """The results of the config at `index`; None where no training of it was tested.

    Trials go through all configs with one seed before the next.
    """
    trials = [trial for trial in record.trials("complete") if trial.number % num_configs == index]
    files = {trial.number: record.folder / predictions_on_test(trial.number) for trial in trials}
    tested = [trial for trial in trials if trial.number in scored and files[trial.number].is_file()]
    if not tested:
        return None
    scores = [finite_score(trial, record.header.metric) for trial in tested]
    objectives = record.header.objectives
    limited = {name: [trial.last.get(name, math.nan) for trial in tested] for name in objectives.constraints}
    means = {name: float(np.mean(values)) for name, values in limited.items()}
    return ConfirmedConfig(
        params=candidate.params,
        varying=candidate.varying,
        role=candidate.role,
        trials=tuple(trial.number for trial in tested),
        vote=candidate.vote,
        predictions_S=tuple(read_predictions(files[trial.number])[0] for trial in tested),
        validation=tuple(score for score in scores if score is not None),
        violations=objectives.violations_text(means),
    )
