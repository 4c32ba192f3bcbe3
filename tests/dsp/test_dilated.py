"""The compiled WaveNet layer against PyTorch's convolutions, and by finite differences."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv1d

from graphmix.dsp.dilated import dilated_layer


def arguments(rows: int, channels: int, outputs: int, conditions: int, samples: int, kernel: int, dilation: int):
    shapes = [
        (rows, channels, samples + (kernel - 1) * dilation),
        (rows, conditions, samples),
        (outputs, channels, kernel),
        (outputs,),
        (outputs, conditions),
        (channels, outputs),
        (channels,),
    ]
    return [0.5 * torch.randn(shape, dtype=torch.float64) for shape in shapes]


def by_convolution(x: Tensor, c: Tensor, taps: Tensor, bias: Tensor, mixer: Tensor, last: Tensor, v: Tensor, d: int):
    reach = (taps.size(-1) - 1) * d
    z = torch.tanh(conv1d(x, taps, bias, dilation=d) + conv1d(c, mixer[..., None]))
    return z, x[..., reach:] + conv1d(z, last[..., None], v)


CASES = [(1, 16, 16, 1, 700, 3, 4), (3, 5, 6, 2, 300, 3, 1), (2, 8, 8, 1, 33, 2, 64), (2, 1, 3, 3, 257, 1, 1)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 2e-5)])
def test_output_and_gradients_are_those_of_convolutions(case: tuple[int, ...], dtype: torch.dtype, tolerance: float):
    torch.manual_seed(1)
    leaves = [t.to(dtype).requires_grad_() for t in arguments(*case)]
    results = []
    for layer in (by_convolution, dilated_layer):
        z, y = layer(*leaves, case[-1])
        torch.manual_seed(2)
        total = (z * torch.randn_like(z)).sum() + (y * torch.randn_like(y)).sum()
        results.append([z, y, *torch.autograd.grad(total, leaves)])
    for expected, found in zip(*results, strict=True):
        scale = max(1.0, float(expected.detach().abs().max()))
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * scale)


def test_gradients_agree_with_finite_differences():
    leaves = [t.requires_grad_() for t in arguments(2, 2, 3, 1, 5, 3, 2)]
    assert torch.autograd.gradcheck(lambda *t: dilated_layer(*t, 2), leaves)
