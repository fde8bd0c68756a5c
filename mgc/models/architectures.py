"""CNNs of three and four layers, with a GRU, and networks pretrained on photographs (Sirek, Zamir, Shtamberger 2021).

Section 2.2 describes them: pictures of 288 x 432, ten clips of 3 s per track, 3 x 3 kernels, ReLU, 2 x 2 max-pools;
the CNN of four layers has twice the filters of the one of three; EfficientNet-B0 with pooling and a linear layer, and
VGG11, both fine-tuned whole. What it leaves open is taken from the authors' notebook (its section 5 points there):
2048-sample windows, 288 mel bands, batches of 16, Adam at 1e-4; 16-32-64 filters and dense layers of 128 and 64 in the
CNN of three; in that of four batch norm, pools of 2, 2, 4 and 8, dropout 0.2 and dense layers of 512 and 256.

Different here: pictures have one channel (two for modality both) instead of the colors of a plot, and the convolutions
of the CNN of three keep the picture's size (the notebook's lose two rows and columns each). Chosen here: the GRUs'
size, and that EfficientNet's maps are averaged over frequency before its GRU reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from mgc.config import ClipShape
from mgc.models.network import (
    Channels,
    ClipTooShortError,
    KernelSide,
    LayerChannels,
    NetworkConfig,
    Share,
    Side,
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
    "n_mels": 288,
    "clip_seconds": 3.0,
    "clips_per_track": 10,
    "picture": (288, 432),
    "batch_size": 16,
    "optimizer": "adam",
    "lr": 1e-4,
}
LONGEST_SEARCHED = 4096
"""The search for the shortest clip that a network of timm takes ends at so many frames."""

SquarePools = Annotated[
    tuple[Side, ...], Field(description="rows and columns of the max-pool's window after each convolution")
]


class CNN3Config(NetworkConfig):
    """Hyperparameters of the CNN of three layers."""

    name: ClassVar[str] = "cnn3"
    paper: ClassVar[Mapping[str, Any]] = PAPER

    channels: LayerChannels = (16, 32, 64)
    pools: SquarePools = (2, 2, 2)
    kernel_size: KernelSide = 3
    batch_norm: Annotated[bool, Field(description="batch norm between each convolution and its ReLU")] = False
    dropout: Annotated[Share, Field(description="share of values dropped before the dense layers")] = 0.0
    units: Annotated[tuple[Channels, ...], Field(description="units of the dense layers before the last")] = (128, 64)

    @model_validator(mode="after")
    def _pool_per_convolution(self) -> Self:
        check_pools(self.pools, self.channels)
        return self

    def smallest_picture(self) -> tuple[int, int]:
        return spanned(self._windows())

    def build(self, shape: ClipShape, num_genres: int) -> nn.Module:
        from torch import nn

        from mgc.models.layers import FrontEnd

        maps = (self.channels[-1], *pooled((shape.rows, shape.columns), self._windows()))
        reader, width = self._reader(maps)
        blocks = [self._block(number, shape.channels) for number in range(len(self.channels))]
        return nn.Sequential(FrontEnd(shape), *blocks, reader, *self._dense(width, num_genres))

    def _windows(self) -> list[tuple[int, int]]:
        return [(side, side) for side in self.pools]

    def _block(self, number: int, picture_channels: int) -> nn.Module:
        from torch import nn

        from mgc.models.layers import conv_block

        return conv_block(
            self.channels[number - 1] if number else picture_channels,
            self.channels[number],
            kernel=(self.kernel_size, self.kernel_size),
            pool=self._windows()[number],
            activation=nn.ReLU(),
            batch_norm="before" if self.batch_norm else "none",
        )

    def _reader(self, maps: tuple[int, int, int]) -> tuple[nn.Module, int]:
        """The module that makes a vector of the last maps (channels, rows, columns), and the vector's length."""
        from torch import nn

        return nn.Flatten(), prod(maps)

    def _dense(self, width: int, num_genres: int) -> list[nn.Module]:
        from torch import nn

        from mgc.models.dropout import Dropout

        hidden = [layer for pair in pairwise((width, *self.units)) for layer in (nn.Linear(*pair), nn.ReLU())]
        return [Dropout(self.dropout), *hidden, nn.Linear((width, *self.units)[-1], num_genres)]


class CNN4Config(CNN3Config):
    """Hyperparameters of the CNN of four layers."""

    name: ClassVar[str] = "cnn4"

    channels: LayerChannels = (32, 64, 128, 256)
    pools: SquarePools = (2, 2, 4, 8)
    batch_norm: Annotated[bool, Field(description="batch norm between each convolution and its ReLU")] = True
    dropout: Annotated[Share, Field(description="share of values dropped before the dense layers")] = 0.2
    units: Annotated[tuple[Channels, ...], Field(description="units of the dense layers before the last")] = (512, 256)


class CNN4GRUConfig(CNN4Config):
    """Hyperparameters of the CNN of four layers whose maps a GRU reads along time."""

    name: ClassVar[str] = "cnn4_gru"

    gru_units: Annotated[Channels, Field(description="units of the GRU")] = 128

    def _reader(self, maps: tuple[int, int, int]) -> tuple[nn.Module, int]:
        from torch import nn

        from mgc.models.layers import ColumnSequence, LastState

        channels, rows, _ = maps
        return nn.Sequential(ColumnSequence(), LastState(channels * rows, self.gru_units)), self.gru_units


class TimmConfig(NetworkConfig):
    """Hyperparameters of any network of timm (`timm/<name>`), with timm's own pooling and linear layer on top."""

    name: ClassVar[str]
    paper: ClassVar[Mapping[str, Any]] = PAPER

    pretrained: Annotated[
        bool, Field(description="start from ImageNet weights, as the paper does; needs timm's cache, a file or the net")
    ] = False
    weights: Annotated[
        str | None, Field(min_length=1, description=".safetensors or .pth state dict to start from; null is timm's own")
    ] = None

    @model_validator(mode="after")
    def _weights_to_start_from(self) -> Self:
        if self.weights is not None and not self.pretrained:
            raise ConfigError("weights needs pretrained: true, got false", tied=("weights", "pretrained"))
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by name: the classes of `timm/<name>` are made at run time."""
        return unpickle, (self.name, self.model_dump())

    @classmethod
    def timm_name(cls) -> str:
        return cls.name.removeprefix("timm/")

    def build(self, shape: ClipShape, num_genres: int) -> nn.Module:
        from mgc.models.timm_models import untrained

        network = untrained(self.timm_name(), shape.channels, **self._timm_head(num_genres))
        return self._around(network, shape, num_genres)

    def initial(self, shape: ClipShape, num_genres: int) -> nn.Module:
        if not self.pretrained:
            return self.build(shape, num_genres)
        from mgc.models.timm_models import trained

        network = trained(self.timm_name(), shape.channels, self.weights, **self._timm_head(num_genres))
        return self._around(network, shape, num_genres)

    def check_shape(self, shape: ClipShape) -> None:
        """As for every network, but by trying: timm's networks do not say which pictures they take."""
        super().check_shape(shape)
        reason = self._refusal(shape)
        if reason is None:
            return
        frames = None if shape.picture else shortest_frames(self, shape)
        if frames is not None:
            raise ClipTooShortError(f"{self.name} needs clips of at least {frames} frames, got {shape.frames}", frames)
        raise ConfigError(
            f"{self.name} cannot take a picture of {shape.rows} x {shape.columns} (rows x columns): {reason}", "picture"
        )

    def _refusal(self, shape: ClipShape) -> str | None:
        """Why the network cannot take these pictures; None if it can. Run without values, on torch's meta device."""
        import torch

        from mgc.models.timm_models import first_line, untrained

        with torch.device("meta"):
            network = untrained(self.timm_name(), shape.channels, num_classes=1).eval()
            try:
                network(torch.empty(2, shape.channels, shape.rows, shape.columns))
            except (RuntimeError, AssertionError, ValueError) as error:
                return first_line(error)
        return None

    def _timm_head(self, num_genres: int) -> dict[str, Any]:
        """timm's arguments for the layers on top of the network."""
        return {"num_classes": num_genres}

    def _around(self, network: Any, shape: ClipShape, num_genres: int) -> nn.Module:
        """timm's network with the front end before it, and after it the layers that timm does not have."""
        from torch import nn

        from mgc.models.layers import FrontEnd

        return nn.Sequential(FrontEnd(shape), network)


class EfficientNetB0Config(TimmConfig):
    """Hyperparameters of EfficientNet-B0."""

    name: ClassVar[str] = "efficientnet_b0"


class VGG11Config(TimmConfig):
    """Hyperparameters of VGG11."""

    name: ClassVar[str] = "vgg11"


class EfficientNetB0GRUConfig(TimmConfig):
    """Hyperparameters of EfficientNet-B0 whose maps, averaged over frequency, a GRU reads along time."""

    name: ClassVar[str] = "efficientnet_b0_gru"

    gru_units: Annotated[Channels, Field(description="units of the GRU")] = 128

    @classmethod
    def timm_name(cls) -> str:
        return "efficientnet_b0"

    def _timm_head(self, num_genres: int) -> dict[str, Any]:
        return {"num_classes": 0, "global_pool": ""}

    def _around(self, network: Any, shape: ClipShape, num_genres: int) -> nn.Module:
        from torch import nn

        from mgc.models.layers import ColumnSequence, FrontEnd, LastState, MeanOfRows

        reader = nn.Sequential(MeanOfRows(), ColumnSequence(), LastState(network.num_features, self.gru_units))
        return nn.Sequential(FrontEnd(shape), network, reader, nn.Linear(self.gru_units, num_genres))


@cache
def timm_class(name: str) -> type[TimmConfig]:
    """The config class of `timm/<name>`. A name that timm does not know is an error later: in a check or a build."""
    return type("TimmConfig", (TimmConfig,), {"name": name, "__module__": __name__, "__doc__": f"`{name}`."})


def unpickle(name: str, fields: Mapping[str, Any]) -> TimmConfig:
    """A pickled config of one of timm's networks."""
    named: dict[str, type[TimmConfig]] = {
        model.name: model for model in (EfficientNetB0Config, EfficientNetB0GRUConfig, VGG11Config)
    }
    return (named.get(name) or timm_class(name))(**fields)


def shortest_frames(model: TimmConfig, shape: ClipShape) -> int | None:
    """Frames of the shortest clip, longer than this one, that the network takes; None if there is none."""
    too_short, enough = shape.frames, shape.frames
    while model._refusal(with_frames(shape, enough)) is not None:
        too_short, enough = enough, 2 * enough
        if enough > LONGEST_SEARCHED:
            return None
    while enough - too_short > 1:
        middle = (too_short + enough) // 2
        if model._refusal(with_frames(shape, middle)) is None:
            enough = middle
        else:
            too_short = middle
    return enough


def with_frames(shape: ClipShape, frames: int) -> ClipShape:
    """The same clip at another length in frames."""
    return ClipShape(
        modality=shape.modality, bins=shape.bins, frames=frames, samples=shape.samples, picture=shape.picture
    )
