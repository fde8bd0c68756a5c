"""Shallow CNN: two parallel convolutions, one reading along frequency, one along time (Herbert 2023).

His rebuilding of Schindler, Lidy and Rauber, "Comparing Shallow versus Deep Neural Network Architectures for Automatic
Music Genre Classification" (2016); figure 1 and sections IV and V give the numbers, section IX.B the batch norm.

How a clip is 80 x 80 (mel bands x frames) "of approximately 0.93 s" with windows of 1024 samples and steps of half of
that: 80 steps of 512 samples are 0.93 s at 44,100 Hz, Schindler's sampling rate. GTZAN is stored at 22,050 Hz, where
the same clip has 41 frames. So tracks are resampled to 44,100 Hz here (the bands above 11 kHz stay silent for GTZAN)
and `clip_seconds` is 0.928, the paper's 0.93 less the one sample that would make frame 81. `picture` holds the network
to 80 x 80 whatever the features: a clip of another size is stretched, one of this size passes untouched.

Not given: where the dropout stands (after the 200 units here, as in Schindler's) and how biases start (at 0 here).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from mgc.config import ClipShape
from mgc.models.network import Channels, NetworkConfig, Share, Size, pooled

if TYPE_CHECKING:
    from torch import nn


class ShallowConfig(NetworkConfig):
    """Hyperparameters of the shallow CNN; defaults are the paper's."""

    name: ClassVar[str] = "shallow"
    paper: ClassVar[Mapping[str, Any]] = {
        "sr": 44_100,
        "spectrogram": "log_mel",
        "n_fft": 1024,
        "hop_length": 512,
        "n_mels": 80,
        "clip_seconds": 0.928,
        "clip_overlap": 0.5,
        "random_clips": 15,
        "picture": (80, 80),
        "batch_size": 64,
        "optimizer": "adam",
        "lr": 5e-5,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "l1_penalty": 1e-4,
    }

    shown: ClassVar[frozenset[str]] = frozenset({"conv_dropout"})

    num_maps: Annotated[Channels, Field(description="kernels of each of the two convolutions")] = 16
    upper_kernel: Annotated[Size, Field(description="rows and columns of the kernels that read frequency")] = (10, 23)
    upper_pool: Annotated[Size, Field(description="max-pool after them: leaves rows, pools columns")] = (1, 20)
    lower_kernel: Annotated[Size, Field(description="rows and columns of the kernels that read time")] = (21, 20)
    lower_pool: Annotated[Size, Field(description="max-pool after them: pools rows, leaves columns")] = (20, 1)
    units: Annotated[Channels, Field(description="units of the dense layer")] = 200
    dropout: Annotated[Share, Field(description="share of the dense layer's units dropped")] = 0.1
    slope: Annotated[float, Field(ge=0, lt=1, description="Leaky ReLU's slope below 0 (alpha)")] = 0.3
    batch_norm: Annotated[bool, Field(description="batch norm after each convolution (section IX.B)")] = False
    conv_dropout: Annotated[Share, Field(description="share of values dropped after each max-pool")] = 0.0
    initialization: Annotated[
        Literal["he_normal", "torch"], Field(description="start of the weights: He's Gaussian, or torch's default")
    ] = "he_normal"

    def smallest_picture(self) -> tuple[int, int]:
        rows, columns = zip(self.upper_pool, self.lower_pool, strict=True)
        return max(rows), max(columns)

    def dense_inputs(self, shape: ClipShape) -> int:
        """Values that both pipelines hand to the dense layer: 10,240 at 80 x 80."""
        pools = (self.upper_pool, self.lower_pool)
        return self.num_maps * sum(prod(pooled((shape.rows, shape.columns), [pool])) for pool in pools)

    def build(self, shape: ClipShape, num_genres: int) -> nn.Module:
        from torch import nn

        from mgc.models.dropout import Dropout
        from mgc.models.layers import FrontEnd, Parallel, he_normal_

        network = nn.Sequential(
            FrontEnd(shape),
            Parallel(
                self._pipeline(shape.channels, self.upper_kernel, self.upper_pool),
                self._pipeline(shape.channels, self.lower_kernel, self.lower_pool),
            ),
            nn.Linear(self.dense_inputs(shape), self.units),
            nn.LeakyReLU(self.slope),
            Dropout(self.dropout),
            nn.Linear(self.units, num_genres),
        )
        if self.initialization == "he_normal":
            he_normal_(network, self.slope)
        return network

    def _pipeline(self, channels_in: int, kernel: tuple[int, int], pool: tuple[int, int]) -> nn.Sequential:
        """Convolution, batch norm if chosen, Leaky ReLU, max-pool, dropout; flattened."""
        from torch import nn

        from mgc.models.dropout import Dropout
        from mgc.models.layers import same_conv

        norm = [nn.BatchNorm2d(self.num_maps)] if self.batch_norm else []
        conv = same_conv(channels_in, self.num_maps, kernel)
        drop = [Dropout(self.conv_dropout)] if self.conv_dropout else []
        return nn.Sequential(conv, *norm, nn.LeakyReLU(self.slope), nn.MaxPool2d(pool), *drop, nn.Flatten())
