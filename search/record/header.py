"""The header of a study's record: what the study is, as a type that all rooms use.

It is written when the study begins. It is amended when the study's data are open, and each time the study is resumed.
A record keeps it as JSON, whose keys never change, so that records of earlier versions can be read.
"""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from mgc.config import Vote
from mgc.plugins.loading import in_use
from mgc.words.command import PROGRAM
from mgc.words.redact import redacted, redacted_word
from search.record.journal import RecordError
from search.settings.objectives import Objectives, listed, plain
from search.settings.sections import Resources
from search.space.space import Space

if TYPE_CHECKING:
    from mgc.tracks.splits import Part  # NumPy, which reading a header does not need

FORMAT = 1
"""The version of the record's format. A program reads the versions up to its own."""
VERSIONS_OF = ("mgc-search", "torch", "ray", "optuna", "mlflow", "librosa", "numpy")
"""The packages whose versions a header holds."""
TRAIN: tuple[Part, ...] = ("train",)
TRAIN_PARTS: Mapping[str, tuple[Part, ...]] = {"train": TRAIN, "train+val": ("train", "validation")}
"""The values of `--train-on`, each with the parts of the split that a trial is trained on."""

Names = Annotated[tuple[str, ...], BeforeValidator(listed), PlainSerializer(plain)]
"""One name or several. In JSON one name is a string, several are a list."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Candidate(_Frozen):
    """A config that a confirmation trains once with each seed."""

    params: Mapping[str, Any]
    """Every param, without `seed`."""
    varying: Mapping[str, Any]
    """The params that the search varied."""
    network: str
    """The key of its effective network."""
    role: str
    """Its rank in the search (`best 1`), `default`, or both (`best 2, default`)."""
    vote: Vote


class ConfirmationPlan(_Frozen):
    """What a confirmation trains: all configs with the first seed, then all with the next."""

    study: str
    """The name of the study that is confirmed."""
    train_on: str
    """A key of TRAIN_PARTS."""
    top: int | None
    """How many of the best networks are confirmed; None for all."""
    seeds: tuple[int, ...]
    configs: tuple[Candidate, ...]


class PluginEntry(_Frozen):
    """A plug-in that the study uses; its text is beside the record."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.-]{0,95}\.py$")]
    """The name of its file, without a folder."""
    digest: str
    """Of its text."""


class StudyHeader(_Frozen):
    """What a study is. The fields from `dataset` to `notes` are None or empty until the study's data are open."""

    format: int = FORMAT
    space: str
    """The name of the space; it is the name of the MLflow experiment."""
    study: str = ""
    description: str | None = None
    file: str = ""
    """The path of the space file, as on the command line."""
    canonical: Mapping[str, Any] = Field(default_factory=dict)
    """`Space.canonical()`: everything that a trial's result depends on, as plain JSON data."""
    metrics: Names = Field(alias="metric")
    modes: Names = Field(alias="mode")
    """`max` or `min` for each metric."""
    constraints: Mapping[str, Mapping[str, float]] = Field(default_factory=dict)
    trials: int
    """How many trials the study is to have."""
    trials_given: bool = False
    """Whether that number is from the command line; a resumed study keeps it then."""
    max_epochs: int
    """Epochs of a complete trial."""
    rungs: tuple[int, ...] = ()
    sampler: str | None = None
    """The sampler that proposes. None in records of earlier versions, whose samplers learned from ends alone, not from
    rungs: those studies go on so.
    """
    resources: Mapping[str, Any] = Field(default_factory=dict)
    published: Sequence[Mapping[str, Any]] = ()
    reference: Mapping[str, Any] = Field(default_factory=dict)
    storage: str | None = None
    """The address of the study's checkpoints and copy (search.storage.storage); None for the study's own folder."""
    command: Annotated[str | None, AfterValidator(lambda line: line and redacted(line))] = None
    """The command line that began the study, without secrets; None for a study that Python code began."""
    created: str
    """When the study began, in ISO 8601."""
    versions: Mapping[str, str] = Field(default_factory=dict)
    commit: str | None = None
    plugins: tuple[PluginEntry, ...] = ()
    """Absent in the record of a study without plug-ins."""
    confirm: ConfirmationPlan | None = None
    """What a confirmation trains; None for a search."""

    dataset: str | None = None
    is_synthetic: bool = False
    split: str | None = None
    digests: Mapping[str, str] = Field(default_factory=dict)
    """Content digests of `dataset` and `split`."""
    genres: tuple[str, ...] = ()
    precision: str | None = None
    notes: tuple[str, ...] = ()
    """Remarks about the data, one line each."""

    @model_validator(mode="after")
    def _one_mode_for_each_metric(self) -> Self:
        if not self.metrics or len(self.metrics) != len(self.modes) or set(self.modes) - {"max", "min"}:
            raise ValueError(f"metric and mode must be as many, got {self.metrics} and {self.modes}")
        return self

    @classmethod
    def of_json(cls, raw: Mapping[str, Any], source: object) -> Self:
        """The header from the JSON data of a record.

        Raises RecordError, which names the source, for a header that this program cannot read.
        """
        if raw.get("format", FORMAT) > FORMAT:
            raise RecordError(f"{source}: a newer mgc-search made it (record format {raw['format']}, here {FORMAT})")
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            what = f"header's {key}" if key else "header"
            raise RecordError(f"{source} is damaged: its {what}: {first['msg']}") from None

    def json_data(self) -> dict[str, Any]:
        """The header as plain JSON data, with the fields that were set."""
        return {"format": self.format, **self.model_dump(mode="json", by_alias=True, exclude_unset=True)}

    def amended(self, **changes: Any) -> Self:
        """This header with other values of some fields."""
        return type(self).model_validate({**self.json_data(), **changes})

    @cached_property
    def objectives(self) -> Objectives:
        """The metrics that the study's trials are compared by, and their limits."""
        return Objectives(metrics=self.metrics, modes=self.modes, constraints=self.constraints)

    @property
    def metric(self) -> str:
        """The first metric: ASHA compares trials by it, and every ranking orders by it."""
        return self.objectives.metric

    @property
    def mode(self) -> str:
        return self.objectives.mode

    @property
    def keep(self) -> int:
        """Of so many of the best trials the weights stay."""
        return int(self.resources.get("keep", Resources().keep))

    @property
    def train_parts(self) -> tuple[Part, ...]:
        """The parts of the split that the study's trials are trained on."""
        return TRAIN if self.confirm is None else TRAIN_PARTS[self.confirm.train_on]

    @property
    def dataset_label(self) -> str:
        """The dataset's name, with `(synthetic)` for music that NumPy makes."""
        name = str(self.dataset)
        return f"{name} (synthetic)" if self.is_synthetic and "synthetic" not in name else name

    @property
    def is_leaky(self) -> bool:
        """Whether clips of one track may be on both sides of the split."""
        return self.split is not None and "leaky" in self.split

    @property
    def cautions(self) -> tuple[str, ...]:
        """Warnings that belong to every result of this study, each one phrase."""
        synthetic = ("synthetic music: no result about real genres",) if self.is_synthetic else ()
        leaky = (f"split {self.split}: accuracy on tracks known from training",) if self.is_leaky else ()
        return synthetic + leaky


def new_header(space: Space, study: str, *, trials_given: bool = False, storage: str | None = None) -> StudyHeader:
    """The header of a study that begins now. `trials_given`: the number of trials is from the command line."""
    objectives = space.search.objectives
    return StudyHeader.model_validate(
        {
            "space": space.name,
            "study": study,
            "description": space.description,
            "file": str(space.path),
            "canonical": space.canonical(),
            "metric": objectives.metrics,
            "mode": objectives.modes,
            "constraints": objectives.constraints,
            "trials": space.num_trials,
            "trials_given": trials_given,
            "max_epochs": space.budget.full,
            "rungs": space.budget.rungs(),
            "sampler": space.search.own_sampler,
            **resume_fields(space, storage),
            "published": [figure.model_dump(mode="json") for figure in space.published],
            "command": _command(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {name: importlib.metadata.version(name) for name in VERSIONS_OF},
            "commit": commit(),
            **plugin_fields(),
        }
    )


def plugin_fields() -> dict[str, Any]:
    """The plug-ins in use as a header has them; nothing where there are none."""
    plugins = [{"name": plugin.name, "digest": plugin.digest} for plugin in in_use()]
    return {"plugins": plugins} if plugins else {}


def resume_fields(space: Space, storage: str | None) -> dict[str, Any]:
    """The fields that may change each time a study is resumed. Without a storage it keeps the one that it has."""
    fields = {"reference": dict(space.reference), "resources": space.resources.model_dump(mode="json")}
    return fields if storage is None else {**fields, "storage": storage}


def _command() -> str | None:
    """The command line of this process; None where it is no command of `search`."""
    script = Path(sys.argv[0])
    if script.name == PROGRAM:
        return shlex.join([PROGRAM, *map(redacted_word, sys.argv[1:])])
    names = [part for part in (*script.parts[-3:-1], script.stem) if part != "__main__"]
    if script.suffix != ".py" or "search" not in names:
        return None
    package = len(names) - 1 - names[::-1].index("search")  # the last: the checkout's own folder may be called so
    return shlex.join(["python", "-m", ".".join(names[package:]), *map(redacted_word, sys.argv[1:])])


def commit() -> str | None:
    """The commit of the code that runs, with a + where files differ from it; None outside a git checkout.

    $MGC_COMMIT comes first: code that was sent to a cluster has no git checkout there.
    """
    if sent := os.environ.get("MGC_COMMIT"):
        return sent
    here = str(Path(__file__).parent)
    command = ["git", "-C", here, "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None
