"""`python -m search.list`: every study of a folder in a line."""

import json

import numpy as np
import pytest
from small_study import add_trial, new_record

from mgc.training.metrics import Predictions
from search.list import main
from search.record.files import VALIDATION
from search.record.journal import locked
from search.record.notes import OPEN
from search.results.predictions import write_predictions


@pytest.fixture
def out(tmp_path):
    finished = new_record(tmp_path, "a-001", trials=1, created="2026-01-03T00:00:00+00:00", split="clip (leaky)")
    add_trial(finished, "complete", [0.75])
    heard = np.array([0, 1, 1, 1])
    predictions = Predictions(
        genres=("high", "low"), track_ids=("1", "2", "3", "4"), label_M=np.array([0, 1, 0, 1]), track_N=np.arange(4),
        probabilities_NG=np.eye(2)[heard], loss=0.5,
    )  # fmt: skip
    write_predictions(finished.folder / VALIDATION, predictions)
    finished.note(OPEN, False)
    stopped = new_record(tmp_path, "b-001", created="2026-01-02T00:00:00+00:00", dataset="gtzan", is_synthetic=False)
    add_trial(stopped, scores=[0.5])
    stopped.note(OPEN, False)
    new_record(tmp_path, "c-001", created="2026-01-01T00:00:00+00:00")
    (tmp_path / "no-study").mkdir()
    return tmp_path


def test_every_study_has_a_line_with_its_data_its_best_and_how_it_stands(out, capsys):
    assert main(["--out", str(out)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if "-001" in line]
    assert lines == [
        "a-001 synthetic clip (leaky) val_accuracy 0.750 [0.250, 1.000] finished 1/1 2026-01-03",
        "b-001 gtzan artist stopped 1/4 2026-01-02",
        "c-001 synthetic artist interrupted 0/4 2026-01-01",
    ]
    with locked(out / "c-001"):
        assert main(["--out", str(out)]) == 0
    assert "c-001 synthetic artist running 0/4" in " ".join(capsys.readouterr().out.split())


def test_the_list_as_json_is_its_last_line(out, capsys):
    assert main(["--out", str(out), "--json"]) == 0
    first, *_ = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (first["study"], first["best"], first["low"], first["high"]) == ("a-001", 0.75, 0.25, 1.0)


def test_a_folder_without_studies_is_said(tmp_path, capsys):
    assert main(["--out", str(tmp_path)]) == 0
    assert capsys.readouterr().err == f"no study in {tmp_path}\n"
