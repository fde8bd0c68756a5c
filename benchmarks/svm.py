"""An RBF SVM on statistics of log-mel clips with summed votes: what a network must beat on the same tracks.

    python -m benchmarks.svm --data gtzan:gtzan_logmel_64x500.npz --against runs/gtzan_honest-001-confirm

The split is the networks' own. C and gamma are chosen by the validation tracks, among those listed here; then the test
part is opened, once, for the chosen pair, which like the networks is trained on the train part, or on that and
validation. `--against` is a confirmation's folder: its configs are compared with the SVM, paired by track. Shape
suffixes: S seeds, N clips, M tracks, F mel bands, T frames, D statistics, G genres.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mgc.clips.clips import Clips, open_clips
from mgc.config import DataConfig
from mgc.networks.training_config import training_config
from mgc.tracks.splits import Part
from mgc.words.errors import ConfigError
from search.record.header import TRAIN_PARTS
from search.results.confirmed import ConfirmedConfig, confirmed
from search.stats import Interval, difference, over_both, over_tracks, verdict

Array = npt.NDArray[Any]

PARAMS = {"model": "se_cnn", "clip_overlap": None, "spectrogram": "log_mel", "normalize": "none"}
"""The model is none that is trained here: a config must name one."""
C = (1.0, 2.0, 4.0, 8.0)
GAMMA = (0.125, 0.25, 0.5, 1.0)
"""In parts of one over the number of statistics, which all have variance 1."""


class Described(NamedTuple):
    """The clips of one part as statistics, their genres, and which track each is from; the genres of the tracks."""

    x_ND: Array
    y_N: Array
    track_N: Array
    y_M: Array


def statistics(x_NFT: Array) -> Array:
    """Of each band over the clip's frames: mean, deviation, least, most, and deviation of the change between frames."""
    change_NFT = np.diff(x_NFT, axis=2)
    parts = (x_NFT.mean(2), x_NFT.std(2), x_NFT.min(2), x_NFT.max(2), change_NFT.std(2))
    return np.concatenate(parts, axis=1)


def described(clips: Clips, part: Part) -> Described:
    batches = list(clips.batches(part, 1000))
    pictures = [batch.x[:, 0].numpy() for batch in batches if isinstance(batch.x, torch.Tensor)]
    y_N, track_N = (np.concatenate([batch[column].numpy() for batch in batches]) for column in (1, 2))
    _, first_clip_M = np.unique(track_N, return_index=True)
    return Described(np.concatenate([statistics(x_NFT) for x_NFT in pictures]), y_N, track_N, y_N[first_clip_M])


def joined(a: Described, b: Described) -> Described:
    """The clips of two parts as one; tracks of the second count on."""
    track_N = np.concatenate([a.track_N, b.track_N + len(a.y_M)])
    return Described(
        np.concatenate([a.x_ND, b.x_ND]), np.concatenate([a.y_N, b.y_N]), track_N, np.concatenate([a.y_M, b.y_M])
    )


def fitted(train: Described, c: float, gamma: float) -> Pipeline:
    machine = SVC(C=c, gamma=gamma / train.x_ND.shape[1], cache_size=1000)
    return make_pipeline(StandardScaler(), machine).fit(train.x_ND, train.y_N)


def right(machine: Pipeline, part: Described) -> Array:
    """Whether each track (M,) is recognized: its clips' decision values, one for each genre, are summed."""
    sum_MG = np.zeros((len(part.y_M), len(machine.classes_)))
    np.add.at(sum_MG, part.track_N, machine.decision_function(part.x_ND))
    return machine.classes_[sum_MG.argmax(axis=1)] == part.y_M


def paired(config: ConfirmedConfig, right_M: Array, track_ids: Sequence[str]) -> Interval:
    """Accuracy of a config's trainings minus that of the one SVM, by the same tracks whatever their order."""
    place = {track_id: index for index, track_id in enumerate(track_ids)}
    if set(place) != set(config.predictions_S[0].track_ids):
        raise ConfigError("the confirmation's test tracks are others than these", "split")
    mine_M = right_M[[place[track_id] for track_id in config.predictions_S[0].track_ids]]
    return difference(config.right_SM, np.broadcast_to(mine_M, config.right_SM.shape))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.svm", description="An RBF SVM on log-mel statistics.")
    parser.add_argument("--data", required=True, help="name, folder or .npz file of the dataset")
    parser.add_argument("--split", default="fault_filtered", help="policy that divides the tracks")
    parser.add_argument("--n-mels", type=int, default=64)
    parser.add_argument("--clip-seconds", type=float, default=5.0)
    parser.add_argument("--clips", type=int, default=6, help="clips per track")
    parser.add_argument("--train-on", choices=TRAIN_PARTS, default="train")
    parser.add_argument("--against", type=Path, help="folder of a confirmation (search.confirm) on the same tracks")
    given = parser.parse_args()
    against = None if given.against is None else confirmed(given.against)
    if given.against is not None and (against is None or against.train_on != given.train_on):
        parser.error(f"--against {given.against} must be a finished confirmation trained on {given.train_on}")
    data = DataConfig.checked({"dataset": given.data, "split": given.split})
    params = {"n_mels": given.n_mels, "clip_seconds": given.clip_seconds, "clips_per_track": given.clips}
    config = training_config({**PARAMS, **params}, data=data, epochs=1)
    clips = open_clips(config, parts=("train", "validation", "test"), progress=False)
    train, validation = described(clips, "train"), described(clips, "validation")
    print(f"{given.data}, split {clips.split.label}: {len(train.y_N)} train clips of {train.x_ND.shape[1]} statistics")
    scores: dict[tuple[float, float], float] = {}
    for pair in ((c, gamma) for gamma in GAMMA for c in C):
        scores[pair] = float(right(fitted(train, *pair), validation).mean())
        print(f"C {pair[0]:g}, gamma {pair[1]:g} / D: validation {scores[pair]:.3f}", flush=True)
    best = max(scores, key=lambda pair: scores[pair])
    if given.train_on != "train":
        train = joined(train, validation)
    right_M = right(fitted(train, *best), described(clips, "test"))
    print(
        f"chosen: C {best[0]:g}, gamma {best[1]:g} / D, validation {scores[best]:.3f} of {len(validation.y_M)} tracks"
    )
    print(f"trained on {given.train_on}, {len(train.y_N)} clips")
    print(f"test accuracy by track: {over_tracks(right_M[None])} at 95 %, {len(right_M)} tracks")
    for network in against.configs if against is not None else ():
        said = verdict(network.name, "the SVM", paired(network, right_M, clips.track_ids("test")))
        print(f"{over_both(network.right_SM)}: {said}")


if __name__ == "__main__":
    main()
