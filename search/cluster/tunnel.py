"""A way through SSH to a port that the head of a cluster keeps to itself. Knows ssh and the cluster's file."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from search.cluster.file import ClusterFile, ClusterFileError, head_of

DASHBOARD_PORT = 8265
MLFLOW_PORT = 5000
OPEN_S = 30.0
"""How long ssh may take to connect."""


@contextmanager
def tunnel(file: ClusterFile, port: int = DASHBOARD_PORT) -> Iterator[str]:
    """`http://127.0.0.1:PORT` of this machine leads to a port of the head's loopback while the block runs.

    Raises ClusterFileError where SSH does not come through, with what it says.
    """
    head = head_of(file)
    here = _free_port()
    command = ["ssh", "-N", "-i", str(head.key), "-L", f"127.0.0.1:{here}:127.0.0.1:{port}"]
    for option in ("BatchMode=yes", "ExitOnForwardFailure=yes", "StrictHostKeyChecking=accept-new"):
        command += ["-o", option]
    for option in (f"ConnectTimeout={OPEN_S:.0f}", "ServerAliveInterval=15", "ServerAliveCountMax=4"):
        command += ["-o", option]
    with tempfile.TemporaryFile("w+") as said:
        # a session of its own: Ctrl-C on the terminal is for us, who still have to say something through the tunnel
        ssh = subprocess.Popen(
            [*command, f"{head.user}@{head.address}"],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            _wait(ssh, here, said, f"{head.user}@{head.address}")
            yield f"http://127.0.0.1:{here}"
        finally:
            ssh.terminate()
            ssh.wait()


def _wait(ssh: subprocess.Popen[bytes], port: int, said: IO[str], where: str) -> None:
    """Until somebody listens here, which ssh does once it is through."""
    until = time.monotonic() + OPEN_S
    while ssh.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    said.seek(0)
    lines = [line.strip() for line in said.read().splitlines() if line.strip()]
    raise ClusterFileError(f"ssh to {where}: {lines[-1] if lines else 'no answer'}", "cluster")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
