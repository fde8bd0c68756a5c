"""A study as a job of a Ray cluster: sends this code and one space file to the head and shows the job's log here.

The job runs on the head and goes on when this process ends. Only the program's two packages and the space file are
sent: no data, no runs, nothing that lies beside them. Knows Ray's job API.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from ray.job_submission import JobStatus, JobSubmissionClient

from mgc.words.command import EXIT_FAILED, EXIT_INTERRUPTED
from mgc.words.errors import ConfigError, one_line
from mgc.words.redact import redacted_word
from search.cluster.code import copy_packages
from search.cluster.echo import ASKED, shown_log
from search.cluster.file import read
from search.cluster.tunnel import tunnel
from search.machines.scratch import scratch

OUT = "$HOME/runs"
"""The folder of studies on the head, unless --out names another."""
LOUD = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
"""Loggers of Ray that report packages and sockets, which do not concern our users."""
READY_S = 60.0
"""How long a new cluster may take until it accepts jobs."""
ENDED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED)


@dataclass(frozen=True)
class Cluster:
    """A cluster's jobs, and the option by which a user names it again."""

    client: JobSubmissionClient
    option: str


@contextmanager
def connected(*, cluster: Path | None, address: str | None) -> Iterator[Cluster]:
    """The jobs of a cluster: of the one that a file describes, through a tunnel, or of the dashboard at `address`.

    Raises ConfigError where the cluster does not answer, or does not accept the token.
    """
    if cluster is None:
        yield Cluster(_client(str(address)), f"--address {shlex.quote(redacted_word(str(address)))}")
        return
    with tunnel(read(cluster)) as url:
        yield Cluster(_client(url), f"--cluster {shlex.quote(str(cluster))}")


def _client(url: str) -> JobSubmissionClient:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        os.environ.pop(name, None)  # they would win over this URL
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
    texts: Mapping[str, str] | None = None,
    environment: Mapping[str, str],
    cluster: Path | None,
    address: str | None,
) -> int:
    """Run `python -m MODULE WORDS...` on the head, with these files, and files of these texts, beside the packages, and
    show its log.

    Returns its exit code; 130 after Ctrl-C here, and 1 where the job ended without an exit code. Raises ConfigError for
    words with a password, which Ray would keep and show.
    """
    if [redacted_word(word) for word in words] != list(words):
        raise ConfigError(
            "Ray keeps a job's command line and shows it: write no password there, but into ~/.mlflow/credentials on "
            f"the head ({' '.join(map(redacted_word, words))})"
        )
    with connected(cluster=cluster, address=address) as at, packed(files, texts or {}) as folder:
        job = _submit(
            at.client,
            entrypoint=f"python -m {module} {shlex.join(words)}{'' if '--out' in words else f' --out {OUT}'}",
            submission_id=f"{name}-{time.strftime('%Y%m%d-%H%M%S')}",
            runtime_env={"working_dir": str(folder), "env_vars": {"PYTHONUNBUFFERED": "1", ASKED: "1", **environment}},
        )
        print(f"job {job} on {at.option.removeprefix('--')}", file=sys.stderr, flush=True)
        return follow(at, job)


def _submit(client: JobSubmissionClient, **job: Any) -> str:
    """The new job's id. Waits for a cluster that has just begun. Raises ConfigError where it accepts no job."""
    deadline = time.monotonic() + READY_S
    while True:
        try:
            return client.submit_job(**job)
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise ConfigError(f"the cluster takes no job: {' '.join(str(error).split())}", "cluster") from None
        time.sleep(1)


def follow(at: Cluster, job: str) -> int:
    """Show a job's log from its beginning until the job ends, on a terminal with the table of its trials; Ctrl-C ends
    the showing, not the job.
    """
    try:
        while True:
            with shown_log() as show:
                asyncio.run(_show(at.client, job, show))
            if at.client.get_job_status(job) in ENDED:
                return _exit_code(at.client, job)
    except KeyboardInterrupt:
        print(next_commands(at, job), file=sys.stderr)
    except (
        OSError,
        RuntimeError,
    ) as error:  # requests' and aiohttp's, when the tunnel or this machine's network is gone
        print(f"lost sight of the cluster: {one_line(error)}\n{next_commands(at, job)}", file=sys.stderr)
    return EXIT_INTERRUPTED


def stop(at: Cluster, job: str) -> int:
    """Ask a study to end politely, as Ctrl-C does, and follow it to its end."""
    at.client.stop_job(job)
    return follow(at, job)


def next_commands(at: Cluster, job: str) -> str:
    """What the user can type about a job that goes on."""
    command = "python -m search.cluster"
    lines = [
        f"detached: {job} goes on",
        f"  see it again   {command} attach {shlex.quote(job)} {at.option}",
        f"  stop it        {command} stop {shlex.quote(job)} {at.option}",
        "  go on later    the same command with --resume",
    ]
    return "\n".join(lines)


async def _show(client: JobSubmissionClient, job: str, show: Callable[[str], None]) -> None:
    async for text in client.tail_job_logs(job):
        show(text)


def _exit_code(client: JobSubmissionClient, job: str) -> int:
    info: Any = client.get_job_info(job)
    if info.status == JobStatus.STOPPED:
        return EXIT_INTERRUPTED
    if info.driver_exit_code is None:
        print(f"job {job}: {info.message}", file=sys.stderr)
        return EXIT_FAILED
    return int(info.driver_exit_code)


@contextmanager
def packed(files: Sequence[Path], texts: Mapping[str, str]) -> Iterator[Path]:
    """A temporary folder with the program's packages, these files, and files of these names with these texts, which Ray
    sends.
    """
    with scratch() as folder:
        copy_packages(folder)
        for file in files:
            shutil.copy2(file, folder / file.name)
        for name, text in texts.items():
            (folder / name).write_bytes(text.encode())
        yield folder
