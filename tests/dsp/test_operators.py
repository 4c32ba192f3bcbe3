"""Operators against a plain loop, gradients against finite differences."""

import numpy as np
import pytest
import torch

from graphmix.dsp.operators import operator


def plain(phase: np.ndarray, beta: np.ndarray) -> np.ndarray:
    out = np.zeros((len(phase), phase.shape[1] + 2))
    for n in range(phase.shape[1]):
        fed = beta * (out[:, n + 1] + out[:, n]) / 2
        out[:, n + 2] = np.sin(2 * np.pi * phase[:, n] + fed)
    return out[:, 2:]


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_it_is_the_recursion(beta: float):
    phase = torch.cumsum(torch.rand(3, 200, dtype=torch.float64) * 0.02, 1)
    beta_ = torch.full((3,), beta, dtype=torch.float64)
    expected = plain(phase.numpy(), beta_.numpy())
    np.testing.assert_allclose(operator(phase, beta_, torch.float64), expected, atol=1e-9)


def test_gradients_agree_with_finite_differences():
    torch.manual_seed(0)
    phase = torch.cumsum(torch.rand(2, 25, dtype=torch.float64) * 0.1, 1).requires_grad_()
    beta = torch.tensor([0.0, 1.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p, b: operator(p, b, torch.float64), (phase, beta))
