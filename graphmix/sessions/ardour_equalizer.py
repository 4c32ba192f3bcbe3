"""Ardour's equalizer ``a-eq`` as bands, both ways.

It has a low shelf, four bells and a high shelf, ±20 dB each, and a gain of all. Its bells are those of
:mod:`graphmix.rewrite.parametric` with a bandwidth knob *b* in place of Q, Q = √(2^b) / (2^b - 1); its
shelves are those with a frequency that lies where they begin and not in their middle (measured, Ardour 7.3). In place
of a shelf later versions have a pass filter.
"""

import math
from collections.abc import Mapping

from scipy.optimize import brentq

from graphmix.rewrite.parametric import BUTTERWORTH, Band, Fitted, Limits, Shape

URI = "urn:ardour:a-eq"
BELLS = 4
MOST_UNITS = 3
"""Of these equalizers in a row for one curve."""
LIMITS = Limits(bells=BELLS * MOST_UNITS, q=(0.27, 8.0))
TOLERANCE_DB = 0.5
"""Root mean square error of a fit that is good enough."""
LEAST_WIDTH, MOST_WIDTH = 0.1, 4.0
LEAST_HZ, MOST_HZ = 20.0, 20000.0
_DEFAULTS = {
    "freql": 160.0, "freq1": 300.0, "freq2": 1000.0, "freq3": 2500.0, "freq4": 6000.0, "freqh": 9000.0,
    **{f"bw{band}": 1.0 for band in range(1, BELLS + 1)},
}  # fmt: skip


def units_of(fitted: Fitted, sample_rate: int) -> list[dict[str, float]]:
    """Controls by symbol of as many equalizers in a row as a fit needs, one at least."""
    bells = [band for band in fitted.bands if band.shape is Shape.bell]
    shelves = [band for band in fitted.bands if band.shape is not Shape.bell]
    units = []
    for first in range(0, max(1, len(bells)), BELLS):
        unit = {**_DEFAULTS, "gl": 0.0, "gh": 0.0, **{f"g{band}": 0.0 for band in range(1, BELLS + 1)}, "master": 0.0}
        unit |= {f"filtog{band}": 0.0 for band in ("l", "1", "2", "3", "4", "h")}
        for place, band in enumerate(bells[first : first + BELLS], 1):
            values = {"freq": band.frequency_hz, "g": band.gain_db, "bw": width_of(band.q), "filtog": 1.0}
            unit |= {f"{name}{place}": value for name, value in values.items()}
        units.append(unit)
    for band in shelves:
        side = "l" if band.shape is Shape.low_shelf else "h"
        begin = _moved(band.frequency_hz, _side(band) * band.gain_db / 80, sample_rate)
        units[0] |= {f"freq{side}": begin, f"g{side}": band.gain_db, f"filtog{side}": 1.0}
    units[0]["master"] = fitted.gain_db
    return units


def bands_of(controls: Mapping[str, float], sample_rate: int) -> tuple[list[Band], float]:
    """The bands of one equalizer and its gain of all in dB, from its controls; those not given have their defaults."""
    bands = []
    for side, shelf, passing in (("l", Shape.low_shelf, Shape.high_pass), ("h", Shape.high_shelf, Shape.low_pass)):
        if controls.get(f"filtog{side}", 1.0) <= 0.5:
            continue
        frequency = controls.get(f"freq{side}", _DEFAULTS[f"freq{side}"])
        if controls.get(f"shelftog{side}", 1.0) <= 0.5:
            bands.append(Band(passing, frequency))
            continue
        band = Band(shelf, frequency, controls.get(f"g{side}", 0.0))
        middle = _moved(frequency, -_side(band) * band.gain_db / 80, sample_rate)
        bands.append(Band(shelf, middle, band.gain_db, BUTTERWORTH))
    for place in range(1, BELLS + 1):
        gain = controls.get(f"g{place}", 0.0)
        if controls.get(f"filtog{place}", 1.0) > 0.5 and gain:
            frequency = controls.get(f"freq{place}", _DEFAULTS[f"freq{place}"])
            bands.append(Band(Shape.bell, frequency, gain, q_of(controls.get(f"bw{place}", 1.0))))
    return [band for band in bands if band.gain_db or "pass" in band.shape], controls.get("master", 0.0)


def q_of(width: float) -> float:
    """Q of a bell whose bandwidth knob stands so.

    >>> round(q_of(1.0), 4)
    1.4142
    """
    width = min(MOST_WIDTH, max(LEAST_WIDTH, width))
    return 2 ** (width / 2) / (2**width - 1)


def width_of(q: float) -> float:
    """The inverse of :func:`q_of`; the nearest that the knob has where that lies outside."""
    low, high = q_of(MOST_WIDTH), q_of(LEAST_WIDTH)
    if not low < q < high:
        return MOST_WIDTH if q <= low else LEAST_WIDTH
    return float(brentq(lambda width: q_of(width) - q, LEAST_WIDTH, MOST_WIDTH, xtol=1e-9))


def _side(band: Band) -> float:
    """Which way a shelf's beginning lies from its middle, for a gain above 0."""
    return -1.0 if band.shape is Shape.low_shelf else 1.0


def _moved(frequency_hz: float, decades: float, sample_rate: int) -> float:
    """A frequency moved on the scale of the bilinear transform, within the knob's range."""
    turn = math.tan(math.pi * min(frequency_hz, 0.499 * sample_rate) / sample_rate) * 10**decades
    return min(MOST_HZ, max(LEAST_HZ, math.atan(turn) * sample_rate / math.pi))
