"""Intervals against SciPy's, against known numbers, and against how often they hold the truth."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.special import expit, logit

from search.stats import Interval, difference, over_both, over_seeds, over_tracks, verdict


def test_the_interval_over_seeds_is_scipys():
    values = [0.61, 0.58, 0.66, 0.63, 0.60]
    mean, error = np.mean(values), scipy_stats.sem(values)
    low, high = scipy_stats.t.interval(0.95, len(values) - 1, loc=mean, scale=error)
    found = over_seeds(values, is_share=False)
    assert (found.mean, found.low, found.high) == pytest.approx((mean, low, high))


def test_the_interval_of_a_share_is_that_of_its_log_odds():
    values = [0.61, 0.58, 0.66, 0.63, 0.60]
    mean, error = np.mean(values), scipy_stats.sem(values)
    ends = scipy_stats.t.interval(0.95, len(values) - 1, loc=logit(mean), scale=error / (mean * (1 - mean)))
    found = over_seeds(values)
    assert (found.mean, found.low, found.high) == pytest.approx((mean, *expit(ends)))


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0, 0.0, 1.0], [0.99, 1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 0.5, 0.9, 0.1]])
def test_no_interval_of_a_share_reaches_beyond_0_and_1(values):
    found = over_seeds(values)
    assert 0 < found.low < found.mean < found.high < 1


def test_a_share_that_never_varies_has_no_width():
    assert [str(over_seeds([value] * 5)) for value in (0.0, 1.0)] == ["0.000 [0.000, 0.000]", "1.000 [1.000, 1.000]"]


def test_the_interval_of_equal_values_holds_their_mean():
    """The mean of equal values is not always one of them, to the last digit."""
    found = [over_seeds([right / 45] * number) for right in range(46) for number in range(5, 20)]
    assert all(interval.low <= interval.mean <= interval.high for interval in found)


@pytest.mark.parametrize("number", [2, 4])
def test_of_fewer_than_five_trainings_the_scores_are_shown_and_no_interval(number):
    found = over_seeds([0.75, 0.65, 0.7, 0.7][:number])
    assert not found.is_known
    assert str(found) == {2: "0.700 (0.650, 0.750)", 4: "0.700 (0.650, 0.700, 0.700, 0.750)"}[number]


def test_known_numbers_of_a_textbook_interval():
    """Mean 10, deviation 2, n = 5: 10 +/- 2.7764 * 2 / sqrt(5)."""
    values = np.array([-2, -1, 0, 1, 2]) / np.std([-2, -1, 0, 1, 2], ddof=1) * 2 + 10
    assert over_seeds(values, is_share=False).low == pytest.approx(10 - 2.48333, abs=1e-4)


def test_one_training_has_no_interval_over_seeds():
    found = over_seeds([0.5])
    assert (found.mean, found.is_known, str(found)) == (0.5, False, "0.500")


def test_the_bootstrap_over_tracks_is_scipys():
    right_M = np.random.default_rng(1).random(197) < 0.6
    reference = scipy_stats.bootstrap(
        (right_M.astype(float),), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2)
    ).confidence_interval
    found = over_tracks(right_M[None])
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=0.006)
    assert (found.high - found.low) / 2 == pytest.approx(0.068, abs=0.004)  # 1.96 sqrt(0.6 * 0.4 / 197)


def test_repeated_draws_are_the_same():
    right_SM = np.random.default_rng(1).random((3, 50)) < 0.6
    assert over_both(right_SM) == over_both(right_SM)


def trainings(rng, num_tracks, *, gap=0.0, seed_sd=0.2):
    """Whether five trainings are right (S, M) on tracks of unlike difficulty; what a seed does is each config's own."""
    difficulty_M = rng.normal(0, 1.5, num_tracks)

    def right(gap):
        level_SM = 0.4 + gap + difficulty_M + rng.normal(0, seed_sd, (5, 1))
        return rng.random((5, num_tracks)) < 1 / (1 + np.exp(-level_SM))

    return right(gap), right(0.0)


@pytest.mark.slow
def test_equal_configs_are_told_apart_at_most_once_in_twenty():
    rng = np.random.default_rng(0)
    gaps = [difference(*trainings(rng, 100)) for _ in range(80)]
    assert sum(not gap.low <= 0 <= gap.high for gap in gaps) / 80 <= 0.08


def test_a_large_difference_is_seen():
    gap = difference(*trainings(np.random.default_rng(0), 200, gap=1.0))
    assert gap.low > 0.05
    assert verdict("a", "b", gap).startswith("a is better than b: +")


def test_pairing_takes_the_difficulty_of_tracks_out():
    """Two trainings that are right on the same tracks but for one: the interval is far narrower than either's own."""
    right_SM = np.random.default_rng(0).random((5, 200)) < 0.5
    other_SM = right_SM.copy()
    other_SM[:, :4] = ~other_SM[:, :4]
    gap, alone = difference(right_SM, other_SM), over_tracks(right_SM)
    assert gap.high - gap.low < (alone.high - alone.low) / 2


def test_what_an_interval_says():
    assert verdict("a", "b", Interval(mean=0.0, low=-0.02, high=0.02)) == (
        "no difference shown at 95 % between a and b: +0.0 points [-2.0, +2.0]"
    )
    assert verdict("a", "b", Interval(mean=0.03, low=0.01, high=0.05)).startswith("a is better than b: +3.0 points")
    assert "cannot tell" in verdict("a", "b", over_seeds([0.1]))
