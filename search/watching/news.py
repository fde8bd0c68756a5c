"""What is new in a study since somebody last looked: its record, read on from where the last look ended.

It only reads, and takes no lock that a driver waits for. Many readers share one of it, and a look at a record that has
not changed costs a call of `stat`.
"""

from __future__ import annotations

import time
from pathlib import Path
from threading import Lock
from typing import Any

from search.record.files import JOURNAL
from search.record.journal import is_locked
from search.record.ranking import states_text
from search.record.record import Record
from search.record.trial import TrialRecord
from search.report.data import curve_numbers, study_data, trial_data
from search.results.confirmed import confirmations, study_answer
from search.results.overview import state_of
from search.words import moment

Json = dict[str, Any]


class News:
    """The news of the study in a folder. Raises RecordError where there is none that can be read."""

    def __init__(self, folder: Path) -> None:
        self._record = Record.open(folder)
        self._lock = Lock()
        self._stamp: tuple[int, int, bool] | None = None
        """Size and time of the record when it was last read, and whether a driver ran."""
        self._version = int(1000 * time.time())
        """Later for a later look, also of another process of this program: a page outlives it."""
        self._study: Json = {}
        self._study_version = 0
        self._trials: list[TrialRecord] = []
        self._seen: dict[int, tuple[object, ...]] = {}
        self._changed: dict[int, int] = {}
        """By a trial's number, the version in which it last changed."""

    def since(self, version: int) -> Json:
        """The study and its trials, where they are newer than this version of them; version 0 is older than all.

        `version` is what the next question is to name.
        """
        with self._lock:
            self._look()
            news: Json = {"version": self._version}
            if self._study_version > version:
                base = self._trials[0].params if self._trials else {}
                with_curve = curve_numbers(self._trials)
                changed = [trial for trial in self._trials if self._changed[trial.number] > version]
                news["study"] = self._study
                news["trials"] = [
                    trial_data(trial, self._record, base, with_curve=trial.number in with_curve) for trial in changed
                ]
            return news

    def _look(self) -> None:
        """Read what was written since the last look."""
        file = (self._record.folder / JOURNAL).stat()
        stamp = (file.st_size, file.st_mtime_ns, is_locked(self._record.folder))
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self._version = self._study_version = max(self._version + 1, int(1000 * time.time()))
        self._record.refresh()
        self._trials = self._record.trials()
        for trial in self._trials:
            state = (trial.state, len(trial.epochs), len(trial.promotions), len(trial.facts), trial.reason)
            if self._seen.get(trial.number) != state:
                self._seen[trial.number] = state
                self._changed[trial.number] = self._version
        self._study = study_data(self._record, self._trials) | self._words()

    def _words(self) -> Json:
        """What stands at the top of the page: the answer so far, and how the study stands."""
        record, header = self._record, self._record.header
        state = state_of(record)
        states = states_text(self._trials, live=state == "running")
        answer = study_answer(record, confirmations(record.folder))
        about = (
            f"{header.description or header.space}. Study {record.name}, begun {moment(header.created)}, is {state}: "
            f"{len(self._trials)} of {header.trials} trials have begun ({states or 'none'}), compared by "
            f"{header.objectives}. Dataset {header.dataset_label}, split {header.split}."
        )
        return {"about": about, "answer": answer.text, "cautions": list(answer.cautions), "state": state}
