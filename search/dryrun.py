"""`--dry-run`: what a study would search and how long it would take here, without Ray and without making data."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import soundfile
import torch
from torch.nn import functional

from mgc.config import ClipShape, TrainingConfig
from mgc.cutting import clip_shape, ruler_of, starts_of_tracks
from mgc.datasets import Dataset
from mgc.models import build_model
from mgc.train import build_optimizer
from search.describe import describe
from search.networks import count_networks
from search.overview import brief
from search.prepare import Ground, prepare
from search.space import Space
from search.study import Budget
from search.tables import duration

SAMPLES = 5
TRACK_SECONDS = 30.0
"""Length of a track where no file can be asked for its own."""
TIMED_S = 0.15
"""How long a step must take to be believed."""
EVALUATION_COST = 1 / 3
"""What a clip costs that is only predicted, beside one that is trained with: a forward pass of three."""


def dry_run(space: Space) -> None:
    """Print the space, its networks, some configs with their number of weights, how trials are packed, and the hours.

    Raises ConfigError for data that is not there or cannot be split so, as a study would.
    """
    torch.set_num_threads(space.resources.cpus_per_trial)
    ground = prepare(space, device=_device(), make=False)
    print(describe(space))
    print(f"networks: {count_networks(ground)}")
    print(f"data: {len(ground.dataset.tracks)} tracks of {ground.dataset.name}, split {ground.split.label}")
    for line in (*_samples(ground), *_plan(ground)):
        print(line)


def _samples(ground: Ground) -> Iterator[str]:
    yield "samples:"
    for params in ground.space.sample(SAMPLES):
        varying = ", ".join(f"{name} {brief(params[name])}" for name in ground.space.varying if name in params)
        yield f"  {ground.num_weights(params):>12,} weights  {varying}"


def _plan(ground: Ground) -> Iterator[str]:
    """Which trials share what, and how long that takes."""
    space = ground.space
    slots, packed = _packing(space)
    yield f"plan: {packed}"
    config = space.check_params(space.sample(1)[0])
    train, validation = _clips(ground, config)
    epoch_s = (train + EVALUATION_COST * validation) / clips_per_second(config, clip_shape(config, ground.dataset))
    most = space.num_trials * space.budget.full * epoch_s / slots
    likely = space.num_trials * expected_epochs(space.budget) * epoch_s / slots
    yield f"time: an epoch of {train:,} clips takes about {duration(epoch_s)} here ({_device()}), all trials at full"
    yield f"  budget {most / 3600:.2g} hours, as ASHA stops them about {likely / 3600:.2g} hours"


def _packing(space: Space) -> tuple[int, str]:
    """Trials at a time on this machine, and the sentence that says so."""
    cpus, gpus = os.cpu_count() or 1, torch.cuda.device_count()
    per_gpu, cpus_each = space.resources.trials_per_gpu, space.resources.cpus_per_trial
    by_cpu = max(1, cpus // cpus_each)
    if not gpus:
        return by_cpu, f"1 node, no GPU: {by_cpu} trials at a time on {cpus} CPUs, {cpus_each} each"
    slots = max(1, min(by_cpu, gpus * per_gpu))
    share = torch.cuda.get_device_properties(0).total_memory / per_gpu / 2**30
    return slots, f"1 node, {gpus} GPUs: {slots} trials at a time, {per_gpu} on each GPU with {share:.1f} GiB each"


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
    device = torch.device(_device())
    model = build_model(config, shape, num_genres).to(device)
    optimizer = build_optimizer(config.optimizer, model, device)
    count = 1
    while True:
        seconds = min(_step_seconds(config, model, optimizer, shape, count, device) for _ in range(2))
        if seconds > TIMED_S or count >= config.optimizer.batch_size:
            return count / seconds
        count = min(2 * count, config.optimizer.batch_size)


def _step_seconds(
    config: TrainingConfig,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    shape: ClipShape,
    count: int,
    device: torch.device,
) -> float:
    x = _random_clips(shape, count, device)
    started = time.perf_counter()
    with torch.autocast(device.type, torch.bfloat16, enabled=config.optimizer.precision == "bf16"):
        logits_BG = model(x)
    loss = functional.cross_entropy(logits_BG.float(), torch.zeros(count, dtype=torch.int64, device=device))
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    loss.item()
    return time.perf_counter() - started


def _random_clips(shape: ClipShape, count: int, device: torch.device) -> torch.Tensor | tuple[torch.Tensor, ...]:
    picture_BCFT = torch.rand(count, 1, shape.bins, shape.frames, device=device)
    wave_BS = torch.rand(count, shape.samples, device=device) * 2 - 1
    match shape.modality:
        case "spectrogram":
            return picture_BCFT
        case "raw":
            return wave_BS
        case "both":
            return wave_BS, picture_BCFT


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
