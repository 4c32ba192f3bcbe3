"""The filters of the reference renderer, from their analog prototypes: by SciPy's bilinear transform, in float64.

Each function gives second-order sections as SciPy has them, [sections, 6], for the values of one node. The processors'
own coefficients are closed forms of the digital filter; nothing is shared with them but constants.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.signal import bilinear, sosfreqz

from graphmix.dsp.biquad_design import SHAPES
from graphmix.dsp.graphic_design import HIGHEST_SHARE

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
    return np.stack([band(SHAPES[round(shape)], corner, gain, q, sample_rate) for shape, corner, gain, q in rows])


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


def bells(gain_db: Array, width: Array, center: Array) -> Array:
    """Peak filters by gains and tangents of half their widths, with 0.4 of their decibels at the neighbour."""
    sections = []
    for gain, half, angle in zip(10 ** (gain_db / 20), width, center, strict=True):
        edge = gain**0.4
        share = (edge**2 - 1) / (gain**2 - edge**2) if abs(gain - 1) > 1e-9 else 0.4 / 0.6
        beta = half * math.sqrt(share)
        middle = -2 * math.cos(angle)
        sections.append([1 + gain * beta, middle, 1 - gain * beta, 1 + beta, middle, 1 - beta])
    return np.array([np.divide(section, section[3]) for section in sections])


def graphic(values: Values, sample_rate: int, bands_per_octave: int) -> Array:
    """Sliders by least squares over centers and the middles between them: prototypes of 17 dB, three corrections."""
    numbers = np.arange(-17, 14) if bands_per_octave == 3 else np.arange(-5, 6)
    centers = 1000 * 2.0 ** (numbers / bands_per_octave)
    centers = centers[(centers < HIGHEST_SHARE * sample_rate) & (centers < 20500)]
    step = 2 ** (1 / bands_per_octave)
    angle = 2 * np.pi * centers / sample_rate
    near = np.where(centers * step < 0.49 * sample_rate, angle * step, angle / step)
    width = np.abs(np.cos(near) - np.cos(angle)) / np.sin(near)
    places = np.concatenate([centers, np.sqrt(centers[1:] * centers[:-1])])

    def decibels(sections: Array) -> Array:
        return np.asarray(20 * np.log10(np.abs(sosfreqz(sections, places, fs=sample_rate)[1])))

    prototypes = bells(np.full(len(centers), 17.0), width, angle)
    interaction = np.stack([decibels(section[None]) for section in prototypes], axis=1) / 17
    weight = np.where(np.arange(len(places)) < len(centers), 1.0, 0.5)
    solver = np.linalg.pinv(np.sqrt(weight)[:, None] * interaction) * np.sqrt(weight)
    sliders = values["gain_db"]
    wanted = np.concatenate([sliders, (sliders[1:] + sliders[:-1]) / 2])
    found = solver @ wanted
    for _ in range(3):
        found = found + solver @ (wanted - decibels(bells(found, width, angle)))
    return bells(found, width, angle)


SECTIONS: Mapping[str, Design] = {
    "biquad": single,
    "parametric_eq": parametric,
    "state_variable": state_variable,
    "pole_zero": pole_zero,
    "graphic_eq": lambda values, rate: graphic(values, rate, 3),
    "octave_eq": lambda values, rate: graphic(values, rate, 1),
}
"""Recursive filters, by the name of their type."""
