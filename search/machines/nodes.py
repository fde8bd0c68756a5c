"""The nodes of a Ray cluster: their CPUs and GPUs, those that the autoscaler may add, and the price of an hour.

Nodes come and go while a study runs, so the number of trials that may run at once is counted every few seconds. Nodes
that may still be added count too, since the autoscaler starts them only for trials that wait. This file knows Ray, and
must not know the record or the data.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import ray

from search.machines.autoscaler import PRICE_LABEL, limits
from search.machines.slots import Slots
from search.settings.sections import Resources

ASK_EVERY_S = 2.0
WITHOUT_BF16 = frozenset({"T4", "V100", "P100", "P4", "K80"})
"""NVIDIA's cards before Ampere, as Ray calls them."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The GPUs of all present nodes, and their price."""

    gpus: float
    usd: float | None
    """Dollars per hour; None where no node has a price."""


def slots(resources: Resources) -> Slots:
    """How the connected cluster is divided among trials, with the nodes that may still be added."""
    present: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    most = limits()
    cpus, gpus = (max(present.get(name, 0.0), most.get(name, 0.0)) for name in ("CPU", "GPU"))
    return Slots(
        nodes=sum(node["Alive"] for node in ray.nodes()),  # type: ignore[no-untyped-call]
        cpus=cpus or 1.0,
        gpus=gpus,
        cpus_per_trial=resources.cpus_per_trial,
        trials_per_gpu=resources.known_per_gpu,
        is_growing=(cpus, gpus) != (present.get("CPU", 0.0), present.get("GPU", 0.0)),
    )


def live_trial_count(resources: Resources, say: Callable[[str], None]) -> Callable[[], int]:
    """A function that returns how many trials may run at once now, and calls `say` when that has changed."""
    now, asked_at = slots(resources), time.monotonic()

    def count() -> int:
        nonlocal now, asked_at
        if time.monotonic() - asked_at >= ASK_EVERY_S:
            before, now, asked_at = now, slots(resources), time.monotonic()
            if (before.count, before.nodes) != (now.count, now.nodes):
                say(f"now {now}")
        return now.count

    return count


def has_bf16() -> bool:
    """Whether all GPUs of the cluster can multiply in bf16, by their names, for a driver that has none itself."""
    resources = {*ray.cluster_resources(), *limits()}  # type: ignore[no-untyped-call]
    kinds = {name.removeprefix("accelerator_type:") for name in resources if name.startswith("accelerator_type:")}
    return not kinds & WITHOUT_BF16


def cards() -> list[str]:
    """The kinds of GPU in the cluster, by Ray's names for them."""
    return sorted(name for name in ray.cluster_resources() if name.startswith("accelerator_type:"))  # type: ignore[no-untyped-call]


def cores_per_card() -> int:
    """CPU cores per GPU, on the node with GPUs that has the fewest of them; at least 1."""
    with_gpus = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]  # type: ignore[no-untyped-call]
    return max(1, min((int(node.get("CPU", 1) // node["GPU"]) for node in with_gpus), default=1))


def rates() -> Rates:
    """The GPUs of the present nodes, and their price."""
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    prices = [node["Labels"][PRICE_LABEL] for node in alive if PRICE_LABEL in node.get("Labels", {})]
    return Rates(
        gpus=sum(node["Resources"].get("GPU", 0.0) for node in alive),
        usd=sum(map(_number, prices)) if prices else None,
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # a label of this name that is no price
        return 0.0
