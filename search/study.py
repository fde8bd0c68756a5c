"""What a space file declares besides its params: how it is searched, how long trials run, what each may use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from mgc.config import Section
from mgc.wording import nearest
from search.objectives import COSTS, Mode, Objectives, listed, mean_name
from search.sharing import MOST

Sampler = Literal["tpe", "random", "grid", "gp", "qmc"]
Metric = Literal[
    "val_accuracy",
    "val_accuracy_sum",
    "val_accuracy_majority",
    "val_clip_accuracy",
    "val_f1",
    "val_loss",
    "num_weights",
    "val_seconds_per_clip",
]
METRICS: tuple[str, ...] = get_args(Metric)
LESS_IS_BETTER = ("val_loss", *COSTS)
OnRepeat = Literal["reseed", "reuse", "allow"]


def each_known(metrics: Any) -> Any:
    """Raise a ValueError (pydantic's way) for a list with a name that is no metric's."""
    for name in metrics if isinstance(metrics, tuple) else ():
        if name not in METRICS:
            raise ValueError(f"must name metrics, got {name!r}{nearest(str(name), METRICS)}")
    return metrics


def checked_limits(limits: Any) -> Any:
    """Raise a ValueError unless it is `{metric: {min: number, max: number}}`, either end or both."""
    if not isinstance(limits, Mapping):
        raise ValueError(f"must be {{metric: {{max: number}}}}, got {limits!r}")
    for name, limit in limits.items():
        if name not in METRICS:
            raise ValueError(f"must be of metrics, got {name!r}{nearest(str(name), METRICS)}")
        if not isinstance(limit, Mapping) or not limit or set(limit) - {"min", "max"}:
            raise ValueError(f"of {name} must be min, max or both, got {limit!r}")
        for end, bound in limit.items():
            if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
                raise ValueError(f"of {name} must be numbers, got {end} {bound!r}")
        if limit.get("min", -math.inf) > limit.get("max", math.inf):
            raise ValueError(f"of {name} must have min <= max, got {limit['min']} > {limit['max']}")
    return limits


LIMITS_SCHEMA = {
    "type": "object",
    "propertyNames": {"enum": list(METRICS)},
    "additionalProperties": {
        "type": "object",
        "properties": {"min": {"type": "number"}, "max": {"type": "number"}},
        "additionalProperties": False,
        "minProperties": 1,
    },
    "description": "limits that a metric must keep: a trial outside them is never the best",
}


class SearchConfig(Section):
    """How configs are proposed and compared."""

    sampler: Annotated[Sampler, Field(description="who proposes; grid takes every combination once")] = "tpe"
    trials: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="number of trials; null is 50, or the whole grid")
    ] = None
    metric: Annotated[
        Metric | tuple[Metric, ...],
        BeforeValidator(each_known),
        Field(description="what trials are compared by, after their last epoch; a list searches a Pareto front"),
    ] = "val_accuracy"
    mode: Annotated[
        Mode | tuple[Mode, ...], Field(description="whether more or less of the metric is better; a list for a list")
    ] = "max"
    constraints: Annotated[
        dict[str, dict[str, float]],
        BeforeValidator(checked_limits),
        WithJsonSchema(LIMITS_SCHEMA),
        Field(default_factory=dict),
    ]
    smooth_epochs: Annotated[
        int, Field(ge=1, le=1000, description="a score is its mean over so many last epochs, for ASHA and the best too")
    ] = 1
    seed: Annotated[int, Field(ge=0, lt=2**32, description="seed of the proposals and of every trial")] = 0
    on_repeat: Annotated[
        OnRepeat | None,
        Field(
            description="a proposal whose effective network was trained before gets the next seed (reseed), the old "
            "scores (reuse) or is trained as it is (allow); null is reseed, or allow where params give seed"
        ),
    ] = None

    @model_validator(mode="after")
    def _mode_of_metric(self) -> Self:
        metrics, modes = listed(self.metric), listed(self.mode)
        if len(metrics) != len(modes) or isinstance(self.metric, str) != isinstance(self.mode, str):
            raise ValueError(f"mode must be as many as metric, got {_written(self.mode)} for {_written(self.metric)}")
        for metric, mode in zip(metrics, modes, strict=True):
            if mode != (needed := "min" if metric in LESS_IS_BETTER else "max"):
                raise ValueError(f"mode must be {needed} for {metric}, got {mode!r}")
        if not metrics or metrics[0] in COSTS:
            raise ValueError(f"metric must begin with a score of validation, got {_written(self.metric)}")
        if len(set(metrics)) < len(metrics):
            raise ValueError(f"metric must name each once, got {_written(self.metric)}")
        return self

    @property
    def objectives(self) -> Objectives:
        """What trials are compared by, under the names that an epoch's record has."""
        metrics = tuple(mean_name(metric, self.smooth_epochs) for metric in listed(self.metric))
        return Objectives(metrics=metrics, modes=listed(self.mode), limits=self.constraints)

    def canonical(self) -> dict[str, Any]:
        """All but the number of trials. What is not asked for is not named: studies from before it was there go on."""
        unasked = {"constraints"} if not self.constraints else set()
        unasked |= {"smooth_epochs"} if self.smooth_epochs == 1 else set()
        return self.model_dump(mode="json", exclude={"trials", *unasked})


def _written(names: str | tuple[str, ...]) -> str:
    return names if isinstance(names, str) else f"[{', '.join(names)}]"


class Budget(Section):
    """How many epochs trials run: all of them `epochs`, or from `min_epochs` to `max_epochs`, as ASHA stops them."""

    epochs: Annotated[int | None, Field(ge=1, le=100_000, description="every trial runs this many, without ASHA")] = (
        None
    )
    min_epochs: Annotated[int, Field(ge=1, le=100_000, description="epochs before which no trial is stopped")] = 1
    max_epochs: Annotated[int, Field(ge=1, le=100_000, description="epochs of a complete trial")] = 9
    reduction_factor: Annotated[int, Field(ge=2, le=100, description="of so many trials at a rung, one goes on")] = 3

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        others = sorted(self.model_fields_set - {"epochs"})
        if self.epochs is not None and others:
            raise ValueError(f"epochs excludes {others[0]}, got both")
        if self.min_epochs > self.max_epochs:
            raise ValueError(f"min_epochs must be <= max_epochs, got {self.min_epochs} > {self.max_epochs}")
        return self

    @property
    def full(self) -> int:
        """Epochs of a complete trial."""
        return self.max_epochs if self.epochs is None else self.epochs

    def rungs(self) -> tuple[int, ...]:
        """The epochs after which ASHA (Li et al. 2020, one bracket) may stop a trial: min * factor^k below max.

        >>> Budget(min_epochs=1, max_epochs=9, reduction_factor=3).rungs()
        (1, 3)
        """
        rungs = []
        epoch = self.full if self.epochs is not None else self.min_epochs
        while epoch < self.full:
            rungs.append(epoch)
            epoch *= self.reduction_factor
        return tuple(rungs)

    def canonical(self) -> dict[str, Any]:
        """The keys that apply."""
        return self.model_dump(exclude={"epochs"} if self.epochs is None else set(type(self).keys()) - {"epochs"})


def number_or_auto(value: Any) -> Any:
    """Raise a ValueError (pydantic's way) for a text that is not `auto`."""
    if isinstance(value, str) and value != "auto":
        raise ValueError(f"must be a number or auto, got {value!r}")
    return value


class Resources(Section):
    """What one trial may use."""

    cpus_per_trial: Annotated[int, Field(ge=1, le=1024, description="CPU cores, and threads of torch")] = 1
    trials_per_gpu: Annotated[
        Annotated[int, Field(ge=1, le=MOST)] | Literal["auto"],
        BeforeValidator(number_or_auto),
        Field(
            description="trials that share one GPU and its memory; auto is what fits of the largest config, measured"
        ),
    ] = 1
    keep: Annotated[int, Field(ge=1, le=10_000, description="of so many of the best trials the weights stay")] = 3

    @property
    def known_per_gpu(self) -> int:
        """Trials that share one GPU as far as is decided: `auto` is one until it is (search.measuring)."""
        return 1 if self.trials_per_gpu == "auto" else self.trials_per_gpu


@dataclass(frozen=True, kw_only=True)
class Slots:
    """How the resources at hand, of one machine or a cluster, are divided among trials."""

    nodes: int
    cpus: float
    gpus: float
    cpus_per_trial: int
    trials_per_gpu: int
    is_growing: bool = False
    """Whether CPUs and GPUs are counted that are not there yet, of nodes that an autoscaler may add."""

    @property
    def count(self) -> int:
        """Trials that run at once."""
        by_cpu = int(self.cpus // self.cpus_per_trial)
        return max(1, min(by_cpu, int(self.gpus * self.trials_per_gpu)) if self.gpus else by_cpu)

    @property
    def request(self) -> dict[str, float]:
        """What one trial asks for, in Ray's words."""
        gpu = {"GPU": 1 / self.trials_per_gpu} if self.gpus else {}
        return {"CPU": self.cpus_per_trial, **gpu}

    def __str__(self) -> str:
        there = f"{self.nodes} node{'' if self.nodes == 1 else 's'}{', which may become' if self.is_growing else ','}"
        on = f"{there} {self.cpus:g} CPUs, {self.gpus:g} GPUs"
        each = f"{self.cpus_per_trial} CPU{'' if self.cpus_per_trial == 1 else 's'} each"
        if self.gpus:
            return f"{self.count} at a time on {on}: {each}, {self.trials_per_gpu} share a GPU and its memory"
        return f"{self.count} at a time on {on}: {each}"


class Published(Section):
    """One figure that a paper gives for settings of this space."""

    table: Annotated[str, Field(min_length=1, description="where it is printed")]
    params: Annotated[dict[str, Any], Field(description="the settings that it belongs to")]
    metric: Annotated[str, Field(min_length=1, description="what was measured")]
    value: Annotated[float, Field(description="the figure; a share, not percent, for accuracies")]
    dataset: Annotated[str, Field(min_length=1, description="the dataset as the paper names it")]
    paper: Annotated[str | None, Field(description="the paper, where a space stands for several")] = None


STUDY_SECTIONS: dict[str, type[Section]] = {"search": SearchConfig, "budget": Budget, "resources": Resources}

DEFAULT_TRIALS = 50
