"""How large real mixing sessions are and what is in them, as numbers, and drawing from these.

Sources. Tracks and subgroups: the track lists and instrument groups of 838 songs, 330 of MedleyDB (metadata under the
MIT licence) and 508 of the Mixing Secrets library; quantiles and fits over all of them, no row of either. Effects and
faders: five sessions of one artist in the free workstation Ardour (CC BY-SA 4.0), 15 to 42 routes each.

No track is in two subgroups, and grouping is one level deep, in all of them.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

Quantiles = tuple[tuple[float, float], ...]
"""(share of cases at or below, value), both rising; between them a straight line."""

TRACKS_PER_SONG: Quantiles = (
    (0.0, 1.0), (0.05, 4.0), (0.10, 6.0), (0.25, 12.0), (0.50, 19.0),
    (0.75, 31.0), (0.90, 46.0), (0.95, 55.0), (0.99, 76.0), (1.0, 136.0),
)  # fmt: skip
"""Dry tracks of a song, over both libraries."""

SUBGROUPS_SCALE, SUBGROUPS_POWER, SUBGROUPS_SPREAD = 2.12, 0.35, 0.30
"""Subgroups of a song with n tracks: scale * n ** power * exp(spread * normal), at least 1 and at most n."""

SIZE_CONCENTRATION = 1.0
"""Concentration of the symmetric Dirichlet shares by which tracks, beyond one each, fall to the subgroups: a small one
is uneven. A third of the subgroups then hold one track, as in real sessions."""

FADER_DB: Quantiles = ((0.0, -30.0), (0.1, -14.0), (0.5, -3.0), (0.9, 1.0), (1.0, 6.0))
"""Faders of the Ardour sessions in dB; the ends lie where no mix goes any further."""


def quantile(table: Quantiles, share: float) -> float:
    """The value below which a share of cases lies.

    >>> quantile(FADER_DB, 0.5)
    -3.0
    """
    shares, values = zip(*table, strict=True)
    return float(np.interp(share, shares, values))


def share_below(table: Quantiles, value: float) -> float:
    """The share of cases at or below a value: the inverse of :func:`quantile`.

    >>> share_below(FADER_DB, -3.0)
    0.5
    """
    shares, values = zip(*table, strict=True)
    return float(np.interp(value, values, shares))


def draw_num_tracks(rng: Generator, smallest: int, largest: int | None) -> int:
    """Tracks of a song, as real ones have that lie between two limits."""
    top = 1.0 if largest is None else share_below(TRACKS_PER_SONG, largest + 0.5)
    bottom = share_below(TRACKS_PER_SONG, smallest - 0.5)
    count = round(quantile(TRACKS_PER_SONG, float(rng.uniform(bottom, max(top, bottom)))))
    return max(smallest, count if largest is None else min(count, largest))


def draw_subgroup_sizes(rng: Generator, tracks: int) -> list[int]:
    """How many tracks each subgroup of a song holds, largest first."""
    typical = SUBGROUPS_SCALE * tracks**SUBGROUPS_POWER
    count = max(1, min(tracks, round(typical * math.exp(SUBGROUPS_SPREAD * rng.standard_normal()))))
    shares = rng.dirichlet([SIZE_CONCENTRATION] * count)
    sizes = 1 + rng.multinomial(tracks - count, shares)
    return sorted((int(size) for size in sizes), reverse=True)


def draw_weighted(rng: Generator, names: Sequence[str], weights: Sequence[float]) -> str:
    """One of some names, by weight."""
    total = np.cumsum(weights)
    return names[min(int(np.searchsorted(total, rng.random() * total[-1], side="right")), len(names) - 1)]
