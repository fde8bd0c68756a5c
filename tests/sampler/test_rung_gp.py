"""The sampler that knows rungs, in studies of Optuna's: what it learns from, what it leaves out, what it costs."""

import math
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase, RelativeSamplerTestCase
from optuna.trial import TrialState, create_trial

from search.sampler import RungGPSampler
from search.sampler.encoding import Condition, Encoding, conditions, union
from search.sampler.evidence import MAX_RESULTS, PAUSED, Evidence, Result, Steps, representative

optuna.logging.set_verbosity(optuna.logging.ERROR)

X = {"x": FloatDistribution(0.0, 1.0)}
PEAK = 0.7


def curve(x, epoch):
    """A score that is best at PEAK and gets better with each epoch."""
    return 1 - (x - PEAK) ** 2 - 0.5 / epoch


def trial(x, epochs=(), *, state=TrialState.RUNNING, paused=False, misses=None, sign=1, value=None):
    values = {epoch: sign * curve(x, epoch) for epoch in epochs}
    if state == TrialState.COMPLETE and value is None:
        value = values[epochs[-1]]
    attrs = {PAUSED: True} if paused else {}
    return create_trial(
        state=state, value=value, params={"x": x}, distributions=X, intermediate_values=values, user_attrs=attrs,
        constraints=misses,
    )  # fmt: skip


def study_of(trials, direction="maximize"):
    study = optuna.create_study(direction=direction)
    study.add_trials(trials)
    return study


def proposed(study, *, number=1000, seed=0, distributions=X, **options):
    """What a sampler made now proposes; the study is left as it was, but for a failed trial."""
    study.sampler = RungGPSampler(seed=seed, number=number, **{"random_share": 0.0, **options})
    asked = study.ask(distributions)
    study.tell(asked, state=TrialState.FAIL)
    return asked.params


def spread(num=12):
    return [float(x) for x in np.linspace(0.02, 0.95, num)]


class TestOptunasContract(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    """What every sampler must get right, by Optuna's own tests."""

    @pytest.fixture
    def sampler(self):
        return lambda: RungGPSampler(seed=0)

    @pytest.fixture
    def multi_objective_sampler(self, sampler):
        return sampler


class TestOptunasContractAfterTheStart(RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: RungGPSampler(seed=0, startup=1, random_share=0.0)


def test_paused_trials_teach_though_none_is_complete():
    study = study_of([trial(x, (1, 3), paused=True) for x in spread()])
    assert [proposed(study, number=n)["x"] for n in range(5)] == pytest.approx([PEAK] * 5, abs=0.1)


@pytest.mark.parametrize("state", [TrialState.PRUNED, TrialState.COMPLETE, TrialState.RUNNING])
def test_what_became_of_a_trial_does_not_matter_to_its_results(state):
    study = study_of([trial(x, (1, 3, 9), state=state) for x in spread()])
    assert proposed(study)["x"] == pytest.approx(PEAK, abs=0.1)


def test_less_may_be_better():
    study = study_of([trial(x, (1, 3), paused=True, sign=-1) for x in spread()], "minimize")
    assert proposed(study)["x"] == pytest.approx(PEAK, abs=0.1)


def test_failed_trials_count_for_nothing():
    trials = [trial(x, (1,), paused=True) for x in spread()]
    failed = [trial(x, (1,), state=TrialState.FAIL) for x in (0.1, 0.2, 0.3)]
    assert proposed(study_of(trials + failed)) == proposed(study_of(trials))


def test_a_proposal_depends_on_seed_number_and_trials_alone():
    def study():
        return study_of([trial(x, (1, 3), paused=True) for x in spread()] + [trial(0.4)])

    one = study()
    again = [proposed(one, number=n) for n in (13, 14, 13)]
    assert again[0] == again[2] == proposed(study(), number=13) != again[1]
    assert proposed(study(), number=13, seed=1) != again[0]


def test_a_running_trial_is_expected_to_get_a_result_and_a_paused_one_is_not():
    """Where a trial runs already nothing more is expected, so that the next proposal is another one."""
    trials = [trial(x, (1,), paused=True) for x in (0.1, 0.3, 0.95)]
    alone = proposed(study_of(trials), startup=3)["x"]
    beside_running = proposed(study_of([*trials, trial(alone)]), startup=3)["x"]
    beside_paused = proposed(study_of([*trials, trial(alone, paused=True)]), startup=3)["x"]
    assert abs(beside_running - alone) > 0.02
    assert beside_paused == alone


def test_constraints_are_learned_from_trained_trials_and_from_rejected_ones():
    """Only x below 0.5 keeps the constraint, beside the peak at 0.7."""
    trained = [trial(x, (1, 3), paused=True, misses={"size": x - 0.5}) for x in spread()]
    assert proposed(study_of(trained))["x"] == pytest.approx(0.48, abs=0.06)
    kept = [trial(x, (1, 3), paused=True, misses={"size": x - 0.5}) for x in spread() if x < 0.5]
    rejected = [trial(x, state=TrialState.PRUNED, misses={"size": x - 0.5}) for x in spread(40) if x > 0.5]
    assert proposed(study_of(kept + rejected), startup=5)["x"] == pytest.approx(0.48, abs=0.06)


def test_where_nothing_keeps_a_constraint_it_looks_for_what_does():
    missed = [trial(x, (1,), paused=True, misses={"size": x + 0.5}) for x in spread()]
    assert proposed(study_of(missed))["x"] < 0.1


def test_a_fifth_of_the_proposals_is_random():
    study = study_of([trial(x, (1, 3), paused=True) for x in spread()])
    proposals = [proposed(study, number=n, random_share=0.2)["x"] for n in range(200)]
    near = np.isclose(proposals, PEAK, atol=0.15)
    assert 0.75 < near.mean() < 0.95  # 0.8, and those that are near by chance
    assert np.ptp(np.array(proposals)[~near]) > 0.6


def test_proposals_are_random_until_there_are_results():
    begun = [trial(x, (1,), paused=True) for x in spread(9)] + [trial(0.5)]
    assert np.std([proposed(study_of(begun), number=n)["x"] for n in range(20)]) > 0.2
    assert np.std([proposed(study_of(begun), number=n, startup=9)["x"] for n in range(20)]) < 0.1


def objective(trial):
    """Its best value is 1: a choice, a param under it, a whole number, a log scale."""
    lr = trial.suggest_float("lr", 1e-5, 1.0, log=True)
    kind = trial.suggest_categorical("kind", ["plain", "deep"])
    score = 1 - (math.log10(lr) + 2) ** 2 / 4
    if kind == "deep":
        score -= 0.1 * (trial.suggest_int("layers", 1, 8) - 5) ** 2
        score -= (trial.suggest_float("dropout", 0.0, 0.5) - 0.2) ** 2
    else:
        score -= 0.3
    for epoch in (1, 3, 9):
        trial.report(score - 1 / epoch + 0.02 * math.sin(1e4 * lr), epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return score


def best_of(sampler):
    pruner = optuna.pruners.SuccessiveHalvingPruner(reduction_factor=3)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    study.optimize(objective, n_trials=60)
    return study.best_value


def test_it_finds_better_params_under_pruning_than_chance_does():
    ours = [best_of(RungGPSampler(seed=seed)) for seed in range(4)]
    random = [best_of(optuna.samplers.RandomSampler(seed=seed)) for seed in range(4)]
    assert np.mean(ours) > np.mean(random) + 0.05
    assert min(ours) > 0.9


def many(num, generator):
    """A study of that many results at rungs 1, 3, 9 and 27, of ten params of every kind, 32 trials running."""
    distributions = {f"x{index}": FloatDistribution(0.0, 1.0) for index in range(6)}
    distributions |= {"lr": FloatDistribution(1e-5, 1e-1, log=True), "layers": IntDistribution(1, 5)}
    distributions |= {"kind": CategoricalDistribution(["a", "b"]), "batch": IntDistribution(4, 64, log=True)}
    encoding = Encoding(distributions, {})
    trials = []
    while num > 0:
        [row] = encoding.random(1, generator)
        epochs = (1, 3, 9, 27)[: min(4, generator.geometric(2 / 3))]
        num -= len(epochs)
        values = {epoch: 1 - float(((row[:6] - 0.3) ** 2).sum()) - 1 / epoch for epoch in epochs}
        trials.append((encoding.params(row), values))
    attrs = [{PAUSED: True}] * (len(trials) - 32) + [{}] * 32
    return distributions, study_of(
        create_trial(
            state=TrialState.RUNNING, params=params, distributions=distributions, intermediate_values=values,
            user_attrs=attr,
        )
        for (params, values), attr in zip(trials, attrs, strict=True)
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("num", [500, 10_000])
def test_a_proposal_takes_less_than_a_second_whatever_the_number_of_results(num):
    distributions, study = many(num, np.random.default_rng(0))
    started = time.process_time()
    params = proposed(study, distributions=distributions, rungs=[1, 3, 9], full=27)
    assert time.process_time() - started < 1
    assert np.abs(np.array([params[f"x{index}"] for index in range(6)]) - 0.3).mean() < 0.2


def test_of_many_results_the_deepest_the_best_and_some_others_stay():
    generator = np.random.default_rng(0)
    values = generator.normal(size=2000).tolist()
    results = [Result(number, 9.0 if number % 40 == 0 else 1.0, values[number]) for number in range(2000)]
    kept = representative(results, generator)
    assert len(set(kept)) == len(kept) == MAX_RESULTS
    deep = {number for number in range(2000) if number % 40 == 0}
    best = set(np.argsort(values)[-90:].tolist())
    assert deep | best <= set(kept)
    others = [values[number] for number in set(kept) - deep - best]
    assert np.quantile(others, 0.25) < -0.3  # the bad ones are among them


@pytest.mark.parametrize(
    ("reported", "rungs", "full", "expected", "depths"),
    [
        ([1, 3, 9], None, None, [1, 3, 9], [0.0, 0.5, 1.0]),
        ([0, 1, 2, 8], [0, 2], 8, [0, 2, 8], [0.0, 0.5, 1.0]),  # steps from 0
        (range(1, 28), None, None, [1, 3, 6, 13, 27], [0.0, 1 / 3, 0.5436, 0.7782, 1.0]),
        (range(1, 10), [1, 3], 27, [1, 3, 27], [0.0, 1 / 3, 1.0]),
        ([], None, None, [1], [1.0]),
    ],
)
def test_steps_become_epochs_on_a_log_scale(reported, rungs, full, expected, depths):
    shown = create_trial(
        state=TrialState.PRUNED, params={"x": 0.5}, distributions=X, intermediate_values=dict.fromkeys(reported, 0.5)
    )
    steps = Steps.of([shown], rungs, full)
    assert list(steps.rungs) == expected
    assert [steps.depth(steps.epoch(step)) for step in steps.rungs] == pytest.approx(depths, abs=1e-3)


def test_the_value_of_a_complete_trial_counts_at_the_full_budget_and_nan_is_worst():
    done = trial(0.5, (1, 3), state=TrialState.COMPLETE, value=0.9)
    broken = create_trial(
        state=TrialState.PRUNED, params={"x": 0.1}, distributions=X, intermediate_values={1: math.nan, 2: 0.3}
    )
    evidence = Evidence.of([done, broken], Steps([1, 3, 9]), sign=-1.0)
    assert [(result.epoch, result.value) for result in evidence.results] == [
        (1, -curve(0.5, 1)), (3, -curve(0.5, 3)), (9, -0.9), (1, -math.inf),
    ]  # fmt: skip
    assert np.argsort(evidence.scores()).tolist() == [3, 2, 1, 0]


def test_results_in_one_order_have_one_scale():
    """Whether scores are accuracies or losses of any size, proposals are the same."""
    trials = [trial(x, (1, 3), paused=True) for x in spread()]
    stretched = [
        create_trial(
            state=TrialState.RUNNING, params=each.params, distributions=X, user_attrs={PAUSED: True},
            intermediate_values={step: math.exp(30 * value) for step, value in each.intermediate_values.items()},
        )
        for each in trials
    ]  # fmt: skip
    assert proposed(study_of(trials)) == proposed(study_of(stretched))


ALL_KINDS = {
    "float": FloatDistribution(-2.0, 3.0),
    "log": FloatDistribution(1e-5, 1e-1, log=True),
    "step": FloatDistribution(0.0, 1.0, step=0.25),
    "int": IntDistribution(1, 5),
    "log_int": IntDistribution(2, 512, log=True),
    "even": IntDistribution(2, 10, step=2),
    "choice": CategoricalDistribution(["a", None, 3, True]),
}


def test_every_kind_of_param_comes_back_as_it_went():
    encoding, generator = Encoding(ALL_KINDS, {}), np.random.default_rng(0)
    rows = encoding.random(200, generator)
    moved = encoding.near(rows, 0.1, generator)
    for row in (*rows, *moved):
        params = encoding.params(row)
        assert all(of._contains(of.to_internal_repr(params[name])) for name, of in ALL_KINDS.items())
        np.testing.assert_allclose(encoding.row(params), row, atol=1e-9)
    values = [encoding.params(row) for row in rows]
    for name in ("step", "int", "even", "choice"):  # every value, the ends as often as the others
        counts = [sum(each[name] == value for each in values) for value in {each[name] for each in values}]
        assert len(counts) in (4, 5) and min(counts) > 15
    assert ((moved != rows).mean(axis=0) > 0.2).all() and ((moved == rows).mean(axis=0) > 0.3).all()


def test_two_choices_are_as_far_from_each_other_as_two_ends():
    encoding = Encoding({"choice": ALL_KINDS["choice"], "float": ALL_KINDS["float"]}, {})
    columns = encoding.columns(np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0], [math.nan, math.nan]]))
    distances = ((columns[0] - columns) ** 2).sum(axis=1)
    assert distances.tolist() == pytest.approx([0, 1, 1, 0.5 + 0.25])


def nested(model, generator):
    params = {"model": model, "lr": float(generator.uniform(0.1, 1))}
    if model == "deep":
        params |= {"layers": int(generator.integers(1, 4)), "act": str(generator.choice(["relu", "gelu"]))}
        if params["layers"] == 3:
            params["skip"] = float(generator.uniform(0, 1))
    distributions = {
        "model": CategoricalDistribution(["deep", "wide", "plain"]), "lr": FloatDistribution(0.1, 1.0),
        "layers": IntDistribution(1, 3), "act": CategoricalDistribution(["relu", "gelu"]),
        "skip": FloatDistribution(0.0, 1.0),
    }  # fmt: skip
    own = {name: distributions[name] for name in params}
    return create_trial(state=TrialState.PRUNED, params=params, distributions=own, intermediate_values={1: 0.5})


def test_conditions_are_found_in_the_trials_and_kept_by_proposals():
    generator = np.random.default_rng(0)
    trials = [nested(("deep", "wide", "plain")[number % 3], generator) for number in range(40)]
    distributions = union(trials)
    found = conditions(trials, distributions)
    assert found == {
        "layers": Condition("model", frozenset({"deep"})),
        "act": Condition("model", frozenset({"deep"})),
        "skip": Condition("layers", frozenset({3})),
    }
    encoding = Encoding(distributions, found)
    for row in encoding.random(50, generator):
        params = encoding.params(row)
        assert ("act" in params) == ("layers" in params) == (params["model"] == "deep")
        assert ("skip" in params) == (params.get("layers") == 3)


def test_the_example_of_the_page_runs(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "sampler.md").read_text()
    [code] = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert "best" in done.stdout
