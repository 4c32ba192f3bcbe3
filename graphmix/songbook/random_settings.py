"""Audible settings of single processors, drawn for a signal: what a random chain is made of.

Thresholds, drives and ceilings follow from the level of the signal, so that a chain does the same to a louder one.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.random import Generator

from graphmix.songbook.effects import Setting, dynamics, echoes, equalizer, panned_gain, room
from graphmix.songbook.features import Features

Draw = Callable[[Generator, Features, int], Setting]
"""Random numbers, what is measured of the signal, and the sample rate in Hz -> type, dry/wet and values."""
BANDS = 8
"""Of a parametric equalizer."""
NEUTRAL_BAND = ("bell", 1000.0, 0.0, 0.7)


def _log(rng: Generator, low: float, high: float) -> float:
    """Between two positive numbers, equal factors alike."""
    return round(math.exp(rng.uniform(math.log(low), math.log(high))), 3)


def _between(rng: Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 3)


def _either(rng: Generator, low: float, high: float) -> float:
    """As far from 0, on either side."""
    return (1 if rng.random() < 0.5 else -1) * _between(rng, low, high)


def _threshold(level_db: float) -> float:
    return round(min(-1.0, max(-79.0, level_db)), 3)


def _equalizer(rng: Generator, f: Features, sample_rate: int) -> Setting:
    low_cut = _log(rng, 60, 250) if rng.random() < 0.4 else None
    bell = (_log(rng, 200, 5000), _either(rng, 5, 12), _between(rng, 0.4, 1.0))
    shelf = _either(rng, 3, 8) if rng.random() < 0.6 else 0.0
    return equalizer(sample_rate, low_cut, bell, shelf)


def _parametric(rng: Generator, f: Features, sample_rate: int) -> Setting:
    bands = [("bell", _log(rng, 200, 5000), _either(rng, 5, 12), _between(rng, 0.6, 2.0)) for _ in range(2)]
    bands.append(("low_shelf", _log(rng, 100, 400), _either(rng, 4, 9), 0.7))
    bands += [NEUTRAL_BAND] * (BANDS - len(bands))
    names = ("shape", "frequency_hz", "gain_db", "q")
    return (
        "parametric_eq",
        1.0,
        {name: list(column) for name, column in zip(names, zip(*bands, strict=True), strict=True)},
    )


def _compressor(rng: Generator, f: Features, sample_rate: int) -> Setting:
    threshold = _threshold(f.loud_db - float(rng.uniform(10, 20)))
    return dynamics("compressor", threshold, _between(rng, 3, 8), 6.0, _log(rng, 5, 80))


def _ballistic(rng: Generator, f: Features, sample_rate: int) -> Setting:
    values = {"threshold_db": _threshold(f.loud_db - float(rng.uniform(10, 20))), "ratio": _between(rng, 3, 8)}
    values |= {"knee_db": 6.0, "attack_ms": _log(rng, 2, 30), "release_ms": _log(rng, 60, 400)}
    return "ballistic_compressor", 1.0, values


def _gate(rng: Generator, f: Features, sample_rate: int) -> Setting:
    return dynamics(
        "noisegate", _threshold(f.loud_db - float(rng.uniform(6, 16))), _between(rng, 2, 4), 6.0, _log(rng, 8, 40)
    )


def _imager(rng: Generator, f: Features, sample_rate: int) -> Setting:
    return "imager", 1.0, {"side_db": _either(rng, 5, 10)}


def _gain(rng: Generator, f: Features, sample_rate: int) -> Setting:
    return panned_gain(_either(rng, 2, 6), _between(rng, -0.5, 0.5))


def _delay(rng: Generator, f: Features, sample_rate: int) -> Setting:
    return echoes(sample_rate, _between(rng, 0.2, 0.5), _between(rng, 0.15, 0.45))


def _reverb(rng: Generator, f: Features, sample_rate: int) -> Setting:
    return room(sample_rate, _between(rng, 0.15, 0.4), _log(rng, 0.4, 2.0))


def _tanh(rng: Generator, f: Features, sample_rate: int) -> Setting:
    return "tanh", 1.0, {"drive_db": round(-f.peak_db + float(rng.uniform(10, 22)), 3)}


def _clipper(rng: Generator, f: Features, sample_rate: int) -> Setting:
    ceiling = round(f.peak_db - float(rng.uniform(8, 16)), 3)
    return "clipper", 1.0, {"ceiling_db": [ceiling, ceiling], "hardness": 0.5}


def _transients(rng: Generator, f: Features, sample_rate: int) -> Setting:
    return "transient_shaper", 1.0, {"attack_db": _either(rng, 6, 14), "sustain_db": _either(rng, 4, 12)}


def _modulated(kind: str, wet: tuple[float, float], **ranges: tuple[float, float]) -> Draw:
    """A type whose settings do not depend on the signal."""

    def draw(rng: Generator, f: Features, sample_rate: int) -> Setting:
        values: dict[str, Any] = {name: _log(rng, *ends) for name, ends in ranges.items()}
        return kind, _between(rng, *wet), values

    return draw


def _feedback_delay(rng: Generator, f: Features, sample_rate: int) -> Setting:
    times = [_between(rng, 120, 450)] * 2
    return "feedback_delay", _between(rng, 0.2, 0.5), {"time_ms": times, "feedback": _between(rng, 0.2, 0.6)}


def _velvet(rng: Generator, f: Features, sample_rate: int) -> Setting:
    decay = _log(rng, 0.4, 2.0)
    return "velvet_reverb", _between(rng, 0.15, 0.4), {"decay_s": [decay, round(0.6 * decay, 3)]}


DRAWS: Mapping[str, Draw] = {
    "equalizer": _equalizer,
    "compressor": _compressor,
    "noisegate": _gate,
    "imager": _imager,
    "gain": _gain,
    "delay": _delay,
    "reverb": _reverb,
    "ballistic_compressor": _ballistic,
    "parametric_eq": _parametric,
    "tanh": _tanh,
    "clipper": _clipper,
    "transient_shaper": _transients,
    "chorus": _modulated("chorus", (0.35, 0.5), rate_hz=(0.3, 2.0), depth=(0.3, 0.8), spread=(0.2, 0.5)),
    "flanger": _modulated("flanger", (0.35, 0.5), rate_hz=(0.1, 0.8), depth=(0.4, 0.9), feedback=(0.2, 0.6)),
    "phaser": _modulated("phaser", (0.4, 0.5), rate_hz=(0.2, 1.5), depth=(0.8, 2.0), feedback=(0.1, 0.5)),
    "tremolo": _modulated("tremolo", (1.0, 1.0), rate_hz=(2.0, 7.0), depth=(0.4, 0.8)),
    "auto_pan": _modulated("auto_pan", (1.0, 1.0), rate_hz=(0.3, 2.0), depth=(0.4, 0.9)),
    "feedback_delay": _feedback_delay,
    "velvet_reverb": _velvet,
}
"""Type -> its settings."""


def loudest_change_db(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> float:
    """Power of what a processor changes beside the level, relative to its output, in dB; [channels, samples]."""
    power = float(np.sum(np.square(before, dtype=np.float64)))
    total = float(np.sum(np.square(after, dtype=np.float64)))
    if power == 0 or total == 0:
        return -math.inf
    gain = float(np.sum(before.astype(np.float64) * after)) / power
    rest = float(np.sum(np.square(after - gain * before, dtype=np.float64)))
    return 10 * math.log10(max(rest / total, 1e-12))
