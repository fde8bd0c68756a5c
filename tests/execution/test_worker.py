"""One trial, without Ray around it: it goes on where it was, tells what the record lacks, and never raises."""

import os
import re
import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_dataset import CLIPS, PARAMS, SMALL_NETWORK, write_tracks

from mgc.datasets.registry import open_dataset
from search.execution.executor import SPEC
from search.execution.spec import TrialSpec
from search.execution.worker import TrainingTrial
from search.record.files import CHECKPOINT
from search.storage import checkpoints
from search.study.rerun import TIMES

EPOCHS = 4


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return write_tracks(tmp_path_factory.mktemp("music") / "tones", [1.2] * 8)


@pytest.fixture
def spec(music, tmp_path):
    """The config of a trial; what is changed replaces."""

    def of(folder="trial", params=(), **changed):
        values = {
            "params": {**PARAMS, **SMALL_NETWORK, **CLIPS, "dropout": 0.3, **dict(params)},
            "seed": 5,
            "data": {"dataset": str(music), "split": "track", "ratios": [2, 1, 1]},
            "epochs": EPOCHS,
            "rungs": (2,),
            "metrics": ("val_accuracy",),
            "folder": str(tmp_path / folder),
            "dataset_digest": open_dataset(str(music)).digest,
            **changed,
        }
        return {SPEC: TrialSpec(**values)}

    return of


def steps(trial, count=EPOCHS):
    """The results of so many steps, or fewer where the trial ends before."""
    results = []
    while len(results) < count and not (results and is_over(results[-1])):
        results.append(trial.step())
    return results


def is_over(result):
    return "metrics" not in result or result["metrics"]["epoch"] == EPOCHS


def scores(results):
    return [{key: value for key, value in result["metrics"].items() if key not in TIMES} for result in results]


def test_a_trial_reports_the_mean_over_its_last_epochs_also_when_it_goes_on(spec):
    undisturbed = steps(TrainingTrial(spec("a", metrics=("val_loss_mean3",))))
    losses = [result["metrics"]["val_loss"] for result in undisturbed]
    expected = [np.mean(losses[max(0, epoch - 3) : epoch]) for epoch in range(1, EPOCHS + 1)]
    assert [result["metrics"]["val_loss_mean3"] for result in undisturbed] == pytest.approx(expected)
    steps(TrainingTrial(spec("b", metrics=("val_loss_mean3",))), 2)
    going_on = steps(TrainingTrial(spec("b", metrics=("val_loss_mean3",), known_epochs=2)))
    assert scores(going_on) == scores(undisturbed)[2:]


def test_a_trial_times_its_validation(spec):
    for result in steps(TrainingTrial(spec()), 2):
        metrics = result["metrics"]
        assert 0 < metrics["val_seconds_per_clip"] < metrics["seconds"]


@contextmanager
def limited(what, soft):
    before, hard = resource.getrlimit(what)
    resource.setrlimit(what, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (before, hard))


@pytest.fixture
def undisturbed(spec):
    return scores(steps(TrainingTrial(spec("undisturbed"))))


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_trial_that_was_stopped_goes_on_bit_for_bit(spec, undisturbed, after):
    trial = TrainingTrial(spec())
    before = scores(steps(trial, after))
    trial.stop()
    rest = steps(TrainingTrial(spec(known_epochs=after)))
    assert before + scores(rest) == undisturbed
    assert {result["facts"]["resumed_after"] for result in rest} == {after}


def test_a_killed_trial_goes_on_from_its_last_rung(spec, undisturbed):
    steps(TrainingTrial(spec()), 3)  # and is gone, without a word
    again = scores(steps(TrainingTrial(spec(known_epochs=3))))
    assert again == undisturbed[2:]  # epoch 3 once more: its record is there already


def test_epochs_that_only_the_checkpoint_knows_are_told_first_and_untrained(spec, undisturbed):
    steps(TrainingTrial(spec()), 2)
    trial = TrainingTrial(spec(known_epochs=0))  # the driver died before it heard of them
    told = scores(steps(trial, 2))
    assert trial.training is None
    assert told + scores(steps(trial)) == undisturbed


def test_the_last_epoch_is_told_though_nothing_is_left_to_train(spec, undisturbed):
    steps(TrainingTrial(spec()))
    trial = TrainingTrial(spec(known_epochs=3))
    (last,) = steps(trial)
    assert scores([last]) == undisturbed[3:]
    assert trial.training is None


def test_a_complete_checkpoint_has_no_optimizer_and_one_on_the_way_has(spec, tmp_path):
    trial = TrainingTrial(spec())
    steps(trial, 2)
    assert "optimizer" in checkpoints.load(tmp_path / "trial")
    steps(trial, 2)
    assert "optimizer" not in checkpoints.load(tmp_path / "trial")


def test_a_spoiled_checkpoint_costs_its_epochs_only(spec, undisturbed, tmp_path):
    steps(TrainingTrial(spec()), 2)
    (tmp_path / "trial" / CHECKPOINT).write_bytes(b"PK\x03\x04")
    assert scores(steps(TrainingTrial(spec(known_epochs=2)))) == undisturbed


def test_what_another_study_left_in_the_folder_is_not_gone_on_with(spec, undisturbed):
    steps(TrainingTrial(spec(params={"r": 4.0})), 2)
    assert scores(steps(TrainingTrial(spec()))) == undisturbed


def test_a_warm_worker_trains_its_next_trial_as_a_fresh_one_would(spec, undisturbed):
    trial = TrainingTrial(spec("other", params={"r": 4.0}))
    steps(trial, 3)
    trial.reset_config(spec())
    assert scores(steps(trial)) == undisturbed


def test_between_two_trials_a_warm_worker_gives_back_what_the_first_has_freed(spec, monkeypatch):
    trial, given_back = TrainingTrial(spec()), []
    steps(trial, 1)
    monkeypatch.setattr("mgc.training.memory.give_back", lambda: given_back.append(trial.training))
    trial.reset_config(spec("next"))
    assert given_back == [None]  # once, when the training is no more


def test_epochs_of_which_two_would_pass_30_s_are_each_checkpointed(spec, tmp_path, monkeypatch):
    trial = TrainingTrial(spec(rungs=()))
    monkeypatch.setattr("search.execution.worker.CHECKPOINT_EVERY_S", 1e-6)
    steps(trial, 1)
    assert checkpoints.load(tmp_path / "trial")["epoch"] == 1


def test_a_dataset_that_changed_since_the_study_began_blocks_it(spec, music):
    before = spec(params={"clips_per_track": 3})  # no other trial has these clips open
    write_tracks(music / "more", [1.2])
    for number, path in enumerate(sorted((music / "more").rglob("*.wav"))):
        path.rename(music / "low" / f"more {number}.wav")
    try:
        (result,) = steps(TrainingTrial(before))
    finally:
        for path in (music / "low").glob("more *.wav"):
            path.unlink()
    assert result["blocked"].startswith("dataset 'tones' has changed: digest ")


def test_a_diverged_training_fails_with_its_reason(spec):
    (result,) = steps(TrainingTrial(spec(params={"lr": 10.0, "optimizer": "sgd", "weight_decay": 1.0})))[-1:]
    assert re.match(r"TrainingError: the (training|validation) loss is (nan|inf)", result["failed"])
    assert "trace" not in result


def test_too_little_host_memory_fails_the_trial_alone(spec):
    """Real allocations against a real limit: a network of gigabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    trial = TrainingTrial(spec(params={"channels": [8192] * 5}))
    with limited(resource.RLIMIT_AS, pages * os.sysconf("SC_PAGE_SIZE") + (1 << 30)):
        (result,) = steps(trial, 1)
    assert result["failed"] == "out of host memory"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_too_little_gpu_memory_fails_the_trial_alone(spec):
    (result,) = steps(TrainingTrial(spec(gpu_trials=4096, params={"channels": [8192] * 5})), 1)
    assert result["failed"].startswith("out of GPU memory: CUDA out of memory")


def test_data_that_are_gone_fail_the_trial(spec):
    (result,) = steps(TrainingTrial(spec(data={"dataset": "/nothing", "split": "track"})))
    assert "nothing" in result["failed"]


def test_an_error_that_nobody_expected_is_sent_with_its_traceback(spec, monkeypatch):
    monkeypatch.setattr("mgc.training.training.Training.epoch", lambda self: [][0])
    (result,) = steps(TrainingTrial(spec()))
    assert result["failed"] == "IndexError: list index out of range"
    assert result["trace"].startswith("Traceback") and "lambda self: [][0]" in result["trace"]


def test_a_full_disk_is_no_failure_of_the_trial(spec, undisturbed, tmp_path):
    trial = TrainingTrial(spec())
    with limited(resource.RLIMIT_FSIZE, 4096):
        *_, result = steps(trial)
        trial.stop()
    assert result == {"blocked": f"{tmp_path}/trial: cannot write a checkpoint: File too large"}
    assert scores(steps(TrainingTrial(spec(known_epochs=1)))) == undisturbed
