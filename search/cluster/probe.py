"""What a node of a cluster reports about itself before trial 1. Runs on the node; knows nothing of Ray or other nodes.

A node raises no error for what it cannot do: the error's text is part of its answer.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from mgc.files.cache import cache_dir
from mgc.plugins.loading import use
from mgc.plugins.plugin import Plugin
from mgc.words.errors import ConfigError
from search.cluster import code
from search.storage.storage import Folder, error_text

PROBES = "preflight"
"""Folder on the storage in which each node leaves a file for the others."""
GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One node. Versions and digests are compared between nodes; an error's text is None where all is well."""

    node: str
    """Its host name."""
    versions: dict[str, str]
    """Of python, ray, torch and mgc-search, whose version goes with a digest of its code."""
    has_token: bool
    """Whether its Ray asks for a token."""
    gpus: int
    """As many as the driver of the cards lists."""
    memory_gb: float
    disk_gb: float
    """Free space where its cache lies."""
    dataset_digest: str | None = None
    """Of the dataset as this node reads it; None where it could not, or where no dataset was asked for."""
    dataset_error: str | None = None
    storage_error: str | None = None
    plugin_error: str | None = None


def facts(key: str, storage: str | None, dataset: str | None, plugins: Sequence[Plugin] = ()) -> Facts:
    """The facts of this node, which leaves a file named `key` on the storage, loads the plug-ins, and opens the
    dataset, unless a plug-in, which may have it, does not load.
    """
    plugin_error = _load(plugins)
    digest, dataset_error = _open_dataset(dataset if plugin_error is None else None)
    return Facts(
        node=socket.gethostname(),
        versions={
            "python": platform.python_version(),
            "ray": importlib.metadata.version("ray"),
            "torch": importlib.metadata.version("torch"),
            "mgc-search": f"{importlib.metadata.version('mgc-search')}+{code.digest()}",
        },
        has_token=os.environ.get("RAY_AUTH_MODE") == "token",
        gpus=_num_gpus(),
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB,
        disk_gb=shutil.disk_usage(cache_dir()).free / GB,
        dataset_digest=digest,
        dataset_error=dataset_error,
        storage_error=_leave_file(key, storage),
        plugin_error=plugin_error,
    )


def missing_files(keys: list[str], storage: str) -> list[str]:
    """Those of the nodes' files that this node does not see on the storage."""
    folder = Folder(storage).below(PROBES)
    return [key for key in keys if not _is_there(folder, key)]


def _is_there(folder: Folder, key: str) -> bool:
    try:
        return folder.read(key) == key.encode()
    except OSError:
        return False


def _load(plugins: Sequence[Plugin]) -> str | None:
    """Use these plug-ins here. Returns the error's text, or None."""
    try:
        use(plugins)
    except ConfigError as error:
        return str(error)
    return None


def _open_dataset(spec: str | None) -> tuple[str | None, str | None]:
    """The digest of a dataset, or the reason why this node cannot open it."""
    if spec is None:
        return None, None
    from mgc.datasets.registry import open_dataset

    try:
        return open_dataset(spec, progress=False).digest, None
    except (ConfigError, OSError) as error:
        return None, " ".join(str(error).split())


def _leave_file(key: str, storage: str | None) -> str | None:
    """Write a file to the storage. Returns the error's text, or None."""
    if storage is None:
        return None
    try:
        Folder(storage).below(PROBES).write(key, key.encode())
    except OSError as error:
        return error_text(error)
    return None


def _num_gpus() -> int:
    """By NVIDIA's own tool: torch sees no GPU in a task that was promised none."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return listing.stdout.count("GPU ")
