"""Which study goes on, and whether it may: an unfinished record and the space that it is to go on with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mgc.config import ConfigError
from search.record import JOURNAL, Record, RecordError
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


def resumable(out: Path, space: str, name: str | None) -> Path | None:
    """The folder of the named study, or of the newest unfinished one, or of the newest; None where there is none."""
    if name is not None:
        if not (out / name / JOURNAL).is_file():
            known = ", ".join(record.name for record in studies(out, space)) or "none"
            raise ResumeError(f"no study {name!r} of {space} in {out} (there is {known})", "resume")
        return out / name
    found = studies(out, space)
    unfinished = [record for record in found if not is_finished(record)]
    return next((record.folder for record in [*unfinished, *found]), None)


def next_folder(out: Path, space: str, name: str | None) -> Path:
    """Where a new study lives: `out/NAME`, or the next free `out/SPACE-NNN`. ResumeError for a name that is taken."""
    if name is not None:
        if (out / name / JOURNAL).is_file():
            raise ResumeError(f"study {name} is there already: --resume {name} goes on with it", "name")
        return out / name
    pattern = re.compile(rf"{re.escape(space)}-(\d+)")
    taken = [int(match[1]) for path in out.glob(f"{space}-*") if (match := pattern.fullmatch(path.name))]
    return out / f"{space}-{max(taken, default=0) + 1:03d}"


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
