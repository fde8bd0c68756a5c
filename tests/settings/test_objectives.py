"""What trials are compared by: Optuna's own Pareto front, NumPy's means, and limits that nobody outside may win."""

import json

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from small_study import ended, new_record

from search.record.files import JOURNAL
from search.record.ranking import networks, pareto_front, ranked
from search.record.record import Record
from search.record.trial import Proposal
from search.report.report import write_report
from search.results.answer import search_answer
from search.settings.objectives import Objectives, mean_name, means
from search.terminal.display import show_summary
from search.terminal.tables import data_line, trial_line
from search.tracking.projection import description, front_tags, limit_tags, place_tags, points

SEVERAL = {"metric": ["val_accuracy", "num_weights"], "mode": ["max", "min"]}


def add(record, accuracy, num_weights, state="complete", **metrics):
    """An ended trial of one epoch, as a study writes it."""
    by = record.header.objectives
    r = 1.0 + len(record.trials())
    proposal = Proposal(
        params={"model": "se_cnn", "r": r},
        varying={"r": r},
        labels={"r": r},
        distributions={"r": FloatDistribution(1.0, 1000.0)},
        seed=0,
        network=f"net-{r}",
        repeat=0,
        known={"num_weights": num_weights},
    )
    number = record.start(proposal)
    record.report(number, {"epoch": 1, "val_accuracy": accuracy, "seconds": 1.0, **metrics})
    last = record.trial(number).last
    record.end(number, ended(state, "ASHA after epoch 1"), values=by.values(last), violations=by.violations(last))
    return number


@pytest.fixture
def study(tmp_path):
    """`study(**header)` -> a record with that header."""
    canonical = {"data": {}, "params": {"model": "se_cnn", "r": {"uniform": [1.0, 1000.0]}}}
    return lambda **header: new_record(tmp_path, "p-001", canonical=canonical, **header)


def by_optuna(record):
    """The study as somebody with nothing but Optuna reads its record."""
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(record.folder / JOURNAL)))
    return optuna.load_study(study_name=record.name, storage=storage)


@pytest.mark.parametrize("constraints", [{}, {"num_weights": {"max": 60}}, {"num_weights": {"min": 20}}])
@pytest.mark.parametrize("seed", range(4))
def test_the_front_is_optunas_own(study, constraints, seed):
    record = study(**SEVERAL, constraints=constraints)
    generator = np.random.default_rng(seed)
    for _ in range(40):  # coarse values, so that there are ties and equal points
        state = "complete" if generator.random() < 0.8 else "stopped"
        add(record, generator.integers(10) / 10, int(generator.integers(1, 12)) * 10, state)
    front = pareto_front(record.trials(), record.header.objectives)
    assert {trial.number for trial in front} == {trial.number for trial in by_optuna(record).best_trials}
    assert [trial.last["val_accuracy"] for trial in front] == sorted(
        (trial.last["val_accuracy"] for trial in front), reverse=True
    )


def test_the_best_of_several_metrics_is_on_the_front(study):
    record = study(**SEVERAL)
    add(record, 0.8, 500)
    smaller = add(record, 0.8, 100)
    by = record.header.objectives
    assert [trial.number for trial in ranked(record.trials(), by)] == [smaller, 0]
    assert [trial.number for trial in pareto_front(record.trials(), by)] == [smaller]


def test_the_front_of_one_metric_is_its_best(study):
    record = study()
    for accuracy in (0.5, 0.8, 0.8, 0.7):
        add(record, accuracy, 1)
    assert [trial.number for trial in pareto_front(record.trials(), record.header.objectives)] == [1, 2]


def test_a_trial_outside_the_limits_is_never_the_best_and_is_marked(study):
    record = study(constraints={"num_weights": {"max": 500_000}})
    outside, inside = add(record, 0.9, 701_584), add(record, 0.6, 500_000)
    heading = record.header
    assert [network.trials[0].number for network in networks(record.trials(), heading.objectives)] == [inside]
    line = trial_line(record.trial(outside), heading, [], is_best=False).plain
    assert "complete, infeasible" in line
    assert "num_weights 701,584 > 500,000" in line
    assert f"(trial {inside})" in search_answer(record).text
    assert limit_tags(heading, record.trial(outside)) == {"infeasible": "num_weights 701,584 > 500,000"}
    assert limit_tags(heading, record.trial(inside)) == {}
    assert by_optuna(record).trials[outside].constraints["num_weights max"] == pytest.approx(201_584 / 500_000)


def test_a_study_of_trials_outside_the_limits_has_no_best(study, capsys):
    record = study(constraints={"num_weights": {"max": 10}, "val_accuracy": {"min": 0.5}})
    add(record, 0.9, 11)
    add(record, 0.4, 10)
    assert search_answer(record).text.startswith(
        "None of 2 complete trials keeps num_weights <= 10 and val_accuracy >= 0.5, so there is no answer"
    )
    show_summary(record, seconds=1, tracking="x", following="y")
    shown = capsys.readouterr().out
    assert "infeasible: trials 0, 1 (constraints: num_weights <= 10 and val_accuracy >= 0.5)" in shown
    assert "no complete trial keeps num_weights <= 10 and val_accuracy >= 0.5: there is no best one" in shown


def test_what_is_no_number_yet_breaks_no_limit():
    by = Objectives(metrics=("val_accuracy",), modes=("max",), constraints={"val_seconds_per_clip": {"max": 0.1}})
    assert by.violations({"val_accuracy": 0.5}) == by.violations({"val_seconds_per_clip": float("nan")}) == {}
    assert by.violations({"val_seconds_per_clip": 0.2}) == {"val_seconds_per_clip max": pytest.approx(1.0)}


@pytest.mark.parametrize("num_epochs", [2, 3, 5])
def test_a_mean_is_numpys_over_the_last_epochs(num_epochs):
    curve = np.random.default_rng(0).random(12)
    told = [{"epoch": n, "val_accuracy": float(value)} for n, value in enumerate(curve, start=1)]
    name = mean_name("val_accuracy", num_epochs)
    for epoch in range(1, 13):
        expected = curve[max(0, epoch - num_epochs) : epoch].mean()
        assert means(told[:epoch], [name, "val_accuracy"]) == {name: pytest.approx(expected)}


def test_one_epoch_and_costs_have_no_mean():
    assert mean_name("val_accuracy", 1) == "val_accuracy"
    assert mean_name("num_weights", 3) == "num_weights"


def test_a_mean_is_what_the_study_goes_by(study):
    record = study(metric="val_accuracy_mean3")
    add(record, 0.9, 1, val_accuracy_mean3=0.5)
    best = add(record, 0.6, 1, val_accuracy_mean3=0.55)
    assert f"(trial {best}): val_accuracy_mean3 0.550" in search_answer(record).text


def test_the_front_is_in_the_report_as_plot_and_file(study):
    record = study(**SEVERAL, constraints={"num_weights": {"max": 400}})
    for accuracy, num_weights in ((0.8, 300), (0.6, 100), (0.5, 200), (0.9, 500)):
        add(record, accuracy, num_weights)
    folder = write_report(record.folder)
    assert (folder / "front.csv").read_text().split() == [
        "trial,val_accuracy,num_weights,r",
        "0,0.8,300,1",
        "1,0.6,100,2",
    ]
    assert (folder / "front.png").stat().st_size > 1000
    page = (folder / "report.html").read_text()
    assert "Pareto front" in page
    assert "1 of 4 trials do not keep num_weights &lt;= 400." in page
    assert '3,"complete, infeasible",0.9,500' in (folder / "trials.csv").read_text()


def test_mlflow_hears_of_the_front_and_of_known_metrics(study):
    record = study(**SEVERAL, trials=3)
    for accuracy, num_weights in ((0.8, 300), (0.6, 100), (0.5, 200)):
        add(record, accuracy, num_weights)
    heading, trials = record.header, record.trials()
    assert front_tags(heading, trials) == {"pareto_front": "0, 1"}
    assert [place_tags(heading, trial, trials)["pareto_front"] for trial in trials] == [
        "true",
        "true",
        "false",
    ]
    assert "pareto_front" not in place_tags(heading, trials[0], trials[:2])  # another may come
    assert ("num_weights", 300.0) in [(point.name, point.value) for point in points(trials[0], after=0)]
    assert "**Pareto front**: trial 0, trial 1" in description("p-001", heading, trials)
    block = "```yaml\nparams:\n  model: se_cnn\n  channels: [4, 8]\n```"
    assert description("p-001", heading, trials, None, {"model": "se_cnn", "channels": [4, 8]}).endswith(block)
    assert "compared by val_accuracy (max) and num_weights (min)" in data_line(heading).plain


def test_the_summary_lists_the_front(study, capsys):
    record = study(**SEVERAL)
    add(record, 0.8, 123_456)
    show_summary(record, seconds=1, tracking="x", following="y")
    assert "123,456" in capsys.readouterr().out


def test_what_a_record_holds_of_a_proposal_is_there_again(study):
    record = study()
    rejected = [{"labels": {"r": 1.0}, "distributions": {}, "violations": {"num_weights max": 0.5}}]
    plain = dict(params={}, varying={}, labels={}, distributions={}, seed=0, network="n", repeat=0)  # noqa: C408
    number = record.start(Proposal(**plain, known={"num_weights": 7}, rejected=rejected, infeasible="too large"))
    trial = Record.open(record.folder).trial(number)
    assert (trial.known, json.loads(json.dumps(trial.rejected)), trial.infeasible) == (
        {"num_weights": 7}, rejected, "too large",
    )  # fmt: skip
    assert trial.is_untrained
    assert trial.score("num_weights") == 7
    assert trial.facts == {}


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), -float("inf")])
def test_a_trial_has_a_line_whatever_its_cost(study, cost):
    record = study(**SEVERAL)
    trial = record.trial(add(record, 0.5, cost))
    assert f"num_weights {cost}" in trial_line(trial, record.header, [], is_best=False).plain
