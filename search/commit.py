"""The commit of the code that runs, for the record of what it finds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def commit() -> str | None:
    """The commit, with a + where files differ from it; of code that was sent to a cluster, what it was there where it
    came from ($MGC_COMMIT). None outside a git checkout.
    """
    here = str(Path(__file__).parent)
    command = ["git", "-C", here, "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return os.environ.get("MGC_COMMIT") or done.stdout.strip() or None
