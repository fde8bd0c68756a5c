"""What a study leaves when its trials have ended: the best model as a folder, its predictions, and the report.

Nothing here may spoil a study: an error is one line that names the log of its traceback, and `python -m search.report`
makes again what is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from mgc.clips.clips import open_clips
from mgc.datasets.registry import open_dataset
from mgc.features.features import small_pictures
from mgc.networks.training_config import TrainingConfig
from mgc.saved import save_model
from mgc.tracks.splits import Part
from mgc.training.device import best_device
from mgc.training.metrics import Predictions
from mgc.training.training import Training
from mgc.words.errors import one_line
from search.estimate.stairs import note_stairs
from search.execution.spec import trial_spec
from search.record.faults import note_fault
from search.record.files import MODEL, VALIDATION, WEIGHTS
from search.record.notes import ANSWER, CONFIRMED_MODEL, WINNER
from search.record.ranking import ranked
from search.record.record import Record
from search.record.trial import TrialRecord
from search.report.report import write_report
from search.results.confirmed import confirmations, study_answer, winner
from search.results.predictions import Pictures, write_predictions
from search.storage.checkpoints import CheckpointError, load, weights_folder
from search.tracking.tracker import Tracker

WRONG_PICTURES = 6
PICTURE_SIZE = (96, 320)

_log = logging.getLogger(__name__)


def finish(record: Record, tracker: Tracker) -> None:
    """Leave model, predictions and report in the study's folder, and send them to MLflow."""
    attempt(record, "the best model", lambda: keep_best(record))
    attempt(record, "the steps of the searched params", lambda: note_stairs(record))
    attempt(record, "the report", lambda: send_report(record, tracker))


def attempt(record: Record, what: str, step: Callable[[], object]) -> bool:
    """Do a step that may fail without ending the study. Returns whether it was done; an error is one line that names
    the log of its traceback.
    """
    try:
        step()
    except Exception as error:  # the trials are what the study is for; all of this can be made again
        log = note_fault(record.folder, what)
        _log.warning("%s could not be made: %s: %s (see %s)", what, type(error).__name__, one_line(error), log)
        return False
    return True


def send_report(record: Record, tracker: Tracker) -> None:
    confirmed = confirmations(record.folder)
    record.note(ANSWER, study_answer(record, confirmed).text)
    record.note(WINNER, winner(record, confirmed))
    tracker.touch()
    if record.header.objectives.are_several:
        for trial in record.trials("complete"):
            tracker.touch(trial.number)  # only now it is known which are on the Pareto front
    tracker.log_artifact(write_report(record.folder))
    if (record.folder / MODEL).is_dir():
        tracker.log_artifact(record.folder / MODEL)


def keep_best(record: Record) -> None:
    """Keep the best trial's model and its predictions of the validation part; a confirmed model stays."""
    if record.noted(CONFIRMED_MODEL):
        return
    for best in ranked(record.trials(), record.header.objectives)[:1]:
        training = trained(trial_spec(record, best).config(), weights_folder(record, best.number))
        save_model(record.folder / MODEL, training, about=about(record, best))
        predictions = training.predict("validation")
        write_predictions(record.folder / VALIDATION, predictions, wrong_pictures(training.config, predictions))


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
    tensors: dict[str, Tensor] = state["model"]
    return tensors


def about(record: Record, trial: TrialRecord) -> dict[str, Any]:
    """Where a model is from, for its folder."""
    header = record.header
    return {
        "study": record.name,
        "trial": trial.number,
        "scores": {name: value for name, value in trial.last.items() if name not in ("epoch", "order")},
        "split": header.split,
        "digests": header.digests,
        "is_synthetic": header.is_synthetic,
        "commit": header.commit,
        "versions": header.versions,
    }


def wrong_pictures(config: TrainingConfig, predictions: Predictions) -> Pictures:
    """Small spectrograms of the tracks whose wrong predictions are the most confident; of embeddings there are none."""
    dataset = open_dataset(config.data.dataset, progress=False)
    if dataset.precomputed is not None and dataset.precomputed.is_embedding:
        return {}
    wrong = [track.track_id for track in predictions.most_wrong(WRONG_PICTURES)]
    return small_pictures(dataset, config.features, wrong, most=PICTURE_SIZE)
