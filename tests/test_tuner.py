"""Ray Tune under our record: what it stops, shares, retries and takes up again. Real Ray, trainables of no cost."""

import copy
import itertools
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search import SearchAlgorithm

from search.journal import RecordError, locked
from search.objectives import Objectives, means
from search.record import Record, has_begun
from search.rungs import asha, restore_rungs, trial_id
from search.sampler import Sampler
from search.space import Space
from search.study import Budget, Slots
from search.tuner import (
    MAX_WORKER_LOSSES,
    SAME_FAILURES,
    BlockedError,
    Tuner,
    common_failure,
)

pytestmark = pytest.mark.slow

SPACE = """
params: {model: se_cnn, r: {uniform: [2, 64]}}
search: {trials: 12}
budget: {min_epochs: 1, max_epochs: 9, reduction_factor: 3}
"""


class Curve(tune.Trainable):
    """A learning curve that depends on r and the epoch alone."""

    def setup(self, config):
        self.reset_config(config)

    def reset_config(self, new_config):
        self.spec, self.epoch = new_config, 0
        return True

    def step(self):
        self.epoch += 1
        metrics = {"epoch": self.epoch, "val_accuracy": 1 - abs(self.spec["r"] - 30) / 64 - 0.1 / self.epoch}
        return {"metrics": metrics, "facts": {"pid": os.getpid()}, "done": self.epoch == 9}


class Noisy(Curve):
    """A curve with noise, and its mean over three epochs as search.trial reports it."""

    def step(self):
        result = super().step()
        noise = np.random.default_rng((self.spec["number"], self.epoch)).normal(0, 0.5)
        result["metrics"]["val_accuracy"] += noise
        self.told = [*(self.told if self.epoch > 1 else []), result["metrics"]]
        result["metrics"] |= means(self.told, ["val_accuracy_mean3"])
        return result


class Failing(Curve):
    def step(self):
        return {"failed": "ValueError: no", "facts": {}, "done": True}


class FailingSometimes(Curve):
    def step(self):
        if self.spec["number"] % 3 == 1:
            return {"failed": "ValueError: not this one", "done": True}
        return super().step()


class Dying(Curve):
    """Trial 2's worker dies once in the third epoch, trial 4's whenever it gets there."""

    def step(self):
        number, mark = self.spec["number"], Path(self.spec["folder"]) / f"died-{self.spec['number']}"
        if self.epoch == 2 and (number == 4 or (number == 2 and not mark.exists())):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


class Restless(Curve):
    """Loses its worker once before each epoch, and goes on from a checkpoint."""

    def reset_config(self, new_config):
        super().reset_config(new_config)
        self.kept = Path(new_config["folder"]) / "kept"
        self.epoch = int(self.kept.read_text()) if self.kept.exists() else 0
        return True

    def step(self):
        mark = self.kept.with_name(f"died-before-{self.epoch}")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        result = super().step()
        self.kept.write_text(str(self.epoch))
        return result | {"done": self.epoch == 5}


class Full(Curve):
    """Finds the disk full in the second epoch of trial 2."""

    def step(self):
        if self.spec["number"] == 2 and self.epoch == 1:
            return {"blocked": "here: cannot write a checkpoint: No space left on device", "done": True}
        return super().step()


class Slow(Curve):
    """Epochs that outlast any patience."""

    def step(self):
        Path(self.spec["folder"], f"training-{self.spec['number']}").touch()
        time.sleep(300)
        return super().step()


@ray.remote(num_cpus=0)
class Crowd:
    def __init__(self):
        self.now, self.most = 0, 0

    def enter(self, by):
        self.now += by
        self.most = max(self.most, self.now)
        return self.most


class Crowding(Curve):
    """Ends when four trials have been there at once, or fails after a minute alone."""

    def step(self):
        crowd = ray.get_actor("crowd")
        most = ray.get(crowd.enter.remote(1))
        until = time.monotonic() + 60
        while most < 4 and time.monotonic() < until:
            time.sleep(0.05)
            most = ray.get(crowd.enter.remote(0))
        ray.get(crowd.enter.remote(-1))
        result = {"facts": {"gpu_ids": [str(each) for each in ray.get_gpu_ids()]}, "done": True}
        return super().step() | result | ({} if most >= 4 else {"failed": "never four at once"})


@pytest.fixture(scope="module", autouse=True)
def _ray():
    here = {"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}}  # so that workers find this file's trainables
    ray.init(num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False, runtime_env=here)
    yield
    ray.shutdown()


@pytest.fixture
def study(tmp_path):
    """Runs a trainable as a study: `study(Curve, folder="a", trials=12, slots=1, stop=...)` -> its Tuner."""

    def run(trainable, folder="s-001", *, trials=12, slots=1, stop=lambda record: False, overrides=(), on_gpu=False,
            known=lambda params: {}):  # fmt: skip
        (tmp_path / "s.yaml").write_text(SPACE)
        space = Space.load(tmp_path / "s.yaml", overrides=[f"search.trials={trials}", *overrides])
        folder = tmp_path / folder
        with locked(folder):
            by = space.search.objectives
            header = {"metric": by.metrics, "mode": by.modes, "constraints": by.limits}
            record = Record.open(folder) if has_begun(folder) else Record.create(folder, header)
            share = Slots(nodes=1, cpus=slots, gpus=1 if on_gpu else 0, cpus_per_trial=1, trials_per_gpu=4)
            sampler = Sampler(space, lambda params: str(int(128 / params["r"])), known=known, slots=slots)
            sampler.restore(record.trials())
            tuner = Tuner(
                record,
                sampler,
                trainable=trainable,
                specs=lambda trial: {**trial.params, "number": trial.number, "folder": str(tmp_path)},
                objectives=space.search.objectives,
                budget=space.budget,
                slots=share,
                trials=trials,
                stop=lambda: stop(record),
            )
            tuner.run()
            return tuner

    return run


def outcome(record):
    """What must not depend on how often a study was interrupted."""
    return [
        (t.number, t.state, t.params, t.seed, t.network, [{**e, "order": None} for e in t.epochs])
        for t in record.trials()
    ]


def test_asha_decides_as_it_would_from_the_reports_alone(study):
    record = study(Curve, slots=2).record
    asha = ASHAScheduler(time_attr="e", metric="m", mode="max", max_t=9, grace_period=1, reduction_factor=3)
    reports = sorted(((e["order"], t, e) for t in record.trials() for e in t.epochs), key=lambda each: each[0])
    said = {}
    for trial in record.trials():
        asha.on_trial_add(None, Trial("x", trial_id=str(trial.number), stub=True))
    for _, trial, epoch in reports:
        stub = Trial("x", trial_id=str(trial.number), stub=True)
        said[trial.number] = asha.on_trial_result(None, stub, {"e": epoch["epoch"], "m": epoch["val_accuracy"]})

    assert set(said.values()) == {TrialScheduler.STOP}
    states = {t.state for t in record.trials()}
    assert states == {"complete", "stopped"}
    for trial in record.trials():
        assert (trial.state == "complete") == (trial.last["epoch"] == 9)
        assert [epoch["epoch"] for epoch in trial.epochs] == list(range(1, len(trial.epochs) + 1))


def test_asha_and_the_best_go_by_the_mean_over_epochs(study):
    record = study(Noisy, overrides=["search.smooth_epochs=3"], trials=30).record
    kept = asha_replayed(record, lambda curve, epoch: np.mean(curve[max(0, epoch - 3) : epoch]))
    assert kept == {trial.number for trial in record.trials("complete")}
    assert kept != asha_replayed(record, lambda curve, epoch: curve[epoch - 1])
    means_of = {t.number: np.mean([e["val_accuracy"] for e in t.epochs[-3:]]) for t in record.trials("complete")}
    best = Objectives.of(record.header).ranked(record.trials())[0]
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
    limit = "search.constraints={num_weights: {max: 1}}"
    record = study(Curve, trials=4, overrides=[limit], known=lambda params: {"num_weights": params["r"]}).record
    assert [(t.state, t.epochs, t.facts) for t in record.trials()] == [("stopped", (), {})] * 4
    assert record.trial(0).reason.startswith("not trained: num_weights ")


def test_several_metrics_leave_asha_on_the_first(study):
    both = ["search.metric=[val_accuracy, num_weights]", "search.mode=[max, min]"]
    weights = {"known": lambda params: {"num_weights": params["r"]}}
    one, several = study(Curve, "one", trials=8), study(Curve, "several", trials=8, overrides=both, **weights)
    assert [t.state for t in several.record.trials()] == [t.state for t in one.record.trials()]
    for reports in (5, 11, 10**9):
        cut = study(Curve, "cut", trials=8, overrides=both, **weights,
                    stop=lambda r, n=reports: sum(len(t.epochs) for t in r.trials()) >= n)  # fmt: skip
    assert outcome(cut.record) == outcome(several.record)


def test_a_study_without_rungs_stops_nobody(study):
    record = study(Curve, trials=4, overrides=["budget.epochs=9"]).record
    assert [t.state for t in record.trials()] == ["complete"] * 4


def test_a_study_that_was_interrupted_ends_as_an_undisturbed_one(study):
    whole = study(Curve, "whole").record
    for reports in (3, 20, 21, 10**9):
        parts = study(Curve, "parts", stop=lambda r, n=reports: sum(len(t.epochs) for t in r.trials()) >= n).record
    assert outcome(parts) == outcome(whole)


def test_a_finished_study_is_only_extended(study):
    study(Curve, trials=5)
    before = outcome(study(Curve, trials=5).record)
    after = outcome(study(Curve, trials=8).record)
    assert len(before) == 5
    assert after[:5] == before
    assert len(after) == 8


def test_a_decision_that_was_not_written_down_is_made_again(study):
    tuner = study(Curve)
    stopped = next(t for t in tuner.record.trials() if t.state == "stopped")
    before = outcome(tuner.record)
    lines = (tuner.record.folder / "record.log").read_bytes().splitlines(keepends=True)
    end = next(
        i for i, line in enumerate(lines) if b'"ASHA after' in line and f'"trial_id":{stopped.number},'.encode() in line
    )
    folder = tuner.record.folder.with_name("cut")
    folder.mkdir()
    (folder / "record.log").write_bytes(b"".join(lines[:end]))
    ended = []
    scheduler = asha(tuner.budget, tuner.objectives)

    rerun = restore_rungs(scheduler, Record.open(folder), tuner.budget, ended.append)

    assert ended == [stopped.number]
    assert rerun == []
    assert before[stopped.number][1] == "stopped"


def test_four_trials_share_one_gpu(study):
    crowd = Crowd.options(name="crowd").remote()
    ray.get(crowd.enter.remote(0))
    record = study(Crowding, trials=6, slots=4, on_gpu=True).record
    assert {t.reason for t in record.trials() if t.state == "failed"} == set()
    assert ray.get(crowd.enter.remote(0)) == 4
    assert {tuple(t.facts["gpu_ids"]) for t in record.trials()} == {("0",)}
    ray.kill(crowd)


def test_workers_stay_warm_between_trials(study):
    record = study(Curve, slots=2).record
    assert len({t.facts["pid"] for t in record.trials()}) <= 2  # one, where it is done before the other has started


def test_one_trials_failure_stays_there(study):
    record = study(FailingSometimes, trials=9).record
    failed = [t for t in record.trials() if t.state == "failed"]
    assert [t.number for t in failed] == [1, 4, 7]
    assert {t.reason for t in failed} == {"ValueError: not this one"}


def test_a_study_whose_first_trials_all_fail_alike_ends_early(study):
    tuner = study(Failing, trials=12)
    assert tuner.hopeless == "ValueError: no"
    assert SAME_FAILURES <= len(tuner.record.trials()) < 12


def test_a_lost_worker_is_replaced_and_a_trial_that_kills_every_one_fails(study):
    record = study(Dying, trials=6, overrides=["budget.epochs=9"]).record
    states = [t.state for t in record.trials()]
    assert states == ["complete"] * 4 + ["failed", "complete"]
    assert record.trial(4).reason.startswith(f"worker lost {MAX_WORKER_LOSSES + 1} times: The actor died unexpectedly")
    assert [e["epoch"] for e in record.trial(2).epochs] == list(range(1, 10))
    assert [t.facts.get("worker_losses") for t in record.trials()] == [None, None, 1, None, 3, None]


def test_losses_are_counted_since_a_trial_last_came_further(study):
    assert MAX_WORKER_LOSSES < 5
    (trial,) = study(Restless, trials=1, overrides=["budget.epochs=5"]).record.trials()
    assert (trial.state, len(trial.epochs)) == ("complete", 5)


def test_a_full_disk_ends_the_study_and_no_trial(study, tmp_path):
    with pytest.raises(
        BlockedError, match=r"^here: .* No space left on device; mend that, and --resume s-001 goes on$"
    ):
        study(Full, trials=6)
    assert "failed" not in {trial.state for trial in Record.open(tmp_path / "s-001").trials()}
    assert [trial.state for trial in study(Curve, trials=6).record.trials()].count("running") == 0


def test_a_record_that_cannot_be_written_ends_the_study_and_no_trial(study, monkeypatch):
    report, calls = Record.report, itertools.count()

    def full(self, number, metrics):
        if next(calls) == 7:
            raise RecordError("s-001: cannot write the study's folder: No space left on device")
        return report(self, number, metrics)

    monkeypatch.setattr(Record, "report", full)
    with pytest.raises(BlockedError, match="No space left on device"):
        study(Curve, "cut")
    assert outcome(study(Curve, "cut").record) == outcome(study(Curve, "whole").record)


def test_a_polite_stop_does_not_wait_for_long_epochs(study, tmp_path, monkeypatch):
    monkeypatch.setattr("search.tuner.EPOCH_WAIT_S", 1.0)
    began = []

    def stop(record):
        if not began and (tmp_path / "training-0").exists():
            began.append(time.monotonic())
        return bool(began)

    record = study(Slow, trials=3, stop=stop).record
    assert time.monotonic() - began[0] < 15
    assert [trial.state for trial in record.trials()] == ["running"]


def test_reuse_takes_the_old_scores_without_training(study):
    record = study(Curve, trials=30, overrides=["search.on_repeat=reuse"]).record
    repeated = [t for t in record.trials() if t.reuse is not None]
    assert repeated
    for trial in repeated:
        assert (trial.facts, trial.network) == ({}, record.trial(trial.reuse).network)
        assert trial.last["val_accuracy"] == record.trial(trial.reuse).last["val_accuracy"]


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


def test_contract_ray_makes_a_trial_with_our_id():
    tune.register_trainable("curve", Curve)
    spec = {"run": "curve", "config": {"a": 1}, "resources_per_trial": {"CPU": 1}}
    trial = _create_trial_from_spec(spec, _make_parser(), trial_id=trial_id(7))
    assert (trial.trial_id, trial.config, trial.status) == ("00007", {"a": 1}, Trial.PENDING)


def test_contract_rungs_of_ray_are_ours():
    for budget in (Budget(min_epochs=1, max_epochs=9, reduction_factor=3), Budget(min_epochs=2, max_epochs=50)):
        asha = ASHAScheduler(
            max_t=budget.full, grace_period=budget.min_epochs, reduction_factor=budget.reduction_factor
        )
        milestones = sorted(int(milestone) for milestone, _ in asha._brackets[0]._rungs)
        assert [each for each in milestones if each < budget.full] == list(budget.rungs())


def test_contract_asha_takes_trials_that_are_stubs_and_needs_no_controller():
    """restore_rungs tells it old reports so; what it is told twice changes nothing."""
    asha = ASHAScheduler(time_attr="e", metric="m", mode="max", max_t=9, grace_period=1, reduction_factor=3)
    stubs = [Trial("stub", trial_id=trial_id(number), stub=True) for number in range(4)]
    for stub in stubs:
        asha.on_trial_add(None, stub)
    said = [asha.on_trial_result(None, stub, {"e": 1, "m": m}) for stub, m in zip(stubs, (3, 2, 1, 4), strict=True)]
    assert said == [TrialScheduler.CONTINUE, TrialScheduler.STOP, TrialScheduler.STOP, TrialScheduler.CONTINUE]
    rungs = copy.deepcopy(asha._brackets[0]._rungs)
    assert asha.on_trial_result(None, stubs[0], {"e": 1, "m": 0}) == TrialScheduler.CONTINUE
    assert asha._brackets[0]._rungs == rungs


def test_contract_a_trial_of_ray_counts_its_losses_where_we_reset_them():
    trial = Trial("stub", trial_id="1", stub=True, max_failures=3)
    trial.run_metadata.num_failures += 4
    assert not trial.should_recover()
    trial.run_metadata.num_failures = 0
    assert trial.should_recover()


def test_contract_a_trial_of_ray_knows_its_worker():
    assert Trial("stub", trial_id="1", stub=True).temporary_state.ray_actor is None


def test_contract_a_search_algorithm_of_ray_is_asked_for_trials_and_ended_so():
    algorithm = SearchAlgorithm()
    assert not algorithm.is_finished()
    algorithm.set_finished()
    assert algorithm._finished and algorithm.is_finished()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "tune/utils/callback.py"),
        ("TUNE_GLOBAL_CHECKPOINT_S", "tune/execution/tune_controller.py"),
        ("TUNE_MAX_PENDING_TRIALS_PG", "tune/execution/tune_controller.py"),
        ("TUNE_DISABLE_STRICT_METRIC_CHECKING", "tune/execution/tune_controller.py"),
        ("TUNE_DISABLE_SIGINT_HANDLER", "tune/tune.py"),
        ("TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S", "tune/execution/insufficient_resources_manager.py"),
        ("RAY_CHDIR_TO_TRIAL_DIR", "tune/trainable/trainable.py"),
        ("RAY_AIR_NEW_OUTPUT", "tune/experimental/output.py"),
        ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "_private/accelerators/accelerator.py"),
    ],
)
def test_contract_ray_reads_the_variables_that_we_set(name, file):
    users = [path for path in Path(ray.__file__).parent.rglob("*.py") if name in path.read_text(errors="replace")]
    assert users, f"nothing in this Ray reads {name} (it was {file})"
