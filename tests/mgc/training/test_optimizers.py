"""Optimizers and schedules: every key arrives, and the learning rate goes where the papers say."""

from __future__ import annotations

import math

import pytest
import torch

from mgc.config import OptimizerConfig
from mgc.training.optimizers import build_optimizer, build_schedule
from mgc.words.errors import ConfigError

CPU = torch.device("cpu")


def rates(epochs: int, steps_per_epoch: int, **keys: object) -> list[float]:
    """The learning rate of each step."""
    config = OptimizerConfig.checked({"lr": 0.2, **keys})
    optimizer = build_optimizer(config, torch.nn.Linear(1, 1), CPU)
    schedule = build_schedule(config, optimizer, epochs, steps_per_epoch)
    found = []
    for _ in range(epochs * steps_per_epoch):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if schedule is not None:
            schedule.step()
    return found


def test_the_optimizer_gets_every_one_of_its_keys() -> None:
    config = OptimizerConfig(lr=0.2, beta1=0.3, beta2=0.4, eps=0.5, weight_decay=0.6)
    model = torch.nn.Linear(1, 1)
    for name, kind in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)):
        optimizer = build_optimizer(config.model_copy(update={"optimizer": name}), model, CPU)
        assert type(optimizer) is kind
        got = optimizer.defaults
        assert (got["lr"], got["weight_decay"], got["fused"]) == (0.2, 0.6, True)
        if kind is torch.optim.SGD:
            assert got["momentum"] == 0.3
        else:
            assert (got["betas"], got["eps"]) == ((0.3, 0.4), 0.5)


def test_without_a_schedule_there_is_none() -> None:
    config = OptimizerConfig()
    assert build_schedule(config, build_optimizer(config, torch.nn.Linear(1, 1), CPU), 3, 5) is None


def test_warm_up_is_a_line_that_ends_at_lr() -> None:
    expected = [0.2 * (1 + step) / 9 for step in range(8)] + [0.2] * 4
    assert rates(3, 4, warmup_epochs=2) == pytest.approx(expected)


@pytest.mark.parametrize("warmup_epochs", [0, 2])
def test_cosine_goes_from_lr_to_0_over_what_warm_up_leaves(warmup_epochs: int) -> None:
    """Loshchilov and Hutter (2017), equation 5, without restarts."""
    warm = [0.2 * (1 + step) / (5 * warmup_epochs + 1) for step in range(5 * warmup_epochs)]
    left = 30 - len(warm)
    expected = warm + [0.1 * (1 + math.cos(math.pi * step / left)) for step in range(left)]
    assert rates(6, 5, schedule="cosine", warmup_epochs=warmup_epochs) == pytest.approx(expected)


def test_one_cycle_rises_for_three_tenths_of_the_steps_then_falls_to_nearly_0() -> None:
    found = rates(10, 10, schedule="one_cycle")
    assert found[0] == pytest.approx(0.2 / 25)
    assert (max(found), found.index(max(found))) == (pytest.approx(0.2), 29)
    assert found[:30] == sorted(found[:30])
    assert found[29:] == sorted(found[29:], reverse=True)
    assert found[-1] < 1e-5


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_one_cycle_leaves_the_momentum_alone(optimizer: str) -> None:
    config = OptimizerConfig.checked({"optimizer": optimizer, "beta1": 0.5, "schedule": "one_cycle"})
    built = build_optimizer(config, torch.nn.Linear(1, 1), CPU)
    build_schedule(config, built, 2, 3)
    group = built.param_groups[0]
    assert (group["momentum"] if optimizer == "sgd" else group["betas"][0]) == 0.5


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_a_single_step_is_enough(schedule: str) -> None:
    assert rates(1, 1, schedule=schedule)[0] > 0


def test_one_cycle_has_its_own_way_up() -> None:
    with pytest.raises(ConfigError, match=r"^warmup_epochs must be 0 beside schedule one_cycle, got 2$"):
        OptimizerConfig.checked({"schedule": "one_cycle", "warmup_epochs": 2})
