"""The trainable: one trial as Ray runs it, wrapped around mgc's Training. Knows Ray and mgc, not Optuna or MLflow.

A trial never raises: what goes wrong inside it is reported with its reason, so that Ray retries only what a retry can
help, a lost worker or node. It keeps its own checkpoint under the study's storage and goes on from it wherever it is
started again, on this node or another, by this driver or the next. The checkpoint holds the scores of its epochs too:
those that the record lacks, since the driver died before they arrived, are told first, without training.
"""

from __future__ import annotations

import math
import platform
import time
from typing import Any

import torch
from ray import tune

from mgc import memory
from mgc.clips import Clips, open_clips
from mgc.config import Section, TrainingConfig
from mgc.datasets import DatasetChangedError
from mgc.splits import Part
from mgc.train import Scores, Training, best_device
from search import checkpoints
from search.checkpoints import CheckpointError
from search.objectives import SECONDS_PER_CLIP, means
from search.prepare import trial_config
from search.sharing import share_bytes

CHECKPOINT_EVERY_S = 30.0
"""Seconds of training that a lost worker costs at most, the epoch that it was in aside."""
TRAIN: tuple[Part, ...] = ("train",)
"""What a trial is trained on unless it is told otherwise."""


class TrainingTrial(tune.Trainable):
    """One trial. Its config: `params`, `seed`, `data`, `epochs`, `rungs`, `metrics`, `known_epochs`, `folder`,
    `threads`, `gpu_trials`, `dataset_digest`, and `train_on`, the parts that it is trained on where that is not the
    train part alone. Of `metrics`, which the study compares, it adds to each epoch those that are means over epochs.

    `folder` is where its checkpoint lies, a path or s3:// address that every node sees; `known_epochs` how many the
    record has. A step is an epoch; its result holds `metrics` (the epoch and all its scores), `facts` (where it ran)
    and, when it went wrong, `failed`, or `blocked` where no trial of this study can go on.
    """

    training: Training | None = None

    def setup(self, config: dict[str, Any]) -> None:
        torch.set_num_threads(config["threads"])
        _limit_gpu_memory(config["gpu_trials"])
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.spec = new_config
        self.training = None
        self.told: list[dict[str, float]] | None = None
        """The metrics of its epochs so far; None before the checkpoint was looked for."""
        self.untold: list[dict[str, float]] = []
        self.resumed_after = 0
        """The epoch whose checkpoint it went on from."""
        self.saved_at = time.monotonic()
        memory.give_back()
        return True

    def step(self) -> dict[str, Any]:
        try:
            metrics = self._epoch()
        except (CheckpointError, DatasetChangedError) as error:
            return {"blocked": str(error), "done": True}
        except Exception as error:
            self.training = None
            return {"failed": reason(error), "facts": self._facts(), "done": True}
        return {"metrics": metrics, "facts": self._facts(), "done": metrics["epoch"] >= self.spec["epochs"]}

    def cleanup(self) -> None:
        """Leave a checkpoint of an unfinished trial behind: it may be resumed."""
        try:
            if self.training is not None and 0 < self.training.epochs_done < self.spec["epochs"]:
                self._save()
        except CheckpointError:
            return  # the last one counts

    def _epoch(self) -> dict[str, float]:
        """The metrics of the next epoch: one that the record lacks, or a new one."""
        if self.told is None:
            self.told = self._told_before()
            self.resumed_after = len(self.told)
            self.untold = self.told[self.spec["known_epochs"] :]
        if self.untold:
            return self.untold.pop(0)
        if self.training is None:
            self.training = self._begin()
        scores = self.training.epoch()
        self.told.append({"epoch": scores.epoch, **scores.metrics(), SECONDS_PER_CLIP: self._seconds_per_clip(scores)})
        self.told[-1] |= means(self.told, self.spec["metrics"])
        unsaved_s = time.monotonic() - self.saved_at + scores.seconds  # as it would be after one epoch more
        is_due = scores.epoch in (*self.spec["rungs"], self.spec["epochs"]) or unsaved_s > CHECKPOINT_EVERY_S
        if is_due:
            self._save()
        return self.told[-1]

    def _seconds_per_clip(self, scores: Scores) -> float:
        """Seconds that the model takes to hear one clip in evaluation; NaN without a validation part."""
        assert self.training is not None
        clips = self.training.clips
        if "validation" not in clips.parts:
            return math.nan
        train_s = clips.num_clips("train") / scores.clips_per_s
        return (scores.seconds - train_s) / clips.num_clips("validation")

    def _told_before(self) -> list[dict[str, float]]:
        """The metrics of the epochs that the checkpoint has seen."""
        found = checkpoints.load(self.spec["folder"])
        self.went_on_from = found if found is not None and found["of"] == self._identity() else None
        return [] if self.went_on_from is None else self.went_on_from["scores"]

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must be of to be this trial's: a folder may hold what an earlier study left there."""
        return {key: self.spec.get(key) for key in ("params", "seed", "data", "epochs", "train_on")}

    def _begin(self) -> Training:
        config = trial_config(self.spec)
        clips = clips_of(config, self.spec["dataset_digest"], tuple(self.spec.get("train_on", TRAIN)))
        training = Training(config, clips, best_device())
        if self.went_on_from is not None:
            training.load_state_dict(self.went_on_from)
            self.went_on_from = None
        return training

    def _save(self) -> None:
        """A training that is over keeps no optimizer, which is two thirds of its state."""
        assert self.training is not None
        state = {**self.training.state_dict(), "scores": self.told, "of": self._identity()}
        if self.training.epochs_done >= self.spec["epochs"]:
            del state["optimizer"]
        checkpoints.save(self.spec["folder"], state)
        self.saved_at = time.monotonic()

    def _facts(self) -> dict[str, Any]:
        on = torch.cuda.get_device_name() if best_device() == "cuda" else "cpu"
        went_on = {"resumed_after": self.resumed_after} if self.resumed_after else {}
        return {"node": platform.node(), "device": on, "threads": self.spec["threads"], **went_on}


_opened: dict[tuple[str | Section | tuple[Part, ...], ...], Clips] = {}


def clips_of(config: TrainingConfig, digest: str, train_on: tuple[Part, ...] = TRAIN) -> Clips:
    """The clips of a config, of the dataset with this digest: a folder may change while a study runs.

    The last ones stay open in a warm actor, whose next trial mostly asks for the same.
    """
    key = (digest, config.data, config.features, config.clips, train_on)
    if key not in _opened:
        _opened.clear()
        parts: tuple[Part, ...] = ("train",) if "validation" in train_on else ("train", "validation")
        _opened[key] = open_clips(config, device=best_device(), parts=parts, train_on=train_on, digest=digest)
    return _opened[key]


def reason(error: Exception) -> str:
    """Why a trial failed, in one line."""
    if isinstance(error, torch.OutOfMemoryError):
        return f"out of GPU memory: {str(error).splitlines()[0]}"
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # torch's own way to say it
        return "out of host memory"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _limit_gpu_memory(gpu_trials: int) -> None:
    """Hold this process to its share of its card, if it has one."""
    if torch.cuda.is_available() and gpu_trials > 1:
        _, total_bytes = torch.cuda.mem_get_info()
        torch.cuda.set_per_process_memory_fraction(max(share_bytes(total_bytes, gpu_trials) / total_bytes, 0.01))
