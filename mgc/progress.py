"""How long work takes to finish, shown to whoever waits: a bar on a terminal, two plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], *, what: str, total: int, show: bool = True) -> Iterator[Item]:
    """The items, with their progress on stderr while they are consumed. `what` names the work: `making 300 tracks`."""
    if not show:
        yield from items
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        yield from track(items, description=what, total=total, console=Console(stderr=True))
    else:
        started = time.monotonic()
        print(f"{what} ...", file=sys.stderr, flush=True)
        yield from items
        print(f"{what}: done in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
