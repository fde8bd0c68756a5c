"""How long a study is said to take, beside what studies of the same budget did."""

from types import SimpleNamespace

import pytest
from loops import Study, num_reports

from search.estimate import estimate
from search.estimate.estimate import estimate_lines, expected_epochs
from search.machines.slots import Slots
from search.settings.sections import Budget


@pytest.mark.parametrize(
    ("settings", "trials"),
    [
        ({"scheduler": "promote", "min_epochs": 1}, 3),
        ({"scheduler": "promote", "min_epochs": 1}, 6),
        ({"scheduler": "promote", "min_epochs": 1}, 60),
        ({"scheduler": "promote", "min_epochs": "auto"}, 12),
        ({"scheduler": "promote", "min_epochs": "auto"}, 60),
        ({"scheduler": "stop", "min_epochs": 1}, 60),
    ],
)
def test_the_expected_epochs_are_about_those_of_a_study(tmp_path, settings, trials):
    """Of random trials: where later ones are better, more of them go on."""
    study = Study(
        tmp_path / "s-001", "search.sampler=random", *(f"budget.{key}={value}" for key, value in settings.items())
    )
    record = study.run(trials=trials).record
    expected = expected_epochs(Budget(max_epochs=9, **settings), trials=trials, keep=record.header.keep)
    assert expected == pytest.approx(num_reports(record), rel=0.35)


def test_a_short_study_is_as_long_as_its_trials_that_are_completed_in_any_case():
    budget = Budget(min_epochs=1, max_epochs=9)
    assert expected_epochs(budget, trials=3, keep=3) == 27
    assert expected_epochs(Budget(epochs=9), trials=4, keep=3) == 36


@pytest.mark.parametrize(
    ("epoch_s", "times"),
    [
        (6.0, ("6 s", "2 min", "3 min")),
        (0.004, ("under 0.1 s", "under 0.1 s", "0.1 s")),
        (600.0, ("10 min", "2 h 30 min", "4 h 30 min")),
    ],
)
def test_times_are_given_as_people_say_them(monkeypatch, epoch_s, times):
    monkeypatch.setattr(estimate, "_epochs", lambda ground, configs: [(450, epoch_s)])
    ground = SimpleNamespace(space=SimpleNamespace(resources=SimpleNamespace(keep=3)))
    slots = Slots(nodes=1, cpus=2, gpus=0, cpus_per_trial=1, trials_per_gpu=1)
    _, shown = estimate_lines(ground, slots, [{}], budget=Budget(min_epochs=1, max_epochs=9), trials=6)
    epoch, likely, most = times
    assert shown == (
        f"time: {epoch} for an epoch of 450 clips; about {likely} if one trial of 3 goes on at a rung, "
        f"{most} if all trials went to the end"
    )
