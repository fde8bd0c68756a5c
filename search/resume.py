"""Which study goes on, and whether it may: an unfinished record and the space that it is to go on with."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mgc.config import ConfigError
from mgc.wording import nearest
from search.journal import JOURNAL, RecordError
from search.record import Record, has_begun
from search.space import Space, difference

NUMERIC_FORMS = {"uniform", "loguniform", "int", "logint"}


class ResumeError(ConfigError):
    """A study that cannot go on as asked."""


def studies(out: Path, space: str) -> list[Record]:
    """The readable studies of a space under `out`, the newest first."""
    found = []
    for journal in out.glob(f"*/{JOURNAL}"):
        try:
            record = Record.open(journal.parent)
        except RecordError:
            continue
        if record.header["space"] == space:
            found.append(record)
    return sorted(found, key=lambda record: record.header["created"], reverse=True)


def is_finished(record: Record) -> bool:
    """Whether all trials of a study have ended."""
    trials = record.trials()
    return len(trials) >= record.header["trials"] and all(trial.state != "running" for trial in trials)


def folder_to_resume(out: Path, space: str, name: str | None) -> Path:
    """Where to go on: the named study, or the newest unfinished one, or the newest; a new one where there is none.

    A folder in which a killed driver left no record yet counts as unfinished. ResumeError for a name that looks like
    a slip for one that is there.
    """
    found = studies(out, space)
    if name is not None:
        _check_name(out, name, [record.name for record in found])
        return out / name
    empty = _numbered(out, space).get(max(_numbered(out, space), default=0))
    if empty is not None and not has_begun(empty):
        return empty
    unfinished = [record for record in found if not is_finished(record)]
    return next((record.folder for record in [*unfinished, *found]), None) or folder_to_start(out, space, None)


def folder_to_start(out: Path, space: str, name: str | None) -> Path:
    """Where a new study lives: `out/NAME`, or the next free `out/SPACE-NNN`. ResumeError for a name that is taken."""
    if name is not None:
        if has_begun(out / name):
            raise ResumeError(f"study {name} is there already: --resume {name} goes on with it", "name")
        return out / name
    return out / f"{space}-{max(_numbered(out, space), default=0) + 1:03d}"


def num_trials(record: Record, space: Space, *, given: bool) -> int:
    """How many trials a study that goes on is to have: those asked for now (`given`: on the command line), else those
    that the command line asked for when it began, else the file's; never fewer than there are.
    """
    header = record.header
    asked = space.num_trials if given or not header.get("trials_given") else header["trials"]
    return max(asked, len(record.trials()))


def _numbered(out: Path, space: str) -> dict[int, Path]:
    """The folders SPACE-NNN by number."""
    pattern = re.compile(rf"{re.escape(space)}-(\d+)")
    return {int(match[1]): path for path in out.glob(f"{space}-*") if (match := pattern.fullmatch(path.name))}


def _check_name(out: Path, name: str, known: list[str]) -> None:
    if (out / name).is_dir() or name in known:
        return
    if difflib.get_close_matches(name, known, cutoff=0.8):
        raise ResumeError(f"no study {name!r} in {out}{nearest(name, known)}", "resume")


def check_space(record: Record, space: Space) -> list[str]:
    """What changed in the space since the study began. Only what leaves the trials their meaning may: the range of a
    numeric domain and the sampler. ResumeError, with the differences, for anything else.
    """
    old, new = record.header["canonical"], space.canonical()
    lines = difference(old, new)
    if refused := [line for line in lines if not _is_harmless(line.split(":")[0], old, new)]:
        raise ResumeError(
            f"study {record.name} cannot go on with a space whose trials mean something else: {'; '.join(refused)}"
        )
    return lines


def check_data(record: Record, digests: Mapping[str, str]) -> None:
    """ResumeError if the dataset or the split is another than when the study began."""
    for what, digest in record.header.get("digests", {}).items():
        if digests[what] != digest:
            raise ResumeError(
                f"study {record.name} began with another {what}: digest {digest} then, {digests[what]} now"
            )


def _is_harmless(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    section, name = key.split(".", 1)
    if key == "search.sampler":
        return "grid" not in (old["search"]["sampler"], new["search"]["sampler"])
    before, after = _range_form(old["params"].get(name)), _range_form(new["params"].get(name))
    return section == "params" and before is not None and before == after


def _range_form(value: Any) -> tuple[Any, ...] | None:
    """Form and conditions of a numeric domain as a space writes it; None for anything else."""
    if not isinstance(value, dict) or not (form := NUMERIC_FORMS & value.keys()):
        return None
    return (*form, str(value.get("when")))
