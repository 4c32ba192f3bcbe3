"""The filters of the reference renderer, from their analog prototypes: by SciPy's bilinear transform, in float64.

Each function gives second-order sections as SciPy has them, [sections, 6], for the values of one node. The processors'
own coefficients are closed forms of the digital filter; nothing is shared with them but constants.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.signal import bilinear

from graphmix.dsp.biquad_design import SHAPES

Array = NDArray[np.float64]
Values = Mapping[str, Array]
Design = Callable[[Values, int], Array]
"""(values of one node, sample rate) -> sections."""


def digital(numerator: list[float], denominator: list[float], corner_hz: float, sample_rate: int) -> Array:
    """One section of an analog filter with its corner at 1 rad/s, powers of s from the highest, [6]."""
    corner = 2 * sample_rate * math.tan(math.pi * corner_hz / sample_rate)
    scale = [corner**-power for power in range(len(denominator))][::-1]
    b, a = bilinear(np.multiply(numerator, scale), np.multiply(denominator, scale), fs=sample_rate)
    return np.concatenate([np.pad(b, (0, 3 - len(b))), np.pad(a, (0, 3 - len(a)))])


def band(shape: str, corner_hz: float, gain_db: float, q: float, sample_rate: int) -> Array:
    """Prototypes of Bristow-Johnson's cookbook."""
    a = 10 ** (gain_db / 40)
    plain, root = [1.0, 1 / q, 1.0], math.sqrt(a) / q
    prototypes = {
        "low_pass": ([0.0, 0.0, 1.0], plain),
        "high_pass": ([1.0, 0.0, 0.0], plain),
        "band_pass": ([0.0, 1 / q, 0.0], plain),
        "notch": ([1.0, 0.0, 1.0], plain),
        "all_pass": ([1.0, -1 / q, 1.0], plain),
        "bell": ([1.0, a / q, 1.0], [1.0, 1 / (a * q), 1.0]),
        "low_shelf": ([a, a * root, a * a], [a, root, 1.0]),
        "high_shelf": ([a * a, a * root, a], [1.0, root, a]),
    }
    return digital(*prototypes[shape], corner_hz, sample_rate)


def single(values: Values, sample_rate: int) -> Array:
    """One band, or a pass of any order: Butterworth's poles, the sharpest pair sharpened or dulled by q."""
    shape, corner, q = SHAPES[round(values["shape"][0])], float(values["frequency_hz"][0]), float(values["q"][0])
    if shape not in ("low_pass", "high_pass"):
        return band(shape, corner, float(values["gain_db"][0]), q, sample_rate)[None]
    order, sections = round(values["order"][0]), []
    poles = [np.exp(1j * math.pi * (2 * k + order - 1) / (2 * order)) for k in range(1, order + 1)]
    upper = sorted((p for p in poles if p.imag > 1e-9), key=lambda p: -p.real)
    for number, pole in enumerate(upper):
        own = -1 / (2 * pole.real) * (q * math.sqrt(2) if number == 0 else 1)
        sections.append(band(shape, corner, 0.0, own, sample_rate))
    if order % 2:
        sections.append(digital([0.0, 1.0] if shape == "low_pass" else [1.0, 0.0], [1.0, 1.0], corner, sample_rate))
    return np.stack(sections)


def parametric(values: Values, sample_rate: int) -> Array:
    """Bands in a row."""
    names = ("shape", "frequency_hz", "gain_db", "q")
    rows = zip(*(values[name].tolist() for name in names), strict=True)
    return np.stack([band(SHAPES[round(shape)], *own, sample_rate) for shape, *own in rows])


def state_variable(values: Values, sample_rate: int) -> Array:
    """A mix of three outputs."""
    corner, q, low, middle, high = (float(values[n][0]) for n in ("frequency_hz", "q", "low", "band", "high"))
    return digital([high, middle / q, low], [1.0, 1 / q, 1.0], corner, sample_rate)[None]


def pole_zero(values: Values, sample_rate: int) -> Array:
    """Conjugate pairs multiplied out."""
    pairs = []
    for name in ("zero", "pole"):
        radius = np.exp(-np.pi * values[f"{name}_bandwidth_hz"] / sample_rate)
        roots = radius * np.exp(2j * np.pi * values[f"{name}_hz"] / sample_rate)
        pairs.append([np.poly([root, root.conjugate()]).real for root in roots])
    sections = np.concatenate([np.stack(own) for own in pairs], axis=1)
    sections[0, :3] *= 10 ** (float(values["gain_db"][0]) / 20)
    return sections


SECTIONS: Mapping[str, Design] = {
    "filter": single,
    "parametric_eq": parametric,
    "state_variable": state_variable,
    "pole_zero": pole_zero,
}
"""Recursive filters, by the name of their type."""
