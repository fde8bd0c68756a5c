"""A space: the checked content of one space file, and the configs that can be drawn from it. Knows no sampler.

`python -m search.space --schema` prints the JSON Schema of space files, committed as spaces/schema.json.

Everything that the file alone can show to be wrong is a SpaceError here, in milliseconds and without torch or Ray.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mgc.config import DataConfig
from mgc.networks.training_config import TrainingConfig, training_config
from mgc.words.errors import ConfigError
from search.settings.sections import DEFAULT_TRIALS, Budget, Published, Resources, SearchConfig
from search.space.check import checked, located
from search.space.document import Document, Place, SpaceError, read_file
from search.space.domains import label, values
from search.space.overrides import with_data, with_profile, with_settings
from search.space.params import Choose, Param, combinations, ordered, parents_of, walk
from search.space.shipped import space_file


@dataclass(frozen=True, kw_only=True)
class Space:
    """One space file under one profile. `name` is the file's name without its ending."""

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
    """The config that a confirmation compares with. Where it is empty, each param that varies takes the model's own
    value."""
    profiles: tuple[str, ...] = field(default=(), compare=False)
    profile: str | None = None
    document: Document = field(default_factory=lambda: Document({}, {(): Place(0, "space")}), repr=False, compare=False)
    """What was read, for the places that errors name."""

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        profile: str | None = None,
        data: str | None = None,
        overrides: Sequence[str] = (),
    ) -> Space:
        """The space in a file, changed by the profile, by `data` and by the overrides ("params.lr=0.01"). In place of a
        path the name of a shipped space will do: `se_ratio`.

        The file itself and each of its profiles are checked too. SpaceError names the place of a mistake.
        """
        path = space_file(Path(path))
        document = read_file(path)
        space = cls.of(document, path, strict=True)
        for name in space.profiles:
            checked(with_profile(document, name))
        if profile is None and data is None and not overrides:
            return space
        changed = document if profile is None else with_profile(document, profile)
        changed = changed if data is None else with_data(changed, data)
        return cls.of(with_settings(changed, overrides), path, profile=profile)

    @classmethod
    def of(cls, document: Document, path: str | Path, *, profile: str | None = None, strict: bool = False) -> Space:
        """The space of a document that was read from `path`. SpaceError for a mistake; `strict` as in `checked`."""
        contents = checked(document, strict=strict)
        return cls(name=Path(path).stem, path=Path(path), profile=profile, document=document, **contents)

    @property
    def varying(self) -> dict[str, Param]:
        """The params that have a domain."""
        return {name: param for name, param in self.params.items() if param.domain is not None}

    @property
    def size(self) -> float:
        """The number of configs; infinite where a Float varies."""
        parents = parents_of(self.params)
        branches = combinations(self._order, lambda name, of: values(of) if name in parents else (None,))
        free = {name: param.domain.size for name, param in self.params.items() if param.domain and name not in parents}
        return sum(math.prod(free[name] for name in branch if name in free) for branch in branches)

    @property
    def num_trials(self) -> int:
        """How many trials a study of this space makes: never more than a grid has."""
        if self.search.is_exhaustive:
            return int(min(self.size, self.search.trials or math.inf))
        return self.search.trials or DEFAULT_TRIALS

    def walk(self, choose: Choose) -> dict[str, Any]:
        """One config: the active params, in the file's order. `choose(name, domain)` gives a value to each active param
        that varies; it is called for the params of a condition before those under it.
        """
        chosen = walk(self._order, choose)
        return {name: chosen[name] for name in self.params if name in chosen}

    def sample(self, n: int, seed: int = 0) -> list[dict[str, Any]]:
        """n random configs; the first ones do not depend on n."""
        rng = random.Random(seed)
        return [self.walk(lambda _, of: of.sample(rng)) for _ in range(n)]

    def grid(self) -> list[dict[str, Any]]:
        """Every config once, the last param changing fastest. ConfigError for a domain that cannot be listed."""
        return [
            {name: chosen[name] for name in self.params if name in chosen}
            for chosen in combinations(self._order, lambda _, of: values(of))
        ]

    def check_params(self, params: Mapping[str, Any]) -> TrainingConfig:
        """The typed config of these params at full budget. ConfigError for params that cannot be trained."""
        return training_config(params, data=self.data, epochs=self.budget.full)

    def located(self, error: ConfigError, params: Mapping[str, Any]) -> SpaceError:
        """The error of a config of this space, with the place in the file of what breaks the rule."""
        return located(self.document, error, self.params, params)

    def canonical(self) -> dict[str, Any]:
        """All that decides what a trial is, as plain JSON data: equal for files that mean the same."""
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
    """What differs between two canonical spaces, one line per key: "params.lr: 0.001 -> 0.01"."""
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
