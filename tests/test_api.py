"""What notebooks use: studies as objects, and the mistakes of the command line in one line."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from small_study import add_trial, new_record

from mgc.words.errors import ConfigError
from search import Space, Study, run_study
from search.record.files import JOURNAL
from search.record.journal import locked
from search.record.record import Record
from search.space.document import SpaceError

SPACE = Path(__file__).parents[1] / "spaces" / "se_ratio.yaml"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"trials": 0}, "trials must be >= 1, got 0"),
        ({"trials": -3}, "trials must be >= 1, got -3"),
        ({"trials": 2.5}, "trials must be an integer, got 2.5"),
        ({"data": ""}, "dataset must be text that is not empty, got ''"),
    ],
)
def test_an_option_passes_the_same_check_as_the_space_file(tmp_path: Path, options: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run_study(Space.load(SPACE), out=tmp_path / "runs", **options)
    assert str(caught.value) == line
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def record(tmp_path: Path) -> Record:
    record = new_record(tmp_path, "a-001")
    add_trial(record, "complete", [0.25, 0.5, 0.75], r=16.0)
    add_trial(record, "stopped", [0.125], r=2.0, reason="ASHA after epoch 1")
    add_trial(record, "running", [0.5], r=8.0)
    return record


def test_a_study_that_runs_is_looked_at_as_it_is_at_each_look(record: Record) -> None:
    study = Study.open(record.folder)
    with locked(record.folder):
        assert (study.state, len(study.trials), study.score) == ("running", 3, 0.75)
        add_trial(record, "complete", [0.5, 0.5, 0.8125], r=4.0)
        assert (len(study.trials), study.score) == (4, 0.8125)
    assert study.best is not None and study.best.varying == {"r": 4.0}
    assert study.answer.startswith("The best of 4 trials is r = 4 (trial 3): val_accuracy 0.812")


def test_trials_and_curves_are_data_frames(record: Record) -> None:
    study = Study.open(record.folder)
    assert study.trials[["trial", "state", "r", "epochs"]].values.tolist() == [
        [0, "complete", 16.0, 3], [1, "stopped", 2.0, 1], [2, "running", 8.0, 1],
    ]  # fmt: skip
    assert study.curves[["trial", "epoch", "val_accuracy"]].values.tolist() == [
        [0, 1, 0.25], [0, 2, 0.5], [0, 3, 0.75], [1, 1, 0.125], [2, 1, 0.5],
    ]  # fmt: skip


def test_a_notebook_shows_the_answer_the_caution_and_the_best_trial_first(record: Record) -> None:
    add_trial(record, "complete", [0.5, 0.5, 0.8125], r=4.0, params={"note": "<b>"})
    html = Study.open(record.folder)._repr_html_()
    assert "The best of 4 trials is r = 4" in html and "synthetic music: no result about real genres" in html
    assert [html.index(f"<td>{number}</td>") for number in (3, 0, 1)] == sorted(
        html.index(f"<td>{number}</td>") for number in (3, 0, 1)
    )
    assert (
        new_record(record.folder.parent, "empty-001").folder.name
        in Study.open(record.folder.parent / "empty-001")._repr_html_()
    )


def test_a_plot_is_a_picture_and_of_params_that_vary_alone(record: Record) -> None:
    study = Study.open(record.folder)
    assert study.plot("r")._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match=r"^no param 'R' varies in a-001 \(there is r\)$"):
        study.plot("R")


def test_what_is_done_with_the_copy_for_optuna_changes_nothing_in_the_record(record: Record) -> None:
    before = (record.folder / JOURNAL).read_bytes()
    copy = Study.open(record.folder).optuna_study
    assert copy.best_value == 0.75 and copy.metric_names == ["val_accuracy"]
    assert [trial.intermediate_values for trial in copy.trials] == [{1: 0.25, 2: 0.5, 3: 0.75}, {1: 0.125}, {1: 0.5}]
    copy.optimize(lambda trial: trial.suggest_float("r", 1, 64), n_trials=1)
    optuna.importance.get_param_importances(copy)
    assert (record.folder / JOURNAL).read_bytes() == before


def test_a_mistake_is_one_line_in_a_notebook() -> None:
    with pytest.raises(SpaceError) as caught:
        Space.load(SPACE, overrides=["params.chanels=[1]"])
    line = "--set params.chanels=[1]: unknown key 'chanels' (did you mean 'channels'?)"
    assert caught.value._render_traceback_() == [f"error: {line}"]


def test_a_folder_without_a_study_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no study here \(there is no record\.log\)$"):
        Study.open(tmp_path)
