"""How trials share a GPU's memory: arithmetic, without torch or Ray.

Each process takes memory for its CUDA context beside what it allocates, so N trials have (total - N contexts) / N each.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST = 64
"""Trials on one card at most."""
CUDA_CONTEXT_BYTES = 600 << 20
"""Of each process on a card; generous, so that no memory is promised twice."""
SPARE = 1.1
"""A share is this many times the measured peak: other configs allocate in other pieces."""


@dataclass(frozen=True, kw_only=True)
class Peak:
    """What a config took of a card while it trained there alone; `fits` is False where all of it was too little."""

    device: str
    total_bytes: int
    peak_bytes: int
    fits: bool


def share_bytes(total_bytes: int, num_trials: int) -> int:
    """What each of so many trials may allocate of a card; 0 where their contexts take it all.

    >>> share_bytes(80 << 30, 4) / 2**30
    19.4...
    """
    return max(0, (total_bytes - num_trials * CUDA_CONTEXT_BYTES) // num_trials)


def trials_that_fit(peak: Peak, at_most: int) -> int:
    """As many trials as have a share that holds the peak and some more, 1 to `at_most`; the driver may have a context
    on the card too.
    """
    if not peak.fits:
        return 1
    each_bytes = SPARE * peak.peak_bytes + CUDA_CONTEXT_BYTES
    return max(1, min(at_most, MOST, int((peak.total_bytes - CUDA_CONTEXT_BYTES) // each_bytes)))
