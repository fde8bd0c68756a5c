"""What a space declares besides its params, and ASHA's rungs against Ray's own."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mgc.training.training import Scores
from mgc.words.errors import ConfigError
from search.settings.metrics import COSTS, METRICS, NUM_WEIGHTS, SECONDS_PER_CLIP
from search.settings.sections import Budget, Published, Resources, SearchConfig


@pytest.mark.parametrize(
    ("section", "values", "line"),
    [
        (SearchConfig, {"trials": 0}, r"trials must be >= 1, got 0"),
        (SearchConfig, {"sampler": "bohb"}, r"sampler must be one of .*, got 'bohb'"),
        (SearchConfig, {"metric": "val_loss"}, r"mode must be min for val_loss, got 'max'"),
        (SearchConfig, {"metric": "val_f1", "mode": "min"}, r"mode must be max for val_f1, got 'min'"),
        (SearchConfig, {"metric": "test_accuracy"}, r"metric must be one of .*, got 'test_accuracy' \(did.*\)"),
        (SearchConfig, {"seed": 2**32}, r"seed must be < 4294967296, got 4294967296"),
        (Budget, {"epochs": 0}, r"epochs must be >= 1, got 0"),
        (Budget, {"epochs": 3, "min_epochs": 1}, r"epochs excludes min_epochs, got both"),
        (Budget, {"min_epochs": 3, "max_epochs": 2}, r"min_epochs must be <= max_epochs, got 3 > 2"),
        (Budget, {"reduction_factor": 1}, r"reduction_factor must be >= 2, got 1"),
        (Resources, {"trials_per_gpu": 0}, r"trials_per_gpu must be >= 1, got 0"),
        (Published, {"table": "1"}, r"params is missing"),
    ],
)
def test_broken_rules_name_key_rule_and_value(section: Any, values: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}$"):
        section.checked(values)


def test_every_metric_is_a_score_of_an_epoch_or_a_cost() -> None:
    scores = {field.name for field in dataclasses.fields(Scores)}
    assert {name for name in METRICS if name not in scores} == set(COSTS) == {NUM_WEIGHTS, SECONDS_PER_CLIP}


def test_a_metric_is_compared_in_its_own_direction() -> None:
    for metric in METRICS.values():
        names, modes = ("val_accuracy", metric.name), ("max", metric.mode)
        if metric.name != "val_accuracy":
            assert SearchConfig.checked({"metric": names, "mode": modes}).objectives.modes == modes
        other = "min" if metric.mode == "max" else "max"
        with pytest.raises(ConfigError, match=f"^mode must be {metric.mode} for {metric.name}, got '{other}'$"):
            SearchConfig.checked({"metric": metric.name, "mode": other})


def test_epochs_are_the_whole_budget_and_nothing_stops_before() -> None:
    budget = Budget.checked({"epochs": 5})
    assert (budget.full, budget.rungs(), budget.canonical()) == (5, (), {"epochs": 5})


def test_min_equal_to_max_leaves_no_rung() -> None:
    assert Budget(min_epochs=4, max_epochs=4).rungs() == ()


def test_canonical_budget_holds_the_keys_that_apply() -> None:
    keys = {"min_epochs": 1, "max_epochs": 9, "reduction_factor": 3}
    assert Budget(scheduler="stop", min_epochs=1).canonical() == keys, "as before there was a choice"
    assert Budget().canonical() == {"scheduler": "promote", **keys, "min_epochs": "auto"}
    assert Budget(epochs=5).canonical() == {"epochs": 5}


@pytest.mark.slow
def test_rungs_are_those_of_ray_s_asha() -> None:
    from ray.tune.schedulers import ASHAScheduler

    for minimum, maximum, factor in [
        (1, 9, 3),
        (1, 10, 3),
        (2, 50, 2),
        (1, 1000, 10),
        (3, 3, 2),
        (5, 243, 3),
        (1, 8, 2),
    ]:
        asha = ASHAScheduler(grace_period=minimum, max_t=maximum, reduction_factor=factor, metric="x", mode="max")
        milestones = {int(milestone) for milestone, _ in asha._brackets[0]._rungs}
        budget = Budget(min_epochs=minimum, max_epochs=maximum, reduction_factor=factor)
        assert budget.rungs() == tuple(sorted(milestones - {maximum}))
