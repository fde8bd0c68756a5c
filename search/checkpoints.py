"""The checkpoints of a study's trials on disk: written whole or not at all, deleted when they no longer matter.

    runs/r-001/trials/00007/checkpoint.pt         while it runs, and of the best: weights, optimizer, epochs so far
    runs/r-001/trials/00007/weights.safetensors   of the best complete trials at the study's end

Checkpoints lie under the study's storage where it has one (search.storage), weights always in its folder. Knows the
record, and torch where a checkpoint is read or written (a driver imports this file before that); nothing of Ray.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mgc.config import ConfigError
from search.objectives import Objectives
from search.record import Record, TrialRecord
from search.storage import Folder, said

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.safetensors"


class CheckpointError(ConfigError):
    """A checkpoint that cannot be written: the disk is full, or not ours."""


def trial_folder(record: Record, number: int) -> Path:
    return record.folder / "trials" / f"{number:05d}"


def trials_storage(record: Record) -> Folder:
    """Where the checkpoints of a study's trials lie, each in a folder of the trial's number."""
    address = record.header.get("storage")
    return Folder(record.folder / "trials") if address is None else Folder(address).below("trials")


def checkpoint_folder(record: Record, number: int) -> str:
    """The address of a trial's checkpoints, for whoever trains it."""
    return trials_storage(record).below(f"{number:05d}").address


def where_weights(record: Record, number: int) -> Path | str:
    """The folder of a trial that holds its weights, by themselves or as part of its checkpoint."""
    folder = trial_folder(record, number)
    return folder if (folder / WEIGHTS).is_file() else checkpoint_folder(record, number)


def save(folder: Path | str, state: Mapping[str, Any]) -> None:
    """Write a checkpoint in place of the last one, which stays until the new one is whole. Raises CheckpointError."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    try:
        Folder(folder).write(CHECKPOINT, buffer.getbuffer())
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot write a checkpoint: {said(error)}") from None


def load(folder: Path | str) -> dict[str, Any] | None:
    """The last whole checkpoint, on the CPU; None where there is none, or one that a dying disk has spoiled."""
    import torch

    try:
        content = io.BytesIO(Folder(folder).read(CHECKPOINT))
        state: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception:  # torch raises whatever the broken bytes make it run into; the trial starts again
        return None
    return state


def prune(record: Record, trials: Sequence[TrialRecord], keep: int) -> None:
    """Delete the checkpoints that no longer matter: those of ended trials that are not among the best `keep`."""
    best = Objectives.of(record.header).ranked(trials)[:keep]
    wanted = {trial.number for trial in trials if trial.state == "running"} | {trial.number for trial in best}
    for place in {str(record.folder / "trials"), trials_storage(record).address}:
        for name in (folder := Folder(place)).files():
            number, _, file = name.partition("/")
            if int(number) >= len(trials):
                continue  # began after these trials were read
            is_partial = file.startswith(f"{CHECKPOINT}.") and trials[int(number)].state != "running"
            if int(number) not in wanted or is_partial:
                folder.remove(name)


def export_weights(record: Record, keep: int) -> dict[int, Path]:
    """Weights of the best trials, without pickled code, in their folders: the files by trial."""
    files = {}
    for trial in Objectives.of(record.header).ranked(record.trials())[:keep]:
        folder = trial_folder(record, trial.number)
        if not (folder / WEIGHTS).is_file():
            _export(checkpoint_folder(record, trial.number), folder)
        if (folder / WEIGHTS).is_file():
            files[trial.number] = folder / WEIGHTS
    return files


def size_bytes(record: Record) -> int:
    """What the checkpoints and weights of a study take on the disk."""
    return sum(file.stat().st_size for file in (record.folder / "trials").glob("*/*") if file.is_file())


def _export(source: str, folder: Path) -> None:
    """Weights of a checkpoint into a folder of this machine."""
    from safetensors.torch import save_file

    state = load(source)
    if state is None:
        return
    partial = folder / f"{WEIGHTS}.new"
    tensors = {name: tensor.contiguous() for name, tensor in state["model"].items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial)
        partial.replace(folder / WEIGHTS)
        Folder(source).remove(CHECKPOINT)  # a complete trial has nothing else to go on with
    except Exception as error:  # safetensors raises its own kind for a full disk
        partial.unlink(missing_ok=True)
        raise CheckpointError(f"{folder}: cannot write the weights: {error}") from None
