"""What an earlier study's results are good for in a new one."""

import pytest
from optuna.distributions import FloatDistribution
from small_study import ended, new_record

from search.record.notes import WARM_START
from search.record.trial import Proposal
from search.sampler.sampler import Sampler
from search.sampler.warmstart import EarlierResult, WarmStart
from search.space.space import Space

DIGESTS = {"dataset": "d1", "split": "s1"}
SPACE = """
data: {dataset: synthetic, split: artist}
params: {model: se_cnn, r: {uniform: [2, 64]}, lr: 0.001}
search: {trials: 12, seed: 1}
budget: {epochs: 3}
"""


def space(tmp_path, text=SPACE):
    (tmp_path / "s.yaml").write_text(text)
    return Space.load(tmp_path / "s.yaml")


@pytest.fixture
def earlier(tmp_path):
    """r = 4, 8, ..., 48 with scores that are best at 30, and one trial that failed."""
    old = space(tmp_path)
    record = new_record(tmp_path, "s-001", canonical=old.canonical())
    for r in range(4, 52, 4):
        add(record, old, float(r), 1 - abs(r - 30) / 64)
    add(record, old, 50.0, None)
    return record


def add(record, of, r, score):
    params = of.walk(lambda name, domain: r)
    number = record.start(
        Proposal(
            params=params,
            varying={"r": r},
            labels={"r": r},
            distributions={"r": FloatDistribution(2, 64)},
            seed=0,
            network=key(params),
            repeat=0,
        )
    )
    if score is None:
        record.end(number, ended("failed", "no"))
    else:
        record.report(number, {"epoch": 3, "val_accuracy": score})
        record.end(number, ended("complete"), values=[score])


def key(params):
    return str(int(128 / params["r"]))


def test_results_that_mean_the_same_are_all_used(earlier, tmp_path):
    warm_start = WarmStart.of(earlier, space(tmp_path), DIGESTS)
    assert [result.params["r"] for result in warm_start.results] == [float(r) for r in range(4, 52, 4)]
    assert str(warm_start) == "warm start: 12 of 12 results of s-001 can be used"


@pytest.mark.parametrize(
    ("old", "new", "count"),
    [
        ("uniform: [2, 64]", "uniform: [10, 30]", 5),  # 12, 16, 20, 24, 28
        ("uniform: [2, 64]", "int: [10, 30]", 5),
        ("r: {uniform: [2, 64]}", "r: 8.0", 1),
        ("lr: 0.001", "lr: 0.01", 0),
        ("lr: 0.001", "lr: {loguniform: [0.0001, 0.1]}", 12),
        ("lr: 0.001", "lr: 0.001, dropout: 0.5", 0),  # se_cnn's own is another
    ],
)
def test_of_another_space_those_are_used_that_it_could_have_proposed(earlier, tmp_path, old, new, count):
    changed = space(tmp_path, SPACE.replace(old, new))
    assert len(WarmStart.of(earlier, changed, DIGESTS).results) == count


def test_a_default_that_one_file_writes_and_the_other_does_not_is_the_same(earlier, tmp_path):
    default = space(tmp_path).check_params({"model": "se_cnn", "r": 4.0}).optimizer.batch_size
    written = space(tmp_path, SPACE.replace("lr: 0.001", f"lr: 0.001, batch_size: {default}"))
    assert len(WarmStart.of(earlier, written, DIGESTS).results) == 12


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("epochs: 3", "epochs: 5", "budget.epochs: 3 -> 5"),
        ("trials: 12", "trials: 12, metric: val_f1", "search.metric: val_accuracy -> val_f1"),
    ],
)
def test_scores_that_cannot_be_compared_are_not_used(earlier, tmp_path, old, new, why):
    warm_start = WarmStart.of(earlier, space(tmp_path, SPACE.replace(old, new)), DIGESTS)
    assert str(warm_start) == f"warm start: 0 of 12 results of s-001 can be used ({why})"


def test_scores_on_other_data_are_not_used(earlier, tmp_path):
    warm_start = WarmStart.of(earlier, space(tmp_path), {"dataset": "d2", "split": "s1"})
    assert (warm_start.results, warm_start.unlike) == ([], ["another dataset"])


def test_the_sampler_starts_where_the_earlier_study_ended(earlier, tmp_path):
    new = space(tmp_path)
    warm_start = WarmStart.of(earlier, new, DIGESTS)
    warm, cold = Sampler(new, key), Sampler(new, key)
    warm.learn(warm_start.results)
    proposals = [[sampler.propose(number) for number in range(8)] for sampler in (warm, cold)]

    near = [sum(abs(proposal.params["r"] - 30) < 12 for proposal in each) for each in proposals]
    assert near[0] > near[1]
    known = {key({"r": float(r)}) for r in range(4, 52, 4)}
    assert all(proposal.repeat > 0 and proposal.seed > 1 for proposal in proposals[0] if proposal.network in known)


def test_a_sampler_that_is_rebuilt_proposes_the_same(earlier, tmp_path):
    new = space(tmp_path)
    warm_start = WarmStart.of(earlier, new, DIGESTS)
    record = new_record(tmp_path, "s-002")
    first = Sampler(new, key)
    first.learn(warm_start.results)
    expected = []
    for number in range(4):
        expected.append(first.propose(number))
        record.start(expected[-1])
        if number < 2:
            record.report(number, {"epoch": 3, "val_accuracy": 0.5})
            record.end(number, ended("complete"), values=[0.5])
            first.tell(record.trial(number))

    again = Sampler(new, key)
    again.learn(warm_start.results)
    again.restore(record.trials()[:3])
    assert again.propose(3) == expected[3]


def test_the_note_of_earlier_records_is_still_read(tmp_path):
    """As versions of 2026 have written it."""
    record = new_record(tmp_path, "s-003")
    results = [{"params": {"r": 4.0}, "state": "stopped", "epoch": 2, "metrics": {"val_accuracy": 0.5}}]
    note = {"study": "s-001", "total": 7, "unlike": [], "results": results}
    record.note(WARM_START, note)
    assert WarmStart.noted(record) == WarmStart(
        study="s-001", total=7, unlike=[], results=[EarlierResult(**each) for each in results]
    )
    WarmStart.noted(record).note(record)
    assert record.noted(WARM_START) == note
