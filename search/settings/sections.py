"""What a space file declares besides its params: how it is searched, how long trials run, what each may use."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from mgc.config import Section
from mgc.words.errors import ConfigError, close_to, nearest
from search.settings.metrics import METRICS, Metric, Mode
from search.settings.objectives import Objectives, listed, mean_name
from search.settings.samplers import SAMPLERS, SamplerEntry, sampler_of
from search.settings.schedulers import SCHEDULERS, SchedulerEntry

OnRepeat = Literal["reseed", "reuse", "allow"]
MAX_PER_GPU = 64
"""Trials on one GPU at most."""


# Validators for pydantic: each returns the value, or raises a ValueError whose text follows the key in an error's line.


def one_of(names: Collection[str], value: Any) -> Any:
    """The value, which must be one of the names."""
    if value not in tuple(names):
        raise ValueError(f"must be one of {', '.join(names)}, got {value!r}{close_to(value, names)}")
    return value


def names_schema(entries: Mapping[str, Metric | SamplerEntry | SchedulerEntry]) -> dict[str, Any]:
    """The JSON Schema of a name that has an entry. `enumDescriptions` is no part of the standard; editors show it."""
    descriptions = [entry.description for entry in entries.values()]
    return {"enum": list(entries), "enumDescriptions": descriptions, "type": "string"}


def sampler_name(value: Any) -> Any:
    """The name of a sampler."""
    return one_of(SAMPLERS, value)


def scheduler_name(value: Any) -> Any:
    """The name of a scheduler."""
    return one_of(SCHEDULERS, value)


def params_each(first: Any) -> Any:
    """Several configs, each some params with their values."""
    if not isinstance(first, tuple) or not all(isinstance(params, Mapping) for params in first):
        raise ValueError(f"must be a list of {{param: value}}, got {first!r}")
    return first


def metric_names(metrics: Any) -> Any:
    """The name of a metric, or a tuple of such names."""
    if isinstance(metrics, Mapping):
        raise ValueError(f"must be the name of a metric, got {metrics!r} (its goal is mode: max or min)")
    if not isinstance(metrics, tuple):
        return one_of(METRICS, metrics)
    for name in metrics:
        if name not in tuple(METRICS):
            raise ValueError(f"must name metrics, got {name!r}{nearest(str(name), METRICS)}")
    return metrics


def constraints_by_metric(constraints: Any) -> Any:
    """A mapping of metrics to their bounds."""
    if not isinstance(constraints, Mapping):
        raise ValueError(f"must be {{metric: {{max: number}}}}, got {constraints!r}")
    for name, bounds in constraints.items():
        if name not in METRICS:
            raise ValueError(f"must name metrics, got {name!r}{nearest(str(name), METRICS)}")
        _check_bounds(name, bounds)
    return constraints


def _check_bounds(name: str, bounds: Any) -> None:
    """ValueError unless it is {min: number, max: number}, either end or both."""
    if not isinstance(bounds, Mapping) or not bounds or set(bounds) - {"min", "max"}:
        raise ValueError(f"of {name} must be min, max or both, got {bounds!r}")
    for end, bound in bounds.items():
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
            raise ValueError(f"of {name} must be numbers, got {end} {bound!r}")
    if bounds.get("min", -math.inf) > bounds.get("max", math.inf):
        raise ValueError(f"of {name} must have min <= max, got {bounds['min']} > {bounds['max']}")


@dataclass(frozen=True)
class SchemaNow:
    """The JSON Schema of a field, made anew each time that it is asked for: plug-ins add names."""

    schema: Callable[[], dict[str, Any]]

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return self.schema()


def metric_schema() -> dict[str, Any]:
    return {"anyOf": [names_schema(METRICS), {"items": names_schema(METRICS), "type": "array"}]}


def constraints_schema() -> dict[str, Any]:
    return {
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

    sampler: Annotated[
        str,
        BeforeValidator(sampler_name),
        SchemaNow(lambda: names_schema(SAMPLERS)),
        Field(description="what proposes configs; grid takes every combination once"),
    ] = "auto"
    trials: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="number of trials; null is 50, or the whole grid")
    ] = None
    metric: Annotated[
        str | tuple[str, ...],
        BeforeValidator(metric_names),
        SchemaNow(metric_schema),
        Field(description="what trials are compared by, after their last epoch; a list searches a Pareto front"),
    ] = "val_accuracy"
    mode: Annotated[
        Mode | tuple[Mode, ...], Field(description="whether more or less of the metric is better; a list for a list")
    ] = "max"
    constraints: Annotated[
        dict[str, dict[str, float]],
        BeforeValidator(constraints_by_metric),
        SchemaNow(constraints_schema),
        Field(default_factory=dict),
    ]
    smooth_epochs: Annotated[
        int,
        Field(ge=1, le=1000, description="a score is the mean over this many last epochs, for ASHA and for the best"),
    ] = 1
    first: Annotated[
        tuple[dict[str, Any], ...],
        BeforeValidator(params_each),
        Field(description="params that are tried before any proposal; those that one leaves out are drawn"),
    ] = ()
    seed: Annotated[int, Field(ge=0, lt=2**32, description="seed of the proposals and of every trial")] = 0
    on_repeat: Annotated[
        OnRepeat | None,
        Field(
            description="a proposal whose effective network was trained before gets the next seed (reseed), the old "
            "scores (reuse) or is trained as it is (allow); null is reseed, or allow where params give seed"
        ),
    ] = None

    @model_validator(mode="after")
    def _metrics_in_their_modes(self) -> Self:
        metrics, modes, text = listed(self.metric), listed(self.mode), _written(self.metric)
        if len(metrics) != len(modes) or isinstance(self.metric, str) != isinstance(self.mode, str):
            message = f"mode must have one entry for each metric, got {_written(self.mode)} for {text}"
            raise ConfigError(message, tied=("mode", "metric"))
        for metric, mode in zip(metrics, modes, strict=True):
            if mode != (needed := METRICS[metric].mode):
                raise ConfigError(f"mode must be {needed} for {metric}, got {mode!r}", tied=("mode",))
        if not metrics or METRICS[metrics[0]].is_cost:
            raise ConfigError(f"metric must begin with a validation score, got {text}", tied=("metric",))
        if len(set(metrics)) < len(metrics):
            raise ConfigError(f"metric must name each metric once, got {text}", tied=("metric",))
        return self

    @property
    def is_exhaustive(self) -> bool:
        """Whether every combination of the listed values is a trial."""
        return SAMPLERS[self.sampler].is_exhaustive

    @property
    def own_sampler(self) -> str:
        """The sampler itself, where the file says `auto`."""
        return sampler_of(self.sampler, num_metrics=len(listed(self.metric)))

    @property
    def objectives(self) -> Objectives:
        """What trials are compared by, under the names that the record of an epoch has."""
        metrics = tuple(mean_name(metric, self.smooth_epochs) for metric in listed(self.metric))
        return Objectives(metrics=metrics, modes=listed(self.mode), constraints=self.constraints)

    def canonical(self) -> dict[str, Any]:
        """All keys but `trials` and `first`, which change no trial. Those that came later are left out at their
        defaults, so that older studies go on.
        """
        defaults = {
            key for key, default in (("constraints", {}), ("smooth_epochs", 1)) if getattr(self, key) == default
        }
        return self.model_dump(mode="json", exclude={"trials", "first", *defaults})


def _written(names: str | tuple[str, ...]) -> str:
    """One name or several as a file has them."""
    return names if isinstance(names, str) else f"[{', '.join(names)}]"


def number_or_auto(value: Any) -> Any:
    """A number, which pydantic checks, or `auto`."""
    if isinstance(value, str) and value != "auto":
        raise ValueError(f"must be a number or auto, got {value!r}")
    return value


class Budget(Section):
    """How many epochs trials run: all of them `epochs`, or up to `max_epochs`, as the scheduler decides at the rungs:
    after `min_epochs`, after `reduction_factor` times as many, and so on.
    """

    epochs: Annotated[
        int | None, Field(ge=1, le=100_000, description="every trial runs this many; there is no scheduler")
    ] = None
    scheduler: Annotated[
        str,
        BeforeValidator(scheduler_name),
        WithJsonSchema(names_schema(SCHEDULERS)),
        Field(description="what compares trials at the rungs, and lets the best go on"),
    ] = "promote"
    min_epochs: Annotated[
        Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"],
        BeforeValidator(number_or_auto),
        Field(
            description="epochs before which no trial is paused or stopped; auto is 1, or the second rung if promote "
            "finds that the first one ranks trials otherwise"
        ),
    ] = "auto"
    max_epochs: Annotated[int, Field(ge=1, le=100_000, description="epochs of a complete trial")] = 9
    reduction_factor: Annotated[int, Field(ge=2, le=100, description="of so many trials at a rung, one goes on")] = 3

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        others = sorted(self.model_fields_set - {"epochs"})
        if self.epochs is not None and others:
            raise ConfigError(f"epochs excludes {others[0]}, got both", tied=("epochs", others[0]))
        if self._first_rung > self.max_epochs:
            raise ConfigError(
                f"min_epochs must be <= max_epochs, got {self.min_epochs} > {self.max_epochs}",
                tied=("min_epochs", "max_epochs"),
            )
        return self

    @property
    def full(self) -> int:
        """Epochs of a complete trial."""
        return self.max_epochs if self.epochs is None else self.epochs

    @property
    def _first_rung(self) -> int:
        return 1 if self.min_epochs == "auto" else self.min_epochs

    def rungs(self) -> tuple[int, ...]:
        """The epochs after which ASHA (Li et al. 2020, one bracket) compares trials: min * factor^k below max.

        >>> Budget(min_epochs=1, max_epochs=9, reduction_factor=3).rungs()
        (1, 3)
        """
        rungs = []
        epoch = self.full if self.epochs is not None else self._first_rung
        while epoch < self.full:
            rungs.append(epoch)
            epoch *= self.reduction_factor
        return tuple(rungs)

    def canonical(self) -> dict[str, Any]:
        """The keys that have an effect. A study without `scheduler` began when there was only `stop`."""
        if self.epochs is not None:
            return {"epochs": self.epochs}
        return self.model_dump(exclude={"epochs"} | ({"scheduler"} if self.scheduler == "stop" else set()))


class Resources(Section):
    """What one trial may use."""

    cpus_per_trial: Annotated[int, Field(ge=1, le=1024, description="CPU cores, and threads of torch")] = 1
    trials_per_gpu: Annotated[
        Annotated[int, Field(ge=1, le=MAX_PER_GPU)] | Literal["auto"],
        BeforeValidator(number_or_auto),
        Field(description="trials that share one GPU and its memory; auto: as many as fit of the largest config"),
    ] = 1
    keep: Annotated[int, Field(ge=1, le=10_000, description="how many of the best trials keep their weights")] = 3

    @property
    def known_per_gpu(self) -> int:
        """Trials that share one GPU. `auto` counts as 1 until search.execution.gpu_share decides it."""
        return 1 if self.trials_per_gpu == "auto" else self.trials_per_gpu


class Published(Section):
    """One figure that a paper gives for settings of this space."""

    table: Annotated[str, Field(min_length=1, description="where it is printed")]
    params: Annotated[dict[str, Any], Field(description="the settings that it belongs to")]
    metric: Annotated[str, Field(min_length=1, description="what was measured")]
    value: Annotated[float, Field(description="the figure; a share, not percent, for accuracies")]
    dataset: Annotated[str, Field(min_length=1, description="the dataset as the paper names it")]
    split: Annotated[
        str | None, Field(min_length=1, description="how the paper divided its tracks, or `the paper does not say`")
    ] = None
    paper: Annotated[str | None, Field(description="the paper, where a space stands for several")] = None


STUDY_SECTIONS: dict[str, type[Section]] = {"search": SearchConfig, "budget": Budget, "resources": Resources}

DEFAULT_TRIALS = 50
