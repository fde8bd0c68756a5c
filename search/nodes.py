"""The nodes of a Ray cluster: what they have, what the autoscaler may add, what an hour of them costs. Knows Ray.

How many trials run at once is asked again and again while a study runs: nodes come and go. What is not there yet counts
too, since the autoscaler starts nodes for trials that wait for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import ray

from search.cluster.file import PRICE_LABEL, RESOLVED, limits
from search.study import Resources, Slots

ASK_EVERY_S = 2.0
WITHOUT_BF16 = frozenset({"T4", "V100", "P100", "P4", "K80"})
"""NVIDIA's cards before Ampere, as Ray calls them."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What the nodes that are there add up to in an hour."""

    gpus: float
    usd: float | None
    """None where no node says what it costs."""


def slots(resources: Resources) -> Slots:
    """The division of the cluster that this process is connected to, with the nodes that may still come."""
    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    coming = _limits()
    cpus, gpus = (max(there.get(name, 0.0), coming.get(name, 0.0)) for name in ("CPU", "GPU"))
    return Slots(
        nodes=sum(node["Alive"] for node in ray.nodes()),  # type: ignore[no-untyped-call]
        cpus=cpus or 1.0,
        gpus=gpus,
        cpus_per_trial=resources.cpus_per_trial,
        trials_per_gpu=resources.known_per_gpu,
        is_growing=(cpus, gpus) != (there.get("CPU", 0.0), there.get("GPU", 0.0)),
    )


def following(resources: Resources, say: Callable[[str], None]) -> Callable[[], int]:
    """Asks how many trials may run at once now, and says when that has changed."""
    share, asked_at = slots(resources), time.monotonic()

    def count() -> int:
        nonlocal share, asked_at
        if time.monotonic() - asked_at >= ASK_EVERY_S:
            before, share, asked_at = share, slots(resources), time.monotonic()
            if (before.count, before.nodes) != (share.count, share.nodes):
                say(f"now {share}")
        return share.count

    return count


def has_bf16() -> bool:
    """Whether the cluster's GPUs multiply in bf16, as far as their names tell; no driver need have one of them."""
    known = {*ray.cluster_resources(), *_limits()}  # type: ignore[no-untyped-call]
    kinds = {name.removeprefix("accelerator_type:") for name in known if name.startswith("accelerator_type:")}
    return not kinds & WITHOUT_BF16


def cards() -> list[str]:
    """The kinds of GPU that are there, by Ray's names for them."""
    return sorted(name for name in ray.cluster_resources() if name.startswith("accelerator_type:"))  # type: ignore[no-untyped-call]


def cores_per_card() -> int:
    """CPU cores for each GPU on the node with the fewest, of those that have GPUs; 1 at least."""
    having = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]  # type: ignore[no-untyped-call]
    return max(1, min((int(has.get("CPU", 1) // has["GPU"]) for has in having), default=1))


def rates() -> Rates:
    """GPUs and dollars per hour of the nodes that are there."""
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    prices = [node["Labels"][PRICE_LABEL] for node in alive if PRICE_LABEL in node.get("Labels", {})]
    return Rates(
        gpus=sum(node["Resources"].get("GPU", 0.0) for node in alive),
        usd=sum(map(_number, prices)) if prices else None,
    )


def _limits() -> Mapping[str, float]:
    """What the autoscaler may still start, where this process runs on the head of a cluster that has one."""
    return limits(RESOLVED.expanduser())


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # somebody else's label of this name
        return 0.0
