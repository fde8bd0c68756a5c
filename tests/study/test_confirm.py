"""A study confirmed: seeds of its own, the test part opened and counted, figures that can be computed again."""

import json
from dataclasses import asdict, replace

import mlflow
import numpy as np
import pytest
import torch

from mgc.clips.clips import open_clips
from mgc.datasets.registry import open_dataset
from mgc.features.audio import decode
from mgc.saved import load_model
from mgc.training.training import Training
from search import run
from search.confirm import main
from search.execution.ground import prepare
from search.record.files import JOURNAL, VALIDATION, predictions_on_test
from search.record.header import TRAIN_PARTS
from search.record.notes import ANSWER, OPENINGS, STAIRS, TEST
from search.record.record import Record
from search.results.confirmed import confirmations
from search.results.predictions import read_predictions
from search.study import confirming
from search.study.candidates import candidates, space_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shared_ray")]


def confirm(study, *arguments):
    return main([study.name, "--out", str(study.parent), "--quiet", *map(str, arguments)])


def runs_of(study, experiment):
    client = mlflow.MlflowClient(f"sqlite:///{study.parent}/mlflow.db")
    return client, client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def test_a_search_leaves_its_report_and_opens_no_test_part(whole_study):
    text = (whole_study.parent.parent / "searched.html").read_text()
    assert "The best of 4 trials is r = " in text
    assert "The test part has not been opened" in text
    assert "Table 2" in text
    assert "Could not be made" not in text


def test_the_kept_validation_predictions_are_those_of_the_best(whole_study):
    record = Record.open(whole_study)
    said, pictures = read_predictions(whole_study / VALIDATION)
    best = max(trial.last["val_accuracy"] for trial in record.trials("complete"))
    assert said.scores("sum").accuracy == best
    assert set(pictures) == {wrong.track_id for wrong in said.most_wrong(6)}


def test_the_searched_r_has_its_step_of_the_staircase(whole_study):
    record = Record.open(whole_study)
    for trial in record.trials():
        low, high = record.noted(STAIRS)["r"][trial.network]
        assert low <= trial.params["r"] <= high
        assert [max(1, int(c / low)) for c in (4, 8)] == [max(1, int(c / high)) for c in (4, 8)]


def test_configs_are_trained_with_seeds_that_the_search_had_not(whole_study):
    searched = {trial.seed for trial in Record.open(whole_study).trials()}
    record = Record.open(whole_study.with_name("whole-001-confirm"))
    trials = record.trials()
    assert {trial.seed for trial in trials}.isdisjoint(searched)
    assert [len(trial.epochs) for trial in trials] == [2] * len(trials)  # the whole budget, no ASHA
    assert len({trial.network for trial in trials}) == len(record.header.confirm.configs)


def test_the_default_is_the_models_own(whole_study):
    record = Record.open(whole_study)
    ground = prepare(space_of(record), device="cpu", progress=False)
    best, default = candidates(record, ground, top=1)
    assert (best.role, default.role, default.varying) == ("best 1", "default", {"r": 16.0})
    everything = candidates(record, ground, top=None)
    assert len({each.network for each in everything}) == len(everything)  # the default's may be one of the searched


def test_a_space_may_say_what_its_best_is_compared_with(whole_study):
    record = Record.open(whole_study)
    space = replace(space_of(record), reference={"model": "shallow", "spectrogram": "log_mel", "sr": 8000})
    ground = prepare(space, device="cpu", progress=False)
    _, default = candidates(record, ground, top=1)
    assert (default.role, default.varying) == ("default", {})
    assert default.params == {**space.reference, "precision": record.header.precision}


def test_an_opening_is_written_down_and_told(whole_study):
    record = Record.open(whole_study)
    openings = record.noted(OPENINGS)
    assert openings[0]["study"] == "whole-001-confirm"
    assert "The test part was opened" in (whole_study / "report" / "report.html").read_text()
    assert record.noted(ANSWER).startswith("On 4 test tracks of music (split track), r = ")


def test_kept_predictions_give_the_figures_again(whole_study):
    record = Record.open(whole_study.with_name("whole-001-confirm"))
    scores = record.noted(TEST)["scores"]
    for trial in record.trials("complete"):
        said, _ = read_predictions(record.folder / predictions_on_test(trial.number))
        own = scores[str(trial.number)]
        assert asdict(said.scores("sum")) == {
            name: own[f"test_{name}"] for name in ("accuracy", "precision", "recall", "f1")
        }
        assert {"train_accuracy", "train_precision", "train_recall", "train_f1"} <= own.keys()
    found = confirmations(whole_study)[0]
    first = found.configs[0]
    assert first.accuracy.mean == pytest.approx(
        np.mean([scores[str(number)]["test_accuracy"] for number in first.trials])
    )


def test_mlflow_has_the_test_scores_the_report_and_the_answer(whole_study):
    client, runs = runs_of(whole_study, "whole-confirm")
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert all("test_accuracy" in run.data.metrics for run in children)
    parent = next(run for run in runs_of(whole_study, "whole")[1] if run.info.run_name == "whole-001")
    assert "On 4 test tracks" in parent.data.tags["mlflow.note.content"]
    reported = {artifact.path for artifact in client.list_artifacts(parent.info.run_id, "report")}
    assert {"report/report.html", "report/confusion.png", "report/curves.png"} <= reported
    assert {a.path for a in client.list_artifacts(parent.info.run_id, "model")} == {
        "model/config.json", "model/weights.safetensors",
    }  # fmt: skip


def test_the_model_folder_is_the_confirmed_one(whole_study):
    about = json.loads((whole_study / "model" / "config.json").read_text())
    assert (about["confirms"], about["split"]) == ("whole-001", "track")
    assert "test_accuracy" in about["scores"]


def test_mlflows_model_hears_waveforms_as_mgc_does(whole_study):
    client, runs = runs_of(whole_study, "whole-confirm")
    mlflow.set_tracking_uri(f"sqlite:///{whole_study.parent}/mlflow.db")
    logged = client.search_logged_models([runs[0].info.experiment_id])[0]
    theirs = mlflow.pytorch.load_model(logged.model_uri)
    ours = load_model(whole_study / "model")
    tracks = open_dataset(ours.config.data.dataset).tracks
    waveforms = [decode(track.path, ours.sr) for track in tracks[:3]]
    shortest = min(map(len, waveforms))
    for batch in (waveforms[:1], [y_S[:shortest] for y_S in waveforms]):
        with torch.inference_mode():
            probabilities_BG = theirs(torch.from_numpy(np.stack(batch))).numpy()
        for y_S, said_G in zip(batch, probabilities_BG, strict=True):
            heard = ours.predict(y_S).probabilities
            assert [heard[genre] for genre in ours.genres] == pytest.approx(said_G, abs=1e-5)
    signature = mlflow.models.get_model_info(logged.model_uri).signature
    assert str(signature.inputs.inputs[0].shape) == "(-1, -1)"


@pytest.mark.long
def test_the_same_command_trains_and_opens_nothing_and_more_seeds_go_on(whole_study, capsys):
    record = Record.open(whole_study.with_name("whole-001-confirm"))
    num_trials, num_openings = len(record.trials()), len(Record.open(whole_study).noted(OPENINGS))
    assert confirm(whole_study, "--top", 1, "--seeds", 2) == 0
    assert len(Record.open(whole_study).noted(OPENINGS)) == num_openings
    assert confirm(whole_study, "--top", 1, "--seeds", 3) == 0
    assert len(Record.open(record.folder).trials()) == num_trials * 3 // 2
    assert len(Record.open(whole_study).noted(OPENINGS)) == num_openings + 1
    assert f"was opened {num_openings + 1} time" in capsys.readouterr().out


def test_another_choice_is_refused_in_one_line(whole_study, capsys):
    assert confirm(whole_study, "--top", 2) == 2
    assert capsys.readouterr().err == (
        "error: whole-001-confirm was begun with --top 1; go on with that, or delete its folder\n"
    )
    assert main(["none", "--out", str(whole_study.parent)]) == 2
    assert "no study here" in capsys.readouterr().err


@pytest.mark.long
def test_trained_on_validation_as_well_there_is_more_to_train_on_and_nothing_to_validate(whole_study, monkeypatch):
    config = load_model(whole_study / "model").config
    apart, together = (
        open_clips(config, parts=("train",), train_on=TRAIN_PARTS[choice], progress=False) for choice in TRAIN_PARTS
    )
    validation = open_clips(config, progress=False).num_tracks("validation")
    assert together.num_tracks("train") == apart.num_tracks("train") + validation
    scores = Training(config, together).epoch()
    assert np.isnan(scores.val_accuracy) and np.isfinite(scores.train_loss)
    shared = whole_study.parent.parent / "shared"
    again = ("--top", 1, "--seeds", 1, "--train-on", "train+val", "--storage", shared)
    check_that_an_interrupted_opening_goes_on(whole_study, again, monkeypatch)
    result = next(each for each in confirmations(whole_study) if each.train_on == "train+val")
    assert result.chosen.role == "best 1"
    name = "whole-001-confirm-train-val"
    assert (shared / name / JOURNAL).read_bytes() == (whole_study.with_name(name) / JOURNAL).read_bytes()
    assert run.main(["--rerun", f"{name}/0", "--out", str(whole_study.parent)]) == 0  # all scores are identical


def check_that_an_interrupted_opening_goes_on(whole_study, again, monkeypatch):
    """The driver dies when the first of two models has predicted the test part; the next one tests the other alone."""
    with monkeypatch.context() as patch:
        test, tested = confirming._tested, []

        def dies_at_the_second(record, trial):
            if tested:
                raise KeyboardInterrupt
            tested.append(trial.number)
            return test(record, trial)

        patch.setattr(confirming, "_tested", dies_at_the_second)
        assert confirm(whole_study, *again) == 130
    record = Record.open(whole_study.with_name("whole-001-confirm-train-val"))
    [first] = record.noted(TEST)["scores"].items()
    assert confirm(whole_study, *again) == 0
    scores = Record.open(record.folder).noted(TEST)["scores"]
    assert sorted(scores) == ["0", "1"] and (first[0], scores[first[0]]) == first
    assert [opening["models"] for opening in Record.open(whole_study).noted(OPENINGS)[-2:]] == [2, 1]
