"""The study: searches hyperparameters with Optuna, runs trials with Ray, holds what happened in MLflow.

Offers what notebooks need (`from search import Space, Study, run_study`), each imported at its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mgc import __version__ as __version__  # importing mgc also makes Ctrl-C quiet while a command is imported

if TYPE_CHECKING:
    from search.api import Study as Study
    from search.api import run_study as run_study
    from search.space.space import Space as Space

_OFFERED = {"Space": "search.space.space", "Study": "search.api", "run_study": "search.api"}
"""Where each name that the package offers is."""

__all__ = ["Space", "Study", "run_study"]


def __getattr__(name: str) -> Any:
    if name not in _OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_OFFERED[name]), name)
