"""The report: a page from every study that can be, whatever became of its trials, and files that go with it."""

import csv
import re

import numpy as np
import pytest
from small_study import HEADER, add_trial, new_record

from mgc.metrics import Predictions
from search.answer import answer
from search.journal import RecordError
from search.predictions import VALIDATION, keep, kept
from search.report import main, write_report

CANONICAL = {
    "data": {"dataset": "synthetic", "split": "artist", "fold": None},
    "params": {"model": "se_cnn", "r": {"uniform": [1.0, 64.0]}},
}


@pytest.fixture
def record(tmp_path):
    return new_record(tmp_path, canonical=CANONICAL, file="spaces/se_ratio.yaml", rungs=[1])


def page_of(record):
    folder = write_report(record.folder)
    return (folder / "report.html").read_text(), folder


def said(num_right, num_tracks=20):
    """Predictions of two genres, so many of them right, one clip a track, the more confident the higher the number."""
    label_M = np.arange(num_tracks) % 2
    heard_M = np.where(np.arange(num_tracks) < num_right, label_M, 1 - label_M)
    sure_M = 0.6 + 0.01 * np.arange(num_tracks)
    probabilities_MG = np.where(np.eye(2)[heard_M] > 0, sure_M[:, None], 1 - sure_M[:, None])
    return Predictions(
        genres=("high", "low"),
        track_ids=tuple(f"t{number}" for number in range(num_tracks)),
        label_M=label_M,
        track_N=np.arange(num_tracks),
        probabilities_NG=probabilities_MG,
        loss=0.5,
    )


def full(record):
    """Five trials of three networks, and what the best said."""
    for r, scores, state in (
        (8.0, [0.5, 0.6, 0.7], "complete"),
        (31.0, [0.5, 0.6, 0.8], "complete"),
        (32.0, [0.5, 0.6, 0.7], "complete"),
        (2.0, [0.3], "stopped"),
    ):
        add_trial(record, state, scores, r=r)
    add_trial(record, "failed", r=64.0, reason="TrainingError: the training diverged")
    keep(record.folder / VALIDATION, said(16), {"t19": np.zeros((8, 16), np.uint8)})


def test_predictions_come_back_as_they_were_kept(tmp_path):
    before = said(16)
    keep(tmp_path / "a" / "b.npz", before, {"x/y": np.ones((2, 3), np.uint8)})
    after, pictures = kept(tmp_path / "a" / "b.npz")
    assert (after.genres, after.track_ids, after.loss) == (before.genres, before.track_ids, before.loss)
    assert after.probabilities_NG == pytest.approx(before.probabilities_NG)
    assert pictures["x/y"].shape == (2, 3)


def test_the_page_answers_with_split_interval_and_caution(record):
    full(record)
    text, _ = page_of(record)
    assert "The best of 5 trials is r = 31 (trial 1): val_accuracy 0.800 [0." in text
    assert "synthetic, split artist" in text
    assert '<p class="red">synthetic music: no result about real genres</p>' in text
    assert "no difference that this search could show at 95 %" in text
    assert "The test part has not been opened" in text


def test_a_leaky_split_is_said_in_red(tmp_path):
    record = new_record(tmp_path, canonical=CANONICAL, file="x.yaml", split="clip (leaky)", is_synthetic=False)
    full(record)
    text, _ = page_of(record)
    assert re.search(r'<p class="red">split clip \(leaky\)', text)


def test_a_score_far_below_the_interval_is_told_apart(record):
    add_trial(record, "complete", [0.8], r=31.0)
    add_trial(record, "complete", [0.2], r=8.0)
    keep(record.folder / VALIDATION, said(16))
    assert "lie below that interval" in answer(record).text


def test_pictures_and_tables_are_files_too(record):
    full(record)
    _, folder = page_of(record)
    names = {path.name for path in folder.iterdir()}
    assert {"param-r.png", "history.png", "curves.png", "confusion.png", "parallel.png", "wrong.png"} < names
    with (folder / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["complete"] * 3 + ["stopped", "failed"]
    with (folder / "networks.csv").open(newline="") as file:
        networks = list(csv.DictReader(file))
    assert (networks[0]["r"], networks[0]["trainings"], float(networks[0]["deviation"])) == (
        "31 to 32", "2", pytest.approx(0.0707, abs=1e-3),
    )  # fmt: skip


@pytest.mark.slow
def test_the_most_confidently_wrong_come_first(record):
    full(record)
    _, folder = page_of(record)
    with (folder / "wrong.csv").open(newline="") as file:
        assert [row["track"] for row in csv.DictReader(file)] == ["t19", "t18", "t17", "t16"]


def test_what_stopping_saved_is_counted(record):
    full(record)
    text, _ = page_of(record)
    assert "for 10 of 12 epochs: early stopping saved 2 epochs (17%), about 2 s" in text


def test_a_rows_command_gives_its_params_and_seed(record):
    full(record)
    _, folder = page_of(record)
    with (folder / "trials.csv").open(newline="") as file:
        command = list(csv.DictReader(file))[3]["command"]
    for part in ("python -m search.run spaces/se_ratio.yaml", "params.r=2.0", "params.seed=0", "budget.epochs=1"):
        assert part in command


def test_published_figures_stand_beside_ours_with_both_splits(tmp_path):
    figure = {"table": "Table 2", "params": {"r": 31.43}, "metric": "test_accuracy", "value": 0.924, "dataset": "gtzan"}
    record = new_record(tmp_path, canonical=CANONICAL, file="x.yaml", published=[figure])
    full(record)
    _, folder = page_of(record)
    with (folder / "published.csv").open(newline="") as file:
        row = next(csv.reader(list(file)[1:]))
    assert row == ["", "Table 2", "r = 31.43", "test_accuracy 0.924", "gtzan, split not named", "0.750 (2 trials)",
                   "synthetic, artist"]  # fmt: skip


@pytest.mark.parametrize(
    ("trials", "sentence"),
    [
        ([], "No trial of 0 used its whole budget"),
        ([("complete", [0.5])], "the only network that was trained to the end"),
        ([("failed", None)] * 3, "No trial of 3 used its whole budget, so there is no answer: out of memory"),
        ([("complete", [float("nan")])] * 2, "None of 2 complete trials has a score that is a number"),
        ([("complete", [0.5]), ("complete", [float("nan")])], "the only network"),
        ([("stopped", [0.5])], "No trial of 1 used its whole budget"),
        ([("running", [0.5])], "No trial of 1 used its whole budget"),
        ([("complete", [0.5])] * 2, "the only network"),
    ],
)
def test_every_study_has_a_page(record, trials, sentence):
    for state, scores in trials:
        add_trial(record, state, scores, reason="out of memory" if state == "failed" else None)
    text, _ = page_of(record)
    assert sentence in text
    assert "Could not be made" not in text


def test_text_from_outside_is_no_markup(tmp_path):
    record = new_record(tmp_path, canonical=CANONICAL, file="x.yaml", description="<script>alert(1)</script>")
    text, _ = page_of(record)
    assert "<script" not in text


def test_the_page_refers_to_nothing_outside(record):
    full(record)
    text, _ = page_of(record)
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    assert "url(" not in text and "<script" not in text


@pytest.mark.slow
def test_the_command_says_the_answer_and_where_the_page_is(record, capsys):
    full(record)
    assert main([record.name, "--out", str(record.folder.parent)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("The best of 5 trials")
    assert printed.rstrip().endswith("report.html")


def test_a_study_that_is_not_there_is_one_line(tmp_path, capsys):
    with pytest.raises(RecordError):
        write_report(tmp_path / "none")
    assert main(["none", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_header_of_an_older_study_is_enough(tmp_path):
    record = new_record(tmp_path)
    assert "canonical" not in HEADER
    full(record)
    text, _ = page_of(record)
    assert "Could not be made" not in text
