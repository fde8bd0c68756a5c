"""The report: a page from every study that can be, whatever became of its trials, and files that go with it."""

import csv
import errno
import os
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import unescape

import numpy as np
import pytest
from matplotlib.cbook import is_math_text
from small_study import HEADER, add_trial, new_record

from mgc.training.metrics import Predictions
from search.plots import plots
from search.record.files import PAGE, VALIDATION
from search.record.journal import RecordError
from search.record.record import Record
from search.report import report
from search.report.__main__ import main
from search.report.material import Material
from search.report.page import Page, Picture, Section, Table
from search.report.report import write_report
from search.report.search_sections import course
from search.results.answer import search_answer
from search.results.predictions import read_predictions, write_predictions
from search.space.document import read_file

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


OURS = re.compile(
    r"<script>.*</script>|<script type=\"application/json\" id=\"data\">[^<]*</script>|<style>.*?</style>", re.S
)
"""The script, the data and the style of a page: everything in it that is no HTML."""


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
    write_predictions(record.folder / VALIDATION, said(16), {"t19": np.zeros((8, 16), np.uint8)})


def test_predictions_come_back_as_they_were_kept(tmp_path):
    before = said(16)
    write_predictions(tmp_path / "a" / "b.npz", before, {"x/y": np.ones((2, 3), np.uint8)})
    after, pictures = read_predictions(tmp_path / "a" / "b.npz")
    assert (after.genres, after.track_ids, after.loss) == (before.genres, before.track_ids, before.loss)
    assert after.probabilities_NG == pytest.approx(before.probabilities_NG)
    assert pictures["x/y"].shape == (2, 3)


@pytest.mark.parametrize("harm", ["cut", "flip", "empty"])
def test_damaged_predictions_are_one_line(record, harm, capsys):
    full(record)
    path = record.folder / VALIDATION
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes({"cut": content[: len(content) // 2], "flip": content, "empty": b""}[harm])
    assert main([record.name, "--out", str(record.folder.parent)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {path}: ") and len(printed.splitlines()) == 1


def test_the_page_answers_with_split_interval_and_caution(record):
    full(record)
    text, _ = page_of(record)
    assert "The best of 5 trials is r = 31 (trial 1): val_accuracy 0.800 [0." in text
    assert "synthetic, split artist" in text
    assert '<p class="red">synthetic music: no result about real genres</p>' in text
    assert "this search shows no difference at 95 %" in text
    assert "The test part has not been opened" in text


def test_a_leaky_split_is_said_in_red(tmp_path):
    record = new_record(tmp_path, canonical=CANONICAL, file="x.yaml", split="clip (leaky)", is_synthetic=False)
    full(record)
    text, _ = page_of(record)
    assert re.search(r'<p class="red">split clip \(leaky\)', text)


def test_a_score_far_below_the_interval_is_told_apart(record):
    add_trial(record, "complete", [0.8], r=31.0)
    add_trial(record, "complete", [0.2], r=8.0)
    write_predictions(record.folder / VALIDATION, said(16))
    assert "The other network trained to the end lies below that interval" in search_answer(record).text


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


def test_names_with_dollars_are_drawn_to_the_letter(record):
    full(record)
    genres = (r"$\frac$", "a$b$c")
    heard = replace(said(16), genres=genres, track_ids=tuple(f"$x_{{$ {number}" for number in range(20)))
    write_predictions(record.folder / VALIDATION, heard, {"$x_{$ 19": np.zeros((8, 16), np.uint8)})
    text, _ = page_of(record)
    assert "Could not be made" not in text
    figure = plots.confusion(np.eye(2, dtype=int), genres)
    plots.png(figure)
    drawn = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [text.replace(r"\$", "$") for text in drawn] == list(genres)
    assert not any(is_math_text(text) for text in drawn)


def test_the_best_config_can_be_copied_from_the_page_into_a_space_file(record, tmp_path):
    add_trial(record, "complete", [0.6], r=31.428371239, params={"channels": [32, 64], "label": "<b> & 'x'"})
    text, _ = page_of(record)
    (tmp_path / "copied.yaml").write_text(unescape(re.search(r"<pre>(.*?)</pre>", text, re.S)[1]))
    assert read_file(tmp_path / "copied.yaml").values == {"params": dict(record.trial(0).params)}


def test_what_stopping_saved_is_counted(record):
    full(record)
    text, _ = page_of(record)
    assert "for 10 of 12 epochs: early stopping saved 2 epochs (17 %), about 2 s" in text


def test_the_course_says_how_long_params_were_chosen_and_what_the_first_rung_told(record, monkeypatch):
    for plot in ("history", "curves", "png"):
        monkeypatch.setattr(plots, plot, lambda *_: b"")
    for first in range(8):
        number = add_trial(record, scores=[0.3 + first / 100, 0.5, 0.6 + first / 100], r=2.0 + first)
        record.fact(number, "proposal_seconds", 0.25)
    [section] = course(Material(Record.open(record.folder)))
    assert section.remarks[1] == "Choosing params took 2 s in all, 0.2 s at most (trial 0)."
    assert section.remarks[-1] == (
        "The order of trials after epoch 1 agrees with that after 3: rank correlation 1.00 over the 8 trials that "
        "reached it."
    )


def test_a_row_has_what_its_trial_was(record):
    full(record)
    _, folder = page_of(record)
    with (folder / "trials.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[3]
    assert [row[name] for name in ("trial", "state", "epochs", "seed", "params")] == ["3", "stopped", "1", "0", "r = 2"]


@pytest.mark.parametrize(
    ("split", "on"),
    [
        ({"split": "75/25 of the tracks of each genre"}, "gtzan, 75/25 of the tracks of each genre"),
        ({"split": None}, "gtzan, split not named"),
        ({}, "gtzan, split not named"),  # a record from before figures had a split
    ],
)
def test_published_figures_stand_beside_ours_with_both_splits(tmp_path, split, on):
    figure = {"table": "Table 2", "params": {"r": 31.43}, "metric": "test_accuracy", "value": 0.924, "dataset": "gtzan"}
    figure |= split
    record = new_record(tmp_path, canonical=CANONICAL, file="x.yaml", published=[figure])
    full(record)
    _, folder = page_of(record)
    with (folder / "published.csv").open(newline="") as file:
        row = next(csv.reader(list(file)[1:]))
    assert row == ["", "Table 2", "r = 31.43", "test_accuracy 0.924", on, "0.750 (2 trials)", "synthetic, artist"]


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
    hostile = "<script>alert(1)</script> {{ 7 * 7 }} & \"' `<b>`"
    record = new_record(tmp_path, canonical=CANONICAL, file="x.yaml", description=hostile, split=hostile)
    add_trial(record, "failed", r=8.0, reason=hostile)
    text, _ = page_of(record)
    rest, num_ours = OURS.subn("", text)
    assert num_ours == 3
    assert "<script" not in rest and "<b>" not in rest
    assert "{{ 7 * 7 }} &amp; &#34;&#39; <code>&lt;b&gt;</code>" in text


def test_no_part_of_a_page_is_markup():
    hostile = '"><script>alert(1)</script>'
    table = Table(name=hostile, columns=[hostile], rows=[[hostile]] * 2, shown=1)
    picture = Picture(name=hostile, data=b"", text=hostile)
    section = Section(title=hostile, remarks=(hostile,), pictures=(picture,), tables=(table,))
    html = Page(title=hostile, about=hostile, answer=hostile, cautions=(hostile,), sections=(section,)).html()
    assert html.count("&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;") == 12
    assert "<script" not in html
    data = {"name": hostile, "trials": [{hostile: hostile}]}
    rest, num_ours = OURS.subn("", Page(title="", about="", answer="", cautions=(), data=data).html())
    assert num_ours == 3 and "<script" not in rest


def test_the_page_refers_to_nothing_outside(record):
    full(record)
    text, _ = page_of(record)
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", OURS.sub("", text))
    assert "url(" not in text and "@import" not in text


def test_the_policy_allows_the_pages_own_script_and_style_and_no_host(record):
    full(record)
    text, _ = page_of(record)
    allowed = unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])
    script, style = (
        re.search(r"<script>(.*)</script>", text, re.S)[1],
        re.search(r"<style>(.*?)</style>", text, re.S)[1],
    )
    digests = [b64encode(sha256(each.encode()).digest()).decode() for each in (script, style)]
    assert allowed == (
        f"default-src 'none'; script-src 'sha256-{digests[0]}'; style-src 'sha256-{digests[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'self'"
    )


def test_without_a_script_every_chart_has_its_picture(record):
    full(record)
    text, _ = page_of(record)
    still = re.findall(r'<div class="scroll still"><img alt="([^"]*)"', text)
    assert still == ["val_accuracy against r", "scores in the order of trials", "learning curves of all trials",
                     "parallel coordinates of complete trials"]  # fmt: skip


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


def test_a_section_that_cannot_be_made_leaves_the_others_and_its_traceback(record, monkeypatch, caplog):
    full(record)
    monkeypatch.setattr("search.plots.plots.history", lambda trials, header: 1 / 0)
    text, _ = page_of(record)
    log = record.folder / "errors.log"
    assert "<h2>course</h2>\n<p>Could not be made: ZeroDivisionError: division by zero (errors.log" in text
    assert "How to reproduce each trial" in text
    assert f"ZeroDivisionError: division by zero ({log} has the traceback)" in caplog.text
    assert "section course of the report" in log.read_text()
    assert "in course\n" in log.read_text()


def test_a_report_that_cannot_be_written_leaves_the_last_one(record, monkeypatch):
    """The disk is full after any number of the report's files."""
    full(record)
    folder = write_report(record.folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    page, sync = report.report_page(Material(record)), os.fsync
    monkeypatch.setattr(report, "report_page", lambda _: page)
    for room in range(len(before)):
        left = [room]

        def full_disk(handle, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(handle)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full_disk)
            with pytest.raises(OSError, match="No space left"):
                write_report(record.folder)
        assert {path.name for path in folder.iterdir()} == set(before)
        assert (folder / PAGE).read_bytes() == before[PAGE]


def test_plots_that_the_new_report_does_not_have_are_removed(record):
    full(record)
    folder = write_report(record.folder)
    for name in ("old.png", "old.csv", "mine.txt"):
        (folder / name).write_bytes(b"")
    write_report(record.folder)
    assert {"old.png", "old.csv", "mine.txt"} & {path.name for path in folder.iterdir()} == {"mine.txt"}
