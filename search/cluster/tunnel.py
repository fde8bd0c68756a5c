"""An SSH tunnel to a port of the head that only the head itself can reach. Knows ssh and the cluster's file."""

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
    """The URL on this machine, `http://127.0.0.1:PORT`, that leads to a port of the head's loopback in this block.

    Raises ClusterFileError where ssh cannot connect, with ssh's last line.
    """
    head = head_of(file)
    login = f"{head.user}@{head.address}"
    local_port = _free_port()
    command = ["ssh", "-N", "-i", str(head.key), "-L", f"127.0.0.1:{local_port}:127.0.0.1:{port}"]
    for option in ("BatchMode=yes", "ExitOnForwardFailure=yes", "StrictHostKeyChecking=accept-new"):
        command += ["-o", option]
    for option in (f"ConnectTimeout={OPEN_S:.0f}", "ServerAliveInterval=15", "ServerAliveCountMax=4"):
        command += ["-o", option]
    with tempfile.TemporaryFile("w+") as output:
        # its own session: Ctrl-C on the terminal is for us, who still send something through the tunnel
        ssh = subprocess.Popen(
            [*command, login],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            _wait(ssh, local_port, output, login)
            yield f"http://127.0.0.1:{local_port}"
        finally:
            ssh.terminate()
            ssh.wait()


def _wait(ssh: subprocess.Popen[bytes], port: int, output: IO[str], login: str) -> None:
    """Return when the local port is open, which ssh opens once it has connected."""
    deadline = time.monotonic() + OPEN_S
    while ssh.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    output.seek(0)
    lines = [line.strip() for line in output.read().splitlines() if line.strip()]
    raise ClusterFileError(f"ssh to {login}: {lines[-1] if lines else 'no answer'}", "cluster")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
