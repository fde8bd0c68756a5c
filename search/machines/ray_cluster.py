"""The connection to a Ray cluster: one that runs already, or one that this process starts and that ends with it."""

from __future__ import annotations

import gc
import logging
import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants, services
from ray._private.services import canonicalize_bootstrap_address, find_gcs_addresses
from ray._raylet import AuthenticationTokenLoader, Config, setproctitle  # type: ignore[attr-defined]

from mgc.words.errors import ConfigError, one_line
from mgc.words.redact import redacted_word
from search.machines.scratch import scratch
from search.machines.signals import end_at_once

TOKEN_MODE = "RAY_AUTH_MODE"
CONNECT_S = 10.0
"""How long a cluster may take to answer."""
WATCH_S = 2.0
STOP_S = 20.0
"""How long the stop may take then."""
MAX_REFUSALS = 5
"""A cluster whose control refuses so many connections in a row, WATCH_S apart, has ended."""


@contextmanager
def cluster(
    address: str | None, *, num_gpus: int | None = None, meanwhile: Callable[[], None] = lambda: None
) -> Iterator[bool]:
    """Connect to the Ray cluster at `address` (`auto`, `HOST:PORT`), or start one for this process (None, `local`).

    Yields whether this process started the cluster. Connecting is mostly waiting, so `meanwhile` runs in a thread at
    the same time. Raises ConfigError where no cluster answers, or one of its own does not start; OSError where it has
    no folder.

    What a cluster of its own writes (logs, sockets, its session folder) lies in a folder of this user alone, and is
    removed at its end.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)  # its remarks on tokens and dashboards are no use to users
    _hide_secrets()
    with token_mode_kept(), ExitStack() as folder:
        try:
            with _beside(meanwhile), _own_sigterm():
                if _is_to_start(address):
                    _start(folder.enter_context(scratch()), num_gpus)
                else:
                    _join(address)
            node = ray._private.worker._global_node
            with _watched():
                yield node is not None and node.is_head()
        finally:
            with _no_garbage_collected():
                ray.shutdown()


def _hide_secrets() -> None:
    """Take passwords out of this process's command line: Ray notes it in the cluster, and every user can see it."""
    words = [redacted_word(word) for word in sys.orig_argv]
    if words != sys.orig_argv:
        setproctitle(shlex.join(words))


def _is_to_start(address: str | None) -> bool:
    """Whether no cluster is named, by this address or $RAY_ADDRESS, and none runs here that can be joined."""
    named = os.environ.get("RAY_ADDRESS") or address if address in (None, "auto") else address
    if named is not None and "://" in named:
        return False
    find_gcs_addresses.cache_clear()  # type: ignore[attr-defined]  # one that ran here at the last call may have ended
    with _address_errors(address):
        found = canonicalize_bootstrap_address(address)  # type: ignore[arg-type]
        if found is None:
            return True
        if named is None and _refuses(found):
            return True  # Ray wrote its address down when it began, and it was killed since
        _connection(found).close()  # Ray tries for minutes
    return False


def _connection(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), CONNECT_S)


def _start(folder: Path, num_gpus: int | None) -> None:
    """Start a cluster that writes below this folder, and listens on the loopback address alone. Raises ConfigError.

    Ray opens its own folders to all users, but not the one above them. Its only setting for loopback is the one that
    other systems have instead of clusters, and it takes no address of loopback as a node's.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER, services.ConsolePopen
    ray_constants.ENABLE_RAY_CLUSTER, services.ConsolePopen = False, _ApartProcess  # type: ignore[misc]
    try:
        _connect(address="local", num_gpus=num_gpus, include_dashboard=False, _temp_dir=str(folder / "r"))
    except Exception as error:  # for most of what keeps it from starting Ray has no type of its own
        raise ConfigError(
            f"Ray did not start on this machine ({one_line(error)}): see that {folder.parent} and /dev/shm have room, "
            "that memory, processes and open files suffice (ulimit -a), and that its cores have time; then start again"
        ) from None
    finally:
        ray_constants.ENABLE_RAY_CLUSTER, services.ConsolePopen = before  # type: ignore[misc]


class _ApartProcess(services.ConsolePopen):
    """A process of Ray's in a process group of its own: a signal to the group of this process, as `timeout`, shells and
    batch systems send it, is this process's to answer, and would leave a polite stop without its workers.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options, process_group=0)


def _join(address: str | None) -> None:
    with _address_errors(address):
        _connect(address=address)


@contextmanager
def _watched() -> Iterator[None]:
    """Stop this process as Ctrl-C does where the cluster's control has ended meanwhile. Ray itself ends the process
    after a minute, with a line about its own parts only.
    """
    is_over = threading.Event()
    threading.Thread(target=_watch, args=[is_over], name="watch", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def _watch(is_over: threading.Event) -> None:
    node = ray._private.worker._global_node
    if node is None:  # another process, Ray's client server, is the one that is connected
        return
    refusals = 0
    while refusals < MAX_REFUSALS:
        if is_over.wait(WATCH_S):
            return
        refusals = refusals + 1 if _refuses(node.gcs_address) else 0
    print(
        f"Ray's control (gcs_server at {node.gcs_address}) has ended, so the study stops; its record is whole, and "
        "--resume goes on with it",
        file=sys.stderr,
    )
    os.kill(os.getpid(), signal.SIGINT)
    if not is_over.wait(STOP_S):  # the main thread waits for Ray, which waits for its control
        end_at_once(128 + signal.SIGINT)


def _refuses(address: str) -> bool:
    """Whether nobody listens at an address. A network that is slow, or away, is left to Ray's own patience."""
    try:
        _connection(address).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def token_mode_kept() -> Iterator[None]:
    """Leave Ray's token mode as it was before the block, which starts and ends a cluster.

    Ray asks for a token in a cluster that this process starts, and goes on asking for one: in the environment, in its
    settings and by the token that it keeps. In a cluster that is started later from here other processes would be
    refused; in one without a token this process would refuse the cluster, whose actors then die unstarted.
    """
    before = os.environ.get(TOKEN_MODE)
    if not ray.is_initialized():
        _read_token_mode()  # it may have changed since Ray read it
    try:
        yield
    finally:
        if os.environ.get(TOKEN_MODE) != before:
            os.environ.pop(TOKEN_MODE)
            os.environ.update({} if before is None else {TOKEN_MODE: before})
            _read_token_mode()


def _read_token_mode() -> None:
    """Let Ray read from the environment whether tokens are asked for, and forget the token that it keeps."""
    Config.initialize("")  # first, since Ray ends a process that loads a token in token mode and finds none
    AuthenticationTokenLoader.instance().reset_cache()


def _connect(**options: Any) -> None:
    ray.init(ignore_reinit_error=True, configure_logging=False, log_to_driver=False, **options)


@contextmanager
def _address_errors(address: str | None) -> Iterator[None]:
    """Raise what Ray says of an address that it cannot use as ConfigError."""
    try:
        yield
    except (OSError, ValueError) as error:
        where = address or "RAY_ADDRESS"
        raise ConfigError(f"no Ray cluster answers at {where}: {one_line(error)}", "address") from None


@contextmanager
def _beside(work: Callable[[], None]) -> Iterator[None]:
    """Run `work` in a thread beside the block, and wait for it at the end. Raises the errors of the work."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        done = pool.submit(work)
        yield
    done.result()


@contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """Switch the garbage collector off while Ray shuts down.

    Ray ends the process without a message if another thread deletes one of Ray's references at that time. Tune leaves
    such references in cycles, and the collector may run in any thread, such as the one that sends to MLflow.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process's handler of SIGTERM: the one that `ray.init` sets raises SystemExit wherever Ray stands, also
    where Python or Ray drops an error, and then the signal is lost.
    """
    before = ray._private.utils.set_sigterm_handler
    ray._private.utils.set_sigterm_handler = lambda _: None
    try:
        yield
    finally:
        ray._private.utils.set_sigterm_handler = before
