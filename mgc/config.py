"""The typed, checked configuration that every training has, whatever its model: features, clips, optimizer, data.

Hyperparameters come as one flat table (`{"r": 16, "lr": 0.001, ...}`); each section below owns some of its keys, the
chosen model's own config (mgc.models) the others. Nothing here imports torch: a space file is checked in milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator
from pydantic_core import ErrorDetails

from mgc.wording import nearest, rule

SplitPolicy = Literal["artist", "track", "clip", "fault_filtered", "last_ten", "given"]
Modality = Literal["spectrogram", "raw", "both"]
Vote = Literal["none", "sum", "majority"]


class ConfigError(ValueError):
    """A user's mistake: which key, which rule, what it got. `key` is the key at fault where there is one."""

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


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


class FeatureConfig(Section):
    """What a track is turned into before any model sees it. Names as in librosa."""

    sr: Annotated[int, Field(ge=1000, le=192_000, description="sampling rate in Hz to which audio is resampled")] = (
        22_050
    )
    modality: Annotated[Modality, Field(description="what the model hears: the picture, the waveform, or both")] = (
        "spectrogram"
    )
    spectrogram: Annotated[
        Literal["stft_db", "log_mel"], Field(description="picture: STFT magnitude in dB, or mel power in dB")
    ] = "log_mel"
    n_fft: Annotated[int, Field(ge=16, le=65_536, description="STFT window in samples")] = 2048
    hop_length: Annotated[int, Field(ge=1, le=65_536, description="samples between frames")] = 512
    n_mels: Annotated[int, Field(ge=1, le=1024, description="mel bands (log_mel only)")] = 64
    fmin: Annotated[float, Field(ge=0, description="lowest mel frequency in Hz (log_mel only)")] = 0.0
    fmax: Annotated[float | None, Field(gt=0, description="highest mel frequency in Hz; null is sr / 2")] = None
    normalize: Annotated[
        Literal["none", "band", "track"],
        Field(
            description="to mean 0, deviation 1: every bin over the training clips, or each track's picture; or none"
        ),
    ] = "band"

    @model_validator(mode="after")
    def _frequencies_in_order(self) -> Self:
        top = self.fmax if self.fmax is not None else self.sr / 2
        if self.fmin >= top:
            raise ValueError(f"fmin must be below fmax, got {self.fmin:g} >= {top:g}")
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length must be <= n_fft, got {self.hop_length} > {self.n_fft}")
        return self

    @property
    def bins(self) -> int:
        """Rows of the picture."""
        return self.n_mels if self.spectrogram == "log_mel" else 1 + self.n_fft // 2


class ClipConfig(Section):
    """Which windows of a track the model sees.

    `clip_overlap` null: `clips_per_track` clips spread evenly. Given: every clip of the grid with that overlap (19 of
    a 30 s track at 3 s and 0.5), or with `random_clips` that many of the grid, drawn once per track. `random_offset`
    leaves a track as many clips to train with, which start anywhere in it, drawn anew for each epoch.
    """

    clip_seconds: Annotated[float, Field(gt=0, le=600, description="length of a clip in s")] = 3.0
    clips_per_track: Annotated[int, Field(ge=1, le=1000, description="clips of a track, spread evenly")] = 10
    clip_overlap: Annotated[
        float | None, Field(ge=0, lt=1, description="share of a clip that the next repeats; takes the whole grid")
    ] = None
    random_clips: Annotated[
        int | None, Field(ge=1, le=1000, description="this many clips of the overlapping grid, drawn per track")
    ] = None
    random_offset: Annotated[
        bool,
        Field(description="clips are trained with from drawn starts, anew each epoch, instead of those of the grid"),
    ] = False
    picture: Annotated[
        tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] | None,
        Field(description="rows and columns that a clip's picture is resized to; null keeps bins x frames"),
    ] = None
    vote: Annotated[Vote, Field(description="how clip predictions become a track's")] = "sum"

    @model_validator(mode="after")
    def _random_of_a_grid(self) -> Self:
        if self.random_clips is not None and self.clip_overlap is None:
            raise ValueError("random_clips needs clip_overlap (the grid that they are drawn from), got null")
        return self


class AugmentConfig(Section):
    """How training clips are changed at random, anew in each epoch; validation and test are heard as they are.

    Masks as in SpecAugment (Park et al. 2019), their greatest width as a share of the picture as in its sequel (2020);
    mixup as in Zhang et al. (2018). Gain and noise are for the waveform: a picture's decibels are relative.
    """

    time_masks: Annotated[int, Field(ge=0, le=20, description="bars of frames that are hidden; 0 is off")] = 0
    time_mask_width: Annotated[
        float, Field(gt=0, le=1, description="most frames that one bar hides, as a share of the clip")
    ] = 0.1
    freq_masks: Annotated[int, Field(ge=0, le=20, description="bars of frequency bins that are hidden; 0 is off")] = 0
    freq_mask_width: Annotated[
        float, Field(gt=0, le=1, description="most bins that one bar hides, as a share of the picture")
    ] = 0.2
    mixup_alpha: Annotated[
        float, Field(ge=0, le=10, description="pairs of clips are mixed by a weight from Beta(alpha, alpha); 0 is off")
    ] = 0.0
    gain_db: Annotated[
        float, Field(ge=0, le=60, description="waveforms are made up to so many dB louder or softer; 0 is off")
    ] = 0.0
    noise_snr_db: Annotated[
        float | None, Field(ge=-20, le=100, description="white noise so many dB below the waveform; null is off")
    ] = None

    @property
    def needs_picture(self) -> dict[str, Any]:
        """The keys in effect that change pictures."""
        return {key: getattr(self, key) for key in ("time_masks", "freq_masks") if getattr(self, key)}

    @property
    def needs_waveform(self) -> dict[str, Any]:
        """The keys in effect that change waveforms."""
        gain = {"gain_db": self.gain_db} if self.gain_db else {}
        return gain if self.noise_snr_db is None else {**gain, "noise_snr_db": self.noise_snr_db}


class OptimizerConfig(Section):
    """How the weights are moved.

    The learning rate follows its schedule step by step over all of the budget's epochs: `constant`, down to 0 on a
    `cosine` (Loshchilov and Hutter 2017), or `one_cycle`, up from lr / 25 in three tenths of the steps, then down to
    almost 0 (Smith and Topin 2018). `warmup_epochs` before the first two go up to lr in a line.
    """

    batch_size: Annotated[int, Field(ge=1, le=8192, description="clips per step")] = 32
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
        float, Field(ge=0, lt=1, description="share of a label that all genres divide (Szegedy et al. 2016)")
    ] = 0.0
    l1_penalty: Annotated[float, Field(ge=0, le=1, description="factor of the sum of absolute weights in the loss")] = (
        0.0
    )
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], Field(description="arithmetic; auto is decided once per study")
    ] = "auto"

    @model_validator(mode="after")
    def _one_way_up(self) -> Self:
        if self.schedule == "one_cycle" and self.warmup_epochs:
            raise ValueError(f"warmup_epochs must be 0 beside schedule one_cycle, got {self.warmup_epochs}")
        return self


def parted(text: Any) -> Any:
    """Ratios as papers write them: "75/25" has no validation part. What is no text stays as it is.

    >>> parted("60/10/30"), parted("75/25")
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
    """Which tracks, and who of them trains, validates and tests."""

    dataset: Annotated[str, Field(min_length=1, description="name, folder or .npz file")] = "synthetic"
    split: Annotated[SplitPolicy, Field(description="policy that divides the tracks")] = "artist"
    ratios: Annotated[
        tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]],
        BeforeValidator(parted),
        WithJsonSchema(RATIOS_SCHEMA),
    ] = (60, 10, 30)
    folds: Annotated[int | None, Field(ge=2, le=100, description="number of folds; null splits by ratios")] = None
    fold: Annotated[int | None, Field(ge=0, description="which fold validates")] = None
    split_seed: Annotated[int, Field(ge=0, description="seed of the division")] = 0

    @model_validator(mode="after")
    def _fold_of_folds(self) -> Self:
        if self.folds is None and self.fold is not None:
            raise ValueError(f"fold needs folds, got fold {self.fold} without it")
        if self.folds is not None and self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold must be < folds, got {self.fold} of {self.folds}")
        return self


class ModelConfig(Section):
    """A model's own hyperparameters, with the paper's values as defaults; each file in mgc.models derives from it."""

    name: ClassVar[str]
    paper: ClassVar[Mapping[str, Any]] = {}
    """The paper's values for keys of the shared sections, where they differ from the defaults here."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Everything that one training depends on, the data's content excepted."""

    data: DataConfig
    features: FeatureConfig
    clips: ClipConfig
    augment: AugmentConfig
    optimizer: OptimizerConfig
    model: ModelConfig
    epochs: int
    seed: int

    def flat(self) -> dict[str, Any]:
        """Every hyperparameter under its own name: the table that `training_config` reads."""
        sections: tuple[Section, ...] = (self.features, self.clips, self.augment, self.optimizer, self.model)
        table = {key: value for section in sections for key, value in section.model_dump().items()}
        return {"model": self.model.name, "seed": self.seed, **table}


SHARED_SECTIONS: tuple[type[Section], ...] = (FeatureConfig, ClipConfig, AugmentConfig, OptimizerConfig)


def training_config(params: Mapping[str, Any], *, data: DataConfig, epochs: int) -> TrainingConfig:
    """The typed config of a flat table of params. `model` is required; missing keys take the model's paper's values.

    `seed` (default 0) and `fold` may stand among the params. Raises ConfigError for unknown keys and broken rules.
    """
    from mgc.models import model_class  # the models know this file

    if not isinstance(params.get("model"), str):
        raise ConfigError(f"model must be a name, got {params.get('model')!r}", "model")
    if epochs < 1:
        raise ConfigError(f"epochs must be >= 1, got {epochs}", "epochs")
    model = model_class(params["model"])
    check_known(params, known_keys(model))
    given = {**paper_values(model, params), **params}
    features, clips, augment, optimizer, own = (
        section.checked({key: given[key] for key in section.keys() if key in given})
        for section in (*SHARED_SECTIONS, model)
    )
    seed = given.get("seed", 0)
    if type(seed) is not int or seed < 0:
        raise ConfigError(f"seed must be an integer >= 0, got {seed!r}", "seed")
    if "fold" in given:
        data = DataConfig.checked({**data.model_dump(), "fold": given["fold"]})
    assert isinstance(features, FeatureConfig) and isinstance(clips, ClipConfig)
    assert isinstance(augment, AugmentConfig) and isinstance(optimizer, OptimizerConfig)
    assert isinstance(own, ModelConfig)
    config = TrainingConfig(
        data=data,
        features=features,
        clips=clips,
        augment=augment,
        optimizer=optimizer,
        model=own,
        epochs=epochs,
        seed=seed,
    )
    _check_together(config)
    return config


def _check_together(config: TrainingConfig) -> None:
    """Raise a ConfigError for a key that makes no sense beside one of another section."""
    modality = config.features.modality
    if modality == "raw":
        for key, value in config.augment.needs_picture.items():
            raise ConfigError(f"{key} needs a picture: modality spectrogram or both, got {value} beside raw", key)
    if modality == "spectrogram":
        for key, value in config.augment.needs_waveform.items():
            raise ConfigError(f"{key} needs a waveform: modality raw or both, got {value:g} beside spectrogram", key)
    if config.clips.random_offset and config.data.split == "clip":
        raise ConfigError(
            "random_offset must be false under split clip: it would train on validation's clips", "random_offset"
        )
    if config.optimizer.warmup_epochs >= config.epochs:
        raise ConfigError(
            f"warmup_epochs must be < epochs, got {config.optimizer.warmup_epochs} of {config.epochs}", "warmup_epochs"
        )


def paper_values(model: type[ModelConfig], params: Mapping[str, Any]) -> dict[str, Any]:
    """The model's paper's values; its grid of clips gives way to params that say how many clips a track has."""
    grid = {"clip_overlap", "random_clips"} if "clips_per_track" in params else set()
    return {key: value for key, value in model.paper.items() if key not in grid}


def known_keys(model: type[ModelConfig]) -> tuple[str, ...]:
    """Every key that a flat table may have for this model."""
    shared = [key for section in SHARED_SECTIONS for key in section.keys()]
    return ("model", "seed", "fold", *shared, *model.keys())


def check_known(given: Iterable[str], known: Iterable[str], what: str = "key") -> None:
    """Raise a ConfigError for the first name that is not known, with the nearest known ones."""
    names = tuple(known)
    for name in given:
        if name not in names:
            raise ConfigError(f"unknown {what} {name!r}{nearest(str(name), names)}", str(name))


def config_error(detail: ErrorDetails, known: Iterable[str] = ()) -> ConfigError:
    """One of pydantic's errors as a ConfigError of one line: key, rule, what it got."""
    key = str(detail["loc"][0]) if detail["loc"] else None
    path = ".".join(str(part) for part in detail["loc"] if not _is_union_tag(part))
    return ConfigError(f"{path} {rule(detail)}".strip() if detail["type"] != "extra_forbidden"
                       else f"unknown key {key!r}{nearest(str(key), known)}", key)  # fmt: skip


def _is_union_tag(part: int | str) -> bool:
    return isinstance(part, str) and ("[" in part or part in ("int", "float", "str", "constrained-int"))


def _immutable(value: Any) -> Any:
    """Lists become tuples, so that a config can be frozen and hashed."""
    return tuple(_immutable(item) for item in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True, kw_only=True)
class ClipShape:
    """One clip as a model gets it: `bins` x `frames` of its picture, `samples` of its waveform.

    For modality `raw` the batch holds waveforms alone; `bins` and `frames` are then those of the picture that the same
    clip would have. `samples` is 0 where the dataset has no waveforms. `picture` is (rows, columns) that the model's
    front end resizes to, None if the picture stays as it comes.
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
