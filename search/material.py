"""What a report's sections are made of: the folder of one study, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mgc.config import Vote
from mgc.metrics import Predictions
from search.confirmed import Confirmed, confirmations
from search.overview import Heading
from search.predictions import VALIDATION, Pictures, kept
from search.record import Record, TrialRecord
from search.tables import varying_names


@dataclass(frozen=True)
class Material:
    """What a report is made of: the study's record, and what its best model said of the validation part."""

    record: Record

    @cached_property
    def header(self) -> dict[str, Any]:
        return self.record.header

    @cached_property
    def heading(self) -> Heading:
        return Heading.of(self.header)

    @cached_property
    def trials(self) -> list[TrialRecord]:
        return self.record.trials()

    @cached_property
    def names(self) -> list[str]:
        """The params that vary."""
        return varying_names(self.trials)

    @cached_property
    def best(self) -> TrialRecord | None:
        return next(iter(self.heading.objectives.ranked(self.trials)), None)

    @cached_property
    def said(self) -> tuple[Predictions, Pictures] | None:
        path = self.record.folder / VALIDATION
        return kept(path) if path.is_file() else None

    @cached_property
    def confirmations(self) -> list[Confirmed]:
        return confirmations(self.record.folder)

    @property
    def openings(self) -> Sequence[Mapping[str, Any]]:
        """Every time that the test part was opened for this study."""
        found: Sequence[Mapping[str, Any]] = self.record.notes().get("test_openings", [])
        return found

    @property
    def vote(self) -> Vote:
        vote: Vote = self.best.params.get("vote", "sum") if self.best else "sum"
        return vote
