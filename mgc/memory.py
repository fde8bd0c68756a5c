"""What becomes of memory that a training has freed: kept for its next step, given back when the training is over."""

from __future__ import annotations

import ctypes

import torch

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""What mallopt calls them in glibc's malloc.h."""


def keep_freed() -> None:
    """Let this process keep what it frees, until `give_back`. Only glibc has to be asked; elsewhere nothing is done.

    By itself glibc fetches each tensor of 32 MB or more from the system and returns it when it is freed. A page costs a
    microsecond or several when it is first written to: nearly half of a training step where maps are that large.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, -1)


def give_back() -> None:
    """Return what is free to the system, and on a GPU to the processes beside this one."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
