"""The check before trial 1, on every node of a Ray cluster: what would fail after hours is reported within seconds.

Same versions and code; the study's plug-ins; Ray's token; storage that each node writes and all others read; one
dataset; the tracking server; GPUs, memory, disk. Each problem comes with its remedy. Runs a task on each node. Knows
Ray.
"""

from __future__ import annotations

import socket
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mgc.plugins.plugin import Plugin
from mgc.words.errors import ConfigError
from search.cluster.probe import PROBES, Facts, facts, missing_files
from search.storage.storage import Folder
from search.words import some

TIMEOUT_S = 300.0
"""How long a node may take: it may fetch the dataset first."""
MIN_DISK_GB = 5.0
CONNECT_S = 5.0
"""How long the tracking server may take to accept a connection."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node as Ray lists it, and its own facts."""

    id: str
    address: str
    gpus: float
    """As many as Ray promises."""
    facts: Facts | None
    """None where the node did not answer."""
    missing: tuple[str, ...] = ()
    """Addresses of the nodes whose files it does not see on the storage."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A problem, the nodes that have it, and the remedy."""

    nodes: str
    text: str
    remedy: str
    is_fatal: bool = True
    """Whether no study should begin like this."""

    def __str__(self) -> str:
        return f"{self.nodes}: {self.text} ({self.remedy})"


def check(
    *, storage: str | None, dataset: str | None, tracking_uri: str | None, plugins: Sequence[Plugin] = ()
) -> tuple[list[Node], list[Problem]]:
    """Every node that is alive, and all problems. This process must be connected to the cluster."""
    nodes = _ask_nodes(storage, dataset, plugins)
    return nodes, [*problems(nodes), *_tracking_problems(tracking_uri)]


def before_trials(
    *, storage: str | None, dataset: str, tracking_uri: str | None, plugins: Sequence[Plugin] = ()
) -> list[str]:
    """The check as a study makes it: the lines that it shows. Raises ConfigError with all problems that are fatal."""
    nodes, problems = check(storage=storage, dataset=dataset, tracking_uri=tracking_uri, plugins=plugins)
    if fatal := [str(problem) for problem in problems if problem.is_fatal]:
        raise ConfigError(f"preflight: {'; '.join(fatal)}")
    return [f"preflight: {_in_order(nodes)}", *(f"preflight: {problem}" for problem in problems)]


def report(nodes: Sequence[Node], problems: Sequence[Problem]) -> None:
    """Print the nodes as a table on stdout, then a line for each problem."""
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(_table(nodes))
    for problem in problems:
        console.print(Text(f"problem: {problem}", style="red"), soft_wrap=True)
    if not problems:
        console.print(_in_order(nodes))


def _in_order(nodes: Sequence[Node]) -> str:
    return f"{len(nodes)} node{'' if len(nodes) == 1 else 's'} in order"


def _table(nodes: Sequence[Node]) -> Table:
    """One row per node."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("node", "name", "python", "ray", "torch", "mgc-search", "GPUs", "memory", "disk free", "dataset"):
        table.add_column(title, no_wrap=True)
    for node in nodes:
        own = node.facts
        if own is None:
            table.add_row(node.address, Text("does not answer", style="red"))
            continue
        sizes = (f"{node.gpus:g}", f"{own.memory_gb:.0f} GB", f"{own.disk_gb:.0f} GB")
        table.add_row(node.address, own.node, *own.versions.values(), *sizes, own.dataset_digest or "-")
    return table


# ---- questions to the nodes


def _ask_nodes(storage: str | None, dataset: str | None, plugins: Sequence[Plugin]) -> list[Node]:
    """Every node's facts; then, once all have written to the storage, which files each of them sees there."""
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    run = uuid4().hex[:8]
    keys = {node["NodeID"]: f"{run}-{node['NodeID'][:8]}" for node in alive}
    answers = _run_on_each(facts, {node_id: (key, storage, dataset, tuple(plugins)) for node_id, key in keys.items()})
    addresses = {keys[node["NodeID"]]: str(node["NodeManagerAddress"]) for node in alive}
    missing = _missing_files(keys, answers, storage)
    return [
        Node(
            id=node["NodeID"],
            address=str(node["NodeManagerAddress"]),
            gpus=node["Resources"].get("GPU", 0.0),
            facts=answers[node["NodeID"]],
            missing=tuple(addresses[key] for key in missing.get(node["NodeID"]) or ()),
        )
        for node in alive
    ]


def _missing_files(
    keys: dict[str, str], answers: dict[str, Facts | None], storage: str | None
) -> dict[str, list[str] | None]:
    """By node, the files of other nodes that it does not see on the storage, where none of them stays afterwards.

    `keys` names each node's file; a node that did not answer is not asked again.
    """
    if storage is None:
        return {}
    own = {node_id: answer for node_id, answer in answers.items() if answer is not None}
    files = [keys[node_id] for node_id, answer in own.items() if answer.storage_error is None]
    missing = _run_on_each(missing_files, dict.fromkeys(own, (files, storage)))
    for file in files:
        Folder(storage).below(PROBES).remove(file)
    return missing


def _run_on_each(function: Any, arguments: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """What a function returns on each node, by the node's id; None where it did not return in time."""
    task = ray.remote(num_cpus=0, max_retries=0)(function)
    results = {
        node_id: task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote(*words)
        for node_id, words in arguments.items()
    }
    ready, _ = ray.wait(list(results.values()), num_returns=len(results), timeout=TIMEOUT_S)
    return {node_id: _value(result) if result in ready else None for node_id, result in results.items()}


def _value(result: Any) -> Any:
    try:
        return ray.get(result)
    except ray.exceptions.RayError:  # the node went away, or cannot import the program
        return None


# ---- problems


def problems(nodes: Sequence[Node]) -> Iterator[Problem]:
    """The problems of single nodes, and the differences between nodes; what several nodes lack is one problem."""
    nodes_with: dict[Problem, list[str]] = {}
    for problem in _problems_one_by_one(nodes):
        nodes_with.setdefault(replace(problem, nodes=""), []).append(problem.nodes)
    for problem, addresses in nodes_with.items():
        yield replace(problem, nodes=some(list(dict.fromkeys(addresses))))


def _problems_one_by_one(nodes: Sequence[Node]) -> Iterator[Problem]:
    for node in nodes:
        if node.facts is None:
            yield Problem(nodes=node.address, text="does not answer", remedy="see its logs: is the package installed?")
    answers = [(node, node.facts) for node in nodes if node.facts is not None]
    for name in ("python", "ray", "torch", "mgc-search"):
        values = {node.address: own.versions[name] for node, own in answers}
        yield from _differences(name, values, remedy="`ray up` again sets up nodes anew; --cluster sends this code")
    digests = {node.address: own.dataset_digest for node, own in answers if own.dataset_digest}
    yield from _differences("dataset", digests, remedy="copy it")
    for node, own in answers:
        yield from _node_problems(node, own)
    if answers and not any(own.has_token for _, own in answers) and len(nodes) > 1:
        text = "Ray asks for no token: whoever reaches its ports runs code"
        remedy = "RAY_AUTH_MODE=token and ~/.ray/auth_token on all nodes"
        yield Problem(nodes="cluster", text=text, remedy=remedy, is_fatal=False)


def _differences(name: str, values: dict[str, str], *, remedy: str) -> Iterator[Problem]:
    """The nodes whose value differs from that of most nodes."""
    if len(set(values.values())) > 1:
        usual = Counter(values.values()).most_common(1)[0][0]
        others = {address: value for address, value in values.items() if value != usual}
        text = f"{name} {', '.join(sorted(set(others.values())))}, elsewhere {usual}"
        yield Problem(nodes=some(list(others)), text=text, remedy=remedy)


def _node_problems(node: Node, own: Facts) -> Iterator[Problem]:
    def problem(text: str, remedy: str, *, is_fatal: bool = True) -> Problem:
        return Problem(nodes=node.address, text=text, remedy=remedy, is_fatal=is_fatal)

    if own.plugin_error is not None:
        yield problem(own.plugin_error, "a plug-in must load on every node")
    if own.dataset_error is not None:
        yield problem(own.dataset_error, "--data s3://... or a folder that all nodes see")
    if own.storage_error is not None:
        yield problem(f"cannot write the storage: {own.storage_error}", "rights, or mount it")
    if node.missing:
        text = f"does not see on the storage what {', '.join(node.missing)} wrote"
        yield problem(text, "--storage must be one place for all: s3://..., a shared folder")
    if node.gpus > own.gpus:
        text = f"Ray promises {node.gpus:g} GPUs, the machine has {own.gpus}"
        yield problem(text, "NVIDIA's driver, or --num-gpus of ray start", is_fatal=False)
    if own.disk_gb < MIN_DISK_GB:
        text = f"{own.disk_gb:.1f} GB free for its cache"
        yield problem(text, "make room, or MGC_CACHE elsewhere", is_fatal=False)


def _tracking_problems(uri: str | None) -> Iterator[Problem]:
    """Whether MLflow's server answers on this machine: only the driver talks to it."""
    parts = urlsplit(uri or "")
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        return
    address = parts.hostname, parts.port or 80
    try:
        socket.create_connection(address, timeout=CONNECT_S).close()
    except OSError as error:
        text = f"MLflow at {address[0]}:{address[1]} does not answer: {error.strerror or error}"
        yield Problem(nodes="driver", text=text, remedy="start it, or --tracking-uri, or --offline")
