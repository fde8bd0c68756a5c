"""The checkpoints of a study's trials: written whole or not at all, deleted when nobody needs them.

    runs/r-001/trials/00007/checkpoint.pt         of running trials and of the best: weights, optimizer, epochs so far
    runs/r-001/trials/00007/weights.safetensors   of the best complete trials at the study's end

Checkpoints lie under the study's storage if it has one (search.storage.storage), weights always in the study's folder.
This file knows the record, and must not know Ray. It imports torch only to read or write a checkpoint, since drivers
import it early.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from mgc.files.whole import write_whole
from mgc.words.errors import ConfigError
from search.record.files import CHECKPOINT, TRIAL, TRIALS, WEIGHTS, trial_name
from search.record.record import Record
from search.record.trial import TrialRecord
from search.storage.lease import Lease
from search.storage.storage import Folder, error_text

CHECKPOINT_FACT = "checkpoint"
"""The fact of a trial that says whether its checkpoint was given up, which is written before that is deleted."""
GIVEN_UP = "given up"


class CheckpointError(ConfigError):
    """A checkpoint that cannot be read or written: the disk is full, a right is missing, the storage is away."""


def trial_folder(record: Record, number: int) -> Path:
    """A trial's folder in the study's folder."""
    return record.folder / TRIALS / trial_name(number)


def trials_storage(record: Record) -> Folder:
    """The folder that holds the checkpoints of a study's trials, each in a folder named after the trial's number."""
    return Folder(record.header.storage or record.folder).below(TRIALS)


def checkpoint_folder(record: Record, number: int) -> str:
    """The address of the folder for a trial's checkpoint, which a worker can write to."""
    return trials_storage(record).below(trial_name(number)).address


def weights_folder(record: Record, number: int) -> Path | str:
    """The folder that holds a trial's weights: in a file of their own, or in the trial's checkpoint."""
    folder = trial_folder(record, number)
    return folder if (folder / WEIGHTS).is_file() else checkpoint_folder(record, number)


def save(folder: Path | str, state: Mapping[str, Any]) -> None:
    """Replace the checkpoint in a folder; the last one stays until the new one is whole. Raises CheckpointError."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    try:
        Folder(folder).write(CHECKPOINT, buffer.getbuffer())
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot write a checkpoint: {error_text(error)}") from None


def load(folder: Path | str) -> dict[str, Any] | None:
    """The checkpoint in a folder, on the CPU; None where there is none, or one whose content is damaged.

    Raises CheckpointError for a storage that does not answer: it may have the checkpoint, so the trial must not start
    from its beginning.
    """
    import torch

    try:
        content = io.BytesIO(Folder(folder).read(CHECKPOINT))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot read the checkpoint: {error_text(error)}") from None
    try:
        state: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception:  # damaged bytes make torch raise any error; the trial starts from its beginning
        return None
    return state


def prune(record: Record, trials: Sequence[TrialRecord], kept: Set[int], lease: Lease) -> None:
    """Delete the checkpoints of the ended trials whose numbers are not in `kept`, and half-written ones of all ended
    trials. Other files that lie there stay. Deletes nothing without the lease of the study's storage.
    """
    for address in {str(record.folder / TRIALS), trials_storage(record).address}:
        folder = Folder(address)
        for name in folder.files():
            number, _, file = name.partition("/")
            if not TRIAL.fullmatch(number) or int(number) >= len(trials) or _needs_checkpoint(trials[int(number)]):
                continue  # it is none of ours, began after `trials` was read, or goes on from there
            is_partial = file != CHECKPOINT and CHECKPOINT in file
            if (int(number) not in kept or is_partial) and lease.is_sure:
                folder.remove(name)


def _needs_checkpoint(trial: TrialRecord) -> bool:
    return trial.state == "running" or (trial.state == "paused" and trial.facts.get(CHECKPOINT_FACT) != GIVEN_UP)


def export_weights(record: Record, numbers: Set[int], lease: Lease) -> dict[int, Path]:
    """Write the weights of these trials into their folders, without pickled code, and delete their checkpoints if this
    driver has the lease. Returns the files by trial number; a trial without a checkpoint has none. Raises
    CheckpointError.
    """
    files = {}
    for number in sorted(numbers):
        folder = trial_folder(record, number)
        if not (folder / WEIGHTS).is_file():
            _export(record, number, lease)
        if (folder / WEIGHTS).is_file():
            files[number] = folder / WEIGHTS
    return files


def size_bytes(record: Record) -> int:
    """The size of the checkpoints and weights in a study's folder."""
    return sum(file.stat().st_size for file in (record.folder / TRIALS).glob("*/*") if file.is_file())


def _export(record: Record, number: int, lease: Lease) -> None:
    """Write the weights of a trial's checkpoint into its folder, and delete the checkpoint. They are on the study's
    storage, if it has one, before that: this machine may be lost at any moment.
    """
    from safetensors.torch import save

    stored = trials_storage(record).below(trial_name(number))
    state = load(stored.address)
    if state is None:
        return
    folder = trial_folder(record, number)
    try:
        content = save({name: tensor.contiguous() for name, tensor in state["model"].items()})
        write_whole(folder / WEIGHTS, content)  # safetensors' own way makes a file that other users cannot read
        if not lease.is_sure:
            return
        if record.header.storage is not None:
            stored.write(WEIGHTS, content)
        stored.remove(CHECKPOINT)  # a complete trial needs only its weights
    except Exception as error:  # a full disk, a storage that is away, a state that holds no tensors
        raise CheckpointError(f"{folder}: cannot write the weights: {error}") from None
