"""What a reader sees in the plots: labels that do not touch, a legend that is no data, choices in the file's order.

Each test asks the drawn figure for the boxes of its parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from small_study import ended, study_header

from mgc.plots import draw_curves
from mgc.training.training import Scores
from search.plots import plots
from search.plots.parallel import MOST_PARAMS, parallel
from search.record.header import StudyHeader
from search.record.record import Record
from search.record.trial import Proposal, TrialRecord

WIDTHS = [[128, 64, 32, 16, 8], [16, 32, 64, 128, 64], [32, 64, 128, 256, 128], [64, 128, 256, 512, 256]]
DOMAINS: Mapping[str, Any] = {
    "lr": {"loguniform": [1e-4, 1e-2]},
    "weight_decay": {"loguniform": [3e-4, 8e-4]},
    "n_fft": {"uniform": [100_000, 140_000]},
    "channels": {"choice": WIDTHS},
    "batch_size": {"choice": [64, 16, 32]},
    "activation": {"choice": ["relu", "elu", "gelu", "silu", "leaky_relu"]},
    "clip_seconds": {"uniform": [1, 30]},
    "label_smoothing": {"uniform": [0, 1]},
    "gru_dropout": {"uniform": [0, 1]},
}


def value(domain: Mapping[str, Any], rng: np.random.Generator) -> Any:
    if "choice" in domain:
        return domain["choice"][rng.integers(len(domain["choice"]))]
    [(low, high)] = domain.values()
    return float(rng.uniform(low, high))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sequence[TrialRecord], StudyHeader]:
    """60 trials of nine params and two metrics, drawn by a fixed seed: each third one is stopped at a rung."""
    header = study_header(
        canonical={"params": {"model": "se_cnn", **DOMAINS}}, metric=["val_accuracy", "num_weights"],
        mode=["max", "min"], max_epochs=9, rungs=[1, 3], trials=60,
    )  # fmt: skip
    record = Record.create(tmp_path_factory.mktemp("plots") / "many-001", header)
    rng = np.random.default_rng(0)
    for number in range(60):
        params = {name: value(domain, rng) for name, domain in DOMAINS.items()}
        record.start(
            Proposal(
                params=params, varying=params, labels={}, distributions={}, seed=0, network=f"n{number // 2}", repeat=0
            )
        )
        is_stopped = number % 3 == 0
        weights = float(rng.integers(90_000, 160_000))
        for epoch in range(1, 4 if is_stopped else 10):
            scores = {"val_accuracy": rng.uniform(0.2, 0.9), "train_accuracy": rng.uniform(0.2, 0.9)}
            record.report(number, {"epoch": epoch, "num_weights": weights, **scores})
        values = [record.trial(number).last[name] for name in ("val_accuracy", "num_weights")]
        record.end(number, ended("stopped" if is_stopped else "complete"), values=values)
    return record.trials(), header


Study = tuple[Sequence[TrialRecord], StudyHeader]


@pytest.fixture(scope="module")
def figures(study: Study) -> Mapping[str, Figure]:
    """All plots of the study, laid out, by name."""
    drawn = dict(_figures(*study))
    for figure in drawn.values():
        figure.draw_without_rendering()
    return drawn


def _figures(trials: Sequence[TrialRecord], header: StudyHeader) -> Iterator[tuple[str, Figure]]:
    for name, domain in DOMAINS.items():
        yield name, plots.against_param(name, trials, header, log="loguniform" in domain)
    yield "history", plots.history(trials, header)
    yield "curves", plots.curves(trials, header, header.rungs)
    yield "front", plots.front(trials, header)
    yield "parallel", parallel(trials, header, list(DOMAINS))
    yield "pictures", plots.pictures([("blues/a.wav\nblues, predicted jazz (0.9)", np.zeros((8, 8), np.uint8))])
    yield "confusion", plots.confusion(np.ones((10, 10), int), [f"{letter}-hop and soul" for letter in "abcdefghij"])


def in_view(axes: Axes, axis: str) -> list[Any]:
    """The boxes of the labels of ticks that the axis shows."""
    low, high = sorted(getattr(axes, f"get_{axis}lim")())
    ticks = zip(getattr(axes, f"get_{axis}ticks")(), getattr(axes, f"get_{axis}ticklabels")(), strict=True)
    return [label.get_window_extent() for at, label in ticks if low <= at <= high and label.get_text()]


def test_no_two_labels_of_an_axis_touch(figures: Mapping[str, Figure]) -> None:
    for name, figure in figures.items():
        for axes in figure.axes:
            for axis in "xy" if axes.axison else "":
                boxes = in_view(axes, axis)
                assert len(boxes) >= 2, (name, axis)
                assert not any(a.overlaps(b) for a, b in combinations(boxes, 2)), (name, axis)


def test_a_label_of_several_lines_has_them(figures: Mapping[str, Figure]) -> None:
    texts = {text.get_text() for figure in figures.values() for text in figure.findobj(Text)}
    assert {
        "val_accuracy\nsplit artist",
        "blues/a.wav\nblues, predicted jazz (0.9)",
        "[32, 64, 128,\n256, 128]",
    } <= texts
    assert not [text for text in texts if "\\" in text]


def test_a_legend_lies_outside_of_the_data(figures: Mapping[str, Figure]) -> None:
    with_legend = []
    for name, figure in figures.items():
        assert all(axes.get_legend() is None for axes in figure.axes), name
        for legend in figure.legends:
            with_legend.append(name)
            box = legend.get_window_extent()
            assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes), name
            entries = [text.get_text() for text in legend.get_texts()]
            assert len(set(entries)) == len(entries)
    assert {*DOMAINS, "history", "curves", "front"} == set(with_legend)


def test_choices_stand_in_the_order_of_the_file(study: Study) -> None:
    trials, header = study
    for name in ("channels", "batch_size", "activation"):
        axes = plots.against_param(name, trials, header).axes[0]
        shown = [label.get_text().replace("\n", " ") for label in axes.get_xticklabels()]
        assert shown == [str(choice) for choice in DOMAINS[name]["choice"]]


def test_the_pareto_front_is_a_staircase_that_promises_nothing(study: Study) -> None:
    """At any cost the stairs show the best score that some trial had at that cost or less."""
    trials, header = study
    axes = plots.front(trials, header).axes[0]
    stairs = next(line for line in axes.lines if line.get_drawstyle() == "steps-post")
    points = [(t.last["num_weights"], t.last["val_accuracy"]) for t in trials if t.state == "complete"]
    x, y = np.array(stairs.get_xdata()), np.array(stairs.get_ydata())
    for cost in np.linspace(x.min(), x.max(), 50):
        reached = max(score for weights, score in points if weights <= cost)
        assert y[np.searchsorted(x, cost, side="right") - 1] == reached


def test_no_line_of_the_parallel_coordinates_runs_through_a_label(study: Study) -> None:
    trials, header = study
    figure = parallel(trials, header, list(DOMAINS))
    [axes] = figure.axes
    figure.draw_without_rendering()
    over_data = [text for text in axes.texts if text.xy[1] <= 1]
    assert len(over_data) > MOST_PARAMS
    for text in over_data:
        assert text.get_bbox_patch().get_facecolor() == (1, 1, 1, 1)
        assert text.get_zorder() > max(line.get_zorder() for line in axes.lines)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    names = [text.get_text() for text in axes.texts if text.xy[1] > 1]
    assert names == [*list(DOMAINS)[:MOST_PARAMS], "val_accuracy"]


def test_the_curves_of_one_training_have_their_legends_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr("mgc.plots._saved", lambda figure, path: figures.append(figure) or path)
    zeros = dict.fromkeys(Scores.__annotations__, 0.5)
    draw_curves([Scores(**{**zeros, "epoch": epoch}) for epoch in (1, 2, 3)], tmp_path / "x.png", title="t")
    [figure] = figures
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert not axes.get_legend().get_window_extent().overlaps(axes.get_window_extent())
