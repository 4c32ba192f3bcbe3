"""Parameters of plugins: those of pedalboard's own effects, and what a VST3 file says of its own.

pedalboard's effects declare no ranges, so they are given here. Whatever mixes dry and wet inside of a plugin is set to
wet: a node of a graph has a weight for that. Frequencies end at 0.45 of the sample rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphmix.spec import DB_PER_NEPER, Exponential, Linear, ParameterSpec

HIGHEST = 20000.0
"""Highest corner frequency in Hz, where the sample rate allows it."""
_NYQUIST_SHARE = 0.45
_HERTZ = {"Hz": 1.0, "kHz": 1000.0}
_LEAST = 1e-3
"""Share that is left of a range of frequencies which the sample rate does not allow."""
_MANY_FOLD = 20.0
"""A range whose end is so many times its positive beginning is one of factors, not of differences."""


@dataclass(frozen=True)
class BuiltInParameter:
    """Range and values of a parameter of one of pedalboard's effects.

    Args:
        low: smallest value.
        high: largest value; infinity stands for the highest frequency at the sample rate.
        neutral: where it does as little as it can.
        start: where a search starts.
        unit: as shown to a reader.
    """

    low: float
    high: float
    neutral: float
    start: float
    unit: str = ""

    def specification(self, name: str, sample_rate: int) -> ParameterSpec:
        """The same for a graph at a sample rate."""
        return specification(name, self.unit, self.low, min(self.high, HIGHEST), self.neutral, sample_rate)


@dataclass(frozen=True)
class BuiltInEffect:
    """One of pedalboard's effects.

    Args:
        parameters: by name, in the order of columns.
        settings: what is set otherwise than pedalboard does, by name.
        choices: further names that may be set, and not be fitted.
    """

    parameters: Mapping[str, BuiltInParameter] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[str, ...] = ()


def _db(low: float, high: float, neutral: float, start: float) -> BuiltInParameter:
    return BuiltInParameter(low, high, neutral, start, "dB")


def _hz(low: float, neutral: float, start: float, high: float = np.inf) -> BuiltInParameter:
    return BuiltInParameter(low, high, neutral, start, "Hz")


def _ms(low: float, high: float, start: float) -> BuiltInParameter:
    return BuiltInParameter(low, high, start, start, "ms")


def _share(neutral: float, start: float | None = None, low: float = 0.0, high: float = 1.0) -> BuiltInParameter:
    return BuiltInParameter(low, high, neutral, neutral if start is None else start)


_RATIO = BuiltInParameter(1.0, 20.0, 1.0, 2.0)
_SHELF = {"gain_db": _db(-24, 24, 0, 0), "q": BuiltInParameter(0.1, 10, 2**-0.5, 2**-0.5)}
_LFO = {"rate_hz": _hz(0.05, 1, 1, 10), "depth": _share(0, 0.25)}
_WET = {"mix": 1.0}
_REVERB_WET = {"wet_level": 1 / 3, "dry_level": 0.0}
"""pedalboard multiplies the wet level by 3."""

BUILT_IN: Mapping[str, BuiltInEffect] = {
    "Bitcrush": BuiltInEffect({"bit_depth": BuiltInParameter(1, 24, 24, 12, "bit")}),
    "BrickwallLimiter": BuiltInEffect(
        {"ceiling_db": _db(-40, 0, 0, -6), "release_ms": _ms(1, 1000, 100)}, choices=("lookahead_ms", "true_peak")
    ),
    "Chorus": BuiltInEffect(
        {**_LFO, "centre_delay_ms": _ms(1, 50, 7), "feedback": _share(0, low=-0.95, high=0.95)}, _WET, ("mix",)
    ),
    "Clipping": BuiltInEffect({"threshold_db": _db(-40, 0, 0, -6)}),
    "Compressor": BuiltInEffect(
        {
            "threshold_db": _db(-60, 0, 0, -20),
            "ratio": _RATIO,
            "attack_ms": _ms(0.1, 200, 5),
            "release_ms": _ms(5, 2000, 100),
        }
    ),
    "Delay": BuiltInEffect(
        {"delay_seconds": BuiltInParameter(0.001, 2, 0.3, 0.3, "s"), "feedback": _share(0, 0.2, high=0.95)},
        _WET,
        ("mix",),
    ),
    "Distortion": BuiltInEffect({"drive_db": _db(0, 60, 0, 12)}),
    "Gain": BuiltInEffect({"gain_db": _db(-60, 24, 0, 0)}),
    "HighShelfFilter": BuiltInEffect({"cutoff_frequency_hz": _hz(20, 4000, 4000), **_SHELF}),
    "HighpassFilter": BuiltInEffect({"cutoff_frequency_hz": _hz(10, 10, 50)}),
    "Invert": BuiltInEffect(),
    "LadderFilter": BuiltInEffect(
        {"cutoff_hz": _hz(20, HIGHEST, 2000), "resonance": _share(0), "drive": BuiltInParameter(1, 20, 1, 1)},
        choices=("mode",),
    ),
    "Limiter": BuiltInEffect({"threshold_db": _db(-40, 0, 0, -10), "release_ms": _ms(1, 2000, 100)}),
    "LowShelfFilter": BuiltInEffect({"cutoff_frequency_hz": _hz(20, 200, 200), **_SHELF}),
    "LowpassFilter": BuiltInEffect({"cutoff_frequency_hz": _hz(20, HIGHEST, 8000)}),
    "NoiseGate": BuiltInEffect(
        {
            "threshold_db": _db(-90, 0, -90, -50),
            "ratio": _RATIO,
            "attack_ms": _ms(0.1, 200, 1),
            "release_ms": _ms(5, 2000, 100),
        }
    ),
    "PeakFilter": BuiltInEffect({"cutoff_frequency_hz": _hz(20, 1000, 1000), **_SHELF}),
    "Phaser": BuiltInEffect(
        {**_LFO, "centre_frequency_hz": _hz(100, 1300, 1300, 8000), "feedback": _share(0, low=-0.95, high=0.95)},
        _WET,
        ("mix",),
    ),
    "Reverb": BuiltInEffect(
        {"room_size": _share(0.5), "damping": _share(0.5), "width": _share(1.0)},
        _REVERB_WET,
        ("wet_level", "dry_level", "freeze_mode"),
    ),
}
"""Class name -> parameters. Left out: codecs, resampling and pitch shift, which do not sound the same in blocks, and
what takes a file."""


def specification(name: str, unit: str, low: float, high: float, neutral: float, sample_rate: int) -> ParameterSpec:
    """A parameter with the curve that suits its range: factors, decibels, or shares of the range.

    A range of frequencies ends below half of the sample rate.
    """
    low, high, neutral = float(low), float(high), float(neutral)
    if unit in _HERTZ:
        high = max(min(high, _NYQUIST_SHARE * sample_rate / _HERTZ[unit]), low + _LEAST * (high - low))
        neutral = min(neutral, high)
    if low > 0 and high >= _MANY_FOLD * low:
        return ParameterSpec(name, 1, unit, low, high, neutral, Exponential())
    return ParameterSpec(name, 1, unit, low, high, neutral, Linear(DB_PER_NEPER if unit == "dB" else high - low))
