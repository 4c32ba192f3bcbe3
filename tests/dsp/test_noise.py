"""Masked noise: the compiled passes against the inverse STFT of torch, and gradients."""

import numba
import pytest
import torch
from torch import Tensor

from graphmix.dsp import noise as module
from graphmix.dsp.noise import by_tensors, masked_noise

BANDS = 6
SAMPLES = 251
"""Hops of 6: 42 frames, more than two blocks of the mask, and a last hop that is cut."""


def stft_and_window(samples: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    window = torch.hann_window(2 * BANDS, dtype=dtype)
    noise = torch.rand(2, samples, dtype=dtype) * 2 - 1
    stft = torch.stft(noise, 2 * BANDS, BANDS, window=window, center=True, pad_mode="constant", return_complex=True)
    return stft.mT, window


def levels(nodes: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Initial levels and decays per frame."""
    initial = torch.randn(nodes, 2, BANDS, dtype=dtype)
    return [initial.requires_grad_(), (-0.2 * torch.rand(nodes, 2, BANDS, dtype=dtype)).requires_grad_()]


@pytest.mark.parametrize("samples", [SAMPLES, 252, 253, 100, 7])
@pytest.mark.parametrize("nodes", [1, 3, module.NODES_AT_ONCE + 1])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-5)])
def test_the_compiled_passes_are_the_tensor_operations(
    nodes: int, samples: int, dtype: torch.dtype, tolerance: float
) -> None:
    (initial, decay), (noise, window) = levels(nodes, dtype), stft_and_window(samples, dtype)
    weight = torch.randn(nodes, 2, samples, dtype=dtype)
    results = []
    for function in (masked_noise, by_tensors):
        stereo = function(initial, decay, noise, window, samples)
        results.append([stereo, *torch.autograd.grad((stereo * weight).sum(), (initial, decay))])
    for mine, plain in zip(*results, strict=True):
        assert mine.dtype == dtype
        torch.testing.assert_close(mine, plain, rtol=tolerance, atol=tolerance * float(plain.detach().abs().max()))


def test_without_a_mask_the_noise_comes_back() -> None:
    window = torch.hann_window(2 * BANDS, dtype=torch.float64)
    signal = torch.randn(2, SAMPLES, dtype=torch.float64)
    stft = torch.stft(signal, 2 * BANDS, BANDS, window=window, center=True, pad_mode="constant", return_complex=True)
    silence = torch.zeros(1, 2, BANDS, dtype=torch.float64)
    stereo = masked_noise(silence, silence, stft.mT, window, SAMPLES)[0]
    torch.testing.assert_close(stereo, torch.stack([signal[0] + signal[1], signal[0] - signal[1]]))


def test_gradients_agree_with_finite_differences() -> None:
    noise, window = stft_and_window(SAMPLES)
    assert torch.autograd.gradcheck(
        lambda initial, decay: masked_noise(initial, decay, noise, window, SAMPLES), levels(2), fast_mode=True
    )


def test_a_mask_that_falls_below_all_numbers_is_silent_and_finite() -> None:
    noise, window = stft_and_window(SAMPLES, torch.float32)
    initial, decay = levels(1, torch.float32)
    stereo = masked_noise(initial, decay * 0 - 30, noise, window, SAMPLES)
    assert not stereo[..., SAMPLES // 2 :].any()
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(stereo.sum(), (initial, decay)))


def test_the_number_of_threads_changes_no_bit() -> None:
    (initial, decay), (noise, window) = levels(3, torch.float32), stft_and_window(SAMPLES, torch.float32)

    def results() -> list[Tensor]:
        stereo = masked_noise(initial, decay, noise, window, SAMPLES)
        return [stereo, *torch.autograd.grad(stereo.square().sum(), (initial, decay))]

    several, threads = results(), numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert all(torch.equal(a, b) for a, b in zip(several, results(), strict=True))
    finally:
        numba.set_num_threads(threads)
