"""Means over songs with 95 % percentile bootstrap intervals (:func:`scipy.stats.bootstrap`): songs are drawn again and
again with replacement.

One song gives a point, no song gives no interval. The same values give the same interval at every call.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

DRAWS, LEVEL = 2000, 0.95
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap(values: Sequence[float | None], seed: int = 0) -> Interval | None:
    """Mean of the known values with its interval; None if there is none."""
    known = np.array([value for value in values if value is not None and math.isfinite(value)], dtype=np.float64)
    if not known.size:
        return None
    return bootstrap_songs(float(known.mean()), known, lambda drawn: drawn.mean(-1), seed)


def bootstrap_songs(exact: float, songs: Values, statistic: Callable[[Values], Values], seed: int = 0) -> Interval:
    """Interval of a statistic of songs around its exact value.

    Args:
        exact: the statistic of all songs.
        songs: what is known of each, [songs, ...].
        statistic: [draws, songs, ...] -> [draws]; not a number where a draw has none.
        seed: of the draws.
    """
    if len(songs) < 2:
        return Interval(exact, exact, exact)
    from scipy import stats  # here: it takes long to import

    def of_draws(places: npt.NDArray[Any], axis: int) -> Values:
        return statistic(songs[places.astype(np.int64)])

    with warnings.catch_warnings():  # of draws without a value, which are left out below
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        drawn = stats.bootstrap(
            (np.arange(len(songs)),),
            of_draws,
            n_resamples=DRAWS,
            vectorized=True,
            method="percentile",
            random_state=np.random.default_rng(seed),
        ).bootstrap_distribution
    known = drawn[np.isfinite(drawn)]
    if not known.size:
        return Interval(exact, exact, exact)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(exact, float(low), float(high))
