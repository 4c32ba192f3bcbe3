"""The compiled filter against the plain one with its cutoffs computed beforehand, and gradients."""

import math

import torch

from graphmix.dsp.moving_filter import moving_filter
from graphmix.dsp.state_variable import state_variable

SETTINGS = torch.tensor([[0.02, 0.5, 2.0, 0.3, 0.1, 0.4, 0.8], [0.1, 0.0, -1.0, 1.2, 0.0, 0.0, 1.0]]).double()


def signals(samples: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    x, pitch, modulation = torch.randn(2, 2, samples), torch.randn(2, 1), torch.rand(2, samples)
    return x.double(), pitch.double(), modulation.double()


def test_it_is_the_plain_filter():
    x, pitch, modulation = signals(1500)
    out, _ = moving_filter(x, pitch, modulation, SETTINGS, -9.0)
    cutoff, tracking, octaves, damping, direct, band, low = (column[:, None] for column in SETTINGS.unbind(1))
    share = cutoff * (tracking * (pitch + 9) / 12 + octaves * modulation).exp2()
    for channel in range(2):
        v2, v1, _ = state_variable(x[:, channel], torch.tan(math.pi * share.clamp(1e-5, 0.49)), damping)
        torch.testing.assert_close(out[:, channel], direct * x[:, channel] + band * v1 + low * v2)


def test_gradients_agree_with_finite_differences():
    inputs = [t.clone().requires_grad_() for t in (*signals(20), SETTINGS)]
    assert torch.autograd.gradcheck(lambda *t: moving_filter(*t, -9.0)[0], inputs)


def test_gradients_go_from_one_part_of_the_backward_pass_to_the_next():
    """More samples than are computed at once, against the plain filter's gradients."""
    x, _, modulation = signals(1500)
    settings = SETTINGS.clone()
    settings[:, 1], weight = 0.0, torch.randn(2, 2, 1500).double()
    ours = [t.clone().requires_grad_() for t in (x, modulation)]
    out, _ = moving_filter(ours[0], torch.zeros(2, 1).double(), ours[1], settings, 0.0)
    found = torch.autograd.grad((out * weight).sum(), ours)
    plain = [t.clone().requires_grad_() for t in (x, modulation)]
    cutoff, _, octaves, damping, direct, band, low = (column[:, None] for column in settings.unbind(1))
    gain = torch.tan(math.pi * (cutoff * (octaves * plain[1]).exp2()).clamp(1e-5, 0.49))
    total = torch.zeros(()).double()
    for channel in range(2):
        v2, v1, _ = state_variable(plain[0][:, channel], gain, damping)
        total = total + ((direct * plain[0][:, channel] + band * v1 + low * v2) * weight[:, channel]).sum()
    for one, other in zip(found, torch.autograd.grad(total, plain), strict=True):
        torch.testing.assert_close(one, other)


def test_nodes_together_are_nodes_one_by_one():
    """Nine of them, as four are computed side by side; in stereo, and of more than one part."""
    torch.manual_seed(1)
    settings = SETTINGS[:1] * (0.5 + torch.rand(9, 1))
    inputs = [torch.randn(9, 2, 300), torch.randn(9, 1), torch.rand(9, 300), settings]
    inputs = [t.double().requires_grad_() for t in inputs]
    weight = torch.randn(9, 2, 300).double()

    def play(rows: slice) -> tuple[torch.Tensor, ...]:
        own = [t[rows].detach().requires_grad_() for t in inputs]
        out, state = moving_filter(*own, -9.0)
        return out.detach(), state, *torch.autograd.grad((out * weight[rows]).sum(), own)

    alone = [torch.cat(parts) for parts in zip(*(play(slice(row, row + 1)) for row in range(9)), strict=True)]
    for one, other in zip(play(slice(None)), alone, strict=True):
        torch.testing.assert_close(one, other)
