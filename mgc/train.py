"""`python -m mgc.train`: trains one config as a trial does, and saves the model.

It makes `<out>/<model>-NNN` with the folder `model` (see mgc.saved), which mgc.predict reads, and `curves.png`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import torch

from mgc.clips.clips import open_clips
from mgc.config import DataConfig
from mgc.models.registry import MODELS
from mgc.networks.training_config import TrainingConfig, training_config
from mgc.plots import draw_curves
from mgc.plugins.sources import add_option, use_files
from mgc.plugins.trying import try_feature, try_network
from mgc.saved import save_model
from mgc.tracks.splits import Part
from mgc.training.device import best_device
from mgc.training.training import Scores, Training, TrainingError
from mgc.words.command import EXIT_FAILED, Parser, exit_code, folder, program
from mgc.words.errors import ConfigError, one_line
from mgc.words.texts import printable


def main(arguments: Sequence[str] | None = None) -> int:
    """Train one config, print its epochs, save the model; returns 2 for a mistake, 1 for a training that failed."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    use_files(*options.plugin)
    config = _config(options)
    try_feature(config.features, config.clips)
    clips = open_clips(config, device=options.device)
    try_network(config.model, clips.shape, len(clips.genres))
    training = Training(config, clips, options.device)
    folder = _new_folder(options.out, config.model.name.replace("/", "-"))
    print(_heading(training))
    try:
        _train(training, folder)
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _config(options: argparse.Namespace) -> TrainingConfig:
    data = DataConfig.checked({"dataset": options.data, "split": options.split})
    return training_config({"model": options.model, **dict(options.set)}, data=data, epochs=options.epochs)


def _new_folder(out: Path, name: str) -> Path:
    """Make the first of the folders `<out>/<name>-001`, `-002`, ... that does not exist yet."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            with suppress(FileExistsError):
                folder = out / f"{name}-{number:03}"
                folder.mkdir()
                break
    except OSError as error:
        raise ConfigError(f"no folder can be made in {out}: {error.strerror}") from None
    return folder


def _train(training: Training, folder: Path) -> None:
    """Train all epochs, then save the model and draw its curves; a training that fails leaves no folder."""
    history: list[Scores] = []
    try:
        for scores in training:
            history.append(scores)
            print(_line(scores, training), flush=True)
        save_model(folder / "model", training, about={"scores": history[-1].metrics()})
    except BaseException:
        shutil.rmtree(folder)
        raise
    title = f"{training.config.model.name} on {_dataset_name(training)}, split {training.clips.split.label}"
    draw_curves(history, folder / "curves.png", title=title)
    print(f"model: {folder / 'model'}\ncurves: {folder / 'curves.png'}")


def parser() -> Parser:
    parser = Parser(prog=program("mgc.train"), description="Train one config, without Ray or MLflow.")
    parser.add_argument("--model", required=True, help=f"one of {', '.join(MODELS)}, timm/<name>, or a plug-in's")
    add_option(parser)
    parser.add_argument(
        "--data", default="synthetic", help="name, folder or .npz file of the dataset (default: %(default)s)"
    )
    parser.add_argument(
        "--split", default="artist", help="split policy, such as artist or track (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=10, help="epochs to train (default: %(default)s)")
    parser.add_argument("--device", type=_device, default=best_device(), help="cpu or cuda (default: %(default)s)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="KEY=VALUE",
        help="set a hyperparameter, as in r=8; repeatable",
    )
    parser.add_argument(
        "--out",
        type=folder,
        default=Path("runs"),
        metavar="DIR",
        help="folder in which <model>-NNN is made (default: %(default)s)",
    )
    return parser


def _device(text: str) -> str:
    """A device of torch's that this machine has."""
    try:
        torch.zeros(1, device=text)
    except (RuntimeError, AssertionError) as error:
        raise argparse.ArgumentTypeError(one_line(error)) from None
    return text


def _setting(text: str) -> tuple[str, Any]:
    """A `key=value` of the command line. The value is read as JSON, or taken as text where it is not JSON."""
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, got {text!r}")
    try:
        return key, json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        return key, value


def _heading(training: Training) -> str:
    """The lines before the first epoch: remarks on the data, and how much data there is."""
    clips = training.clips
    parts: tuple[Part, ...] = ("train", "validation")
    counts = ", ".join(f"{clips.num_clips(part)} {part} clips of {clips.num_tracks(part)} tracks" for part in parts)
    model = f"{training.config.model.name} in {training.precision} on {_dataset_name(training)}"
    summary = printable(f"{model}, split {clips.split.label}: {counts}")
    return "\n".join([*clips.notes, summary])


def _dataset_name(training: Training) -> str:
    """`synthetic` for the embedded music, else the last part of what the user named."""
    return Path(training.config.data.dataset).name


def _line(scores: Scores, training: Training) -> str:
    """An epoch in one line. An accuracy is never printed without the name of its split."""
    return (
        f"epoch {scores.epoch}/{training.config.epochs}: "
        f"train_loss {scores.train_loss:.4f}, train_accuracy {scores.train_accuracy:.3f}, "
        f"val_loss {scores.val_loss:.4f}, val_clip_accuracy {scores.val_clip_accuracy:.3f}, "
        f"val_accuracy {scores.val_accuracy:.3f} (vote {training.config.clips.vote}, "
        f"split {training.clips.split.label}), {scores.seconds:.1f} s, {scores.clips_per_s:.0f} clips/s"
    )


if __name__ == "__main__":
    sys.exit(main())
