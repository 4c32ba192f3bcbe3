"""Mel magnitudes: the compiled pass against plain tensor operations and finite differences."""

import pytest
import torch
from torch import Tensor

from graphmix.dsp.mel import _StereoMelsByTensors, stereo_mels

EPS = 1e-4
FRAMES, BINS, BANDS = 5, 17, 6


def triangles(bins: int, bands: int) -> Tensor:
    """Overlapping filters, one of them empty, [bins, bands]."""
    centers = torch.linspace(0, bins - 1, bands)
    filters = (1 - (torch.arange(bins)[:, None] - centers).abs() / 3.3).clamp(min=0).double()
    filters[:, 2] = 0
    return filters


def spectra(level: float = 1.0) -> Tensor:
    return level * torch.randn(2, 2, FRAMES, BINS, dtype=torch.complex128)


def plain(x: Tensor, filters: Tensor) -> Tensor:
    left, right = x.unbind(1)
    signals = torch.stack([left, right, left + right, left - right], dim=1)
    return torch.view_as_real(signals).square().sum(-1).clamp(min=EPS).sqrt() @ filters


@pytest.mark.parametrize("filters", [triangles(BINS, BANDS), torch.rand(BINS, BANDS).double()])
@pytest.mark.parametrize("level", [1.0, 0.01, 0.0])
def test_values_and_gradients_are_those_of_automatic_differentiation(filters: Tensor, level: float) -> None:
    x, weights = spectra(level).requires_grad_(), torch.randn(2, 4, FRAMES, BANDS).double()
    expected = plain(x, filters)
    (gradient,) = torch.autograd.grad((expected * weights).sum(), x)
    for mels in (stereo_mels(x, filters, EPS), _StereoMelsByTensors.apply(x, filters, EPS)):
        torch.testing.assert_close(mels, expected)
        torch.testing.assert_close(torch.autograd.grad((mels * weights).sum(), x)[0], gradient)


def test_gradients_agree_with_finite_differences() -> None:
    x = spectra().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: stereo_mels(x, triangles(BINS, BANDS), 1e-9), x)


def test_single_precision_is_as_exact_as_it_can_be() -> None:
    x, filters = spectra(), triangles(BINS, BANDS)
    mels = stereo_mels(x.to(torch.complex64), filters.float(), EPS)
    torch.testing.assert_close(mels.double(), stereo_mels(x, filters, EPS), rtol=1e-5, atol=1e-6)
