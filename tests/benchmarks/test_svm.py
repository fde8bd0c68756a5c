"""The SVM that a network must beat: its statistics, its votes, and the pairing of its tracks with a network's."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.svm import Described, fitted, joined, paired, right, statistics
from mgc.words.errors import ConfigError

RNG = np.random.default_rng(0)


def test_the_statistics_of_a_clip_are_numpys_band_by_band():
    x_NFT = RNG.random((3, 4, 20))
    found = statistics(x_NFT)
    assert found.shape == (3, 5 * 4)
    band = x_NFT[1, 2]
    expected = [band.mean(), band.std(), band.min(), band.max(), np.diff(band).std()]
    assert found[1, 2::4] == pytest.approx(expected)


def described(seed):
    """Three genres of two tracks of five clips each, whose statistics lie around -2, 0 and 2."""
    y_M = np.array([0, 0, 1, 1, 2, 2])
    track_N = np.repeat(np.arange(6), 5)
    x_ND = np.random.default_rng(seed).normal(2.0 * (y_M[track_N] - 1)[:, None], 1.0, (30, 6))
    return Described(x_ND, y_M[track_N], track_N, y_M)


def test_votes_of_clips_recognize_tracks_and_parts_can_be_joined():
    both, test = joined(described(0), described(1)), described(2)
    assert len(both.y_N) == 60 and both.track_N.max() == 11
    assert right(fitted(both, 1.0, 0.5), test).tolist() == [True] * 6
    other = Described(test.x_ND, test.y_N, test.track_N, 2 - test.y_M)
    assert right(fitted(both, 1.0, 0.5), other).tolist() == [False, False, True, True, False, False]


def test_a_network_and_the_svm_are_paired_by_track_whatever_their_order():
    names = [f"t{number}" for number in range(50)]
    right_M = RNG.random(50) < 0.5
    order = RNG.permutation(50)
    same = SimpleNamespace(
        right_SM=np.stack([right_M[order]] * 3).astype(float),
        predictions_S=(SimpleNamespace(track_ids=[names[index] for index in order]),),
    )
    gap = paired(same, right_M, names)
    assert (gap.mean, gap.low, gap.high) == (0, 0, 0)
    same.right_SM[:] = 1
    assert paired(same, right_M, names).mean == pytest.approx(1 - right_M.mean())
    with pytest.raises(ConfigError, match="the confirmation's test tracks are others"):
        paired(same, right_M[1:], names[1:])
