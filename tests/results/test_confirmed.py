"""What a confirmation says of its configs, and what they are called in sentences and tables."""

import numpy as np
import pytest
from small_study import add_trial, ended, new_record

from mgc.training.metrics import Predictions
from search.record.files import predictions_on_test
from search.record.notes import TEST
from search.record.ranking import ranked, state_of
from search.results.confirmed import ConfirmedConfig, confirmed, winner
from search.results.predictions import write_predictions
from search.study.confirming import Listed, plan_of

MANY = {"model": "se_cnn", "lr": 0.001, "dropout": 0.25, "batch_size": 32, "r": 31.4283}


@pytest.mark.parametrize(
    ("varying", "role", "name"),
    [
        ({"r": 31.4283}, "best 1", "r = 31.43"),
        ({"r": 16.0}, "default", "r = 16 (default)"),
        ({"r": 16.0}, "best 2, default", "r = 16"),
        ({}, "default", "the only config"),
        (MANY, "best 2", "best 2 of the search (model = se_cnn, lr = 0.001, dropout = 0.25 and 2 more params)"),
        (MANY, "default", "model = se_cnn, lr = 0.001, dropout = 0.25 and 2 more params (default)"),
    ],
)
def test_a_config_is_called_by_what_varies_or_of_many_params_by_its_rank(varying, role, name):
    nothing = {"params": {}, "trials": (), "vote": "sum", "predictions_S": (), "validation": ()}
    assert ConfirmedConfig(varying=varying, role=role, **nothing).name == name


WEIGHTS = {"best 1": 200_000, "best 2": 150_000, "default": 701_584}
CONSTRAINTS = {"num_weights": {"max": 250_000}}


def heard(num_right, num_tracks=20):
    """Predictions of two genres, so many of them right."""
    label_M = np.arange(num_tracks) % 2
    heard_M = np.where(np.arange(num_tracks) < num_right, label_M, 1 - label_M)
    return Predictions(
        genres=("high", "low"),
        track_ids=tuple(f"t{number}" for number in range(num_tracks)),
        label_M=label_M,
        track_N=np.arange(num_tracks),
        probabilities_NG=np.eye(2)[heard_M],
        loss=0.5,
    )


def confirmation(out, right, *, seeds=2):
    """A confirmation whose test part was opened: `right` says by role how many of 20 tracks its models hear right."""
    configs = [
        {"params": {"r": float(r)}, "varying": {"r": float(r)}, "network": role, "role": role, "vote": "sum"}
        for r, role in enumerate(right, start=1)
    ]
    plan = {"study": "s", "train_on": "train", "top": 3, "seeds": list(range(1, seeds + 1)), "configs": configs}
    record = new_record(
        out, "s-confirm", confirm=plan, constraints=CONSTRAINTS, trials=seeds * len(right), max_epochs=1
    )
    listed = Listed(plan_of(record), lambda params: {"num_weights": WEIGHTS[list(right)[int(params["r"]) - 1]]})
    for number in range(seeds * len(right)):
        proposal = listed.propose(number)
        assert record.start(proposal) == number
        record.report(number, {"epoch": 1, "val_accuracy": right[proposal.network] / 20})
        record.end(number, ended("complete"), values=[right[proposal.network] / 20])
        write_predictions(record.folder / predictions_on_test(number), heard(right[proposal.network]))
    record.note(TEST, {"opened": "now", "scores": {str(number): {} for number in range(seeds * len(right))}})
    return record


def test_a_reference_that_breaks_a_constraint_is_never_best(tmp_path):
    record = confirmation(tmp_path, {"best 1": 10, "default": 18})
    assert [trial.network for trial in ranked(record.trials(), record.header.objectives)] == ["best 1", "best 1"]
    assert state_of(record.trial(1), record.header.objectives) == "complete, infeasible"


def test_a_reference_that_breaks_a_constraint_is_not_what_the_answer_compares_with(tmp_path):
    alone = confirmed(confirmation(tmp_path / "a", {"best 1": 10, "default": 18}).folder)
    assert alone.answer(1).sentences[1] == (
        "The default breaks a constraint (num_weights 701,584 > 250,000), so there is nothing to compare it with."
    )
    with_another = confirmed(confirmation(tmp_path / "b", {"best 1": 10, "best 2": 8, "default": 18}).folder)
    compared = with_another.answer(1).sentences[1]
    assert "r = 1" in compared and "r = 2" in compared and "r = 3" not in compared
    assert compared.endswith("; the default breaks a constraint (num_weights 701,584 > 250,000).")
    assert with_another.configs[-1].name == "r = 3 (default, infeasible)"


def test_the_winner_is_the_confirmed_config_and_before_that_the_best_trial(tmp_path):
    search = new_record(tmp_path)
    assert winner(search, []) is None
    add_trial(search, "complete", [0.5], r=4.0)
    assert winner(search, []) == {"model": "se_cnn", "r": 4.0}
    tested = confirmed(confirmation(tmp_path, {"best 1": 10, "default": 18}).folder)
    assert winner(search, [tested]) == {"r": 1.0}
