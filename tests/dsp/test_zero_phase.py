"""Real responses of short symmetric filters against one long FFT."""

import pytest
import torch
from torch import Tensor

from graphmix.dsp.zero_phase import by_tensors, zero_phase_response

NODES = 3


def symmetric(taps: int, dtype: torch.dtype = torch.float64) -> Tensor:
    half = torch.randn(NODES, taps, dtype=dtype)
    return half + half.flip(-1)


# one residue, two, odd and even numbers of them, odd lengths, and a prime
@pytest.mark.parametrize("n_fft", [7, 8, 14, 20, 21, 28, 35, 40, 45, 64, 97, 120, 143, 240])
@pytest.mark.parametrize("taps", [1, 3, 7])
def test_bins_of_all_residues_are_those_of_one_long_fft(taps: int, n_fft: int) -> None:
    weight = torch.randn(NODES, n_fft // 2 + 1, dtype=torch.float64)
    leaf = symmetric(taps).requires_grad_()
    results = []
    for function in (zero_phase_response, by_tensors):
        response = function(leaf, n_fft)
        gradient = torch.autograd.grad((response * weight).sum(), leaf)[0]
        results.append((response, gradient + gradient.flip(-1)))
    for mine, plain in zip(*results, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_a_long_response_keeps_its_precision(dtype: torch.dtype, tolerance: float) -> None:
    taps = symmetric(2047)
    response = zero_phase_response(taps.to(dtype), 240000)
    assert response.dtype == dtype
    error = (response - by_tensors(taps, 240000)).abs().max() / response.abs().max()
    assert float(error) < tolerance


def test_a_unit_impulse_has_response_1() -> None:
    torch.testing.assert_close(zero_phase_response(torch.tensor([[0.0, 1.0, 0.0]]), 60), torch.ones(1, 31))


def test_gradients_agree_with_finite_differences() -> None:
    half = torch.randn(2, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: zero_phase_response(torch.cat([h, h.flip(-1)[..., 1:]], -1), 36), half)


def test_more_taps_than_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="7 taps do not fit into n_fft = 6"):
        zero_phase_response(symmetric(7), 6)
