"""What a node of a cluster says about itself before trial 1. Runs on the node; knows nothing of Ray or other nodes.

A node never raises: what it cannot do is its answer.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import mgc
import search
from mgc.cache import cache_dir
from mgc.config import ConfigError
from search.storage import Folder, said

PROBES = "preflight"
"""Folder on the storage in which each node leaves a file for the others."""
GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One node. Texts are compared between nodes; `storage`, `data` say what went wrong there."""

    node: str
    versions: dict[str, str]
    """Of python, ray, torch and mgc-search, whose version goes with a digest of its code."""
    token: bool
    """Whether its Ray asks for a token."""
    gpus: int
    """That the driver of the cards knows."""
    memory_gb: float
    disk_gb: float
    """Free where its cache lies."""
    digest: str | None = None
    """Of the dataset as it finds it there."""
    data: str | None = None
    storage: str | None = None


def facts(key: str, storage: str | None, dataset: str | None) -> Facts:
    """This node, which leaves a file named `key` on the storage and opens the dataset."""
    digest, no_data = _dataset(dataset)
    return Facts(
        node=socket.gethostname(),
        versions={
            "python": platform.python_version(),
            "ray": importlib.metadata.version("ray"),
            "torch": importlib.metadata.version("torch"),
            "mgc-search": f"{importlib.metadata.version('mgc-search')}+{code_digest()}",
        },
        token=os.environ.get("RAY_AUTH_MODE") == "token",
        gpus=_num_gpus(),
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB,
        disk_gb=shutil.disk_usage(cache_dir()).free / GB,
        digest=digest,
        data=no_data,
        storage=_written(key, storage),
    )


def unread(keys: list[str], storage: str) -> list[str]:
    """The files of other nodes that this one does not find on the storage."""
    folder = Folder(storage).below(PROBES)
    missing = []
    for key in keys:
        try:
            is_there = folder.read(key) == key.encode()
        except OSError:
            is_there = False
        if not is_there:
            missing.append(key)
    return missing


def code_digest() -> str:
    """8 hex digits of the program's files: nodes with the same ones run the same code."""
    digest = blake2b(digest_size=4)
    for package in (mgc, search):
        root = Path(next(iter(package.__path__)))
        for path in sorted(root.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _dataset(spec: str | None) -> tuple[str | None, str | None]:
    """The digest of a dataset, or why this node cannot open it."""
    if spec is None:
        return None, None
    from mgc.datasets import open_dataset

    try:
        return open_dataset(spec, progress=False).digest, None
    except (ConfigError, OSError) as error:
        return None, " ".join(str(error).split())


def _written(key: str, storage: str | None) -> str | None:
    """Leave a file on the storage; why that failed, or None."""
    if storage is None:
        return None
    try:
        Folder(storage).below(PROBES).write(key, key.encode())
    except OSError as error:
        return said(error)
    return None


def _num_gpus() -> int:
    """By NVIDIA's own tool: torch, in a task that was promised no GPU, sees none."""
    if shutil.which("nvidia-smi") is None:
        return 0
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return done.stdout.count("GPU ")
