"""`python -m benchmarks.growth 10000`: whether a study's trials get dearer as there are more of them.

Trials that do nothing, with record and MLflow on; what the last 200 cost beside the first 200, the start left out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks.figure import Figure
from benchmarks.trials import own_ray, study

WINDOW = 200


def figures(data: str, *, quick: bool) -> Iterator[Figure]:
    count = 600 if quick else 2000
    ends_s = ends_of(count)
    yield Figure(
        name=f"one of the last {WINDOW} of {count} trials that do nothing",
        unit="s",
        ours=per_trial_s(ends_s[-WINDOW:]),
        baseline=per_trial_s(ends_s[:WINDOW]),
        baseline_name=f"one of the first {WINDOW}",
        more_is_better=False,
        goal=">= 0.67x, that is at most 1.5 times as dear",
    )


def ends_of(count: int) -> list[float]:
    """When each trial of a study was ended, by a clock in seconds."""
    ends_s: dict[int, float] = {}

    def ended(number: int, state: str) -> None:
        if state != "running":
            ends_s.setdefault(number, time.perf_counter())

    with own_ray():
        study(count, track=True, seen=ended)
    return sorted(ends_s.values())


def per_trial_s(ends_s: Sequence[float]) -> float:
    """Seconds from one end to the next, on average."""
    return (ends_s[-1] - ends_s[0]) / (len(ends_s) - 1)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    ends_s = ends_of(count)
    for first in range(0, count - WINDOW + 1, max((count - WINDOW) // 9, 1)):
        print(f"trials {first:6} to {first + WINDOW - 1:6}: {per_trial_s(ends_s[first : first + WINDOW]):.4f} s each")


if __name__ == "__main__":
    main()
