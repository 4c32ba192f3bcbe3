r"""A curve as a few bands: the smallest parametric equalizer within a stated error, by least squares.

The bands are those that every mixer has: bells, shelves, passes, a notch, with a frequency, a gain and a Q. Their
response is that of the usual analog prototypes after the bilinear transform (Bristow-Johnson's cookbook), with

.. math:: s = j \tan(\pi f / f_s) / \tan(\pi f_0 / f_s), \quad A = 10^{g / 40}

    H_{bell} = \frac{s^2 + s A / Q + 1}{s^2 + s / (A Q) + 1}, \quad
    H_{low\,shelf} = A \frac{s^2 + s \sqrt{A} / Q + A}{A s^2 + s \sqrt{A} / Q + 1}

A high shelf is a low shelf of :math:`1 / s`. Their phase is a filter's, not zero: what is fitted is the magnitude.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.optimize import least_squares

from graphmix.errors import GraphError

Array = NDArray[np.float64]

FITTED_HZ = (50.0, 12000.0)
"""Band of a fit; beyond it a curve of few bands goes on as it likes."""
GRID_POINTS = 240
"""Frequencies of a fit, equally spaced in octaves."""
DEEPEST_DB = 40.0
"""What lies further below the top of a curve counts as so far: deeper is silence, and would outweigh all else."""
WORTH, NOTHING = 0.99, 1.005
"""Another band is worth having if it lowers the error below this share; one may go that leaves it within this one."""
MOST_STEPS = 40
"""Of each least-squares fit."""
BUTTERWORTH = 0.5**0.5
"""Q of shelves."""
_FIXED = 1e-6
"""How much a number may move that is fixed; the solver wants room."""


class Shape(StrEnum):
    """What a band is."""

    bell = "bell"
    low_shelf = "low_shelf"
    high_shelf = "high_shelf"
    high_pass = "high_pass"
    low_pass = "low_pass"
    band_pass = "band_pass"
    notch = "notch"


@dataclass(frozen=True)
class Band:
    """One band.

    Args:
        shape: what it is.
        frequency_hz: center or corner.
        gain_db: of bells and shelves.
        q: quality factor.
    """

    shape: Shape
    frequency_hz: float
    gain_db: float = 0.0
    q: float = BUTTERWORTH


@dataclass(frozen=True)
class Limits:
    """What the equalizer has that is fitted.

    Args:
        bells: at most so many of them, beside a low and a high shelf.
        bands: at most so many bands of any shape.
        gain_db: largest gain of a band, up or down.
        overall_db: largest gain of all of it; 0 for an equalizer that has none, whose shelves then stand for it.
        bell_hz: frequencies of bells.
        shelf_hz: frequencies of shelves.
        q: of bells.
        shelf_q: of shelves.
    """

    bells: int = 12
    bands: int = 14
    gain_db: float = 20.0
    overall_db: float = 20.0
    bell_hz: tuple[float, float] = (25.0, 16000.0)
    shelf_hz: tuple[float, float] = (40.0, 10000.0)
    q: tuple[float, float] = (0.2, 8.0)
    shelf_q: tuple[float, float] = (BUTTERWORTH, BUTTERWORTH)


@dataclass(frozen=True)
class Fitted:
    """A parametric equalizer.

    Args:
        bands: shelves and bells, those that do nothing left out.
        gain_db: of all of it.
        error_db: root mean square of the difference to the curve, over :data:`FITTED_HZ`, with the weights of the fit.
    """

    bands: tuple[Band, ...]
    gain_db: float
    error_db: float


def response(bands: Sequence[Band], frequency_hz: Array, sample_rate: int) -> NDArray[np.complex128]:
    """Complex response of bands in a row, [frequencies]; see the module for the formulas.

    >>> abs(response([Band(Shape.bell, 1000.0, 6.0, 2.0)], np.array([1000.0]), 48000)).round(4).tolist()
    [1.9953]
    """
    result = np.ones(len(frequency_hz), complex)
    nyquist = sample_rate / 2
    for band in bands:
        turn = np.tan(np.pi * np.minimum(frequency_hz, 0.9999 * nyquist) / sample_rate)
        s = 1j * turn / np.tan(np.pi * min(band.frequency_hz, 0.999 * nyquist) / sample_rate)
        result *= _prototype(band, s)
    return result


def response_db(bands: Sequence[Band], frequency_hz: Array, sample_rate: int) -> Array:
    """Magnitude of :func:`response` in dB, -200 or more."""
    return 20 * np.log10(np.maximum(np.abs(response(bands, frequency_hz, sample_rate)), 1e-10))


def _prototype(band: Band, s: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The analog response."""
    amplitude, q = 10 ** (band.gain_db / 40), band.q
    root = amplitude**0.5 / q
    below = s * s + s / q + 1
    match band.shape:
        case Shape.bell:
            return (s * s + s * amplitude / q + 1) / (s * s + s / (amplitude * q) + 1)
        case Shape.low_shelf:
            return amplitude * (s * s + s * root + amplitude) / (amplitude * s * s + s * root + 1)
        case Shape.high_shelf:
            return amplitude * (amplitude * s * s + s * root + 1) / (s * s + s * root + amplitude)
        case Shape.high_pass:
            return s * s / below
        case Shape.low_pass:
            return 1 / below
        case Shape.band_pass:
            return (s / q) / below
    return (s * s + 1) / below


def fitted_grid(sample_rate: int) -> Array:
    """The frequencies of a fit, equally spaced in octaves within :data:`FITTED_HZ` and 0.45 of the rate."""
    return np.geomspace(FITTED_HZ[0], min(FITTED_HZ[1], 0.45 * sample_rate), GRID_POINTS)


def floored_db(gain_db: Array) -> Array:
    """A curve without what is so deep that it counts as silence, see :data:`DEEPEST_DB`."""
    return np.maximum(gain_db, gain_db.max() - DEEPEST_DB)


def fit_bands(
    frequency_hz: Array,
    gain_db: Array,
    sample_rate: int,
    limits: Limits | None = None,
    tolerance_db: float = 0.5,
    weights: Array | None = None,
) -> Fitted:
    """The fewest bands whose magnitude comes within a tolerance of a curve, or the best that the limits allow.

    A gain of all first; then one band after the other, a bell where the deviation is largest over half an octave or a
    shelf, whichever helps more, and least squares over all of them in dB each time.

    Args:
        frequency_hz: where the curve is known, rising.
        gain_db: its values.
        sample_rate: of the bands, in Hz.
        limits: of the equalizer.
        tolerance_db: root mean square error that is good enough.
        weights: how much each frequency of :func:`fitted_grid` counts; all alike by default.

    Raises:
        GraphError: a curve that is not finite, or of frequencies that do not rise.

    Example:
        >>> hz = np.geomspace(30, 15000, 300)
        >>> curve = response_db([Band(Shape.bell, 800.0, -9.0, 1.5)], hz, 48000)
        >>> fitted = fit_bands(hz, curve, 48000, tolerance_db=0.05)
        >>> [(band.shape.value, round(band.frequency_hz), round(band.gain_db, 1)) for band in fitted.bands]
        [('bell', 800, -9.0)]
    """
    limits = limits or Limits()
    if not (np.isfinite(gain_db).all() and np.isfinite(frequency_hz).all() and (np.diff(frequency_hz) > 0).all()):
        raise GraphError("a curve to be fitted has finite gains at rising frequencies; this one does not.")
    grid = fitted_grid(sample_rate)
    target = np.interp(grid, frequency_hz, floored_db(gain_db))
    weights = np.ones(len(grid)) if weights is None else weights / weights.mean()
    fit = _Fit(grid, target, sample_rate, limits, weights)
    best = fit.solved((), [float((weights * target).mean())])
    while best.error_db > tolerance_db:
        candidates = fit.with_one_more(best)
        better = min(candidates, key=lambda solution: solution.error_db, default=best)
        if better.error_db > WORTH * best.error_db:
            break
        best = better
    return fit.result(best, tolerance_db)


@dataclass(frozen=True, eq=False)
class _Solution:
    """Shapes of bands, and the numbers of a fit: overall gain, then log2 frequency, gain and log2 Q of each."""

    shapes: tuple[Shape, ...]
    x: Array
    error_db: float


class _Fit:
    """One curve, and what the bands may be."""

    def __init__(self, grid: Array, target: Array, sample_rate: int, limits: Limits, weights: Array) -> None:
        self.grid, self.target, self.rate, self.limits = grid, target, sample_rate, limits
        self.root = np.sqrt(weights)
        self.octave = (len(grid) - 1) / np.log2(grid[-1] / grid[0])
        self.turn = np.tan(np.pi * grid / sample_rate)

    def bounds(self, shapes: Sequence[Shape]) -> tuple[Array, Array]:
        """Smallest and largest numbers; what is fixed hardly moves."""
        gain, overall = self.limits.gain_db, max(self.limits.overall_db, _FIXED)
        low, high = [-overall], [overall]
        for shape in shapes:
            bell = shape is Shape.bell
            hz = np.log2(self.limits.bell_hz if bell else self.limits.shelf_hz)
            q = np.log2(self.limits.q if bell else self.limits.shelf_q)
            low += [hz[0], -gain, q[0] - _FIXED]
            high += [hz[1], gain, q[1] + _FIXED]
        return np.array(low), np.array(high)

    def residual(self, shapes: Sequence[Shape], x: Array) -> Array:
        """Response minus target in dB."""
        if not shapes:
            return x[0] - self.target
        f, g, q = x[1:].reshape(-1, 3).T[:, :, None]
        t = (self.turn / np.tan(np.pi * np.minimum(2**f, 0.499 * self.rate) / self.rate)) ** 2
        a, q = 10 ** (g / 40), 2**q
        ring = a * t / q**2
        low, high = (1 - a * t) ** 2 + ring, (a - t) ** 2 + ring
        kinds = np.array([list(Shape).index(shape) for shape in shapes])[:, None]
        above = np.choose(kinds, [(1 - t) ** 2 + t * (a / q) ** 2, a**2 * high, a**2 * low])
        below = np.choose(kinds, [(1 - t) ** 2 + t / (a * q) ** 2, low, high])
        return x[0] + 10 * np.log10(above / below).sum(0) - self.target

    def solved(self, shapes: tuple[Shape, ...], start: Sequence[float]) -> _Solution:
        """Least squares from a start."""
        low, high = self.bounds(shapes)
        x = np.clip(np.asarray(start, float), low + 1e-9, high - 1e-9)
        found = least_squares(
            lambda x: self.root * self.residual(shapes, x),
            x,
            bounds=(low, high),
            max_nfev=MOST_STEPS,
            ftol=1e-4,
            xtol=1e-5,
        )
        return _Solution(shapes, found.x, float(np.sqrt(np.mean(found.fun**2))))

    def with_one_more(self, solution: _Solution) -> list[_Solution]:
        """Solutions with another bell, and with each shelf that is not there yet."""
        shapes, x, most = solution.shapes, list(solution.x), self.limits
        if len(shapes) >= most.bands:
            return []
        width = max(1, round(self.octave / 2))
        missing = -self.residual(shapes, solution.x)
        found = []
        for size, q in ((width, 0.5), (width // 3 or 1, 2.0)) if shapes.count(Shape.bell) < most.bells else ():
            deviation = uniform_filter1d(missing, size, mode="nearest")
            place = int((self.root * np.abs(deviation)).argmax())
            found.append(self.solved((*shapes, Shape.bell), [*x, np.log2(self.grid[place]), deviation[place], q]))
        starts = [(Shape.low_shelf, slice(0, width), 120.0), (Shape.high_shelf, slice(-width, None), 6e3)]
        if not most.overall_db:  # as wide as it gets, a shelf is a gain of all
            starts += [
                (Shape.low_shelf, slice(None), most.shelf_hz[1]),
                (Shape.high_shelf, slice(None), most.shelf_hz[0]),
            ]
        for shape, side, hz in starts:
            if shape not in shapes:
                gain = float(np.average(missing[side], weights=self.root[side] ** 2 + 1e-9))
                found.append(self.solved((*shapes, shape), [*x, np.log2(hz), gain, np.log2(BUTTERWORTH)]))
        return found

    def result(self, solution: _Solution, tolerance_db: float) -> Fitted:
        """The bands without those that the tolerance can do without."""
        most = max(NOTHING * solution.error_db, tolerance_db if solution.error_db <= tolerance_db else 0.0)
        rows = solution.x[1:].reshape(-1, 3).tolist()
        bands = [Band(shape, 2**f, g, 2**q) for shape, (f, g, q) in zip(solution.shapes, rows, strict=True)]
        for band in sorted(bands, key=lambda band: abs(band.gain_db)):
            rest = [other for other in bands if other is not band]
            if self.error(rest, solution.x[0]) <= most:
                bands = rest
        return Fitted(tuple(bands), float(solution.x[0]), self.error(bands, solution.x[0]))

    def error(self, bands: Sequence[Band], gain_db: float) -> float:
        """Root mean square in dB, weighted."""
        difference = response_db(bands, self.grid, self.rate) + gain_db - self.target
        return float(np.sqrt(np.mean((self.root * difference) ** 2)))
