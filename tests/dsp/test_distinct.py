"""Marked reads and writes are reads and writes."""

import numba
import numpy as np

from graphmix.dsp.distinct import pick, put, read, write


@numba.njit
def _square(x: np.ndarray, places: np.ndarray, out: np.ndarray) -> None:
    for i in range(places.size):
        value = pick(x, pick(places, i))
        put(out, i, value * value)


@numba.njit
def _double_in_turn(x: np.ndarray) -> None:
    for i in range(1, x.size):
        write(x, i, 2 * read(x, i - 1))


def test_picked_from_a_table_and_put_elsewhere():
    x, places = np.arange(50.0, dtype=np.float32), np.arange(49, -1, -1, dtype=np.int32)
    out = np.empty(50)
    _square(x, places, out)
    np.testing.assert_array_equal(out, x[places] ** 2)


def test_what_is_written_is_read_again():
    x = np.ones(20)
    _double_in_turn(x)
    np.testing.assert_array_equal(x, 2.0 ** np.arange(20))
