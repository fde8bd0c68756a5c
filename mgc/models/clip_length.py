"""A CRNN and its two halves, compared over the length of the clips (Yenney, "Comparing CNNs and RNNs for Music Genre
Recognition").

The whole is Nasrullah and Zhao, "Music Artist Classification with Convolutional Recurrent Neural Networks" (2019):
four 3 x 3 convolutions of 64, 128, 128 and 128 filters, each with ELU, batch norm, max-pool (2 x 2, then 4 x 2) and
dropout 0.1; two GRU layers of 32 units, dropout 0.3. Left out is the batch norm of its input, since pictures come
scaled to [0, 1] here. The paper did not run it.

The halves, as the author's own code has them (section 2.2 gives no sizes): the convolutional one stops after three
convolutions, then flattens into a dense layer of 128 units without activation; the recurrent one has three LSTM layers
of 128 units, each with dropout 0.3 before and batch norm after it, then the same dense layer.

Clips of 1, 5, 15 and 30 s, one per track, at 22,050 Hz and 128 mel bands (librosa's own windows of 2048 samples, hops
of 512); Adam, 30 epochs. Some tracks of GTZAN are shorter than 30 s, which is why the author cut 30 s to 29. Not
given: learning rate and batch size (Keras's defaults, 1e-3 and 32).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from mgc.config import ClipShape
from mgc.models.network import Channels, NetworkConfig, Share, Side, Size, pooled, spanned

if TYPE_CHECKING:
    from torch import nn

PAPER: Mapping[str, Any] = {
    "sr": 22_050,
    "spectrogram": "log_mel",
    "n_fft": 2048,
    "hop_length": 512,
    "n_mels": 128,
    "clip_seconds": 29.0,
    "clips_per_track": 1,
    "batch_size": 32,
    "optimizer": "adam",
    "lr": 1e-3,
}


class CRNNConfig(NetworkConfig):
    """Hyperparameters of the CRNN; defaults are Nasrullah and Zhao's."""

    name: ClassVar[str] = "crnn"
    paper: ClassVar[Mapping[str, Any]] = PAPER

    channels: Annotated[
        tuple[Channels, ...], Field(min_length=1, max_length=8, description="output channels of each convolution")
    ] = (64, 128, 128, 128)
    pools: Annotated[
        tuple[Size, ...], Field(description="rows and columns of the max-pool's window after each convolution")
    ] = ((2, 2), (4, 2), (4, 2), (4, 2))
    kernel_size: Annotated[Side, Field(description="rows and columns of each kernel")] = 3
    dropout: Annotated[Share, Field(description="share of values dropped after each pool")] = 0.1
    gru_units: Annotated[Channels, Field(description="units of each GRU layer")] = 32
    gru_layers: Annotated[int, Field(ge=1, le=8, description="GRU layers, one on the other")] = 2
    gru_dropout: Annotated[Share, Field(description="share of the last GRU layer's units dropped")] = 0.3

    @model_validator(mode="after")
    def _pool_per_convolution(self) -> Self:
        check_pools(self.pools, self.channels)
        return self

    def smallest_picture(self) -> tuple[int, int]:
        return spanned(self.pools)

    def architecture(self, shape: ClipShape, num_genres: int) -> nn.Module:
        from torch import nn

        from mgc.models.layers import ColumnSequence, LastState

        rows, _ = pooled((shape.rows, shape.columns), self.pools)
        return nn.Sequential(
            convolutions(shape, self.channels, self.pools, kernel_size=self.kernel_size, dropout=self.dropout),
            ColumnSequence(),
            LastState(self.channels[-1] * rows, self.gru_units, self.gru_layers),
            nn.Dropout(self.gru_dropout),
            nn.Linear(self.gru_units, num_genres),
        )


class CRNNCNNConfig(NetworkConfig):
    """Hyperparameters of the convolutional half; defaults are the author's code's."""

    name: ClassVar[str] = "crnn_cnn"
    paper: ClassVar[Mapping[str, Any]] = PAPER

    channels: Annotated[
        tuple[Channels, ...], Field(min_length=1, max_length=8, description="output channels of each convolution")
    ] = (64, 128, 128)
    pools: Annotated[
        tuple[Size, ...], Field(description="rows and columns of the max-pool's window after each convolution")
    ] = ((2, 2), (4, 2), (4, 2))
    kernel_size: Annotated[Side, Field(description="rows and columns of each kernel")] = 3
    dropout: Annotated[Share, Field(description="share of values dropped after each pool")] = 0.1
    units: Annotated[Channels, Field(description="units of the dense layer")] = 128

    @model_validator(mode="after")
    def _pool_per_convolution(self) -> Self:
        check_pools(self.pools, self.channels)
        return self

    def smallest_picture(self) -> tuple[int, int]:
        return spanned(self.pools)

    def architecture(self, shape: ClipShape, num_genres: int) -> nn.Module:
        from torch import nn

        width = self.channels[-1] * prod(pooled((shape.rows, shape.columns), self.pools))
        return nn.Sequential(
            convolutions(shape, self.channels, self.pools, kernel_size=self.kernel_size, dropout=self.dropout),
            nn.Flatten(),
            nn.Linear(width, self.units),
            nn.Linear(self.units, num_genres),
        )


class CRNNRNNConfig(NetworkConfig):
    """Hyperparameters of the recurrent half; defaults are the author's code's."""

    name: ClassVar[str] = "crnn_rnn"
    paper: ClassVar[Mapping[str, Any]] = {**PAPER, "clip_seconds": 5.0}
    """5 s was the best length for it."""

    lstm_units: Annotated[Channels, Field(description="units of each LSTM layer")] = 128
    lstm_layers: Annotated[int, Field(ge=1, le=8, description="LSTM layers, one on the other")] = 3
    dropout: Annotated[Share, Field(description="share of each LSTM layer's inputs dropped")] = 0.3
    units: Annotated[Channels, Field(description="units of the dense layer")] = 128

    def architecture(self, shape: ClipShape, num_genres: int) -> nn.Module:
        from torch import nn

        from mgc.models.layers import ColumnSequence, FrontEnd, LSTMLayer

        widths = pairwise((shape.channels * shape.rows, *[self.lstm_units] * self.lstm_layers))
        layers = [
            LSTMLayer(features, units, dropout=self.dropout, last_only=number == self.lstm_layers)
            for number, (features, units) in enumerate(widths, start=1)
        ]
        dense = nn.Linear(self.lstm_units, self.units), nn.Linear(self.units, num_genres)
        return nn.Sequential(FrontEnd(shape), ColumnSequence(), *layers, *dense)


def check_pools(pools: tuple[tuple[int, int], ...], channels: tuple[int, ...]) -> None:
    """Raise a ValueError (pydantic's way) unless each convolution has its pool."""
    if len(pools) != len(channels):
        raise ValueError(f"pools must have one entry per convolution, got {len(pools)} of {len(channels)}")


def convolutions(
    shape: ClipShape,
    channels: tuple[int, ...],
    pools: tuple[tuple[int, int], ...],
    *,
    kernel_size: int,
    dropout: float,
) -> nn.Sequential:
    """The front end and the blocks of convolution, ELU, batch norm, max-pool and dropout that both CNNs share."""
    from torch import nn

    from mgc.models.layers import FrontEnd, conv_block

    blocks = [
        conv_block(
            inputs,
            outputs,
            kernel=(kernel_size, kernel_size),
            pool=pool,
            activation=nn.ELU(),
            batch_norm="after",
            dropout=dropout,
        )
        for (inputs, outputs), pool in zip(pairwise((shape.channels, *channels)), pools, strict=True)
    ]
    return nn.Sequential(FrontEnd(shape), *blocks)
