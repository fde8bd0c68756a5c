"""A genre for a song: `python -m mgc.predict SONG...` with a model folder. Opens no pickled file.

A song is heard in pieces of about 30 s, as long as the tracks that models are trained on: decibels are relative to the
maximum of a piece as they were to that of a track, and a song of any length takes the same memory. The clips of all
pieces vote together. A song of up to 45 s is one piece, heard exactly as a track of the dataset is.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from mgc.audio import Samples, decode_pieces
from mgc.config import ConfigError
from mgc.saved import CONFIG, Heard, SavedModel, load_model

PIECE_S = 30.0


def hear(model: SavedModel, path: Path) -> Heard:
    """What the model says of a song of any length; one that is shorter than half a clip is followed by silence.

    Raises AudioError for a file that gives no sound, ConfigError for a model that hears no audio.
    """
    clip_s = model.config.clips.clip_seconds
    starts, probabilities, before_s = [], [], 0.0
    for y_S in _quietly(decode_pieces(path, model.sr, max(PIECE_S, clip_s))):
        heard = model.predict(_long_enough(y_S, int(clip_s * model.sr)))
        starts.append(heard.start_s_N + before_s)
        probabilities.append(heard.probabilities_NG)
        before_s += len(y_S) / model.sr
    return Heard(
        genres=model.genres,
        vote=model.config.clips.vote,
        start_s_N=np.concatenate(starts),
        probabilities_NG=np.concatenate(probabilities),
    )


def _quietly(pieces: Iterator[Samples]) -> Iterator[Samples]:
    """The pieces, without what the decoder of mp3 itself writes to stderr about broken files."""
    while (y_S := _next_quietly(pieces)) is not None:
        yield y_S


def _next_quietly(pieces: Iterator[Samples]) -> Samples | None:
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        return next(pieces, None)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _long_enough(y_S: Samples, clip: int) -> Samples:
    """At least half a clip (rounded up), which is what a training takes."""
    return np.pad(y_S, (0, max(0, (clip + 1) // 2 - len(y_S))))


def newest_model(runs: Path = Path("runs")) -> Path:
    """The model folder under `runs/*/model` that was written last; ConfigError where there is none."""
    found = sorted(runs.glob(f"*/model/{CONFIG}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ConfigError(f"no model under {runs}/*/model: train one (python -m mgc.train), or give --model FOLDER")
    return found[-1].parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict each song; the status is 2 if one could not be heard or there is no model."""
    given = _parser().parse_args(arguments)
    try:
        folder = given.model or newest_model()
        model = load_model(folder, "cuda" if torch.cuda.is_available() else "cpu")
    except ConfigError as error:
        return _complain(error)
    if not given.model:
        print(f"model: {folder}", file=sys.stderr)
    return max(_answer(model, song, given) for song in given.songs)


def _answer(model: SavedModel, song: Path, given: argparse.Namespace) -> int:
    """Print what the model says of one song."""
    try:
        heard = hear(model, song)
        if given.plot:
            _plot(model, heard, song, given.out or song.parent)
    except ConfigError as error:
        return _complain(error)
    print(_as_json(song, heard) if given.json else _as_text(song, heard, given.top), flush=True)
    return 0


def _complain(error: object) -> int:
    print(_printable(" ".join(str(error).split())), file=sys.stderr, flush=True)
    return 2


def _as_json(song: Path, heard: Heard) -> str:
    return json.dumps({"path": str(song), "genre": heard.genre, "probabilities": heard.probabilities})


def _as_text(song: Path, heard: Heard, top: int) -> str:
    """`song.wav: rock 0.62, metal 0.21, blues 0.08 (10 clips, vote sum)`."""
    told = ", ".join(f"{genre} {share:.2f}" for genre, share in list(heard.probabilities.items())[:top])
    clips = len(heard.probabilities_NG)
    return _printable(f"{song}: {told} ({clips} {'clip' if clips == 1 else 'clips'}, vote {heard.vote})")


def _printable(text: str) -> str:
    """File names may hold what no terminal can show."""
    return text.encode(errors="backslashreplace").decode()


def _plot(model: SavedModel, heard: Heard, song: Path, folder: Path) -> None:
    from mgc.plots import draw_song  # matplotlib takes a second

    path = folder / f"{song.name}.genres.png"
    title = f"{_printable(song.name)}: {heard.genre}"
    try:
        draw_song(heard, path, title=title, clip_seconds=model.config.clips.clip_seconds)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mgc.predict", description="A genre for each song, by a model.")
    parser.add_argument("songs", nargs="+", type=Path, metavar="SONG", help="audio file of any length")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="model folder; default: newest of runs/*/model")
    parser.add_argument("--top", type=_at_least_one, default=3, metavar="N", help="genres that are printed (default 3)")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per song and line: path, genre, probabilities of all"
    )
    parser.add_argument(
        "--plot", action="store_true", help="draw the probabilities along each song as SONG.genres.png beside it"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for the plots instead")
    return parser


def _at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
