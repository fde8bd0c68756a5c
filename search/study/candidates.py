"""Which configs of a study are worth training again: its best effective networks, and the model's own default."""

from __future__ import annotations

from typing import Any

from mgc.networks.training_config import training_config
from mgc.words.errors import ConfigError
from search.execution.ground import Ground
from search.record.header import Candidate
from search.record.ranking import networks
from search.record.record import Record
from search.space.document import Document, Place
from search.space.domains import Domain
from search.space.space import Space

NOT_COMPARED = ("seed", "fold")
"""Params that repeat a training rather than change it."""


def space_of(record: Record) -> Space:
    """The space that a study was made from, as its record holds it: the file may have changed since."""
    header = record.header
    canonical = header.canonical
    values = {
        "description": header.description,
        "data": {key: value for key, value in canonical["data"].items() if value is not None},
        "params": canonical["params"],
        "search": {**canonical["search"], "trials": header.trials},
        "budget": canonical["budget"],
        "resources": header.resources,
        "published": header.published,
        "reference": header.reference,
    }
    return Space.of(Document(values, {(): Place(0, f"study {record.name}")}), header.file)


def candidates(record: Record, ground: Ground, *, top: int | None) -> list[Candidate]:
    """The best distinct networks of a study, best first, and the default config, unless it is one of them.

    ConfigError for a study without a complete trial.
    """
    found = networks(record.trials(), record.header.objectives)[:top]
    if not found:
        raise ConfigError(f"study {record.name} has no complete trial to confirm", "study")
    best = [
        _candidate(dict(network.trials[0].params), dict(network.trials[0].varying), network.key, f"best {rank}")
        for rank, network in enumerate(found, start=1)
    ]
    default = default_candidate(ground, precision=record.header.precision)
    if default is None:
        return best
    if default.network not in {each.network for each in best}:
        return [*best, default]
    return [
        each.model_copy(update={"role": f"{each.role}, default"}) if each.network == default.network else each
        for each in best
    ]


def default_candidate(ground: Ground, *, precision: str | None) -> Candidate | None:
    """The space's reference; without one the space with the model's own values, its paper's where it gives them, in
    place of every domain. None where the data cannot give such clips.
    """
    space = ground.space
    params = {**(space.reference or _own_values(space)), "precision": precision}
    try:
        network = ground.network_key(params)
    except ConfigError:
        return None
    return _candidate(params, {key: params[key] for key in space.varying if key in params}, network, "default")


def _own_values(space: Space) -> dict[str, Any]:
    """The params of the space, of which none varies."""
    model = space.params["model"]
    name = model.value if model.domain is None else model.domain.ends()[0]
    own = training_config({"model": name}, data=space.data, epochs=1).flat()

    def choose(param: str, domain: Domain) -> Any:
        return domain.ends()[0] if param in ("model", *NOT_COMPARED) else own[param]

    return space.walk(choose)


def _candidate(params: dict[str, Any], varying: dict[str, Any], network: str, role: str) -> Candidate:
    params.pop("seed", None)
    kept = {key: value for key, value in varying.items() if key not in NOT_COMPARED}
    return Candidate(params=params, varying=kept, network=network, role=role, vote=params.get("vote", "sum"))
