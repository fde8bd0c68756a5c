"""What a report is made of: the folder of one study, each part of it read once and only if a section asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mgc.training.metrics import Predictions
from search.record.files import VALIDATION
from search.record.header import StudyHeader
from search.record.notes import OPENINGS
from search.record.ranking import ranked
from search.record.record import Record
from search.record.trial import TrialRecord
from search.results.confirmed import Confirmed, confirmations
from search.results.predictions import Pictures, read_predictions
from search.settings.objectives import Objectives
from search.terminal.tables import varying_names


@dataclass(frozen=True)
class Material:
    """A study's record, the predictions of its best model, and its confirmations."""

    record: Record

    @cached_property
    def header(self) -> StudyHeader:
        return self.record.header

    @property
    def objectives(self) -> Objectives:
        """What the trials are compared by."""
        return self.header.objectives

    @cached_property
    def trials(self) -> list[TrialRecord]:
        return self.record.trials()

    @cached_property
    def names(self) -> list[str]:
        """The names of the params that vary."""
        return varying_names(self.trials)

    @cached_property
    def complete(self) -> list[TrialRecord]:
        """The complete trials that keep all limits, best first."""
        return ranked(self.trials, self.objectives)

    @cached_property
    def validation(self) -> tuple[Predictions, Pictures] | None:
        """The best model's predictions of the validation part with pictures of some; None without such a file."""
        path = self.record.folder / VALIDATION
        return read_predictions(path) if path.is_file() else None

    @cached_property
    def confirmations(self) -> list[Confirmed]:
        """The newest first."""
        return confirmations(self.record.folder)

    @property
    def openings(self) -> Sequence[Mapping[str, Any]]:
        """Every time that the test part was opened for this study."""
        return self.record.noted(OPENINGS)
