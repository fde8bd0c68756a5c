"""The torch modules that the models share: those that make pictures of a batch, and those that read pictures.

A model's config imports this file only when it builds a network, so that a space file is checked without torch.

Shapes: B clips, C channels, F rows (frequency), T columns (time), S samples, D features of a column, H hidden units.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mgc.config import ClipShape
from mgc.models.dropout import Dropout
from mgc.models.network import Activation, Head

Batch = Tensor | tuple[Tensor, Tensor]
"""A model's input: x_BCFT for modality spectrogram, wave_BS for raw, (wave_BS, x_BCFT) for both."""


class ByModality(nn.Module):
    """One module for the waveform, one for the picture, the outputs of both stacked as channels; None where unused."""

    def __init__(self, *, wave: nn.Module | None, picture: nn.Module | None) -> None:
        super().__init__()
        self.wave = wave
        self.picture = picture

    def forward(self, x: Batch) -> Tensor:
        if self.wave is not None and self.picture is not None:
            wave_BS, x_BCFT = x
            return torch.cat((self.wave(wave_BS), self.picture(x_BCFT)), dim=1)
        only = self.picture if self.wave is None else self.wave
        assert only is not None
        maps_BCFT: Tensor = only(x)
        return maps_BCFT


class Standardize(nn.Module):
    """Brings every frequency bin of the picture to mean 0 and deviation 1 over the training clips; not the waveform.

    Pictures come in [0, 1], all positive: with them a deep network without batch norm learns nothing in its first
    epochs. The statistics are buffers, so they are saved with the weights; before `fit` nothing changes.
    """

    mean_F1: Tensor
    deviation_F1: Tensor

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.register_buffer("mean_F1", torch.zeros(bins, 1))
        self.register_buffer("deviation_F1", torch.ones(bins, 1))

    def fit(self, mean_F: Tensor, deviation_F: Tensor) -> None:
        """Use these statistics. A constant bin is only centered."""
        self.mean_F1.copy_(mean_F[:, None])
        self.deviation_F1.copy_(torch.where(deviation_F > 1e-4, deviation_F, 1.0)[:, None])

    def forward(self, x: Batch) -> Batch:
        if isinstance(x, tuple):
            wave_BS, x_BCFT = x
            return wave_BS, (x_BCFT - self.mean_F1) / self.deviation_F1
        return (x - self.mean_F1) / self.deviation_F1


class FrontEnd(ByModality):
    """Any modality as a picture x_BCFT of `shape.channels` x `shape.rows` x `shape.columns`."""

    def __init__(self, shape: ClipShape) -> None:
        super().__init__(
            wave=None if shape.modality == "spectrogram" else LearnedPicture(shape),
            picture=None if shape.modality == "raw" else Resize(shape.rows, shape.columns),
        )


class Resize(nn.Module):
    """The picture at another size, bilinear; low-pass filtered where it shrinks, so that nothing aliases."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.size = (rows, columns)

    def forward(self, x_BCFT: Tensor) -> Tensor:
        if x_BCFT.shape[2:] == self.size:
            return x_BCFT
        return functional.interpolate(x_BCFT, self.size, mode="bilinear", align_corners=False, antialias=True)

    def extra_repr(self) -> str:
        return f"rows={self.size[0]}, columns={self.size[1]}"


class PoolTime(nn.Module):
    """Statistics of each row over time: x_BCFT -> x_BV, the values of the first statistic before those of the second.

    `mean_deviation` has the standard deviation (over T, not T - 1: of one frame it is 0).
    """

    def __init__(self, pooling: str) -> None:
        super().__init__()
        self.pooling = pooling
        self.num_values = pooling.count("_") + 1

    def forward(self, x_BCFT: Tensor) -> Tensor:
        return torch.cat([_statistic(name, x_BCFT).flatten(1) for name in self.pooling.split("_")], dim=1)

    def extra_repr(self) -> str:
        return self.pooling


def _statistic(name: str, x_BCFT: Tensor) -> Tensor:
    match name:
        case "mean":
            return x_BCFT.mean(dim=3)
        case "max":
            return x_BCFT.amax(dim=3)
    mean_BCF1 = x_BCFT.mean(dim=3, keepdim=True)
    return (x_BCFT - mean_BCF1).square().mean(dim=3).clamp(min=1e-12).sqrt()


class WaveConv(nn.Module):
    """A strided convolution of the waveform, wave_BS -> x_BCT, cut to a number of columns."""

    def __init__(self, channels: int, columns: int, *, kernel: int, stride: int, padding: int, bias: bool) -> None:
        super().__init__()
        self.columns = columns
        self.conv = nn.Conv1d(1, channels, kernel, stride=stride, padding=padding, bias=bias)

    def forward(self, wave_BS: Tensor) -> Tensor:
        x_BCT: Tensor = self.conv(wave_BS[:, None])
        return x_BCT[:, :, : self.columns]

    def extra_repr(self) -> str:
        return f"columns={self.columns}"


class LearnedPicture(nn.Module):
    """A picture of the waveform by learned filters instead of Fourier's: one row per filter, one column per stride.

    The strided first convolution of end-to-end learning (Dieleman and Schrauwen 2014), with windows of about two
    strides like an STFT with half overlap; then batch norm and ReLU.
    """

    def __init__(self, shape: ClipShape) -> None:
        super().__init__()
        stride = shape.samples // shape.columns
        overlap = stride // 2  # on either side: so there are samples // stride columns, never fewer than shape.columns
        kernel = stride + 2 * overlap
        self.filters = WaveConv(shape.rows, shape.columns, kernel=kernel, stride=stride, padding=overlap, bias=False)
        self.norm = nn.BatchNorm1d(shape.rows)

    def forward(self, wave_BS: Tensor) -> Tensor:
        return functional.relu(self.norm(self.filters(wave_BS)))[:, None]


class WholeColumns(nn.Module):
    """A first convolution that leaves one row: rows x `frames` kernels on the picture, or their like on the waveform.

    Either way [B, maps, 1, columns - frames + 1]. The waveform's stride is one hop and its kernel spans the samples of
    `frames` frames of two hops, frames + 1 hops, with one hop of zeros at both ends like a centered STFT.
    """

    def __init__(self, shape: ClipShape, maps: int, frames: int, *, of: Literal["wave", "picture"]) -> None:
        super().__init__()
        if of == "picture":
            self.conv: nn.Module = nn.Sequential(
                Resize(shape.rows, shape.columns), nn.Conv2d(1, maps, (shape.rows, frames), bias=False)
            )
            return
        hop = shape.samples // (shape.columns - 1)
        columns = shape.columns - frames + 1
        wave = WaveConv(maps, columns, kernel=(frames + 1) * hop, stride=hop, padding=hop, bias=False)
        self.conv = nn.Sequential(wave, nn.Unflatten(1, (maps, 1)))

    def forward(self, x: Tensor) -> Tensor:
        x_BCFT: Tensor = self.conv(x)
        return x_BCFT


class SqueezeExcitation(nn.Module):
    """Channels weighted by what the whole map holds: x * sigmoid(W2 relu(W1 mean(x))) (Hu et al. 2018, sec. 3)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)

    def forward(self, x_BCFT: Tensor) -> Tensor:
        z_BH = functional.relu(self.reduce(mean(x_BCFT, 2, 3)))
        weight_BC = torch.sigmoid(self.expand(z_BH))
        return x_BCFT * weight_BC[:, :, None, None]


class Residual(nn.Module):
    """Three layers, the output of the first added to that of the third."""

    def __init__(self, first: nn.Module, second: nn.Module, third: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.third = third

    def forward(self, x: Batch) -> Tensor:
        x_BCFT: Tensor = self.first(x)
        y_BCFT: Tensor = self.third(self.second(x_BCFT))
        return x_BCFT + y_BCFT


class Parallel(nn.Module):
    """Several branches on the same input, their outputs concatenated: x_BCFT -> x_BD."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x_BCFT: Tensor) -> Tensor:
        return torch.cat([branch(x_BCFT) for branch in self.branches], dim=1)


class GlobalMaxAndMean(nn.Module):
    """Each map's maximum and mean: x_BCFT -> x_BD with D = 2 C."""

    def forward(self, x_BCFT: Tensor) -> Tensor:
        return torch.cat((x_BCFT.amax(dim=(2, 3)), mean(x_BCFT, 2, 3)), dim=1)


class MeanOfMaps(nn.Module):
    """Each map averaged: x_BCFT -> x_BC."""

    def forward(self, x_BCFT: Tensor) -> Tensor:
        return mean(x_BCFT, 2, 3)


class MeanOfRows(nn.Module):
    """Each map averaged over frequency into a single row."""

    def forward(self, x_BCFT: Tensor) -> Tensor:
        return mean(x_BCFT, 2)[:, :, None]


class ColumnSequence(nn.Module):
    """The picture as a sequence of its columns: x_BCFT -> x_BTD, D = C F."""

    def forward(self, x_BCFT: Tensor) -> Tensor:
        return x_BCFT.permute(0, 3, 1, 2).flatten(start_dim=2)


class LastState(nn.Module):
    """The state of GRU layers after the last column: x_BTD -> x_BH."""

    def __init__(self, features: int, units: int, num_layers: int = 1) -> None:
        super().__init__()
        self.gru = nn.GRU(features, units, num_layers=num_layers, batch_first=True)

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_BTH: Tensor = self.gru(x_BTD)[0]
        return x_BTH[:, -1]


class LSTMLayer(nn.Module):
    """Dropout, an LSTM, batch norm over its units: x_BTD -> x_BTH, or with `last_only` x_BH."""

    def __init__(self, features: int, units: int, *, dropout: float, last_only: bool) -> None:
        super().__init__()
        self.last_only = last_only
        self.dropout = Dropout(dropout)
        self.lstm = nn.LSTM(features, units, batch_first=True)
        self.norm = BatchNorm(units)

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_BTH, _ = self.lstm(self.dropout(x_BTD))
        x_BHT = x_BTH.transpose(1, 2)
        normed: Tensor = self.norm(x_BHT[:, :, -1:] if self.last_only else x_BHT)
        return normed[:, :, 0] if self.last_only else normed.transpose(1, 2)

    def extra_repr(self) -> str:
        return f"last_only={self.last_only}"


class BatchNorm(nn.BatchNorm1d):
    """Batch norm that also takes a batch of one clip: this has no variance, so the running statistics are used."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == self.num_features:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def mean(x: Tensor, *dims: int) -> Tensor:
    """The mean of x over these dimensions, without them in the result.

    torch's own mean is slower: its gradient is a tensor of x's size, never in channels_last, instead of a view of one
    value per mean, so that adding it to another gradient takes ten times as long. A sum in float32, which autocast
    makes on a GPU if no type is named, has the same fault. The price is that in bf16 the sum is rounded too.
    """
    return x.sum(dim=dims, dtype=x.dtype) / math.prod(x.shape[dim] for dim in dims)


def activation(name: Activation) -> nn.Module:
    match name:
        case "relu":
            return nn.ReLU()
        case "leaky_relu":
            return nn.LeakyReLU()
        case "elu":
            return nn.ELU()
        case "gelu":
            return nn.GELU()
        case "silu":
            return nn.SiLU()


def flat(head: Head, maps: tuple[int, int, int]) -> tuple[nn.Module, int]:
    """The module that makes a vector of the last maps (channels, rows, columns), and the vector's length."""
    channels, rows, columns = maps
    return (nn.Flatten(), channels * rows * columns) if head == "flatten" else (MeanOfMaps(), channels)


def same_conv(channels_in: int, channels_out: int, kernel: tuple[int, int], *, bias: bool = True) -> nn.Module:
    """A convolution that keeps rows and columns; an even kernel has its odd zero below and right, as in Keras."""
    (top, bottom), (left, right) = ((size // 2 - (size + 1) % 2, size // 2) for size in kernel)
    if (top, left) == (bottom, right):
        return nn.Conv2d(channels_in, channels_out, kernel, padding=(top, left), bias=bias)
    zeros = nn.ZeroPad2d((left, right, top, bottom))
    return nn.Sequential(zeros, nn.Conv2d(channels_in, channels_out, kernel, bias=bias))


def conv_block(
    channels_in: int,
    channels_out: int,
    *,
    kernel: tuple[int, int],
    pool: tuple[int, int],
    activation: nn.Module,
    batch_norm: Literal["none", "before", "after"] = "none",
    dropout: float = 0.0,
) -> nn.Sequential:
    """Convolution that keeps the size, activation, max-pool, dropout; batch norm before or after the activation.

    A ReLU without batch norm after it comes behind the pool, where there are fewer values; the result is the same bit
    for bit.
    """
    norm = [] if batch_norm == "none" else [nn.BatchNorm2d(channels_out)]
    pooled = nn.MaxPool2d(pool)
    if batch_norm == "after":
        middle = [activation, *norm, pooled]
    else:
        middle = [*norm, pooled, activation] if isinstance(activation, nn.ReLU) else [*norm, activation, pooled]
    last = [Dropout(dropout)] if dropout else []
    return nn.Sequential(same_conv(channels_in, channels_out, kernel), *middle, *last)


def he_normal_(network: nn.Module, slope: float) -> None:
    """Draw the weights of convolutions and dense layers from the Gaussian of He et al. (2015) for a Leaky ReLU of this
    slope; set biases to 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, a=slope, nonlinearity="leaky_relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
