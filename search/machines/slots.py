"""How CPUs, GPUs and the memory of GPUs are divided among trials: arithmetic, which must not import torch or Ray.

Each process on a GPU needs memory for its CUDA context as well, so each of N trials has (total - N contexts) / N.
"""

from __future__ import annotations

from dataclasses import dataclass

from search.settings.sections import MAX_PER_GPU

CUDA_CONTEXT_BYTES = 600 << 20
"""The memory of a process's CUDA context: more than was ever seen, so that no memory is promised twice."""
SPARE = 1.1
"""A trial's share is this many times the measured peak, since other configs allocate blocks of other sizes."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """How the CPUs and GPUs of a machine or a cluster are divided among trials."""

    nodes: int
    cpus: float
    gpus: float
    cpus_per_trial: int
    trials_per_gpu: int
    is_growing: bool = False
    """Whether `cpus` and `gpus` include those of nodes that an autoscaler may add."""

    @property
    def count(self) -> int:
        """How many trials run at once."""
        by_cpu = int(self.cpus // self.cpus_per_trial)
        return max(1, min(by_cpu, int(self.gpus * self.trials_per_gpu)) if self.gpus else by_cpu)

    @property
    def request(self) -> dict[str, float]:
        """The resources of one trial, by Ray's names for them."""
        gpu = {"GPU": 1 / self.trials_per_gpu} if self.gpus else {}
        return {"CPU": self.cpus_per_trial, **gpu}

    def __str__(self) -> str:
        nodes = _counted(self.nodes, "node")
        there = f"{nodes} and those that may be added, together with" if self.is_growing else f"{nodes} with"
        gpus = f" and {_counted(self.gpus, 'GPU')}" if self.gpus else ""
        share = f", {self.trials_per_gpu} share a GPU and its memory" if self.gpus else ""
        each = f"{_counted(self.cpus_per_trial, 'CPU')} each{share}"
        return f"{_counted(self.count, 'trial')} at a time on {there} {_counted(self.cpus, 'CPU')}{gpus}: {each}"


def _counted(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The memory that a config takes of a GPU while it trains there alone."""

    device: str
    """The GPU's name."""
    total_bytes: int
    peak_bytes: int
    fits: bool
    """Whether the training had enough memory."""


def share_bytes(total_bytes: int, num_trials: int) -> int:
    """The memory of a GPU that each of so many trials may allocate; 0 where their contexts need all of it.

    >>> share_bytes(80 << 30, 4) / 2**30
    19.4...
    """
    return max(0, (total_bytes - num_trials * CUDA_CONTEXT_BYTES) // num_trials)


def trials_that_fit(peak: Peak, at_most: int) -> int:
    """How many trials can share a GPU, 1 to `at_most`: each has the measured peak and SPARE, and its context. One more
    context is left for the driver, which may use the same GPU.
    """
    if not peak.fits:
        return 1
    each_bytes = SPARE * peak.peak_bytes + CUDA_CONTEXT_BYTES
    return max(1, min(at_most, MAX_PER_GPU, int((peak.total_bytes - CUDA_CONTEXT_BYTES) // each_bytes)))
