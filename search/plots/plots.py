"""The plots of a report, drawn by matplotlib without a screen: figures of trials and of predictions. Knows no page.

A state of a trial has the same color in every plot, and never a color alone.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from mgc.words.texts import missing_glyphs, plotted
from search.plots.axes import (
    LETTERS,
    WIDE,
    choice_ticks,
    legend,
    lines,
    name_axes,
    new_figure,
    number_ticks,
    one_axes,
    prepare,
    without_collisions,
)
from search.plots.places import places
from search.record.header import StudyHeader
from search.record.ranking import Network, finite_score, networks, pareto_front, ranked, scores_of
from search.record.trial import State, TrialRecord
from search.settings.objectives import Objectives, dominates
from search.stats import Interval

COLORS: Mapping[State, str] = {"complete": "#1b7837", "stopped": "#d9a441", "failed": "#c0392b", "running": "#2c7fb8",
                                "paused": "#8073ac"}  # fmt: skip
DPI = 130
MAX_GENRE_LABELS = 24
NAME_WIDTH = 36
"""Characters of a config's name on one line."""

Stairs = Mapping[str, Mapping[str, Sequence[float]]]
"""By param and by network: the lowest and the highest value of the param that make the network."""


def png(figure: Figure) -> bytes:
    """The figure as PNG of 64 colors, which looks the same as one of all colors and is a third of its size."""
    drawn, small = io.BytesIO(), io.BytesIO()
    with missing_glyphs():
        figure.savefig(drawn, format="png", dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(64).save(small, format="png", optimize=True)
    return small.getvalue()


def against_param(
    name: str, trials: Sequence[TrialRecord], header: StudyHeader, *, log: bool = False, stairs: Stairs | None = None
) -> Figure:
    """Score against one param: complete trials, others hollow, and each network's mean with its error bar."""
    figure, axes = one_axes(WIDE)
    shown = [trial for trial in trials if name in trial.varying and finite_score(trial, header.metric) is not None]
    place, labels = places([trial.varying[name] for trial in shown], header, name)
    for state in ("stopped", "paused", "complete"):
        points = [(place(t.varying[name]), t.last[header.metric]) for t in shown if t.state == state]
        face, label = (COLORS[state], state) if state == "complete" else ("none", f"{state} (last epoch)")
        _scatter(axes, points, edge=COLORS[state], face=face, label=label)
    steps = (stairs or {}).get(name, {}) if labels is None else {}
    for network in networks(shown, header.objectives):
        _draw_network(axes, network, [place(t.varying[name]) for t in network.trials], steps.get(network.key))
    if labels is None:
        number_ticks(axes, log=log)
    else:
        choice_ticks(axes, labels)
    name_axes(axes, name, header.metric, f"split {header.split}")
    legend(figure)
    return figure


def _scatter(axes: Axes, points: Sequence[tuple[float, float]], *, edge: str, face: str, label: str) -> None:
    if points:
        x, y = zip(*points, strict=True)
        axes.scatter(x, y, s=24, edgecolors=edge, facecolors=face, label=label, alpha=0.8, zorder=3)


def _draw_network(axes: Axes, network: Network, at: Sequence[float], step: Sequence[float] | None) -> None:
    """A network's mean: a line as wide as the range of values that make the network, the interval over its repeats."""
    low, high = step or (min(at), max(at))
    if high > low:
        axes.plot([low, high], [network.mean, network.mean], color="#333333", linewidth=1.4, zorder=2)
    if (interval := network.interval).is_known:
        middle = (low + high) / 2
        error = [[network.mean - interval.low], [interval.high - network.mean]]
        axes.errorbar([middle], [network.mean], yerr=error, color="#333333", capsize=3, linewidth=1, zorder=2)


def history(trials: Sequence[TrialRecord], header: StudyHeader) -> Figure:
    """Every trial's score in the order of their numbers, and the best complete one so far."""
    figure, axes = one_axes(WIDE)
    for state in ("complete", "paused", "stopped"):
        points = [
            (float(t.number), score)
            for t in trials
            if t.state == state and (score := finite_score(t, header.metric)) is not None
        ]
        _scatter(axes, points, edge=COLORS[state], face=COLORS[state], label=state)
    failed = [trial.number for trial in trials if trial.state == "failed"]
    for index, number in enumerate(failed):
        axes.axvline(number, color=COLORS["failed"], alpha=0.5, linewidth=1, label="failed" if index == 0 else None)
    complete = sorted(ranked(trials, header.objectives), key=lambda trial: trial.number)
    if complete:
        better = np.maximum if header.mode == "max" else np.minimum
        scores = [trial.last[header.metric] for trial in complete]
        numbers = [trial.number for trial in complete]
        axes.step([*numbers, len(trials)], [*(so_far := better.accumulate(scores)), so_far[-1]], where="post",
                  color="#333333", linewidth=1.2, label="best so far")  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    name_axes(axes, "trial", header.metric)
    legend(figure)
    return figure


def curves(trials: Sequence[TrialRecord], header: StudyHeader, rungs: Sequence[int]) -> Figure:
    """Validation and train accuracy over epochs, a line per trial; ASHA's rungs as vertical lines."""
    figure = new_figure(WIDE)
    for axes, name in zip(figure.subplots(1, 2), ("train_accuracy", header.metric), strict=True):
        prepare(axes)
        labelled: set[str] = set()
        for trial in sorted(trials, key=lambda trial: trial.state == "complete"):
            points = [(e["epoch"], e[name]) for e in trial.epochs if name in e and math.isfinite(e[name])]
            if points:
                label = trial.state if trial.state not in labelled else None
                labelled.add(trial.state)
                axes.plot(*zip(*points, strict=True), color=COLORS[trial.state], linewidth=0.9, alpha=0.6, label=label,
                          marker="o" if len(points) == 1 else None, markersize=3)  # fmt: skip
        for index, rung in enumerate(rungs):
            axes.axvline(rung, color="#777777", linestyle=":", linewidth=1, label="rung" if index == 0 else None)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        name_axes(axes, "epoch", name)
    legend(figure)
    return figure


def front(trials: Sequence[TrialRecord], header: StudyHeader) -> Figure:
    """The first metric against each other one: complete trials, those outside the limits crossed, the Pareto front."""
    objectives, others = header.objectives, header.metrics[1:]
    complete = [trial for trial in trials if trial.state == "complete"]
    metrics = [trial.last for trial in complete if len(scores_of(trial, objectives)) == len(objectives.metrics)]
    best = pareto_front(trials, objectives)
    figure = new_figure((WIDE[0], 0.4 + 3.2 * len(others)))
    for index, axes in enumerate(figure.subplots(len(others), 1, squeeze=False).flat):
        prepare(axes)
        _draw_complete(axes, others[index], metrics, objectives)
        _draw_front(axes, best, others[index], objectives)
        number_ticks(axes, log=_is_wide([each[others[index]] for each in metrics]))
        name_axes(axes, others[index], header.metric)
    legend(figure)
    for axes in figure.axes:
        without_collisions(figure, axes.texts)
    return figure


def _draw_complete(axes: Axes, other: str, metrics: Sequence[Mapping[str, float]], objectives: Objectives) -> None:
    """Every complete trial's metrics as a point, or as a cross where they are outside the limits."""
    inside = [each for each in metrics if objectives.is_feasible(each)]
    outside = [each for each in metrics if not objectives.is_feasible(each)]
    kinds = ((inside, "o", COLORS["complete"], "complete"), (outside, "x", COLORS["failed"], "infeasible"))
    for shown, marker, color, label in kinds:
        if shown:
            x, y = [each[other] for each in shown], [each[objectives.metric] for each in shown]
            axes.plot(x, y, marker, color=color, label=label, alpha=0.7, markersize=5)


def _draw_front(axes: Axes, best: Sequence[TrialRecord], other: str, objectives: Objectives) -> None:
    """The trials of the Pareto front with their numbers, and below them the stairs of what is reached in two metrics.

    Between two trials the stairs stay at the one that is no better in the other metric: no trial reached more there.
    """
    points = sorted((trial.last[other], trial.last[objectives.metric], trial.number) for trial in best)
    axes.plot([x for x, *_ in points], [y for _, y, _ in points], "o", color="#333333", markerfacecolor="none",
              markersize=8, label="Pareto front")  # fmt: skip
    for x, y, number in points:
        axes.annotate(str(number), (x, y), fontsize=7, xytext=(5, 5), textcoords="offset points")
    pair = Objectives(metrics=(objectives.metric, other), modes=(objectives.mode, objectives.mode_of(other)))
    signed = [pair.signed(trial.last) for trial in best]
    steps = sorted(
        (trial.last[other], trial.last[objectives.metric])
        for trial, own in zip(best, signed, strict=True)
        if not any(dominates(each, own) for each in signed)
    )
    style = "steps-post" if objectives.mode_of(other) == "min" else "steps-pre"
    axes.plot([x for x, _ in steps], [y for _, y in steps], drawstyle=style, color="#333333", linewidth=1.2)


def _is_wide(values: Sequence[float]) -> bool:
    """Whether they need a logarithmic axis: positive, and the largest more than ten times the smallest."""
    return bool(values) and min(values) > 0 and max(values) > 10 * min(values)


def importance(shares: Mapping[str, float]) -> Figure:
    figure, axes = one_axes((WIDE[0], 0.8 + 0.3 * len(shares)))
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names], color="#4a6fa5")
    axes.set_xlim(0, 1)
    name_axes(axes, "share of the variance of scores", "")
    return figure


def confusion(confusion_GG: np.ndarray, genres: Sequence[str]) -> Figure:
    """Counts of tracks: rows the true genres, columns the predicted ones; shaded by the share of the row."""
    side = min(2.4 + 0.42 * len(genres), 12)
    figure = new_figure((side, side))
    axes = figure.subplots()
    share_GG = confusion_GG / np.maximum(confusion_GG.sum(axis=1, keepdims=True), 1)
    axes.imshow(share_GG, cmap="Blues", vmin=0, vmax=1)
    if len(genres) <= MAX_GENRE_LABELS:
        names = [plotted(genre) for genre in genres]
        axes.set_xticks(range(len(genres)), names, rotation=90, fontsize=LETTERS)
        axes.set_yticks(range(len(genres)), names, fontsize=LETTERS)
        for row, column in np.argwhere(confusion_GG > 0):
            color = "white" if share_GG[row, column] > 0.5 else "black"
            axes.text(column, row, str(confusion_GG[row, column]), ha="center", va="center", color=color, fontsize=8)
    name_axes(axes, "predicted genre", "true genre")
    return figure


def pictures(shown: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """Small spectrograms with a title each, low frequencies at the bottom."""
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure((WIDE[0], 1.75 * rows))
    for axes, item in zip(
        figure.subplots(rows, columns, squeeze=False).flat, [*shown, *[None] * columns], strict=False
    ):
        axes.axis("off")
        if item is not None:
            axes.imshow(item[1], origin="lower", aspect="auto", cmap="magma")
            axes.set_title(lines(*item[0].splitlines()), fontsize=7)
    return figure


def intervals(rows: Sequence[tuple[str, Interval, Sequence[float]]], label: str) -> Figure:
    """A line per config: the score of each training, their mean and its interval."""
    named = [(textwrap.fill(plotted(name), NAME_WIDTH), interval, values) for name, interval, values in rows]
    breaks = max(name.count("\n") for name, _, _ in named)
    figure, axes = one_axes((WIDE[0], 1.0 + (0.45 + 0.15 * breaks) * len(rows)))
    for height, (name, interval, values) in enumerate(reversed(named)):
        axes.plot(values, [height] * len(values), "o", color="#4a6fa5", alpha=0.5, markersize=4)
        axes.plot([interval.mean], [height], "D", color="#222222", markersize=5)
        if interval.is_known:
            axes.plot([interval.low, interval.high], [height, height], color="#222222", linewidth=1.5)
        axes.annotate(name, (0, height), xytext=(-6, 0), textcoords="offset points", ha="right", va="center",
                      xycoords=("axes fraction", "data"), fontsize=8)  # fmt: skip
    axes.set_yticks([])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    name_axes(axes, label, "")
    return figure
