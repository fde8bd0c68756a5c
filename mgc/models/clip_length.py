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
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from mgc.config import ClipShape
from mgc.models.network import (
    Activation,
    Channels,
    Head,
    KernelSide,
    LayerChannels,
    LayerPools,
    NetworkConfig,
    Share,
    check_pools,
    pooled,
    spanned,
)
from mgc.words.errors import ConfigError

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


class ConvolutionsConfig(NetworkConfig):
    """What the CRNN and its convolutional half share: blocks of convolution, activation, batch norm, pool, dropout."""

    paper: ClassVar[Mapping[str, Any]] = PAPER
    shown: ClassVar[frozenset[str]] = frozenset({"num_blocks", "batch_norm", "activation"})

    channels: LayerChannels
    pools: LayerPools
    num_blocks: Annotated[
        int | None, Field(ge=1, le=8, description="how many of the convolutions there are; null is all")
    ] = None
    kernel_size: KernelSide = 3
    batch_norm: Annotated[bool, Field(description="batch norm after each convolution's activation")] = True
    activation: Annotated[Activation, Field(description="after each convolution")] = "elu"
    dropout: Annotated[Share, Field(description="share of values dropped after each pool")] = 0.1

    @model_validator(mode="after")
    def _pool_per_convolution(self) -> Self:
        check_pools(self.pools, self.channels)
        if self.num_blocks is not None and self.num_blocks > len(self.channels):
            raise ConfigError(
                f"num_blocks must be <= {len(self.channels)} (the channels), got {self.num_blocks}",
                tied=("num_blocks", "channels"),
            )
        return self

    def smallest_picture(self) -> tuple[int, int]:
        return spanned(self.pools[: self.num_blocks])

    def maps(self, shape: ClipShape) -> tuple[int, int, int]:
        """Channels, rows and columns that the last convolution leaves."""
        channels = self.channels[: self.num_blocks]
        return (channels[-1], *pooled((shape.rows, shape.columns), self.pools[: self.num_blocks]))

    def convolutions(self, shape: ClipShape) -> nn.Sequential:
        """The front end and the blocks."""
        from torch import nn

        from mgc.models.layers import FrontEnd, activation, conv_block

        widths = pairwise((shape.channels, *self.channels[: self.num_blocks]))
        blocks = [
            conv_block(
                inputs,
                outputs,
                kernel=(self.kernel_size, self.kernel_size),
                pool=pool,
                activation=activation(self.activation),
                batch_norm="after" if self.batch_norm else "none",
                dropout=self.dropout,
            )
            for (inputs, outputs), pool in zip(widths, self.pools, strict=False)  # as many as there are blocks
        ]
        return nn.Sequential(FrontEnd(shape), *blocks)


class CRNNConfig(ConvolutionsConfig):
    """Hyperparameters of the CRNN; defaults are Nasrullah and Zhao's."""

    name: ClassVar[str] = "crnn"

    channels: LayerChannels = (64, 128, 128, 128)
    pools: LayerPools = ((2, 2), (4, 2), (4, 2), (4, 2))
    gru_units: Annotated[Channels, Field(description="units of each GRU layer")] = 32
    gru_layers: Annotated[int, Field(ge=1, le=8, description="GRU layers, one on the other")] = 2
    gru_dropout: Annotated[Share, Field(description="share of the last GRU layer's units dropped")] = 0.3

    def build(self, shape: ClipShape, num_genres: int) -> nn.Module:
        from torch import nn

        from mgc.models.dropout import Dropout
        from mgc.models.layers import ColumnSequence, LastState

        channels, rows, _ = self.maps(shape)
        return nn.Sequential(
            self.convolutions(shape),
            ColumnSequence(),
            LastState(channels * rows, self.gru_units, self.gru_layers),
            Dropout(self.gru_dropout),
            nn.Linear(self.gru_units, num_genres),
        )


class CRNNCNNConfig(ConvolutionsConfig):
    """Hyperparameters of the convolutional half; defaults are the author's code's."""

    name: ClassVar[str] = "crnn_cnn"
    shown: ClassVar[frozenset[str]] = ConvolutionsConfig.shown | {"head"}

    channels: LayerChannels = (64, 128, 128)
    pools: LayerPools = ((2, 2), (4, 2), (4, 2))
    head: Annotated[Head, Field(description="what the dense layers get: every value of the last maps, or means")] = (
        "flatten"
    )
    units: Annotated[Channels, Field(description="units of the dense layer")] = 128

    def build(self, shape: ClipShape, num_genres: int) -> nn.Module:
        from torch import nn

        from mgc.models.layers import flat

        vector, width = flat(self.head, self.maps(shape))
        dense = nn.Linear(width, self.units), nn.Linear(self.units, num_genres)
        return nn.Sequential(self.convolutions(shape), vector, *dense)


class CRNNRNNConfig(NetworkConfig):
    """Hyperparameters of the recurrent half; defaults are the author's code's."""

    name: ClassVar[str] = "crnn_rnn"
    paper: ClassVar[Mapping[str, Any]] = {**PAPER, "clip_seconds": 5.0}
    """5 s was the best length for it."""

    lstm_units: Annotated[Channels, Field(description="units of each LSTM layer")] = 128
    lstm_layers: Annotated[int, Field(ge=1, le=8, description="LSTM layers, one on the other")] = 3
    dropout: Annotated[Share, Field(description="share of each LSTM layer's inputs dropped")] = 0.3
    units: Annotated[Channels, Field(description="units of the dense layer")] = 128

    def build(self, shape: ClipShape, num_genres: int) -> nn.Module:
        from torch import nn

        from mgc.models.layers import ColumnSequence, FrontEnd, LSTMLayer

        widths = pairwise((shape.channels * shape.rows, *[self.lstm_units] * self.lstm_layers))
        layers = [
            LSTMLayer(features, units, dropout=self.dropout, last_only=number == self.lstm_layers)
            for number, (features, units) in enumerate(widths, start=1)
        ]
        dense = nn.Linear(self.lstm_units, self.units), nn.Linear(self.units, num_genres)
        return nn.Sequential(FrontEnd(shape), ColumnSequence(), *layers, *dense)
