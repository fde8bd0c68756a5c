"""What a space file declares besides its params: how it is searched, how long trials run, what each may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mgc.config import Section

Sampler = Literal["tpe", "random", "grid", "gp", "qmc"]
Metric = Literal["val_accuracy", "val_accuracy_sum", "val_accuracy_majority", "val_clip_accuracy", "val_f1", "val_loss"]
OnRepeat = Literal["reseed", "reuse", "allow"]


class SearchConfig(Section):
    """How configs are proposed and compared."""

    sampler: Annotated[Sampler, Field(description="who proposes; grid takes every combination once")] = "tpe"
    trials: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="number of trials; null is 50, or the whole grid")
    ] = None
    metric: Annotated[Metric, Field(description="what trials are compared by, after their last epoch")] = "val_accuracy"
    mode: Annotated[Literal["max", "min"], Field(description="whether more or less of the metric is better")] = "max"
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
        if self.metric == "val_loss" and self.mode == "max":
            raise ValueError("mode must be min for val_loss, got 'max'")
        if self.metric != "val_loss" and self.mode == "min":
            raise ValueError(f"mode must be max for {self.metric}, got 'min'")
        return self


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


class Resources(Section):
    """What one trial may use."""

    cpus_per_trial: Annotated[int, Field(ge=1, le=1024, description="CPU cores, and threads of torch")] = 1
    trials_per_gpu: Annotated[int, Field(ge=1, le=64, description="trials that share one GPU and its memory")] = 1
    keep: Annotated[int, Field(ge=1, le=10_000, description="of so many of the best trials the weights stay")] = 3


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
