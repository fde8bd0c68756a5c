"""The soak in small: hostile files, decoded and verified round after round, crash nothing and leave no file open."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.long]

FILES, ROUNDS = 120, 3


def test_hostile_files_crash_nothing_and_leave_no_file_open():
    command = [sys.executable, "-m", "benchmarks.soak", str(FILES), str(ROUNDS)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rounds = re.findall(r"^round \d: {(.*?)}.* (\d+) open files$", done.stdout, flags=re.MULTILINE)
    assert len(rounds) == ROUNDS
    assert len(set(rounds)) == 1, done.stdout  # each round hears and refuses the same, with as many files open
    assert "heard" in rounds[0][0] and "refused" in rounds[0][0]
