"""How a study is packed onto machines, and about how long it takes: for the dry run, and at a study's start.

Times a step of some configs on random clips; the rest is counting.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Hashable, Iterator, Sequence

import soundfile
import torch
from torch.nn import functional

from mgc import memory
from mgc.config import ClipShape, TrainingConfig
from mgc.cutting import clip_shape, ruler_of, starts_of_tracks
from mgc.datasets import Dataset
from mgc.models import network_config
from mgc.train import best_device, placed
from search.prepare import Ground
from search.sharing import share_bytes
from search.study import Budget, Slots
from search.tables import duration

TRACK_SECONDS = 30.0
"""Length of a track where no file can be asked for its own."""
TIMED_CONFIGS = 6
"""Configs of which the time of an epoch is taken."""
TIMED_S = 0.1
"""How long a step must take to be believed."""
EVALUATION_COST = 1 / 3
"""What a clip costs that is only predicted, beside one that is trained with: a forward pass of three."""


def plan_lines(ground: Ground, slots: Slots) -> Iterator[str]:
    """Which trials share what, and how long that takes, in two sentences.

    A GPU is timed where this process sees one: a driver without GPU on a cluster with some can only say what it would
    take here.
    """
    space = ground.space
    yield f"plan: {slots}{_memory_share(slots)}"
    torch.set_num_threads(slots.cpus_per_trial)
    memory.keep_freed()  # as a training does
    epochs = _epochs(ground)
    epoch_s = statistics.fmean(seconds for _, seconds in epochs)
    most_s = space.num_trials * space.budget.full * epoch_s / slots.count
    likely_s = space.num_trials * expected_epochs(space.budget) * epoch_s / slots.count
    likely = f"; about {hours(likely_s)} hours as ASHA stops them" if space.budget.rungs() else ""
    clips = _range([f"{train:,}" for train, _ in sorted(epochs)])
    spread = _range([duration(seconds) for seconds in sorted(seconds for _, seconds in epochs)])
    memory.give_back()  # the trials share what this process does not hold
    yield f"time: {spread} for an epoch of {clips} clips, {hours(most_s)} hours for all trials{likely}"


def _range(ascending: Sequence[str]) -> str:
    """The first and the last where they differ.

    >>> _range(["3 s", "3 s"]), _range(["3 s", "2 min"])
    ('3 s', '3 s to 2 min')
    """
    return " to ".join(dict.fromkeys((ascending[0], ascending[-1])))


def _epochs(ground: Ground) -> list[tuple[int, float]]:
    """Train clips and seconds of an epoch of some configs, spread over all that the space has.

    Of those that cost about the same one is timed.
    """
    space = ground.space
    known = space.grid() if space.search.sampler == "grid" else space.sample(TIMED_CONFIGS)
    num = min(TIMED_CONFIGS, len(known))
    rates: dict[Hashable, float] = {}
    found = []
    for params in (known[len(known) * index // num] for index in range(num)):
        config = space.check_params(params)
        shape = clip_shape(config, ground.dataset)
        cost = (config.model.name, shape, config.optimizer.batch_size, f"{ground.num_weights(params):.0e}")
        if cost not in rates:
            rates[cost] = clips_per_second(config, shape)
        train, validation = _clips(ground, config)
        found.append((train, (train + EVALUATION_COST * validation) / rates[cost]))
    return found


def hours(seconds: float) -> str:
    """Two digits are more than such an estimate is worth.

    >>> hours(400), hours(3600 * 123)
    ('0.11', '123')
    """
    return f"{seconds / 3600:.2g}" if seconds < 360_000 else f"{seconds / 3600:,.0f}"


def _memory_share(slots: Slots) -> str:
    if not slots.gpus or not torch.cuda.is_available():
        return ""
    share = share_bytes(torch.cuda.get_device_properties(0).total_memory, slots.trials_per_gpu)
    return f", {share / 2**30:.1f} GiB each"


def expected_epochs(budget: Budget) -> float:
    """Epochs of the average trial if one of `reduction_factor` goes on at every rung.

    >>> expected_epochs(Budget(min_epochs=1, max_epochs=9, reduction_factor=3))
    2.333...
    """
    total, share, before = 0.0, 1.0, 0
    for epoch in (*budget.rungs(), budget.full):
        total += share * (epoch - before)
        share, before = share / budget.reduction_factor, epoch
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
    if first is None or not first.is_file():
        return TRACK_SECONDS
    try:
        return float(soundfile.info(first).duration)
    except soundfile.SoundFileError:
        return TRACK_SECONDS


def clips_per_second(config: TrainingConfig, shape: ClipShape, num_genres: int = 10) -> float:
    """Training speed on this device, of steps over ever more random clips until one takes long enough to be timed."""
    device = torch.device(best_device())
    network = network_config(config).architecture(shape, num_genres)  # whatever weights it is to start from
    model = placed(network, device)
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
    """Seconds of moving the weights, which do not grow with the clips: Adam's arithmetic (Kingma and Ba 2015).

    By hand, since making one of torch's optimizers imports its compiler, which takes longer than all the rest here.
    """
    moved = [(weight, weight.grad) for weight in model.parameters() if weight.grad is not None]
    moments = [(torch.zeros_like(weight), torch.zeros_like(weight)) for weight, _ in moved]
    started = time.perf_counter()
    for (weight, grad), (mean, square) in zip(moved, moments, strict=True):
        mean.lerp_(grad, 0.1)
        square.mul_(0.999).addcmul_(grad, grad, value=0.001)
        weight.addcdiv_(mean, square.sqrt().add_(1e-8), value=-1e-6)
    if moved and moved[0][0].device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def random_clips(shape: ClipShape, count: int, device: torch.device) -> torch.Tensor | tuple[torch.Tensor, ...]:
    """A batch as a model of this shape takes it."""
    picture_BCFT = torch.rand(count, 1, shape.bins, shape.frames, device=device)
    wave_BS = torch.rand(count, shape.samples, device=device) * 2 - 1
    match shape.modality:
        case "spectrogram":
            return picture_BCFT
        case "raw":
            return wave_BS
        case "both":
            return wave_BS, picture_BCFT
