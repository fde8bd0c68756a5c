"""`trials_per_gpu: auto`: how many trials share a GPU, from the memory that the largest config of the space takes.

The largest config is found by estimates on torch's meta device, where nothing is allocated or computed. It is trained
for an epoch on a GPU of the cluster before the first trial. This file knows Ray, the space with its data, and the
record's note of the result. It must not know samplers or MLflow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import ray
import torch
from ray.exceptions import RayError
from torch import Tensor
from torch.nn import functional

from mgc.clips.clips import open_clips
from mgc.clips.cutting import clip_shape
from mgc.config import ClipShape
from mgc.networks.networks import on_meta, random_clips
from mgc.networks.training_config import TrainingConfig
from mgc.plugins.loading import in_use, use
from mgc.training.training import Training
from mgc.words.errors import ConfigError
from search.execution.ground import Ground
from search.execution.spec import TrialSpec
from search.machines.nodes import cards, cores_per_card
from search.machines.slots import Peak, Slots, trials_that_fit
from search.record.notes import GPU_PEAK
from search.record.record import Record
from search.settings.sections import Resources
from search.space.domains import values
from search.space.params import combinations, ordered, parents_of
from search.words import named

COPIES_OF_WEIGHTS = 4
"""The weight, its gradient and Adam's two moments."""
COUNTED_CLIPS = 2
"""The batch size of the network's run that an estimate makes."""
SAY_EVERY_S = 60.0
WAIT_S = 900.0
"""How long to wait for a whole GPU: other trials may use them all, or a node may have to start."""


def decide_trials_per_gpu(ground: Ground, record: Record, slots: Slots, say: Callable[[str], None]) -> Resources:
    """The resources with a number in place of `auto`, for the connected cluster.

    The record keeps the measured peak. The number is computed from it at each start of the study, since the cluster may
    have changed; on other kinds of GPU the peak is measured again.
    """
    resources = ground.space.resources
    if resources.trials_per_gpu != "auto" or not slots.gpus:
        return resources
    noted = record.noted(GPU_PEAK)
    if noted is None or noted["cards"] != cards():
        params = largest_config(ground)
        varying = {name: params[name] for name in ground.space.varying if name in params}
        say(f"trials_per_gpu auto: an epoch of the largest config ({named(varying)}) shows what memory it needs")
        peak = measure(ground, params, say)
        if isinstance(peak, str):
            say(f"trials_per_gpu auto: 1, since that could not be measured: {peak}")
            return resources.model_copy(update={"trials_per_gpu": 1})
        noted = {"cards": cards(), "peak": asdict(peak)}
        record.note(GPU_PEAK, noted)
    peak = Peak(**noted["peak"])
    number = trials_that_fit(peak, max(1, cores_per_card() // resources.cpus_per_trial))
    took = f"took {peak.peak_bytes / 2**30:.2f}" if peak.fits else "needs more than all"
    card = f"{peak.total_bytes / 2**30:.1f} GiB of {peak.device}"
    say(f"trials_per_gpu auto: {number}; the largest config {took} of the {card}")
    return resources.model_copy(update={"trials_per_gpu": number})


def measure(ground: Ground, params: Mapping[str, Any], say: Callable[[str], None]) -> Peak | str:
    """The memory that one config takes of a GPU, or the reason why it could not be measured."""
    space, digest = ground.space, ground.dataset.digest
    data, epochs = space.data.model_dump(), space.budget.full
    spec = TrialSpec(
        params=params, seed=0, data=data, epochs=epochs, folder="", dataset_digest=digest, plugins=in_use()
    )
    task = _train_an_epoch.remote(spec)
    deadline_s = time.monotonic() + WAIT_S
    try:
        while not ray.wait([task], timeout=min(SAY_EVERY_S, WAIT_S))[0]:
            if time.monotonic() >= deadline_s:
                ray.cancel(task, force=True)
                return f"no GPU was free for {WAIT_S / 60:.0f} min"
            say("trials_per_gpu auto: still waiting for a free GPU")
        peak: Peak | str = ray.get(task)
    except RayError as error:
        return " ".join(str(error).split())[:300]
    return peak


@ray.remote(num_gpus=1, num_cpus=1, max_retries=3)  # a lost node, as for a trial
def _train_an_epoch(spec: TrialSpec) -> Peak | str:
    """Train one config for an epoch, alone on a GPU, with its features on the GPU as in a trial."""
    if not torch.cuda.is_available():
        return "torch sees no GPU there"
    fits = True
    try:
        use(spec.plugins)
        config = spec.config()
        Training(config, open_clips(config, device="cuda", progress=False, digest=spec.dataset_digest), "cuda").epoch()
    except torch.OutOfMemoryError:
        fits = False
    except Exception as error:  # such as a loss that is NaN: only trials of this config fail by it
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Peak(
        device=torch.cuda.get_device_name(),
        total_bytes=torch.cuda.mem_get_info()[1],
        peak_bytes=torch.cuda.max_memory_reserved(),
        fits=fits,
    )


def largest_config(ground: Ground) -> dict[str, Any]:
    """The params that need the most memory by estimate: some of the space, or its reference.

    The search starts at each combination of the params that others depend on, and sets one param after the other to the
    end of its domain that needs more. The estimate leaves out the features, which are on the GPU as well.
    """
    candidates = [climb(ground, start) for start in _starts(ground)]
    if ground.space.reference:
        candidates.append(dict(ground.space.reference))
    return max(candidates, key=lambda params: estimated_bytes(ground, params))


def _starts(ground: Ground) -> Iterator[dict[str, Any]]:
    """A config for each combination of the params that others depend on."""
    order = ordered(ground.space.params)
    parents = parents_of(ground.space.params)
    return combinations(order, lambda name, domain: values(domain) if name in parents else domain.ends()[-1:])


def climb(ground: Ground, start: Mapping[str, Any]) -> dict[str, Any]:
    """The start with each varying param at the end of its domain that needs more memory, except for those that others
    depend on.
    """
    space, chosen = ground.space, dict(start)
    parents = parents_of(space.params)
    for name in (name for name in space.varying if name in chosen and name not in parents):
        domain = space.varying[name].domain
        assert domain is not None
        chosen = max(
            ({**chosen, name: end} for end in domain.ends()), key=lambda params: estimated_bytes(ground, params)
        )
    return chosen


def estimated_bytes(ground: Ground, params: Mapping[str, Any]) -> int:
    """About how many bytes a training step of these params takes; 0 for params that are never trained, since they are
    invalid or their network breaks a limit of the study.
    """
    try:
        config = ground.space.check_params(params)
        if not ground.space.search.objectives.is_feasible(ground.known_metrics(params)):
            return 0
        return step_bytes(config, clip_shape(config, ground.dataset), len(ground.dataset.genres))
    except ConfigError:
        return 0


def step_bytes(config: TrainingConfig, shape: ClipShape, num_genres: int) -> int:
    """Bytes that autograd saves for a batch in fp32, and those of the weights, their gradients and Adam's moments."""
    network = on_meta(config.model, shape, num_genres)
    saved: dict[int, Tensor] = {}

    def save(tensor: Tensor) -> Tensor:
        saved[_storage(tensor)] = tensor
        return tensor

    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        logits_BG = network(random_clips(shape, COUNTED_CLIPS, torch.device("meta")))
        functional.cross_entropy(logits_BG, torch.zeros(COUNTED_CLIPS, dtype=torch.int64))
    weights = {_storage(weight): weight for weight in network.parameters()}
    of_clips = sum(x.untyped_storage().nbytes() for storage, x in saved.items() if storage not in weights)
    of_weights = sum(weight.nbytes for weight in weights.values())
    return COPIES_OF_WEIGHTS * of_weights + of_clips * config.optimizer.batch_size // COUNTED_CLIPS


def _storage(tensor: Tensor) -> int:
    """The address of a tensor's memory. All views of one tensor have the same."""
    address: int = tensor.untyped_storage()._cdata
    return address
