"""Products of signals and gates of notes: values, gradients, signals of one number."""

import pytest
import torch

from graphmix.dsp.products import gate, modulate


@pytest.mark.parametrize("sizes", [(30, 30), (1, 30), (30, 1)])
def test_a_modulated_signal_and_its_gradients(sizes: tuple[int, int]):
    torch.manual_seed(0)
    u, control = (torch.randn(2, size, dtype=torch.float64) for size in sizes)
    p, q = torch.randn(2, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    expected = u * (p[:, None] + q[:, None] * control)
    torch.testing.assert_close(modulate(u, control, p, q, 30), expected)
    inputs = [t.requires_grad_() for t in (u, control, p, q)]
    assert torch.autograd.gradcheck(lambda *t: modulate(*t, 30), inputs)


def test_a_gate_is_open_from_one_sample_to_another():
    height = torch.tensor([0.5, 0.8, 1.0], dtype=torch.float64, requires_grad=True)
    begin, end = torch.tensor([3, -5, 20]), torch.tensor([6, 2, 99])
    out = gate(height, begin, end, 10)
    expected = torch.zeros(3, 10, dtype=torch.float64)
    expected[0, 3:6], expected[1, :2] = 0.5, 0.8
    torch.testing.assert_close(out, expected)
    (gradient,) = torch.autograd.grad(out.sum(), height)
    assert gradient.tolist() == [3.0, 2.0, 0.0]
