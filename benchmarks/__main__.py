"""`make bench`: every speed figure beside its baseline, in one run, as a table and as benchmarks/RESULTS.md.

    python -m benchmarks [--quick] [--data DIR] [--only PART ...]

Seconds of a shared machine mean little, ratios within one run do. `--data` is a folder of real audio (default:
../shared/data/gtzan_mini where it is there, else the embedded music).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
from datetime import date
from pathlib import Path
from unittest import mock

from benchmarks import (
    features,
    first_epoch,
    gpu,
    growth,
    memory,
    overhead,
    tracking_calls,
    training,
    trials,
    whole,
)
from benchmarks.figure import Figure, table

PARTS = {
    "trial": trials.figures,
    "whole": whole.figures,
    "features": features.figures,
    "training": training.figures,
    "first_epoch": first_epoch.figures,
    "memory": memory.figures,
    "overhead": overhead.figures,
    "tracking": tracking_calls.figures,
    "growth": growth.figures,
    "gpu": gpu.figures,
}
REAL = Path(__file__).parents[2] / "shared" / "data" / "gtzan_mini"
RESULTS = Path(__file__).parent / "RESULTS.md"
VERSIONS_OF = ("torch", "ray", "optuna", "mlflow", "librosa", "numpy")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: about ten minutes on 2 cores")
    parser.add_argument("--data", default=str(REAL) if REAL.is_dir() else "synthetic", help="default: %(default)s")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    given = parser.parse_args()
    found: list[Figure] = []
    for part in given.only:
        with mock.patch.dict(os.environ):  # Ray's MLflow callback leaves its address there
            for figure in PARTS[part](given.data, quick=given.quick):
                found.append(figure)
                print(table([figure]), flush=True)
    text = (
        f"# Results\n\n{machine()}, {date.today().isoformat()}{', quick' if given.quick else ''}.\n\n{table(found)}\n"
    )
    print("\n" + text)
    if given.only == list(PARTS):
        RESULTS.write_text(text + other_sections(RESULTS.read_text()))


def other_sections(results: str) -> str:
    """What stands in the results from their second heading on, which other benchmarks have made."""
    _, heading, others = results.partition("\n## ")
    return heading + others


def machine() -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS_OF)
    model = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine()
    )
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores of {model}, load {load:.1f} at the end, Python {platform.python_version()}, {versions}"
    )


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


if __name__ == "__main__":
    main()
