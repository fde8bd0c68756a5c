"""`trials_per_gpu: auto`: the largest config is trained for an epoch on a card of the cluster before the first trial.

The measured peak is kept in the record, the number is made of it at each start: the cores, or the cards, may be others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from mgc.clips import open_clips
from mgc.train import Training
from search.answer import named
from search.largest import largest
from search.nodes import cards, cores_per_card
from search.prepare import Ground, trial_config
from search.record import Record
from search.sharing import Peak, trials_that_fit
from search.study import Resources, Slots

NOTE = "gpu_peak"
SAY_EVERY_S = 60.0
WAIT_S = 900.0
"""How long a whole card is waited for: others may hold shares of them all, or a node may have to be started."""


def decided(ground: Ground, record: Record, slots: Slots, say: Callable[[str], None]) -> Resources:
    """The resources with a number in place of `auto`, on the cluster that this process is connected to."""
    resources = ground.space.resources
    if resources.trials_per_gpu != "auto" or not slots.gpus:
        return resources
    known = record.notes().get(NOTE)
    if known is None or known["cards"] != cards():
        params = largest(ground)
        varying = {name: params[name] for name in ground.space.varying if name in params}
        say(f"trials_per_gpu auto: an epoch of the largest config ({named(varying)}) is trained on a card")
        peak = measured(ground, params, say)
        if isinstance(peak, str):
            say(f"trials_per_gpu auto: 1, since that could not be measured: {peak}")
            return resources.model_copy(update={"trials_per_gpu": 1})
        known = {"cards": cards(), "peak": asdict(peak)}
        record.note(NOTE, known)
    peak = Peak(**known["peak"])
    number = trials_that_fit(peak, max(1, cores_per_card() // resources.cpus_per_trial))
    took = f"took {peak.peak_bytes / 2**30:.2f}" if peak.fits else "needs more than all"
    card = f"{peak.total_bytes / 2**30:.1f} GiB of {peak.device}"
    say(f"trials_per_gpu auto: {number}; the largest config {took} of the {card}")
    return resources.model_copy(update={"trials_per_gpu": number})


def measured(ground: Ground, params: Mapping[str, Any], say: Callable[[str], None]) -> Peak | str:
    """The peak of one config on a card, or why there is none."""
    spec = {"params": params, "seed": 0, "data": ground.space.data.model_dump(), "epochs": ground.space.budget.full}
    task = _measure.remote(spec, ground.dataset.digest)
    until = time.monotonic() + WAIT_S
    try:
        while not ray.wait([task], timeout=min(SAY_EVERY_S, WAIT_S))[0]:
            if time.monotonic() >= until:
                ray.cancel(task, force=True)
                return f"no card was free for {WAIT_S / 60:.0f} min"
            say("trials_per_gpu auto: still waiting for a card that is free")
        found: Peak | str = ray.get(task)
    except RayError as error:
        return " ".join(str(error).split())[:300]
    return found


@ray.remote(num_gpus=1, num_cpus=1, max_retries=3)  # a lost node, as for a trial
def _measure(spec: Mapping[str, Any], digest: str) -> Peak | str:
    """Train an epoch of one config alone on a card, its features on it as a trial has them."""
    if not torch.cuda.is_available():
        return "torch sees no card there"
    fits = True
    try:
        config = trial_config(spec)
        Training(config, open_clips(config, device="cuda", progress=False, digest=digest), "cuda").epoch()
    except torch.OutOfMemoryError:
        fits = False
    except Exception as error:  # such as a diverged loss; a trial would fail alone
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Peak(
        device=torch.cuda.get_device_name(),
        total_bytes=torch.cuda.mem_get_info()[1],
        peak_bytes=torch.cuda.max_memory_reserved(),
        fits=fits,
    )
