"""Parallel coordinates: every complete trial as a line through its params to its score."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgc.words.texts import plotted
from search.plots.axes import WIDE, new_figure, short, without_collisions
from search.plots.places import places
from search.record.header import StudyHeader
from search.record.ranking import ranked
from search.record.trial import TrialRecord

MOST_PARAMS = 7
"""With more params than this their names and values would touch."""
LABEL_WIDTH = 14
"""Characters on one line of a label."""
_PALEST = 0.1
"""Where on the color map the worst trial is: at 0 nobody would see it."""


@dataclass(frozen=True)
class Column:
    """One axis: the height of each trial in [0, 1], NaN where it does not have the param, and the labels."""

    heights: Sequence[float]
    ticks: Sequence[tuple[float, str]]
    """As matplotlib shows them, so with lines of their own."""


def parallel(trials: Sequence[TrialRecord], header: StudyHeader, names: Sequence[str]) -> Figure:
    """A line per complete trial through the first MOST_PARAMS of these params to its score; the darker, the better."""
    figure = new_figure(WIDE)
    axes = figure.subplots()
    shown = list(reversed(ranked(trials, header.objectives)))
    names = names[:MOST_PARAMS]
    columns = [column([trial.varying.get(name) for trial in shown], header, name) for name in names]
    columns.append(column([trial.last[header.metric] for trial in shown], header, header.metric))
    shades = colormaps["viridis_r"](np.linspace(_PALEST, 1, max(len(shown), 2)))
    for row, shade in zip(range(len(shown)), shades, strict=False):
        axes.plot([each.heights[row] for each in columns], color=shade, linewidth=1.1, alpha=0.8, zorder=1)
    for x, (name, each) in enumerate(zip([*names, header.metric], columns, strict=True)):
        _draw_column(axes, x, name, each)
    axes.set(ylim=(-0.05, 1.24), xlim=(-0.5, len(columns) - 0.5))
    axes.axis("off")
    without_collisions(figure, axes.texts)
    return figure


def _draw_column(axes: Axes, x: int, name: str, of: Column) -> None:
    """An axis with its labels on white, so that no line runs through them. Every second name stands higher."""
    axes.plot([x, x], [0, 1], color="#555555", linewidth=0.8, zorder=2)
    axes.annotate(plotted(name), (x, 1.17 if x % 2 else 1.09), ha="center", fontsize=8)
    paper = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none"}
    for height, text in of.ticks:
        axes.annotate(text, (x, height), ha="center", va="center", fontsize=7, bbox=paper, zorder=3)


def column(values: Sequence[Any], header: StudyHeader, name: str) -> Column:
    """The axis of these values, where None is none: choices at even distances, numbers between the ends."""
    place, labels = places([value for value in values if value is not None], header, name)
    at = [math.nan if value is None else float(place(value)) for value in values]
    finite = [height for height in at if math.isfinite(height)] or [0.0]
    low, high = (min(finite), max(finite)) if labels is None else (0.0, len(labels) - 1.0)
    width = (high - low) or 1.0
    wrapped = [textwrap.fill(label, LABEL_WIDTH, break_long_words=False) for label in labels or ()]
    texts = enumerate(wrapped) if labels is not None else [(end, short(float(f"{end:.3g}"))) for end in {low, high}]
    return Column([(height - low) / width for height in at], [((value - low) / width, text) for value, text in texts])
