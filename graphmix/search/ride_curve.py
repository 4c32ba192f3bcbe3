"""Sparse curves: gains in dB, linear between few breakpoints, for which a quadratic error in each block is least.

The error of a block is :math:`G_f u^2 - 2 b_f u` for a gain *u*. Breakpoints are added one by one, or as a pair that
makes a step, where they lower the error most; then gains are fitted by Gauss and Newton, breakpoints are moved, and
those that are not worth their cost are taken out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

NEPER_DB = 20 / np.log(10)
LOWEST_DB, HIGHEST_DB = -80.0, 18.0
_MOST_CANDIDATES = 150
_MOST_POINTS = 24
_SEEN_DB = -46.0
"""Softer than this is as good as silent to the first guess."""
_STEPS = 12
QUICK_BLOCKS, JUMP_DB = 8, 15.0
"""Within less than so many blocks a gain changes by a jump of so many dB, as at a mute, or not at all."""


@dataclass(frozen=True)
class Curve:
    """Breakpoints: block numbers, ascending, and gains in dB; ``error`` is the sum over all blocks."""

    places: np.ndarray
    gains: np.ndarray
    error: float

    def at(self, blocks: int) -> np.ndarray:
        """The gain in dB of each block."""
        return np.asarray(np.interp(np.arange(blocks), self.places, self.gains))


def error_of(gains_db: np.ndarray, gram: np.ndarray, right: np.ndarray) -> float:
    """Error of gains [blocks]."""
    u = np.exp(gains_db / NEPER_DB)
    return float((gram * u * u - 2 * right * u).sum())


def find_curve(gram: np.ndarray, right: np.ndarray, cost: float) -> Curve:
    """The curve of least error plus ``cost`` for each breakpoint beyond the first.

    Args:
        gram: of each block, [blocks].
        right: of each block, [blocks].
        cost: of a breakpoint.
    """
    places = _first_guess(gram, right, cost)
    curve = _fitted(places, gram, right)
    for _ in range(3):
        before = curve
        if len(curve.places) > 1:
            curve = _moved(curve, gram, right)
        curve = _thinned(curve, gram, right, cost)
        if len(curve.places) == len(before.places) and before.error - curve.error < 0.1 * cost:
            break
    return _calmed(curve, gram, right)


def constant(gram: np.ndarray, right: np.ndarray) -> Curve:
    """The best gain that stays."""
    return _fitted(np.array([0]), gram, right)


def _hats(places: np.ndarray, blocks: int) -> np.ndarray:
    """Linear interpolation as a matrix, [blocks, points]."""
    return np.stack([np.interp(np.arange(blocks), places, row) for row in np.eye(len(places))], axis=1)


def _dense(gram: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best gain of each block in dB, and how much it counts: a parabola in dB with the error's depth."""
    low, high = np.exp(_SEEN_DB / NEPER_DB), np.exp(HIGHEST_DB / NEPER_DB)
    u = np.clip(right / np.maximum(gram, 1e-30), low, high)
    log = np.log(u)
    slope = np.where(np.abs(log) < 1e-6, 1.0, (1 - u) / np.where(np.abs(log) < 1e-6, 1.0, -log))
    return log * NEPER_DB, gram * slope**2 / NEPER_DB**2


def _first_guess(gram: np.ndarray, right: np.ndarray, cost: float) -> np.ndarray:
    """Places of breakpoints by weighted least squares in dB, added greedily."""
    blocks = len(gram)
    target, weight = _dense(gram, right)
    step = max(1, -(-blocks // _MOST_CANDIDATES))
    single = np.union1d(np.arange(0, blocks, step), [blocks - 1])
    begins, ends = (np.concatenate(x) for x in zip(*(_pairs(blocks, step, width) for width in (1, 5)), strict=True))
    steps = _ramps(blocks, begins, ends)
    places = np.array([0])
    while len(places) < _MOST_POINTS:
        drop = _Drop(places, target, weight, cost)
        alone, pair = drop.by_one(single), drop.by_two(begins, ends, steps)
        if max(alone.max(), pair.max(initial=0.0)) <= 0:
            break
        if alone.max() >= pair.max(initial=0.0):
            places = np.union1d(places, [single[int(alone.argmax())]])
        else:
            places = np.union1d(places, [begins[int(pair.argmax())], ends[int(pair.argmax())]])
    return places


def _pairs(blocks: int, step: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Beginnings and ends of steps of one width."""
    begins = np.arange(0, max(0, blocks - width), step)
    return begins, begins + width


def _ramps(blocks: int, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """0 before each beginning, 1 behind its end, linear between, [blocks, ramps]."""
    return np.asarray(np.clip((np.arange(blocks)[:, None] - begins) / np.maximum(ends - begins, 1), 0, 1))


class _Drop:
    """By how much more breakpoints would lower the error of a weighted fit in dB, beyond half of their cost.

    The curves that one more breakpoint allows are those of before and one function more, a ramp from it to the last
    breakpoint; for a pair also the step between the two.
    """

    def __init__(self, places: np.ndarray, target: np.ndarray, weight: np.ndarray, cost: float) -> None:
        self.places, self.weight, self.cost = places, weight, cost
        self.hats = _hats(places, len(target))
        weighted = self.hats.T * weight
        ridge = 1e-6 * weight.sum() / len(target) + 1e-30
        self.inverse = np.linalg.inv(weighted @ self.hats + ridge * np.eye(len(places)))
        self.rest = weight * (target - self.hats @ (self.inverse @ (weighted @ target)))
        self.least = 1e-9 * weight.sum() + 1e-30

    def _outside(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Products of what the present curves lack of functions, [functions]."""
        a, b = (self.hats.T @ (self.weight[:, None] * f) for f in (one, other))
        return np.asarray((self.weight[:, None] * one * other).sum(0) - (a * (self.inverse @ b)).sum(0))

    def _ramp(self, places: np.ndarray) -> np.ndarray:
        last = self.places[-1]
        return _ramps(len(self.weight), np.minimum(places, last), np.maximum(places, last))

    def by_one(self, places: np.ndarray) -> np.ndarray:
        """Of one more breakpoint at each place."""
        ramp = self._ramp(places)
        size = self._outside(ramp, ramp)
        drop = np.where(size > self.least, (self.rest @ ramp) ** 2 / np.maximum(size, self.least), 0.0)
        return np.where(np.isin(places, self.places), 0.0, drop - 0.5 * self.cost)

    def by_two(self, begins: np.ndarray, ends: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Of two more breakpoints at each beginning and end."""
        ramp = self._ramp(begins)
        a, b, c = self._outside(ramp, ramp), self._outside(ramp, steps), self._outside(steps, steps)
        x, y = self.rest @ ramp, self.rest @ steps
        size = a * c - b * b
        sound = size > 1e-6 * a * c + self.least**2
        drop = np.where(sound, (c * x * x - 2 * b * x * y + a * y * y) / np.where(sound, size, 1.0), 0.0)
        known = np.isin(begins, self.places) | np.isin(ends, self.places)
        return np.where(known | ~sound, 0.0, drop - self.cost)


def _fitted(places: np.ndarray, gram: np.ndarray, right: np.ndarray, start: np.ndarray | None = None) -> Curve:
    """Gains at given places, by Gauss-Newton with a damping that follows success."""
    hats = _hats(places, len(gram)) / NEPER_DB
    if start is None:
        target, weight = _dense(gram, right)
        weighted = hats.T * weight * NEPER_DB
        ridge = (1e-4 * weight.sum() / len(gram) + 1e-30) * np.eye(len(places))
        start = np.linalg.solve(weighted @ hats * NEPER_DB + ridge, weighted @ target)
    gains = np.clip(start, LOWEST_DB, HIGHEST_DB)
    error, damping = error_of(hats @ gains * NEPER_DB, gram, right), 1e-3
    for _ in range(_STEPS):
        u = np.exp(hats @ gains)
        gradient = 2 * hats.T @ (gram * u * u - right * u)
        hessian = 2 * (hats.T * (gram * u * u)) @ hats
        scale = np.diag(hessian).max() + 1e-30
        step = np.linalg.solve(hessian + (damping * scale) * np.eye(len(places)), -gradient)
        tried = np.clip(gains + np.clip(step, -20, 20), LOWEST_DB, HIGHEST_DB)
        found = error_of(hats @ tried * NEPER_DB, gram, right)
        if found < error:
            done = error - found < 1e-6 * abs(error)
            gains, error, damping = tried, found, damping / 4
            if done:
                break
        else:
            damping *= 8
            if damping > 1e3:
                break
    return Curve(places, gains, error)


def _moved(curve: Curve, gram: np.ndarray, right: np.ndarray) -> Curve:
    """Each breakpoint where between its neighbours it serves best, in steps that halve."""
    step = max(1, len(gram) // 50)
    while step >= 1:
        for k in range(len(curve.places)):
            for shifted in _shifts(curve.places, k, step, len(gram)):
                tried = _fitted(shifted, gram, right, curve.gains)
                if tried.error < curve.error:
                    curve = tried
        step //= 2
    return curve


def _shifts(places: np.ndarray, k: int, step: int, blocks: int) -> Iterator[np.ndarray]:
    for way in (-step, step):
        shifted = places.copy()
        shifted[k] += way
        if shifted[0] >= 0 and shifted[-1] < blocks and all(a < b for a, b in pairwise(shifted.tolist())):
            yield shifted


def _thinned(curve: Curve, gram: np.ndarray, right: np.ndarray, cost: float) -> Curve:
    """Without the breakpoints that lower the error by less than they cost."""
    while len(curve.places) > 1:
        fewer = [
            _fitted(np.delete(curve.places, k), gram, right, np.delete(curve.gains, k))
            for k in range(len(curve.places))
        ]
        best = min(fewer, key=lambda c: c.error)
        if best.error - curve.error >= cost:
            break
        curve = best
    return curve


def _calmed(curve: Curve, gram: np.ndarray, right: np.ndarray) -> Curve:
    """Without moves that are quick and small: these are not a hand's, but those of an effect that follows the sound."""
    while True:
        quick = (np.diff(curve.places) < QUICK_BLOCKS) & (np.abs(np.diff(curve.gains)) < JUMP_DB)
        ends = np.union1d(np.flatnonzero(quick), np.flatnonzero(quick) + 1)
        if not len(ends):
            return curve
        fewer = [_fitted(np.delete(curve.places, k), gram, right, np.delete(curve.gains, k)) for k in ends]
        curve = min(fewer, key=lambda c: c.error)
