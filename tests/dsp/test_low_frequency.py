"""Slow oscillations against their formula, gradients against finite differences."""

import numpy as np
import torch

from graphmix.dsp.low_frequency import oscillation

SETTINGS = torch.tensor([[0.5, 0.3, 0.2, 0.4, 0.1, 0.0113, 0.31, 70.3]], dtype=torch.float64)


def test_it_is_the_sum_of_its_waves_faded_in():
    n = np.arange(900)
    place = (0.0113 * n + 0.31) % 1
    triangle = 1 - 4 * np.abs((place + 0.25) % 1 - 0.5)
    waves = (
        0.3 * np.sin(2 * np.pi * place) + 0.2 * triangle + 0.4 * (2 * place - 1) + 0.1 * np.where(place < 0.5, 1, -1)
    )
    expected = 0.25 + 0.5 * waves * np.minimum(1, n / 70.3)
    found = oscillation(torch.full((1, 1), 0.25, dtype=torch.float64), SETTINGS, 900)
    np.testing.assert_allclose(found[0], expected, atol=1e-12)


def test_gradients_agree_with_finite_differences():
    dry, settings = torch.rand(1, 30, dtype=torch.float64), SETTINGS.clone()
    assert torch.autograd.gradcheck(
        lambda d, s: oscillation(d, s, 30), [dry.requires_grad_(), settings.requires_grad_()]
    )
