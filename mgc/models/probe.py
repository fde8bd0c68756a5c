"""A probe: a small head on embeddings that a pretrained network computed, whose weights stay as they are.

Embeddings are vectors over time, or one for a track (mgc.datasets.precomputed). They are standardized by the param
`normalize: band`, as the rows of every picture are. Without dense layers the probe is linear (Alain and Bengio 2017):
logistic regression on the pooled embeddings. Of a picture of audio it reads statistics of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from mgc.config import ClipShape
from mgc.models.network import Activation, Channels, NetworkConfig, Share

if TYPE_CHECKING:
    from torch import nn

Pooling = Literal["mean", "max", "mean_max", "mean_deviation"]


class ProbeConfig(NetworkConfig):
    """Hyperparameters of the probe."""

    name: ClassVar[str] = "probe"
    paper: ClassVar[Mapping[str, Any]] = {"clip_seconds": 30.0, "clips_per_track": 1}
    rounded: ClassVar[frozenset[str]] = frozenset({"activation"})  # of no effect without layers
    shown: ClassVar[frozenset[str]] = frozenset({"pooling", "layers", "dropout"})

    pooling: Annotated[Pooling, Field(description="what becomes of the frames: one statistic over time, or two")] = (
        "mean"
    )
    layers: Annotated[
        tuple[Channels, ...],
        Field(max_length=2, description="units of each dense layer; none is logistic regression"),
    ] = ()
    activation: Annotated[Activation, Field(description="after each dense layer")] = "relu"
    dropout: Annotated[Share, Field(description="share of values dropped before each dense layer and the last one")] = (
        0.0
    )

    def build(self, shape: ClipShape, num_genres: int) -> nn.Module:
        from torch import nn

        from mgc.models.dropout import Dropout
        from mgc.models.layers import FrontEnd, PoolTime, activation

        pool = PoolTime(self.pooling)
        sizes = (pool.num_values * shape.channels * shape.rows, *self.layers)
        drop = [Dropout(self.dropout)] if self.dropout else []
        dense = [
            layer
            for before, after in zip(sizes, self.layers, strict=False)
            for layer in (*drop, nn.Linear(before, after), activation(self.activation))
        ]
        return nn.Sequential(FrontEnd(shape), pool, *dense, *drop, nn.Linear(sizes[-1], num_genres))
