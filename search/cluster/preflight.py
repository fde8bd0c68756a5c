"""The check before trial 1, on every node of a Ray cluster: what would fail in hours is said in seconds, with its mend.

Same versions and code; Ray's token; storage that each node writes and all others read; one dataset; the tracking
server; GPUs, memory, disk. Runs a task on each node. Knows Ray.
"""

from __future__ import annotations

import socket
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mgc.config import ConfigError
from search.cluster.probe import PROBES, Facts, facts, unread
from search.storage import Folder

TIMEOUT_S = 300.0
"""How long a node may take: it may fetch the dataset first."""
MIN_DISK_GB = 5.0
REACH_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node as Ray lists it, and what it says about itself; None where it did not answer."""

    id: str
    address: str
    gpus: float
    """That Ray promises."""
    facts: Facts | None
    missing: tuple[str, ...] = ()
    """Nodes whose files on the storage it does not find."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong, on which nodes, and what mends it."""

    nodes: str
    what: str
    mend: str
    ends: bool = True
    """Whether no study can be trusted to succeed so."""

    def __str__(self) -> str:
        return f"{self.nodes}: {self.what} ({self.mend})"


def check(*, storage: str | None, dataset: str | None, tracking_uri: str | None) -> tuple[list[Node], list[Problem]]:
    """Ask every node that is there. The process is connected to the cluster."""
    nodes = _asked(storage, dataset)
    return nodes, [*problems(nodes), *_tracking(tracking_uri)]


def _asked(storage: str | None, dataset: str | None) -> list[Node]:
    """Every node's facts; then, when all have written to the storage, what each finds there."""
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    run = uuid4().hex[:8]
    keys = {node["NodeID"]: f"{run}-{node['NodeID'][:8]}" for node in alive}
    told = _on_each(facts, {node_id: (key, storage, dataset) for node_id, key in keys.items()})
    written = [key for node_id, key in keys.items() if told[node_id] is not None and told[node_id].storage is None]
    found: dict[str, Any] = {}
    if storage is not None:
        found = _on_each(unread, {node_id: (written, storage) for node_id, said in told.items() if said is not None})
        for key in written:
            Folder(storage).below(PROBES).remove(key)
    addresses = {keys[node["NodeID"]]: str(node["NodeManagerAddress"]) for node in alive}
    return [
        Node(
            id=node["NodeID"],
            address=str(node["NodeManagerAddress"]),
            gpus=node["Resources"].get("GPU", 0.0),
            facts=told[node["NodeID"]],
            missing=tuple(addresses[key] for key in found.get(node["NodeID"]) or ()),
        )
        for node in alive
    ]


def _on_each(function: Any, arguments: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """What a function returns on each of the nodes with these ids; None where it did not return in time."""
    remote = ray.remote(num_cpus=0, max_retries=0)(function)
    running = {
        node_id: remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote(*given)
        for node_id, given in arguments.items()
    }
    ready, _ = ray.wait(list(running.values()), num_returns=len(running), timeout=TIMEOUT_S)
    return {node_id: _got(task) if task in ready else None for node_id, task in running.items()}


def _got(task: Any) -> Any:
    try:
        return ray.get(task)
    except ray.exceptions.RayError:  # the node went away, or cannot import the program
        return None


def problems(nodes: Sequence[Node]) -> Iterator[Problem]:
    """What is wrong between the nodes and on them."""
    for node in nodes:
        if node.facts is None:
            yield Problem(nodes=node.address, what="does not answer", mend="see its logs: is the package installed?")
    known = [(node, node.facts) for node in nodes if node.facts is not None]
    for name in ("python", "ray", "torch", "mgc-search"):
        values = {node.address: told.versions[name] for node, told in known}
        yield from _differing(name, values, mend="`ray up` again sets up nodes anew; --cluster sends this code")
    yield from _differing("dataset", {node.address: told.digest for node, told in known if told.digest}, mend="copy it")
    for node, told in known:
        yield from _of_node(node, told)
    if known and not any(told.token for _, told in known) and len(nodes) > 1:
        what = "Ray asks for no token: whoever reaches its ports runs code"
        mend = "RAY_AUTH_MODE=token and ~/.ray/auth_token on all nodes"
        yield Problem(nodes="cluster", what=what, mend=mend, ends=False)


def _of_node(node: Node, told: Facts) -> Iterator[Problem]:
    if told.data is not None:
        yield Problem(nodes=node.address, what=told.data, mend="--data s3://... or a folder that all nodes see")
    if told.storage is not None:
        yield Problem(nodes=node.address, what=f"cannot write the storage: {told.storage}", mend="rights, or mount it")
    if node.missing:
        what = f"does not see on the storage what {', '.join(node.missing)} wrote"
        yield Problem(
            nodes=node.address, what=what, mend="--storage must be one place for all: s3://..., a shared folder"
        )
    if node.gpus > told.gpus:
        what = f"Ray promises {node.gpus:g} GPUs, the machine has {told.gpus}"
        yield Problem(nodes=node.address, what=what, mend="NVIDIA's driver, or --num-gpus of ray start", ends=False)
    if told.disk_gb < MIN_DISK_GB:
        what = f"{told.disk_gb:.1f} GB free for its cache"
        yield Problem(nodes=node.address, what=what, mend="make room, or MGC_CACHE elsewhere", ends=False)


def _differing(name: str, values: dict[str, str], *, mend: str) -> Iterator[Problem]:
    """The nodes whose value is not that of most."""
    if len(set(values.values())) > 1:
        usual = Counter(values.values()).most_common(1)[0][0]
        others = {address: value for address, value in values.items() if value != usual}
        what = f"{name} {', '.join(sorted(set(others.values())))}, elsewhere {usual}"
        yield Problem(nodes=", ".join(others), what=what, mend=mend)


def _tracking(uri: str | None) -> Iterator[Problem]:
    """MLflow's server, from here: the driver is who talks to it."""
    parts = urlsplit(uri or "")
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        return
    try:
        socket.create_connection((parts.hostname, parts.port or 80), timeout=REACH_S).close()
    except OSError as error:
        where = f"{parts.hostname}:{parts.port or 80}"
        what = f"MLflow at {where} does not answer: {error.strerror or error}"
        yield Problem(nodes="driver", what=what, mend="start it, or --tracking-uri, or --offline")


def table(nodes: Sequence[Node]) -> Table:
    """The nodes, a line each."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("node", "name", "python", "ray", "torch", "mgc-search", "GPUs", "memory", "disk free", "dataset"):
        made.add_column(title, no_wrap=True)
    for node in nodes:
        told = node.facts
        if told is None:
            made.add_row(node.address, Text("does not answer", style="red"))
            continue
        sizes = (f"{node.gpus:g}", f"{told.memory_gb:.0f} GB", f"{told.disk_gb:.0f} GB")
        made.add_row(node.address, told.node, *told.versions.values(), *sizes, told.digest or "-")
    return made


def report(nodes: Sequence[Node], found: Sequence[Problem]) -> None:
    """The nodes as a table on stdout, then a line for each problem."""
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(table(nodes))
    for problem in found:
        console.print(Text(f"problem: {problem}", style="red"), soft_wrap=True)
    if not found:
        console.print(f"{len(nodes)} node{'' if len(nodes) == 1 else 's'} in order")


def before_trials(*, storage: str | None, dataset: str, tracking_uri: str | None) -> list[str]:
    """The check as a study makes it: what is to be said. Raises ConfigError with what no study can succeed with."""
    nodes, found = check(storage=storage, dataset=dataset, tracking_uri=tracking_uri)
    if fatal := [str(problem) for problem in found if problem.ends]:
        raise ConfigError(f"preflight: {'; '.join(fatal)}")
    count = f"{len(nodes)} node{'' if len(nodes) == 1 else 's'}"
    return [f"preflight: {count} in order", *(f"preflight: {problem}" for problem in found)]
