"""Residual CNN on the spectrogram, the waveform or both (Benito Calvino and Pacheco Garcia).

Their rebuilding of nnet2 of Zhang, Lei, Xu and Xing, "Improved Music Genre Classification with Convolutional Neural
Networks" (Interspeech 2016), to compare inputs: only the first convolution differs with the modality. Section V gives
the layers, section IV the data (FMA small; its "4048" samples of window are 2048, as its 1025 bins say).

The paper's: 256 maps of shape [1, T'], for both inputs 128 + 128; T' is three frames shorter than the picture (977
to 974), so the first kernel spans all bins and 4 frames; the output of the first layer is added to that of the third;
global max and average pooling, concatenated (512); three dense layers; batch norm, then ELU, after each layer but the
last; optionally dropout after those. Figure 2 (the other kernels) is not at hand, so chosen here: kernels of 4 in the
second and third layer with zeros that keep T', as in Zhang et al.; for the waveform strides of one hop and a kernel
that spans the same samples as 4 frames (5 hops), with the zeros of a centered STFT at both ends, so that T' is the
same; 300 and 150 units in the dense layers. "Magnitude" is taken in dB.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from mgc.config import ClipShape
from mgc.models.network import Channels, NetworkConfig, Share

if TYPE_CHECKING:
    from torch import nn


class ResidualConfig(NetworkConfig):
    """Hyperparameters of the residual CNN; defaults are the paper's where it gives them."""

    name: ClassVar[str] = "residual"
    paper: ClassVar[Mapping[str, Any]] = {
        "sr": 44_100,
        "spectrogram": "stft_db",
        "n_fft": 2048,
        "hop_length": 1024,
        "clip_seconds": 3.0,
        "clip_overlap": 0.5,
        "vote": "sum",
        "batch_size": 50,
        "optimizer": "adam",
        "lr": 5e-4,
    }

    num_maps: Annotated[
        int, Field(ge=2, le=8192, multiple_of=2, description="maps of each convolution; half for each of both inputs")
    ] = 256
    first_kernel: Annotated[int, Field(ge=1, le=64, description="frames that the first kernel spans")] = 4
    kernel_size: Annotated[int, Field(ge=1, le=64, description="frames that the other two kernels span")] = 4
    units: Annotated[tuple[Channels, Channels], Field(description="units of the first two dense layers")] = (300, 150)
    dropout: Annotated[
        Share, Field(description="share dropped after each layer but the last dense one (the paper tried 0.2)")
    ] = 0.0

    def smallest_picture(self) -> tuple[int, int]:
        return 1, max(2, self.first_kernel)

    def build(self, shape: ClipShape, num_genres: int) -> nn.Module:
        from torch import nn

        from mgc.models.layers import GlobalMaxAndMean, Residual

        block = Residual(self._activated(self._first(shape)), self._next(), self._next())
        inputs = (2 * self.num_maps, self.units[0])
        dense = [self._dense(*widths) for widths in zip(inputs, self.units, strict=True)]
        return nn.Sequential(block, GlobalMaxAndMean(), *dense, nn.Linear(self.units[-1], num_genres))

    def _first(self, shape: ClipShape) -> nn.Module:
        """The convolution that differs with the modality: maps of shape [1, T'] from any."""
        from mgc.models.layers import ByModality, WholeColumns

        maps = self.num_maps // shape.channels
        return ByModality(
            wave=None if shape.modality == "spectrogram" else WholeColumns(shape, maps, self.first_kernel, of="wave"),
            picture=None if shape.modality == "raw" else WholeColumns(shape, maps, self.first_kernel, of="picture"),
        )

    def _next(self) -> nn.Module:
        from mgc.models.layers import same_conv

        return self._activated(same_conv(self.num_maps, self.num_maps, (1, self.kernel_size), bias=False))

    def _activated(self, convolution: nn.Module) -> nn.Module:
        """The convolution with what follows it: batch norm, ELU, dropout."""
        from torch import nn

        from mgc.models.dropout import Dropout

        return nn.Sequential(convolution, nn.BatchNorm2d(self.num_maps), nn.ELU(), Dropout(self.dropout))

    def _dense(self, inputs: int, units: int) -> nn.Module:
        from torch import nn

        from mgc.models.dropout import Dropout
        from mgc.models.layers import BatchNorm

        return nn.Sequential(nn.Linear(inputs, units, bias=False), BatchNorm(units), nn.ELU(), Dropout(self.dropout))
