"""The checkpoints of a study's trials on disk: written whole or not at all, deleted when they no longer matter.

    runs/r-001/trials/00007/checkpoint.pt         while it runs, and of the best: weights, optimizer, epochs so far
    runs/r-001/trials/00007/weights.safetensors   of the best complete trials at the study's end

Knows torch and the record, nothing of Ray.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from mgc.config import ConfigError
from search.objectives import Objectives
from search.record import Record, TrialRecord

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.safetensors"


class CheckpointError(ConfigError):
    """A checkpoint that cannot be written: the disk is full, or not ours."""


def trial_folder(record: Record, number: int) -> Path:
    return record.folder / "trials" / f"{number:05d}"


def save(folder: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint in place of the last one, which stays until the new one is whole. Raises CheckpointError."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    partial = folder / f"{CHECKPOINT}.{socket.gethostname()}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / CHECKPOINT)
    except OSError as error:
        _remove(partial)
        raise CheckpointError(f"{folder}: cannot write a checkpoint: {error.strerror or error}") from None


def load(folder: Path) -> dict[str, Any] | None:
    """The last whole checkpoint, on the CPU; None where there is none, or one that a dying disk has spoiled."""
    try:
        state: dict[str, Any] = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception:  # torch raises whatever the broken bytes make it run into; the trial starts again
        return None
    return state


def prune(record: Record, trials: Sequence[TrialRecord], keep: int) -> None:
    """Delete the checkpoints that no longer matter: those of ended trials that are not among the best `keep`."""
    best = Objectives.of(record.header).ranked(trials)[:keep]
    wanted = {trial.number for trial in trials if trial.state == "running"} | {trial.number for trial in best}
    for folder in (record.folder / "trials").glob("*"):
        if int(folder.name) not in wanted:
            shutil.rmtree(folder, ignore_errors=True)
    for partial in (record.folder / "trials").glob(f"*/{CHECKPOINT}.*"):
        trial = int(partial.parent.name)
        if trials[trial].state != "running":
            _remove(partial)


def export_weights(record: Record, keep: int) -> dict[int, Path]:
    """Weights of the best trials, without pickled code, in their folders: the files by trial."""
    files = {}
    for trial in Objectives.of(record.header).ranked(record.trials())[:keep]:
        folder = trial_folder(record, trial.number)
        if not (folder / WEIGHTS).is_file():
            _export(folder)
        if (folder / WEIGHTS).is_file():
            files[trial.number] = folder / WEIGHTS
    return files


def size_bytes(record: Record) -> int:
    """What the checkpoints and weights of a study take on the disk."""
    return sum(file.stat().st_size for file in (record.folder / "trials").glob("*/*") if file.is_file())


def _export(folder: Path) -> None:
    state = load(folder)
    if state is None:
        return
    partial = folder / f"{WEIGHTS}.new"
    tensors = {name: tensor.contiguous() for name, tensor in state["model"].items()}
    try:
        save_file(tensors, partial)
        partial.replace(folder / WEIGHTS)
        (folder / CHECKPOINT).unlink()  # a complete trial has nothing else to go on with
    except Exception as error:  # safetensors raises its own kind for a full disk
        _remove(partial)
        raise CheckpointError(f"{folder}: cannot write the weights: {error}") from None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # it was the disk that failed in the first place
