"""The notes in a record: values about the study as a whole. Each has its key, its type and its default here.

`Record.note(NOTE, value)` writes a value, which replaces the earlier one, and `Record.noted(NOTE)` reads the last one.
The keys never change, so that records of earlier versions can be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from search.record.lines import encoded

Value = TypeVar("Value")
_SET_STUDY_ATTR = 2
"""The number that Optuna's journal gives to the lines that write an attribute of a study."""


@dataclass(frozen=True)
class Note(Generic[Value]):
    """The key of a note, and its value in a record that does not have it."""

    key: str
    default: Value


OPEN: Note[bool] = Note("open", True)
"""Whether a driver runs the study, or was killed while it ran it."""
DRIVER: Note[str | None] = Note("driver", None)
"""The last driver that took the lease of the study's storage; None where there is no storage."""
END: Note[Mapping[str, Any]] = Note("end", {"seconds": 0.0, "hopeless": None, "unsent": 0, "run_ids": {}})
"""How the study ended the last time: the `seconds` that all its drivers ran, `hopeless` (why no trial can succeed), how
many runs MLflow lacks (`unsent`), and MLflow's `run_ids` by trial number.
"""
TRACKING_URI: Note[str | None] = Note("tracking_uri", None)
"""The tracking URI, without a password; None for the file beside the studies."""
RUNS_PAGE: Note[str | None] = Note("runs_page", None)
"""The page of the study's runs, as an address relative to the tracking server's own; None where it has none yet."""
ANSWER: Note[str | None] = Note("answer", None)
"""The study's answer, in two sentences."""
WINNER: Note[Mapping[str, Any] | None] = Note("winner", None)
"""All params of the config that the answer is about, without `seed`."""
STAIRS: Note[Mapping[str, Mapping[str, Sequence[float]]]] = Note("stairs", {})
"""For each param that a model rounds: the lowest and the highest value that make a network, by the network's key."""
WARM_START: Note[Mapping[str, Any] | None] = Note("warm_start", None)
"""The trials of an earlier study that the sampler starts with (search.sampler.warmstart)."""
COST: Note[Mapping[str, Any]] = Note("cost", {})
"""The fields of a Cost."""
GPU_PEAK: Note[Mapping[str, Any] | None] = Note("gpu_peak", None)
"""The memory that the largest config takes (`peak`), and the `cards` on which it was measured."""
FIRST_RUNG: Note[Mapping[str, Any] | None] = Note("first_rung", None)
"""What `min_epochs: auto` has found: the `epoch` of the first rung at which trials are judged, and the `agreement`, the
rank correlation of the scores at the first two rungs. None before it is found, or where the space gives the rung.
"""
OPENINGS: Note[Sequence[Mapping[str, Any]]] = Note("test_openings", ())
"""Every opening of the test part for this study: `when`, `study` (the confirmation), `models`, `train_on`."""
CONFIRMED_MODEL: Note[str | None] = Note("confirmed_model", None)
"""The name of the confirmation whose model is in the study's model folder; None for the search's own best model."""
TEST: Note[Mapping[str, Any] | None] = Note("test", None)
"""Of a confirmation: when it `opened` the test part, and its trials' `scores` there, by the trial's number as text."""


def note_line(note: Note[Value], value: Value, *, writer: str) -> bytes:
    """The line of a record that writes a note, as `Record.note` does; `writer` is a random id. For a record that nobody
    has opened.
    """
    return encoded({"op_code": _SET_STUDY_ATTR, "worker_id": writer, "study_id": 0, "user_attr": {note.key: value}})


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a study has cost so far, since it first began. `usd` is None where no node of any cluster has a price."""

    hours: float = 0.0
    gpu_hours: float = 0.0
    usd: float | None = None

    def __str__(self) -> str:
        """`0.31 GPU hours, $0.12`, each part only where there is a value.

        >>> str(Cost(hours=1.0, gpu_hours=0.314, usd=0.1234)), str(Cost(hours=1.0))
        ('0.31 GPU hours, $0.12', '')
        """
        gpus = [f"{self.gpu_hours:.2f} GPU hours"] if self.gpu_hours else []
        return ", ".join([*gpus, *([] if self.usd is None else [f"${self.usd:.2f}"])])


def first_rung_text(found: Mapping[str, Any], rungs: Sequence[int]) -> str:
    """What a FIRST_RUNG note says, in a sentence, of a study with these rungs.

    >>> first_rung_text({"epoch": 3, "agreement": 0.118}, (1, 3, 9))
    'trials are compared from epoch 3 on: their order after epoch 1 does not last (rank correlation 0.12 with epoch 3)'
    """
    agreement = f"rank correlation {found['agreement']:.2f} with epoch {rungs[1]}"
    if found["epoch"] == rungs[0]:
        return f"trials are compared from epoch {rungs[0]} on: their order there lasts ({agreement})"
    why = f"their order after epoch {rungs[0]} does not last ({agreement})"
    return f"trials are compared from epoch {rungs[1]} on: {why}"


def scores_on_test(test: Mapping[str, Any] | None) -> Mapping[int, Mapping[str, float]]:
    """The scores on the test part in a TEST note, by trial number; empty before the test part is opened."""
    return {} if test is None else {int(number): scores for number, scores in test["scores"].items()}
