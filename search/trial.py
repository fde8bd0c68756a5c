"""The trainable: one trial as Ray runs it, wrapped around mgc's Training. Knows Ray and mgc, not Optuna or MLflow.

A trial never raises: what goes wrong inside it is reported with its reason, so that Ray retries only what a retry can
help, a lost worker or node. It keeps its own checkpoint under the study's storage and goes on from it wherever it is
started again, on this node or another, by this driver or the next.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ray import tune

from mgc.clips import Clips, open_clips
from mgc.config import DataConfig, Section, TrainingConfig, training_config
from mgc.splits import Part
from mgc.train import Training

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_EVERY_S = 30.0
"""Seconds of training that a lost worker costs at most, rungs and ends aside."""
TRAIN: tuple[Part, ...] = ("train",)
"""What a trial is trained on unless it is told otherwise."""
CUDA_CONTEXT_BYTES = 600 << 20
"""Memory of a card that each process takes beside its tensors; generous, so that a share is never promised twice."""


class TrainingTrial(tune.Trainable):
    """One trial. Its config: `params`, `seed`, `data`, `epochs`, `rungs`, `folder`, `threads`, `gpu_trials`, and
    `train_on`, the parts that it is trained on, where that is not the train part alone.

    `folder` is where its checkpoint lies, on storage that every node sees. A step is an epoch; its result holds
    `metrics` (the epoch and all its scores), `facts` (where it ran) and, when it went wrong, `failed`.
    """

    training: Training | None = None

    def setup(self, config: dict[str, Any]) -> None:
        torch.set_num_threads(config["threads"])
        _limit_gpu_memory(config["gpu_trials"])
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.spec = new_config
        self.training = None
        self.saved_at = time.monotonic()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return True

    def step(self) -> dict[str, Any]:
        try:
            return self._epoch()
        except Exception as error:
            self.training = None
            return {"failed": reason(error), "facts": _facts(), "done": True}

    def cleanup(self) -> None:
        """Leave a checkpoint of an unfinished trial behind: it may be resumed."""
        if self.training is not None and 0 < self.training.epochs_done < self.spec["epochs"]:
            self._save()

    def _epoch(self) -> dict[str, Any]:
        if self.training is None:
            self.training = self._begin()
        scores = self.training.epoch()
        last = scores.epoch >= self.spec["epochs"]
        if last or scores.epoch in self.spec["rungs"] or time.monotonic() - self.saved_at > CHECKPOINT_EVERY_S:
            self._save()
        return {"metrics": {"epoch": scores.epoch, **scores.metrics()}, "facts": _facts(), "done": last}

    def _begin(self) -> Training:
        config = config_of(self.spec)
        training = Training(config, clips_of(config, tuple(self.spec.get("train_on", TRAIN))), device())
        checkpoint = Path(self.spec["folder"]) / CHECKPOINT
        if checkpoint.is_file():
            training.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
        return training

    def _save(self) -> None:
        assert self.training is not None
        folder = Path(self.spec["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{CHECKPOINT}.{os.getpid()}"
        torch.save(self.training.state_dict(), partial)
        partial.replace(folder / CHECKPOINT)
        self.saved_at = time.monotonic()


def config_of(spec: dict[str, Any]) -> TrainingConfig:
    """The typed config of a trial's spec."""
    config = training_config(spec["params"], data=DataConfig.checked(spec["data"]), epochs=spec["epochs"])
    return replace(config, seed=spec["seed"])


_opened: dict[tuple[Section | tuple[Part, ...], ...], Clips] = {}


def clips_of(config: TrainingConfig, train_on: tuple[Part, ...] = TRAIN) -> Clips:
    """The clips of a config; the last ones stay open in a warm actor, whose next trial mostly asks for the same."""
    key = (config.data, config.features, config.clips, train_on)
    if key not in _opened:
        _opened.clear()
        parts: tuple[Part, ...] = ("train",) if "validation" in train_on else ("train", "validation")
        _opened[key] = open_clips(config, device=device(), parts=parts, train_on=train_on)
    return _opened[key]


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def reason(error: Exception) -> str:
    """Why a trial failed, in one line."""
    if isinstance(error, torch.OutOfMemoryError):
        return f"out of GPU memory: {str(error).splitlines()[0]}"
    if isinstance(error, MemoryError):
        return "out of host memory"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _facts() -> dict[str, Any]:
    return {"node": platform.node(), "device": torch.cuda.get_device_name() if device() == "cuda" else "cpu"}


def _limit_gpu_memory(gpu_trials: int) -> None:
    """Hold this process to its share of the card. The limit counts allocations only, while each process's CUDA
    context takes memory beside them: a share is (total - N contexts) / N.
    """
    if torch.cuda.is_available() and gpu_trials > 1:
        _, total = torch.cuda.mem_get_info()
        share = (total - gpu_trials * CUDA_CONTEXT_BYTES) / gpu_trials
        torch.cuda.set_per_process_memory_fraction(max(share / total, 0.01))
