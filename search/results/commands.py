"""The commands that a study's results tell their reader to type. Knows where a study lies, nothing of what is in it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from search.record.files import PLUGINS

RUNS = Path("runs")
"""Where every command looks for studies unless it is told another folder."""


def confirm_command(study: Path, *, tracking_uri: str | None = None, address: str | None = None) -> str:
    """The command that trains the best configs of the study in this folder again and opens the test part. None is the
    default of an option.

    >>> confirm_command(Path("runs/r-001")), confirm_command(Path("runs/r-001"), tracking_uri="http://ml:5000")
    ('python -m search.confirm r-001', 'python -m search.confirm r-001 --tracking-uri http://ml:5000')
    """
    options = _options({"--tracking-uri": tracking_uri, "--address": address})
    return shlex.join(["python", "-m", "search.confirm", study.name, *_out(study), *_plugins(study), *options])


def ui_command(study: Path, *, tracking_uri: str | None = None) -> str:
    """The command that shows MLflow's pages of the study in this folder and of those beside it."""
    return shlex.join(
        ["python", "-m", "search.tracking", "ui", *_out(study), *_options({"--tracking-uri": tracking_uri})]
    )


def sync_command(study: Path, *, tracking_uri: str | None = None) -> str:
    """The command that sends MLflow what it lacks of the study in this folder."""
    words = ["python", "-m", "search.tracking", "sync", study.name, "--out", str(study.parent)]
    return shlex.join([*words, *_options({"--tracking-uri": tracking_uri})])


def rerun_command(study: Path, trial: int) -> str:
    """The command that trains one trial of the study in this folder again, as far as it came, and compares the scores.

    >>> rerun_command(Path("/data/my studies/r-001"), 7)
    "python -m search.run --rerun r-001/7 --out '/data/my studies'"
    """
    return shlex.join(
        ["python", "-m", "search.run", "--rerun", f"{study.name}/{trial}", *_out(study), *_plugins(study)]
    )


def _options(values: Mapping[str, str | None]) -> list[str]:
    return [word for name, value in values.items() if value is not None for word in (name, value)]


def _plugins(study: Path) -> list[str]:
    """The options that name the study's plug-ins, by their texts in its folder."""
    return [word for file in sorted((study / PLUGINS).glob("*.py")) for word in ("--plugin", str(file))]


def _out(study: Path) -> list[str]:
    """The option that says where the study is; none for one among the `runs` of the working directory."""
    return [] if study.parent.absolute() == RUNS.absolute() else ["--out", str(study.parent)]
