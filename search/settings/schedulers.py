"""The schedulers that a space may name, one entry each: a new one is a file in search/scheduler, and an entry here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SchedulerEntry:
    """A scheduler by the name that a space file has for it."""

    name: str
    description: str
    made_by: str
    """The function that makes it of a budget and a mode, as `module:name`; search.scheduler.scheduler imports it."""
    says: str
    """What it does at a rung: the subject and the verb of a sentence."""
    pauses: bool
    """Whether it pauses trials: then `resources.keep` of them are completed in any case."""


SCHEDULERS: Mapping[str, SchedulerEntry] = {
    scheduler.name: scheduler
    for scheduler in (
        SchedulerEntry(
            name="promote",
            description="ASHA that pauses each trial at a rung, and continues the best",
            made_by="search.scheduler.promote:promoting_asha",
            says="ASHA promotes the best trials",
            pauses=True,
        ),
        SchedulerEntry(
            name="stop",
            description="ASHA that ends a trial at a rung where it is not among the best",
            made_by="search.scheduler.asha:stopping_asha",
            says="ASHA may stop a trial",
            pauses=False,
        ),
    )
}
