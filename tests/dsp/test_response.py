"""The compiled pass of filtering, dry/wet and energies against plain tensor operations."""

import pytest
import torch
from torch import Tensor

from graphmix.dsp.fft import irfft, parseval_weights, rfft
from graphmix.dsp.response import apply_by_tensors, apply_response

NODES = 3
N_FFT = 40
LONG = 20000
"""More bins than one thread takes at a time."""


def spectra(n_fft: int) -> Tensor:
    return rfft(torch.randn(NODES, 2, n_fft - 7, dtype=torch.float64), n_fft)


def responses(n_fft: int, channels: int, is_real: bool) -> Tensor:
    dtype = torch.float64 if is_real else torch.complex128
    return torch.randn(NODES, channels, n_fft // 2 + 1, dtype=dtype)


def leaves(*tensors: Tensor) -> list[Tensor]:
    return [t.clone().requires_grad_() for t in tensors]


@pytest.mark.parametrize("n_fft", [N_FFT, LONG])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("is_real", [True, False])
def test_the_compiled_pass_is_the_tensor_operations(n_fft: int, channels: int, is_real: bool) -> None:
    inputs = spectra(n_fft), responses(n_fft, channels, is_real), torch.rand(NODES, dtype=torch.float64)
    weights = parseval_weights(n_fft)
    to_y, to_energy = torch.randn_like(inputs[0]), torch.randn(NODES, 2, dtype=torch.float64)
    results = []
    for compiled in (True, False):
        u, h, wet = leaves(*inputs)
        y, energy = apply_response(u, h, wet, n_fft) if compiled else apply_by_tensors(u, h, wet, weights)
        loss = (y * to_y).real.sum() + (energy * to_energy).sum()
        results.append([y, energy, *torch.autograd.grad(loss, (u, h, wet))])
    for mine, plain in zip(*results, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("is_real", [True, False])
def test_gradients_agree_with_finite_differences(channels: int, is_real: bool) -> None:
    inputs = leaves(spectra(12), responses(12, channels, is_real), torch.rand(NODES, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda u, h, wet: apply_response(u, h, wet, 12), inputs)


def test_energies_are_those_of_the_mid_channel_in_time() -> None:
    u, h = spectra(N_FFT), responses(N_FFT, 2, True)
    _, energy = apply_response(u, h, torch.rand(NODES), N_FFT)
    for column, spectrum in enumerate((u * h, u)):
        mid = irfft(spectrum, N_FFT, N_FFT).mean(1)
        torch.testing.assert_close(energy[:, column], mid.square().sum(-1))


def test_weight_zero_is_dry_and_weight_one_is_wet() -> None:
    u, h = spectra(N_FFT), responses(N_FFT, 1, False)
    torch.testing.assert_close(apply_response(u, h, torch.zeros(NODES), N_FFT)[0], u)
    torch.testing.assert_close(apply_response(u, h, torch.ones(NODES), N_FFT)[0], u * h)


def test_a_lazily_conjugated_spectrum_is_read_as_it_is() -> None:
    u, h = spectra(N_FFT).conj(), responses(N_FFT, 1, False).conj()
    torch.testing.assert_close(apply_response(u, h, torch.ones(NODES), N_FFT)[0], (u * h).resolve_conj())
