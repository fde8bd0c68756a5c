"""Shows the progress of work on stderr: a bar on a terminal, two plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], *, what: str, total: int, show: bool = True) -> Iterator[Item]:
    """The items; while they are consumed, their progress is shown. `what` names the work: `making 300 tracks`."""
    if not show:
        yield from items
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        yield from track(items, description=what, total=total, console=Console(stderr=True))
    else:
        start_s = time.monotonic()
        print(f"{what} ...", file=sys.stderr, flush=True)
        yield from items
        print(f"{what}: done in {time.monotonic() - start_s:.0f} s", file=sys.stderr, flush=True)
