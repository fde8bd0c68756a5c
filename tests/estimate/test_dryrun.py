"""What `--dry-run` shows of a space."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.estimate.dryrun import sample_lines
from search.execution.ground import Ground, prepare
from search.space.space import Space

SPACES = Path(__file__).parents[2] / "spaces"


def ground_of(path: Path, *overrides: str) -> Ground:
    return prepare(Space.load(path, overrides=overrides), device="cpu", make=False)


@pytest.mark.parametrize(
    ("space", "overrides", "number"),
    [("se_ratio_grid", (), 5), ("se_ratio", ("params.r={choice: [4, 8, 16]}",), 3), ("se_ratio", (), 5)],
)
def test_no_sample_is_shown_twice(space: str, overrides: tuple[str, ...], number: int) -> None:
    _, *lines = sample_lines(ground_of(SPACES / f"{space}.yaml", *overrides))
    assert len(set(lines)) == len(lines) == number
