"""What a study leaves behind when its trials have ended: the best model as a folder, what it said, and the report.

Nothing here may spoil a study: what goes wrong is told in a line, and can be made again by `python -m search.report`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from mgc.clips import clip_shape, open_clips
from mgc.config import TrainingConfig
from mgc.datasets import Dataset, open_dataset
from mgc.features import small_pictures
from mgc.metrics import Predictions
from mgc.models import effective_network, model_class
from mgc.saved import save_model
from mgc.splits import Part
from mgc.train import Training, best_device
from search.checkpoints import WEIGHTS, CheckpointError, load, where_weights
from search.material import Material
from search.objectives import Objectives
from search.overview import Heading
from search.predictions import VALIDATION, Pictures, keep
from search.prepare import trial_config
from search.record import Record, TrialRecord
from search.report import study_answer, write_report
from search.tracking import Tracker

MODEL = "model"
"""The folder of the study's model, in its own."""
WRONG_PICTURES = 6
PICTURE_SIZE = (96, 320)
STAIR_STEPS = 24
"""Halvings by which the end of a step of a rounded param is found."""

_log = logging.getLogger(__name__)


def finish(record: Record, tracker: Tracker) -> None:
    """Leave model, predictions and report in the study's folder, and send them to MLflow."""
    _try(lambda: keep_best(record), "the best model")
    _try(lambda: note_stairs(record), "the steps of the searched params")
    _try(lambda: send_report(record, tracker), "the report")


def _try(step: Callable[[], None], what: str) -> None:
    try:
        step()
    except Exception as error:  # the trials are what the study is for; all of this can be made again
        _log.warning("%s could not be made: %s: %s", what, type(error).__name__, " ".join(str(error).split()))


def send_report(record: Record, tracker: Tracker) -> None:
    record.note("answer", study_answer(Material(record)).text)
    tracker.touch()
    if Objectives.of(record.header).are_several:
        for trial in record.trials("complete"):
            tracker.touch(trial.number)  # only now it is known which are on the Pareto front
    tracker.log_artifact(write_report(record.folder))
    if (record.folder / MODEL).is_dir():
        tracker.log_artifact(record.folder / MODEL)


def keep_best(record: Record) -> None:
    """The best trial's model and what it says of the validation part; that of a confirmed model is left."""
    heading = Heading.of(record.header)
    if record.notes().get("confirmed_model"):
        return
    for best in heading.objectives.ranked(record.trials())[:1]:
        training = trained(trial_config(spec_of(record, best)), where_weights(record, best.number))
        save_model(record.folder / MODEL, training, about=about(record, best))
        said = training.predict("validation")
        keep(record.folder / VALIDATION, said, wrong_pictures(training.config, said))


def spec_of(record: Record, trial: TrialRecord) -> dict[str, Any]:
    """What `trial_config` needs of a trial, from the record."""
    header = record.header
    params, data = dict(trial.params), header["canonical"]["data"]
    return {"params": params, "seed": trial.seed, "data": data, "epochs": header["max_epochs"]}


def trained(
    config: TrainingConfig,
    folder: Path | str,
    *,
    parts: Sequence[Part] = ("train", "validation"),
    train_on: Sequence[Part] = ("train",),
) -> Training:
    """A training with the weights that a trial left in its folder, and with these parts opened."""
    clips = open_clips(config, device=best_device(), parts=parts, train_on=train_on, progress=False)
    training = Training(config, clips, best_device())
    training.model.load_state_dict(weights(folder))
    training.epochs_done = config.epochs
    return training


def weights(folder: Path | str) -> dict[str, Tensor]:
    """The weights of a complete trial; CheckpointError where its folder, on a disk or a storage, has none."""
    if isinstance(folder, Path) and (folder / WEIGHTS).is_file():
        return load_file(folder / WEIGHTS)
    state = load(folder)
    if state is None:
        raise CheckpointError(f"{folder}: has no weights any more")
    found: dict[str, Tensor] = state["model"]
    return found


def about(record: Record, trial: TrialRecord) -> dict[str, Any]:
    """What a model folder says of where its model is from."""
    header = record.header
    return {
        "study": record.name,
        "trial": trial.number,
        "scores": {name: value for name, value in trial.last.items() if name not in ("epoch", "order")},
        "split": header["split"],
        "digests": header["digests"],
        "is_synthetic": header["is_synthetic"],
        "commit": header["commit"],
        "versions": header["versions"],
    }


def wrong_pictures(config: TrainingConfig, said: Predictions) -> Pictures:
    """Small spectrograms of the tracks that were misheard with most confidence."""
    dataset = open_dataset(config.data.dataset, progress=False)
    wrong = [track.track_id for track in said.most_wrong(WRONG_PICTURES)]
    return small_pictures(dataset, config.features, wrong, most=PICTURE_SIZE)


def note_stairs(record: Record) -> None:
    """Note from where to where a rounded param (the SE ratio) makes the same networks that trials had: its steps."""
    canonical = record.header["canonical"]
    ranges = {name: form["uniform"] for name, form in canonical["params"].items() if _is_range(form)}
    trials = record.trials()
    dataset = open_dataset(canonical["data"]["dataset"], progress=False) if trials and ranges else None
    steps: dict[str, dict[str, list[float]]] = {}
    for trial in trials:
        for name, ends in ranges.items():
            rounded = model_class(trial.params["model"]).rounded
            if dataset and name in trial.varying and name in rounded and trial.network not in steps.get(name, {}):
                step = _step(record, trial, name, ends, dataset)
                steps.setdefault(name, {})[trial.network] = step
    record.note("stairs", steps)


def _is_range(form: Any) -> bool:
    return isinstance(form, Mapping) and "uniform" in form


def _step(record: Record, trial: TrialRecord, name: str, ends: list[float], dataset: Dataset) -> list[float]:
    """Lowest and highest value of the param that makes the trial's network, the others being as they are."""
    spec = spec_of(record, trial)

    def is_same(value: float) -> bool:
        config = trial_config({**spec, "params": {**spec["params"], name: value}})
        return effective_network(config, clip_shape(config, dataset), len(dataset.genres)) == trial.network

    return [_edge(trial.params[name], end, is_same) for end in ends]


def _edge(inside: float, end: float, is_same: Callable[[float], bool]) -> float:
    """The value nearest to `end` that is still the same, by halving."""
    if is_same(end):
        return end
    for _ in range(STAIR_STEPS):
        middle = (inside + end) / 2
        inside, end = (middle, end) if is_same(middle) else (inside, middle)
    return inside
