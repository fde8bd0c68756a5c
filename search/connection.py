"""Connected to a Ray cluster: one that runs somewhere, or one of this process's own that ends with it."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import ray

from mgc.config import ConfigError


@contextmanager
def cluster(
    address: str | None, *, num_gpus: int | None = None, meanwhile: Callable[[], None] = lambda: None
) -> Iterator[bool]:
    """Connected to the Ray cluster at `address` (`auto`, `HOST:PORT`), or to one of this process's own; whether it is
    its own. Connecting is mostly waiting for other processes: `meanwhile` runs in a thread beside it.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    own: dict[str, Any] = {} if address not in (None, "local") else {"num_gpus": num_gpus, "include_dashboard": False}
    logging.getLogger("ray").setLevel(logging.ERROR)  # how its own tokens and dashboards work is not our users' news
    try:
        with _beside(meanwhile), _own_sigterm():
            _connect(address, own)
        node = ray._private.worker._global_node
        yield node is not None and node.is_head()
    finally:
        with _no_garbage_collected():
            ray.shutdown()


def _connect(address: str | None, own: Mapping[str, Any]) -> None:
    try:
        ray.init(address=address, ignore_reinit_error=True, configure_logging=False, log_to_driver=False, **own)
    except ConnectionError as error:
        raise ConfigError(f"no Ray cluster answers at {address or 'RAY_ADDRESS'}: {error}", "address") from None


@contextmanager
def _beside(work: Callable[[], None]) -> Iterator[None]:
    """A thread does this work while the body runs, and is waited for. Raises what the work raises."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        done = pool.submit(work)
        yield
    done.result()


@contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """Ray ends the process, without a word, when a reference of its own dies in another thread while it shuts down:
    what Tune left in cycles would, whenever the collector happens to run in the thread that talks to MLflow.
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
    """Keep this process's handler of SIGTERM: `ray.init` puts one of its own there, which exits without a word."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:  # Ray's handler had its moment
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
