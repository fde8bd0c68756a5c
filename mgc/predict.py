"""`python -m mgc.predict SONG...`: predicts the genre of songs with a saved model. Opens no pickled file.

A song is predicted in pieces of about 30 s, as long as the tracks that models are trained on. So decibels are relative
to the maximum of a piece as they were to that of a track, and a song of any length takes the same memory. The clips of
all pieces vote together. A song of up to 45 s is one piece, predicted exactly as a track of the dataset.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from mgc.datasets import synthetic
from mgc.features.audio import Samples, decode_pieces
from mgc.files.reading import json_of, open_regular
from mgc.plugins.sources import add_option, use_files
from mgc.saved import CONFIG, SavedModel, SongPrediction, load_model
from mgc.words.command import EXIT_USAGE, Parser, exit_code, program
from mgc.words.errors import ConfigError, one_line
from mgc.words.texts import printable

PIECE_S = 30.0

CAUTION = "caution: this model was trained on synthetic music: its genres are invented, and no song has one of them"


def predict_song(model: SavedModel, path: Path) -> SongPrediction:
    """The prediction for a song of any length; silence is added to a song that is shorter than half a clip.

    Raises AudioError for a file without usable sound, ConfigError for a model of precomputed features.
    """
    clip_s = model.config.clips.clip_seconds
    starts, probabilities, before_s = [], [], 0.0
    for y_S in _quietly(decode_pieces(path, model.sr, max(PIECE_S, clip_s))):
        piece = model.predict(_at_least_half(y_S, int(clip_s * model.sr)))
        starts.append(piece.start_s_N + before_s)
        probabilities.append(piece.probabilities_NG)
        before_s += len(y_S) / model.sr
    return SongPrediction(
        genres=model.genres,
        vote=model.config.clips.vote,
        start_s_N=np.concatenate(starts),
        probabilities_NG=np.concatenate(probabilities),
    )


def _quietly(pieces: Iterator[Samples]) -> Iterator[Samples]:
    """The pieces, while stderr is closed to the mp3 decoder's own messages about broken files."""
    while (y_S := _next_quietly(pieces)) is not None:
        yield y_S


def _next_quietly(pieces: Iterator[Samples]) -> Samples | None:
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        return next(pieces, None)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def _at_least_half(y_S: Samples, clip: int) -> Samples:
    """The samples, with silence up to half a clip (rounded up): a training takes no shorter track."""
    return np.pad(y_S, (0, max(0, (clip + 1) // 2 - len(y_S))))


def newest_model(runs: Path = Path("runs")) -> Path:
    """The model folder under `runs/*/model` that was written last, of those that know real genres.

    ConfigError where there is none.
    """
    configs = sorted(runs.glob(f"*/model/{CONFIG}"), key=lambda path: path.stat().st_mtime, reverse=True)
    if not configs:
        train = "python -m mgc.train --model se_cnn --data FOLDER"
        raise ConfigError(f"no model under {runs}/*/model: train one ({train}), or give --model FOLDER")
    for config in configs:
        if not _knows_synthetic_music_alone(config):
            return config.parent
    raise ConfigError(
        f"every model under {runs}/*/model was trained on synthetic music and knows only invented genres: train one "
        f"on real music, or use one all the same: --model {shlex.quote(str(configs[0].parent))}"
    )


def _knows_synthetic_music_alone(config: Path) -> bool:
    """Whether a model's file says so; `load_model` will say what is wrong with a file that cannot be read."""
    try:
        with open_regular(config) as file:
            dataset = json_of(file.read())["data"]["dataset"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(dataset == synthetic.NAME)


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict each song; returns 2 if there is no model or a song could not be decoded."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    use_files(*options.plugin)
    folder = options.model or newest_model()
    model = load_model(folder, "cuda" if torch.cuda.is_available() else "cpu")
    if not options.model:
        print(f"model: {folder}", file=sys.stderr)
    if model.is_synthetic:
        print(CAUTION, file=sys.stderr)
    return max(_print_song(model, song, options) for song in options.songs)


def _print_song(model: SavedModel, song: Path, options: argparse.Namespace) -> int:
    """Print the prediction for one song; returns the exit code."""
    try:
        if song.is_dir():
            raise ConfigError(f"{song} is a folder; name the songs in it, such as {shlex.quote(str(song))}/*.mp3")
        prediction = predict_song(model, song)
        if options.plot:
            _plot(model, prediction, song, options.out or song.parent)
    except ConfigError as error:
        print(f"error: {one_line(error)}", file=sys.stderr, flush=True)
        return EXIT_USAGE
    is_synthetic = model.is_synthetic
    as_text = _as_text(song, prediction, options.top, is_synthetic=is_synthetic)
    print(_as_json(song, prediction, is_synthetic=is_synthetic) if options.json else as_text, flush=True)
    return 0


def _as_json(song: Path, prediction: SongPrediction, *, is_synthetic: bool) -> str:
    said = {"path": str(song), "genre": prediction.genre, "probabilities": prediction.probabilities}
    return json.dumps({**said, "synthetic": is_synthetic})


def _as_text(song: Path, prediction: SongPrediction, top: int, *, is_synthetic: bool) -> str:
    """`song.wav: rock 0.62, metal 0.21, blues 0.08 (10 clips, vote sum)`."""
    genres = ", ".join(f"{genre} {share:.2f}" for genre, share in list(prediction.probabilities.items())[:top])
    clips = len(prediction.probabilities_NG)
    about = (
        f"{clips} {'clip' if clips == 1 else 'clips'}, vote {prediction.vote}{', synthetic' if is_synthetic else ''}"
    )
    return printable(f"{song}: {genres} ({about})")


def _plot(model: SavedModel, prediction: SongPrediction, song: Path, folder: Path) -> None:
    from mgc.plots import draw_song  # matplotlib takes a second

    path = folder / f"{song.name}.genres.png"
    title = f"{song.name}: {prediction.genre}{' (synthetic: an invented genre)' if model.is_synthetic else ''}"
    try:
        draw_song(prediction, path, title=title, clip_seconds=model.config.clips.clip_seconds)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def parser() -> Parser:
    parser = Parser(prog=program("mgc.predict"), description="Predict the genre of songs with a trained model.")
    parser.add_argument("songs", nargs="+", type=Path, metavar="SONG", help="audio file of any length")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FOLDER",
        help="model folder; default: the newest of runs/*/model that was trained on real music",
    )
    add_option(parser)
    parser.add_argument(
        "--top", type=_at_least_one, default=3, metavar="N", help="how many genres to print for a song (default: 3)"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object per song and line: path, genre, probabilities of all, synthetic",
    )
    parser.add_argument("--plot", action="store_true", help="plot the probabilities along each song as SONG.genres.png")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder for the plots of --plot (default: beside each song)"
    )
    return parser


def _at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
