"""The names of the files in a study's folder, `OUT/STUDY/`, and of the folders beside it. No other file repeats them.

record.log                              the record (search.record.journal)
record.damaged-001                      bytes that were cut off the record (search.record.damage)
lock                                    which process runs the study
trials/00007/checkpoint.pt              of a running trial, and of the best (search.storage.checkpoints)
trials/00007/weights.safetensors        of the best complete trials
model/, mlflow_model/                   the best model, or the confirmed one
predictions/validation.npz              the best model's predictions
predictions/test-00007.npz              of a confirmation: the predictions of each of its models
plugins/my_models.py                    the plug-ins that it uses, which no command runs from there
report/report.html                      the report with its pictures and tables
errors.log                              tracebacks of errors that did not end the study
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from mgc.words.errors import ConfigError

JOURNAL = "record.log"
LOCK = "lock"
TRIALS = "trials"
TRIAL = re.compile(r"[0-9]{5,}")
"""The name of a trial's folder under TRIALS."""
CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.safetensors"
MODEL = "model"
MLFLOW_MODEL = "mlflow_model"
PREDICTIONS = "predictions"
VALIDATION = f"{PREDICTIONS}/validation.npz"
PLUGINS = "plugins"
REPORT = "report"
PAGE = "report.html"
ERRORS = "errors.log"


def damaged_file(folder: Path, number: int) -> Path:
    """The file of a study's folder with the bytes that were cut off its record; `number` counts from 1."""
    return folder / f"record.damaged-{number:03d}"


def plugin_file(folder: Path, name: str) -> Path:
    """The text of a plug-in in a study's folder."""
    return folder / PLUGINS / name


_STUDY = re.compile(r"\w([\w .,+=@()\[\]-]{0,98}[\w.,+=@()\[\]-])?")


def checked_name(study: str) -> str:
    """The name of a study, which is a folder's name, and stands in commands and in MLflow's queries.

    Raises ConfigError for any that would have to be quoted or could leave its folder.
    """
    if not _STUDY.fullmatch(study):
        raise ConfigError(
            f"the name of a study has 1 to 100 letters, digits, spaces and .,+=@()[]_- after a letter or digit, "
            f"got {study!r}",
            "name",
        )
    return study


def study_names(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """The studies under `--out` whose names begin so: what argcomplete offers for a study."""
    return [path.parent.name for path in parsed_args.out.glob(f"*/{JOURNAL}") if path.parent.name.startswith(prefix)]


def trial_name(number: int) -> str:
    """The name of the folder of this trial."""
    return f"{number:05d}"


def predictions_on_test(number: int) -> str:
    """The file with the predictions of a trial's model on the test part."""
    return f"{PREDICTIONS}/test-{number:05d}.npz"


def confirmation_folder(study: Path, train_on: str) -> Path:
    """The folder of a study's confirmation, beside the study's own. `train_on` is `train` or `train+val`, and each has
    a folder.
    """
    return study.with_name(f"{study.name}-confirm{'' if train_on == 'train' else '-train-val'}")
