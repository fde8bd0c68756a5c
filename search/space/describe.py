"""A space as text, as --dry-run and a study's start show it: what is fixed, what varies, and under which condition."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from search.settings.schedulers import SCHEDULERS
from search.space.document import written
from search.space.domains import label
from search.space.params import Param, ordered
from search.space.space import Space

INDENT = "  "


def describe(space: Space) -> str:
    """Several lines: data, the tree of params, search, budget, size."""
    title = space.name + (f" ({space.profile})" if space.profile else "")
    lines = [
        f"{title}: {space.description}" if space.description else title,
        f"data: {_given(space.data.model_dump(mode='json'))}",
        "params:",
        *(INDENT + line for line in tree(space.params).splitlines()),
        f"search: {_given(space.search.canonical())}, trials {space.num_trials}",
        f"budget: {_budget(space)}",
        f"resources: {_given(space.resources.model_dump())}",
        f"size: {size_text(space.size)}",
    ]
    return "\n".join(lines)


def params_block(params: Mapping[str, object]) -> str:
    """These params as a space file has them, a line for each.

    >>> print(params_block({"model": "se_cnn", "channels": [32, 64]}))
    params:
      model: se_cnn
      channels: [32, 64]
    """
    return "\n".join(["params:", *(INDENT + line for line in written(params))])


def params_lines(params: Mapping[str, object], width: int) -> list[str]:
    """The same in few lines of at most `width` characters, where no param alone is longer.

    >>> params_lines({"model": "se_cnn", "r": 31.4283, "channels": [32, 64]}, 36)
    ['params: {model: se_cnn, r: 31.4283,', '  channels: [32, 64]}']
    """
    lines, last = [], "params: {"
    *others, final = [f"{line}, " for line in written(params)]
    for piece in (*others, final.removesuffix(", ") + "}"):
        if len(last) + len(piece.rstrip()) > width:
            lines.append(last.rstrip())
            last = INDENT
        last += piece
    return [*lines, last]


def size_text(size: float) -> str:
    """How many configs there are, for people.

    >>> size_text(math.inf), size_text(12)
    ('infinitely many configs', '12 configs')
    """
    if math.isinf(size):
        return "infinitely many configs"
    return f"{size:,} config{'' if size == 1 else 's'}"


def tree(params: Mapping[str, Param]) -> str:
    """One line per param in the file's order; conditional ones stand under the last param that they depend on."""
    depth = {param.name: index for index, param in enumerate(ordered(params))}
    children: dict[str, list[Param]] = {}
    for param in params.values():
        parent = max((condition.param for condition in param.when), key=depth.__getitem__, default="")
        children.setdefault(parent, []).append(param)
    return "\n".join(_branch("", children, max(map(len, params)), ""))


def _branch(parent: str, children: Mapping[str, list[Param]], width: int, indent: str) -> Iterator[str]:
    condition = ""
    for param in sorted(children.get(parent, []), key=_condition):
        if _condition(param) != condition:
            condition = _condition(param)
            yield f"{indent}when {condition}"
        inner = indent + INDENT if condition else indent
        value = label(param.value) if param.domain is None else str(param.domain)
        yield f"{inner}{param.name:<{width}}  {value}"
        yield from _branch(param.name, children, width, inner + INDENT)


def _condition(param: Param) -> str:
    return " and ".join(map(str, param.when))


def _budget(space: Space) -> str:
    rungs = space.budget.rungs()
    if not rungs:
        return f"{space.budget.full} epochs each"
    what = SCHEDULERS[space.budget.scheduler].says
    return f"{space.budget.full} epochs, {what} after {', '.join(map(str, rungs))}"


def _given(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {label(value)}" for key, value in values.items() if value is not None)
