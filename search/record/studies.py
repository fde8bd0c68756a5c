"""Which study a driver resumes, and whether the space and the data still allow that.

It owns the names of studies under a folder of results. It must not know samplers, Ray or MLflow.
"""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mgc.words.errors import ConfigError, nearest
from search.record.files import JOURNAL, checked_name
from search.record.notes import OPEN
from search.record.ranking import has_ended
from search.record.record import Record, has_begun, readable
from search.record.trial import TrialRecord
from search.space.space import Space, difference

NUMERIC_FORMS = {"uniform", "loguniform", "int", "logint"}


class ResumeError(ConfigError):
    """A study that cannot be resumed, or a name that a new study cannot have."""


def studies(out: Path, space: str) -> list[Record]:
    """The studies of a space under `out`, the newest first. A record that cannot be read is left out with a warning."""
    records = [record for journal in out.glob(f"*/{JOURNAL}") if (record := readable(journal.parent)) is not None]
    records = [record for record in records if record.header.space == space]
    return sorted(records, key=lambda record: record.header.created, reverse=True)


def trial_called(out: Path, which: str) -> tuple[Record, TrialRecord]:
    """The trial that somebody calls `STUDY/NUMBER`, with its study. ConfigError where there is none."""
    study, slash, number = which.rpartition("/")
    if not slash or not (number.isascii() and number.isdecimal()):
        raise ConfigError(f"must be STUDY/TRIAL, with the trial's number, got {which!r}")
    record = Record.open(out / study)
    trials = record.trials()
    if int(number) >= len(trials):
        raise ConfigError(f"no trial {number} in {study} (it has {len(trials)}, from 0 on)")
    return record, trials[int(number)]


def is_finished(record: Record) -> bool:
    """Whether a study is at its end: no trial is left to begin, none runs, and none that is paused is needed."""
    return has_ended(record.header, record.trials())


def is_over(record: Record) -> bool:
    """Whether nothing is left to do: a study is at its end, and its driver has left the model and the report."""
    return is_finished(record) and not record.noted(OPEN)


def folder_to_resume(out: Path, space: str, name: str | None) -> Path:
    """The folder of the study to resume: the one of this name; without a name the newest unfinished one, else the
    newest, else a new folder.

    A folder whose driver was killed before it wrote a record counts as unfinished. Raises ResumeError for a name that
    does not exist but resembles one that does.
    """
    records = studies(out, space)
    if name is not None:
        _check_name(out, name, [record.name for record in records])
        return out / (name if has_begun(out / name) else checked_name(name))
    last = max(_numbered(out, space).items(), default=None)
    if last is not None and not has_begun(last[1]):
        return last[1]
    unfinished = [record for record in records if not is_over(record)]
    return next((record.folder for record in [*unfinished, *records]), None) or folder_to_start(out, space, None)


def folder_to_start(out: Path, space: str, name: str | None) -> Path:
    """The folder of a new study: `out/NAME`, or the next free `out/SPACE-NNN`. Raises ResumeError for a name that
    another study has, ConfigError for one that no study can have.
    """
    if name is None:
        return out / checked_name(f"{space}-{max(_numbered(out, space), default=0) + 1:03d}")
    if has_begun(out / checked_name(name)):
        raise ResumeError(f"study {name} is there already: --resume {name} goes on with it", "name")
    return out / name


def num_trials(record: Record, space: Space, *, trials_given: bool) -> int:
    """How many trials a resumed study is to have, never fewer than it has already.

    The number on the command line counts first (`trials_given` says whether the space has it from there), then the one
    that the command line had when the study began, then the one in the space file.
    """
    header = record.header
    number = space.num_trials if trials_given or not header.trials_given else header.trials
    return max(number, len(record.trials()))


def _numbered(out: Path, space: str) -> dict[int, Path]:
    """The folders SPACE-NNN by number."""
    pattern = re.compile(rf"{re.escape(space)}-(\d+)")
    return {
        int(match[1]): path for path in out.glob(f"{glob.escape(space)}-*") if (match := pattern.fullmatch(path.name))
    }


def _check_name(out: Path, name: str, names: list[str]) -> None:
    if (out / name).is_dir():
        return
    if difflib.get_close_matches(name, names, cutoff=0.8):
        raise ResumeError(f"no study {name!r} in {out}{nearest(name, names)}", "resume")


KEPT = ("scheduler", "min_epochs", "reduction_factor")
"""The keys of a study's budget that stay as they were when it began: how trials are judged, and where."""


def as_begun(record: Record, space: Space) -> tuple[Space, list[str]]:
    """The space with the scheduler and the rungs with which the study began, and a line for each key of them that the
    file has otherwise by now.
    """
    old = record.header.canonical["budget"]
    if space.budget.epochs is not None or "epochs" in old:
        return space, []
    began = {"scheduler": "stop", **old}  # a record without a scheduler is of the time when there was only that one
    budget = space.budget.changed(**{key: began[key] for key in KEPT})
    changed = [key for key in KEPT if getattr(space.budget, key) != began[key]]
    lines = [
        f"budget.{key} stays {began[key]} in this study; the file has {getattr(space.budget, key)} now"
        for key in changed
    ]
    return replace(space, budget=budget), lines


def check_space(record: Record, space: Space) -> list[str]:
    """What changed in the space since the study began, one line each.

    The range of a numeric domain and the sampler may change, since the trials so far mean the same then; `auto` is the
    sampler that the study has. Raises ResumeError, with the differences, for any other change.
    """
    old, new = record.header.canonical, space.canonical()
    if space.search.sampler == "auto":
        new = {**new, "search": {**new["search"], "sampler": old["search"]["sampler"]}}
    lines = difference(old, new)
    if refused := [line for line in lines if not _is_harmless(line.split(":")[0], old, new)]:
        raise ResumeError(
            f"study {record.name} cannot go on with this space, whose trials could not be compared with those so far: "
            f"{'; '.join(refused)}"
        )
    return lines


def sampler_of(record: Record, space: Space) -> str | None:
    """The sampler of a study that goes on: its own, unless the file names another one. None as in the header."""
    header, name = record.header, space.search.sampler
    is_earlier = header.sampler is None and name == header.canonical["search"]["sampler"]
    return header.sampler if name == "auto" or is_earlier else name


def check_data(record: Record, digests: Mapping[str, str]) -> None:
    """Raises ResumeError if the dataset or the split is not the one that the study began with."""
    for what, digest in record.header.digests.items():
        if digests[what] != digest:
            raise ResumeError(
                f"study {record.name} began with another {what}: digest {digest} then, {digests[what]} now"
            )


def _is_harmless(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether the trials so far mean the same after a change of this key."""
    section, name = key.split(".", 1)
    if key == "search.sampler":
        return "grid" not in (old["search"]["sampler"], new["search"]["sampler"])
    before, after = _range_form(old["params"].get(name)), _range_form(new["params"].get(name))
    return section == "params" and before is not None and before == after


def _range_form(value: Any) -> tuple[Any, ...] | None:
    """The form (`uniform`, ...) and the conditions of a numeric domain of a space; None for anything else."""
    if not isinstance(value, dict) or not (form := NUMERIC_FORMS & value.keys()):
        return None
    return (*form, str(value.get("when")))
