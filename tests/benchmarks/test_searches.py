"""The yardstick of searches, on curves whose course is known beforehand."""

import json
import os
import stat
import sys
import warnings
from functools import partial
from itertools import count

import numpy as np
import optuna
import pytest
from optuna.samplers import TPESampler
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from benchmarks import joint_curves
from benchmarks.searches import kept
from benchmarks.searches.__main__ import main
from benchmarks.searches.halves import half, opened
from benchmarks.searches.kept import Job
from benchmarks.searches.lcbench import EPOCH_NOISE, EPOCHS, RUN_NOISE, NoisyTrainings
from benchmarks.searches.methods import METHODS, replayed
from benchmarks.searches.others import TakenConfigs
from benchmarks.searches.ours import Ours, TableSampler
from benchmarks.searches.problems import BEST_OF, Curve, Scale
from benchmarks.searches.replay import CONTINUE_S, START_S, Begin, Continue, Replay, limit_s
from benchmarks.searches.space import ETA, space_of
from benchmarks.searches.summary import interval
from benchmarks.searches.syne import SyneTune
from benchmarks.searches.tables import Table
from benchmarks.searches.today import Today, stopping_asha
from mgc.words.errors import ConfigError
from search.sampler.translate import Candidate, suggest
from search.scheduler.asha import StoppingAsha
from search.scheduler.scheduler import NoScheduler, Stop
from search.space.space import Space

IN_PROCESS = [name for name in METHODS if name not in ("mobster", "hypertune", "bohb")]
SPACE = {
    "model": {"choice": ["tree", "net"]},
    "depth": {"int": [1, 6], "when": {"model": "tree"}},
    "lr": {"loguniform": [1e-4, 1.0], "when": {"model": "net"}},
    "width": {"uniform": [0.0, 1.0]},
}


def write_table(path, num_configs=120, num_epochs=9):
    """Configs whose score grows with width in a straight line; a test score is .01 below the last score."""
    rng = np.random.default_rng(0)
    model = rng.integers(2, size=num_configs)
    depth = np.where(model == 0, rng.integers(1, 7, num_configs), np.nan)
    lr = np.where(model == 1, 10 ** rng.uniform(-4, 0, num_configs), np.nan)
    width = rng.random(num_configs)
    score = (0.2 + 0.6 * width[:, None]) * np.arange(1, num_epochs + 1) / num_epochs
    np.savez(
        path,
        space=json.dumps(SPACE),
        params=np.stack([model, depth, lr, width], axis=1),
        score=score,
        test=score - 0.01,
        seconds=np.ones_like(score),
    )
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("tables") / "lines.npz")


@pytest.fixture(scope="module")
def lines(path):
    return Table.load(path)


class Given:
    """Trainings of given scores, a second for each epoch, whatever the config."""

    def __init__(self, scores_of):
        self.scores_of = scores_of

    def taken(self, config):
        return config

    def curve(self, config):
        score_E = np.array(self.scores_of(config["number"]), dtype=float)
        return Curve(score_E=score_E, seconds_E=np.ones(len(score_E)), worth=float(score_E[-1]))


class Asked:
    """Begins trials in turn, and goes on as `decide` says; hears are kept."""

    def __init__(self, decide=lambda number, epoch, score: True):
        self.numbers, self.decide, self.heard = count(), decide, []

    def next(self):
        number = next(self.numbers)
        return Begin(number, {"number": number})

    def goes_on(self, number, epoch, score):
        self.heard.append((number, epoch))
        return self.decide(number, epoch, score)

    def cpu_s(self):
        return 0.0


# ---- the replay


@pytest.mark.parametrize(("slots", "trainings"), [(1, 20), (4, 20), (32, 160)])
def test_a_replay_without_stopping_spends_its_budget_on_whole_trainings(lines, slots, trainings):
    searcher = Asked()
    course = Replay(searcher, Given(lambda number: [0.1] * 9), slots, limit_s(lines, slots)).run()
    assert len(course.completed) == trainings
    assert course.epochs == len(searcher.heard) == 9 * trainings
    assert course.limit_s * slots == pytest.approx(trainings * (9 + START_S))


@pytest.mark.parametrize("slots", [1, 3])
def test_all_slots_are_busy_until_the_end(slots):
    """Trials of one epoch: each slot ends as many as fit."""
    course = Replay(Asked(lambda *_: False), Given(lambda number: [0.1, 0.2]), slots, 20.5).run()
    assert course.epochs == slots * int(20.5 / (1 + START_S))
    assert course.begun == course.epochs + slots
    assert not course.completed


class PausesOnce(Asked):
    """One trial, paused after its second epoch."""

    def __init__(self):
        super().__init__(lambda number, epoch, score: epoch != 2)

    def next(self):
        return Continue(0) if self.heard[-1:] == [(0, 2)] else super().next()


def test_a_paused_trial_continues_from_its_epoch_and_pays_for_it():
    searcher = PausesOnce()
    course = Replay(searcher, Given(lambda number: [0.1, 0.2, 0.3, 0.4]), 1, 5.0).run()
    assert searcher.heard == [(0, 1), (0, 2), (0, 3), (0, 4)]
    assert (course.begun, course.continued) == (2, 1)
    assert course.completed[0].at_s == pytest.approx(4 + START_S + CONTINUE_S)


def test_the_search_names_the_trial_that_it_saw_best_and_is_judged_by_what_that_is_worth():
    class Noisy(Given):
        def curve(self, config):
            worth = [0.5, 0.9, 0.7, 0.0][config["number"]]
            seen = [0.6, 0.5, 0.8, 0.9][config["number"]]
            return Curve(score_E=np.array([seen]), seconds_E=np.array([10.0]), worth=worth)

    course = Replay(Asked(), Noisy(None), 1, 4 * (10 + START_S) - 1).run()
    assert course.scores(Scale(zero=0.5, one=1.0)) == pytest.approx([0.0, 0.0, 0.4])
    assert Replay(Asked(), Noisy(None), 1, 9.0).run().scores(Scale(zero=0.5, one=1.0)) == [0, 0, 0]


def test_rays_asha_and_ours_replay_alike():
    ends = {}
    for name in ("ours", "rays"):
        asha = StoppingAsha(rungs=(1, 3, 9), reduction_factor=ETA, mode="max")
        rays = ASHAScheduler(metric="score", mode="max", max_t=27, grace_period=1, reduction_factor=ETA)
        trials = {}

        def by_ours(number, epoch, score, asha=asha):
            return epoch == 27 or not isinstance(asha.on_report(number, epoch, score), Stop)

        def by_rays(number, epoch, score, rays=rays, trials=trials):
            if number not in trials:
                trials[number] = TuneTrial("stub", trial_id=str(number), stub=True)
                rays.on_trial_add(None, trials[number])
            result = {"score": score, "training_iteration": epoch}
            return rays.on_trial_result(None, trials[number], result) != TrialScheduler.STOP

        searcher = Asked(by_ours if name == "ours" else by_rays)
        curves = Given(lambda number: np.random.default_rng(number).random(27).cumsum())
        ends[name] = Replay(searcher, curves, 4, 27 * 5.0).run(), searcher.heard
    assert ends["ours"] == ends["rays"]
    assert 0 < len(ends["ours"][0].completed) < ends["ours"][0].begun


# ---- scale, noise, tables


def test_one_is_the_expected_best_of_300_and_zero_the_median():
    worth_C = np.random.default_rng(0).normal(size=1001)
    scale = Scale.of(worth_C)
    best = np.random.default_rng(1).choice(worth_C, size=(4000, BEST_OF)).max(axis=1)
    assert scale(float(np.median(worth_C))) == 0
    assert scale(float(best.mean())) == pytest.approx(1.0, abs=3 * best.std() / 4000**0.5 / (scale.one - scale.zero))
    assert scale(float(worth_C.max())) > 1


class Smooth:
    """LCBench whose every config has accuracy .5 at every epoch."""

    def accuracy(self, configs, epochs):
        return np.full(len(configs), 0.5)


def test_noise_is_as_large_as_stated_and_the_same_in_every_replay_of_a_seed():
    def scores(seed, num_trainings=400):
        trainings = NoisyTrainings(Smooth(), np.random.default_rng(seed))
        return np.array([trainings.curve({}).score_E for _ in range(num_trainings)])

    first = scores(3)
    assert np.array_equal(first, scores(3)) and not np.array_equal(first, scores(4))
    assert first.shape == (400, EPOCHS)
    assert first.mean(axis=1).std() == pytest.approx(np.hypot(RUN_NOISE, EPOCH_NOISE / EPOCHS**0.5), rel=0.15)
    assert first.std(axis=1, ddof=1).mean() == pytest.approx(EPOCH_NOISE, rel=0.05)
    assert NoisyTrainings(Smooth(), np.random.default_rng(0)).curve({}).worth == 0.5


@pytest.mark.slow
def test_the_surrogate_is_asked_for_a_tasks_validation_accuracy(lcbench_folder):
    pytest.importorskip("onnxruntime", reason="needs LCBench: pip install '.[bench]'")
    problem = opened(f"{lcbench_folder}:3945")
    assert 0.85 < problem.scale.zero < 0.95 < problem.scale.one < 1.0  # its best configs have more than 99 %
    config = {"batch_size": 64, "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
    config |= {"num_layers": 3, "max_units": 256, "max_dropout": 0.2}
    together_E = problem.accuracy([config] * EPOCHS, range(1, EPOCHS + 1))
    assert problem.accuracy([config], [7])[0] == pytest.approx(together_E[6], abs=1e-6)
    curve = problem.trainings(0).curve(config)
    assert curve.worth == together_E[-1] and np.abs(curve.score_E - together_E).max() < 6 * EPOCH_NOISE
    first, second = (replayed("random-stop", problem, seed=0, slots=4) for _ in range(2))
    assert first.completed == second.completed and first.begun > 100


def test_a_table_answers_with_the_nearest_row_that_was_not_tried_yet(lines):
    trainings = lines.trainings(0)
    rows = range(len(lines.values_CP))
    assert [trainings.taken(lines.config(row)) for row in rows] == [lines.config(row) for row in rows]
    again = lines.trainings(0)
    taken = [again.taken(lines.config(5)) for _ in rows]
    assert taken[0] == lines.config(5)
    assert sorted(map(str, taken)) == sorted(str(lines.config(row)) for row in rows)
    near = [config for config in taken[:20] if config["model"] == lines.config(5)["model"]]
    assert len(near) == 20  # another branch of the space is farther than any row of this one
    assert again.taken(lines.config(7)) == lines.config(7)  # all were tried, so all may be tried again


def test_a_row_gives_its_own_curve_and_is_judged_by_its_test_score(lines):
    trainings = lines.trainings(0)
    best = int(lines.test_CE[:, -1].argmax())
    curve = trainings.curve(trainings.taken(lines.config(best)))
    assert curve.score_E[-1] == pytest.approx(0.2 + 0.6 * lines.config(best)["width"])
    assert curve.worth == pytest.approx(curve.score_E[-1] - 0.01)
    assert lines.scale(curve.worth) >= 1


def test_a_config_has_the_params_that_are_active_in_it(lines):
    configs = [lines.config(row) for row in range(len(lines.values_CP))]
    assert {tuple(config) for config in configs} == {("model", "depth", "width"), ("model", "lr", "width")}
    assert all(isinstance(config["depth"], int) for config in configs if "depth" in config)


def test_a_training_that_diverged_scores_worst_and_costs_no_more(tmp_path, path):
    arrays = dict(np.load(path))
    for name in ("score", "test", "seconds"):
        arrays[name][3, 4:] = np.nan
    np.savez(tmp_path / "gaps.npz", **arrays)
    table = Table.load(tmp_path / "gaps.npz")
    assert table.score_CE[3, 4:] == pytest.approx(np.nanmin(arrays["score"]))
    assert table.seconds_CE[3].sum() == 4


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"score": None}, r"^{path}: is no table of curves with space, params, score, test, seconds: .*score"),
        ({"space": "nothing"}, r"^{path}: is no table of curves with .*"),
        ({"space": '{"a": {"unifrom": [0, 1]}}'}, r"^{path}: .*unifrom.*did you mean 'uniform'"),
        ({"params": np.zeros((3, 4))}, r"^{path}: the arrays' shapes must be \(C, P\) and \(C, E\), got \(3, 4\)"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path, path, change, text):
    arrays = {name: array for name, array in {**np.load(path), **change}.items() if array is not None}
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ConfigError, match=text.replace("{path}", str(tmp_path / "bad.npz"))):
        Table.load(tmp_path / "bad.npz")


def test_the_recorded_joint_curves_are_whole_and_of_their_space():
    space = Space.load(joint_curves.SPACE)
    table = Table.load(joint_curves.CURVES)
    assert table.score_CE.shape == (joint_curves.CONFIGS, space.budget.full)
    drawn = [{name: config[name] for name in space.varying} for config in space.sample(joint_curves.CONFIGS)]
    assert [table.config(row) for row in range(joint_curves.CONFIGS)] == drawn


def test_joint_curves_are_read_as_they_were_written(tmp_path):
    space = Space.load(joint_curves.SPACE)
    configs = [{name: config[name] for name in space.varying} for config in space.sample(3)]
    curves = [(config, [(0.1 * epoch, 2.0) for epoch in range(9)]) for config in configs]
    joint_curves.write(tmp_path / "curves.npz", space, curves)
    assert list(joint_curves.read(tmp_path / "curves.npz").values()) == curves
    assert joint_curves.read(tmp_path / "nothing.npz") == {}


# ---- methods


@pytest.mark.slow
@pytest.mark.parametrize("method", IN_PROCESS)
def test_every_method_replays_a_table_the_same_twice_and_finds_a_good_config(lines, method):
    first, second = (replayed(method, lines, seed=1, slots=4) for _ in range(2))
    assert first.completed == second.completed and first.epochs == second.epochs
    assert replayed(method, lines, seed=2, slots=4).completed != first.completed
    assert first.scores(lines.scale)[-1] > 0.5


def test_a_method_is_told_the_params_of_the_row_that_was_trained(lines):
    for make in (
        lambda taken: Ours(space_of(lines, sampler="tpe", min_epochs=None), taken, 1),
        lambda taken: Today(space_of(lines), NoScheduler(), taken, 1),
    ):
        trainings = lines.trainings(0)
        searcher = make(trainings.taken)
        configs = [searcher.next().config for _ in range(30)]
        assert all(config in map(lines.config, range(120)) for config in configs)
        study = getattr(searcher, "study", None) or searcher.sampler._study._study
        known = [trial.params for trial in study.get_trials(deepcopy=False) if trial.state.name == "RUNNING"]
        assert known == configs


def test_a_paused_trial_of_ours_continues_where_it_was_and_the_sampler_hears_of_it(lines, monkeypatch):
    calls = []

    def heard(name):
        method = getattr(TableSampler, name)

        def hear(self, trial):
            calls.append((name, trial if isinstance(trial, int) else (trial.number, trial.last["epoch"])))
            method(self, trial)

        return hear

    for name in ("report", "pause", "go_on"):
        monkeypatch.setattr(TableSampler, name, heard(name))
    trainings = lines.trainings(0)
    course = Replay(Ours(space_of(lines), trainings.taken, 4), trainings, 4, limit_s(lines, 4)).run()
    epochs = {}
    for number, epoch in (call for name, call in calls if name == "report"):
        epochs.setdefault(number, []).append(epoch)
    assert sum(map(len, epochs.values())) == course.epochs
    assert all(of == list(range(1, len(of) + 1)) for of in epochs.values())
    paused, going_on = ([call for name, call in calls if name == of] for of in ("pause", "go_on"))
    assert set(going_on) and all(len(epochs[number]) in (1, 3) for number in set(paused) - set(going_on))
    assert course.continued > 3 and len(going_on) >= course.continued
    assert len(course.completed) < len(set(going_on)) < course.begun


def test_today_proposes_as_the_shipped_tpe_does_without_stopping(lines):
    space, configs = space_of(lines, sampler="tpe", seed=3, min_epochs=None), []
    for searcher in (
        Ours(space, lines.trainings(0).taken, 2),
        Today(space, NoScheduler(), lines.trainings(0).taken, 2),
    ):
        configs.append([])
        for number in range(30):
            configs[-1].append(searcher.next().config)
            for epoch in range(1, 10):
                searcher.goes_on(number, epoch, configs[-1][-1]["width"])
    assert configs[0] == configs[1]


def test_today_counts_a_stopped_trial_by_its_last_score(lines):
    searcher = Today(space_of(lines), stopping_asha(space_of(lines)), lines.trainings(0).taken, 1)
    for number, score in enumerate([0.5, 0.4]):
        searcher.next()
        assert searcher.goes_on(number, 1, score) == (number == 0)
    stopped = searcher.study.get_trials()[1]
    assert stopped.state.name == "PRUNED" and stopped.intermediate_values == {1: 0.4}
    assert searcher.num_results == 1


def test_configs_that_are_taken_as_they_are_leave_optunas_sampler_as_it_is(lines):
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    space, params = space_of(lines), []
    for wrapped in (False, True):
        inner = TPESampler(seed=0, multivariate=True, group=True)
        sampler = TakenConfigs(inner, space, lambda config: config) if wrapped else inner
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for _ in range(20):
            trial = study.ask()
            study.tell(trial, Candidate.chosen(space, partial(suggest, trial)).params["width"])
        params.append([trial.params for trial in study.trials])
    assert params[0] == params[1]


STAND_IN = """#!{python}
import json, sys
about = json.loads(sys.stdin.readline())
assert about["space"]["model"] == {{"choice": ["tree", "net"]}} and about["epochs"] == 9, about
paused = None
for line in sys.stdin:
    of = json.loads(line)
    if "next" in of and paused is not None:
        print(json.dumps({{"continue": paused, "cpu_s": 1.0}}), flush=True)
        paused = None
    elif "next" in of and of["next"] == 2:
        sys.exit("ValueError: no more")
    elif "next" in of:
        print(json.dumps({{"proposed": {{"model": "tree", "depth": 2, "lr": 0.1, "width": 0.5}}}}), flush=True)
        taken = json.loads(sys.stdin.readline())["taken"]
        assert set(taken) == {{"model", "depth", "width"}}, taken
        print(json.dumps({{"begin": of["next"], "cpu_s": 2.5}}), flush=True)
    else:
        paused = of["report"] if of["epoch"] == 3 else None
        print(json.dumps({{"goes_on": of["epoch"] != 3, "cpu_s": 3.0}}), flush=True)
"""


def test_a_search_of_syne_tunes_is_asked_told_and_continued_in_lines(tmp_path, lines):
    python = tmp_path / "python"
    python.write_text(STAND_IN.format(python=sys.executable))
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    searcher = SyneTune("mobster", space_of(lines), lines.trainings(0).taken, python)
    first = searcher.next()
    assert first.number == 0 and first.config["model"] == "tree" and searcher.cpu_s() == 2.5
    assert first.config in map(lines.config, range(120))
    assert searcher.goes_on(0, 2, 0.5) and not searcher.goes_on(0, 3, 0.5)
    assert searcher.next() == Continue(0)
    assert searcher.next().number == 1
    with pytest.raises(ConfigError, match=r"^mobster: Syne Tune's process ended: ValueError: no more$"):
        searcher.next()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mobster", "hypertune", "bohb"])
def test_searches_of_syne_tunes_own_promote_what_they_paused(lines, method):
    if (python := os.environ.get("MGC_SYNE_TUNE")) is None:
        pytest.skip("needs Syne Tune: MGC_SYNE_TUNE names the interpreter of an environment with syne-tune 0.13.0")
    course = replayed(method, lines, seed=0, slots=4, python=python)
    assert course.completed and course.continued and course.begun > len(course.completed)


# ---- halves, results, command line


def test_every_second_problem_of_a_folder_is_held_out(tmp_path):
    (tmp_path / "lc").mkdir()
    codes = {"126025": 1, "3945": 34, "34539": 33, "146212": 4}
    (tmp_path / "lc" / "encoding.json").write_text(json.dumps({"OpenML_task_id": codes}))
    assert half("tuning", tmp_path / "lc") == [f"{tmp_path}/lc:3945", f"{tmp_path}/lc:126025"]
    assert half("held-out", tmp_path / "lc") == [f"{tmp_path}/lc:34539", f"{tmp_path}/lc:146212"]
    for folder in ("tables", "gtzan_curves"):
        (tmp_path / folder).mkdir()
        for name in "cab":
            (tmp_path / folder / f"{name}.npz").touch()
    assert half("tuning", tmp_path / "tables") == [f"{tmp_path}/tables/a.npz", f"{tmp_path}/tables/c.npz"]
    assert half("held-out", tmp_path / "tables") == [f"{tmp_path}/tables/b.npz"]
    assert half("tuning", tmp_path / "gtzan_curves") == []
    assert len(half("held-out", tmp_path / "gtzan_curves")) == 3
    with pytest.raises(ConfigError, match=r"^.*/lc: there is no task '1' \(there is 126025, "):
        opened(f"{tmp_path}/lc:1")


def test_finished_replays_are_kept_until_what_decided_them_changes(tmp_path, path, monkeypatch):
    jobs = [Job(problem=str(path), method="random-stop", slots=4, seed=seed) for seed in range(2)]
    for job in jobs:
        kept.write(tmp_path / "kept.jsonl", job, kept.result(job))
    with (tmp_path / "kept.jsonl").open("a") as file:
        file.write('["a line that was not')
    monkeypatch.setattr(kept, "ProcessPoolExecutor", None)  # nothing may be replayed
    found = dict(kept.results(jobs, tmp_path / "kept.jsonl", 1))
    assert list(found) == jobs and found[jobs[0]].scores == kept.result(jobs[0]).scores
    assert jobs[0].key != Job(problem=str(path), method="tpe", slots=4, seed=0).key
    monkeypatch.setattr("benchmarks.searches.methods.Method.digest", "other")
    assert jobs[0].key not in kept.read(tmp_path / "kept.jsonl")


@pytest.mark.slow
def test_the_last_line_is_json_and_a_second_run_says_the_same(tmp_path, path, capsys, monkeypatch):
    monkeypatch.delenv("MGC_SYNE_TUNE", raising=False)
    arguments = ["--problems", str(path), "--methods", "random-stop", "tpe", "bohb", "--seeds", "2", "--json"]
    arguments += ["--kept", str(tmp_path / "kept.jsonl")]
    outputs = []
    for _ in range(2):
        assert main(arguments) == 0
        outputs.append(capsys.readouterr())
    out, err = outputs[0]
    tree = json.loads(out.splitlines()[-1])
    assert list(tree) == [str(path)] and list(tree[str(path)]) == ["random-stop", "tpe"]
    assert np.array(tree[str(path)]["tpe"]["4"]).shape == (2, 3)
    assert "| random-stop minus | 1/4 | 1/2 | all | better on |" in out
    assert "left out: bohb (--syne-tune PYTHON, or $MGC_SYNE_TUNE)" in err
    assert outputs[1].out == out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--problems", "nothing.txt"], "nothing.txt: a problem must be a table (.npz) or LCBench's FOLDER:TASK\n"),
        (["--problems", "no.npz"], "no.npz: is no table of curves"),
        (["--problems", "no:1"], "no: is no folder of LCBench: No such file or directory: encoding.json\n"),
        (["--problems", "no:1", "--methods", "tpee"], "unknown method 'tpee' (did you mean 'tpe'?)\n"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, text, capsys):
    assert main(arguments) == 2
    assert text in capsys.readouterr().err


def test_an_interval_covers_problems_and_seeds():
    one_problem_PS = np.array([[0.0, 1.0, 0.0, 1.0]])
    low, high = interval(one_problem_PS)
    assert low == 0.0 and high == 1.0
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        true_P = rng.normal(0.3, 0.2, size=(12, 1))
        low, high = interval(true_P + rng.normal(0, 0.3, size=(12, 3)))
        covered += low <= 0.3 <= high
    assert covered >= 48


@pytest.mark.slow
def test_the_figures_of_speed_leave_other_sections_of_the_results_as_they_are():
    from benchmarks.__main__ import other_sections

    others = "\n## Searches\n\n| ours | 2 |\n\n## More\n"
    assert other_sections(f"# Results\n\n| ours | 1 |\n{others}") == others
    assert other_sections("# Results\n") == ""
