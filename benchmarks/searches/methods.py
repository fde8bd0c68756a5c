"""The methods by their names. Each is a real sampler and a real scheduler, and has rungs at the powers of 3.

today              this project's TPE and stopping ASHA as shipped in November 2026, first rung 1
random-stop        this project's random proposals and stopping ASHA, first rung 1
tpe                Optuna's TPE without stopping
random             random proposals without stopping: what a search is measured against
rung-gp            this project's sampler without stopping: what it is worth alone
optunasearch-asha  Ray's OptunaSearch and ASHAScheduler, first rung 1
tpe-hyperband      Optuna's TPE and HyperbandPruner
mobster, hypertune, bohb
                   Syne Tune's, which promote, first rung 3
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.searches import syne
from benchmarks.searches.ours import Ours
from benchmarks.searches.problems import Problem
from benchmarks.searches.replay import Course, Replay, Searcher, limit_s
from benchmarks.searches.space import Taken, space_of

ROOT = Path(__file__).parents[2]
HERE = Path("benchmarks") / "searches"
COMMON = tuple(HERE / name for name in ("problems.py", "lcbench.py", "tables.py", "replay.py", "space.py"))
SEARCH = (HERE / "ours.py", Path("search/sampler"), Path("search/scheduler"))


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a method is made for."""

    problem: Problem
    seed: int
    slots: int
    taken: Taken
    python: Path | None
    """The interpreter that has Syne Tune."""


@dataclass(frozen=True)
class Method:
    """How a method is made, and the files that decide what it does."""

    make: Callable[[Setting], Searcher]
    sources: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """Of its sources: what was replayed with others is replayed again."""
        files = (ROOT / path for path in (*COMMON, *self.sources))
        texts = [file for path in files for file in (sorted(path.glob("*.py")) if path.is_dir() else [path])]
        return hashlib.sha256(b"".join(file.read_bytes() for file in texts)).hexdigest()[:16]


def _ours(scheduler: str, sampler: str, min_epochs: int | Literal["auto"] | None, of: Setting) -> Searcher:
    space = space_of(of.problem, sampler=sampler, seed=of.seed, scheduler=scheduler, min_epochs=min_epochs)
    return Ours(space, of.taken, of.slots)


def _today(of: Setting) -> Searcher:
    from benchmarks.searches.today import Today, stopping_asha

    space = space_of(of.problem, seed=of.seed)
    return Today(space, stopping_asha(space), of.taken, of.slots)


def _hyperband(of: Setting) -> Searcher:
    from benchmarks.searches.others import TpeHyperband

    return TpeHyperband(space_of(of.problem, seed=of.seed), of.taken)


def _rays(of: Setting) -> Searcher:
    from benchmarks.searches.others import RaysOptuna

    return RaysOptuna(space_of(of.problem, seed=of.seed), of.taken)


def _syne_tune(method: str, of: Setting) -> Searcher:
    assert of.python is not None
    return syne.SyneTune(method, space_of(of.problem, seed=of.seed), of.taken, of.python)


METHODS: Mapping[str, Method] = {
    "ours": Method(partial(_ours, "promote", "auto", "auto"), SEARCH),
    "today": Method(_today, (HERE / "today.py", Path("search/scheduler/asha.py"))),
    "random-promote": Method(partial(_ours, "promote", "random", 1), SEARCH),
    "random-stop": Method(partial(_ours, "stop", "random", 1), SEARCH),
    "tpe": Method(partial(_ours, "promote", "tpe", None), SEARCH),
    "random": Method(partial(_ours, "promote", "random", None), SEARCH),
    "rung-gp": Method(partial(_ours, "promote", "rung_gp", None), SEARCH),
    "optunasearch-asha": Method(_rays, (HERE / "others.py",)),
    "tpe-hyperband": Method(_hyperband, (HERE / "others.py",)),
    **{name: Method(partial(_syne_tune, name), (HERE / "syne.py", HERE / "syne_process.py")) for name in syne.METHODS},
}


def replayed(method: str, problem: Problem, *, seed: int, slots: int, python: Path | None = None) -> Course:
    """One replay. Its random numbers differ between problems, so that no first proposals are common to all of them, and
    are the same for all methods.
    """
    own_seed = int(np.random.default_rng([seed, *problem.name.encode()]).integers(2**31))
    trainings = problem.trainings(own_seed)
    setting = Setting(problem=problem, seed=own_seed, slots=slots, taken=trainings.taken, python=python)
    return Replay(METHODS[method].make(setting), trainings, slots, limit_s(problem, slots)).run()
