"""Training speed of the SE-CNN on one core (or the GPU), beside a plain PyTorch loop and the chip's matrix rate."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.figure import Figure
from mgc.clips.clips import Batch, Clips
from mgc.config import ClipShape, DataConfig
from mgc.networks.networks import build_model
from mgc.networks.training_config import TrainingConfig, training_config
from mgc.training import memory
from mgc.training.device import choose_precision
from mgc.training.training import Training

SHAPES = {"log_mel 64x65": ("log_mel", 64, 65), "stft_db 513x130": ("stft_db", 513, 130)}


class RandomClips(Clips):
    """As many random clips as asked for, in memory: what a store gives, without one."""

    def __init__(self, shape: ClipShape, count: int, device: str = "cpu") -> None:
        self.shape, self.genres, self.count = shape, tuple("abcdefghij"), count
        generator = torch.Generator().manual_seed(0)
        self.x_NFT = torch.rand(count, shape.bins, shape.frames, generator=generator).to(device)
        self.y_N = torch.randint(0, 10, (count,), generator=generator).to(device)

    def num_clips(self, part: str) -> int:
        return self.count

    def batches(self, part: str, batch_size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        for index_B in torch.randperm(self.count, generator=generator).to(self.y_N.device).split(batch_size):
            yield Batch(self.x_NFT[index_B][:, None], self.y_N[index_B], index_B)


def figures(data: str, *, quick: bool) -> Iterator[Figure]:
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = choose_precision(device)
    for name, (spectrogram, bins, frames) in SHAPES.items():
        shape = ClipShape(modality="spectrogram", bins=bins, frames=frames, samples=66_150, picture=None)
        config = training_config(
            {"model": "se_cnn", "spectrogram": spectrogram, "precision": precision}, data=DataConfig(), epochs=1
        )
        count = (64 if quick else 192) if bins > 64 else (320 if quick else 960)
        rounds = 2 if quick else 4
        pairs = [
            (ours_per_s(config, shape, count, device), plain_per_s(config, shape, count, device)) for _ in range(rounds)
        ]
        ours, plain = max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
        yield Figure(
            name=f"SE-CNN training, {name}, {device}, {precision}",
            unit="clips/s",
            ours=ours,
            baseline=plain,
            baseline_name="plain fp32 PyTorch loop with a DataLoader",
            more_is_better=True,
            goal=">= 2x, >= 0.6 of the matrix rate",
            limit=f"{ours * flops_per_clip(config, shape) / matrix_rate(device, precision):.2f} of the matrix rate",
        )


def ours_per_s(config: TrainingConfig, shape: ClipShape, count: int, device: str) -> float:
    training = Training(config, RandomClips(shape, count, device), device)
    training._train()  # kernels are chosen in the first pass
    started = time.perf_counter()
    training._train()
    return count / (time.perf_counter() - started)


def plain_per_s(config: TrainingConfig, shape: ClipShape, count: int, device: str) -> float:
    """As a tutorial writes it: fp32, contiguous, DataLoader, `item()` at every step."""
    memory.give_back()  # ours has just told the process to keep what it frees
    clips = RandomClips(shape, count)
    model = build_model(config, shape, 10)
    model = (model[1] if isinstance(model, nn.Sequential) and len(model) == 2 else model).to(device)
    optimizer = torch.optim.Adam(model.parameters(), config.optimizer.lr)
    loader = DataLoader(TensorDataset(clips.x_NFT[:, None], clips.y_N), config.optimizer.batch_size, shuffle=True)
    for _ in range(2):
        started = time.perf_counter()
        for x_BCFT, y_B in loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x_BCFT.to(device)), y_B.to(device))
            loss.backward()
            optimizer.step()
            loss.item()
        seconds = time.perf_counter() - started
    return count / seconds


def flops_per_clip(config: TrainingConfig, shape: ClipShape) -> float:
    """Operations of forward and backward for one clip."""
    model = build_model(config, shape, 10)
    with FlopCounterMode(display=False) as counter:
        model(torch.rand(2, 1, shape.bins, shape.frames)).sum().backward()
    return counter.get_total_flops() / 2


def matrix_rate(device: str, precision: str) -> float:
    """Operations per second of a large matrix product of this type, the best of several."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    size = 8192 if device == "cuda" else 1536
    a, b = (torch.rand(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        (a @ b).float()[0, 0].item()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
