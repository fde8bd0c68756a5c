"""The log of a study's faults: the whole traceback of each error that does not end the study.

The line that the user sees names this log. This file knows the study's folder, and must not know the code that failed.
"""

from __future__ import annotations

import time
import traceback
from contextlib import suppress
from pathlib import Path

from mgc.words.redact import redacted
from search.record.files import ERRORS


def note_fault(folder: Path, what: str, *, trace: str | None = None) -> Path:
    """Append a traceback to the log of the study in `folder`, and return the log's path.

    The traceback is that of the exception that is being handled, or `trace`, which another process sent. `what` names
    what failed. Raises nothing: on a full disk the user has only the caller's own line.
    """
    path = folder / ERRORS
    entry = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {what}\n{trace or traceback.format_exc()}\n"
    with suppress(OSError), path.open("a") as log:
        log.write(redacted(entry))
    return path
