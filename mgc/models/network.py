"""What the config of every network can answer: which pictures it takes, and the network itself. No torch at import."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from mgc.config import ClipShape, ConfigError, ModelConfig

if TYPE_CHECKING:
    from torch import nn

Channels = Annotated[int, Field(ge=1, le=8192)]
"""Maps of a convolution, or units of a dense layer."""

Side = Annotated[int, Field(ge=1, le=256)]
Size = tuple[Side, Side]
"""Rows and columns of a kernel or of a pool's window."""

Share = Annotated[float, Field(ge=0, lt=1)]
"""Of values that dropout sets to 0."""

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu"]
"""What stands between layers, as torch has it."""

Head = Literal["flatten", "average"]
"""What the dense layers get of the last maps: every value, or each map's mean (Lin et al. 2014, sec. 3.2)."""


LayerChannels = Annotated[
    tuple[Channels, ...], Field(min_length=1, max_length=8, description="output channels of each convolution")
]
LayerPools = Annotated[
    tuple[Size, ...], Field(description="rows and columns of the max-pool's window after each convolution")
]
KernelSide = Annotated[Side, Field(description="rows and columns of each kernel")]


class ClipTooShortError(ConfigError):
    """A clip that the network cannot take; `frames` is the shortest that it can."""

    def __init__(self, message: str, frames: int) -> None:
        super().__init__(message, "clip_seconds")
        self.frames = frames


class NetworkConfig(ModelConfig):
    """A model's config that can build its network."""

    rounded: ClassVar[frozenset[str]] = frozenset()
    """Fields whose whole effect shows in the network's repr, so that two values may be one effective network."""
    shown: ClassVar[frozenset[str]] = frozenset()
    """More fields whose whole effect shows there; no two of their values are the same network."""

    @abstractmethod
    def architecture(self, shape: ClipShape, num_genres: int) -> nn.Module:
        """The untrained network, from a batch's `x` to logits (B, genres); weights come from torch's generator."""

    def structure(self) -> Hashable:
        """Equal for configs whose networks are equal: finer than the network is allowed, coarser is not."""
        return self

    def build(self, shape: ClipShape, num_genres: int) -> nn.Module:
        """The network with the weights that training starts from."""
        return self.architecture(shape, num_genres)

    def smallest_picture(self) -> tuple[int, int]:
        """Rows and columns that the network needs at least."""
        return (1, 1)

    def check_shape(self, shape: ClipShape) -> None:
        """Raise a ConfigError for a clip that the network cannot take: ClipTooShortError if a longer one would do."""
        check_waveform(shape)
        rows, columns = self.smallest_picture()
        if shape.rows >= rows and shape.columns >= columns:
            return
        if shape.rows >= rows and shape.picture is None:
            raise ClipTooShortError(
                f"{self.name} needs clips of at least {columns} frames, got {shape.frames}", columns
            )
        raise ConfigError(
            f"{self.name} needs a picture of at least {rows} x {columns} (rows x columns), "
            f"got {shape.rows} x {shape.columns}",
            "picture",
        )


def check_waveform(shape: ClipShape) -> None:
    """Raise a ConfigError if the modality needs samples and there are not enough for the picture's columns."""
    if shape.modality != "spectrogram" and shape.samples < shape.columns:
        has = f"clips of {shape.samples} samples" if shape.samples else "a dataset without waveforms"
        raise ConfigError(
            f"modality {shape.modality} needs a sample for each of {shape.columns} columns, got {has}", "modality"
        )


def check_pools(pools: Sequence[object], channels: Sequence[int]) -> None:
    """Raise a ValueError unless each convolution has a max-pool."""
    if len(pools) != len(channels):
        raise ValueError(f"pools must have one entry per convolution, got {len(pools)} of {len(channels)}")


def pooled(picture: tuple[int, int], pools: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Rows and columns left after these max-pools, each dropping what does not fill a window.

    >>> pooled((513, 130), [(2, 2)] * 5)
    (16, 4)
    """
    rows, columns = spanned(pools)
    return picture[0] // rows, picture[1] // columns


def spanned(pools: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Rows and columns of the picture that come down to one value: the smallest picture that these max-pools take."""
    rows, columns = zip(*pools, strict=True)
    return prod(rows), prod(columns)
