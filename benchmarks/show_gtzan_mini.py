"""The pictures of docs/data.md: a model's held-out tracks as a confusion matrix, and one of them along its time.

    python -m mgc.train --model se_cnn --data DIR --split track --epochs 20 --set spectrogram=log_mel \
        --set n_mels=64 --set n_fft=2048 --set clips_per_track=10
    python -m benchmarks.show_gtzan_mini runs/se_cnn-001/model docs/images

It hears the files of the test part as `python -m mgc.predict` does, one after another.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from mgc.datasets.registry import open_dataset
from mgc.plots import draw_confusion, draw_song
from mgc.predict import predict_song
from mgc.saved import load_model
from mgc.tracks.splits import make_split
from mgc.training.metrics import classification_scores, confusion_matrix


def main(folder: Path, pictures: Path) -> None:
    model = load_model(folder)
    dataset = open_dataset(model.config.data.dataset)
    parts = make_split(dataset, model.config.data).parts
    tracks = [track for track in dataset.tracks if parts.get(track.track_id) == "test" and track.path]
    heard = {track.track_id: predict_song(model, track.path) for track in tracks if track.path}
    label_M = np.array([model.genres.index(track.genre) for track in tracks])
    predicted_M = np.array([model.genres.index(heard[track.track_id].genre) for track in tracks])
    confusion_GG = confusion_matrix(label_M, predicted_M, len(model.genres))
    scores = classification_scores(confusion_GG)
    label = f"split {model.about['split']}"
    print(f"{len(tracks)} test tracks, {label}: accuracy {scores.accuracy:.3f}, F1 {scores.f1:.3f}")
    title = f"{model.config.model.name} on {dataset.name}, {label}:\n{scores.accuracy:.2f} of {len(tracks)} test tracks"
    draw_confusion(confusion_GG, model.genres, pictures / "gtzan_mini_confusion.png", title=title)
    right = [track for track in tracks if heard[track.track_id].genre == track.genre]
    song = max(right, key=lambda track: heard[track.track_id].probabilities_NG.std(axis=0).sum())
    draw_song(
        heard[song.track_id],
        pictures / "gtzan_mini_song.png",
        title=f"{song.track_id}, heard clip by clip",
        clip_seconds=model.config.clips.clip_seconds,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
