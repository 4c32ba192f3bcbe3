"""Powers of two and sines against NumPy, also where sums may be computed in any order."""

import numba
import numpy as np

from graphmix.dsp.elementary import SUMS, exp2, sine


@numba.njit
def _powers(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        out[i] = exp2(x[i])


@numba.njit(fastmath=SUMS)
def _sines(x: np.ndarray, out: np.ndarray) -> float:
    total = 0.0
    for i in range(x.size):
        out[i] = sine(x[i])
        total += out[i]
    return total


def test_powers_of_two_are_exact_to_rounding():
    x = np.concatenate([np.linspace(-40, 40, 9999), [0.5, -0.5, 900.0, -900.0]])
    out = np.empty_like(x)
    _powers(x, out)
    np.testing.assert_allclose(out, np.exp2(x), rtol=1e-15)


def test_sines_are_exact_to_rounding_and_have_their_period():
    x = np.linspace(-3, 3, 12001)
    out = np.empty_like(x)
    total = _sines(x, out)
    np.testing.assert_allclose(out, np.sin(2 * np.pi * x), atol=2e-15)
    np.testing.assert_allclose(total, np.sum(np.sin(2 * np.pi * x)), atol=1e-10)
