"""Powers of two and logarithms in compiled loops against NumPy's in float64."""

import numba
import numpy as np
import pytest

from graphmix.dsp.powers import FASTMATH, exp2, log2


@numba.njit(fastmath=FASTMATH, error_model="numpy")
def logarithms(x: np.ndarray, out: np.ndarray) -> None:
    for k in range(x.size):
        out[k] = log2(x[k])


@numba.njit(fastmath=FASTMATH, error_model="numpy")
def powers(x: np.ndarray, out: np.ndarray) -> None:
    for k in range(x.size):
        out[k] = exp2(x[k])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-7), (np.float64, 1e-15)])
def test_logarithms(dtype: type, tolerance: float) -> None:
    x = np.concatenate([2.0 ** np.linspace(-126, 127, 20001), 1 + np.linspace(-1e-3, 1e-3, 2001)]).astype(dtype)
    out = np.empty_like(x)
    logarithms(x, out)
    np.testing.assert_allclose(out, np.log2(x.astype(np.float64)), rtol=tolerance, atol=1e-9 * tolerance)
    assert out[x == 1].tolist() == [0.0]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-7), (np.float64, 1e-15)])
def test_powers(dtype: type, tolerance: float) -> None:
    x = np.linspace(-126, 127, 30001).astype(dtype)
    out = np.empty_like(x)
    powers(x, out)
    np.testing.assert_allclose(out, np.exp2(x.astype(np.float64)), rtol=tolerance)


def test_powers_of_float32_at_the_ends() -> None:
    x = np.array([-np.inf, -1e6, -126.5, 0.0, 1.0, 1e6, np.nan], np.float32)
    out = np.empty_like(x)
    powers(x, out)
    np.testing.assert_array_equal(out, np.array([0, 0, 0, 1, 2, 2.0**127, np.nan], np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_undefined_stays_undefined(dtype: type) -> None:
    x = np.full(20, np.nan, dtype)
    for function in (logarithms, powers):
        out = np.zeros_like(x)
        function(x, out)
        assert np.isnan(out).all()


def test_outside_of_compiled_loops_they_are_the_librarys() -> None:
    assert (log2(8.0), exp2(-2.0)) == (3.0, 0.25)
