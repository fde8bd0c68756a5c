"""How trials share a GPU's memory, and how many of them one takes where the space says `trials_per_gpu: auto`.

That is measured: one epoch of the space's largest config is trained alone on a card before the first trial. Shares
only fit if the estimate of which config is the largest is right, which is by what autograd keeps for it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import ray
import torch
from torch import Tensor
from torch.nn import functional

from mgc.clips import open_clips
from mgc.config import ClipShape, TrainingConfig
from mgc.cutting import clip_shape
from mgc.models import network_config, on_meta
from mgc.train import Training
from search.answer import named
from search.corners import corners
from search.prepare import Ground, trial_config
from search.record import Record
from search.study import CUDA_CONTEXT_BYTES, Resources, Slots, share_bytes

NOTE = "gpu_sharing"
SPARE = 1.1
"""A share is this many times the measured peak: what other configs allocate falls into other pieces."""
MOST = 64
"""More trials than that do not share a card."""
ADAM_COPIES = 4
"""Of each weight there are itself, its gradient and Adam's two moments."""
COUNTED_CLIPS = 2
"""Clips that an estimate runs a network with."""


@dataclass(frozen=True, kw_only=True)
class Peak:
    """What the largest config took of a card while it trained there alone."""

    device: str
    total_bytes: int
    peak_bytes: int
    fits: bool
    """False where even the whole card was too little."""


def limit_memory(num_trials: int) -> None:
    """Hold this process to its share of its card, if it has one: torch's own limit counts allocations alone."""
    if torch.cuda.is_available() and num_trials > 1:
        _, total_bytes = torch.cuda.mem_get_info()
        torch.cuda.set_per_process_memory_fraction(max(share_bytes(total_bytes, num_trials) / total_bytes, 0.01))


def fitting(peak: Peak, at_most: int) -> int:
    """As many trials as have a share that holds the peak and some more: 1 to `at_most`."""
    if not peak.fits:
        return 1
    return max(1, min(at_most, int(peak.total_bytes // (SPARE * peak.peak_bytes + CUDA_CONTEXT_BYTES))))


def known(record: Record, resources: Resources) -> Resources:
    """The resources with the number that was decided in this study; as they are where none was, or one is given."""
    decided = record.notes().get(NOTE)
    if decided is None or resources.trials_per_gpu != "auto":
        return resources
    return resources.model_copy(update={"trials_per_gpu": decided["trials_per_gpu"]})


def decide(ground: Ground, record: Record, share: Slots, say: Callable[[str], None]) -> Resources:
    """The resources with a number for `auto`: decided once per study, on a card of the cluster that this process is
    connected to.
    """
    resources = ground.space.resources
    if resources.trials_per_gpu != "auto" or not share.gpus:
        return resources
    if NOTE not in record.notes():
        params = largest(ground)
        spec = {"params": params, "seed": 0, "data": ground.space.data.model_dump(), "epochs": ground.space.budget.full}
        peak: Peak | None = ray.get(_measure.remote(spec, ground.dataset.digest))
        by_cpu = max(1, int(share.cpus // resources.cpus_per_trial // share.gpus))
        number = 1 if peak is None else fitting(peak, min(by_cpu, MOST))
        record.note(NOTE, {"trials_per_gpu": number, "params": params, "peak": None if peak is None else asdict(peak)})
    say(_said(record.notes()[NOTE], ground))
    return known(record, resources)


def _said(decided: Mapping[str, Any], ground: Ground) -> str:
    number, peak = decided["trials_per_gpu"], decided["peak"]
    if peak is None:
        return f"trials_per_gpu auto: {number}, since no card could be asked"
    varying = {name: decided["params"][name] for name in ground.space.varying if name in decided["params"]}
    card = f"{peak['total_bytes'] / 2**30:.1f} GiB of {peak['device']}"
    if not peak["fits"]:
        return f"trials_per_gpu auto: {number}; the largest config ({named(varying)}) is too large for all {card}"
    needed = f"{peak['peak_bytes'] / 2**30:.2f} of the {card}"
    return f"trials_per_gpu auto: {number}; the largest config ({named(varying)}) took {needed}"


@ray.remote(num_gpus=1, num_cpus=1, max_retries=0)
def _measure(spec: Mapping[str, Any], digest: str) -> Peak | None:
    """Train an epoch of one config alone on a card, its features on it as a trial has them. None without a card."""
    if not torch.cuda.is_available():
        return None
    config, fits = trial_config(spec), True
    try:
        Training(config, open_clips(config, device="cuda", progress=False, digest=digest), "cuda").epoch()
    except torch.OutOfMemoryError:
        fits = False
    return Peak(
        device=torch.cuda.get_device_name(),
        total_bytes=torch.cuda.mem_get_info()[1],
        peak_bytes=torch.cuda.max_memory_reserved(),
        fits=fits,
    )


def largest(ground: Ground) -> dict[str, Any]:
    """The corner of the space that is likely to take the most memory."""
    estimates: dict[Hashable, int] = {}

    def estimate(params: Mapping[str, Any]) -> int:
        config = ground.space.check_params(params)
        shape = clip_shape(config, ground.dataset)
        key = (config.model, shape, config.optimizer.batch_size)
        if key not in estimates:
            estimates[key] = needed_bytes(config, shape, len(ground.dataset.genres))
        return estimates[key]

    return max(corners(ground.space.params), key=estimate)


def needed_bytes(config: TrainingConfig, shape: ClipShape, num_genres: int) -> int:
    """About what a step takes: each tensor that autograd keeps for a batch in fp32, counted on torch's meta device,
    and the weights with what Adam keeps beside them.
    """
    network = on_meta(network_config(config), shape, num_genres)
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[id(tensor)] = tensor
        return tensor

    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits_BG = network(_clips(shape, COUNTED_CLIPS))
        functional.cross_entropy(logits_BG, torch.zeros(COUNTED_CLIPS, dtype=torch.int64))
    weights = {id(weight): weight for weight in network.parameters()}
    kept_bytes = sum(tensor.nbytes for key, tensor in kept.items() if key not in weights)
    weight_bytes = sum(weight.nbytes for weight in weights.values())
    return ADAM_COPIES * weight_bytes + kept_bytes * config.optimizer.batch_size // COUNTED_CLIPS


def _clips(shape: ClipShape, count: int) -> Tensor | tuple[Tensor, Tensor]:
    """Clips of this shape, of no values."""
    picture_BCFT, wave_BS = torch.empty(count, 1, shape.bins, shape.frames), torch.empty(count, shape.samples)
    match shape.modality:
        case "spectrogram":
            return picture_BCFT
        case "raw":
            return wave_BS
        case "both":
            return wave_BS, picture_BCFT
