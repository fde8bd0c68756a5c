"""LCBench (Zimmer et al. 2021) by the surrogate of YAHPO Gym (Pfisterer et al. 2022): any config of 7 params of a
multilayer perceptron, on OpenML tasks, 52 epochs. The only address of onnxruntime.

The surrogate is smooth, so every training gets the noise of a seed. A trial is judged by its validation accuracy before
the noise: the surrogate's outputs for the test part are other metrics.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.searches.problems import Config, Curve, Floats, Scale
from mgc.words.errors import ConfigError, nearest
from search.space.domains import Domain, Float, Int
from search.space.params import Param

EPOCHS = 52
DOMAINS: Mapping[str, Domain] = {
    "batch_size": Int(16, 512, log=True),
    "learning_rate": Float(1e-4, 0.1, log=True),
    "momentum": Float(0.1, 0.99),
    "weight_decay": Float(1e-5, 0.1),
    "num_layers": Int(1, 5),
    "max_units": Int(64, 1024, log=True),
    "max_dropout": Float(0.0, 1.0),
}
"""As config_space.json has them, in the order in which the surrogate takes them, after the epoch."""
VAL_ACCURACY = 1
"""The output that is used, in percent."""
REFERENCE_CONFIGS = 20_000
EPOCH_S = 1.0

RUN_NOISE, EPOCH_NOISE = 0.01, 0.02
"""Standard deviations of what a seed adds to the validation accuracy: once to all epochs of a training, and to each
(README.md says by what they were measured)."""


@cache
def surrogate(folder: Path) -> Any:
    """The model on one thread: replays run side by side."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise ConfigError("LCBench needs onnxruntime: pip install '.[bench]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(folder / "model.onnx", options)


@cache
def tasks(folder: Path) -> dict[str, int]:
    """The code of each OpenML task for the surrogate, in the order of their numbers."""
    try:
        codes: dict[str, int] = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"]
    except OSError as error:
        raise ConfigError(f"{folder}: is no folder of LCBench: {error.strerror}: encoding.json") from None
    return {task: codes[task] for task in sorted(codes, key=int)}


@dataclass(frozen=True)
class LCBench:
    """One task. ConfigError where the folder does not have it."""

    folder: Path
    task: str
    num_epochs: int = EPOCHS
    full_s: float = EPOCHS * EPOCH_S

    def __post_init__(self) -> None:
        if self.task not in (known := tasks(self.folder)):
            raise ConfigError(f"{self.folder}: there is no task {self.task!r}{nearest(self.task, known)}")

    @property
    def name(self) -> str:
        return f"lcbench {self.task}"

    @property
    def group(self) -> str:
        return self.folder.resolve().name

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256((self.folder / "model.onnx").read_bytes()).hexdigest()[:16]

    @property
    def params(self) -> Mapping[str, Param]:
        return {name: Param(name=name, domain=domain) for name, domain in DOMAINS.items()}

    @cached_property
    def scale(self) -> Scale:
        rng = random.Random(0)
        configs = [{name: of.sample(rng) for name, of in DOMAINS.items()} for _ in range(REFERENCE_CONFIGS)]
        return Scale.of(self.accuracy(configs, [EPOCHS] * REFERENCE_CONFIGS))

    def trainings(self, seed: int) -> NoisyTrainings:
        return NoisyTrainings(self, np.random.default_rng(seed))

    def accuracy(self, configs: Sequence[Config], epochs: Sequence[int]) -> Floats:
        """The validation accuracy of each config after its epoch, 0 to 1, in one call of the surrogate."""
        rows = [[epoch, *(config[name] for name in DOMAINS)] for config, epoch in zip(configs, epochs, strict=True)]
        code = np.full((len(rows), 1), tasks(self.folder)[self.task], dtype=np.int32)
        inputs = {"x_cat": code, "x_cont": np.array(rows, dtype=np.float32)}
        outputs = surrogate(self.folder).run(None, inputs)[0]
        return np.clip(outputs[:, VAL_ACCURACY].astype(np.float64) / 100, 0.0, 1.0)


@dataclass
class NoisyTrainings:
    """Any config can be trained; each training has a seed of its own, the n-th of a replay the same in every replay."""

    problem: LCBench
    generator: np.random.Generator

    def taken(self, config: Config) -> Config:
        return config

    def curve(self, config: Config) -> Curve:
        smooth_E = self.problem.accuracy([config] * EPOCHS, range(1, EPOCHS + 1))
        noise_E = RUN_NOISE * self.generator.normal() + EPOCH_NOISE * self.generator.normal(size=EPOCHS)
        return Curve(
            score_E=np.clip(smooth_E + noise_E, 0.0, 1.0),
            seconds_E=np.full(EPOCHS, EPOCH_S),
            worth=float(smooth_E[-1]),
        )
