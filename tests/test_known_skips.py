"""A skip for a reason that nobody knows is a failure, wherever it happens."""

import subprocess
import sys
from pathlib import Path

import pytest

FILE = """
import pytest
{first}

@pytest.fixture
def absent():
    pytest.skip({reason!r})

def test_asks(absent):
    pass

@pytest.mark.skipif(True, reason={reason!r})
def test_marked():
    pass

def test_begins():
    pytest.skip({reason!r})
"""
PLUGIN = ["-p", "known_skips", "-p", "no:cacheprovider", "-q"]


def outcome(folder, text):
    """The last line that pytest prints for a file of tests, without the time."""
    (folder / "test_file.py").write_text(text)
    command = [sys.executable, "-m", "pytest", *PLUGIN, "test_file.py"]
    env = {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.splitlines()[-1].partition(" in ")[0]


@pytest.mark.parametrize(("reason", "expected"), [("needs a GPU", "3 skipped"), ("not today", "1 failed, 2 errors")])
def test_a_test_may_be_skipped_for_a_known_reason_alone(tmp_path, reason, expected):
    assert outcome(tmp_path, FILE.format(first="", reason=reason)) == expected


def test_a_file_that_skips_itself_because_a_module_has_moved_is_an_error(tmp_path):
    first = "moved = pytest.importorskip('search.no_such_module')"
    assert outcome(tmp_path, FILE.format(first=first, reason="needs a GPU")) == "1 error"
