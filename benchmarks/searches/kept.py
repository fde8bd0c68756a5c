"""Replays in processes of their own, and the file that keeps each one that is finished, so that a run goes on."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from unittest import mock

from benchmarks.searches.halves import opened
from benchmarks.searches.methods import METHODS, replayed
from benchmarks.searches.problems import Problem, Scale

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}


@dataclass(frozen=True, kw_only=True)
class Job:
    """A replay that is to be made."""

    problem: str
    method: str
    slots: int
    seed: int
    python: Path | None = None
    """The interpreter that has Syne Tune."""

    @property
    def key(self) -> str:
        """Under which it is kept: what it depends on."""
        parts = (problem_digest(self.problem), self.method, METHODS[self.method].digest, self.slots, self.seed)
        return " ".join(map(str, parts))


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one replay showed."""

    scores: tuple[float, ...]
    """At each look."""
    completed: int
    begun: int
    continued: int
    epochs: int
    propose_s: float
    """Processor seconds of all proposals."""


def results(jobs: Iterable[Job], file: Path, processes: int) -> Iterator[tuple[Job, Result]]:
    """Each job with its result: those that the file has first, the others as they are finished."""
    kept, missing = read(file), []
    for job in jobs:
        if job.key in kept:
            yield job, kept[job.key]
        else:
            missing.append(job)
    if not missing:
        return
    with (
        mock.patch.dict(os.environ, ONE_THREAD),
        ProcessPoolExecutor(
            processes, multiprocessing.get_context("spawn"), initializer=os.nice, initargs=(10,)
        ) as pool,
    ):
        running = {pool.submit(result, job): job for job in missing}
        try:
            for future in as_completed(running):
                job = running[future]
                write(file, job, future.result())
                yield job, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def result(job: Job) -> Result:
    """Make a replay."""
    problem = problem_of(job.problem)
    course = replayed(job.method, problem, seed=job.seed, slots=job.slots, python=job.python)
    return Result(
        scores=tuple(course.scores(scale_of(job.problem))),
        completed=len(course.completed),
        begun=course.begun,
        continued=course.continued,
        epochs=course.epochs,
        propose_s=course.propose_s,
    )


@cache
def problem_of(problem: str) -> Problem:
    return opened(problem)


@cache
def problem_digest(problem: str) -> str:
    """A problem's name and the digest of its data."""
    of = problem_of(problem)
    return f"{of.group}/{of.name} {of.digest}"


@cache
def scale_of(problem: str) -> Scale:
    return problem_of(problem).scale


def read(file: Path) -> Mapping[str, Result]:
    """The results that a file keeps by their keys; a line that a killed run did not finish is left out."""
    kept = {}
    for line in file.read_text().splitlines() if file.is_file() else ():
        try:
            key, values = json.loads(line)
        except ValueError:
            continue
        kept[key] = Result(**{**values, "scores": tuple(values["scores"])})
    return kept


def write(file: Path, job: Job, of: Result) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.write(json.dumps([job.key, asdict(of)]) + "\n")
