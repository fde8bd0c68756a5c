"""A study's plots, drawn by matplotlib without a screen: plain figures of what records and predictions hold.

Colors mean the same everywhere: complete, stopped, failed, running; nothing is told by color alone.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from PIL import Image

from search.overview import Heading, Network, brief, finite_score, networks
from search.record import State, TrialRecord
from search.stats import Interval, over_seeds

COLORS: Mapping[State, str] = {"complete": "#1b7837", "stopped": "#d9a441", "failed": "#c0392b", "running": "#2c7fb8"}
DPI = 110
WIDE, SMALL = (7.2, 3.6), (4.8, 3.6)
MAX_GENRE_LABELS = 24
NAME_WIDTH = 36
"""Characters of a config's name on a line."""

Stairs = Mapping[str, Mapping[str, Sequence[float]]]
"""Param -> network -> lowest and highest value of the param that makes it."""


def png(figure: Figure) -> bytes:
    """The figure as a small PNG: of 64 colors, which is a third of the size and looks the same."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(64).save(small, format="png", optimize=True)
    return small.getvalue()


def _axes(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    return figure, axes


def against_param(
    name: str, trials: Sequence[TrialRecord], heading: Heading, *, log: bool = False, stairs: Stairs | None = None
) -> Figure:
    """Score against one param: complete trials, stopped ones faint, each network's mean with its error bar."""
    figure, axes = _axes(WIDE)
    had = [trial for trial in trials if name in trial.varying and finite_score(trial, heading.metric) is not None]
    place, ticks = _places([trial.varying[name] for trial in had])
    for state in ("stopped", "complete"):
        points = [(place(t.varying[name]), t.last[heading.metric]) for t in had if t.state == state]
        look = ("none", "stopped (last epoch)") if state == "stopped" else (COLORS[state], state)
        _scatter(axes, points, edge=COLORS[state], face=look[0], label=look[1])
    steps = (stairs or {}).get(name, {})
    for network in networks(had, heading.objectives):
        _draw_network(axes, network, [place(t.varying[name]) for t in network.trials], steps.get(network.key))
    if ticks is not None:
        axes.set_xticks(
            range(len(ticks)), ticks, rotation=30 if len(ticks) > 4 else 0, ha="right" if len(ticks) > 4 else "center"
        )
    elif log:
        axes.set_xscale("log")
    _finish(axes, name, f"{heading.metric}\nsplit {heading.split}")
    return figure


def _scatter(axes: Axes, points: Sequence[tuple[float, float]], *, edge: str, face: str, label: str) -> None:
    if points:
        x, y = zip(*points, strict=True)
        axes.scatter(x, y, s=24, edgecolors=edge, facecolors=face, label=label, alpha=0.8, zorder=3)


def _places(values: Sequence[Any]) -> tuple[Any, list[str] | None]:
    """Where a value stands on an axis: numbers where they are, anything else side by side under its label."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return float, None
    labels = list(dict.fromkeys(brief(value) for value in values))
    return (lambda value: labels.index(brief(value))), labels


def _draw_network(axes: Axes, network: Network, at: Sequence[float], step: Sequence[float] | None) -> None:
    """A network's mean: as wide as the step of values that all make it, with the interval over its repeats."""
    low, high = step or (min(at), max(at))
    if high > low:
        axes.plot([low, high], [network.mean, network.mean], color="#333333", linewidth=1.4, zorder=2)
    if len(network.scores) > 1:
        spread = over_seeds(network.scores)
        middle = (low + high) / 2
        error = [[network.mean - spread.low], [spread.high - network.mean]]
        axes.errorbar([middle], [network.mean], yerr=error, color="#333333", capsize=3, linewidth=1, zorder=2)


def _finish(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)


def history(trials: Sequence[TrialRecord], heading: Heading) -> Figure:
    """Every trial's score in the order of their numbers, and the best complete one so far."""
    figure, axes = _axes(WIDE)
    for state in ("complete", "stopped"):
        points = [
            (float(t.number), score)
            for t in trials
            if t.state == state and (score := finite_score(t, heading.metric)) is not None
        ]
        _scatter(axes, points, edge=COLORS[state], face=COLORS[state], label=state)
    failed = [trial.number for trial in trials if trial.state == "failed"]
    for index, number in enumerate(failed):
        axes.axvline(number, color=COLORS["failed"], alpha=0.5, linewidth=1, label="failed" if index == 0 else None)
    complete = sorted(heading.objectives.ranked(trials), key=lambda trial: trial.number)
    if complete:
        better = np.maximum if heading.mode == "max" else np.minimum
        scores = [trial.last[heading.metric] for trial in complete]
        numbers = [trial.number for trial in complete]
        axes.step([*numbers, len(trials)], [*(so_far := better.accumulate(scores)), so_far[-1]], where="post",
                  color="#333333", linewidth=1.2, label="best so far")  # fmt: skip
    _finish(axes, "trial", heading.metric)
    return figure


def curves(trials: Sequence[TrialRecord], heading: Heading, rungs: Sequence[int]) -> Figure:
    """Validation and train accuracy over epochs, a line per trial; ASHA's rungs as vertical lines."""
    figure = Figure(figsize=WIDE, layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("train_accuracy", heading.metric), strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
        seen: set[str] = set()
        for trial in sorted(trials, key=lambda trial: trial.state == "complete"):
            points = [(e["epoch"], e[name]) for e in trial.epochs if name in e and math.isfinite(e[name])]
            if points:
                label = trial.state if trial.state not in seen else None
                seen.add(trial.state)
                axes.plot(*zip(*points, strict=True), color=COLORS[trial.state], linewidth=0.9, alpha=0.6, label=label,
                          marker="o" if len(points) == 1 else None, markersize=3)  # fmt: skip
        for index, rung in enumerate(rungs):
            axes.axvline(rung, color="#777777", linestyle=":", linewidth=1, label="rung" if index == 0 else None)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _finish(axes, "epoch", name)
    return figure


def front(trials: Sequence[TrialRecord], heading: Heading) -> Figure:
    """The first metric against each other one: complete trials, those outside the limits crossed, the Pareto front."""
    by = heading.objectives
    chosen, others = by.front(trials), by.metrics[1:]
    complete = [trial for trial in trials if trial.state == "complete" and len(by.scores(trial)) == len(by.metrics)]
    figure = Figure(figsize=(max(SMALL[0] * len(others), SMALL[0]), WIDE[1]), layout="constrained")
    for axes, other in zip(figure.subplots(1, len(others), squeeze=False).flat, others, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
        for is_outside, marker, label in ((False, "o", "complete"), (True, "x", "infeasible")):
            shown = [t.last for t in complete if (by.broken(t.last) is not None) == is_outside]
            color = COLORS["failed" if is_outside else "complete"]
            if shown:
                axes.plot([m[other] for m in shown], [m[by.metric] for m in shown], marker, color=color, label=label,
                          alpha=0.7, markersize=5)  # fmt: skip
        points = sorted((t.last[other], t.last[by.metric], t.number) for t in chosen)
        axes.plot([x for x, *_ in points], [y for _, y, _ in points], "-o", color="#333333", linewidth=1.2,
                  markerfacecolor="none", markersize=8, label="Pareto front")  # fmt: skip
        for x, y, trial in points:
            axes.annotate(str(trial), (x, y), fontsize=7, xytext=(4, 4), textcoords="offset points")
        values = [t.last[other] for t in complete]
        if values and min(values) > 0 and max(values) > 10 * min(values):
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
        _finish(axes, other, by.metric)
    return figure


def importance(shares: Mapping[str, float]) -> Figure:
    figure, axes = _axes((SMALL[0], 0.8 + 0.35 * len(shares)))
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names], color="#4a6fa5")
    axes.set_xlim(0, 1)
    _finish(axes, "share of the variance of scores", "")
    return figure


def parallel(trials: Sequence[TrialRecord], heading: Heading, names: Sequence[str]) -> Figure:
    """A line per complete trial through its params to its score; the darker, the better."""
    figure = Figure(figsize=(max(WIDE[0], 1.3 * (len(names) + 1)), WIDE[1]), layout="constrained")
    axes = figure.subplots()
    shown = list(reversed(heading.objectives.ranked(trials)))
    columns = [_column([trial.varying.get(name) for trial in shown]) for name in names]
    columns.append(_column([trial.last[heading.metric] for trial in shown]))
    shades = colormaps["viridis_r"](np.linspace(0, 1, max(len(shown), 2)))
    for row, shade in zip(range(len(shown)), shades, strict=False):
        axes.plot([column.heights[row] for column in columns], color=shade, linewidth=1.1, alpha=0.8)
    for x, (name, column) in enumerate(zip([*names, heading.metric], columns, strict=True)):
        axes.axvline(x, color="#555555", linewidth=0.8)
        for height, text in column.ticks:
            axes.annotate(text, (x, height), fontsize=7, xytext=(3, 0), textcoords="offset points", va="center")
        axes.annotate(name, (x, 1.06), ha="center", fontsize=8, annotation_clip=False)
    axes.set_ylim(-0.05, 1.15)
    axes.set_xlim(-0.1, len(columns) - 0.75)
    axes.axis("off")
    return figure


class _Column:
    """One axis of parallel coordinates: heights in [0, 1] (NaN where the param is absent) and its tick labels."""

    def __init__(self, heights: list[float], ticks: list[tuple[float, str]]) -> None:
        self.heights, self.ticks = heights, ticks


def _column(values: Sequence[Any]) -> _Column:
    place, labels = _places([value for value in values if value is not None])
    at = [math.nan if value is None else float(place(value)) for value in values]
    known = [height for height in at if math.isfinite(height)] or [0.0]
    low, high = min(known), max(known)
    width = (high - low) or 1.0
    texts = enumerate(labels) if labels is not None else [(value, brief(value)) for value in sorted({low, high})]
    return _Column([(height - low) / width for height in at], [((value - low) / width, text) for value, text in texts])


def confusion(confusion_GG: np.ndarray, genres: Sequence[str]) -> Figure:
    """Counts of tracks: rows the true genres, columns what was heard; shaded by the share of the row."""
    side = min(2.4 + 0.42 * len(genres), 12)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    share_GG = confusion_GG / np.maximum(confusion_GG.sum(axis=1, keepdims=True), 1)
    axes.imshow(share_GG, cmap="Blues", vmin=0, vmax=1)
    if len(genres) <= MAX_GENRE_LABELS:
        axes.set_xticks(range(len(genres)), genres, rotation=45, ha="right")
        axes.set_yticks(range(len(genres)), genres)
        for row, column in np.argwhere(confusion_GG > 0):
            color = "white" if share_GG[row, column] > 0.5 else "black"
            axes.text(column, row, str(confusion_GG[row, column]), ha="center", va="center", color=color, fontsize=8)
    axes.set_xlabel("heard as")
    axes.set_ylabel("is")
    return figure


def pictures(shown: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """Small spectrograms with a title each, low frequencies at the bottom."""
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(WIDE[0], 1.75 * rows), layout="constrained")
    for axes, item in zip(
        figure.subplots(rows, columns, squeeze=False).flat, [*shown, *[None] * columns], strict=False
    ):
        axes.axis("off")
        if item is not None:
            axes.imshow(item[1], origin="lower", aspect="auto", cmap="magma")
            axes.set_title(item[0], fontsize=7)
    return figure


def intervals(rows: Sequence[tuple[str, Interval, Sequence[float]]], label: str) -> Figure:
    """A line per config: each training's figure, their mean and its interval."""
    named = [(textwrap.fill(name, NAME_WIDTH), interval, values) for name, interval, values in rows]
    lines = max(name.count("\n") for name, _, _ in named)
    figure, axes = _axes((WIDE[0], 1.0 + (0.45 + 0.15 * lines) * len(rows)))
    for height, (name, interval, values) in enumerate(reversed(named)):
        axes.plot(values, [height] * len(values), "o", color="#4a6fa5", alpha=0.5, markersize=4)
        axes.plot([interval.mean], [height], "D", color="#222222", markersize=5)
        if interval.is_known:
            axes.plot([interval.low, interval.high], [height, height], color="#222222", linewidth=1.5)
        axes.annotate(name, (0, height), xytext=(-6, 0), textcoords="offset points", ha="right", va="center",
                      xycoords=("axes fraction", "data"), fontsize=8)  # fmt: skip
    axes.set_yticks([])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    _finish(axes, label, "")
    return figure
