"""The same SE-CNN under four splits of GTZAN, side by side: what a split is worth in points of accuracy.

    python -m benchmarks.splits --data gtzan:gtzan_logmel_64x500.npz

Nothing is chosen by the scores: the budget is fixed beforehand, and the test part is scored once, after the last epoch.
"""

from __future__ import annotations

import argparse
import time
from math import sqrt

import torch

from mgc.clips.clips import open_clips
from mgc.config import DataConfig
from mgc.networks.training_config import training_config
from mgc.training.training import Training

PARAMS = {"model": "se_cnn", "spectrogram": "log_mel", "n_mels": 64, "clip_seconds": 3.0}
SPLITS = ("fault_filtered", "artist", "track", "clip")


def row(split: str, given: argparse.Namespace) -> str:
    """Train once under this split, then score its test part."""
    data = DataConfig.checked({"dataset": given.data, "split": split, "ratios": given.ratios})
    params = {**PARAMS, "clips_per_track": given.clips, "seed": given.seed}
    config = training_config(params, data=data, epochs=given.epochs)
    clips = open_clips(config, parts=("train", "validation", "test"), progress=False)
    training = Training(config, clips)
    started = time.perf_counter()
    scores = list(training)[-1]
    seconds = (time.perf_counter() - started) / given.epochs
    test = training.predict("test")
    accuracy, num_tracks = test.scores("sum").accuracy, len(test.track_ids)
    error = 1.96 * sqrt(accuracy * (1 - accuracy) / num_tracks)
    return (
        f"| {clips.split.label} | {clips.num_tracks('train')} | {num_tracks} | {scores.train_accuracy:.3f} "
        f"| {scores.val_accuracy_sum:.3f} | {test.scores('none').accuracy:.3f} | {accuracy:.3f} +/- {error:.3f} "
        f"| {seconds:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.splits", description="The same SE-CNN, four splits.")
    parser.add_argument("--data", required=True, help="GTZAN: a folder or an .npz file of 64 mel bands")
    parser.add_argument("--ratios", type=int, nargs=3, default=[60, 10, 30], help="of all splits but fault_filtered")
    parser.add_argument("--splits", nargs="*", choices=SPLITS, default=SPLITS)
    parser.add_argument("--clips", type=int, default=3, help="clips per track")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{given.data}: {given.clips} clips per track, {given.epochs} epochs, seed {given.seed}\n")
    print(
        "| split | train tracks | test tracks | train clips | validation tracks | test clips | test tracks | s/epoch |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for split in given.splits:
        print(row(split, given), flush=True)


if __name__ == "__main__":
    main()
