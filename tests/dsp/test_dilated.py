"""The compiled WaveNet against PyTorch's convolutions, by finite differences, and in blocks.

In float64 in the slow part: compiling that takes most of a minute.
"""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv1d

from graphmix.dsp.dilated import ArraySizes, Layout, cold, layout, warm

CASES = {
    "two arrays": ([ArraySizes(4, 3, 3, (1, 2, 300)), ArraySizes(3, 1, 2, (1, 7))], 600),
    "standard channels": ([ArraySizes(16, 8, 3, (1, 2, 64)), ArraySizes(8, 1, 3, (4, 1))], 300),
    "one layer without a past": ([ArraySizes(2, 1, 1, (5,))], 9),
}


def leaves_of(net: Layout, samples: int, dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(1)
    weights, channels = (int(size) for size in net.sizes[:2])
    shapes = (2, net.reach + samples), (2, channels), (weights,)
    return [0.3 * torch.randn(*shape, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes]


def by_convolution(sizes: list[ArraySizes], net: Layout, audio: Tensor, held: Tensor, weights: Tensor) -> Tensor:
    """The formulas of the module, tensor by tensor."""
    place, channel = 0, 0

    def take(*shape: int) -> Tensor:
        nonlocal place
        size = torch.Size(shape).numel()
        place += size
        return weights[place - size : place].view(shape)

    signal, total, samples = audio[:, None], None, audio.size(1) - net.reach
    for channels, head, kernel, dilations in sizes:
        signal = conv1d(signal, take(channels, signal.size(1))[..., None])
        for dilation in dilations:
            taps, mixer = take(kernel, channels, channels), take(channels)
            last, bias = take(channels, channels), take(channels)
            z = conv1d(signal, taps.permute(1, 2, 0), dilation=dilation)
            condition = mixer[:, None] * audio[:, None, audio.size(1) - z.size(-1) :]
            z = torch.tanh(z + held[:, channel : channel + channels, None] + condition)
            part = z[..., z.size(-1) - samples :]
            total = part if total is None else total + part
            signal = signal[..., signal.size(-1) - z.size(-1) :] + conv1d(z, last[..., None], bias)
            channel += channels
        total = conv1d(total, take(head, channels)[..., None], take(head))
    assert total is not None
    return total[:, 0]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [pytest.param(torch.float64, 1e-12, marks=pytest.mark.slow), (torch.float32, 2e-5)]
)
def test_output_and_gradients_are_those_of_convolutions(case: str, dtype: torch.dtype, tolerance: float):
    sizes, samples = CASES[case]
    net = layout(sizes)
    leaves = leaves_of(net, samples, dtype)
    results = []
    for out in (by_convolution(sizes, net, *leaves), cold(net, *leaves)[0]):
        torch.manual_seed(2)
        gradients = torch.autograd.grad((out * torch.randn_like(out)).sum(), leaves, allow_unused=True)
        results.append([out.detach(), *gradients])
    for expected, found in zip(*results, strict=True):
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.slow
def test_gradients_agree_with_finite_differences():
    net = layout([ArraySizes(3, 2, 2, (1, 3)), ArraySizes(2, 1, 3, (2,))])
    assert torch.autograd.gradcheck(lambda *t: cold(net, *t)[0], leaves_of(net, 5, torch.float64))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)])
@torch.no_grad()
def test_warm_blocks_of_any_length_go_on_where_a_cold_one_ended(case: str, dtype: torch.dtype):
    sizes, samples = CASES[case]
    net = layout(sizes)
    audio, held, weights = leaves_of(net, samples + 400, dtype)
    whole, last = cold(net, audio, held, weights)
    first, past = cold(net, audio[:, : net.reach + 100], held, weights)
    blocks = [first]
    for block in audio[:, net.reach + 100 :].split([1, 256, 3, samples + 40], dim=1):
        out, past = warm(net, block, held, weights, past)
        blocks.append(out)
    torch.testing.assert_close(torch.cat(blocks, dim=1), whole)
    torch.testing.assert_close(past, last)


def test_tanh_and_products_stay_accurate_in_float32():
    """Weights as large as captures have them."""
    sizes = [ArraySizes(16, 8, 3, (1, 2, 4)), ArraySizes(8, 1, 3, (8, 16))]
    net = layout(sizes)
    leaves = [2 * t.detach() for t in leaves_of(net, 400, torch.float64)]
    single = cold(net, *(t.float() for t in leaves))[0].double()
    expected = by_convolution(sizes, net, *leaves)
    assert float((single - expected).abs().max()) < 1e-5 * float(expected.abs().max())
