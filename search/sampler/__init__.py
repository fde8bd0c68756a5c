"""Which params are tried next.

Offers the sampler for studies of one's own (`from search.sampler import RungGPSampler`), imported at its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.sampler.rung_gp import RungGPSampler as RungGPSampler

__all__ = ["RungGPSampler"]


def __getattr__(name: str) -> Any:
    if name != "RungGPSampler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from search.sampler.rung_gp import RungGPSampler

    return RungGPSampler
