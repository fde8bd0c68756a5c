"""The picture of docs/search.md: the trials of a real study as lines through its rungs.

    python -m benchmarks.show_rungs runs/NAME docs/images/rungs.png

Above, the score of each trial by epoch: where it paused, where it was promoted, where it is complete. Below, the same
trials in the order in which the study heard of them: a line is dotted where its trial waits.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

from search.plots.axes import legend, name_axes, new_figure, prepare
from search.plots.plots import COLORS, png
from search.record.record import Record
from search.record.trial import TrialRecord

SIZE = (6.4, 6.4)
"""Inches."""


def main(study: Path, picture: Path) -> None:
    record = Record.open(study)
    header, trials = record.header, [trial for trial in record.trials() if trial.epochs]
    figure = new_figure(SIZE)
    by_epoch, by_time = figure.subplots(2, 1)
    prepare(by_epoch)
    prepare(by_time)
    draw_by_epoch(by_epoch, trials, header.metric, (*header.rungs, header.max_epochs))
    draw_by_time(by_time, trials)
    legend(figure)
    picture.write_bytes(png(figure))


def draw_by_epoch(axes: Axes, trials: Sequence[TrialRecord], metric: str, rungs: Sequence[int]) -> None:
    """The score of each trial by epoch; the rungs, and the end, as vertical lines."""
    for trial in trials:
        points = {int(each["epoch"]): each[metric] for each in trial.epochs}
        _line(axes, list(points.items()), trial)
        for epoch in trial.promotions:
            _promoted(axes, epoch, points[epoch])
        _end(axes, *list(points.items())[-1], trial)
    for rung in rungs:
        axes.axvline(rung, color="#777777", linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(rungs)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    name_axes(axes, "epoch (the rungs, and the end)", metric)


def draw_by_time(axes: Axes, trials: Sequence[TrialRecord]) -> None:
    """The trials as lines along the reports of the study."""
    for trial in trials:
        first, last = trial.epochs[0]["order"], trial.epochs[-1]["order"]
        axes.plot([first, last], [trial.number] * 2, color=COLORS[trial.state], linewidth=0.7, linestyle=":")
        for stretch in stretches(trial):
            _line(axes, [(order, trial.number) for order in stretch], trial)
        orders = {int(each["epoch"]): each["order"] for each in trial.epochs}
        for epoch in trial.promotions:
            _promoted(axes, orders[epoch], trial.number)
        _end(axes, trial.epochs[-1]["order"], trial.number, trial)
    axes.invert_yaxis()
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    name_axes(axes, "reports of the study, in their order", "trial")


def stretches(trial: TrialRecord) -> Iterator[list[float]]:
    """Between its pauses: the places of its reports among those of the study."""
    stretch: list[float] = []
    for each in trial.epochs:
        stretch.append(each["order"])
        if int(each["epoch"]) in trial.promotions:
            yield stretch
            stretch = []
    yield stretch


def _promoted(axes: Axes, x: float, y: float) -> None:
    axes.plot(x, y, "o", color=COLORS["running"], markersize=4, label="promoted")


def _line(axes: Axes, points: Sequence[tuple[float, float]], trial: TrialRecord) -> None:
    axes.plot(*zip(*points, strict=True), color=COLORS[trial.state], linewidth=1.2, alpha=0.7)


def _end(axes: Axes, x: float, y: float, trial: TrialRecord) -> None:
    """The last report of a trial: a full mark where it is complete, a hollow one where it is not."""
    color, is_complete = COLORS[trial.state], trial.state == "complete"
    axes.plot(x, y, marker="s" if is_complete else "o", color=color, markersize=6, linestyle="none", label=trial.state,
              markerfacecolor=color if is_complete else "none")  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
