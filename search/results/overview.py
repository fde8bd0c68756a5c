"""Every study of a folder in a line: its data, its best and how it stands. Reads records only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search.record.files import JOURNAL
from search.record.journal import is_locked
from search.record.notes import OPEN
from search.record.ranking import ranked
from search.record.record import Record, readable
from search.record.studies import is_finished
from search.results.answer import best_interval
from search.results.confirmed import confirmed
from search.stats import Interval, over_both


@dataclass(frozen=True, kw_only=True)
class Line:
    """One study, or one confirmation."""

    study: str
    created: str
    dataset: str
    split: str
    metric: str
    """What `best` is; `test accuracy` of a confirmation."""
    best: float | None
    low: float | None
    high: float | None
    state: str
    trials: int
    """How many have begun, of `of`."""
    of: int

    @property
    def best_text(self) -> str:
        if self.best is None:
            return ""
        ends = "" if self.low is None or self.high is None else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.metric} {self.best:.3f}{ends}"


def line_of(record: Record) -> Line:
    """What the list says of a study."""
    header, trials = record.header, record.trials()
    metric, interval = _best(record)
    is_known = interval is not None and interval.is_known
    return Line(
        study=record.name,
        created=header.created,
        dataset=header.dataset_label if header.dataset else "",
        split=header.split or "",
        metric=metric,
        best=None if interval is None else interval.mean,
        low=interval.low if interval is not None and is_known else None,
        high=interval.high if interval is not None and is_known else None,
        state=state_of(record),
        trials=len(trials),
        of=header.trials,
    )


def _best(record: Record) -> tuple[str, Interval | None]:
    """The metric that counts, with the interval of the best: on the test part once it was opened; None without one."""
    metric = record.header.metric
    if (result := confirmed(record.folder)) is not None:
        return "test accuracy", over_both(result.chosen.right_SM)
    for best in ranked(record.trials(), record.header.objectives)[:1]:
        score = best.last[metric]
        return metric, best_interval(record, best) or Interval(mean=score, low=float("nan"), high=float("nan"))
    return metric, None


def state_of(record: Record) -> str:
    """How a study stands: `finished`, `running`, `stopped` politely, or `interrupted` (by a kill or an error)."""
    if is_locked(record.folder):
        return "running"
    if record.noted(OPEN):
        return "interrupted"
    return "finished" if is_finished(record) else "stopped"


def lines_in(out: Path) -> list[Line]:
    """A line for each readable study under a folder, the newest first; a warning says which cannot be read."""
    records = [readable(journal.parent) for journal in out.glob(f"*/{JOURNAL}")]
    lines = [line_of(record) for record in records if record is not None]
    return sorted(lines, key=lambda line: line.created, reverse=True)
