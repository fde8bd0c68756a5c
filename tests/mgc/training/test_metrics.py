"""Votes on hand-made arrays; figures against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
import torch

from mgc.training.metrics import Predictions, classification_scores, confusion_matrix, votes

SURE_AND_TWO_DOUBTS = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])


def test_sum_lets_one_sure_clip_outweigh_two_doubtful_ones_and_majority_does_not() -> None:
    track_N = np.zeros(3, dtype=int)
    np.testing.assert_allclose(votes(SURE_AND_TWO_DOUBTS, track_N, "sum"), [[1.7 / 3, 1.3 / 3]])
    assert votes(SURE_AND_TWO_DOUBTS, track_N, "majority").argmax() == 1


def test_no_vote_leaves_the_clips_as_they_are() -> None:
    assert votes(SURE_AND_TWO_DOUBTS, np.zeros(3, dtype=int), "none") is SURE_AND_TWO_DOUBTS


def test_a_tied_majority_goes_to_the_larger_sum() -> None:
    tied_NG = np.array([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0], [0.0, 0.45, 0.55], [0.0, 0.3, 0.7], [0.7, 0.3, 0.0]])
    tied_NG = np.vstack([tied_NG, [0.0, 0.8, 0.2]])  # two clips for each genre, most probability for the second
    assert votes(tied_NG, np.zeros(6, dtype=int), "majority").argmax() == 1


def test_a_majority_of_one_clip_beats_any_sum() -> None:
    track_NG = np.array([[0.51, 0.49]] * 51 + [[0.0, 1.0]] * 50)
    assert votes(track_NG, np.zeros(101, dtype=int), "majority").argmax() == 0


@pytest.mark.parametrize("vote", ["sum", "majority"])
def test_votes_keep_tracks_apart_in_any_order_of_clips_and_stay_probabilities(vote: str) -> None:
    rng = np.random.default_rng(0)
    probabilities_NG, track_N = rng.dirichlet(np.ones(4), size=30), rng.permutation(np.arange(30) % 5)
    voted_MG = votes(probabilities_NG, track_N, vote)
    np.testing.assert_allclose(voted_MG.sum(axis=1), 1)
    for track in range(5):
        alone_1G = votes(probabilities_NG[track_N == track], np.zeros(6, dtype=int), vote)
        np.testing.assert_allclose(voted_MG[track], alone_1G[0])


@pytest.mark.parametrize("seed", range(20))
def test_scores_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_genres = int(rng.integers(2, 12))  # with few cases some genres are never labelled, predicted, or both
    label_K, predicted_K = rng.integers(0, num_genres, size=(2, 15))
    confusion_GG = confusion_matrix(label_K, predicted_K, num_genres)
    scores = classification_scores(confusion_GG)
    precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(
        label_K, predicted_K, average="macro", zero_division=0
    )
    np.testing.assert_array_equal(
        confusion_GG, sklearn.metrics.confusion_matrix(label_K, predicted_K, labels=np.arange(num_genres))
    )
    np.testing.assert_allclose([scores.precision, scores.recall, scores.f1], [precision, recall, f1])
    assert scores.accuracy == pytest.approx(sklearn.metrics.accuracy_score(label_K, predicted_K))


@pytest.fixture
def predictions() -> Predictions:
    """Three tracks of two clips: the first right, the second wrong and sure of it, the third wrong and in doubt."""
    right, wrong, doubt = [0.9, 0.1, 0.0], [0.0, 0.1, 0.9], [0.6, 0.4, 0.0]
    return Predictions(
        genres=("blues", "jazz", "rock"),
        track_ids=("a", "b", "c"),
        label_M=np.array([0, 0, 1]),
        track_N=np.array([0, 0, 1, 1, 2, 2]),
        probabilities_NG=np.array([right, right, wrong, wrong, doubt, doubt]),
        loss=1.0,
    )


def test_predictions_are_counted_by_clip_or_by_track(predictions: Predictions) -> None:
    np.testing.assert_array_equal(predictions.confusion("sum"), [[1, 0, 1], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(predictions.confusion("none"), 2 * predictions.confusion("sum"))
    assert predictions.scores("majority").accuracy == pytest.approx(1 / 3)


def test_the_surest_mistake_comes_first(predictions: Predictions) -> None:
    first, second = predictions.most_wrong(5)
    assert (first.track_id, first.genre, first.predicted, first.probability) == ("b", "blues", "rock", 0.9)
    assert second.track_id == "c"
    assert predictions.most_wrong(1) == [first]


def test_track_loss_is_that_of_the_summed_votes() -> None:
    probabilities_NG = np.array([[0.9, 0.1], [0.5, 0.5], [0.0, 1.0]], dtype=np.float32)
    predictions = Predictions(
        genres=("a", "b"),
        track_ids=("x", "y"),
        label_M=np.array([0, 1]),
        track_N=np.array([0, 0, 1]),
        probabilities_NG=probabilities_NG,
        loss=0.0,
    )
    expected = torch.nn.functional.nll_loss(torch.tensor([[0.7, 0.3], [0.0, 1.0]]).log(), torch.tensor([0, 1])).item()
    assert predictions.track_loss() == pytest.approx(expected)
