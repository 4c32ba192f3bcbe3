"""Compiled recurrent layers against PyTorch's own, by finite differences, and in blocks.

In float64 in the slow part: compiling that takes half a minute.
"""

import pytest
import torch
from torch import Tensor, nn

from graphmix.dsp.lstm import lstm
from graphmix.dsp.recurrent import gru

ROWS, STEPS, INPUTS = 3, 37, 2
DTYPES = [torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)]


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype)


def by_loops(layer: nn.LSTM | nn.GRU, x: Tensor, h: Tensor, c: Tensor, truncate: int = 0) -> Tensor:
    if isinstance(layer, nn.LSTM):
        held = (layer.bias_ih_l0 + layer.bias_hh_l0).expand(len(x), -1)
        return lstm(x, held, layer.weight_ih_l0, layer.weight_hh_l0, (h, c), truncate)[0]
    width = layer.hidden_size
    gates_only = torch.cat([layer.bias_hh_l0[: 2 * width], torch.zeros(width, dtype=x.dtype)])
    pre = x @ layer.weight_ih_l0.t() + layer.bias_ih_l0 + gates_only
    return gru(pre, layer.weight_hh_l0, layer.bias_hh_l0[2 * width :], h, truncate)[0]


def by_torch(layer: nn.LSTM | nn.GRU, x: Tensor, h: Tensor, c: Tensor) -> Tensor:
    state = (h[None], c[None]) if isinstance(layer, nn.LSTM) else h[None]
    return layer(x, state)[0]


@pytest.mark.parametrize("width", [1, 4, 6, 16])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [pytest.param(torch.float64, 1e-12, marks=pytest.mark.slow), (torch.float32, 2e-6)]
)
def test_output_and_gradients_are_those_of_pytorch(kind: type, width: int, dtype: torch.dtype, tolerance: float):
    layer = kind(INPUTS, width, batch_first=True).to(dtype)
    results = []
    x, h, c = noise(ROWS, STEPS, INPUTS), noise(ROWS, width), noise(ROWS, width)
    weights = noise(ROWS, STEPS, width).to(dtype)
    for compute in (by_torch, by_loops):
        leaves = [t.to(dtype).clone().requires_grad_() for t in (x, h, c)]
        out = compute(layer, *leaves)
        inputs = [*leaves[:2], *([leaves[2]] if kind is nn.LSTM else []), *layer.parameters()]
        results.append([out, *torch.autograd.grad((out * weights).sum(), inputs)])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(
            found, expected, rtol=tolerance, atol=tolerance * max(1.0, float(expected.detach().abs().max()))
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_gradients_agree_with_finite_differences(kind: type):
    layer = kind(INPUTS, 3, batch_first=True).double()
    leaves = [noise(2, 5, INPUTS).requires_grad_(), noise(2, 3).requires_grad_(), noise(2, 3).requires_grad_()]
    assert torch.autograd.gradcheck(lambda *t: by_loops(layer, *t), leaves)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_truncated_gradients_stop_at_the_beginnings_of_blocks(kind: type, dtype: torch.dtype):
    layer = kind(1, 4, batch_first=True).to(dtype)
    x = noise(1, 12, 1, dtype=dtype).requires_grad_()
    state = noise(1, 4, dtype=dtype), noise(1, 4, dtype=dtype)
    whole = torch.autograd.grad(by_loops(layer, x, *state)[0, 9].sum(), x)[0].flatten()
    cut = torch.autograd.grad(by_loops(layer, x, *state, truncate=4)[0, 9].sum(), x)[0].flatten()
    assert (whole[:10] != 0).all()
    assert (cut[:8] == 0).all()
    torch.testing.assert_close(cut[8:], whole[8:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_blocks_with_the_state_carried_over_equal_the_whole(dtype: torch.dtype):
    layer = nn.LSTM(INPUTS, 5, batch_first=True).to(dtype)
    x, *state = (noise(*shape, dtype=dtype) for shape in ((ROWS, STEPS, INPUTS), (ROWS, 5), (ROWS, 5)))
    weights = (layer.bias_ih_l0 + layer.bias_hh_l0).expand(ROWS, -1), layer.weight_ih_l0, layer.weight_hh_l0
    with torch.no_grad():
        whole, last = lstm(x, *weights, tuple(state))
        first, state = lstm(x[:, :11], *weights, tuple(state))
        second, state = lstm(x[:, 11:], *weights, state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(state, last)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_inputs_stay_finite(size: float):
    x = torch.full((1, 4, 1), size).requires_grad_()
    out, _ = lstm(x, torch.zeros(1, 8), torch.ones(8, 1), torch.randn(8, 2), (torch.zeros(1, 2), torch.zeros(1, 2)))
    out.sum().backward()
    assert out.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 7, 9])
def test_an_lstm_of_any_number_of_rows_is_its_rows_one_by_one(rows: int, dtype: torch.dtype):
    """They go through a step in groups, the last of which may be smaller."""
    torch.manual_seed(0)
    shapes = (rows, 70, 3), (rows, 20), (20, 3), (20, 5), (rows, 5), (rows, 5)
    x, held, inward, weight, *state = (noise(*shape, dtype=dtype) for shape in shapes)
    leaves = [t.requires_grad_() for t in (x, held, inward, weight)]
    out = lstm(*leaves, tuple(state))[0]
    alone = [lstm(x[i : i + 1], held[i : i + 1], inward, weight, (state[0][i : i + 1], state[1][i : i + 1]))[0]
             for i in range(rows)]  # fmt: skip
    torch.testing.assert_close(torch.cat(alone), out)
    for one, other in zip(
        torch.autograd.grad(out.square().sum(), leaves),
        torch.autograd.grad(torch.cat(alone).square().sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
