"""A space: the checked content of one space file, and the configs that can be drawn from it. Knows no sampler.

`python -m search.space --schema` prints the JSON Schema of space files, committed as spaces/schema.json.

Everything that the file alone can show to be wrong is a SpaceError here, in milliseconds and without torch or Ray.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mgc.config import DataConfig, TrainingConfig, training_config
from search.document import SpaceError, read_file
from search.domains import Choice, Domain, Float, Grid, Int, label, values
from search.overrides import with_data, with_profile, with_settings
from search.params import Choose, Condition, Param, combinations, ordered, walk
from search.study import DEFAULT_TRIALS, Budget, Published, Resources, SearchConfig

__all__ = ["Choice", "Condition", "Domain", "Float", "Grid", "Int", "Param", "Space", "SpaceError", "difference"]


@dataclass(frozen=True, kw_only=True)
class Space:
    """One space file under one profile. `name` is the file's stem."""

    name: str
    path: Path
    description: str
    data: DataConfig
    params: Mapping[str, Param]
    search: SearchConfig
    budget: Budget
    resources: Resources
    published: tuple[Published, ...] = ()
    reference: Mapping[str, Any] = field(default_factory=dict)
    """The params of what a confirmation compares with; none are the model's own in place of every domain."""
    profiles: tuple[str, ...] = field(default=(), compare=False)
    profile: str | None = None

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        profile: str | None = None,
        data: str | None = None,
        overrides: Sequence[str] = (),
    ) -> Space:
        """The space in a file; then the profile, `data` and the overrides ("params.lr=0.01") are laid over it.

        The file itself and every one of its profiles are checked as well. SpaceError names the place of a mistake.
        """
        from search.check import checked_space  # it builds what is defined here

        document = read_file(Path(path))
        space = checked_space(document, Path(path), strict=True)
        for name in space.profiles:
            checked_space(with_profile(document, name), Path(path))
        if profile is None and data is None and not overrides:
            return space
        changed = document if profile is None else with_profile(document, profile)
        changed = changed if data is None else with_data(changed, data)
        return checked_space(with_settings(changed, overrides), Path(path), profile=profile)

    @property
    def varying(self) -> dict[str, Param]:
        """The params that have a domain."""
        return {name: param for name, param in self.params.items() if param.domain is not None}

    @property
    def size(self) -> float:
        """Number of different sets of params; infinite where a Float varies."""
        parents = {condition.param for param in self.params.values() for condition in param.when}
        branches = combinations(self._order, lambda name, of: values(of) if name in parents else (None,))
        free = {name: param.domain.size for name, param in self.params.items() if param.domain and name not in parents}
        return sum(math.prod(free[name] for name in branch if name in free) for branch in branches)

    @property
    def num_trials(self) -> int:
        """How many trials a study of this space makes: never more than a grid has."""
        if self.search.sampler == "grid":
            return int(min(self.size, self.search.trials or math.inf))
        return self.search.trials or DEFAULT_TRIALS

    def walk(self, choose: Choose) -> dict[str, Any]:
        """One flat dict of active params, in the file's order: `choose(name, domain)` gives the value of each active
        domain and is asked in an order in which every condition is decided before what depends on it."""
        chosen = walk(self._order, choose)
        return {name: chosen[name] for name in self.params if name in chosen}

    def sample(self, n: int, seed: int = 0) -> list[dict[str, Any]]:
        """n random configs; the first ones do not depend on n."""
        rng = random.Random(seed)
        return [self.walk(lambda _, of: of.sample(rng)) for _ in range(n)]

    def grid(self) -> list[dict[str, Any]]:
        """Every combination once, the last param changing fastest. ConfigError where a domain cannot be listed."""
        return [
            {name: chosen[name] for name in self.params if name in chosen}
            for chosen in combinations(self._order, lambda _, of: values(of))
        ]

    def check_params(self, params: Mapping[str, Any]) -> TrainingConfig:
        """The typed config of one set of params at full budget; ConfigError for one that this space cannot have."""
        return training_config(params, data=self.data, epochs=self.budget.full)

    def canonical(self) -> dict[str, Any]:
        """Plain JSON data of all that gives trials their meaning, equal for files that mean the same."""
        return {
            "data": self.data.model_dump(mode="json"),
            "params": {name: param.canonical() for name, param in sorted(self.params.items())},
            "search": self.search.canonical(),
            "budget": self.budget.canonical(),
        }

    @cached_property
    def _order(self) -> tuple[Param, ...]:
        return ordered(self.params)


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed between two canonical spaces, one line per key: "params.lr: 0.001 -> 0.01"."""
    absent = object()
    lines = []
    for section in dict.fromkeys([*old, *new]):
        before, after = old.get(section, {}), new.get(section, {})
        for key in dict.fromkeys([*before, *after]):
            was, now = before.get(key, absent), after.get(key, absent)
            if was is absent or now is absent or was != now:
                lines.append(f"{section}.{key}: {_shown(was, absent)} -> {_shown(now, absent)}")
    return lines


def _shown(value: Any, absent: object) -> str:
    return "absent" if value is absent else label(value)


def main(arguments: Sequence[str] | None = None) -> None:
    from search.schema import space_schema  # needed here only

    parser = argparse.ArgumentParser(prog="python -m search.space", description="What a space file may hold.")
    parser.add_argument("--schema", action="store_true", required=True, help="print the JSON Schema of space files")
    parser.parse_args(arguments)
    print(json.dumps(space_schema(), indent=2))


if __name__ == "__main__":
    main()
