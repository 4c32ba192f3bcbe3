"""Echoes and the surrogate gradient of their delays, against the sums that they are."""

import math

import numba
import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.dsp.echoes import RADIUS_PULL, _Echoes, _EchoesByTensors, echoes

NODES, TAPS, SEGMENT, WIDTH = 3, 4, 60, 7


def points(radius: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """z of that radius, its delays between samples, [nodes, 2, taps, 2]."""
    sample = torch.randint(SEGMENT, (NODES, 2, TAPS)) + 0.8 * torch.rand(NODES, 2, TAPS) - 0.4
    angle = -2 * math.pi * sample.clamp(min=0).double() / SEGMENT
    return (radius * torch.stack([angle.cos(), angle.sin()], dim=-1)).to(dtype)


def symmetric_filters(dtype: torch.dtype = torch.float64, width: int = WIDTH) -> Tensor:
    filters = torch.randn(NODES, 2, TAPS, width, dtype=dtype)
    return filters + filters.flip(-1)


def gradients(function: type[torch.autograd.Function], z: Tensor, filters: Tensor, weight: Tensor) -> list[Tensor]:
    """The response, and the gradients of its weighted sum."""
    z, filters = z.flatten(0, 1).clone().requires_grad_(), filters.flatten(0, 1).clone().requires_grad_()
    response = function.apply(z, filters, SEGMENT)
    return [response.detach(), *torch.autograd.grad((response * weight).sum(), (z, filters))]


def weights(width: int = WIDTH, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(NODES * 2, TAPS * SEGMENT + width - 1, dtype=dtype)


@pytest.mark.parametrize("width", [1, 3, 5, WIDTH])
@pytest.mark.parametrize("radius", [0.0, 1e-4, 0.5, 0.99, 1.0])
def test_the_compiled_passes_are_the_tensor_operations(radius: float, width: int) -> None:
    inputs = points(radius), symmetric_filters(width=width), weights(width)
    for mine, plain in zip(gradients(_Echoes, *inputs), gradients(_EchoesByTensors, *inputs), strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-9, atol=1e-9)


def test_in_float32_they_agree_to_its_precision() -> None:
    inputs = points(0.9, torch.float32), symmetric_filters(torch.float32), weights(dtype=torch.float32)
    for mine, plain in zip(gradients(_Echoes, *inputs), gradients(_EchoesByTensors, *inputs), strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("off_the_sample", [0.0, 1e-12, 1e-8, 1e-6, 1e-4])
def test_the_slope_is_exact_where_its_closed_form_divides_zero_by_zero(off_the_sample: float) -> None:
    angle = -2 * math.pi / SEGMENT * (torch.randint(SEGMENT, (NODES, 2, TAPS)).double() + off_the_sample)
    z = torch.stack([angle.cos(), angle.sin()], dim=-1)
    inputs = z, symmetric_filters(), weights()
    mine, plain = (gradients(function, *inputs)[1] for function in (_Echoes, _EchoesByTensors))
    torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_a_delay_is_that_of_damped_sinusoids() -> None:
    """Equations 25 and 26, the sums written out."""
    z, filters, weight = points(0.8)[:1, :1], symmetric_filters()[:1, :1], weights()[:1]
    leaf = z.clone().requires_grad_()
    found = torch.autograd.grad((echoes(leaf, filters, SEGMENT)[0] * weight).sum(), leaf)[0][0, 0].numpy()
    k, n = np.arange(SEGMENT // 2 + 1), np.arange(SEGMENT)
    lag = np.arange(WIDTH) - WIDTH // 2
    for tap, (real, imag) in enumerate(z[0, 0].tolist()):
        window = weight[0, WIDTH // 2 + tap * SEGMENT :][:SEGMENT].numpy()
        gradient = np.exp(-2j * np.pi * np.outer(k, n) / SEGMENT) @ window
        gain = np.exp(-2j * np.pi * np.outer(k, lag) / SEGMENT) @ filters[0, 0, tap].numpy()
        point = complex(real, imag)
        slope = np.sum(k[1:] * np.conj(point) ** (k[1:] - 1) * (gradient * gain)[1:])
        expected = slope / abs(slope) + RADIUS_PULL * (abs(point) - 1) * point / abs(point)
        assert complex(*found[tap]) == pytest.approx(expected, abs=1e-9)


def test_every_echo_stands_where_its_angle_says() -> None:
    delays = [[3, 17, 0, 59]]
    angle = -2 * math.pi * torch.tensor(delays).double() / SEGMENT
    z = torch.stack([angle.cos(), angle.sin()], dim=-1)[None]
    filters = torch.tensor([0.5, 1.0, 0.5]).double().expand(1, 1, TAPS, 3)
    response = echoes(z, filters, SEGMENT)[0, 0]
    expected = np.zeros(TAPS * SEGMENT + 2)
    for tap, delay in enumerate(delays[0]):
        expected[tap * SEGMENT + delay : tap * SEGMENT + delay + 3] += [0.5, 1.0, 0.5]
    np.testing.assert_allclose(response.numpy(), expected)


def test_gradients_by_the_filters_agree_with_finite_differences() -> None:
    z, filters = points(0.5), symmetric_filters().requires_grad_()
    assert torch.autograd.gradcheck(lambda f: echoes(z, f, SEGMENT), (filters,), fast_mode=True)


def test_the_number_of_threads_changes_no_bit() -> None:
    inputs = points(0.9), symmetric_filters(), weights()
    several = gradients(_Echoes, *inputs)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert all(torch.equal(a, b) for a, b in zip(several, gradients(_Echoes, *inputs), strict=True))
    finally:
        numba.set_num_threads(threads)
