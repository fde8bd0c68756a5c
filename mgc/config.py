"""The sections of a training's config that do not depend on its model: features, clips, augmentation, optimizer, data.

Hyperparameters come as one flat table (`{"r": 16, "lr": 0.001, ...}`). Each section below owns some of its keys; the
config of a model (mgc.models) is one more section, which this file does not know. mgc.networks.training_config puts
them together. Nothing here imports torch: a space file is checked in milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from mgc.words.errors import ConfigError, config_error

SplitPolicy = Literal["artist", "track", "clip", "fault_filtered", "last_ten", "given"]
Modality = Literal["spectrogram", "raw", "both"]
Vote = Literal["none", "sum", "majority"]


class Section(BaseModel):
    """A frozen group of keys; unknown keys and values of the wrong type are errors, never converted silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        return tuple(cls.model_fields)

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """The section with these values; a ConfigError names the first key that breaks a rule."""
        try:
            return cls.model_validate({key: _immutable(value) for key, value in values.items()})
        except ValidationError as error:
            raise config_error(error.errors()[0], cls.keys()) from None

    def changed(self, **values: Any) -> Self:
        """The section with other values of some keys, checked as in `checked`."""
        return self.checked({**self.model_dump(), **values})


def _immutable(value: Any) -> Any:
    """Lists become tuples, so that a config can be frozen and hashed."""
    return tuple(_immutable(item) for item in value) if isinstance(value, list | tuple) else value


class FeatureConfig(Section):
    """The features of a track, which are computed before any model sees them. Names as in librosa.

    A plug-in's feature is a subclass, see mgc.features.registry.
    """

    plugin: ClassVar[str | None] = None
    """The digest of the plug-in that it is from; None for the shipped ones."""

    sr: Annotated[int, Field(ge=1000, le=192_000, description="sampling rate in Hz to which audio is resampled")] = (
        22_050
    )
    modality: Annotated[Modality, Field(description="what the model hears: the picture, the waveform, or both")] = (
        "spectrogram"
    )
    spectrogram: Annotated[
        Literal["stft_db", "log_mel", "embedding"],
        Field(description="picture: STFT magnitude in dB, mel power in dB, or embeddings over time, of an .npz"),
    ] = "log_mel"
    n_fft: Annotated[int, Field(ge=16, le=65_536, description="STFT window in samples")] = 2048
    hop_length: Annotated[int, Field(ge=1, le=65_536, description="samples between frames")] = 512
    n_mels: Annotated[int, Field(ge=1, le=1024, description="mel bands (log_mel only)")] = 64
    fmin: Annotated[float, Field(ge=0, description="lowest mel frequency in Hz (log_mel only)")] = 0.0
    fmax: Annotated[float | None, Field(gt=0, description="highest mel frequency in Hz; null is sr / 2")] = None
    dims: Annotated[
        int | None,
        Field(ge=1, le=65_536, description="values of an embedding (embedding only; a study has the file's)"),
    ] = None
    normalize: Annotated[
        Literal["none", "band", "track"],
        Field(description="what gets mean 0, deviation 1: band: each bin over the training clips; track: each picture"),
    ] = "band"

    @model_validator(mode="after")
    def _frequencies_in_order(self) -> Self:
        top = self.fmax if self.fmax is not None else self.sr / 2
        if self.fmin >= top:
            raise ConfigError(f"fmin must be below fmax, got {self.fmin:g} >= {top:g}", tied=("fmin", "fmax"))
        if self.hop_length > self.n_fft and self.plugin is None:
            raise ConfigError(
                f"hop_length must be <= n_fft, got {self.hop_length} > {self.n_fft}", tied=("hop_length", "n_fft")
            )
        return self

    @model_validator(mode="after")
    def _dims_of_embeddings(self) -> Self:
        if (self.spectrogram == "embedding") != (self.dims is not None):
            rule = "a number beside spectrogram embedding" if self.dims is None else "null"
            raise ConfigError(f"dims must be {rule}, got {self.dims or 'null'}", tied=("dims", "spectrogram"))
        return self

    @property
    def bins(self) -> int:
        """Rows of the picture."""
        if self.dims is not None:
            return self.dims
        return self.n_mels if self.spectrogram == "log_mel" else 1 + self.n_fft // 2


class ClipConfig(Section):
    """Which windows of a track the model sees.

    Without `clip_overlap` they are `clips_per_track` clips, spread evenly. With it they are every clip of the grid with
    that overlap (19 of a 30 s track at 3 s and 0.5), or with `random_clips` so many clips of the grid, drawn once for
    each track. With `random_offset` training uses as many clips, but they start anywhere in the track, at starts that
    are drawn for each epoch.
    """

    clip_seconds: Annotated[float, Field(gt=0, le=600, description="length of a clip in s")] = 3.0
    clips_per_track: Annotated[
        int, Field(ge=1, le=1000, description="number of clips of a track, spread evenly over it")
    ] = 10
    clip_overlap: Annotated[
        float | None,
        Field(ge=0, lt=1, description="share of a clip that the next one overlaps; all clips of a track are used then"),
    ] = None
    random_clips: Annotated[
        int | None,
        Field(ge=1, le=1000, description="use only so many of the overlapping clips, drawn at random for each track"),
    ] = None
    random_offset: Annotated[
        bool,
        Field(description="training clips start anywhere in their track, drawn anew in each epoch"),
    ] = False
    picture: Annotated[
        tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] | None,
        Field(description="rows and columns that a clip's picture is resized to; null keeps bins x frames"),
    ] = None
    vote: Annotated[Vote, Field(description="how clip predictions become a track's")] = "sum"

    @model_validator(mode="after")
    def _random_of_a_grid(self) -> Self:
        if self.random_clips is not None and self.clip_overlap is None:
            raise ConfigError(
                "random_clips needs clip_overlap (they are drawn from the overlapping clips), got null",
                tied=("random_clips", "clip_overlap"),
            )
        return self


class AugmentConfig(Section):
    """How training clips are changed at random in each epoch; clips of validation and test are not changed.

    Masks are those of SpecAugment (Park et al. 2019); their greatest width is a share of the picture, as in its sequel
    (2020). Mixup is that of Zhang et al. (2018). Gain and noise are for the waveform, because a picture's decibels are
    relative.
    """

    time_masks: Annotated[
        int, Field(ge=0, le=20, description="SpecAugment: number of masks that hide frames of a clip; 0 is off")
    ] = 0
    time_mask_width: Annotated[float, Field(gt=0, le=1, description="widest time mask, as a share of the clip")] = 0.1
    freq_masks: Annotated[
        int, Field(ge=0, le=20, description="SpecAugment: number of masks that hide frequency bins; 0 is off")
    ] = 0
    freq_mask_width: Annotated[
        float, Field(gt=0, le=1, description="widest frequency mask, as a share of the picture")
    ] = 0.2
    mixup_alpha: Annotated[
        float,
        Field(
            ge=0, le=10, description="mixup: pairs of clips are mixed, with a weight from Beta(alpha, alpha); 0 is off"
        ),
    ] = 0.0
    gain_db: Annotated[
        float, Field(ge=0, le=60, description="waveforms become up to so many dB louder or softer; 0 is off")
    ] = 0.0
    noise_snr_db: Annotated[
        float | None,
        Field(
            ge=-20, le=100, description="signal-to-noise ratio in dB of white noise added to the waveform; null is off"
        ),
    ] = None

    @property
    def needs_picture(self) -> dict[str, Any]:
        """The keys that are on and change pictures, with their values."""
        return {key: getattr(self, key) for key in ("time_masks", "freq_masks") if getattr(self, key)}

    @property
    def needs_waveform(self) -> dict[str, Any]:
        """The keys that are on and change waveforms, with their values."""
        gain = {"gain_db": self.gain_db} if self.gain_db else {}
        return gain if self.noise_snr_db is None else {**gain, "noise_snr_db": self.noise_snr_db}


class OptimizerConfig(Section):
    """The optimizer and the learning rate.

    The learning rate follows its schedule step by step over all epochs: `constant`; `cosine`, down to 0 (Loshchilov and
    Hutter 2017); or `one_cycle`, up from lr / 25 in three tenths of the steps, then down to almost 0 (Smith and Topin
    2018). Before the first two it rises to lr in a line over `warmup_epochs`.
    """

    batch_size: Annotated[int, Field(ge=1, le=8192, description="clips per training step")] = 32
    optimizer: Annotated[Literal["adam", "adamw", "sgd"], Field(description="update rule")] = "adam"
    lr: Annotated[float, Field(gt=0, le=10, description="learning rate")] = 1e-3
    beta1: Annotated[float, Field(ge=0, lt=1, description="Adam's first moment decay; SGD's momentum")] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1, description="Adam's second moment decay")] = 0.999
    eps: Annotated[float, Field(gt=0, le=1, description="Adam's epsilon")] = 1e-8
    schedule: Annotated[
        Literal["constant", "cosine", "one_cycle"], Field(description="how the learning rate moves over the budget")
    ] = "constant"
    warmup_epochs: Annotated[
        int, Field(ge=0, le=1000, description="epochs in which the learning rate rises to lr; one_cycle has its own")
    ] = 0
    weight_decay: Annotated[float, Field(ge=0, le=1, description="L2 penalty (decoupled for adamw)")] = 0.0
    label_smoothing: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="label smoothing: share of a label that is spread over all genres (Szegedy et al. 2016)",
        ),
    ] = 0.0
    l1_penalty: Annotated[
        float, Field(ge=0, le=1, description="L1 penalty: factor of the sum of absolute weights in the loss")
    ] = 0.0
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        Field(description="number format of the arithmetic; auto decides once per study"),
    ] = "auto"

    @model_validator(mode="after")
    def _one_way_up(self) -> Self:
        if self.schedule == "one_cycle" and self.warmup_epochs:
            raise ConfigError(
                f"warmup_epochs must be 0 beside schedule one_cycle, got {self.warmup_epochs}",
                tied=("warmup_epochs", "schedule"),
            )
        return self


def read_ratios(text: Any) -> Any:
    """Ratios from a text, as papers write them: "75/25" has no validation part. Another value stays as it is.

    >>> read_ratios("60/10/30"), read_ratios("75/25")
    ((60, 10, 30), (75, 0, 25))
    """
    if not isinstance(text, str):
        return text
    if not re.fullmatch(r"\d+/(\d+/)?\d+", text):
        raise ValueError(f"must be train/validation/test or train/test, as in 60/10/30, got {text!r}")
    train, *validation, test = map(int, text.split("/"))
    return train, *(validation or [0]), test


RATIOS_SCHEMA = {
    "anyOf": [
        {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 3, "maxItems": 3},
        {"type": "string", "pattern": r"^\d+/(\d+/)?\d+$"},
    ],
    "description": "train, validation, test in parts: 60/10/30 or [60, 10, 30]; 75/25 takes 10 % of train to validate",
}


class DataConfig(Section):
    """The dataset, and how it is divided into train, validation and test."""

    dataset: Annotated[str, Field(min_length=1, description="name, folder or .npz; gtzan:PATH is a copy of GTZAN")] = (
        "synthetic"
    )
    split: Annotated[SplitPolicy, Field(description="policy that divides the tracks")] = "artist"
    ratios: Annotated[
        tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]],
        BeforeValidator(read_ratios),
        WithJsonSchema(RATIOS_SCHEMA),
    ] = (60, 10, 30)
    folds: Annotated[int | None, Field(ge=2, le=100, description="number of folds; null splits by ratios")] = None
    fold: Annotated[int | None, Field(ge=0, description="which fold validates")] = None
    split_seed: Annotated[int, Field(ge=0, description="seed of the division")] = 0

    @model_validator(mode="after")
    def _fold_of_folds(self) -> Self:
        if self.folds is None and self.fold is not None:
            raise ConfigError(f"fold needs folds, got fold {self.fold} without it", tied=("fold", "folds"))
        if self.folds is not None and self.fold is not None and self.fold >= self.folds:
            raise ConfigError(f"fold must be < folds, got {self.fold} of {self.folds}", tied=("fold", "folds"))
        return self


SHARED_SECTIONS: tuple[type[Section], ...] = (FeatureConfig, ClipConfig, AugmentConfig, OptimizerConfig)
"""The sections that every training has, whatever its model."""
SHARED_KEYS = ("model", "seed", "fold", *(key for section in SHARED_SECTIONS for key in section.keys()))
"""Every hyperparameter that is none of a model's own."""


@dataclass(frozen=True, kw_only=True)
class ClipShape:
    """One clip as a model gets it: a picture of `bins` x `frames`, a waveform of `samples`.

    For modality `raw` a batch has waveforms only; `bins` and `frames` are then those of the clip's picture if it had
    one. `samples` is 0 if the dataset has no waveforms. The model's front end resizes pictures to `picture` (rows,
    columns); None keeps their size.
    """

    modality: Modality
    bins: int
    frames: int
    samples: int
    picture: tuple[int, int] | None

    @property
    def rows(self) -> int:
        """Rows of the picture that the network sees."""
        return self.picture[0] if self.picture else self.bins

    @property
    def columns(self) -> int:
        """Columns of the picture that the network sees."""
        return self.picture[1] if self.picture else self.frames

    @property
    def channels(self) -> int:
        """Channels of the picture that the network sees: the spectrogram, the waveform's picture, or both."""
        return 2 if self.modality == "both" else 1
