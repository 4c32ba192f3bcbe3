"""Bootstrap intervals: as wide as in theory; points for one song, none for no song."""

import math

import numpy as np
import pytest

from graphmix.evaluation.intervals import DRAWS, Interval, bootstrap, bootstrap_songs


def test_the_interval_of_equal_values_is_a_point() -> None:
    found = bootstrap([0.5, 0.5, None, 0.5])
    assert found is not None
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)
    assert bootstrap([None, None]) is None


def test_the_interval_is_about_as_wide_as_in_theory() -> None:
    values = np.random.default_rng(0).normal(3.0, 1.0, 400)
    found = bootstrap(values.tolist())
    assert found is not None
    assert found.mean == pytest.approx(values.mean())
    error = values.std(ddof=1) / np.sqrt(400)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert bootstrap(values.tolist()) == found  # the same at every call


def test_one_song_is_a_point_and_no_song_nothing() -> None:
    assert bootstrap([0.25]) == Interval(0.25, 0.25, 0.25)
    assert bootstrap([]) is None
    assert bootstrap([math.nan, math.inf, 0.25]) == Interval(0.25, 0.25, 0.25)
    assert bootstrap_songs(0.5, np.zeros((1, 3)), lambda drawn: drawn.mean((1, 2))) == Interval(0.5, 0.5, 0.5)


def test_draws_that_have_no_value_are_left_out() -> None:
    songs = np.array([1.0, np.nan, 3.0])
    found = bootstrap_songs(2.0, songs, lambda drawn: drawn.mean(-1))
    assert (found.low, found.high) == (1.0, 3.0)


def test_the_draws_are_those_of_the_generator() -> None:
    """Against plain numpy: the same songs in every draw."""
    values = np.random.default_rng(1).normal(size=9)
    draws = np.random.default_rng(4).integers(0, 9, (DRAWS, 9))
    low, high = np.quantile(values[draws].mean(1), [0.025, 0.975])
    found = bootstrap(values.tolist(), seed=4)
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))
