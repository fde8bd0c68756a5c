"""The examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def modules():
    """The modules that have an example, by name."""
    paths = [path for package in ("mgc", "search", "benchmarks") for path in (ROOT / package).rglob("*.py")]
    texts = {path: path.read_text() for path in sorted(paths)}
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path, text in texts.items() if ">>> " in text]


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_a_module_hold(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted and not result.failed
