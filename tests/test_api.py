"""The Python API refuses what the command line would refuse, before anything is started."""

from pathlib import Path
from typing import Any

import pytest

from mgc.words.errors import ConfigError
from search import Space, run_study

SPACE = Path(__file__).parents[1] / "spaces" / "se_ratio.yaml"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"trials": 0}, "trials must be >= 1, got 0"),
        ({"trials": -3}, "trials must be >= 1, got -3"),
        ({"trials": 2.5}, "trials must be an integer, got 2.5"),
        ({"data": ""}, "dataset must be text that is not empty, got ''"),
    ],
)
def test_an_option_passes_the_same_check_as_the_space_file(tmp_path: Path, options: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run_study(Space.load(SPACE), out=tmp_path / "runs", **options)
    assert str(caught.value) == line
    assert not (tmp_path / "runs").exists()
