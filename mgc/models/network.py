"""What every model's config can do: check the shape of a clip, and build its network. No torch at import."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from mgc.config import ClipShape, Section
from mgc.words.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

Channels = Annotated[int, Field(ge=1, le=8192)]
"""Maps of a convolution, or units of a dense layer."""

Side = Annotated[int, Field(ge=1, le=256)]
Size = tuple[Side, Side]
"""Rows and columns of a kernel or of a pool's window."""

Share = Annotated[float, Field(ge=0, lt=1)]
"""A share of values that dropout sets to 0."""

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu"]
"""The activation between layers, as torch has it."""

Head = Literal["flatten", "average"]
"""The input of the dense layers: every value of the last maps, or each map's mean (Lin et al. 2014, sec. 3.2)."""

LayerChannels = Annotated[
    tuple[Channels, ...], Field(min_length=1, max_length=8, description="output channels of each convolution")
]
LayerPools = Annotated[
    tuple[Size, ...], Field(description="rows and columns of the max-pool's window after each convolution")
]
KernelSide = Annotated[Side, Field(description="rows and columns of each kernel")]


class ClipTooShortError(ConfigError):
    """A clip is too short for the network; `frames` is the length of the shortest clip that it takes."""

    def __init__(self, message: str, frames: int) -> None:
        super().__init__(message, "clip_seconds")
        self.frames = frames


class PictureTooSmallError(ConfigError):
    """A clip's picture is too small for the network, whose smallest has `rows` x `columns`."""

    def __init__(self, message: str, rows: int, columns: int) -> None:
        super().__init__(message, "picture")
        self.rows, self.columns = rows, columns


class NetworkConfig(Section):
    """A model's own hyperparameters, with the paper's values as defaults, and the network that they make."""

    name: ClassVar[str]
    paper: ClassVar[Mapping[str, Any]] = {}
    """The paper's values for keys of the shared sections, where they differ from the defaults there."""
    rounded: ClassVar[frozenset[str]] = frozenset()
    """Fields whose whole effect is visible in the network's repr; two of their values may give the same network."""
    shown: ClassVar[frozenset[str]] = frozenset()
    """More fields whose whole effect is visible there; each of their values gives another network."""
    plugin: ClassVar[str | None] = None
    """The digest of the plug-in that it is from; None for a shipped model."""

    @abstractmethod
    def build(self, shape: ClipShape, num_genres: int) -> nn.Module:
        """The untrained network, from a batch's `x` to logits (B, genres). torch's generator draws the weights."""

    def structure(self) -> Hashable:
        """A key of the network's structure: configs with equal keys must have equal networks.

        Equal networks may have different keys; then they are built more often than necessary.
        """
        return self

    def initial(self, shape: ClipShape, num_genres: int) -> nn.Module:
        """The network with its initial weights, which may be pretrained."""
        return self.build(shape, num_genres)

    def smallest_picture(self) -> tuple[int, int]:
        """The least number of rows and of columns that the network takes."""
        return (1, 1)

    def check_shape(self, shape: ClipShape) -> None:
        """Raise a ConfigError for a clip that the network cannot take: ClipTooShortError if it takes a longer one,
        PictureTooSmallError if it takes one of more rows, or a larger `picture`.
        """
        check_waveform(shape)
        rows, columns = self.smallest_picture()
        if shape.rows >= rows and shape.columns >= columns:
            return
        if shape.rows >= rows and shape.picture is None:
            raise ClipTooShortError(
                f"{self.name} needs clips of at least {columns} frames, got {shape.frames}", columns
            )
        raise PictureTooSmallError(
            f"picture must be at least {rows} x {columns} (rows x columns) for {self.name}, "
            f"got {shape.rows} x {shape.columns}",
            rows,
            columns,
        )


def check_waveform(shape: ClipShape) -> None:
    """Raise a ConfigError if the modality needs a waveform that has fewer samples than the picture has columns."""
    if shape.modality != "spectrogram" and shape.samples < shape.columns:
        has = f"clips of {shape.samples} samples" if shape.samples else "a dataset without waveforms"
        raise ConfigError(
            f"modality {shape.modality} needs a sample for each of {shape.columns} columns, got {has}", "modality"
        )


def check_pools(pools: Sequence[object], channels: Sequence[int]) -> None:
    """Raise a ConfigError unless each convolution has a max-pool."""
    if len(pools) != len(channels):
        raise ConfigError(
            f"pools must have one entry per convolution, got {len(pools)} of {len(channels)}", tied=("pools",)
        )


def pooled(picture: tuple[int, int], pools: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Rows and columns after these max-pools. A pool drops the rest that does not fill a window.

    >>> pooled((513, 130), [(2, 2)] * 5)
    (16, 4)
    """
    rows, columns = spanned(pools)
    return picture[0] // rows, picture[1] // columns


def spanned(pools: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Rows and columns of the smallest picture that these max-pools take: they reduce it to one value."""
    rows, columns = zip(*pools, strict=True)
    return prod(rows), prod(columns)
