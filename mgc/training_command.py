"""The command line of `python -m mgc.train`: one config, the same training as a trial's, and a model folder of it.

What it makes lies in `<out>/<model>-NNN`: the folder `model` (see mgc.saved), for mgc.predict, and `curves.png`.
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

from mgc.clips import open_clips
from mgc.config import ConfigError, DataConfig, TrainingConfig, training_config
from mgc.models import MODELS
from mgc.plots import draw_curves
from mgc.saved import save_model
from mgc.splits import Part
from mgc.train import Scores, Training, TrainingError, best_device


def main(arguments: Sequence[str] | None = None) -> int:
    """Train one config, print its epochs, save the model; the status is 2 for a mistake, 1 for a failed training."""
    given = _parser().parse_args(arguments)
    try:
        config = _config(given)
        training = Training(config, open_clips(config, device=given.device), given.device)
        folder = _new_folder(given.out, config.model.name.replace("/", "-"))
        print(_heading(training))
        _train(training, folder)
    except (ConfigError, TrainingError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


def _config(given: argparse.Namespace) -> TrainingConfig:
    data = DataConfig.checked({"dataset": given.data, "split": given.split})
    return training_config({"model": given.model, **dict(given.set)}, data=data, epochs=given.epochs)


def _new_folder(out: Path, name: str) -> Path:
    """The first of `<out>/<name>-001`, `-002`, ... that there is not yet, made here, so that it is nobody else's."""
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
    """All epochs, then the model and its curves; a training that fails leaves no folder."""
    history: list[Scores] = []
    try:
        for scores in training:
            history.append(scores)
            print(_line(scores, training), flush=True)
        save_model(folder / "model", training, about={"scores": history[-1].metrics()})
    except BaseException:
        shutil.rmtree(folder)
        raise
    title = (
        f"{training.config.model.name} on {Path(training.config.data.dataset).name}, split {training.clips.split.label}"
    )
    draw_curves(history, folder / "curves.png", title=title)
    print(f"model: {folder / 'model'}\ncurves: {folder / 'curves.png'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mgc.train", description="Train one config, without Ray or MLflow.")
    parser.add_argument("--model", required=True, help=f"one of {', '.join(MODELS)}")
    parser.add_argument("--data", default="synthetic", help="name, folder or .npz file of the dataset")
    parser.add_argument("--split", default="artist", help="policy that divides the tracks")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--device", default=best_device())
    parser.add_argument(
        "--set", action="append", default=[], type=_setting, metavar="KEY=VALUE", help="a hyperparameter, as in r=8"
    )
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="where <model>-NNN is made")
    return parser


def _setting(text: str) -> tuple[str, Any]:
    """A `key=value` of the command line; the value is read as JSON, what is none as text."""
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, got {text!r}")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _heading(training: Training) -> str:
    """What is known before the first epoch: what happened to the data, and how much of it there is."""
    clips = training.clips
    parts: tuple[Part, ...] = ("train", "validation")
    counts = ", ".join(f"{clips.num_clips(part)} {part} clips of {clips.num_tracks(part)} tracks" for part in parts)
    summary = f"{training.config.model.name} in {training.precision}, split {clips.split.label}: {counts}"
    return "\n".join([*clips.notes, summary])


def _line(scores: Scores, training: Training) -> str:
    """An epoch for the reader; no accuracy without the name of its split."""
    return (
        f"epoch {scores.epoch}/{training.config.epochs}: "
        f"train_loss {scores.train_loss:.4f}, train_accuracy {scores.train_accuracy:.3f}, "
        f"val_loss {scores.val_loss:.4f}, val_clip_accuracy {scores.val_clip_accuracy:.3f}, "
        f"val_accuracy {scores.val_accuracy:.3f} (vote {training.config.clips.vote}, "
        f"split {training.clips.split.label}), {scores.seconds:.1f} s, {scores.clips_per_s:.0f} clips/s"
    )
