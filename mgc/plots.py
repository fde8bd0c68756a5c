"""Pictures of one training and one song, as PNG files. Figures without pyplot: nothing global, no display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgc.metrics import Ints
from mgc.saved import Heard
from mgc.train import Scores

MOST_GENRES, LEAST_SHARE = 10, 0.005
"""Genres that a song's picture shows by name, and their least probability; the others are summed up."""


def draw_curves(scores: Sequence[Scores], path: Path, *, title: str) -> Path:
    """Loss and accuracy of train and validation by epoch."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title, fontsize=10)
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
        axes.legend(fontsize=8)
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
    axes.set_xticks(range(len(genres)), genres, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(genres)), genres, fontsize=8)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(title, fontsize=9)
    return _saved(figure, path)


def draw_song(heard: Heard, path: Path, *, title: str, clip_seconds: float) -> Path:
    """Probabilities along a song, clip by clip, as a stack that sums to 1; the most probable genres below."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    shown = [genre for genre, share in heard.probabilities.items() if share >= LEAST_SHARE][:MOST_GENRES]
    middle_s_N = heard.start_s_N + clip_seconds / 2
    columns = [heard.probabilities_NG[:, heard.genres.index(genre)] for genre in shown]
    labels = [f"{genre} {heard.probabilities[genre]:.2f}" for genre in shown]
    if len(heard.genres) > len(shown):
        columns.append(1 - np.sum(columns, axis=0))
        labels.append("others")
    _stack(axes, middle_s_N, columns, labels, clip_seconds)
    axes.set(xlabel="s", ylabel="probability", ylim=(0, 1))
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return _saved(figure, path)


def _stack(
    axes: Axes, middle_s_N: np.ndarray, columns: Sequence[np.ndarray], labels: list[str], width_s: float
) -> None:
    """Areas over each other; a song of one clip is a single bar."""
    if len(middle_s_N) > 1:
        axes.stackplot(middle_s_N, columns, labels=labels)
        return
    bottom = 0.0
    for column, label in zip(columns, labels, strict=True):
        axes.bar(middle_s_N, column, width_s, bottom=bottom, label=label)
        bottom += float(column[0])


def _saved(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, format="png")
    return path
