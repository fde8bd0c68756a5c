"""A study that pauses trials and promotes the best: what its record says, and what is left of it after any kill."""

import numpy as np
import pytest
from loops import Study, drivers_killed_after_each_write, noisy, num_reports, outcome, smooth, spec_of

from search.record.notes import FIRST_RUNG
from search.record.ranking import counts, ranked
from search.record.studies import is_finished
from search.scheduler.promote import PROBES
from search.storage.checkpoints import CHECKPOINT_FACT, GIVEN_UP

PROMOTE = ("budget.scheduler=promote",)


@pytest.fixture
def study(tmp_path):
    """`study(*overrides, name=..., curve=..., slots=...)` -> a Study that promotes."""
    return lambda *overrides, name="s-001", **options: Study(tmp_path / name, *PROMOTE, *overrides, **options)


def history(record):
    """All reports and promotions in their order: (trial, epoch), or (trial, "promoted")."""
    events = [(e["order"], t.number, int(e["epoch"])) for t in record.trials() for e in t.epochs]
    events += [(order, t.number, "promoted") for t in record.trials() for order in t.promotions.values()]
    return [event[1:] for event in sorted(events, key=lambda event: event[0])]


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_a_trial_waits_at_a_rung_until_it_is_promoted(study, slots):
    record = study(slots=slots).run(trials=30).record
    assert is_finished(record)
    for trial in record.trials():
        assert trial.state in ("complete", "paused")
        assert [int(e["epoch"]) for e in trial.epochs] == list(range(1, len(trial.epochs) + 1))
        assert len(trial.epochs) in (1, 3, 9) and set(trial.promotions) <= {1, 3}
    assert 3 <= counts(record.trials())["complete"] <= 15
    promoted = {number for number, what in history(record) if what == "promoted"}
    assert promoted and all(len(record.trial(number).epochs) > 1 for number in promoted)
    best = max(record.trials(), key=lambda trial: smooth(trial.params, 9)["val_accuracy"])
    assert ranked(record.trials(), record.header.objectives)[0].number == best.number


@pytest.mark.parametrize("slots", [1, 2])
def test_orders_are_each_there_once(study, slots):
    record = study(slots=slots).run(trials=20).record
    orders = [e["order"] for t in record.trials() for e in t.epochs]
    orders += [order for t in record.trials() for order in t.promotions.values()]
    assert sorted(orders) == list(range(len(orders)))


def test_a_driver_that_is_killed_after_any_write_goes_on_as_if_it_had_not_been(study, monkeypatch):
    whole = study("search.on_repeat=reuse", name="whole", curve=noisy)
    whole.run(trials=14)
    for after in (3, 4, 7):
        cut = study("search.on_repeat=reuse", name=f"cut{after}", curve=noisy)
        assert drivers_killed_after_each_write(cut, monkeypatch, after=after, trials=14) > 8
        assert outcome(cut.record) == outcome(whole.record)
        assert history(cut.record) == history(whole.record)
        assert cut.executor.trained == whole.executor.trained


def test_a_study_that_was_interrupted_and_is_extended_ends_as_an_undisturbed_one(study):
    whole, parts = study(name="whole"), study(name="parts")
    whole.run(trials=8)
    before = outcome(whole.record)
    whole.run(trials=20)
    for trials, reports in ((8, 3), (8, 11), (8, np.inf), (20, 30), (20, np.inf)):
        parts.run(trials=trials, stop=lambda record, n=reports: num_reports(record) >= n)
        if (trials, reports) == (8, np.inf):
            assert outcome(parts.record) == before and is_finished(parts.record)
    assert outcome(parts.record) == outcome(whole.record)
    assert len(whole.record.trials()) == 20


def test_a_study_of_one_trial_completes_it(study):
    record = study().run(trials=1).record
    assert [(t.state, len(t.epochs)) for t in record.trials()] == [("complete", 9)]


def test_in_the_end_the_best_go_on_until_enough_are_complete(study):
    falling = study(curve=lambda spec, epoch: {"val_accuracy": 1 - 0.01 * spec["number"] - 0.001 * epoch})
    record = falling.run(trials=7).record
    assert counts(record.trials())["complete"] == 3
    assert [t.number for t in record.trials("complete")] == [0, 1, 2]


def test_a_trial_that_keeps_its_worker_at_a_rung_is_not_started_again(study):
    """One trial alone is promoted at once, by the loop, where it is no early one: its pause is not written."""
    specs, alone = [], study("budget.max_epochs=81")
    record = alone.run(trials=1, specs=lambda trial: specs.append(trial.number) or spec_of(trial)).record
    assert specs == [0] and record.trial(0).state == "complete"


def test_the_hopeless_give_their_checkpoints_up_before_anybody_deletes_them(study):
    record = study(curve=noisy).run(trials=30).record
    given_up = {t.number for t in record.trials() if t.facts.get(CHECKPOINT_FACT) == GIVEN_UP}
    first = sorted(record.trials(), key=lambda t: -t.epochs[0]["val_accuracy"])
    worse_half = {trial.number for trial in first[15:]}
    at_first = {t.number for t in record.trials("paused") if len(t.epochs) == 1}
    assert worse_half & at_first <= given_up
    assert given_up <= {t.number for t in record.trials() if t.state == "paused" or t.promotions}


def test_a_first_rung_that_tells_nothing_is_noted_and_no_longer_used(study):
    def upside_down(spec, epoch):
        score = smooth(spec, epoch)["val_accuracy"]
        return {"val_accuracy": -score if epoch == 1 else score}

    found = study("budget.min_epochs=auto", curve=upside_down)
    found.run(trials=PROBES)
    record = found.run(trials=40).record
    assert record.noted(FIRST_RUNG) == {"epoch": 3, "agreement": pytest.approx(-1.0)}
    assert all(len(trial.epochs) >= 3 for trial in record.trials())
    kept = study("budget.min_epochs=auto", name="kept").run(trials=40).record
    assert kept.noted(FIRST_RUNG) == {"epoch": 1, "agreement": pytest.approx(1.0)}
    assert any(len(trial.epochs) == 1 for trial in kept.trials())
