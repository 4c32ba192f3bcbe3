"""The compressors of the reference renderer that go beyond the pruning paper: plain float64, sample by sample."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from graphmix.dsp.dynamics import ENERGY_FLOOR

Array = NDArray[np.float64]
Values = Mapping[str, Array]
General = Callable[[Array, Values, int], Array]


def settings(values: Values, sample_rate: int) -> dict[str, float]:
    """Numbers of one node, times as coefficients of one-pole smoothers."""
    numbers = {name: float(value[0]) for name, value in values.items()}
    for name in ("attack_ms", "release_ms", "mean_ms"):
        if name in numbers:
            numbers[name] = math.exp(-1000 / (numbers[name] * sample_rate))
    return numbers


def listened(left: Array, right: Array, listen: int, rms: bool, row: int) -> Array:
    """Energy of what the detector of a row listens to."""
    if listen == 1:
        return np.asarray((left, right)[row] ** 2)
    if listen >= 2:
        return np.asarray(((left + right if listen == 2 else left - right) / 2) ** 2)
    return (left**2 + right**2) / 2 if rms else np.maximum(left**2, right**2)


def bent(over: float, width: float) -> float:
    """dB over the threshold with a quadratic knee."""
    if over <= -width / 2:
        return 0.0
    return over if over >= width / 2 else (over + width / 2) ** 2 / (2 * width)


def compressed(c: Mapping[str, float]) -> Callable[[float], float]:
    """Level in dB -> dB taken off, of a compressor."""
    return lambda level: (1 - 1 / c["ratio"]) * bent(level - c["threshold_db"], c["knee_db"])


def expanded(c: Mapping[str, float]) -> Callable[[float], float]:
    """The same of an expander."""
    return lambda level: min(c["range_db"], (c["ratio"] - 1) * bent(c["threshold_db"] - level, c["knee_db"]))


def gains(
    left: Array, right: Array, c: Mapping[str, float], curve: Callable[[float], float], grow: str, shrink: str, row: int
) -> Array:
    """The gain of one row at each sample, without make-up: mean, level, curve, reduction."""
    listen, rms, smoothing = round(c["listen"]), round(c["detection"]) == 1, round(c["smoothing"])
    feedback = round(c.get("topology", 0.0)) == 1
    ahead = listened(left, right, listen, rms, row)
    if not feedback:
        place = np.arange(len(left)) + c["lookahead_ms"] * c["rate"] / 1000
        ahead = np.interp(place, np.arange(len(left) + 1), np.append(ahead, 0.0), right=0.0)
    mean = level = reduction = energy = 0.0
    result = np.empty(len(left))
    for n in range(len(left)):
        energy = energy if feedback else float(ahead[n])
        mean = c["mean_ms"] * mean + (1 - c["mean_ms"]) * energy if rms else energy
        if smoothing == 2:
            alpha = c["attack_ms"] if mean > level else c["release_ms"]
            level = alpha * level + (1 - alpha) * mean
        else:
            level = mean
        wanted = curve(10 * math.log10(level + ENERGY_FLOOR))
        wanted = 1 - 10 ** (-wanted / 20) if smoothing == 1 else wanted
        alpha = 0.0 if smoothing == 2 else c[grow] if wanted > reduction else c[shrink]
        reduction = alpha * reduction + (1 - alpha) * wanted
        result[n] = 1 - reduction if smoothing == 1 else 10 ** (-reduction / 20)
        if feedback:
            energy = float(listened(result[n] * left[n], result[n] * right[n], listen, rms, row))
    return result


def _applied(audio: Array, c: Mapping[str, float], curve: Callable[[float], float], grow: str, shrink: str) -> Array:
    rows = 2 if round(c["listen"]) == 1 else 1
    return np.stack([gains(*audio[0], c, curve, grow, shrink, row) for row in range(rows)]) * audio[0]


def studio_compressor(audio: Array, values: Values, sample_rate: int) -> Array:
    """Compressor with make-up."""
    c = {**settings(values, sample_rate), "rate": float(sample_rate)}
    curve = compressed(c)
    makeup = c["makeup_db"] + c["auto_makeup"] * curve(0.0)
    return np.asarray(10 ** (makeup / 20) * _applied(audio, c, curve, "attack_ms", "release_ms"))


def expander(audio: Array, values: Values, sample_rate: int) -> Array:
    """Expander: its reduction shrinks while it opens."""
    c = {**settings(values, sample_rate), "rate": float(sample_rate)}
    return _applied(audio, c, expanded(c), "release_ms", "attack_ms")


STUDIO: Mapping[str, General] = {"studio_compressor": studio_compressor, "expander": expander}
"""General processors by the name of their type."""
