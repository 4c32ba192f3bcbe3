"""The state-variable filter against the bilinear transform of its prototype, and gradients."""

import numpy as np
import pytest
import torch
from scipy import signal

from graphmix.dsp.state_variable import state_variable

RATE = 48000


@pytest.mark.parametrize("hz", [30.0, 500.0, 8000.0, 20000.0])
@pytest.mark.parametrize("q", [0.5, 1.0, 20.0])
def test_at_rest_it_is_the_filter_of_second_order(hz: float, q: float):
    x = torch.randn(2, 2000, dtype=torch.float64)
    g = np.tan(np.pi * hz / RATE)
    outputs = state_variable(x, torch.full_like(x, g), torch.full((2, 1), 1 / q, dtype=torch.float64))
    w = 2 * RATE * g  # prewarped
    for out, numerator in zip(outputs, ([w * w], [w, 0], [1, 0, 0]), strict=True):
        b, a = signal.bilinear(numerator, [1, w / q, w * w], RATE)
        np.testing.assert_allclose(out, signal.lfilter(b, a, x.numpy()), rtol=1e-6, atol=1e-7)


def test_outputs_add_up_whatever_the_cutoff_does():
    torch.manual_seed(1)
    x, g = torch.randn(1, 500, dtype=torch.float64), torch.rand(1, 500, dtype=torch.float64) * 5
    k = torch.rand(1, 500, dtype=torch.float64) + 0.05
    low, band, high = state_variable(x, g, k)
    torch.testing.assert_close(low + k * band + high, x)
    assert torch.stack([low, band, high]).abs().max() < 100


@pytest.mark.parametrize("moving", [False, True])
def test_gradients_agree_with_finite_differences(moving: bool):
    torch.manual_seed(2)
    x, g = torch.randn(2, 30, dtype=torch.float64), torch.rand(2, 30, dtype=torch.float64) + 0.05
    k = torch.rand(2, 30 if moving else 1, dtype=torch.float64) + 0.1
    inputs = [t.requires_grad_() for t in (x, g, k)]
    assert torch.autograd.gradcheck(state_variable, inputs)


def test_single_precision_is_near_the_double_one():
    torch.manual_seed(3)
    x, g = torch.randn(1, 50000), torch.full((1, 50000), 0.001)
    k = torch.full((1, 1), 0.1)
    single, double = state_variable(x, g, k), state_variable(x.double(), g.double(), k.double())
    for a, b in zip(single[:2], double[:2], strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-3, atol=1e-5)
