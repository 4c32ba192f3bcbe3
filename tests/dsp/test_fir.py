"""Zero-phase FIR filters against SciPy's discrete Fourier transform."""

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch

from graphmix.dsp.fir import odd_taps, windowed_fir, zero_phase_fir


def test_taps_are_symmetric_and_the_windowed_inverse_transform() -> None:
    log_magnitude = torch.randn(3, 16, dtype=torch.float64)
    taps = zero_phase_fir(log_magnitude, 31).numpy()
    np.testing.assert_allclose(taps, taps[:, ::-1], atol=1e-15)
    unwindowed = scipy.fft.fftshift(scipy.fft.irfft(np.exp(log_magnitude.numpy()), 31), axes=-1)
    np.testing.assert_allclose(taps, unwindowed * scipy.signal.get_window("hann", 31, fftbins=False), atol=1e-15)


@pytest.mark.parametrize("level", [1.0, 0.1, -2.0])
def test_a_flat_magnitude_is_one_tap(level: float) -> None:
    taps = windowed_fir(torch.full((16,), level, dtype=torch.float64), 31)
    expected = torch.zeros(31, dtype=torch.float64)
    expected[15] = level
    torch.testing.assert_close(taps, expected, atol=1e-15, rtol=1e-12)


def test_gradients_agree_with_finite_differences() -> None:
    log_magnitude = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: zero_phase_fir(x, 11), log_magnitude)


@pytest.mark.parametrize(("magnitudes", "taps"), [(16, 32), (16, 29)])
def test_magnitudes_that_do_not_fit_the_taps_are_refused(magnitudes: int, taps: int) -> None:
    with pytest.raises(ValueError, match=f"{magnitudes} magnitudes do not make a zero-phase FIR of {taps} taps"):
        windowed_fir(torch.ones(magnitudes), taps)


@pytest.mark.parametrize("sample_rate", [8000, 30000, 44100, 48000, 96000])
def test_taps_are_odd_and_last_as_long_at_every_rate(sample_rate: int) -> None:
    taps = odd_taps(0.01, sample_rate)
    assert taps % 2 == 1
    assert abs(taps - 0.01 * sample_rate) < 1 + 1e-9
