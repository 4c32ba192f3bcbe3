r"""An orthonormal basis of impulse responses: free taps, then resonances spread evenly by factors of frequency.

An ear and an equalizer resolve frequencies by their ratio, an impulse response by their difference: to shape 30 Hz it
takes thousands of taps, nearly all of which say nothing. Kautz functions (Paatero & Karjalainen 2003) are the
impulse responses of resonances at chosen poles, made orthogonal by all-passes before them; few of them describe any
filter whose response is smooth over the logarithm of frequency. Pure delays are the case of poles at zero: the first
taps are free.

Whatever is fitted to audio by gradients should look alike in all directions. Audio is weaker at high frequencies, so
the basis is made orthonormal not as it stands but after a filter of a pink spectrum.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

LOWEST_HZ, HIGHEST_OF_RATE = 12.0, 0.42
"""Frequencies of the resonances: from the first to that share of the sample rate."""
_PINK_HZ = 300.0
_PINK_FLOOR = 0.02
_RIDGE = 1e-6


def resonances(count: int, sample_rate: int) -> NDArray[np.complex128]:
    """Poles in the upper half plane at equal ratios of frequency, each as wide as the distance to its neighbours."""
    if count == 0:
        return np.zeros(0, np.complex128)
    angles = 2 * np.pi * np.geomspace(LOWEST_HZ / sample_rate, HIGHEST_OF_RATE, count)
    widths = np.gradient(angles) if count > 1 else angles
    return np.exp(-widths / 2 + 1j * angles)


def kautz(poles: NDArray[np.complex128], samples: int) -> NDArray[np.float64]:
    """Kautz functions, two for each pole and its conjugate, [2 * poles, samples]: orthonormal where they have decayed.

    Args:
        poles: inside the unit circle.
        samples: of each impulse response.
    """
    signal = np.zeros(samples)
    signal[:1] = 1
    rows = []
    for pole in poles:
        gamma, rho = -2 * pole.real, abs(pole) ** 2
        denominator = [1.0, gamma, rho]
        for sign in (-1, 1):
            scale = math.sqrt(max(0.0, (1 - rho) * (1 + rho + sign * gamma) / 2))
            rows.append(lfilter([scale, sign * scale], denominator, signal))
        signal = lfilter([rho, gamma, 1.0], denominator, signal)
    return np.stack(rows) if rows else np.zeros((0, samples))


def filter_basis(taps: int, direct: int, count: int, sample_rate: int) -> NDArray[np.float64]:
    """Basis of impulse responses of ``taps`` samples, [functions, taps].

    Args:
        taps: samples of a response.
        direct: so many first taps are free.
        count: of resonances after them; fewer where there is no room for so many.
        sample_rate: in Hz.
    """
    direct = min(direct, taps)
    count = min(count, (taps - direct) // 4)
    basis = np.zeros((direct + 2 * count, taps))
    basis[:direct, :direct] = np.eye(direct)
    basis[direct:, direct:] = kautz(resonances(count, sample_rate), taps - direct)
    n_fft = 2 * taps
    frequency = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    pink = 1 / np.sqrt(1 + frequency / _PINK_HZ) + _PINK_FLOOR
    coloured = np.fft.irfft(np.fft.rfft(basis, n_fft) * pink, n_fft)
    white = np.linalg.solve(_cholesky(coloured @ coloured.T), basis)
    return white * math.sqrt(len(white)) / np.linalg.norm(white)


def _cholesky(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """The factor of a matrix of inner products, also where few taps hold resonances that hardly differ in them."""
    try:
        return np.asarray(np.linalg.cholesky(products), np.float64)
    except np.linalg.LinAlgError:
        ridge = _RIDGE * float(np.trace(products)) / len(products)
        return np.asarray(np.linalg.cholesky(products + ridge * np.eye(len(products))), np.float64)
