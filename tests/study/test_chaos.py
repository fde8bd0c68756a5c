"""A study whose drivers are killed five times at random moments, by the benchmark of that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.long]


def test_a_study_that_is_killed_five_times_loses_nothing_and_ends_as_an_undisturbed_one():
    command = [sys.executable, "-m", "benchmarks.chaos", "--kills", "5"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=1200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith(("5 kills", "lost", "equal"))][1:] == [
        "lost 0  doubled 0  orphaned 0  unreadable 0",
        "equal to the undisturbed study",
    ]
