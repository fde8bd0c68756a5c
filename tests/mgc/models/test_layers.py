"""The blocks that the papers' networks are made of, against torch's own operations or figures by hand."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from tiny_dataset import clips_of
from torch import nn

from mgc.config import ClipShape, Modality
from mgc.models.layers import FrontEnd, Resize, SqueezeExcitation, mean, same_conv

torch.set_num_threads(1)


@pytest.mark.parametrize("dims", [(2,), (2, 3)])
def test_a_mean_is_torchs_and_its_gradient_is_no_tensor_of_its_own(dims: tuple[int, ...]) -> None:
    x_BCFT = torch.rand(2, 3, 5, 7).to(memory_format=torch.channels_last).requires_grad_()
    found, expected = mean(x_BCFT, *dims), x_BCFT.mean(dim=dims)
    torch.testing.assert_close(found, expected)
    ours, torchs = (torch.autograd.grad(each.square().sum(), x_BCFT)[0] for each in (found, expected))
    torch.testing.assert_close(ours, torchs)
    assert [ours.stride(dim) for dim in dims] == [0] * len(dims)


def test_a_mean_in_bf16_is_off_by_two_roundings_at_most() -> None:
    x_BCFT = torch.rand(2, 3, 64, 65).to(torch.bfloat16)
    expected = x_BCFT.double().mean(dim=(2, 3))
    torch.testing.assert_close(mean(x_BCFT, 2, 3).double(), expected, rtol=2**-8, atol=0)


def test_squeeze_and_excitation_weighs_channels_by_their_means() -> None:
    block = SqueezeExcitation(2, 1)
    weights = {
        "reduce.weight": [[1.0, 2.0]],
        "reduce.bias": [0.5],
        "expand.weight": [[1.0], [-1.0]],
        "expand.bias": [0, 0],
    }
    block.load_state_dict({name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()})
    x_BCFT = torch.tensor([[[[1.0, 3.0]], [[0.0, 2.0]]]])
    gate = torch.sigmoid(torch.tensor([4.5, -4.5]))  # relu(1 * 2 + 2 * 1 + 0.5), then +1 and -1 times it
    torch.testing.assert_close(block(x_BCFT), x_BCFT * gate[None, :, None, None])


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (10, 23), (21, 20), (2, 4)])
def test_same_conv_keeps_rows_and_columns(kernel: tuple[int, int]) -> None:
    assert same_conv(1, 2, kernel)(torch.rand(1, 1, 30, 31)).shape == (1, 2, 30, 31)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_same_conv_agrees_with_torchs_own_padding() -> None:
    ours = same_conv(1, 2, (4, 3))
    reference = nn.Conv2d(1, 2, (4, 3), padding="same")
    reference.load_state_dict(ours[1].state_dict())  # type: ignore[index]
    x_BCFT = torch.rand(2, 1, 9, 8)
    torch.testing.assert_close(ours(x_BCFT), reference(x_BCFT))


@pytest.mark.parametrize("modality", get_args(Modality))
@pytest.mark.parametrize("picture", [None, (16, 40), (8, 100)])
@pytest.mark.parametrize("samples", [700, 1024, 22_050])
def test_the_front_end_gives_the_wanted_picture(
    modality: Modality, picture: tuple[int, int] | None, samples: int
) -> None:
    shape = ClipShape(modality=modality, bins=12, frames=21, samples=samples, picture=picture)
    x_BCFT = FrontEnd(shape)(clips_of(shape, 2))
    assert x_BCFT.shape == (2, shape.channels, *(picture or (12, 21)))


def test_a_picture_of_the_right_size_passes_untouched() -> None:
    x_BCFT = torch.rand(1, 1, 8, 9)
    assert Resize(8, 9)(x_BCFT) is x_BCFT


def test_a_shrunk_picture_keeps_its_mean() -> None:
    """Stripes narrower than the new columns become gray, not whatever single column was hit."""
    x_BCFT = (torch.arange(64) % 4 == 1).float().expand(1, 1, 64, 64)
    assert (Resize(16, 16)(x_BCFT)[..., 1:-1] - 0.25).abs().max() < 0.02


def test_the_learned_picture_looks_at_the_right_time() -> None:
    """A click in the middle of the clip shows in the middle column and nowhere far from it."""
    shape = ClipShape(modality="raw", bins=4, frames=20, samples=2000, picture=None)
    front = FrontEnd(shape).eval()
    wave_BS = torch.zeros(2, 2000)
    wave_BS[1, 1050] = 1.0
    silence, click = front(wave_BS)
    changed = (silence != click).any(dim=(0, 1)).nonzero().flatten().tolist()
    assert changed
    assert set(changed) <= {9, 10, 11}
