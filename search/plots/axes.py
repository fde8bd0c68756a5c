"""What all plots of a report have in common: sizes and fonts, the legend, the ticks. Knows no trial.

A legend stands outside of the axes, where it cannot be taken for data, and no two labels of an axis touch.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mgc.words.texts import plotted

WIDE, SMALL = (6.4, 3.7), (4.6, 3.7)
"""Inches. A figure is so small beside its letters that they can be read on a phone too."""
LETTERS = 9
_LETTER_IN = 0.6 * LETTERS / 72
"""About how wide a letter is, in inches."""
_TALLEST = 3
"""Lines that the label of a choice may have."""


def new_figure(size: tuple[float, float]) -> Figure:
    return Figure(figsize=size, layout="constrained")


def one_axes(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """A figure with one frame for data."""
    figure = new_figure(size)
    axes = figure.subplots()
    prepare(axes)
    return figure, axes


def prepare(axes: Axes) -> None:
    """A frame at the left and below only, and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.tick_params(labelsize=LETTERS)


def name_axes(axes: Axes, x: str, *y: str) -> None:
    """Name the x axis, and the y axis in one line or several."""
    axes.set_xlabel(plotted(x), fontsize=LETTERS)
    axes.set_ylabel(lines(*y), fontsize=LETTERS)


def lines(*texts: str) -> str:
    """Texts as lines of one label; each alone is kept from breaking lines of its own."""
    return "\n".join(map(plotted, texts))


def legend(figure: Figure, *, columns: int = 4) -> None:
    """One legend for all axes of the figure, above them. It has each label once, and is left out if there is none."""
    handles = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=columns, frameon=False,
                      fontsize=LETTERS - 1)  # fmt: skip


def number_ticks(axes: Axes, *, log: bool = False) -> None:
    """Short labels on the x axis, which is logarithmic if `log`: then at 1, 2 and 5, or at powers of ten alone."""
    if log:
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    """A number as the label of a tick.

    >>> short(120_000), short(2_500_000), short(9000), short(0.001), short(0.00002)
    ('120k', '2.5M', '9000', '0.001', '2e-05')
    """
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= max(size, 1e4):
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def choice_ticks(axes: Axes, labels: Sequence[str]) -> None:
    """A tick at 0, 1, ... for each choice of a WIDE figure. Its label is broken into lines, or stands upright."""
    wide = int(WIDE[0] * 0.8 / max(len(labels), 1) / _LETTER_IN)
    broken = [textwrap.wrap(label, max(wide, 1), break_long_words=False) for label in labels]
    if all(len(each) <= _TALLEST and all(len(line) <= wide for line in each) for each in broken):
        axes.set_xticks(range(len(labels)), ["\n".join(each) for each in broken])
    else:
        shown = [textwrap.shorten(label, 30, placeholder="...") for label in labels]
        axes.set_xticks(range(len(labels)), shown, rotation=90)
    axes.set_xlim(-0.5, len(labels) - 0.5)


def without_collisions(figure: Figure, texts: Iterable[Text]) -> None:
    """Remove each text that would stand on an earlier one."""
    figure.draw_without_rendering()
    kept: list[Text] = []
    for text in texts:
        place = text.get_window_extent()
        if any(place.overlaps(other.get_window_extent()) for other in kept):
            text.remove()
        else:
            kept.append(text)
