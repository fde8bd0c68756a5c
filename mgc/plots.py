"""Pictures of one training and of one song, as PNG files. They are drawn without pyplot, which has global state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgc.saved import SongPrediction
from mgc.training.metrics import Ints
from mgc.training.training import Scores
from mgc.words.texts import missing_glyphs, plotted

MOST_GENRES, LEAST_SHARE = 10, 0.005
"""A song's picture names at most so many genres, of at least this probability; it shows the sum of the others."""


def draw_curves(scores: Sequence[Scores], path: Path, *, title: str) -> Path:
    """Loss and accuracy of train and validation by epoch."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(plotted(title), fontsize=10)
    loss, accuracy = figure.subplots(1, 2)
    epochs = [each.epoch for each in scores]
    for axes, what, lines in (
        (loss, "loss", {"train": [s.train_loss for s in scores], "validation": [s.val_loss for s in scores]}),
        (
            accuracy,
            "accuracy",
            {
                "train, by clip": [s.train_accuracy for s in scores],
                "validation, by clip": [s.val_clip_accuracy for s in scores],
                "validation, by track": [s.val_accuracy for s in scores],
            },
        ),
    ):
        for label, values in lines.items():
            axes.plot(epochs, values, marker="." if len(epochs) < 40 else "", label=label)
        axes.set(xlabel="epoch", ylabel=what)
        axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)  # no line under it
        axes.grid(alpha=0.3)
    accuracy.set_ylim(0, 1)
    return _saved(figure, path)


def draw_confusion(confusion_GG: Ints, genres: Sequence[str], path: Path, *, title: str) -> Path:
    """Counts of tracks: rows are the true genres, columns the predicted ones."""
    side = 2 + 0.42 * len(genres)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares_GG = confusion_GG / np.maximum(confusion_GG.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares_GG, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(confusion_GG), strict=True):
        color = "white" if shares_GG[row, column] > 0.6 else "black"
        axes.text(column, row, str(confusion_GG[row, column]), ha="center", va="center", fontsize=8, color=color)
    names = [plotted(genre) for genre in genres]
    axes.set_xticks(range(len(genres)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(genres)), names, fontsize=8)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(plotted(title), fontsize=9)
    return _saved(figure, path)


def draw_song(song: SongPrediction, path: Path, *, title: str, clip_seconds: float) -> Path:
    """Probabilities along a song, clip by clip, as a stack that sums to 1; the most probable genres below."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    shown = [genre for genre, share in song.probabilities.items() if share >= LEAST_SHARE][:MOST_GENRES]
    middle_s_N = song.start_s_N + clip_seconds / 2
    columns = [song.probabilities_NG[:, song.genres.index(genre)] for genre in shown]
    labels = [f"{plotted(genre)} {song.probabilities[genre]:.2f}" for genre in shown]
    if len(song.genres) > len(shown):
        columns.append(1 - np.sum(columns, axis=0))
        labels.append("others")
    _stack(axes, middle_s_N, columns, labels, clip_seconds)
    axes.set(xlabel="s", ylabel="probability", ylim=(0, 1))
    axes.set_title(plotted(title), fontsize=10)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return _saved(figure, path)


def _stack(
    axes: Axes, middle_s_N: np.ndarray, columns: Sequence[np.ndarray], labels: list[str], width_s: float
) -> None:
    """Draw the shares as areas on top of each other; a song of one clip becomes one bar."""
    if len(middle_s_N) > 1:
        axes.stackplot(middle_s_N, columns, labels=labels)
        return
    bottom = 0.0
    for column, label in zip(columns, labels, strict=True):
        axes.bar(middle_s_N, column, width_s, bottom=bottom, label=label)
        bottom += float(column[0])


def _saved(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with missing_glyphs():
        figure.savefig(path, dpi=100, format="png")
    return path
