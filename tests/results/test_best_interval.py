"""The interval of a search's best accuracy over its validation tracks."""

from types import SimpleNamespace

import numpy as np
import pytest

from mgc.training.metrics import Predictions
from search.record.files import VALIDATION
from search.results.answer import best_interval
from search.results.predictions import write_predictions

TRACKS, CLIPS = 20, 5


def interval(folder, right_MC, metric, score=None):
    """The interval of a study whose best trial is right where `right_MC` (tracks, clips) says so."""
    right_N = np.asarray(right_MC, dtype=bool).reshape(-1)
    predictions = Predictions(
        genres=("high", "low"),
        track_ids=tuple(f"track {number}" for number in range(TRACKS)),
        label_M=np.zeros(TRACKS, dtype=np.int64),
        track_N=np.repeat(np.arange(TRACKS), CLIPS),
        probabilities_NG=np.where(right_N[:, None], (0.9, 0.1), (0.1, 0.9)),
        loss=0.5,
    )
    path = folder / VALIDATION
    path.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(path, predictions)
    record = SimpleNamespace(folder=folder, header=SimpleNamespace(metric=metric))
    best = SimpleNamespace(params={}, last={metric: right_N.mean() if score is None else score})
    return best_interval(record, best)


def test_clips_of_one_track_that_agree_are_no_more_than_one_clip(tmp_path):
    right_MC = np.repeat(np.arange(TRACKS)[:, None] < 15, CLIPS, axis=1)
    by_clips, by_tracks = (interval(tmp_path, right_MC, name) for name in ("val_clip_accuracy", "val_accuracy"))
    assert by_clips == by_tracks
    assert by_clips.low < 0.75 < by_clips.high


def test_clips_that_differ_within_their_tracks_say_more_than_tracks(tmp_path):
    right_MC = np.random.default_rng(0).random((TRACKS, CLIPS)) < 0.75
    by_clips = interval(tmp_path, right_MC, "val_clip_accuracy")
    assert by_clips.mean == pytest.approx(right_MC.mean())
    by_tracks = interval(tmp_path, right_MC, "val_accuracy", np.mean(right_MC.mean(axis=1) > 0.5))
    assert by_clips.high - by_clips.low < by_tracks.high - by_tracks.low


def test_a_mean_over_epochs_has_an_interval_between_0_and_1(tmp_path):
    right_MC = np.repeat(np.arange(TRACKS)[:, None] > 0, CLIPS, axis=1)
    ends = interval(tmp_path, right_MC, "val_accuracy_mean3", 0.99)
    assert 0.9 < ends.low < ends.mean == 0.99 < ends.high <= 1


def test_what_is_no_accuracy_has_none(tmp_path):
    assert interval(tmp_path, np.ones((TRACKS, CLIPS)), "val_loss", 0.5) is None
