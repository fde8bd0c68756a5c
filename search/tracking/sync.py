"""Sends a whole record of a study that does not run: what the tracking backend lacks of it, and files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.record.notes import TEST, scores_on_test
from search.record.ranking import has_ended
from search.record.record import Record
from search.tracking.registry import tracker_of


def sync(record: Record, uri: str, files: Sequence[Path] = ()) -> int:
    """Send what the backend lacks, and files or folders as the study's artifacts.

    Returns how many runs could not be sent completely. Raises TrackingError where the backend cannot be used.
    """
    tracker = tracker_of(record, uri)
    tracker.start()
    for number in scores_on_test(record.noted(TEST)):
        tracker.touch(number)  # no tag of a run says that its trial was tested after its last epoch
    for path in files:
        tracker.log_artifact(path)
    return tracker.finish("FINISHED" if has_ended(record.header, record.trials()) else "KILLED")
