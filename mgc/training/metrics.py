"""From clip probabilities to scores: votes, accuracy, precision, recall, F1, confusion. NumPy only; knows no model.

Shape suffixes: N clips, M tracks, K cases (clips or tracks), G genres.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from mgc.config import Vote

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]


def votes(probabilities_NG: Floats, track_N: Ints, vote: Vote) -> Floats:
    """Probabilities (M, G) of tracks 0..M-1, each of at least one clip; `none` returns those of the clips.

    `sum` is the mean over a track's clips. `majority` is each genre's share of the clips that it wins; there the mean
    counts as half a clip, which decides ties and nothing else.

    >>> votes(np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]), np.array([0, 0, 0]), "sum").argmax()
    np.int64(0)
    >>> votes(np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]), np.array([0, 0, 0]), "majority").argmax()
    np.int64(1)
    """
    if vote == "none":
        return probabilities_NG
    num_clips_M = np.bincount(track_N)[:, None]
    mean_MG = _sum_by_track(probabilities_NG, track_N) / num_clips_M
    if vote == "sum":
        return mean_MG
    wins_NG = np.eye(probabilities_NG.shape[1])[probabilities_NG.argmax(axis=1)]
    return (_sum_by_track(wins_NG, track_N) + mean_MG / 2) / (num_clips_M + 0.5)


def _sum_by_track(x_NG: Floats, track_N: Ints) -> Floats:
    """Sums (M, G) in float64, in the clips' order."""
    return np.stack([np.bincount(track_N, weights=x_N) for x_N in x_NG.T], axis=1)


def confusion_matrix(label_K: Ints, predicted_K: Ints, num_genres: int) -> Ints:
    """Counts (G, G): rows are the true genres, columns the predicted ones."""
    return np.bincount(label_K * num_genres + predicted_K, minlength=num_genres**2).reshape(num_genres, num_genres)


@dataclass(frozen=True, kw_only=True)
class ClassificationScores:
    """Scores in [0, 1]. Macro means are over the genres that occur in the labels or the predictions."""

    accuracy: float
    precision: float
    recall: float
    f1: float


def classification_scores(confusion_GG: Ints) -> ClassificationScores:
    """Accuracy and macro-averaged precision, recall and F1; a ratio without cases (a genre never predicted) is 0."""
    hits_G, labelled_G, predicted_G = np.diag(confusion_GG), confusion_GG.sum(axis=1), confusion_GG.sum(axis=0)
    occurs_G = labelled_G + predicted_G > 0
    return ClassificationScores(
        accuracy=float(hits_G.sum() / confusion_GG.sum()),
        precision=_ratio(hits_G, predicted_G)[occurs_G].mean().item(),
        recall=_ratio(hits_G, labelled_G)[occurs_G].mean().item(),
        f1=_ratio(2 * hits_G, labelled_G + predicted_G)[occurs_G].mean().item(),
    )


def _ratio(part_G: Ints, whole_G: Ints) -> Floats:
    return part_G / np.maximum(whole_G, 1)


SHIPPED = {
    *(field.name for field in fields(ClassificationScores)),
    *("loss", "clip_accuracy", "accuracy_none", "accuracy_sum", "accuracy_majority", "track_loss"),
    *("seconds_per_clip",),
}
"""The names, without their part, of what is computed of every part in any case."""


@dataclass(frozen=True, kw_only=True)
class WrongTrack:
    """A track with a wrong predicted genre, and the probability of that genre."""

    track_id: str
    genre: str
    predicted: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """A model's predictions for one part of the data: for every clip, and by vote for every track.

    `track_N` and `label_M` are indices into `track_ids` and `genres`; `loss` is the mean cross-entropy by clip.
    """

    genres: tuple[str, ...]
    track_ids: tuple[str, ...]
    label_M: Ints
    track_N: Ints
    probabilities_NG: Floats
    loss: float

    def by(self, vote: Vote) -> tuple[Floats, Ints]:
        """Probabilities (K, G) and labels (K,): of the tracks, or with vote `none` of the clips."""
        label_K = self.label_M[self.track_N] if vote == "none" else self.label_M
        return votes(self.probabilities_NG, self.track_N, vote), label_K

    def confusion(self, vote: Vote) -> Ints:
        """Counts (G, G), see `confusion_matrix`."""
        probabilities_KG, label_K = self.by(vote)
        return confusion_matrix(label_K, probabilities_KG.argmax(axis=1), len(self.genres))

    def scores(self, vote: Vote) -> ClassificationScores:
        """Accuracy, precision, recall and F1 under this vote."""
        return classification_scores(self.confusion(vote))

    def track_loss(self) -> float:
        """Mean cross-entropy by track, of the mean over its clips' probabilities: the loss of what `sum` predicts."""
        probabilities_MG, label_M = self.by("sum")
        own_M = probabilities_MG[np.arange(len(label_M)), label_M]
        return float(-np.log(np.maximum(own_M, np.finfo(np.float32).tiny)).mean())

    def most_wrong(self, num_tracks: int) -> list[WrongTrack]:
        """The wrong tracks of summed votes whose wrong genre got the highest probability, highest first."""
        probabilities_MG, label_M = self.by("sum")
        predicted_M, probability_M = probabilities_MG.argmax(axis=1), probabilities_MG.max(axis=1)
        wrong = np.flatnonzero(predicted_M != label_M)
        surest = wrong[np.argsort(-probability_M[wrong], kind="stable")][:num_tracks]
        return [
            WrongTrack(
                track_id=self.track_ids[index],
                genre=self.genres[label_M[index]],
                predicted=self.genres[predicted_M[index]],
                probability=float(probability_M[index]),
            )
            for index in surest
        ]


def invented() -> Predictions:
    """Predictions for six tracks of two clips each and three genres, on which a metric can be tried."""
    rng = np.random.default_rng(0)
    return Predictions(
        genres=("a", "b", "c"),
        track_ids=tuple(f"track {number}" for number in range(6)),
        label_M=np.array([0, 1, 2, 0, 1, 2]),
        track_N=np.repeat(np.arange(6), 2),
        probabilities_NG=rng.dirichlet(np.ones(3), size=12),
        loss=1.0,
    )
