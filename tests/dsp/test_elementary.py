"""Powers of two and sines against NumPy, also where sums may be computed in any order, and in float32."""

import numba
import numpy as np

from graphmix.dsp.elementary import SUMS, exp2, exp2_like, quarter_sine, sine


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


@numba.njit
def _short_powers(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        out[i] = exp2_like(x[i], np.float32(0))


@numba.njit
def _quarters(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        out[i] = quarter_sine(x[i])


def test_short_forms_are_as_exact_as_float32():
    x = np.linspace(-20, 20, 9999)
    out = np.empty_like(x)
    _short_powers(x, out)
    np.testing.assert_allclose(out, np.exp2(x), rtol=3e-10)
    single = x.astype(np.float32)
    result = np.empty_like(single)
    _powers(single, result)
    np.testing.assert_allclose(result, np.exp2(single.astype(np.float64)), rtol=3e-7)
    single = np.linspace(-0.25, 0.25, 9999).astype(np.float32)
    _quarters(single, result)
    np.testing.assert_allclose(result, np.sin(2 * np.pi * single.astype(np.float64)), atol=3e-7)
