"""One training of one config: class Training, a loop over epochs that its caller drives.

    for scores in Training(config, open_clips(config)):
        print(scores.val_accuracy)

Knows nothing of its callers: neither a command line (mgc.train) nor a search. Shape suffixes: B clips of a batch,
N clips of a part, M tracks of a part, G genres.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mgc.clips.augment import Augmentation
from mgc.clips.clips import Batch, Clips
from mgc.models.layers import Standardize
from mgc.networks.networks import build_model
from mgc.networks.training_config import TrainingConfig
from mgc.tracks.splits import Part
from mgc.training import memory
from mgc.training.device import Precision, choose_precision, place_model
from mgc.training.metrics import Predictions
from mgc.training.optimizers import build_optimizer, build_schedule
from mgc.training.part_metrics import part_metrics

EVALUATION_BATCH = 4
"""Batches are this many times larger in evaluation: without gradients they take no more memory."""


class TrainingError(RuntimeError):
    """A training cannot go on: its loss is no longer a finite number."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one epoch. Accuracies, precision, recall and F1 are in [0, 1]; epochs count from 1.

    Losses are mean cross-entropies by clip, without the L1 penalty; `val_track_loss` is that of the tracks' summed
    votes. `train_loss` and `train_accuracy` are of the training pass itself: with dropout, augmentation and smoothed
    labels, and while the weights move; of a mixed clip the genre that weighs more counts as right. `val_accuracy`,
    precision, recall and F1 (macro means) are by track under the config's vote, by clip where that is `none`. Without a
    validation part all of validation's are NaN. `clips_per_s` is the speed of the training pass, `seconds` the time of
    the whole epoch.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_track_loss: float
    val_accuracy: float
    val_clip_accuracy: float
    val_accuracy_sum: float
    val_accuracy_majority: float
    val_precision: float
    val_recall: float
    val_f1: float
    seconds: float
    clips_per_s: float
    more: Mapping[str, float] = field(default_factory=dict)
    """The metrics of plug-ins, by the names that they have for the validation part."""

    def metrics(self) -> dict[str, float]:
        """Everything but the epoch, by name."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ("epoch", "more")}
        return {**own, **self.more}


VALIDATED = tuple(each.name for each in fields(Scores) if each.name.startswith("val_"))
"""The scores that need a validation part."""


_NOT_VALIDATED: tuple[dict[str, float], dict[str, float]] = (dict.fromkeys(VALIDATED, math.nan), {})


class Training:
    """A model in training. Each `epoch()` trains with every train clip once, then scores the validation part.

    On a CPU all scores except the times depend on nothing but config, clips and number of threads. Every epoch draws
    its shuffle, dropout and augmentation from its own seed: a training that is saved and loaded continues bit for bit
    as if it had not been interrupted, and the process' random state is neither used nor changed. From the first epoch
    on the process keeps the memory that its steps free, until `mgc.training.memory.give_back`.
    """

    def __init__(self, config: TrainingConfig, clips: Clips, device: str | torch.device = "cpu") -> None:
        self.config = config
        self.clips = clips
        self.device = torch.device(device)
        self.epochs_done = 0
        precision = config.optimizer.precision
        self.precision: Precision = choose_precision(self.device) if precision == "auto" else precision
        with _seeded(config.seed, 0, self.device):
            model = build_model(config, clips.shape, len(clips.genres))
        self.model = place_model(model, self.device)
        for each in self.model.modules():
            if isinstance(each, Standardize):
                each.fit(*clips.statistics)
        self._augmentation = Augmentation(config.augment, clips)
        self._optimizer = build_optimizer(config.optimizer, self.model, self.device)
        num_steps = clips.num_batches("train", config.optimizer.batch_size)
        self._schedule = build_schedule(config.optimizer, self._optimizer, config.epochs, num_steps)
        self._penalized = [weight for weight in self.model.parameters() if weight.dim() > 1]

    def __iter__(self) -> Iterator[Scores]:
        """The scores of each epoch up to the config's number of epochs."""
        while self.epochs_done < self.config.epochs:
            yield self.epoch()

    def epoch(self) -> Scores:
        """Train for one more epoch. Raises TrainingError when a loss is not finite."""
        start_s = time.perf_counter()
        train_loss, train_accuracy = self._train()
        train_s = time.perf_counter() - start_s
        validation, more = self._validate() if "validation" in self.clips.parts else _NOT_VALIDATED
        self.epochs_done += 1
        return Scores(
            epoch=self.epochs_done,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            **validation,
            seconds=time.perf_counter() - start_s,
            clips_per_s=self.clips.num_clips("train") / train_s,
            more=more,
        )

    def _validate(self) -> tuple[dict[str, float], dict[str, float]]:
        """The scores of the validation part, under the names of VALIDATED, and those of plug-ins."""
        predictions = self.predict("validation")
        self._check_loss("validation", predictions.loss)
        by_vote = predictions.scores(self.config.clips.vote)
        own = {
            "val_loss": predictions.loss,
            "val_track_loss": predictions.track_loss(),
            "val_accuracy": by_vote.accuracy,
            "val_clip_accuracy": predictions.scores("none").accuracy,
            "val_accuracy_sum": predictions.scores("sum").accuracy,
            "val_accuracy_majority": predictions.scores("majority").accuracy,
            "val_precision": by_vote.precision,
            "val_recall": by_vote.recall,
            "val_f1": by_vote.f1,
        }
        return own, part_metrics("val", predictions)

    def _train(self) -> tuple[float, float]:
        """Train with every train clip once; returns the mean loss and the accuracy."""
        memory.keep_freed()
        self.model.train()
        seed = (self.config.seed, self.epochs_done + 1)
        shuffle = torch.Generator().manual_seed(_seed(*seed, "shuffle"))
        loss_sum = torch.zeros((), device=self.device)
        num_right = torch.zeros((), device=self.device, dtype=torch.int64)
        with _seeded(*seed, self.device):
            for batch in self.clips.batches("train", self.config.optimizer.batch_size, generator=shuffle):
                logits_BG, loss = self._step(batch)
                loss_sum += loss * len(batch.y_B)
                num_right += (logits_BG.argmax(dim=1) == batch.y_B).sum()
        num_clips = self.clips.num_clips("train")
        train_loss = loss_sum.item() / num_clips  # only here does an epoch's training wait for the GPU
        self._check_loss("training", train_loss)
        return train_loss, num_right.item() / num_clips

    def _step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Move the weights once; returns the batch's logits (B, G) and mean cross-entropy."""
        self._optimizer.zero_grad()
        x, label = self._augmentation(batch)
        logits_BG = self._logits(x)
        loss = functional.cross_entropy(logits_BG, label, label_smoothing=self.config.optimizer.label_smoothing)
        (loss + self._penalty()).backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        if self._schedule is not None:
            self._schedule.step()
        return logits_BG.detach(), loss.detach()

    def _logits(self, x: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Logits (B, G) in float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            logits_BG: Tensor = self.model(x)
        return logits_BG.float()

    def _penalty(self) -> Tensor | float:
        """The L1 penalty on the weights of convolutions and linear layers, not on biases and normalizations."""
        factor = self.config.optimizer.l1_penalty
        if factor == 0:
            return 0.0
        return factor * torch.stack([weight.abs().sum() for weight in self._penalized]).sum()

    def _check_loss(self, which: str, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingError(
                f"the {which} loss is {loss} in epoch {self.epochs_done + 1}: the training diverged "
                f"(lr {self.config.optimizer.lr:g}, {self.precision})"
            )

    @torch.inference_mode()
    def predict(self, part: Part) -> Predictions:
        """The model's predictions for every clip of a part that the clips were opened with."""
        self.model.eval()
        y, track, logits = [], [], []
        for batch in self.clips.batches(part, EVALUATION_BATCH * self.config.optimizer.batch_size):
            y.append(batch.y_B)
            track.append(batch.track_B)
            logits.append(self._logits(batch.x))
        y_N, track_N, logits_NG = torch.cat(y), torch.cat(track).cpu().numpy(), torch.cat(logits)
        _, first_clip_M = np.unique(track_N, return_index=True)
        return Predictions(
            genres=self.clips.genres,
            track_ids=self.clips.track_ids(part),
            label_M=y_N.cpu().numpy()[first_clip_M],
            track_N=track_N,
            probabilities_NG=logits_NG.softmax(dim=1).cpu().numpy(),
            loss=functional.cross_entropy(logits_NG, y_N).item(),
        )

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimizer, its schedule if it has one, and number of epochs; no random state.

        The tensors are the training's own: save them before the next epoch changes them.
        """
        return {
            "epoch": self.epochs_done,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            **({"schedule": self._schedule.state_dict()} if self._schedule is not None else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the state of a training of the same config."""
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._schedule is not None:
            self._schedule.load_state_dict(state["schedule"])
        self.epochs_done = state["epoch"]


def _seed(seed: int, epoch: int, use: Literal["model", "shuffle"]) -> int:
    """A seed of 64 bits for one epoch of a training.

    From the seed of use `model` are drawn the first weights (epoch 0), and in later epochs dropout and augmentation.
    """
    entropy = (seed, epoch, ("model", "shuffle").index(use))
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])


@contextmanager
def _seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators for this epoch, and afterwards restore their states."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(_seed(seed, epoch, "model"))
        yield
