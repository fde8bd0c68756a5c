"""The samplers of plug-ins by name: functions that a search calls. What a sampler is, is not known here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mgc.plugins.plugin import Plugin


@dataclass(frozen=True, kw_only=True)
class DeclaredSampler:
    """A function of a space and a seed, and the line of its declaration."""

    name: str
    make: Callable[[Any, int], Any]
    description: str
    plugin: Plugin
    line: int


DECLARED_SAMPLERS: dict[str, DeclaredSampler] = {}
"""Of the plug-ins in use."""
