"""A study as a job of a Ray cluster: this code and one space file sent to the head, its log followed from here.

The job runs on the head and goes on when this process ends. What is sent is the program itself, its two packages and
the space file: no data, no runs, nothing that lies beside them. Knows Ray's job API.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from ray.job_submission import JobStatus, JobSubmissionClient

import mgc
import search
from mgc.config import ConfigError
from search.cluster.file import read
from search.cluster.tunnel import tunnel

OUT = "$HOME/runs"
"""Where studies are on the head, unless --out says otherwise."""
EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
LOUD = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
"""Loggers of Ray that tell of packages and sockets, which is not our users' news."""
READY_S = 60.0
"""How long a new cluster may take until it takes jobs."""
OVER = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED)


@dataclass(frozen=True)
class Cluster:
    """A cluster's jobs, and the option by which a user names it again."""

    client: JobSubmissionClient
    option: str


@contextmanager
def connected(*, cluster: Path | None, address: str | None) -> Iterator[Cluster]:
    """The jobs of the cluster of a file, by a tunnel, or of the one whose dashboard is at `address`.

    Raises ConfigError where it does not answer, or wants another token.
    """
    if cluster is None:
        yield Cluster(_client(str(address)), f"--address {address}")
        return
    with tunnel(read(cluster)) as url:
        yield Cluster(_client(url), f"--cluster {shlex.quote(str(cluster))}")


def _client(url: str) -> JobSubmissionClient:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        os.environ.pop(name, None)  # they would win over the address given
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        return JobSubmissionClient(url)
    except (ConnectionError, RayError, RuntimeError, ValueError) as error:
        line = " ".join(str(error).split())
        raise ConfigError(f"no Ray cluster takes jobs at {url}: {line}", "cluster") from None


def run(
    words: Sequence[str],
    *,
    module: str,
    name: str,
    files: Sequence[Path] = (),
    environment: Mapping[str, str],
    cluster: Path | None,
    address: str | None,
) -> int:
    """Run `python -m MODULE WORDS...` on the head, with these files beside the packages, and follow it.

    Returns its exit code; 130 where Ctrl-C detached, and 1 where the job went another way.
    """
    with connected(cluster=cluster, address=address) as at, packed(files) as folder:
        job = _submitted(
            at.client,
            entrypoint=f"python -m {module} {shlex.join(words)}{'' if '--out' in words else f' --out {OUT}'}",
            submission_id=f"{name}-{time.strftime('%Y%m%d-%H%M%S')}",
            runtime_env={"working_dir": str(folder), "env_vars": {"PYTHONUNBUFFERED": "1", **environment}},
        )
        print(f"job {job} on {at.option.removeprefix('--')}", file=sys.stderr, flush=True)
        return follow(at, job)


def _submitted(client: JobSubmissionClient, **job: Any) -> str:
    """The job's id. A cluster that has just begun takes none yet. Raises ConfigError where it goes on refusing."""
    until = time.monotonic() + READY_S
    while True:
        try:
            return client.submit_job(**job)
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > until:
                raise ConfigError(f"the cluster takes no job: {' '.join(str(error).split())}", "cluster") from None
        time.sleep(1)


def follow(at: Cluster, job: str) -> int:
    """Show a job's log from its beginning until it ends; Ctrl-C only stops showing it."""
    try:
        while True:
            asyncio.run(_show(at.client, job))
            if at.client.get_job_status(job) in OVER:
                return _exit_code(at.client, job)
    except KeyboardInterrupt:
        print(detached(at, job), file=sys.stderr)
    except (OSError, RuntimeError) as error:  # requests' and aiohttp's, when the tunnel or the laptop's network is gone
        print(f"lost sight of the cluster: {' '.join(str(error).split())}\n{detached(at, job)}", file=sys.stderr)
    return EXIT_INTERRUPTED


def stop(at: Cluster, job: str) -> int:
    """Ask a study to end politely, as Ctrl-C does, and follow it to its end."""
    at.client.stop_job(job)
    return follow(at, job)


def detached(at: Cluster, job: str) -> str:
    """What to type next."""
    here = "python -m search.cluster"
    lines = [
        f"detached: {job} goes on",
        f"  see it again   {here} attach {job} {at.option}",
        f"  stop it        {here} stop {job} {at.option}",
        "  go on later    the same command with --resume",
    ]
    return "\n".join(lines)


async def _show(client: JobSubmissionClient, job: str) -> None:
    async for text in client.tail_job_logs(job):
        print(text, end="", flush=True)


def _exit_code(client: JobSubmissionClient, job: str) -> int:
    info: Any = client.get_job_info(job)
    if info.status == JobStatus.STOPPED:
        return EXIT_INTERRUPTED
    if info.driver_exit_code is None:
        print(f"job {job}: {info.message}", file=sys.stderr)
        return EXIT_FAILED
    return int(info.driver_exit_code)


@contextmanager
def packed(files: Sequence[Path]) -> Iterator[Path]:
    """A folder with the program's packages and these files, which Ray sends."""
    with tempfile.TemporaryDirectory(prefix="mgc-search-job-") as scratch:
        folder = Path(scratch)
        for package in (mgc, search):
            source = Path(next(iter(package.__path__)))
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        for file in files:
            shutil.copy2(file, folder / file.name)
        yield folder
