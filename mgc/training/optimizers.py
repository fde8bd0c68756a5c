"""torch's optimizers and learning-rate schedules, by their names in a config."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR

from mgc.config import OptimizerConfig


def build_optimizer(config: OptimizerConfig, model: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    """The config's optimizer for all weights of the model, as one fused kernel on devices that have one."""
    weights, fused = list(model.parameters()), device.type in ("cpu", "cuda")
    betas = (config.beta1, config.beta2)
    match config.optimizer:
        case "adam":
            return torch.optim.Adam(
                weights, config.lr, betas, config.eps, weight_decay=config.weight_decay, fused=fused
            )
        case "adamw":
            return torch.optim.AdamW(
                weights, config.lr, betas, config.eps, weight_decay=config.weight_decay, fused=fused
            )
        case "sgd":
            return torch.optim.SGD(
                weights, config.lr, momentum=config.beta1, weight_decay=config.weight_decay, fused=fused
            )


def build_schedule(
    config: OptimizerConfig, optimizer: torch.optim.Optimizer, epochs: int, steps_per_epoch: int
) -> LRScheduler | None:
    """The schedule of the learning rate over so many epochs, for a call after each step; None for a constant rate.

    Warm-up is linear and starts at lr / (warm-up steps + 1). One-cycle does not change the momentum.
    """
    num_steps, num_warm = epochs * steps_per_epoch, config.warmup_epochs * steps_per_epoch
    if config.schedule == "one_cycle":
        return OneCycleLR(optimizer, config.lr, total_steps=num_steps, cycle_momentum=False)
    warm_up = LinearLR(optimizer, 1 / (num_warm + 1), total_iters=num_warm) if num_warm else None
    if config.schedule == "constant":
        return warm_up
    cosine = CosineAnnealingLR(optimizer, num_steps - num_warm)
    return cosine if warm_up is None else SequentialLR(optimizer, [warm_up, cosine], [num_warm])
