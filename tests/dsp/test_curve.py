"""Curves through points against SciPy's splines, and their gradients."""

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicHermiteSpline

from graphmix.dsp.curve import through_points


def test_curves_are_catmull_rom_splines_that_go_on_straight():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(6)
    ends = np.concatenate([[2 * values[0] - values[1]], values, [2 * values[-1] - values[-2]]])
    slopes = (ends[2:] - ends[:-2]) / 2
    spline = CubicHermiteSpline(np.arange(6), values, slopes)
    places = np.concatenate([np.linspace(0, 5, 41), [-2.0, 7.5]])
    expected = np.append(spline(places[:-2]), [values[0] - 2 * slopes[0], values[-1] + 2.5 * slopes[-1]])
    found = through_points(torch.from_numpy(values)[None], torch.from_numpy(places)[None])[0]
    assert np.allclose(found, expected)


@pytest.mark.parametrize("rows", [1, 3])
def test_gradients_agree_with_finite_differences(rows: int):
    torch.manual_seed(0)
    points = torch.randn(rows, 5, dtype=torch.float64, requires_grad=True)
    place = (6 * torch.rand(3, 20, dtype=torch.float64) - 1).requires_grad_()
    assert torch.autograd.gradcheck(through_points, (points, place))
