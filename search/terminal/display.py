"""What a study prints: a live table while it runs, or plain lines where there is no terminal, and a summary after.

Table and lines go to stderr, the summary to stdout: what is piped is the result, and `--json` may put its line after
it. It reads records and writes text; it knows nothing of Ray, Optuna and MLflow.
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

from search.record.files import PAGE, REPORT
from search.record.header import StudyHeader
from search.record.notes import COST, RUNS_PAGE, TRACKING_URI, Cost
from search.record.ranking import networks, pareto_front, ranked, repeats, states_text
from search.record.record import Record
from search.record.trial import TrialRecord
from search.results.commands import sync_command, ui_command
from search.results.rungs import rung_warning
from search.settings.objectives import Objectives
from search.space.describe import params_lines
from search.terminal.tables import (
    COLORS,
    data_line,
    front_table,
    live_view,
    network_table,
    proposals_text,
    trial_line,
    trial_name,
)
from search.words import MOST_NAMED, duration, numbered

FILE_WIDTH = 120
"""Columns of what is written to a file."""
NETWORKS_SHOWN = 10
LOCAL = "http://127.0.0.1:5000"
"""Where `python -m search.tracking ui` shows MLflow's pages, unless something else is there."""


class Display:
    """Shows a study while it runs; a context manager, which leaves the terminal as it was however the study ends.

    `quiet` shows failed trials only. The table appears with the first `update`, so that progress bars of earlier work
    have the terminal to themselves.
    """

    def __init__(self, record: Record, *, quiet: bool = False, console: Console | None = None) -> None:
        self.quiet = quiet
        self._record = record
        self._console = console or _console(to_stdout=False)
        self._trials: Sequence[TrialRecord] = record.trials()
        self._printed = set(map(_place, self._trials))
        self._pace = Pace(self._trials)
        self._clock = EpochClock()
        self._warning = rung_warning(record, self._trials)
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
        self._print_settled()

    def _print_settled(self) -> None:
        """A line for each trial that has ended or paused since the last time; beside a table only for failed ones."""
        settled = [trial for trial in self._trials if trial.state != "running" and _place(trial) not in self._printed]
        if not settled:
            return
        self._printed |= set(map(_place, settled))
        header = self._record.header
        self._warning = rung_warning(self._record, self._trials)
        same, best = repeats(self._trials), ranked(self._trials, header.objectives)[:1]
        for trial in settled:
            if trial.state == "failed" or not (self.quiet or self._live):
                self._print(trial_line(trial, header, same[trial.number], is_best=trial in best))

    def _view(self) -> RenderableType:
        header, trials = self._record.header, self._trials
        left_s = self._pace.left_s(trials, total=header.trials, max_epochs=header.max_epochs)
        return live_view(
            self._record.name,
            header,
            trials,
            width=self._console.width,
            height=self._console.height,
            left_s=left_s,
            cost=str(Cost(**self._record.noted(COST))),
            running=self._clock.texts(trials),
            warning=self._warning,
        )

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


class Pace:
    """How long a study will still take, from the epochs that were done per second since this driver started."""

    def __init__(self, before: Sequence[TrialRecord], now: Callable[[], float] = time.monotonic) -> None:
        self._before = sum(len(trial.epochs) for trial in before)
        self._now = now
        self._started: float | None = None

    def start(self) -> None:
        """The first trials have started; later calls change nothing."""
        if self._started is None:
            self._started = self._now()

    def left_s(self, trials: Sequence[TrialRecord], *, total: int, max_epochs: int) -> float | None:
        """Seconds left; None until an epoch has been done."""
        done = sum(len(trial.epochs) for trial in trials) - self._before
        if self._started is None or done <= 0:
            return None
        return epochs_left(trials, total=total, max_epochs=max_epochs) * (self._now() - self._started) / done


class EpochClock:
    """How far running trials are in their epochs, by the clock: a worker reports nothing before an epoch's end."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since: dict[tuple[int, int], float] = {}
        """When each running trial was first seen with so many epochs."""

    def texts(self, trials: Sequence[TrialRecord]) -> dict[int, str]:
        """By the running trials' numbers: the share of the epoch's time that has passed, or that time where nobody
        knows how long the epoch takes, or it takes longer.
        """
        running = [trial for trial in trials if trial.state == "running"]
        now = self._now()
        self._since = {place: self._since.get(place, now) for place in ((t.number, len(t.epochs)) for t in running)}
        usual_s = _epoch_seconds(trials)
        texts = {}
        for trial in running:
            passed_s = now - self._since[trial.number, len(trial.epochs)]
            whole_s = _epoch_seconds([trial]) or usual_s or 0.0
            texts[trial.number] = f"{passed_s / whole_s:.0%}" if passed_s < whole_s else duration(int(passed_s))
        return texts


def _epoch_seconds(trials: Sequence[TrialRecord]) -> float | None:
    """The mean time of the trials' last epochs; None where none has one."""
    seconds = [trial.last["seconds"] for trial in trials if "seconds" in trial.last]
    return sum(seconds) / len(seconds) if seconds else None


def _place(trial: TrialRecord) -> tuple[int, str, int]:
    """Where a trial is: a paused one may pause again, further on."""
    return trial.number, trial.state, len(trial.epochs)


def epochs_left(trials: Sequence[TrialRecord], *, total: int, max_epochs: int) -> float:
    """Epochs that a study of `total` trials still needs, if ASHA goes on as it did.

    A trial at epoch n is expected to need as many more as, on average, the paused and ended trials that went beyond n.
    """
    lengths = [len(trial.epochs) for trial in trials if trial.state in ("complete", "stopped", "paused")]

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
    following: str | None,
    unsent: int = 0,
    quiet: bool = False,
    console: Console | None = None,
) -> None:
    """The result of a study, on stdout: the best, the networks, failures, where everything is, what to type next.

    `tracking` is the MLflow URI, `following` the next command (None where the caller says it), `unsent` how many runs
    MLflow lacks. `quiet` leaves the result's few lines.
    """
    console = console or _console(to_stdout=True)
    header, trials = record.header, record.trials()
    for line in _result(record.name, header, trials, seconds, str(Cost(**record.noted(COST)))):
        console.print(line, soft_wrap=True)
    if quiet:
        return
    for remark in (proposals_text(trials), rung_warning(record, trials)):
        if remark:
            console.print(Text(remark), soft_wrap=True)
    for best in ranked(trials, header.objectives)[:1]:
        for text in ("the params of the best, to copy into a space file:", *params_lines(best.params, console.width)):
            console.print(Text(text), soft_wrap=True)
    if groups := networks(trials, header.objectives):
        console.print()
        console.print(network_table(header, groups[:NETWORKS_SHOWN], console.width))
    if header.objectives.are_several and (front := pareto_front(trials, header.objectives)):
        console.print()
        console.print(front_table(header, front, console.width))
    for line in [*_failures(trials), *_places(record, tracking, following, unsent)]:
        console.print(line, soft_wrap=True)


def _result(name: str, header: StudyHeader, trials: Sequence[TrialRecord], seconds: float, cost: str) -> list[Text]:
    """The result in a few lines: the dataset, the split and their cautions stand beside the score."""
    objectives = header.objectives
    states = states_text(trials, live=False)
    lines = [
        Text(f"study {name}: {len(trials)} trial{'s' * (len(trials) != 1)} ({states}) in {duration(seconds)}"),
        data_line(header),
    ]
    lines += [Text(f"caution: {caution}", style="bold red") for caution in header.cautions]
    lines += [Text(f"cost: {cost}")] if cost else []
    for best in ranked(trials, objectives)[:1]:
        lines.append(
            Text(
                f"best {header.metric} {best.last[header.metric]:.4f} ({trial_name(best, MOST_NAMED)})",
                style="bold",
            )
        )
    if outside := [trial.number for trial in trials if not objectives.is_feasible(trial.last)]:
        lines.append(Text(f"infeasible: {numbered(outside)} (constraints: {objectives.constraints_text})"))
    return lines if ranked(trials, objectives) else [*lines, _no_best_line(objectives, trials)]


def _no_best_line(objectives: Objectives, trials: Sequence[TrialRecord]) -> Text:
    is_complete = any(trial.state == "complete" for trial in trials)
    why = "no trial is complete"
    if is_complete and objectives.constraints:
        why = f"no complete trial keeps {objectives.constraints_text}"
    return Text(f"{why}: there is no best one", style=COLORS["failed"])


def _failures(trials: Sequence[TrialRecord]) -> list[Text]:
    """Why trials failed, each reason once."""
    reasons: dict[str, list[int]] = {}
    for trial in trials:
        if trial.state == "failed":
            reasons.setdefault(str(trial.reason), []).append(trial.number)
    return [Text(f"failed: {numbered(numbers)}: {why}", style=COLORS["failed"]) for why, numbers in reasons.items()]


def _places(record: Record, tracking: str, following: str | None, unsent: int) -> list[Text]:
    """Where the results lie, how to send what MLflow lacks, and what to type next."""
    page = record.folder / REPORT / PAGE
    lines = [f"results  {record.folder}", *([f"report   {page.as_uri()}"] if page.is_file() else [])]
    lines += _pages_of_mlflow(record, tracking)
    if unsent:
        lines.append(f"         lacks {unsent} runs; send them: {sync_command(record.folder, tracking_uri=tracking)}")
    lines += [] if following is None else [f"next     {following}"]
    return [Text(line) for line in lines]


def _pages_of_mlflow(record: Record, tracking: str) -> list[str]:
    """The address of MLflow's page of the study's runs; of a file of runs the command first that shows its pages."""
    page = record.noted(RUNS_PAGE)
    if page is None:
        return [f"MLflow   {tracking}"]
    if tracking.startswith("http"):
        return [f"MLflow   {tracking.rstrip('/')}/{page}"]
    command = ui_command(record.folder, tracking_uri=record.noted(TRACKING_URI))
    return [f"MLflow   {command}", f"         then open {LOCAL}/{page}"]


def _console(*, to_stdout: bool) -> Console:
    """A console for one of the two streams; colors and movement only on a terminal."""
    stream = sys.stdout if to_stdout else sys.stderr
    return Console(file=stream, width=None if stream.isatty() else FILE_WIDTH, highlight=False)
