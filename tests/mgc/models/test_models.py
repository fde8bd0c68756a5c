"""The models: their papers' numbers, every modality, what they refuse, pretrained weights, effective networks."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from one_device import OneDevice
from tiny_dataset import clips_of
from torch import nn

from mgc.config import ClipShape, DataConfig, Modality
from mgc.models.layers import ColumnSequence, GlobalMaxAndMean, SqueezeExcitation, flat
from mgc.models.registry import MODELS, model_class
from mgc.models.se_cnn import SECNNConfig, hidden_size
from mgc.networks.effective import effective_network, network_digest
from mgc.networks.networks import build_model, check_shape, num_weights
from mgc.networks.training_config import TrainingConfig, training_config
from mgc.training.device import choose_precision
from mgc.words.errors import ConfigError

torch.set_num_threads(1)

Params = Mapping[str, Any]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
SMALL: dict[str, tuple[Params, tuple[int, int]]] = {
    "se_cnn": ({"channels": [4, 8, 8, 8, 8], "r": 2.0}, (32, 36)),
    "shallow": ({"num_maps": 4, "units": 16}, (20, 24)),
    "residual": ({"num_maps": 16, "units": [16, 8]}, (12, 10)),
    "cnn3": ({"channels": [4, 8, 8], "units": [16]}, (16, 20)),
    "cnn4": ({"channels": [4, 8, 8, 8], "pools": [2, 2, 2, 2], "units": [16]}, (16, 20)),
    "cnn4_gru": ({"channels": [4, 8, 8, 8], "pools": [2, 2, 2, 2], "units": [], "gru_units": 8}, (16, 48)),
    "efficientnet_b0": ({}, (32, 32)),
    "efficientnet_b0_gru": ({"gru_units": 8}, (32, 64)),
    "timm/resnet10t": ({}, (32, 32)),
    "crnn": ({"channels": [8, 8], "pools": [[4, 2], [4, 2]], "gru_units": 8}, (16, 24)),
    "crnn_cnn": ({"channels": [8, 8], "pools": [[4, 2], [4, 2]], "units": 8}, (16, 24)),
    "crnn_rnn": ({"lstm_units": 8, "units": 8}, (12, 10)),
    "probe": ({"layers": [8], "pooling": "mean_deviation"}, (12, 10)),
}
"""Each model with small layers, and the rows and columns of a small picture that it takes."""
IN_TIMM = [name for name in [*SMALL, "vgg11"] if name.startswith(("timm/", "efficientnet", "vgg"))]


def config(model: str, **params: Any) -> TrainingConfig:
    """The paper's config, and the network alone: without the standardization before it."""
    return training_config({"model": model, "normalize": "none", **params}, data=DataConfig(), epochs=3)


def clip(
    rows: int, columns: int, modality: Modality = "spectrogram", picture: tuple[int, int] | None = None
) -> ClipShape:
    return ClipShape(modality=modality, bins=rows, frames=columns, samples=32 * columns, picture=picture)


def papers_clip(given: TrainingConfig) -> ClipShape:
    """The clip that the config's features and windows give."""
    samples = int(given.clips.clip_seconds * given.features.sr)
    frames = 1 + samples // given.features.hop_length
    modality, bins, picture = given.features.modality, given.features.bins, given.clips.picture
    return ClipShape(modality=modality, bins=bins, frames=frames, samples=samples, picture=picture)


def small(name: str, modality: Modality = "spectrogram", genres: int = 3) -> tuple[nn.Module, ClipShape]:
    params, (rows, columns) = SMALL[name]
    shape = clip(rows, columns, modality)
    torch.manual_seed(0)
    return model_class(name).checked(params).initial(shape, genres), shape


# The papers' numbers


def test_se_cnn_has_the_weights_of_table_4_1() -> None:
    given = config("se_cnn", se_blocks=[])
    filters = ((1, 32), (32, 64), (64, 128), (128, 256), (256, 128))
    convolutions = sum(3 * 3 * inputs * outputs + outputs for inputs, outputs in filters)
    flattened = 128 * (513 // 32) * (130 // 32)
    assert num_weights(given, papers_clip(given), 10) == convolutions + flattened * 10 + 10


@pytest.mark.parametrize(("block", "channels"), enumerate((32, 64, 128, 256, 128), start=1))
def test_an_se_block_adds_its_two_dense_layers(block: int, channels: int) -> None:
    without, with_one = config("se_cnn", se_blocks=[]), config("se_cnn", se_blocks=[block])
    hidden = channels // 16
    added = num_weights(with_one, papers_clip(with_one), 10) - num_weights(without, papers_clip(without), 10)
    assert added == channels * hidden + hidden + hidden * channels + channels


def test_the_shallow_cnn_sees_80_x_80_and_hands_10240_values_to_200_units() -> None:
    given = config("shallow")
    shape = papers_clip(given)
    assert (shape.bins, shape.frames) == (80, 80)
    dense = [layer for layer in build_model(given, shape, 10).modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in dense] == [(10_240, 200), (200, 10)]


def test_the_residual_block_compresses_to_one_row_three_frames_shorter_and_pools_to_512() -> None:
    params, genres = {"num_maps": 256}, 8
    for modality in MODALITIES:
        shape = clip(33, 20, modality)
        block, pool, *_ = model_class("residual").checked(params).initial(shape, genres).children()
        maps_BCFT = block(clips_of(shape, 2))
        assert maps_BCFT.shape == (2, 256, 1, 17)
        assert isinstance(pool, GlobalMaxAndMean)
        assert pool(maps_BCFT).shape == (2, 512)


def test_cnn4_has_twice_the_filters_of_cnn3_and_one_layer_more() -> None:
    three, four = MODELS["cnn3"](), MODELS["cnn4"]()
    assert tuple(2 * channels for channels in three.channels) == four.channels[:3]
    assert len(four.channels) == len(three.channels) + 1


def test_the_notebooks_cnn4_flattens_288_x_432_to_1536_values() -> None:
    given = config("cnn4")
    dense = [layer for layer in build_model(given, papers_clip(given), 10).modules() if isinstance(layer, nn.Linear)]
    assert dense[0].in_features == 1536


def test_timms_networks_keep_their_size() -> None:
    """Published sizes with 1000 classes and 3 channels: 5,288,548 and 132,863,336."""
    sizes = {"efficientnet_b0": (5_288_548, 1280, 32 * 9), "vgg11": (132_863_336, 4096, 64 * 9)}
    for name, (published, width, per_channel) in sizes.items():
        given = config(name)
        expected = published - (width + 1) * (1000 - 10) - 2 * per_channel
        assert num_weights(given, papers_clip(given), 10) == expected


def test_the_crnn_reads_one_row_of_128_maps() -> None:
    given = config("crnn", clip_seconds=1.0)
    convolutions, sequence, *_ = build_model(given, papers_clip(given), 10).eval().children()
    assert isinstance(sequence, ColumnSequence)
    x_BTD = sequence(convolutions(clips_of(papers_clip(given), 1)))
    assert x_BTD.shape == (1, 44 // 16, 128)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_its_papers_clips(name: str) -> None:
    given = config(name)
    check_shape(given, papers_clip(given))


# Every model, every modality


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("name", SMALL)
def test_logits_and_gradients_in_every_modality(name: str, modality: Modality) -> None:
    model, shape = small(name, modality)
    logits_BG = model(clips_of(shape, 2))
    assert logits_BG.shape == (2, 3)
    logits_BG.square().sum().backward()
    assert [key for key, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("name", SMALL)
def test_a_network_keeps_to_the_device_that_it_is_on(name: str, modality: Modality) -> None:
    network, shape = small(name, modality)
    x = clips_of(shape, 2)
    x = tuple(each.to("meta") for each in x) if isinstance(x, tuple) else x.to("meta")
    with OneDevice():
        network.to("meta")(x).sum().backward()


@pytest.mark.slow
@pytest.mark.parametrize("modality", MODALITIES)
def test_vgg11_in_every_modality(modality: Modality) -> None:
    model = model_class("vgg11")().initial(clip(32, 32, modality), 3)
    assert model(clips_of(clip(32, 32, modality), 1)).shape == (1, 3)


@pytest.mark.parametrize("name", SMALL)
def test_bf16_and_channels_last_give_nearly_the_same_logits(name: str) -> None:
    if name == "crnn_rnn" and choose_precision("cpu") == "fp32":
        pytest.skip("needs a CPU that multiplies in bf16: on another one torch has no LSTM in bf16")
    model, shape = small(name)
    x_BCFT = clips_of(shape, 4)
    model.eval()
    with torch.no_grad():
        expected_BG = model(x_BCFT)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits_BG = model.to(memory_format=torch.channels_last)(x_BCFT)  # type: ignore[call-overload]
    torch.testing.assert_close(logits_BG.float(), expected_BG, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("name", [name for name in SMALL if name not in IN_TIMM])
def test_a_last_batch_of_one_clip_trains(name: str) -> None:
    model, shape = small(name)
    assert model.train()(clips_of(shape, 1)).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_every_model_can_learn_a_handful_of_clips_by_heart(name: str) -> None:
    """Six clips of noise of three genres, each loud in another third of its rows.

    timm's are judged by the batch's own statistics: their running ones need more steps than a test has.
    """
    model, shape = small(name)
    y_B = torch.tensor([0, 1, 2, 0, 1, 2])
    third_F = torch.arange(shape.bins) * 3 // shape.bins
    x_BCFT = 0.3 * clips_of(shape, 6) + 0.7 * (third_F == y_B[:, None])[:, None, :, None]
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model.train()(x_BCFT), y_B).backward()
        optimizer.step()
        right_B = model.train(name in IN_TIMM)(x_BCFT).argmax(dim=1) == y_B
        if right_B.all():
            return
    pytest.fail(f"{name} is right on {right_B.sum()} of 6 clips")


@pytest.mark.parametrize("name", SMALL)
def test_torchs_generator_decides_the_initial_weights(name: str) -> None:
    one, two = small(name)[0].state_dict(), small(name)[0].state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_the_shallow_cnn_starts_from_he_s_gaussian() -> None:
    torch.manual_seed(0)
    model = model_class("shallow")().initial(clip(80, 80), 10)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = prod(layer.weight.shape[1:])
            expected = (2 / (1 + 0.3**2) / fan_in) ** 0.5
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.05)
            assert layer.bias is not None
            assert not layer.bias.any()


def test_batch_norm_of_the_shallow_cnn_follows_each_convolution() -> None:
    kinds = [
        type(layer) for layer in model_class("shallow").checked({"batch_norm": True}).initial(clip(20, 20), 2).modules()
    ]
    assert kinds.count(nn.BatchNorm2d) == 2
    assert nn.BatchNorm2d not in [type(layer) for layer in model_class("shallow")().initial(clip(20, 20), 2).modules()]


# What may be searched beside the papers' values


def layers_of(name: str, kind: type[nn.Module], shape: ClipShape | None = None, **params: Any) -> list[nn.Module]:
    network = model_class(name).checked(params).initial(shape or clip(64, 64), 10)
    return [layer for layer in network.modules() if isinstance(layer, kind)]


@pytest.mark.parametrize("num_blocks", [1, 2, 5])
def test_se_cnn_keeps_the_first_of_its_blocks(num_blocks: int) -> None:
    convolutions = layers_of("se_cnn", nn.Conv2d, num_blocks=num_blocks)
    assert [layer.out_channels for layer in convolutions] == [32, 64, 128, 256, 128][:num_blocks]
    assert len(layers_of("se_cnn", SqueezeExcitation, num_blocks=num_blocks)) == num_blocks
    assert model_class("se_cnn").checked({"num_blocks": num_blocks}).smallest_picture() == (2**num_blocks,) * 2


@pytest.mark.parametrize("name", ["crnn", "crnn_cnn"])
def test_the_crnn_and_its_half_keep_the_first_of_their_blocks(name: str) -> None:
    assert [layer.out_channels for layer in layers_of(name, nn.Conv2d, num_blocks=2)] == [64, 128]
    assert model_class(name).checked({"num_blocks": 2}).smallest_picture() == (8, 4)


BATCH_NORM_FIRST = [nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.ReLU]


def test_batch_norm_of_the_se_cnn_stands_between_convolution_and_activation() -> None:
    blocks = layers_of("se_cnn", nn.Sequential, batch_norm=True)[1:]
    assert [[type(layer) for layer in block][:4] for block in blocks] == [BATCH_NORM_FIRST] * 5
    assert layers_of("se_cnn", nn.BatchNorm2d) == []


@pytest.mark.parametrize(("name", "num"), [("crnn", 4), ("crnn_cnn", 3)])
def test_the_crnns_batch_norm_can_be_left_out(name: str, num: int) -> None:
    shape = clip(128, 64)
    assert len(layers_of(name, nn.BatchNorm2d, shape)) == num
    assert layers_of(name, nn.BatchNorm2d, shape, batch_norm=False) == []


@pytest.mark.parametrize(("name", "last"), [("se_cnn", 128), ("crnn_cnn", 128)])
def test_with_averages_as_head_the_clips_length_costs_no_weights(name: str, last: int) -> None:
    for columns in (64, 160):
        dense = layers_of(name, nn.Linear, clip(64, columns), head="average")
        assert last in [layer.in_features for layer in dense]
    sizes = {num_weights(config(name, head="average"), clip(64, columns), 10) for columns in (64, 160)}
    assert len(sizes) == 1


def test_averages_are_those_of_each_map() -> None:
    x_BCFT = torch.rand(2, 3, 4, 5)
    vector, width = flat("average", (3, 4, 5))
    assert (width, flat("flatten", (3, 4, 5))[1]) == (3, 60)
    torch.testing.assert_close(vector(x_BCFT), torch.from_numpy(x_BCFT.numpy().mean(axis=(2, 3))))


@pytest.mark.parametrize("name", ["se_cnn", "crnn", "crnn_cnn"])
@pytest.mark.parametrize(
    ("activation", "kind"),
    [("relu", nn.ReLU), ("leaky_relu", nn.LeakyReLU), ("elu", nn.ELU), ("gelu", nn.GELU), ("silu", nn.SiLU)],
)
def test_the_activation_follows_every_convolution(name: str, activation: str, kind: type[nn.Module]) -> None:
    shape = clip(128, 64)
    assert len(layers_of(name, kind, shape, activation=activation)) == len(layers_of(name, nn.Conv2d, shape))


def test_dropout_has_its_places() -> None:
    def shares(name: str, **params: Any) -> list[float]:
        return [layer.p for layer in layers_of(name, nn.Dropout, **params)]

    assert shares("se_cnn", dropout=0.1, dense_dropout=0.4) == [0.1] * 5 + [0.4]
    assert shares("se_cnn", dropout=0.1) == [0.1] * 5
    assert shares("shallow", conv_dropout=0.2, dropout=0.4) == [0.2, 0.2, 0.4]
    assert shares("shallow", dropout=0.4) == [0.4]


OTHER_VALUES = {
    "num_blocks": 2,
    "activation": "silu",
    "head": "average",
    "dense_dropout": 0.25,
    "conv_dropout": 0.25,
    "pooling": "max",
    "layers": (8,),
    "dropout": 0.25,
}


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name].shown])
def test_fields_that_are_said_to_show_in_the_network_do(name: str) -> None:
    shape, default = clip(128, 64), MODELS[name]()
    for field in default.shown:
        other = not getattr(default, field) if field == "batch_norm" else OTHER_VALUES[field]
        changed = MODELS[name].checked({field: other})
        assert network_digest(changed, shape, 10) != network_digest(default, shape, 10), field


# What is refused


@pytest.mark.parametrize("name", ["se_cnn", "residual", "crnn", "crnn_cnn"])
def test_too_short_a_clip_is_answered_with_the_shortest_that_works(name: str) -> None:
    given = config(name, clip_seconds=0.04)
    with pytest.raises(
        ConfigError, match=rf"^clip_seconds must be >= \S+ for {name}, which needs at least \d+ frames, got 0.04"
    ) as e:
        check_shape(given, papers_clip(given))
    shortest = float(re.findall(r">= (\S+)", str(e.value))[0])
    long_enough, too_short = config(name, clip_seconds=shortest), config(name, clip_seconds=shortest - 0.002)
    build_model(long_enough, papers_clip(long_enough), 10)
    with pytest.raises(ConfigError):
        check_shape(too_short, papers_clip(too_short))
    assert e.value.key == "clip_seconds"


def test_the_whole_message_of_a_clip_that_is_too_short() -> None:
    given = config("se_cnn", clip_seconds=0.5)
    with pytest.raises(
        ConfigError,
        match=r"^clip_seconds must be >= 0\.72 for se_cnn, which needs at least 32 frames, got 0\.5 \(22 frames\)$",
    ):
        build_model(given, papers_clip(given), 10)


def test_without_waveforms_a_frame_s_length_is_the_clip_s_share() -> None:
    given = config("se_cnn", clip_seconds=1.2)
    shape = ClipShape(modality="spectrogram", bins=64, frames=20, samples=0, picture=None)
    with pytest.raises(ConfigError, match=r"^clip_seconds must be >= 1\.92 for se_cnn"):
        check_shape(given, shape)


def test_a_picture_too_small_for_the_pools_is_refused() -> None:
    given = config("crnn", n_mels=64)
    with pytest.raises(
        ConfigError,
        match=r"^n_mels must be >= 128 for crnn, got 64 \(or set picture: \[128, 1249\], to which clips are resized\)$",
    ):
        check_shape(given, papers_clip(given))


def test_a_longer_clip_does_not_help_where_the_picture_is_resized() -> None:
    with pytest.raises(
        ConfigError, match=r"^picture must be at least 128 x 128 \(rows x columns\) for cnn4, got 64 x 64$"
    ):
        MODELS["cnn4"]().check_shape(clip(128, 40, picture=(64, 64)))


def test_timms_networks_are_asked_by_trying() -> None:
    short, enough = (config("vgg11", picture=None, clip_seconds=seconds) for seconds in (0.5, 0.72))
    with pytest.raises(ConfigError, match=r"^clip_seconds must be >= 0\.72 for vgg11, which needs at least 32 frames"):
        check_shape(short, papers_clip(short))
    check_shape(enough, papers_clip(enough))


def test_a_network_of_timm_that_takes_no_such_picture_says_why() -> None:
    given = config("timm/vit_tiny_patch16_224")
    with pytest.raises(ConfigError, match=r"^timm/vit_tiny_patch16_224 cannot take a picture of 288 x 432 .*224"):
        check_shape(given, papers_clip(given))
    check_shape(config("timm/vit_tiny_patch16_224", picture=[224, 224]), clip(64, 50, picture=(224, 224)))


def test_a_dataset_without_waveforms_has_no_raw_modality() -> None:
    shape = ClipShape(modality="both", bins=64, frames=50, samples=0, picture=None)
    with pytest.raises(
        ConfigError,
        match=r"^modality both needs a sample for each of 50 columns, got a dataset without waveforms$",
    ):
        MODELS["se_cnn"]().check_shape(shape)


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        ("se_cnn", {"r": 0.5}, "r must be >= 1, got 0.5"),
        ("se_cnn", {"se_blocks": [1, 1]}, "must name each block once, got [1, 1]"),
        ("se_cnn", {"se_blocks": [6]}, "se_blocks.0 must be <= 5, got 6"),
        ("residual", {"num_maps": 3}, "num_maps must be a multiple of 2, got 3"),
        ("cnn3", {"pools": [2, 2]}, "pools must have one entry per convolution, got 2 of 3"),
        ("crnn", {"channels": [8]}, "pools must have one entry per convolution, got 4 of 1"),
        ("vgg11", {"weights": "x.pth"}, "weights needs pretrained: true, got false"),
        ("se_cnn", {"num_blocks": 6}, "num_blocks must be <= 5, got 6"),
        ("crnn", {"num_blocks": 5}, "num_blocks must be <= 4 (the channels), got 5"),
        (
            "se_cnn",
            {"time_masks": 2, "modality": "raw"},
            "time_masks needs a picture: modality spectrogram or both, got 2 beside raw",
        ),
        (
            "se_cnn",
            {"freq_masks": 1, "modality": "raw"},
            "freq_masks needs a picture: modality spectrogram or both, got 1 beside raw",
        ),
        ("se_cnn", {"gain_db": 3.0}, "gain_db needs a waveform: modality raw or both, got 3 beside spectrogram"),
        ("se_cnn", {"noise_snr_db": 0.0}, "noise_snr_db needs a waveform: modality raw or both, got 0 beside spec"),
        ("se_cnn", {"warmup_epochs": 3}, "warmup_epochs must be < epochs, got 3 of 3"),
        ("se_cnn", {"normalize": "bands"}, "normalize must be one of none, band, track, got 'bands' (did you mean"),
    ],
)
def test_broken_rules_are_named(model: str, params: Params, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config(model, **params)
    assert message in str(error.value)


def test_drawn_offsets_would_reach_into_validations_clips_of_the_same_track() -> None:
    data = DataConfig(split="clip")
    with pytest.raises(
        ConfigError, match=r"^random_offset must be false under split clip: it would train on .* clips$"
    ):
        training_config({"model": "se_cnn", "random_offset": True}, data=data, epochs=1)


def test_four_channels_for_five_convolutions_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^channels\.4 "):
        config("se_cnn", channels=[1, 2, 3, 4])


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"^unknown model 'residuall' \(did you mean 'residual'\?\)$"):
        model_class("residuall")


def test_an_unknown_network_of_timm_is_answered_with_the_nearest_when_it_is_checked() -> None:
    given = config("timm/resnet10")
    with pytest.raises(ConfigError, match=r"^unknown model 'timm/resnet10' \(did you mean 'timm/resnet10t'"):
        check_shape(given, papers_clip(given))


# Pretrained weights


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_training_starts_from_a_file_s_weights(tmp_path: Path, ending: str) -> None:
    """One channel gets the sum of the three that the file's first convolution has, as timm does."""
    from safetensors.torch import save_file

    from mgc.models.timm_models import import_timm

    file = tmp_path / f"weights.{ending}"
    torch.manual_seed(1)
    state = import_timm().create_model("resnet10t").state_dict()
    if ending == "pth":
        torch.save(state, file)
    else:
        save_file(state, file)
    given = model_class("timm/resnet10t").checked({"pretrained": True, "weights": str(file)})
    model = given.initial(clip(32, 32), 3)
    ours = {key.removeprefix("1."): value for key, value in model.state_dict().items()}
    torch.testing.assert_close(ours["conv1.0.weight"], state["conv1.0.weight"].sum(dim=1, keepdim=True))
    torch.testing.assert_close(ours["layer1.0.conv1.weight"], state["layer1.0.conv1.weight"])
    assert model(clips_of(clip(32, 32), 2)).shape == (2, 3)


def test_weights_that_cannot_be_downloaded_are_one_clear_line_and_a_traceback_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mgc.models.timm_models import import_timm

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no route to host\nand much more")

    monkeypatch.setattr(import_timm().models._builder, "load_state_dict_from_hf", refuse)
    caplog.set_level("DEBUG", "mgc")
    with pytest.raises(
        ConfigError,
        match=r"^pretrained weights of resnet10t cannot be had; give a file as weights, or set pretrained: false "
        r"\(OSError: no route to host\)$",
    ):
        model_class("timm/resnet10t").checked({"pretrained": True}).initial(clip(32, 32), 3)
    (record,) = caplog.records
    assert record.exc_info is not None and str(record.exc_info[1]) == "no route to host\nand much more"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "weights must be a file, got "),
        (b"no weights", "cannot be read ("),
        ({"a": torch.zeros(1)}, "are not those of resnet10t: no name in common"),
        ({"layer1.0.conv1.weight": torch.zeros(1)}, "do not fit ("),
    ],
)
def test_a_file_without_fitting_weights_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    file = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(ConfigError) as error:
        model_class("timm/resnet10t").checked({"pretrained": True, "weights": str(file)}).initial(clip(32, 32), 3)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.key == "weights"


def test_a_file_runs_nothing_when_it_is_read(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "touched",)

    torch.save({"layer1.0.conv1.weight": Evil()}, tmp_path / "weights.pth")
    params = {"pretrained": True, "weights": str(tmp_path / "weights.pth")}
    with pytest.raises(ConfigError, match="cannot be read"):
        model_class("timm/resnet10t").checked(params).initial(clip(32, 32), 3)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", IN_TIMM)
def test_configs_of_timms_networks_travel_between_processes(name: str) -> None:
    given = model_class(name).checked({"pretrained": True})
    assert pickle.loads(pickle.dumps(given)) == given


# Effective networks


def thresholds(channels: int, low: float, high: float) -> set[float]:
    """Every r in (low, high] at which int(channels / r) changes: channels / hidden for each hidden."""
    return {channels / hidden for hidden in range(1, channels + 1) if low < channels / hidden <= high}


def staircase(low: float, high: float) -> list[float]:
    """One r in each stretch of [low, high] within which no SE block of the paper's network changes, and each edge."""
    edges = sorted(
        {low, high} | {edge for channels in (32, 64, 128, 256, 128) for edge in thresholds(channels, low, high)}
    )
    between = [(left + right) / 2 for left, right in pairwise(edges)]
    return sorted([*edges, *between])


@pytest.mark.parametrize(("low", "networks"), [(2.0, 125), (1.0, 253)])
def test_r_is_a_staircase(low: float, networks: int) -> None:
    """Fact 2 of the design: 125 distinct networks for r in [2, 64], 253 in [1, 64]."""
    shape = clip(32, 32)
    every = staircase(low, 64.0)
    assert len({tuple(hidden_size(channels, r) for channels in (32, 64, 128, 256)) for r in every}) == networks
    assert len({effective_network(config("se_cnn", r=r), shape, 10) for r in every}) == networks


def test_the_papers_optimum_of_31_43_is_r_32() -> None:
    shape = papers_clip(config("se_cnn"))
    keys = {effective_network(config("se_cnn", r=r), shape, 10) for r in (28.45, 30.0, 31.43, 32.0)}
    assert len(keys) == 1
    assert effective_network(config("se_cnn", r=28.44), shape, 10) not in keys
    assert effective_network(config("se_cnn", r=32.01), shape, 10) not in keys


def test_r_does_not_count_without_se_blocks() -> None:
    keys = {effective_network(config("se_cnn", r=r, se_blocks=[]), clip(32, 32), 10) for r in (2.0, 16.0)}
    assert len(keys) == 1


def test_the_seed_and_params_without_effect_do_not_count() -> None:
    same = [
        {"seed": 7},
        {"fmax": 8000.0},  # mel bands, for an STFT in dB
        {"clips_per_track": 3, "clip_overlap": 0.5},  # the grid decides
        {"se_blocks": [5, 4, 3, 2, 1]},
        {"time_mask_width": 0.5, "freq_mask_width": 0.5},  # of no masks
    ]
    keys = {effective_network(config("se_cnn", **params), clip(32, 32), 10) for params in ({}, *same)}
    assert len(keys) == 1
    assert re.fullmatch("[0-9a-f]{12}", keys.pop())


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("se_cnn", {"lr": 0.01}),
        ("se_cnn", {"dropout": 0.3}),
        ("se_cnn", {"channels": [32, 64, 128, 256, 127]}),
        ("se_cnn", {"clip_overlap": 0.25}),
        ("se_cnn", {"n_fft": 2048}),
        ("se_cnn", {"num_blocks": 4}),
        ("se_cnn", {"dense_dropout": 0.1}),
        ("se_cnn", {"random_offset": True}),
        ("se_cnn", {"normalize": "track"}),
        ("se_cnn", {"schedule": "cosine"}),
        ("se_cnn", {"warmup_epochs": 1}),
        ("se_cnn", {"label_smoothing": 0.1}),
        ("se_cnn", {"time_masks": 1}),
        ("se_cnn", {"mixup_alpha": 0.2}),
        ("se_cnn", {"modality": "raw", "noise_snr_db": 0.0}),
        ("shallow", {"initialization": "torch"}),
        ("shallow", {"slope": 0.2}),
        ("timm/resnet10t", {"pretrained": True}),
        ("timm/resnet10t", {"pretrained": True, "weights": "some.pth"}),
    ],
)
def test_whatever_changes_training_counts(model: str, params: Params) -> None:
    shape = clip(32, 32)
    assert effective_network(config(model), shape, 10) != effective_network(config(model, **params), shape, 10)


def test_the_width_of_masks_counts_where_there_are_some() -> None:
    given = [config("se_cnn", time_masks=1, time_mask_width=width) for width in (0.1, 0.2)]
    assert len({effective_network(each, clip(32, 32), 10) for each in given}) == 2


def test_shape_and_genres_count() -> None:
    given = config("se_cnn")
    keys = {effective_network(given, clip(32, columns), genres) for columns in (32, 64) for genres in (8, 10)}
    assert len(keys) == 4


def test_asking_for_the_effective_network_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    effective_network(config("shallow"), clip(24, 24), 4)
    num_weights(config("crnn_rnn"), clip(24, 24), 4)
    assert torch.equal(before, torch.get_rng_state())


# Configs


@pytest.mark.parametrize("name", MODELS)
def test_the_papers_values_are_keys_of_every_training(name: str) -> None:
    given = config(name).flat()
    assert {key: given[key] for key in MODELS[name].paper} == dict(MODELS[name].paper)
    assert MODELS[name].name == name


@pytest.mark.parametrize("name", MODELS)
def test_every_field_says_what_it_is(name: str) -> None:
    assert [key for key, field in MODELS[name].model_fields.items() if not field.description] == []


def test_se_blocks_are_kept_in_order() -> None:
    assert SECNNConfig.checked({"se_blocks": [5, 1]}).se_blocks == (1, 5)


def test_checking_a_space_costs_no_torch() -> None:
    check = "from mgc.models.registry import model_class; model_class('se_cnn').checked({'r': 2.0})"
    code = f"import sys; {check}; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
