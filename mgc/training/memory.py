"""Keeps the memory that training steps free, so that the next step can use it; returns it to the system at the end."""

from __future__ import annotations

import ctypes
import sys

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
"""The numbers of mallopt's parameters in glibc's malloc.h."""
_USUAL = {_MMAP_MAX: 65_536, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20}
"""The values that glibc itself reaches in a process that frees large blocks (`man mallopt`)."""


def keep_freed() -> None:
    """Let this process keep the memory that its main thread frees, until `give_back`. Does nothing without glibc.

    Otherwise glibc gets each tensor of 32 MB or more from the system and returns it when it is freed, and smaller ones
    if they were the last in its heap. The first write to a page costs a microsecond or more: nearly half of a training
    step, if the maps are so large.
    """
    if libc := _glibc():
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, -1)


def give_back() -> None:
    """Return free memory to the system, now and in future, and on a GPU to the other processes."""
    if libc := _glibc():
        for name, value in _USUAL.items():
            libc.mallopt(name, value)
        libc.malloc_trim(0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "mallopt") else None
