"""Products in registers against NumPy's."""

import numpy as np
import pytest

from graphmix.dsp.tiles import LANES, add_outer, add_product


def noise(*shape: int, dtype: type) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "inputs"), [(4, 4), (16, 16), (5, 3), (1, 7), (3, 1)])
def test_products_are_those_of_numpy(rows: int, inputs: int, dtype: type):
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    a, samples = noise(rows, inputs, dtype=dtype), 3 * LANES
    x, out = noise(inputs + 1, samples + 9, dtype=dtype)[:, 7:], noise(rows + 1, samples + 5, dtype=dtype)
    expected = out.copy()
    expected[:rows, :samples] += a @ x[:inputs, :samples]
    add_product(a, x, out, samples)
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance)
    grad = noise(rows, inputs, dtype=dtype)
    expected = grad + out[:rows, :samples] @ x[:inputs, :samples].T
    add_outer(out, x, grad, samples)
    np.testing.assert_allclose(grad, expected, rtol=tolerance, atol=10 * tolerance)


def test_what_lies_behind_the_last_vector_stays():
    out = np.zeros((4, 2 * LANES), np.float32)
    add_product(np.ones((4, 2), np.float32), np.ones((2, 2 * LANES), np.float32), out, LANES - 3)
    assert (out[:, :LANES] == 2).all()
    assert not out[:, LANES:].any()
