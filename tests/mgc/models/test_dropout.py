"""Dropout beside torch's own: the same law, a generator that a seed controls, nothing of it in evaluation."""

import pytest
import torch
from scipy.stats import binom
from torch import nn

from mgc.models.dropout import LEVELS, Dropout
from mgc.models.layers import conv_block

P = 0.3


def values(dtype=torch.float32, memory_format=torch.contiguous_format):
    """All 1, so that what comes out is the mask."""
    return torch.ones(8, 6, 20, 25, dtype=dtype).contiguous(memory_format=memory_format)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_value_is_lost_or_scaled_as_torch_scales_it(dtype, memory_format):
    x = values(dtype, memory_format)
    torch.manual_seed(0)
    found = Dropout(P)(x)
    assert found.dtype == dtype and found.is_contiguous(memory_format=memory_format)
    kept = found != 0
    torchs = nn.functional.dropout(x, P)
    tolerance = 1 / LEVELS if dtype != torch.bfloat16 else 2**-8
    torch.testing.assert_close(found[kept], torchs[torchs != 0][0].expand(kept.sum()), rtol=tolerance, atol=0)
    assert 0.0001 < binom.cdf(x.numel() - kept.sum().item(), x.numel(), P) < 0.9999


@pytest.mark.parametrize("p", [1 / LEVELS, 0.1, 0.5, 0.9])
def test_each_value_is_lost_as_often_as_asked(p):
    torch.manual_seed(1)
    lost = (Dropout(p)(torch.ones(1_000_003)) == 0).sum().item()
    assert 0.001 < binom.cdf(lost, 1_000_003, p) < 0.999


def test_the_expected_value_stays():
    torch.manual_seed(2)
    assert Dropout(0.77)(torch.ones(4_000_000)).mean().item() == pytest.approx(1, abs=0.005)


def test_neighbours_are_lost_independently():
    """Four of them share one random number."""
    torch.manual_seed(3)
    lost = (Dropout(0.5)(torch.ones(400_000)) == 0).double().view(-1, 4)
    assert (torch.corrcoef(lost.T) - torch.eye(4)).abs().max() < 0.02


def test_the_gradient_takes_the_same_way():
    x = torch.rand(5, 7, requires_grad=True)
    found = Dropout(P)(x)
    found.sum().backward()
    torch.testing.assert_close(x.grad, torch.where(found == 0, 0.0, found / x).detach())


def test_it_stands_in_an_autocast_network():
    torch.manual_seed(7)
    network, x = (
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), Dropout(P), nn.Linear(4 * 36, 2)),
        torch.rand(3, 1, 8, 8),
    )
    with torch.autocast("cpu", torch.bfloat16):
        loss = network(x).float().square().sum()
    loss.backward()
    assert all(weight.grad.isfinite().all() and weight.grad.abs().sum() > 0 for weight in network.parameters())


def test_a_seed_gives_the_same_mask_and_the_next_draw_another():
    drop, x = Dropout(P), values()
    torch.manual_seed(4)
    first, second = drop(x), drop(x)
    torch.manual_seed(4)
    assert torch.equal(drop(x), first) and not torch.equal(first, second)


def test_a_view_that_is_not_dense_is_dropped_out_too():
    x = torch.ones(40, 50)[:, ::2]
    torch.manual_seed(5)
    share = (Dropout(P)(x) == 0).double().mean().item()
    assert share == pytest.approx(P, abs=0.06)


def test_nothing_happens_in_evaluation_or_at_zero_and_it_is_called_as_torchs_is():
    x = values()
    assert Dropout(P).eval()(x) is x and Dropout(0.0)(x) is x
    assert repr(Dropout(P)) == repr(nn.Dropout(P))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch_norm", ["none", "before"])
def test_a_relu_behind_the_pool_is_the_same_bit_for_bit(dtype, batch_norm):
    torch.manual_seed(6)
    ours = conv_block(1, 4, kernel=(3, 3), pool=(2, 2), activation=nn.ReLU(), batch_norm=batch_norm).to(dtype)
    *first, pool, relu = ours
    assert isinstance(pool, nn.MaxPool2d) and isinstance(relu, nn.ReLU)
    x = torch.randn(6, 1, 9, 11, dtype=dtype)
    results = []
    for order in ([pool, relu], [relu, pool]):
        ours.zero_grad()
        y = nn.Sequential(*first, *order)(x)
        y.square().sum().backward()
        results.append((y.detach(), *(weight.grad.clone() for weight in ours.parameters())))
    for mine, plain in zip(*results, strict=True):
        assert torch.equal(mine, plain)
