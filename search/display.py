"""What somebody sees of a study: a live table while it runs (plain lines where there is no terminal), a summary after.

All that happens meanwhile goes to stderr, the summary to stdout: what is piped is the result, and `--json` may put its
line after it. It reads records and writes text; Ray, Optuna and MLflow are nothing to it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from search.cost import spent
from search.overview import Heading, counts, networks, numbered, repeats
from search.record import Record, TrialRecord
from search.tables import COLORS, called, data_line, duration, front_table, live_view, network_table, trial_line

FILE_WIDTH = 120
"""Columns where there is no terminal to ask."""
NETWORKS_SHOWN = 10


class Display:
    """Shows a study while it runs; a context manager, which leaves the terminal as it was however the study ends.

    `quiet` shows failed trials only. Nothing moves until the first `update`, so that bars of earlier work have the
    terminal to themselves.
    """

    def __init__(self, record: Record, *, quiet: bool = False, console: Console | None = None) -> None:
        self.quiet = quiet
        self._record = record
        self._console = console or _console(to_stdout=False)
        self._trials: Sequence[TrialRecord] = record.trials()
        self._told = {trial.number for trial in self._trials if trial.ended is not None}
        self._pace = Pace(self._trials)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def line(self, text: str) -> None:
        """A remark, above the table."""
        if not self.quiet:
            self._print(Text(text))

    def update(self, trials: Sequence[TrialRecord]) -> None:
        """The trials as they are now. Cheap enough to be called at every report."""
        self._trials = trials
        self._pace.start()
        if self._console.is_terminal and not self.quiet and self._live is None:
            self._live = Live(get_renderable=self._view, console=self._console, transient=True)
            self._live.start()
        self._tell_ended()

    def _tell_ended(self) -> None:
        """A line for each trial that has ended since the last time; beside a table only for the failed ones."""
        fresh = [trial for trial in self._trials if trial.ended is not None and trial.number not in self._told]
        if not fresh:
            return
        self._told |= {trial.number for trial in fresh}
        heading = self._heading()
        same, best = repeats(self._trials), heading.objectives.ranked(self._trials)[:1]
        for trial in fresh:
            if trial.state == "failed" or not (self.quiet or self._live):
                self._print(trial_line(trial, heading, same[trial.number], is_best=trial in best))

    def _view(self) -> RenderableType:
        heading, trials = self._heading(), self._trials
        left_s = self._pace.left_s(trials, total=heading.trials, max_epochs=heading.max_epochs)
        cost, height = str(spent(self._record.notes())), self._console.height
        return live_view(self._record.name, heading, trials, height=height, left_s=left_s, spent=cost)

    def _heading(self) -> Heading:
        return Heading.of(self._record.header)

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


class Pace:
    """How long a study will still take, from the epochs that were done per second since this driver started."""

    def __init__(self, before: Sequence[TrialRecord], now: Callable[[], float] = time.monotonic) -> None:
        self._before = sum(len(trial.epochs) for trial in before)
        self._now = now
        self._started: float | None = None

    def start(self) -> None:
        """The first trials are on their way; later calls change nothing."""
        if self._started is None:
            self._started = self._now()

    def left_s(self, trials: Sequence[TrialRecord], *, total: int, max_epochs: int) -> float | None:
        """Seconds left; None until an epoch has been done."""
        done = sum(len(trial.epochs) for trial in trials) - self._before
        if self._started is None or done <= 0:
            return None
        return epochs_left(trials, total=total, max_epochs=max_epochs) * (self._now() - self._started) / done


def epochs_left(trials: Sequence[TrialRecord], *, total: int, max_epochs: int) -> float:
    """Epochs that a study of `total` trials still needs, if ASHA goes on as it did.

    A trial at epoch n is expected to need what the ended ones that came further than n needed from there.
    """
    lengths = [len(trial.epochs) for trial in trials if trial.state in ("complete", "stopped")]

    def expected(done: int) -> float:
        beyond = [length - done for length in lengths if length > done]
        return sum(beyond) / len(beyond) if beyond else max_epochs - done

    running = sum(expected(len(trial.epochs)) for trial in trials if trial.state == "running")
    return running + max(total - len(trials), 0) * expected(0)


def show_summary(
    record: Record,
    *,
    seconds: float,
    tracking: str,
    following: str,
    unsent: int = 0,
    quiet: bool = False,
    console: Console | None = None,
) -> None:
    """The result of a study, on stdout: the best, the networks, failures, where everything is, what to type next.

    `tracking` is the MLflow URI, `following` the next command, `unsent` how many runs MLflow lacks. `quiet` leaves the
    result's few lines.
    """
    console = console or _console(to_stdout=True)
    heading, trials = Heading.of(record.header), record.trials()
    for line in _result(record.name, heading, trials, seconds, str(spent(record.notes()))):
        console.print(line, soft_wrap=True)
    if quiet:
        return
    found = networks(trials, heading.objectives)
    if found:
        console.print()
        console.print(network_table(heading, found[:NETWORKS_SHOWN]))
    if heading.objectives.are_several and (front := heading.objectives.front(trials)):
        console.print()
        console.print(front_table(heading, front))
    for line in [*_failures(trials), *_places(record, tracking, following, unsent)]:
        console.print(line, soft_wrap=True)


def _result(name: str, heading: Heading, trials: Sequence[TrialRecord], seconds: float, cost: str) -> list[Text]:
    """What came out, in a few lines: the dataset, the split and their cautions stand beside the score."""
    found = ", ".join(f"{number} {state}" for state, number in counts(trials).items() if number)
    lines = [
        Text(f"study {name}: {len(trials)} trial{'s' * (len(trials) != 1)} ({found}) in {duration(seconds)}"),
        data_line(heading),
    ]
    lines += [Text(f"caution: {caution}", style="bold red") for caution in heading.cautions]
    lines += [Text(f"cost: {cost}")] if cost else []
    best = heading.objectives.ranked(trials)[:1]
    lines += [Text(f"best {heading.metric} {t.last[heading.metric]:.4f} ({called(t)})", style="bold") for t in best]
    by = heading.objectives
    infeasible = [trial.number for trial in trials if by.broken(trial.last)]
    lines += [Text(f"infeasible: {numbered(infeasible)} ({by.limits_text} is not kept)")] if infeasible else []
    if best:
        return lines
    is_complete = any(trial.state == "complete" for trial in trials)
    why = f"no complete trial keeps {by.limits_text}" if is_complete and by.limits else "no trial is complete"
    return [*lines, Text(f"{why}: there is no best one", style=COLORS["failed"])]


def _failures(trials: Sequence[TrialRecord]) -> list[Text]:
    """Why trials failed, each reason once."""
    reasons: dict[str, list[int]] = {}
    for trial in trials:
        if trial.state == "failed":
            reasons.setdefault(str(trial.reason), []).append(trial.number)
    return [Text(f"failed: {numbered(numbers)}: {why}", style=COLORS["failed"]) for why, numbers in reasons.items()]


def _places(record: Record, tracking: str, following: str, unsent: int) -> list[Text]:
    lines = [f"results  {record.folder}", f"MLflow   {tracking}"]
    if unsent:
        command = f"python -m search.tracking sync {record.name} --out {record.folder.parent} --tracking-uri {tracking}"
        lines.append(f"         lacks {unsent} runs; send them: {command}")
    return [Text(line) for line in [*lines, f"next     {following}"]]


def _console(*, to_stdout: bool) -> Console:
    """A console for one of the two streams; colors and movement only on a terminal."""
    stream = sys.stdout if to_stdout else sys.stderr
    return Console(file=stream, width=None if stream.isatty() else FILE_WIDTH, highlight=False)
