"""Sums that tables share, against the value of each table at each place."""

import numpy as np
import pytest

from graphmix.dsp.table_sums import clear, gather, product

POINTS, LEVELS = 35, 3


def value(table: np.ndarray, at: int, t: float) -> float:
    """Of the cubic through the two middle points whose slopes there are the central differences."""
    a, b, c, d = (float(x) for x in table[at : at + 4])
    fall = (c - a) / 2, (d - b) / 2
    basis = 2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t, -2 * t**3 + 3 * t**2, t**3 - t**2
    return basis[0] * b + basis[1] * fall[0] + basis[2] * c + basis[3] * fall[1]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-13)])
@pytest.mark.parametrize("count", [1, 3, 4, 203])
def test_a_product_with_a_table_is_the_sum_over_all_samples(dtype: type, tolerance: float, count: int):
    rng = np.random.default_rng(count)
    tables = rng.normal(size=(2, LEVELS * POINTS)).astype(np.float32)
    level = rng.choice([0, 2], count).astype(np.int32) * POINTS
    at = (level + rng.integers(0, POINTS - 3, count)).astype(np.int32)
    t, grad = rng.random(count).astype(np.float32), rng.normal(size=count).astype(dtype)
    sums, begun = np.full(LEVELS * POINTS, np.nan, dtype), np.zeros(LEVELS, np.uint8)
    half = -(-count // 2)
    for part in (slice(0, half), slice(half, count)):
        if at[part].size:
            clear(level[part], POINTS, sums, begun)
            gather(grad[part], at[part], t[part], sums)
    for table in tables:
        expected = sum(float(g) * value(table, int(i), float(x)) for g, i, x in zip(grad, at, t, strict=True))
        assert product(table, sums, begun) == pytest.approx(expected, abs=tolerance * max(1, count))
