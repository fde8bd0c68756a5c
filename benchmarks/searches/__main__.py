"""`python -m benchmarks.searches`: methods on problems, replayed at equal cost, as tables and as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.searches import kept, syne
from benchmarks.searches.kept import Job, Result
from benchmarks.searches.methods import METHODS
from benchmarks.searches.summary import summary
from mgc.words.errors import ConfigError, check_names
from mgc.words.progress import progress

KEPT = Path("runs") / "searches.jsonl"
SYNE_TUNE = "MGC_SYNE_TUNE"


def main(arguments: Sequence[str] | None = None) -> int:
    given = parsed(arguments)
    try:
        report(given)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on with the replays in {given.kept}", file=sys.stderr)
        return 130
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.searches", description="Methods on problems, replayed at equal cost."
    )
    problems = "tables of curves (.npz), or tasks of LCBench as FOLDER:TASK"
    parser.add_argument("--problems", nargs="+", required=True, metavar="P", help=problems)
    parser.add_argument("--methods", nargs="+", metavar="M", help=f"of {', '.join(METHODS)}; default: all")
    parser.add_argument(
        "--seeds", type=int, default=2, metavar="N", help="replays of each method; default: %(default)s"
    )
    parser.add_argument("--slots", type=int, nargs="+", default=[4], help="trials at once; default: 4")
    parser.add_argument("--json", action="store_true", help="the scores as JSON in the last line")
    parser.add_argument("--kept", type=Path, default=KEPT, help="where finished replays are kept; default: %(default)s")
    parser.add_argument("--processes", type=int, default=2, help="replays at once; default: %(default)s")
    python = f"the interpreter of an environment with syne-tune 0.13.0; default: ${SYNE_TUNE}"
    parser.add_argument("--syne-tune", type=Path, default=os.environ.get(SYNE_TUNE), metavar="PYTHON", help=python)
    return parser.parse_args(arguments)


def report(given: argparse.Namespace) -> None:
    """Make the replays and print what they show."""
    methods = available(given.methods, given.syne_tune)
    jobs = [
        Job(problem=problem, method=method, slots=slots, seed=seed, python=given.syne_tune)
        for slots in given.slots
        for seed in range(given.seeds)
        for problem in given.problems
        for method in methods
    ]
    replays = kept.results(jobs, given.kept, given.processes)
    results = dict(progress(replays, what=f"replaying {len(jobs)} searches", total=len(jobs)))
    in_order = {job: results[job] for job in jobs}
    print_tables(in_order)
    if given.json:
        print(json.dumps(as_json(in_order)))


def available(methods: Sequence[str] | None, python: Path | None) -> list[str]:
    """The methods asked for, without those of Syne Tune where its interpreter is not named. ConfigError for a method
    that there is not."""
    names = list(methods or METHODS)
    check_names(names, METHODS, "method")
    if python is None and (left_out := [name for name in names if name in syne.METHODS]):
        print(f"left out: {', '.join(left_out)} (--syne-tune PYTHON, or ${SYNE_TUNE})", file=sys.stderr)
        names = [name for name in names if name not in left_out]
    return names


def print_tables(results: dict[Job, Result]) -> None:
    """The summaries of each group of problems at each number of slots."""
    groups = dict.fromkeys((kept.problem_of(job.problem).group, job.slots) for job in results)
    for group, slots in groups:
        of = {
            (job.problem, job.method, job.seed): result
            for job, result in results.items()
            if (kept.problem_of(job.problem).group, job.slots) == (group, slots)
        }
        names = {problem: kept.problem_of(problem).name for problem, _, _ in of}
        print(f"\n## {group}, {slots} at once\n\n{summary(of, names)}")


def as_json(results: dict[Job, Result]) -> dict[str, dict[str, dict[str, list[list[float]]]]]:
    """{problem as given: {method: {slots: [scores at each look] of each seed}}}."""
    tree: dict[str, dict[str, dict[str, list[list[float]]]]] = {}
    for job, result in results.items():
        by_slots = tree.setdefault(job.problem, {}).setdefault(job.method, {})
        by_slots.setdefault(str(job.slots), []).append(list(result.scores))
    return tree


if __name__ == "__main__":
    sys.exit(main())
