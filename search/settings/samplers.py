"""The samplers that a space may name, one entry each, and what of a sampler decides how a space is read. Those of
plug-ins are among them.

search.sampler makes them of Optuna, which this file does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mgc.plugins.samplers import DECLARED_SAMPLERS


@dataclass(frozen=True, kw_only=True)
class SamplerEntry:
    """A sampler by the name that a space file has for it."""

    name: str
    description: str
    is_exhaustive: bool = False
    """Whether it goes through all combinations of listed values: then every domain must be a grid."""


_SHIPPED: Mapping[str, SamplerEntry] = {
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


class _Samplers(Mapping[str, SamplerEntry]):
    """The shipped samplers, then those of the plug-ins in use."""

    def __getitem__(self, name: str) -> SamplerEntry:
        if name in _SHIPPED:
            return _SHIPPED[name]
        return SamplerEntry(name=name, description=DECLARED_SAMPLERS[name].description)

    def __iter__(self) -> Iterator[str]:
        yield from _SHIPPED
        yield from DECLARED_SAMPLERS

    def __len__(self) -> int:
        return len(_SHIPPED) + len(DECLARED_SAMPLERS)


SAMPLERS: Mapping[str, SamplerEntry] = _Samplers()
"""By name."""


def check_declared() -> None:
    """Raise a PluginError for a plug-in's sampler that has the name of a shipped one, which mgc does not know."""
    for name, declared in DECLARED_SAMPLERS.items():
        if name in _SHIPPED:
            rule = f"there is a sampler {name!r} already; give this one another name"
            raise declared.plugin.error(rule, declared.line)


def sampler_of(name: str, *, num_metrics: int) -> str:
    """The sampler that is meant by a name of a space file: `auto` stands for another one.

    A Gaussian process over params and epochs is best wherever that was measured (docs/sampler.md), but it knows one
    metric only.
    """
    if name != "auto":
        return name
    return "rung_gp" if num_metrics == 1 else "tpe"
