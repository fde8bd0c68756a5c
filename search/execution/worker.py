"""A trial in its worker: mgc's Training as a Trainable of Ray Tune. Knows Ray and mgc, not Optuna or MLflow.

A worker trains an epoch for each step, until it is stopped. It never raises: it reports what went wrong with the
reason, so that only what a retry can help, a lost worker or node, is tried again. It keeps its own checkpoint under the
study's storage and goes on from it wherever the trial is started again, on this node or another, by this driver or the
next. The checkpoint holds the metrics of its epochs too: those that the record lacks, since the driver died before they
arrived, are reported first, without training.
"""

from __future__ import annotations

import math
import platform
import time
import traceback
from typing import Any

import torch
from ray import tune

from mgc.clips.clips import Clips, open_clips
from mgc.networks.training_config import TrainingConfig
from mgc.plugins.loading import use
from mgc.tracks.dataset import DatasetChangedError
from mgc.training import memory
from mgc.training.device import best_device
from mgc.training.training import Scores, Training, TrainingError
from mgc.words.errors import ConfigError
from mgc.words.redact import redacted
from search.execution.executor import SPEC
from search.execution.spec import TrialSpec
from search.machines.slots import share_bytes
from search.settings.metrics import SECONDS_PER_CLIP
from search.settings.objectives import means
from search.storage import checkpoints
from search.storage.checkpoints import CheckpointError

CHECKPOINT_EVERY_S = 30.0
"""Seconds of training that a lost worker costs at most, the epoch that it was in aside."""


class TrainingTrial(tune.Trainable):
    """One trial. Its config holds its TrialSpec under SPEC.

    A step is an epoch. Its result holds `metrics`, the epoch and all its scores, and `facts`, where it ran; or
    `failed`, the reason, with its `trace` where nobody expected it; or `blocked` where no trial of the study can go on.
    """

    training: Training | None = None

    def setup(self, config: dict[str, Any]) -> None:
        spec: TrialSpec = config[SPEC]
        torch.set_num_threads(spec.threads)
        _limit_gpu_memory(spec.gpu_trials)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.spec: TrialSpec = new_config[SPEC]
        self.training = None
        self.epochs: list[dict[str, float]] | None = None
        """The metrics of each epoch so far; None before the checkpoint was looked for."""
        self.unreported: list[dict[str, float]] = []
        """Those that the checkpoint has and the record lacks."""
        self.checkpoint: dict[str, Any] | None = None
        """What the training is to begin with."""
        self.resumed_after = 0
        """The epoch of that checkpoint."""
        self.saved_at = time.monotonic()
        memory.give_back()
        return True

    def step(self) -> dict[str, Any]:
        try:
            metrics = self._epoch()
        except (CheckpointError, DatasetChangedError) as error:
            return {"blocked": str(error)}
        except (TrainingError, ConfigError, MemoryError, torch.OutOfMemoryError) as error:
            self.training = None
            return {"failed": reason(error), "facts": self._facts()}
        except Exception as error:  # whatever a network or a library makes of these params fails this trial alone
            self.training = None
            return {"failed": reason(error), "facts": self._facts(), "trace": traceback.format_exc()}
        return {"metrics": metrics, "facts": self._facts()}

    def cleanup(self) -> None:
        """Leave a checkpoint of an unfinished trial behind: it may be resumed."""
        try:
            if self.training is not None and 0 < self.training.epochs_done < self.spec.epochs:
                self._save()
        except CheckpointError:
            return  # the last one counts

    def _epoch(self) -> dict[str, float]:
        """The metrics of the next epoch: one that the record lacks, or a new one."""
        if self.epochs is None:
            self.epochs = self._load()
        if self.unreported:
            return self.unreported.pop(0)
        if self.training is None:
            self.training = self._begin()
        scores = self.training.epoch()
        metrics = {"epoch": scores.epoch, **scores.metrics(), SECONDS_PER_CLIP: self._seconds_per_clip(scores)}
        self.epochs.append(metrics)
        metrics |= means(self.epochs, self.spec.metrics)
        unsaved_s = time.monotonic() - self.saved_at + scores.seconds  # as it would be after one epoch more
        if scores.epoch in (*self.spec.rungs, self.spec.epochs) or unsaved_s > CHECKPOINT_EVERY_S:
            self._save()
        return metrics

    def _seconds_per_clip(self, scores: Scores) -> float:
        """Seconds that the model takes to hear one clip in evaluation; NaN without a validation part."""
        assert self.training is not None
        clips = self.training.clips
        if "validation" not in clips.parts:
            return math.nan
        train_s = clips.num_clips("train") / scores.clips_per_s
        return (scores.seconds - train_s) / clips.num_clips("validation")

    def _load(self) -> list[dict[str, float]]:
        """Look for a checkpoint of this trial. Returns the metrics of its epochs."""
        checkpoint = checkpoints.load(self.spec.folder)
        if checkpoint is None or not self.spec.owns(checkpoint["of"]):
            return []
        self.checkpoint = checkpoint
        epochs: list[dict[str, float]] = checkpoint["scores"]
        self.resumed_after = len(epochs)
        self.unreported = epochs[self.spec.known_epochs :]
        return epochs

    def _begin(self) -> Training:
        use(self.spec.plugins)
        config = self.spec.config()
        clips = clips_of(config, self.spec)
        training = Training(config, clips, best_device())
        if self.checkpoint is not None:
            training.load_state_dict(self.checkpoint)
            self.checkpoint = None
        return training

    def _save(self) -> None:
        """A training that is over keeps no optimizer, which is two thirds of its state."""
        assert self.training is not None
        state = {**self.training.state_dict(), "scores": self.epochs, "of": self.spec.identity()}
        if self.training.epochs_done >= self.spec.epochs:
            del state["optimizer"]
        checkpoints.save(self.spec.folder, state)
        self.saved_at = time.monotonic()

    def _facts(self) -> dict[str, Any]:
        on = torch.cuda.get_device_name() if best_device() == "cuda" else "cpu"
        went_on = {"resumed_after": self.resumed_after} if self.resumed_after else {}
        return {"node": platform.node(), "device": on, "threads": self.spec.threads, **went_on}


_opened: dict[tuple[object, ...], Clips] = {}


def clips_of(config: TrainingConfig, spec: TrialSpec) -> Clips:
    """The clips of a config, of the dataset with the spec's digest: a folder may change while a study runs.

    The last ones stay open in a warm actor, whose next trial mostly asks for the same.
    """
    key = (spec.dataset_digest, config.data, config.features, config.clips, spec.train_on)
    if key not in _opened:
        _opened.clear()
        _opened[key] = open_clips(
            config, device=best_device(), parts=spec.clip_parts, train_on=spec.train_on, digest=spec.dataset_digest
        )
    return _opened[key]


def reason(error: Exception) -> str:
    """Why a trial failed, in one line."""
    if isinstance(error, torch.OutOfMemoryError):
        return f"out of GPU memory: {str(error).splitlines()[0]}"
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # torch's own way to say it
        return "out of host memory"
    text = " ".join(redacted(str(error)).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _limit_gpu_memory(gpu_trials: int) -> None:
    """Hold this process to its share of its card, if it has one."""
    if torch.cuda.is_available() and gpu_trials > 1:
        _, total_bytes = torch.cuda.mem_get_info()
        torch.cuda.set_per_process_memory_fraction(max(share_bytes(total_bytes, gpu_trials) / total_bytes, 0.01))
