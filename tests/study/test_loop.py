"""The loop of a study, on trials that are trained in this process: what it starts, keeps, ends and takes up again."""

import itertools
import math

import numpy as np
import pytest
from in_process import DiskFullError, InProcess, WorkerLostError
from loops import Study, drivers_killed_after_each_write, noisy, num_reports, outcome, smooth, spec_of
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from search.record.files import ERRORS
from search.record.journal import RecordError
from search.record.ranking import ranked
from search.record.record import Record
from search.sampler.sampler import Sampler
from search.scheduler.scheduler import Go, NoScheduler, scheduler_of
from search.space.space import Space
from search.study.loop import MAX_WORKER_LOSSES, SAME_FAILURES, BlockedError, common_failure


@pytest.fixture
def study(tmp_path):
    """`study(*overrides, name=..., curve=..., slots=...)` -> a Study."""
    return lambda *overrides, name="s-001", **options: Study(tmp_path / name, *overrides, **options)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_trials_end_where_rays_asha_ends_them(study, slots):
    record = study(slots=slots).run(trials=20).record
    asha = ASHAScheduler(time_attr="e", metric="m", mode="max", max_t=9, grace_period=1, reduction_factor=3)
    stubs = {trial.number: Trial("x", trial_id=str(trial.number), stub=True) for trial in record.trials()}
    for stub in stubs.values():
        asha.on_trial_add(None, stub)
    answers = {}
    for number, epoch in sorted(
        ((t.number, e) for t in record.trials() for e in t.epochs), key=lambda r: r[1]["order"]
    ):
        assert answers.get(number) != TrialScheduler.STOP, "an epoch after the end"
        answers[number] = asha.on_trial_result(None, stubs[number], {"e": epoch["epoch"], "m": epoch["val_accuracy"]})
    assert set(answers.values()) == {TrialScheduler.STOP}
    assert {trial.state for trial in record.trials()} == {"complete", "stopped"}
    for trial in record.trials():
        assert (trial.state == "complete") == (trial.last["epoch"] == 9)
        assert trial.reason == (None if trial.state == "complete" else f"ASHA after epoch {len(trial.epochs)}")
        assert [epoch["epoch"] for epoch in trial.epochs] == list(range(1, len(trial.epochs) + 1))


def test_asha_and_the_best_go_by_the_mean_over_epochs(study):
    record = study("search.smooth_epochs=3", curve=noisy).run(trials=30).record
    kept = asha_replayed(record, lambda curve, epoch: np.mean(curve[max(0, epoch - 3) : epoch]))
    assert kept == {trial.number for trial in record.trials("complete")}
    assert kept != asha_replayed(record, lambda curve, epoch: curve[epoch - 1])
    means_of = {t.number: np.mean([e["val_accuracy"] for e in t.epochs[-3:]]) for t in record.trials("complete")}
    best = ranked(record.trials(), record.header.objectives)[0]
    assert best.number == max(means_of, key=means_of.get)


def asha_replayed(record, score):
    """The trials that successive halving by thirds lets pass, from the reports' order alone: a trial goes on from a
    rung where it is not below the third of those that came there so far.
    """
    rungs, gone = {1: [], 3: []}, set()
    reports = sorted(((e["order"], t, int(e["epoch"])) for t in record.trials() for e in t.epochs), key=lambda r: r[0])
    for _, trial, epoch in reports:
        if epoch in rungs and trial.number not in gone:
            mine = score([e["val_accuracy"] for e in trial.epochs], epoch)
            if rungs[epoch] and mine < np.nanpercentile(rungs[epoch], (1 - 1 / 3) * 100):
                gone.add(trial.number)
            rungs[epoch].append(mine)
    return {trial.number for trial in record.trials()} - gone


def test_a_trial_that_breaks_a_limit_is_ended_untrained(study):
    limited = study("search.constraints={num_weights: {max: 1}}", known=lambda params: {"num_weights": params["r"]})
    record = limited.run(trials=4).record
    assert [(t.state, t.epochs, t.ended_by) for t in record.trials()] == [("stopped", (), "limits")] * 4
    assert {fact for trial in record.trials() for fact in trial.facts} == {"proposal_seconds"}
    assert record.trial(0).reason.startswith("not trained: num_weights ")
    assert limited.executor.trained == {}


def test_several_metrics_leave_asha_on_the_first(study):
    both = ("search.metric=[val_accuracy, num_weights]", "search.mode=[max, min]")
    weights = {"known": lambda params: {"num_weights": params["r"]}}
    one = study(name="one").run(trials=8).record
    several = study(*both, name="several", **weights).run(trials=8).record
    assert [t.state for t in several.trials()] == [t.state for t in one.trials()]
    cut = study(*both, name="cut", **weights)
    for reports in (5, 11, math.inf):
        cut.run(trials=8, stop=lambda record, n=reports: num_reports(record) >= n)
    assert outcome(cut.record) == outcome(several)


def test_a_study_without_rungs_stops_nobody(study):
    record = study("budget.epochs=9").run(trials=4).record
    assert [t.state for t in record.trials()] == ["complete"] * 4


@pytest.mark.parametrize("slots", [1, 3])
def test_never_more_trials_at_once_than_slots(study, slots):
    counted = study(slots=slots)
    most = []
    counted.executor.curve = lambda spec, epoch: most.append(len(counted.executor.specs)) or smooth(spec, epoch)
    counted.run()
    assert max(most) == slots


def test_a_study_that_was_interrupted_ends_as_an_undisturbed_one(study):
    whole, parts = study(name="whole"), study(name="parts")
    whole.run()
    for reports in (3, 20, 21, math.inf):
        parts.run(stop=lambda record, n=reports: num_reports(record) >= n)
    assert outcome(parts.record) == outcome(whole.record)
    assert whole.executor.trained == parts.executor.trained  # no epoch was trained twice


def test_a_driver_that_is_killed_after_any_write_goes_on_as_if_it_had_not_been(study, monkeypatch):
    """One trial at a time, so that the order of all reports is the same whenever it begins again."""
    whole = study("search.on_repeat=reuse", name="whole")
    whole.run(trials=10)
    cut = study("search.on_repeat=reuse", name="cut")
    assert drivers_killed_after_each_write(cut, monkeypatch, trials=10) > 10
    assert outcome(cut.record) == outcome(whole.record)


def test_a_finished_study_is_only_extended(study):
    longer = study()
    before = outcome(longer.run(trials=5).record)
    assert outcome(longer.run(trials=5).record) == before
    after = outcome(longer.run(trials=8).record)
    assert (len(before), len(after), after[:5]) == (5, 8, before)


def test_everything_is_in_the_record_before_anybody_else_hears_of_it(study, monkeypatch):
    ordered, seen = study(), []
    start, told, reported = InProcess.start, Sampler.tell, Sampler.report
    scheduler = scheduler_of(Space.load(ordered.space_file).budget, "max")
    on_report = scheduler.on_report

    def started(executor, number, spec):
        assert ordered.record.trial(number).state == "running"
        seen.append("start")
        start(executor, number, spec)

    def heard(number, epoch, score):
        assert ordered.record.trial(number).last["epoch"] == epoch
        seen.append("report")
        return on_report(number, epoch, score)

    def heard_by_the_sampler(sampler, trial):
        assert ordered.record.trial(trial.number).epochs == trial.epochs
        seen.append("result")
        reported(sampler, trial)

    def learned(sampler, trial):
        assert ordered.record.trial(trial.number).state == trial.state != "running"
        seen.append("end")
        told(sampler, trial)

    monkeypatch.setattr(InProcess, "start", started)
    monkeypatch.setattr(Sampler, "tell", learned)
    monkeypatch.setattr(Sampler, "report", heard_by_the_sampler)
    scheduler.on_report = heard
    ordered.run(trials=5, scheduler=scheduler)
    results = num_reports(ordered.record)
    assert {kind: seen.count(kind) for kind in seen} == {
        "start": 5, "result": results, "report": seen.count("report"), "end": 5,
    }  # fmt: skip
    assert results > seen.count("report")  # the scheduler is not asked about a last epoch


def failing_sometimes(spec, epoch):
    if spec["number"] % 3 == 1:
        raise ValueError("not this one")
    return smooth(spec, epoch)


def test_one_trials_failure_stays_there_and_its_traceback_is_kept(study):
    record = study(curve=failing_sometimes).run(trials=9).record
    failed = record.trials("failed")
    assert [t.number for t in failed] == [1, 4, 7]
    assert {(t.reason, t.ended_by) for t in failed} == {("ValueError: not this one (traceback in errors.log)", "trial")}
    assert (record.folder / ERRORS).read_text().count("Traceback: in curve") == 3


def test_a_study_whose_first_trials_all_fail_alike_ends_early(study):
    def failing(spec, epoch):
        raise ValueError("no")

    loop = study(curve=failing).run(trials=12)
    assert loop.hopeless == "ValueError: no (traceback in errors.log)"
    assert len(loop.record.trials()) == SAME_FAILURES


def dying(spec, epoch):
    """Trial 2's worker dies once in the third epoch, trial 4's whenever it gets there."""
    if epoch == 3 and spec["number"] in spec["dying"] and spec["dying"][spec["number"]]:
        spec["dying"][spec["number"]] -= 1
        raise WorkerLostError("The actor died unexpectedly")
    return smooth(spec, epoch)


def test_a_lost_worker_is_replaced_and_a_trial_that_loses_every_one_fails(study):
    deaths = {2: 1, 4: 100}
    record = (
        study("budget.epochs=9", curve=dying)
        .run(trials=6, specs=lambda trial: {**spec_of(trial), "dying": deaths})
        .record
    )
    assert [t.state for t in record.trials()] == ["complete"] * 4 + ["failed", "complete"]
    reason = f"worker lost {MAX_WORKER_LOSSES + 1} times: The actor died unexpectedly"
    assert (record.trial(4).reason, record.trial(4).ended_by) == (reason, "executor")
    assert [e["epoch"] for e in record.trial(2).epochs] == list(range(1, 10))
    assert [t.facts.get("worker_losses") for t in record.trials()] == [None, None, 1, None, 3, None]


def test_losses_are_counted_since_a_trial_last_came_further(study):
    lost = set()

    def restless(spec, epoch):
        if epoch not in lost:
            lost.add(epoch)
            raise WorkerLostError("once before each epoch")
        return smooth(spec, epoch)

    (trial,) = study("budget.epochs=9", curve=restless).run(trials=1).record.trials()
    assert (trial.state, len(trial.epochs), trial.facts["worker_losses"]) == ("complete", 9, 9)
    assert MAX_WORKER_LOSSES < 9


def test_a_loss_that_the_node_announced_is_no_fault_of_the_trial(study):
    losses = iter(range(2 * MAX_WORKER_LOSSES))

    def preempted(spec, epoch):
        if next(losses, None) is not None:
            raise WorkerLostError("announced: the node is taken away")
        return smooth(spec, epoch)

    (trial,) = study("budget.epochs=2", curve=preempted).run(trials=1).record.trials()
    assert (trial.state, trial.facts["worker_losses"]) == ("complete", 2 * MAX_WORKER_LOSSES)


def test_an_epoch_that_comes_again_is_kept_once_and_judged_once(study):
    again = study("budget.epochs=3")
    again.run(trials=1, stop=lambda record: num_reports(record) == 2)
    lost = lambda trial: spec_of(trial) | {"known_epochs": 0}  # noqa: E731 - its checkpoint is gone
    heard = []
    scheduler = NoScheduler()
    scheduler.on_report = lambda trial, epoch, score: heard.append(epoch) or Go()
    record = again.run(trials=1, specs=lost, scheduler=scheduler).record
    assert [epoch["epoch"] for epoch in record.trial(0).epochs] == [1, 2, 3]
    assert heard == [1, 2]  # told again from the record; the last epoch needs no decision


def test_a_full_disk_ends_the_study_and_no_trial(study):
    room = []

    def full(spec, epoch):
        if spec["number"] == 2 and epoch == 2 and not room:
            raise DiskFullError("here: cannot write a checkpoint: No space left on device")
        return smooth(spec, epoch)

    blocked = study("budget.epochs=9", curve=full, slots=2)
    with pytest.raises(
        BlockedError, match=r"^here: .* No space left on device; mend that, and --resume s-001 goes on$"
    ):
        blocked.run(trials=6)
    assert blocked.executor.is_closed and not blocked.executor.specs
    assert "failed" not in {trial.state for trial in blocked.record.trials()}
    room.append(True)
    assert [trial.state for trial in blocked.run(trials=6).record.trials()] == ["complete"] * 6


def test_a_record_that_cannot_be_written_ends_the_study_and_no_trial(study, monkeypatch):
    report, calls = Record.report, itertools.count()

    def full(self, number, metrics):
        if next(calls) == 7:
            raise RecordError("s-001: cannot write the study's folder: No space left on device")
        return report(self, number, metrics)

    whole, cut = study(name="whole"), study(name="cut")
    whole.run()
    monkeypatch.setattr(Record, "report", full)
    with pytest.raises(BlockedError, match="No space left on device"):
        cut.run()
    cut.run()
    assert outcome(cut.record) == outcome(whole.record)


def test_a_polite_stop_ends_epochs_and_takes_back_what_waits_for_a_worker(study):
    stopped = study("budget.epochs=9", slots=4, workers=2)
    record = stopped.run(stop=lambda record: num_reports(record) >= 3).record
    assert stopped.executor.is_closed and not stopped.executor.specs and stopped.executor.is_released
    epochs = [len(trial.epochs) for trial in record.trials()]
    assert sum(epochs) == 4 and epochs[2:] == [0, 0]  # the third report, and the epoch that the other worker was in
    assert {trial.state for trial in record.trials()} == {"running"}


def test_a_polite_stop_does_not_wait_for_long_epochs(study, monkeypatch):
    monkeypatch.setattr("search.study.loop.EPOCH_WAIT_S", 0.1)
    monkeypatch.setattr(InProcess, "events", lambda self: ())
    stop = iter([False] * 5)
    record = study().run(trials=3, stop=lambda record: next(stop, True)).record
    assert [trial.state for trial in record.trials()] == ["running"]


def test_reuse_takes_the_old_scores_and_their_end_without_training(study):
    reused = study("search.on_repeat=reuse")
    record = reused.run(trials=30).record
    repeated = [t for t in record.trials() if t.reuse is not None]
    assert {trial.state for trial in repeated} == {"complete", "stopped"}
    for trial in repeated:
        first = record.trial(trial.reuse)
        assert (trial.network, trial.state, trial.reason) == (first.network, first.state, first.reason)
        assert set(trial.facts) == {"proposal_seconds"}
        assert trial.last["val_accuracy"] == first.last["val_accuracy"]
        assert trial.number not in reused.executor.trained


def test_hope_is_lost_only_to_one_common_failure():
    class Ended:
        def __init__(self, reason):
            self.state, self.reason = ("failed", reason) if reason else ("stopped", "ASHA after epoch 1")

    assert common_failure([Ended("a")] * SAME_FAILURES) == "a"
    assert common_failure([Ended("a")] * (SAME_FAILURES - 1)) is None
    assert common_failure([Ended("a")] * SAME_FAILURES + [Ended("b")]) == "a"
    assert common_failure([Ended("a")] * (SAME_FAILURES - 1) + [Ended("b")]) is None
    assert common_failure([Ended("a")] * SAME_FAILURES + [Ended(None), Ended("a")]) is None  # resumed, mended
    assert common_failure([Ended(None)] * SAME_FAILURES) is None
