"""`python -m search.evaluate MODEL FOLDER`: how often a model is right on labelled music, and how sure that is.

An accuracy says something of other music only where the model has not met the tracks: those that trained it, and those
that chose it, are told apart by their content and counted for themselves.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.console import Console
from rich.text import Text

from mgc.config import Vote
from mgc.datasets.registry import open_dataset
from mgc.features.audio import AudioError
from mgc.files import buckets
from mgc.plugins.sources import add_option, use_files
from mgc.predict import CAUTION, predict_song
from mgc.saved import SavedModel, load_model
from mgc.tracks.dataset import Dataset, DatasetError, Track
from mgc.tracks.splits import PARTS, make_split
from mgc.training.metrics import Ints, Predictions, confusion_matrix
from mgc.words.command import Parser, exit_code, program
from mgc.words.errors import ConfigError
from mgc.words.progress import progress
from mgc.words.texts import printable
from search.results.answer import is_right
from search.stats import Interval, over_tracks
from search.terminal.columns import Column, table_of

Past = Literal["train", "validation", "test", "new"]
"""Where a model met a track: it was trained on it, chosen by it, or tested on it; `new` for all others."""

PHRASES: Mapping[Past, str] = {
    "train": "that trained the model",
    "validation": "that chose the model",
    "test": "of the model's test part",
    "new": "that are new to the model",
}
SHORT = 8
"""Characters of a genre at the head of a column."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A model's predictions of labelled tracks, and what is known of these tracks."""

    predictions: Predictions
    vote: Vote
    pasts: tuple[Past, ...] | None
    """Where the model met each track; None where nobody can know: its own dataset is not here."""
    left_out: Mapping[str, int]
    """How many tracks were left out, by the reason."""

    @cached_property
    def counted(self) -> tuple[bool, ...]:
        """Which tracks the accuracy is of: those that neither trained nor chose the model, if there are any."""
        pasts = self.pasts or ("new",) * len(self.predictions.track_ids)
        unmet = tuple(past in ("test", "new") for past in pasts)
        return unmet if any(unmet) else (True,) * len(unmet)

    def accuracy(self, tracks: Sequence[bool]) -> Interval:
        """Of some of the tracks, with its 95 % interval over them."""
        return over_tracks(is_right(self.predictions, self.vote)[np.asarray(tracks)][None])

    @property
    def by_past(self) -> dict[Past, Interval]:
        """The accuracy on the tracks of each past that some have."""
        pasts = self.pasts or ()
        return {past: self.accuracy([each == past for each in pasts]) for past in PHRASES if past in pasts}

    def confusion(self) -> Ints:
        """Counts (G, G) of the tracks that are counted: rows are the true genres."""
        probabilities_MG, label_M = self.predictions.by(self.vote)
        is_counted_M = np.asarray(self.counted)
        predicted_M = probabilities_MG.argmax(axis=1)
        return confusion_matrix(label_M[is_counted_M], predicted_M[is_counted_M], len(self.predictions.genres))


def evaluate(model: SavedModel, dataset: Dataset, *, show_progress: bool = False) -> Evaluation:
    """The model's predictions of all tracks that can be decoded and whose genre it knows.

    Raises ConfigError where there are none, for a dataset without audio, and for a model that takes none.
    """
    if dataset.precomputed is not None:
        raise ConfigError(f"{dataset.name} has no audio: a saved model is evaluated on audio files")
    known = [track for track in dataset.tracks if track.genre in model.genres]
    if not known:
        genres = ", ".join(dataset.genres)
        raise ConfigError(f"the model knows none of the genres {genres}: it knows {', '.join(model.genres)}")
    strange = sorted(set(dataset.genres) - set(model.genres))
    left_out = Counter(
        {f"of genres that the model does not know: {', '.join(strange)}": len(dataset.tracks) - len(known)}
    )
    shown = progress(known, what=f"predicting {len(known)} tracks", total=len(known), show=show_progress)
    tracks, probabilities = [], []
    for track, probabilities_KG in _predicted(model, shown, left_out):
        tracks.append(track)
        probabilities.append(probabilities_KG)
    if not tracks:
        raise ConfigError(f"no track of {dataset.name} can be decoded")
    pasts = pasts_of(model)
    vote: Vote = "sum" if model.config.clips.vote == "none" else model.config.clips.vote
    return Evaluation(
        predictions=_predictions(model.genres, tracks, probabilities),
        vote=vote,
        pasts=None if pasts is None else tuple(pasts.get(str(track.content), "new") for track in tracks),
        left_out={reason: number for reason, number in left_out.items() if number},
    )


def _predicted(model: SavedModel, tracks: Iterator[Track], left_out: Counter[str]) -> Iterator[tuple[Track, Any]]:
    """Each track with the probabilities (K, G) of its clips; those that cannot be decoded are counted instead."""
    for track in tracks:
        assert track.path is not None, "only precomputed tracks have no file"
        try:
            yield track, predict_song(model, track.path).probabilities_NG
        except AudioError:
            left_out["that cannot be decoded"] += 1


def _predictions(genres: tuple[str, ...], tracks: Sequence[Track], probabilities: Sequence[Any]) -> Predictions:
    label_M = np.array([genres.index(track.genre) for track in tracks])
    probabilities_NG = np.concatenate(probabilities)
    track_N = np.repeat(np.arange(len(tracks)), [len(each) for each in probabilities])
    own_N = np.maximum(probabilities_NG[np.arange(len(track_N)), label_M[track_N]], np.finfo(np.float32).tiny)
    return Predictions(
        genres=genres,
        track_ids=tuple(track.track_id for track in tracks),
        label_M=label_M,
        track_N=track_N,
        probabilities_NG=probabilities_NG,
        loss=float(-np.log(own_N).mean()),
    )


def pasts_of(model: SavedModel) -> Mapping[str, Past] | None:
    """Where the model met each recording, by its content's hash. None where its dataset is not here as it was."""
    data = model.config.data
    if buckets.is_address(data.dataset):
        return None
    try:
        dataset = open_dataset(data.dataset, progress=False)
        split = make_split(dataset, data)
    except ConfigError:
        return None
    if dataset.digest != model.about.get("dataset_digest"):
        return None
    trained_on = ("train", "validation") if model.about.get("train_on") == "train+val" else ("train",)
    pasts: dict[str, Past] = {}
    for part in reversed(PARTS):  # a recording that is in several parts has trained the model if it could
        past: Past = "train" if split.clips is not None or part in trained_on else part
        tracks = dataset.tracks if split.clips is not None else _of_part(dataset, split.parts, part)
        pasts |= {str(track.content): past for track in tracks}
    return pasts


def _of_part(dataset: Dataset, parts: Mapping[str, str], part: str) -> list[Track]:
    return [track for track in dataset.tracks if parts.get(track.track_id) == part]


def main(words: Sequence[str] | None = None) -> int:
    """Print how often the model is right. Returns 2 for a mistake of the user's."""
    arguments = parser().parse_args(words)
    return exit_code(lambda: _main(arguments))


def _main(arguments: argparse.Namespace) -> int:
    use_files(*arguments.plugin)
    model = load_model(arguments.model, "cuda" if torch.cuda.is_available() else "cpu")
    _ = model.listener  # before any file is read: it refuses a model that takes no audio
    dataset = _labelled(arguments.data)
    evaluation = evaluate(model, dataset, show_progress=True)
    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False)
    for line in lines_of(model, dataset, evaluation):
        console.print(Text(printable(line)), soft_wrap=True)
    console.print(table_of(_confusion_columns(evaluation)))
    if arguments.json:
        print(json.dumps(_json(model, dataset, evaluation)))
    return 0


def _labelled(data: str) -> Dataset:
    try:
        return open_dataset(data)
    except DatasetError as error:
        if "at least 2 genres" not in str(error):
            raise
        raise ConfigError(f"{error}; a folder of songs alone has no genres: python -m mgc.predict names one") from None


def lines_of(model: SavedModel, dataset: Dataset, evaluation: Evaluation) -> Iterator[str]:
    """What the evaluation says, in sentences, cautions first."""
    trained = Path(model.config.data.dataset).name
    yield f"model {model.config.model.name}, trained on {trained}, split {model.about.get('split')}"
    yield from dataset.notes
    yield from (f"left out: {_tracks(number)} {reason}" for reason, number in evaluation.left_out.items())
    if model.is_synthetic:
        yield CAUTION
    yield from _met(evaluation, trained)
    accuracy, tracks = evaluation.accuracy(evaluation.counted), _tracks(sum(evaluation.counted))
    yield f"accuracy {accuracy} on {tracks} of {dataset.name} (95 % bootstrap over tracks, vote {evaluation.vote})"


def _met(evaluation: Evaluation, dataset: str) -> Iterator[str]:
    """Which of the tracks the model has met, as far as that can be known."""
    if evaluation.pasts is None:
        yield f"caution: some of these tracks may have trained the model: {dataset} is not here as it was then"
        return
    num_in = Counter(evaluation.pasts)
    if not num_in["train"] + num_in["validation"]:
        return
    for past, accuracy in evaluation.by_past.items():
        yield f"  {_tracks(num_in[past])} {PHRASES[past]}: {accuracy}"
    if not num_in["test"] + num_in["new"]:
        yield "caution: the model has met every one of these tracks, so its accuracy says nothing of other music"


def _tracks(number: int) -> str:
    return f"{number} track{'s' * (number != 1)}"


def _confusion_columns(evaluation: Evaluation) -> list[Column]:
    """Rows are the true genres, with the share of each that was found."""
    genres, counts_GG = evaluation.predictions.genres, evaluation.confusion()
    rows = [index for index in range(len(genres)) if counts_GG[index].sum()]
    share = [f"{counts_GG[row, row] / counts_GG[row].sum():.2f}" for row in rows]
    return [
        Column(title="is, as predicted", cells=[Text(printable(genres[row])) for row in rows]),
        *(
            Column(title=printable(genre)[:SHORT], cells=[Text(str(counts_GG[row, column])) for row in rows])
            for column, genre in enumerate(genres)
        ),
        Column(title="right", cells=[Text(text) for text in share]),
    ]


def _json(model: SavedModel, dataset: Dataset, evaluation: Evaluation) -> dict[str, Any]:
    accuracy = evaluation.accuracy(evaluation.counted)
    return {
        "dataset": dataset.name,
        "tracks": sum(evaluation.counted),
        "accuracy": accuracy.mean,
        "low": accuracy.low,
        "high": accuracy.high,
        "vote": evaluation.vote,
        "synthetic": model.is_synthetic,
        "met": None if evaluation.pasts is None else dict(Counter(evaluation.pasts)),
        "left_out": evaluation.left_out,
        "genres": evaluation.predictions.genres,
        "confusion": evaluation.confusion().tolist(),
    }


def parser() -> Parser:
    made = Parser(
        prog=program("search.evaluate"),
        description="How often a model is right on labelled music: its accuracy with a 95 % interval, its confusions.",
    )
    made.add_argument("model", type=Path, metavar="MODEL", help="model folder, such as runs/STUDY/model")
    made.add_argument("data", metavar="FOLDER", help="a folder <genre>/<file>, or a dataset's name")
    add_option(made)
    made.add_argument("--json", action="store_true", help="end with the result as one JSON object")
    return made


if __name__ == "__main__":
    sys.exit(main())
