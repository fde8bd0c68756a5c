"""Proposals: equal for equal results, spread before results come, better than chance after; networks and seeds."""

from collections import Counter

import numpy as np
import optuna
import pytest
from scipy.stats import qmc
from small_study import ended, new_record

from search.record.journal import locked
from search.sampler.choosers import CHOOSERS, STARTUP_TRIALS
from search.sampler.sampler import Sampler
from search.sampler.translate import at, distribution, stored, suggest
from search.settings.sections import SearchConfig
from search.space.domains import Choice, Float, Int
from search.space.space import Space

SIZES = ("clip_seconds", "r")
R = "params: {model: se_cnn, r: {uniform: [2, 64]}}\n"


@pytest.fixture
def space_of(tmp_path):
    def load(text, *overrides):
        (tmp_path / "s.yaml").write_text(text)
        return Space.load(tmp_path / "s.yaml", overrides=overrides)

    return load


@pytest.fixture
def record(tmp_path):
    with locked(tmp_path / "s-001"):
        yield new_record(tmp_path, "s-001")


def network(params):
    """128 channels reduced by r: what the SE block makes of it."""
    return str(int(128 / params["r"]))


def score(params):
    return 1 - abs(params["r"] - 30) / 64


def run(sampler, record, trials, end="complete"):
    """Trials one after another; returns their proposals."""
    proposals = []
    for number in range(len(record.trials()), trials):
        proposals.append(sampler.propose(number))
        assert record.start(proposals[-1]) == number
        record.report(number, {"epoch": 9 if end == "complete" else 1, "val_accuracy": score(proposals[-1].params)})
        record.end(number, ended(end), values=[score(proposals[-1].params)])
        sampler.tell(record.trial(number))
    return proposals


@pytest.mark.parametrize("name", ["rung_gp", "tpe", "gp", "random", "qmc"])
def test_a_restored_sampler_proposes_what_an_undisturbed_one_would(space_of, record, name):
    space = space_of(R, f"search.sampler={name}")
    run(Sampler(space, network), record, 14)

    restored = Sampler(space, network)
    restored.restore(record.trials())
    undisturbed = Sampler(space, network)
    undisturbed.restore(record.trials())

    assert restored.propose(14) == undisturbed.propose(14)


def test_restored_in_the_middle_of_a_study_nothing_changes(space_of, tmp_path):
    space = space_of(R)
    whole = new_record(tmp_path, "whole")
    run(Sampler(space, network), whole, 20)
    parts = new_record(tmp_path, "parts")
    for until in (5, 12, 20):
        sampler = Sampler(space, network)
        sampler.restore(parts.trials())
        run(sampler, parts, until)
    assert [t.params for t in parts.trials()] == [t.params for t in whole.trials()]


def test_tpe_finds_the_better_region(space_of, record):
    proposals = run(Sampler(space_of(R), network), record, 40)
    late = [score(p.params) for p in proposals[STARTUP_TRIALS:]]
    start = [score(p.params) for p in proposals[:STARTUP_TRIALS]]
    assert np.mean(late) > np.mean(start) + 0.1


def test_stopped_trials_teach_tpe_too(space_of, record):
    proposals = run(Sampler(space_of(R), network), record, 30, end="stopped")
    assert np.mean([score(p.params) for p in proposals[15:]]) > np.mean([score(p.params) for p in proposals[:10]])


def test_the_start_is_spread_more_evenly_than_chance(space_of, record):
    sampler = Sampler(space_of(R), network, slots=8)
    points = [[(sampler.propose(number).params["r"] - 2) / 62] for number in range(16)]
    chance = [qmc.discrepancy(np.random.default_rng(seed).random((16, 1))) for seed in range(20)]
    assert qmc.discrepancy(points) < min(chance)


def test_the_start_grows_with_what_runs_at_once(space_of, record):
    spread = Sampler(space_of(R, "search.sampler=qmc"), network)
    many = Sampler(space_of(R), network, slots=30)
    assert [many.propose(n).params for n in range(40)] == [spread.propose(n).params for n in range(40)]


def test_the_start_grows_with_what_varies(space_of, record):
    """Sixteen shares: as many results are waited for, and the next proposal is the sampler's own."""
    names = ["dropout", "dense_dropout", "label_smoothing", "weight_decay", "l1_penalty", "beta1", "beta2", "eps", "lr"]
    names += ["time_mask_width", "freq_mask_width", "mixup_alpha", "gain_db", "noise_snr_db", "clip_seconds", "r"]
    many = ", ".join(f"{name}: {{uniform: {'[3, 9]' if name in SIZES else '[0.1, 0.9]'}}}" for name in names)
    space = f"params: {{model: se_cnn, modality: both, {many}}}\n"
    proposed = run(Sampler(space_of(space), network), record, 18)
    spread = Sampler(space_of(space, "search.sampler=qmc"), network)
    same = [proposal.params == spread.propose(number).params for number, proposal in enumerate(proposed)]
    assert same == [True] * 16 + [False] * 2


def test_a_network_trained_before_gets_the_next_seed(space_of, record):
    proposals = run(Sampler(space_of(R, "search.seed=7"), network), record, 40)
    seeds = {}
    for each in proposals:
        seeds.setdefault(each.network, []).append((each.seed, each.repeat))
    assert max(Counter(each.network for each in proposals).values()) > 1
    for found in seeds.values():
        assert found == [(7 + repeat, repeat) for repeat in range(len(found))]


def test_allow_leaves_the_seed(space_of, record):
    proposals = run(Sampler(space_of(R, "search.on_repeat=allow"), network), record, 40)
    assert {each.seed for each in proposals} == {0}


def test_a_grid_takes_every_combination_once(space_of, record):
    space = space_of(
        "params: {model: se_cnn, r: {grid: [8, 16, 32]}, dropout: {grid: [0.1, 0.2]}}\nsearch: {sampler: grid}\n"
    )
    sampler = Sampler(space, network)
    found = [(p.params["r"], p.params["dropout"]) for p in run(sampler, record, 6)]
    assert sorted(found) == [(r, d) for r in (8, 16, 32) for d in (0.1, 0.2)]


def test_conditional_params_are_proposed_only_where_they_apply(space_of, record):
    space = space_of(
        """
params:
  model: {choice: [se_cnn, shallow]}
  r: {uniform: [2, 64], when: {model: se_cnn}}
  lr: {loguniform: [1.0e-5, 1.0e-2]}
"""
    )
    sampler = Sampler(space, lambda params: params["model"])
    for number in range(25):
        proposal = sampler.propose(number)
        assert ("r" in proposal.params) == (proposal.params["model"] == "se_cnn")
        assert set(proposal.varying) == set(proposal.labels) == set(proposal.distributions)
        record.start(proposal)
        record.report(number, {"epoch": 9, "val_accuracy": proposal.params["lr"]})
        record.end(number, ended("complete"), values=[proposal.params["lr"]])
        sampler.tell(record.trial(number))


@pytest.mark.parametrize(
    "domain",
    [
        Float(2.0, 64.0),
        Float(1e-5, 1e-2, log=True),
        Int(1, 5),
        Int(2, 512, log=True),
        Choice(([32, 64], [16, 32])),
        Choice((None, 0.5, True, "sum")),
    ],
)
def test_every_domain_comes_back_from_optuna_as_it_went(domain):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    for _ in range(20):
        value = suggest(study.ask(), "x", domain)
        study.enqueue_trial({"x": stored(domain, value)})
        again = study.ask({"x": distribution(domain)})
        assert suggest(again, "x", domain) == value


@pytest.mark.parametrize(
    "domain", [Float(1e-5, 1e-2, log=True), Int(2, 512, log=True), Int(3, 7), Float(2.0, 64.0), Int(8, 64, step=8)]
)
def test_shares_of_a_domain_reach_from_end_to_end(domain):
    below_one = np.nextafter(1, 0)
    assert at(domain, 0.0) == pytest.approx(domain.low)
    assert at(domain, below_one) == pytest.approx(domain.high)
    assert all(domain.low <= at(domain, share) <= domain.high for share in np.linspace(0, below_one, 101))


@pytest.mark.parametrize("name", ["rung_gp", "tpe", "random", "qmc"])
def test_every_sampler_proposes_whole_steps_only(space_of, record, name):
    """As they are written: 2.9, and not 2 + 3 x 0.3 in binary."""
    space = space_of(f"params: {{model: se_cnn, r: {{uniform: [2, 4.1], step: 0.3}}}}\nsearch: {{sampler: {name}}}\n")
    proposals = run(Sampler(space, network), record, 16)
    assert {each.params["r"] for each in proposals} <= {2.0, 2.3, 2.6, 2.9, 3.2, 3.5, 3.8, 4.1}
    assert len({each.params["r"] for each in proposals[:10]}) > 3
    assert [trial.varying["r"] for trial in record.trials()] == [each.params["r"] for each in proposals]


def test_every_sampler_that_a_space_may_name_has_a_chooser():
    names = SearchConfig.model_json_schema()["properties"]["sampler"]["enum"]
    assert sorted([*CHOOSERS, "auto"]) == sorted(names)


def test_scores_are_those_of_the_first_trial_of_a_network_that_has_any(space_of, record):
    """Whichever ended first: a driver that starts again no longer knows in which order they ended."""
    sampler = Sampler(space_of(R, "search.on_repeat=reuse"), lambda params: "the same")
    for number in range(3):
        record.start(sampler.propose(number))
    for number in (2, 0, 1):
        record.report(number, {"epoch": 9, "val_accuracy": 0.5})
        record.end(number, ended("complete"), values=[0.5])
        sampler.tell(record.trial(number))
    assert sampler.propose(3).reuse == 0
