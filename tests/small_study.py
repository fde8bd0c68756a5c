"""Records of studies that never ran, for the tests of whatever reads records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.distributions import FloatDistribution

from search.record.header import StudyHeader
from search.record.record import Record
from search.record.trial import Ended, EndedBy, EndState, Proposal, State

HEADER: Mapping[str, Any] = {
    "space": "se_ratio",
    "description": "Bayesian search for r",
    "created": "2026-01-02T03:04:05+00:00",
    "metric": "val_accuracy",
    "mode": "max",
    "trials": 4,
    "max_epochs": 3,
    "dataset": "synthetic",
    "is_synthetic": True,
    "split": "artist",
    "digests": {"dataset": "d1", "split": "s1"},
    "versions": {"torch": "2.13.0", "ray": "2.60.0"},
    "commit": "c0ffee",
}


def study_header(**fields: Any) -> StudyHeader:
    """A header that is like HEADER but for these fields, under their names in a record."""
    return StudyHeader.of_json({**HEADER, **fields}, "test")


def new_record(out: Path, name: str = "se_ratio-001", **header: Any) -> Record:
    return Record.create(out / name, study_header(**header))


def add_trial(
    record: Record,
    state: State = "running",
    scores: list[float] | None = None,
    *,
    r: float = 16.0,
    network: str | None = None,
    reason: str | None = None,
    params: Mapping[str, Any] | None = None,
) -> int:
    """A trial with one epoch of a second for each score; equal integer parts of 128 / r are equal networks."""
    proposal = Proposal(
        params={"model": "se_cnn", "r": r, **(params or {})},
        varying={"r": r},
        labels={"r": r},
        distributions={"r": FloatDistribution(1.0, 64.0)},
        seed=0,
        network=network or f"net-{int(128 / r)}",
        repeat=0,
    )
    number = record.start(proposal)
    for epoch, score in enumerate(scores or [], start=1):
        add_epoch(record, number, epoch, score)
    if state != "running":
        record.end(number, ended(state, reason), values=scores[-1:] if scores else None)
    return number


def ended(state: EndState, reason: str | None = None) -> Ended:
    """The end that leads to a state most of the time."""
    by: dict[EndState, EndedBy] = {"complete": "budget", "stopped": "scheduler", "failed": "trial"}
    return Ended(state, reason, by=by[state])


def add_epoch(record: Record, number: int, epoch: int, score: float) -> None:
    record.report(number, {"epoch": epoch, "val_accuracy": score, "train_loss": 1 / epoch, "seconds": 1.0})
