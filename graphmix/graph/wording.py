"""Words for settings: levels with their sign, frequencies, times and shares in the units that engineers use."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

WITH_GAIN = ("bell", "low shelf", "high shelf")
"""Shapes of bands that have a gain."""
CENTRE_PERCENT = 1.0
"""A pan within so much of the middle is the centre."""


@dataclass(frozen=True)
class Settings:
    """What a processor is set to.

    Attributes:
        text: in words and units.
        numbers: the same as JSON values, by name with unit.
        folded: whether the dry/wet weight is part of it, so that nothing is left to be said of the weight.
    """

    text: str
    numbers: dict[str, Any]
    folded: bool = False


def decibels(value: "float | np.ndarray") -> str:
    """One decimal with its sign; what rounds to zero is +0.0."""
    return f"{round(float(value), 1) + 0.0:+.1f}"


def short(value: float) -> str:
    """One decimal for levels, three digits for what is small or large."""
    if value == 0 or 1 <= abs(value) < 1000:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.0f}"


def hertz(frequency: float) -> str:
    """Hz below 1000, else kHz."""
    if frequency < 1000:
        return f"{frequency:.0f} Hz"
    return f"{frequency / 1000:.{1 if frequency < 10000 else 0}f} kHz"


def rounded(value: "float | np.ndarray", digits: int = 3) -> float:
    """A number for JSON."""
    return round(float(value), digits)


def percent(share: float) -> str:
    """A share without decimals."""
    return f"{100 * share:.0f} %"


def milliseconds(ms: float) -> str:
    """Two decimals below 10 ms, else none."""
    return f"{ms:.2g} ms" if abs(ms) < 10 else f"{ms:.0f} ms"


def place_of(left: float, right: float) -> tuple[float, str]:
    """Pan in percent, L below 0, by the constant-power law for factors of left and right; and in words."""
    pan = 100 * (4 / math.pi * math.atan2(right, left) - 1)
    return pan, "centre" if abs(pan) < CENTRE_PERCENT else f"{'L' if pan < 0 else 'R'} {abs(pan):.0f}"


def level_of(left: float, right: float) -> float:
    """Fader in dB for factors of left and right."""
    return 10 * math.log10(max((left**2 + right**2) / 2, 1e-12))


def wet_db(wet: float) -> float | None:
    """Level of a wet part of unit energy relative to the dry one; None without a dry one."""
    if wet >= 1:
        return None
    return 20 * math.log10(max(wet, 1e-5) / (1 - wet))


def band_words(shape: str, hz: float, gain_db: float, q: float, order: int = 2) -> str:
    """``bell +3.0 dB at 400 Hz, Q 1.2``."""
    gain = f" {decibels(gain_db)} dB" if shape in WITH_GAIN else ""
    slope = f", {6 * order} dB an octave" if shape in ("low pass", "high pass") else ""
    quality = "" if shape in ("low pass", "high pass") and abs(q - math.sqrt(0.5)) < 0.01 else f", Q {short(q)}"
    return f"{shape}{gain} at {hertz(hz)}{slope}{quality}"
