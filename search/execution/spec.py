"""The spec of a trial: everything that a worker needs to train it. One function makes it, from the record alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mgc.config import DataConfig
from mgc.networks.training_config import TrainingConfig, training_config
from mgc.plugins.plugin import Plugin
from search.record.header import TRAIN
from search.record.plugins import plugins_of
from search.record.record import Record
from search.record.trial import TrialRecord
from search.storage.checkpoints import checkpoint_folder

if TYPE_CHECKING:
    from mgc.tracks.splits import Part


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """One training: its config, what it reports, and what it may use."""

    params: Mapping[str, Any]
    """Every param, without `seed`."""
    seed: int
    data: Mapping[str, Any]
    """The fields of a DataConfig."""
    epochs: int
    """Epochs of the whole budget. The schedule of the learning rate spans them, even if the trial is stopped early."""
    train_on: tuple[Part, ...] = TRAIN
    rungs: tuple[int, ...] = ()
    """Epochs at which the scheduler decides; the worker writes a checkpoint after each."""
    metrics: tuple[str, ...] = ()
    """The metrics that the study compares. The worker computes those that are means over several epochs."""
    known_epochs: int = 0
    """How many epochs of this trial the record has."""
    folder: str
    """The folder of its checkpoint: a path or an s3:// address that every node can reach."""
    dataset_digest: str
    threads: int = 1
    """CPU threads of torch."""
    gpu_trials: int = 1
    """How many trials share the memory of one GPU."""
    plugins: tuple[Plugin, ...] = ()
    """The study's plug-ins, with their texts."""

    @property
    def clip_parts(self) -> tuple[Part, ...]:
        """The parts of the split that the training opens: `train`, and `validation` unless it trains on that too."""
        return TRAIN if "validation" in self.train_on else ("train", "validation")

    def config(self) -> TrainingConfig:
        """The typed config of the training."""
        config = training_config(self.params, data=DataConfig.checked(self.data), epochs=self.epochs)
        return replace(config, seed=self.seed)

    def identity(self) -> dict[str, Any]:
        """What a checkpoint stores to tell whose it is, since a folder may hold the checkpoint of an earlier study."""
        training = {"params": dict(self.params), "seed": self.seed, "data": dict(self.data), "epochs": self.epochs}
        return {**training, "train_on": self.train_on}

    def owns(self, identity: Mapping[str, Any]) -> bool:
        """Whether a checkpoint with this identity belongs to this trial. Earlier versions wrote None for `train`."""
        return {**identity, "train_on": tuple(identity["train_on"] or TRAIN)} == self.identity()


def trial_spec(record: Record, trial: TrialRecord, *, threads: int = 1, gpu_trials: int = 1) -> TrialSpec:
    """The spec of a trial of this study."""
    header = record.header
    return TrialSpec(
        params=dict(trial.params),
        seed=trial.seed,
        data=DataConfig.checked(header.canonical["data"]).model_dump(),
        epochs=header.max_epochs,
        train_on=header.train_parts,
        rungs=header.rungs,
        metrics=header.objectives.metrics,
        known_epochs=len(trial.epochs),
        folder=checkpoint_folder(record, trial.number),
        dataset_digest=header.digests.get("dataset", ""),
        threads=threads,
        gpu_trials=gpu_trials,
        plugins=plugins_of(record),
    )
