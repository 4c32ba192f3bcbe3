"""Compiled curves against those of their processors, which are tensor operations; the tangent against NumPy."""

import numba
import numpy as np
import pytest
import torch

from graphmix.dsp.shaping import tangent
from graphmix.processors.saturation import Chebyshev, Clipper, Power, Saturation, Tanh
from tests.random_parameters import params

CURVES: dict[type[Saturation], dict[str, float]] = {
    Tanh: {"drive_db": 18.0, "asymmetry": -0.6},
    Clipper: {"ceiling_db": -12.0, "hardness": 0.4},
    Power: {"drive_db": 18.0, "amount": 0.3},
    Chebyshev: {"drive_db": 18.0, "amount": 0.3},
}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("kind", CURVES)
def test_a_compiled_curve_and_its_gradients_are_those_of_tensor_operations(kind: type[Saturation], whole: bool) -> None:
    """More than one block, whose last one is not full; each node has constants of its own."""
    processor, generator = kind(44100, antialiased=False), torch.Generator().manual_seed(0)
    values = params(processor, **CURVES[kind]).double().repeat(3, 1)
    values = values + 0.05 * torch.rand(values.shape, generator=generator, dtype=torch.float64)
    audio = 0.4 * torch.randn(3, 2, 5003, generator=generator, dtype=torch.float64)
    inputs = audio.requires_grad_(), values.requires_grad_()
    found = processor.compiled(*inputs, whole)
    expected = processor.residue(*inputs) + (inputs[0] if whole else 0)
    assert found is not None
    torch.testing.assert_close(found, expected, atol=1e-13, rtol=1e-11)
    weights = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    gradients = (torch.autograd.grad((output * weights).sum(), inputs) for output in (found, expected))
    for own, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(own, plain, atol=1e-11, rtol=1e-10)


@numba.njit
def _all(x: np.ndarray, out: np.ndarray) -> None:
    for k in range(x.size):
        out[k] = tangent(x[k])


def test_the_tangent_of_float32_keeps_its_last_places_however_small_it_is() -> None:
    sizes = np.logspace(-30, 3, 20001, dtype=np.float32)
    x = np.concatenate([-sizes, np.zeros(1, np.float32), sizes])
    out = np.empty_like(x)
    _all(x, out)
    np.testing.assert_allclose(out, np.tanh(x.astype(np.float64)), rtol=3e-7)
