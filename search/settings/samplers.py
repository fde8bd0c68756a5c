"""The samplers that a space may name, one entry each, and what of a sampler decides how a space is read.

search.sampler makes them of Optuna, which this file does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SamplerEntry:
    """A sampler by the name that a space file has for it."""

    name: str
    description: str
    is_exhaustive: bool = False
    """Whether it goes through all combinations of listed values: then every domain must be a grid."""


SAMPLERS: Mapping[str, SamplerEntry] = {
    sampler.name: sampler
    for sampler in (
        SamplerEntry(name="auto", description="rung_gp, or tpe where several metrics are compared"),
        SamplerEntry(
            name="rung_gp", description="a Gaussian process over params and epochs: learns from every rung (Bayesian)"
        ),
        SamplerEntry(name="tpe", description="a tree-structured Parzen estimator of good and bad params (Bayesian)"),
        SamplerEntry(name="random", description="every config drawn by itself"),
        SamplerEntry(name="grid", description="every combination of the listed values once", is_exhaustive=True),
        SamplerEntry(name="gp", description="Optuna's Gaussian process over the params (Bayesian)"),
        SamplerEntry(name="qmc", description="a quasi-random sequence that fills the space evenly"),
    )
}


def sampler_of(name: str, *, num_metrics: int) -> str:
    """The sampler that is meant by a name of a space file: `auto` stands for another one.

    A Gaussian process over params and epochs is best wherever that was measured (docs/sampler.md), but it knows one
    metric only.
    """
    if name != "auto":
        return name
    return "rung_gp" if num_metrics == 1 else "tpe"
