"""SE-CNN: five convolutions, each followed by a squeeze-and-excitation block (De Clara and Delpero 2023).

Their rebuilding of Xu and Zhou, "Deep music genres classification model based on CNN with Squeeze & Excitation Block"
(APSIPA 2020), whose Bayesian search over r in 50 trials found 31.43; the rebuilding compares r = 8, 16, 32 and the
positions of the blocks by hand. Table 4.1 gives the layers. Not given: the padding (1 here: sizes halve exactly at
each pool), the batch size (32 here, Keras's default) and the number of epochs.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator

from mgc.config import ClipShape
from mgc.models.network import Activation, Channels, Head, KernelSide, NetworkConfig, Share, Side, pooled, spanned

if TYPE_CHECKING:
    from torch import nn

NUM_BLOCKS = 5

Position = Annotated[int, Field(ge=1, le=NUM_BLOCKS)]


class SECNNConfig(NetworkConfig):
    """Hyperparameters of SE-CNN; defaults are table 4.1."""

    name: ClassVar[str] = "se_cnn"
    paper: ClassVar[Mapping[str, Any]] = {
        "sr": 22_050,
        "spectrogram": "stft_db",
        "n_fft": 1024,
        "hop_length": 512,
        "clip_seconds": 3.0,
        "clip_overlap": 0.5,
        "batch_size": 32,
        "optimizer": "adam",
        "lr": 1e-3,
    }
    rounded: ClassVar[frozenset[str]] = frozenset({"r"})
    shown: ClassVar[frozenset[str]] = frozenset({"num_blocks", "batch_norm", "activation", "head", "dense_dropout"})

    channels: Annotated[
        tuple[Channels, Channels, Channels, Channels, Channels],
        Field(description="output channels of the five convolutions"),
    ] = (32, 64, 128, 256, 128)
    num_blocks: Annotated[int, Field(ge=1, le=NUM_BLOCKS, description="how many of the convolutions there are")] = (
        NUM_BLOCKS
    )
    r: Annotated[float, Field(ge=1, le=8192, description="reduction ratio of the SE blocks' bottleneck")] = 16.0
    se_blocks: Annotated[
        tuple[Position, ...], Field(description="convolutions, counted from 1, that an SE block follows; may be empty")
    ] = (1, 2, 3, 4, 5)
    batch_norm: Annotated[bool, Field(description="batch norm between each convolution and its activation")] = False
    activation: Annotated[Activation, Field(description="after each convolution")] = "relu"
    dropout: Annotated[Share, Field(description="share of values dropped after each pool")] = 0.25
    head: Annotated[Head, Field(description="what the dense layer gets: every value of the last maps, or means")] = (
        "flatten"
    )
    dense_dropout: Annotated[Share, Field(description="share of values dropped before the dense layer")] = 0.0
    kernel_size: KernelSide = 3
    pool_size: Annotated[Side, Field(description="rows and columns of each max-pool's window")] = 2

    @field_validator("se_blocks")
    @classmethod
    def _in_order(cls, se_blocks: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(se_blocks)) < len(se_blocks):
            raise ValueError(f"must name each block once, got {list(se_blocks)}")
        return tuple(sorted(se_blocks))

    def smallest_picture(self) -> tuple[int, int]:
        return spanned(self._pools())

    def build(self, shape: ClipShape, num_genres: int) -> nn.Module:
        from torch import nn

        from mgc.models.dropout import Dropout
        from mgc.models.layers import FrontEnd, flat

        channels = self.channels[self.num_blocks - 1]
        vector, width = flat(self.head, (channels, *pooled((shape.rows, shape.columns), self._pools())))
        inputs = (shape.channels, *self.channels[:-1])
        blocks = [self._block(number, inputs[number - 1]) for number in range(1, self.num_blocks + 1)]
        drop = [Dropout(self.dense_dropout)] if self.dense_dropout else []
        return nn.Sequential(FrontEnd(shape), *blocks, vector, *drop, nn.Linear(width, num_genres))

    def structure(self) -> Hashable:
        """Of r the network shows only what it makes of it."""
        sizes = tuple(hidden_size(self.channels[number - 1], self.r) for number in self.se_blocks)
        return self.model_copy(update={"r": 1.0}), sizes

    def _pools(self) -> list[tuple[int, int]]:
        return [(self.pool_size, self.pool_size)] * self.num_blocks

    def _block(self, number: int, channels_in: int) -> nn.Sequential:
        """Block `number`, counted from 1: convolution, activation, max-pool, dropout and, if chosen, SE."""
        from mgc.models.layers import SqueezeExcitation, activation, conv_block

        channels = self.channels[number - 1]
        block = conv_block(
            channels_in,
            channels,
            kernel=(self.kernel_size, self.kernel_size),
            pool=(self.pool_size, self.pool_size),
            activation=activation(self.activation),
            batch_norm="before" if self.batch_norm else "none",
            dropout=self.dropout,
        )
        if number in self.se_blocks:
            block.append(SqueezeExcitation(channels, hidden_size(channels, self.r)))
        return block


def hidden_size(channels: int, r: float) -> int:
    """Units of the SE block's bottleneck, at least 1: the integer part of channels / r (Hu et al. 2018, sec. 3.2).

    >>> [hidden_size(128, r) for r in (16, 31.43, 32, 200)]
    [8, 4, 4, 1]
    """
    return max(1, int(channels / r))
