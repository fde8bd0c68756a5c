"""The study: searches hyperparameters with Optuna, runs trials with Ray, holds what happened in MLflow.

Offers what notebooks need (`from search import Space`), each imported at its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.space import Space as Space

_OFFERED = {"Space": "search.space"}
"""Where each name that the package offers is."""

__all__ = ["Space"]


def __getattr__(name: str) -> Any:
    if name not in _OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_OFFERED[name]), name)
