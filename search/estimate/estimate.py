"""How a study is packed onto machines, and about how long it takes: for the dry run, and at a study's start.

Times a step of some configs on random clips; the rest is counting.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.optim.adam import adam

from mgc.clips.cutting import clip_shape, ruler_of, starts_of_tracks
from mgc.config import ClipShape
from mgc.features.audio import credible_header
from mgc.networks.networks import random_clips
from mgc.networks.training_config import TrainingConfig
from mgc.tracks.dataset import Dataset
from mgc.training import memory
from mgc.training.device import best_device, place_model
from search.execution.ground import Ground
from search.machines.slots import Slots, share_bytes
from search.scheduler.promote import PROBES
from search.settings.schedulers import SCHEDULERS
from search.settings.sections import Budget
from search.words import duration

TRACK_SECONDS = 30.0
"""Length of a track where no file can be asked for its own."""
TIMED_CONFIGS = 6
"""Configs of which the time of an epoch is taken."""
TIMED_S = 0.1
"""How long a step must take to be believed."""
EVALUATION_COST = 1 / 3
"""What a clip costs that is only predicted, beside one that is trained with: a forward pass of three."""


def estimate_lines(
    ground: Ground, slots: Slots, configs: Sequence[Mapping[str, Any]], *, budget: Budget, trials: int
) -> Iterator[str]:
    """Which trials share what, and how long so many trials like these configs take, in two sentences.

    A GPU is timed where this process sees one: a driver without GPU on a cluster with some can only say what it would
    take here.
    """
    yield f"plan: {slots}{_memory_share(slots)}"
    threads = torch.get_num_threads()
    torch.set_num_threads(min(slots.cpus_per_trial, os.cpu_count() or 1))  # more of them only wait for each other
    memory.keep_freed()  # as a training does
    epochs = _epochs(ground, configs)
    torch.set_num_threads(threads)
    epoch_s = statistics.fmean(seconds for _, seconds in epochs)
    most_s = -(-trials // slots.count) * budget.full * epoch_s
    epochs_of_all = expected_epochs(budget, trials=trials, keep=ground.space.resources.keep)
    likely_s = max(epochs_of_all / slots.count, budget.full) * epoch_s
    all_s = f"{duration(most_s)} for all trials"
    if budget.rungs():
        share = f"if one trial of {budget.reduction_factor} goes on at a rung"
        all_s = f"about {duration(likely_s)} {share}, {duration(most_s)} if all trials went to the end"
    clips = _range([f"{train:,}" for train, _ in sorted(epochs)])
    spread = _range([duration(seconds) for seconds in sorted(seconds for _, seconds in epochs)])
    memory.give_back()  # the trials share what this process does not hold
    yield f"time: {spread} for an epoch of {clips} clips; {all_s}"


def _range(ascending: Sequence[str]) -> str:
    """The first and the last where they differ.

    >>> _range(["3 s", "3 s"]), _range(["3 s", "2 min"])
    ('3 s', '3 s to 2 min')
    """
    return " to ".join(dict.fromkeys((ascending[0], ascending[-1])))


def _epochs(ground: Ground, configs: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Train clips and seconds of an epoch of TIMED_CONFIGS of these configs, spread over all of them.

    Of those that cost about the same one is timed.
    """
    space = ground.space
    count = min(TIMED_CONFIGS, len(configs))
    rates: dict[Hashable, float] = {}
    found = []
    for params in (configs[len(configs) * index // count] for index in range(count)):
        config = space.check_params(params)
        shape = clip_shape(config, ground.dataset)
        cost = (config.model.name, shape, config.optimizer.batch_size, f"{ground.num_weights(params):.0e}")
        if cost not in rates:
            rates[cost] = clips_per_second(config, shape)
        train, validation = _clips(ground, config)
        found.append((train, (train + EVALUATION_COST * validation) / rates[cost]))
    return found


def _memory_share(slots: Slots) -> str:
    if not slots.gpus or not torch.cuda.is_available():
        return ""
    share = share_bytes(torch.cuda.get_device_properties(0).total_memory, slots.trials_per_gpu)
    return f", {share / 2**30:.1f} GiB each"


def expected_epochs(budget: Budget, *, trials: int, keep: int) -> float:
    """Epochs of a study of so many trials if one of `reduction_factor` goes on at every rung.

    Where trials are promoted, `keep` of them are completed in any case, and with `min_epochs: auto` the first PROBES
    pass the first rung.

    >>> expected_epochs(Budget(min_epochs=1, max_epochs=9, reduction_factor=3), trials=90, keep=3)
    210.0
    """
    is_promoted, rungs = SCHEDULERS[budget.scheduler].pauses, budget.rungs()
    probes = PROBES if is_promoted and budget.min_epochs == "auto" and len(rungs) > 1 else 0
    total, number, before = 0.0, float(trials), 0
    for epoch in (*rungs, budget.full):
        total += number * (epoch - before)
        least = max(keep if is_promoted else 1, probes if epoch == rungs[0] else 0) if rungs else 0
        number, before = max(number / budget.reduction_factor, min(least, trials)), epoch
    return total


def _clips(ground: Ground, config: TrainingConfig) -> tuple[int, int]:
    """About how many clips train and validate: as many per track as the first track has."""
    ruler = ruler_of(config, ground.dataset)
    length = round(_track_seconds(ground.dataset) / ruler.unit_s)
    [starts] = starts_of_tracks({ground.dataset.tracks[0].track_id: length}, ruler, config.clips).values()
    parts = [part for track in ground.dataset.tracks for part in ground.split.assign(track.track_id, len(starts))]
    return parts.count("train"), parts.count("validation")


def _track_seconds(dataset: Dataset) -> float:
    if dataset.precomputed is not None:
        return dataset.precomputed.frames * dataset.precomputed.frame_seconds
    first = dataset.tracks[0].path
    about = None if first is None else credible_header(first)
    return TRACK_SECONDS if about is None else float(about.duration)


def clips_per_second(config: TrainingConfig, shape: ClipShape, num_genres: int = 10) -> float:
    """Training speed on this device, of steps over ever more random clips until one takes long enough to be timed."""
    device = torch.device(best_device())
    network = config.model.build(shape, num_genres)  # whatever weights it is to start from
    model = place_model(network, device)
    batch_size = config.optimizer.batch_size
    before, count = (0, 0.0), min(2, batch_size)
    while True:
        _pass_s(config, model, shape, count, device)  # the first of a size also prepares its kernels
        pass_s = min(_pass_s(config, model, shape, count, device) for _ in range(2))
        if (pass_s > TIMED_S and before[0]) or count >= batch_size:
            more_s = max(0.0, pass_s - before[1]) / (count - before[0])  # of a clip: a step has costs of its own
            return float(batch_size / (pass_s + more_s * (batch_size - count) + _update_s(model)))
        before, count = (count, pass_s), min(4 * count, batch_size)


def _pass_s(
    config: TrainingConfig, model: torch.nn.Module, shape: ClipShape, count: int, device: torch.device
) -> float:
    """Seconds forward and back, which grow with the clips."""
    x = random_clips(shape, count, device)
    started = time.perf_counter()
    with torch.autocast(device.type, torch.bfloat16, enabled=config.optimizer.precision == "bf16"):
        logits_BG = model(x)
    loss = functional.cross_entropy(logits_BG.float(), torch.zeros(count, dtype=torch.int64, device=device))
    loss.backward()  # type: ignore[no-untyped-call]
    loss.item()
    return time.perf_counter() - started


@torch.no_grad()
def _update_s(model: torch.nn.Module) -> float:
    """Seconds in which Adam moves the weights; they do not grow with the clips.

    By torch's function: to make one of its optimizers imports its compiler, which takes longer than all the rest here.
    """
    weights: list[torch.Tensor] = [weight for weight in model.parameters() if weight.grad is not None]
    if not weights:
        return 0.0
    grads = [weight.grad for weight in weights if weight.grad is not None]
    means, squares = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    steps = [torch.zeros(()) for _ in weights]
    started = time.perf_counter()
    adam(
        weights, grads, means, squares, [], steps,
        amsgrad=False, beta1=0.9, beta2=0.999, lr=1e-6, weight_decay=0.0, eps=1e-8, maximize=False,
    )  # fmt: skip
    if weights[0].device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
