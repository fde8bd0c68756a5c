"""The header that a study's record begins with, and the spec that the worker of a trial is given."""

from __future__ import annotations

import importlib.metadata
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from search.checkpoints import checkpoint_folder
from search.commit import commit
from search.objectives import plain
from search.record import Record, TrialRecord
from search.space import Space
from search.study import Slots

VERSIONS_OF = ("mgc-search", "torch", "ray", "optuna", "mlflow", "librosa", "numpy")


def study_header(space: Space, study: str, *, trials_given: bool = False) -> dict[str, Any]:
    """What a record knows of its study before the data are open. `trials_given`: their number was asked for by hand."""
    by = space.search.objectives
    return {
        "space": space.name,
        "study": study,
        "description": space.description,
        "file": str(space.path),
        "canonical": space.canonical(),
        "metric": plain(by.metrics),
        "mode": plain(by.modes),
        "constraints": dict(by.limits),
        "trials": space.num_trials,
        "trials_given": trials_given,
        "max_epochs": space.budget.full,
        "rungs": list(space.budget.rungs()),
        "resources": space.resources.model_dump(mode="json"),
        "published": [figure.model_dump(mode="json") for figure in space.published],
        "reference": dict(space.reference),
        "command": _command(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS_OF},
        "commit": commit(),
    }


def _command() -> str | None:
    """The command line that started the study; None where Python did."""
    name = Path(sys.argv[0])
    is_ours = name.parent.name == "search" and name.suffix == ".py"
    return shlex.join(["python", "-m", f"search.{name.stem}", *sys.argv[1:]]) if is_ours else None


def trial_spec(space: Space, record: Record, share: Slots, trial: TrialRecord) -> dict[str, Any]:
    """What a trial's worker is told (search.trial)."""
    return {
        "params": dict(trial.params),
        "seed": trial.seed,
        "data": space.data.model_dump(),
        "epochs": space.budget.full,
        "rungs": space.budget.rungs(),
        "metrics": space.search.objectives.metrics,
        "known_epochs": len(trial.epochs),
        "folder": checkpoint_folder(record, trial.number),
        "threads": share.cpus_per_trial,
        "gpu_trials": share.trials_per_gpu,
        "dataset_digest": record.header["digests"]["dataset"],
    }
