"""Ray Tune as the executor of a study: what it shares, keeps warm, replaces and kills. Real Ray, trials of no cost."""

import gc
import os
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from weakref import ref

import pytest
import ray
from in_process import InProcess
from ray import tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import SearchAlgorithm

from search.execution.executor import SPEC, Lost
from search.execution.ray_tune import RayTuneExecutor
from search.machines.ray_cluster import token_mode_kept
from search.machines.slots import Slots
from search.record.header import new_header
from search.record.journal import locked
from search.record.record import Record, has_begun
from search.sampler.sampler import Sampler
from search.scheduler.scheduler import scheduler_of
from search.space.space import Space
from search.study.loop import BlockedError, StudyLoop

pytestmark = pytest.mark.slow

SPACE = """
params: {model: se_cnn, r: {uniform: [2, 64]}}
search: {trials: 12}
budget: {min_epochs: 1, max_epochs: 9, reduction_factor: 3}
"""


def curve(spec, epoch):
    """A learning curve that depends on r and the epoch alone."""
    return {"val_accuracy": 1 - abs(spec["r"] - 30) / 64 - 0.1 / epoch}


class Curve(tune.Trainable):
    def setup(self, config):
        self.reset_config(config)

    def reset_config(self, new_config):
        self.spec, self.epoch = new_config[SPEC], 0
        return True

    def step(self):
        self.epoch += 1
        return {"metrics": {"epoch": self.epoch, **curve(self.spec, self.epoch)}, "facts": {"pid": os.getpid()}}


class Dying(Curve):
    """Trial 1's worker dies once in the second epoch, trial 2's whenever it gets there."""

    def step(self):
        number, mark = self.spec["number"], Path(self.spec["folder"]) / f"died-{self.spec['number']}"
        if self.epoch == 1 and (number == 2 or (number == 1 and not mark.exists())):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


class Broken(Curve):
    """Trial 1 fails; trial 2 finds the disk full in its second epoch."""

    def step(self):
        if self.spec["number"] == 1:
            return {"failed": "ValueError: not this one", "trace": "Traceback: here"}
        if self.spec["number"] == 2 and self.epoch == 1:
            return {"blocked": "here: cannot write a checkpoint: No space left on device"}
        return super().step()


class Slow(Curve):
    """Epochs that outlast any patience."""

    def step(self):
        Path(self.spec["folder"], f"training-{self.spec['number']}").touch()
        time.sleep(300)
        return super().step()


class Kept(Curve):
    """Leaves a mark when its worker is asked to end, as a training leaves its checkpoint."""

    def cleanup(self):
        Path(self.spec["folder"], f"ended-{self.spec['number']}-after-{self.epoch}").touch()


@ray.remote(num_cpus=0)
class Crowd:
    def __init__(self):
        self.now, self.most = 0, 0

    def enter(self, by):
        self.now += by
        self.most = max(self.most, self.now)
        return self.most


class Crowding(Curve):
    """Goes on when four trials have been there at once, or fails after a minute alone."""

    def step(self):
        crowd = ray.get_actor("crowd")
        most = ray.get(crowd.enter.remote(1))
        until = time.monotonic() + 60
        while most < 4 and time.monotonic() < until:
            time.sleep(0.05)
            most = ray.get(crowd.enter.remote(0))
        ray.get(crowd.enter.remote(-1))
        facts = {"gpu_ids": [str(each) for each in ray.get_gpu_ids()]}
        return {**super().step(), "facts": facts} if most >= 4 else {"failed": "never four at once"}


@pytest.fixture(scope="module", autouse=True)
def _ray():
    tests = Path(__file__).parents[1]
    here = {"env_vars": {"PYTHONPATH": f"{tests.parent}:{tests}:{tests / 'execution'}"}}  # for this file's trainables
    with token_mode_kept():
        ray.init(num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False, runtime_env=here)
        yield
        ray.shutdown()


@pytest.fixture
def study(tmp_path):
    """Runs a study: `study(Curve, folder="a", trials=12, slots=1, stop=...)` -> its record. `executor` replaces Ray."""

    def run(trainable, folder="s-001", *, trials=12, slots=1, stop=lambda record: False, overrides=(), on_gpu=False,
            executor=None):  # fmt: skip
        (tmp_path / "s.yaml").write_text(SPACE)
        space = Space.load(tmp_path / "s.yaml", overrides=[f"search.trials={trials}", *overrides])
        folder, by = tmp_path / folder, space.search.objectives
        with locked(folder):
            header = new_header(space, "s-001")
            record = Record.open(folder) if has_begun(folder) else Record.create(folder, header)
            share = Slots(nodes=1, cpus=slots, gpus=1 if on_gpu else 0, cpus_per_trial=1, trials_per_gpu=4)
            sampler = Sampler(space, lambda params: str(int(128 / params["r"])), slots=slots)
            sampler.restore(record.trials())
            StudyLoop(
                record,
                sampler,
                scheduler_of(space.budget, by.mode),
                executor
                or RayTuneExecutor(trainable, study="s-001", request=share.request, at_once=lambda: share.count),
                specs=lambda trial: {**trial.params, "number": trial.number, "folder": str(tmp_path)},
                objectives=by,
                epochs=space.budget.full,
                trials=trials,
                stop=lambda: stop(record),
            ).run()
            return record

    return run


def outcome(record):
    """What must not depend on who trained, or on how often a study was interrupted."""
    return [
        (t.number, t.state, t.reason, t.params, t.seed, t.network, [{**e, "order": None} for e in t.epochs])
        for t in record.trials()
    ]


def test_a_study_on_ray_is_the_one_that_another_executor_runs(study):
    on_ray, here = study(Curve, "ray"), study(None, "here", executor=InProcess(curve))
    assert outcome(on_ray) == outcome(here)
    assert len({t.facts["pid"] for t in on_ray.trials()}) == 1  # one slot, one worker, which stays warm


def test_workers_stay_warm_between_trials(study):
    record = study(Curve, slots=2)
    assert {t.state for t in record.trials()} == {"complete", "paused"}
    assert len({t.facts["pid"] for t in record.trials()}) <= 2  # one, where it is done before the other has started


def test_four_trials_share_one_gpu(study):
    crowd = Crowd.options(name="crowd").remote()
    ray.get(crowd.enter.remote(0))
    record = study(Crowding, trials=6, slots=4, on_gpu=True, overrides=["budget.epochs=1"])
    assert {t.reason for t in record.trials() if t.state == "failed"} == set()
    assert ray.get(crowd.enter.remote(0)) == 4
    assert {tuple(t.facts["gpu_ids"]) for t in record.trials()} == {("0",)}
    ray.kill(crowd)


def test_what_a_worker_reports_as_failed_or_blocked_arrives_as_that(study, tmp_path):
    with pytest.raises(BlockedError, match=r"^here: .* No space left on device; mend that"):
        study(Broken, trials=6, overrides=["budget.epochs=9"])
    record = Record.open(tmp_path / "s-001")
    assert [t.state for t in record.trials()] == ["complete", "failed", "running"]
    assert record.trial(1).reason == "ValueError: not this one (traceback in errors.log)"
    assert [t.state for t in study(Curve, trials=6).trials()].count("running") == 0


@pytest.mark.long
def test_a_lost_worker_is_replaced_and_a_trial_that_kills_every_one_fails(study, monkeypatch):
    monkeypatch.setattr("search.study.loop.MAX_WORKER_LOSSES", 1)
    record = study(Dying, trials=4, overrides=["budget.epochs=3"])
    assert [t.state for t in record.trials()] == ["complete", "complete", "failed", "complete"]
    assert record.trial(2).reason.startswith("worker lost 2 times: The actor died unexpectedly")
    assert [e["epoch"] for e in record.trial(1).epochs] == [1, 2, 3]
    assert [t.facts.get("worker_losses") for t in record.trials()] == [None, 1, 1, None]


class Cleaned(Dying):
    """Trial 1's worker dies when somebody has removed the folder of Ray's files."""

    def step(self):
        if self.spec["number"] == 1:
            shutil.rmtree(Path(self.spec["folder"]) / "tmp" / "side")
        return super().step()


@pytest.mark.long
def test_a_worker_that_is_lost_where_ray_cannot_write_fails_no_trial_and_stops_the_study(study, tmp_path, monkeypatch):
    @contextmanager
    def side():
        (tmp_path / "tmp" / "side").mkdir(parents=True)
        yield tmp_path / "tmp" / "side"

    with monkeypatch.context() as patch:
        patch.setattr("search.execution.ray_tune.scratch", side)
        line = (
            rf"^{tmp_path}/tmp: Ray cannot write its files: No such file or directory; mend that, and --resume s-001 "
        )
        with pytest.raises(BlockedError, match=line):
            study(Cleaned, trials=3, overrides=["budget.epochs=3"])
    assert [trial.state for trial in Record.open(tmp_path / "s-001").trials()] == ["complete", "running"]


@pytest.mark.long
def test_a_polite_stop_lets_a_worker_leave_its_checkpoint(study, tmp_path):
    record = study(
        Kept, overrides=["budget.epochs=9"], stop=lambda record: any(len(t.epochs) == 2 for t in record.trials())
    )
    assert [(trial.state, len(trial.epochs)) for trial in record.trials()] == [("running", 2)]
    assert [path.name for path in tmp_path.glob("ended-*")] == ["ended-0-after-2"]


@pytest.mark.long
def test_a_polite_stop_does_not_wait_for_long_epochs(study, tmp_path, monkeypatch):
    monkeypatch.setattr("search.study.loop.EPOCH_WAIT_S", 1.0)
    began = []

    def stop(record):
        if not began and (tmp_path / "training-0").exists():
            began.append(time.monotonic())
        return bool(began)

    record = study(Slow, trials=3, stop=stop)
    assert time.monotonic() - began[0] < 15
    assert [trial.state for trial in record.trials()] == ["running"]


@pytest.fixture
def executor():
    """Ray Tune without a study above it."""
    made = RayTuneExecutor(Curve, study="alone", request={"CPU": 1}, at_once=lambda: 2)
    yield made
    made.close()


def events_of(executor, count):
    events, until = [], time.monotonic() + 60
    while len(events) < count and time.monotonic() < until:
        events += executor.events()
    return events


def test_a_trial_waits_for_its_answer_and_may_be_started_again(executor):
    assert executor.free_slots == 2 and list(executor.events()) == []
    executor.start(7, {"r": 30.0})
    assert (executor.free_slots, list(executor.waiting), list(executor.running)) == (1, [7], [])
    (first,) = events_of(executor, 1)
    assert (first.number, first.metrics) == (7, {"epoch": 1, "val_accuracy": 0.9})
    assert list(executor.running) == [7]
    assert all(executor.events() == [] for _ in range(5))  # nobody has answered
    executor.answer(7, "go")
    (second,) = events_of(executor, 1)
    assert second.metrics["epoch"] == 2
    executor.answer(7, "stop")
    assert (executor.free_slots, list(executor.running)) == (2, [])
    executor.start(7, {"r": 30.0})  # as a paused trial that goes on
    (again,) = events_of(executor, 1)
    assert again.metrics["epoch"] == 1 and again.facts == first.facts  # on the same worker, which has stayed warm


def test_a_warm_worker_that_is_lost_while_it_gets_ready_is_replaced(executor):
    executor.start(1, {"r": 30.0})
    (first,) = events_of(executor, 1)
    executor.answer(1, "stop")
    os.kill(first.facts["pid"], signal.SIGKILL)
    executor.start(2, {"r": 30.0})
    events = []
    while not events or isinstance(events[-1], Lost):
        events += (more := events_of(executor, 1))
        assert more, "nothing happened any more"
        if isinstance(events[-1], Lost):
            executor.answer(2, "go")
    assert events[-1].metrics["epoch"] == 1 and events[-1].facts != first.facts
    assert {event.number for event in events} == {2}


def test_a_trial_may_be_stopped_before_it_has_a_worker(executor):
    executor.start(1, {"r": 30.0})
    executor.answer(1, "stop")
    executor.start(2, {"r": 30.0})
    (event,) = events_of(executor, 1)
    assert event.number == 2


def test_contract_a_trial_that_waits_goes_on_by_the_action_that_we_give():
    assert TrialScheduler.NOOP == "NOOP" and callable(TuneController._execute_action)
    assert Trial("stub", trial_id="1", stub=True, max_failures=-1).should_recover()


def test_contract_losses_that_a_node_announces_are_not_counted():
    trial = Trial("stub", trial_id="1", stub=True)
    trial._handle_ray_actor_error(ray.exceptions.RayActorError(preempted=True))
    assert trial.run_metadata.num_failures == 0
    trial._handle_ray_actor_error(ray.exceptions.RayActorError())
    assert trial.run_metadata.num_failures == 1


def test_tune_keeps_nothing_of_a_trial_that_has_ended(study, monkeypatch):
    trials, alive, add, cleanup = [], [], TuneController.add_trial, TuneController.cleanup

    def added(self, trial):
        trials.append(ref(trial))
        add(self, trial)

    def ended(self):
        gc.collect()
        alive.extend(each() for each in trials if each() is not None)
        cleanup(self)

    monkeypatch.setattr(TuneController, "add_trial", added)
    monkeypatch.setattr(TuneController, "cleanup", ended)
    study(Curve, trials=6)
    assert len(trials) >= 6
    assert alive == []


def test_contract_a_trial_of_ray_knows_its_worker():
    assert Trial("stub", trial_id="1", stub=True).temporary_state.ray_actor is None


def test_contract_a_trial_of_ray_has_its_files_where_its_path_says():
    assert "local_path" in vars(Trial) and "init_local_path" in vars(Trial) and "handle_error" in vars(Trial)


def test_contract_a_search_algorithm_of_ray_is_asked_whether_more_trials_come():
    assert not SearchAlgorithm().is_finished()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("TUNE_GLOBAL_CHECKPOINT_S", "tune/execution/tune_controller.py"),
        ("TUNE_MAX_PENDING_TRIALS_PG", "tune/execution/tune_controller.py"),
        ("TUNE_DISABLE_STRICT_METRIC_CHECKING", "tune/execution/tune_controller.py"),
        ("TUNE_PRINT_ALL_TRIAL_ERRORS", "tune/execution/tune_controller.py"),
        ("TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S", "tune/execution/insufficient_resources_manager.py"),
        ("RAY_CHDIR_TO_TRIAL_DIR", "tune/trainable/trainable.py"),
        ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "_private/accelerators/accelerator.py"),
    ],
)
def test_contract_ray_reads_the_variables_that_we_set(name, file):
    users = [path for path in Path(ray.__file__).parent.rglob("*.py") if name in path.read_text(errors="replace")]
    assert users, f"nothing in this Ray reads {name} (it was {file})"
