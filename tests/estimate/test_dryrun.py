"""What `--dry-run` shows of a space."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_dataset import write_tracks

from search.estimate.dryrun import data_lines, sample_lines
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


def test_it_says_that_a_split_by_artist_knows_no_artists(tmp_path: Path) -> None:
    music = write_tracks(tmp_path / "music", [4.0] * 4)
    ground = ground_of(SPACES / "se_ratio.yaml", f"data.dataset={music}")
    assert list(data_lines(ground)) == [
        "data: 8 tracks of music, split artist",
        "  music names no artists: every track counts as if it had an artist of its own",
    ]
