"""Plug-in files in the tests' folder, and the line that answers a broken one."""

import re
import sys
from pathlib import Path

import pytest

from mgc.datasets.registry import BUILT_IN
from mgc.features.registry import FEATURES
from mgc.models.registry import MODELS
from mgc.plugins import use_files
from mgc.plugins.loading import in_use
from mgc.plugins.plugin import PluginError
from mgc.training.part_metrics import PART_METRICS

PAGE = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text()
"""The page about plug-ins."""


def page_block(title: str, language: str = "python") -> str:
    """The first block of this language after a title of the page."""
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE.partition(f"## {title}")[2], flags=re.MULTILINE | re.DOTALL)
    assert found, (title, language)
    return found[1]


def written(text: str, name: str = "mine.py") -> str:
    Path(name).write_text(text)
    return name


def refused(text: str) -> str:
    """The line that answers a plug-in of this text; nothing of it is left."""
    before = _known()
    with pytest.raises(PluginError) as raised:
        use_files(written(text))
    assert _known() == before
    assert in_use() == ()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def _known() -> list[list[str]]:
    return [[*each] for each in (MODELS, FEATURES, BUILT_IN, PART_METRICS, sys.modules)]
