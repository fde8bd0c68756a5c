"""Which config of a space takes the most memory, estimated on torch's meta device: nothing is allocated or computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mgc.config import ClipShape, ConfigError, TrainingConfig
from mgc.cutting import clip_shape
from mgc.models import network_config, on_meta
from search.domains import values
from search.params import combinations, ordered
from search.plan import random_clips
from search.prepare import Ground

COPIES_OF_WEIGHTS = 4
"""Each weight itself, its gradient and Adam's two moments."""
COUNTED_CLIPS = 2
"""Clips that an estimate runs a network with."""


def largest(ground: Ground) -> dict[str, Any]:
    """The params of the space, or of its reference, with the greatest estimate of those that would be trained.

    From every combination of the values that others depend on, each param in turn goes to that of its ends which needs
    more. The features that lie on the card beside a network are not estimated.
    """
    found = [ascended(ground, start) for start in _starts(ground)]
    if ground.space.reference:
        found.append(dict(ground.space.reference))
    return max(found, key=lambda params: estimate(ground, params))


def _starts(ground: Ground) -> Iterator[dict[str, Any]]:
    """A config for each combination of the params that others depend on."""
    order = ordered(ground.space.params)
    parents = {condition.param for param in order for condition in param.when}
    return combinations(order, lambda name, domain: values(domain) if name in parents else domain.ends()[-1:])


def ascended(ground: Ground, start: Mapping[str, Any]) -> dict[str, Any]:
    """The config with each param that varies at the end that needs the most memory; one that others depend on stays."""
    space, chosen = ground.space, dict(start)
    parents = {condition.param for param in space.params.values() for condition in param.when}
    for name in (name for name in space.varying if name in chosen and name not in parents):
        domain = space.varying[name].domain
        assert domain is not None
        chosen = max(({**chosen, name: end} for end in domain.ends()), key=lambda params: estimate(ground, params))
    return chosen


def estimate(ground: Ground, params: Mapping[str, Any]) -> int:
    """About how many bytes a training step of these params takes; 0 where they would not be trained: no model takes
    them, or its network breaks a limit of the study.
    """
    try:
        config = ground.space.check_params(params)
        if ground.space.search.objectives.broken(ground.known_metrics(params)) is not None:
            return 0
        return needed_bytes(config, clip_shape(config, ground.dataset), len(ground.dataset.genres))
    except ConfigError:
        return 0


def needed_bytes(config: TrainingConfig, shape: ClipShape, num_genres: int) -> int:
    """What autograd keeps of a batch in fp32, and the weights with what Adam keeps beside them, in bytes."""
    network = on_meta(network_config(config), shape, num_genres)
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[_storage(tensor)] = tensor
        return tensor

    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits_BG = network(random_clips(shape, COUNTED_CLIPS, torch.device("meta")))
        functional.cross_entropy(logits_BG, torch.zeros(COUNTED_CLIPS, dtype=torch.int64))
    weights = {_storage(weight): weight for weight in network.parameters()}
    of_clips = sum(x.untyped_storage().nbytes() for storage, x in kept.items() if storage not in weights)
    of_weights = sum(weight.nbytes for weight in weights.values())
    return COPIES_OF_WEIGHTS * of_weights + of_clips * config.optimizer.batch_size // COUNTED_CLIPS


def _storage(tensor: Tensor) -> int:
    """What tells apart the memory of tensors, of which many may be views."""
    address: int = tensor.untyped_storage()._cdata
    return address
