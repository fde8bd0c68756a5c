"""What becomes of memory that a training has freed: kept for its next step, given back when the training is over."""

from __future__ import annotations

import ctypes
import sys

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
"""What mallopt calls them in glibc's malloc.h."""
_USUAL = {_MMAP_MAX: 65_536, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20}
"""Where glibc's own thresholds end up in a process that frees large blocks (`man mallopt`)."""


def keep_freed() -> None:
    """Let this process keep what it frees in its main thread, until `give_back`. Without glibc nothing is done.

    By itself glibc fetches each tensor of 32 MB or more from the system and returns it when it is freed, and smaller
    ones when they were the last in its heap. A page costs a microsecond or several when it is first written to: nearly
    half of a training step where maps are that large.
    """
    if libc := _glibc():
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, -1)


def give_back() -> None:
    """Return what is free to the system, now and from here on, and on a GPU to the processes beside this one."""
    if libc := _glibc():
        for name, value in _USUAL.items():
            libc.mallopt(name, value)
        libc.malloc_trim(0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "mallopt") else None
