"""The built-in equalizer of DAWproject, both ways.

The format names types of bands, frequency, gain and Q, and says no more of their response; they are taken for those of
:mod:`graphmix.rewrite.parametric`. Bitwig writes frequencies in semitones, 69 of which are 440 Hz.
"""

import math
from collections.abc import Callable
from xml.etree import ElementTree as Xml

from graphmix.rewrite.convert_equalizers import curve_grid, fit_curve
from graphmix.rewrite.parametric import BUTTERWORTH, Band, Fitted, Limits, Shape
from graphmix.sessions.ardour_editable import curve_db
from graphmix.sessions.session import Device

SHAPES = {
    "bell": Shape.bell,
    "lowShelf": Shape.low_shelf,
    "highShelf": Shape.high_shelf,
    "highPass": Shape.high_pass,
    "lowPass": Shape.low_pass,
    "bandPass": Shape.band_pass,
    "notch": Shape.notch,
}
NAMES = {shape: name for name, shape in SHAPES.items()}
LIMITS = Limits(bells=6)
"""With two shelves as many bands as the smallest equalizers of programs that read the format have."""
TOLERANCE_DB = 0.5
MOST_SECTIONS = 8


def fit_device(device: Device, sample_rate: int) -> Fitted:
    """The bands that stand for an equalizer of graphmix."""
    frequency = curve_grid(sample_rate)
    return fit_curve(frequency, curve_db(device, frequency, sample_rate), sample_rate, LIMITS, TOLERANCE_DB)


def add_bands(element: Xml.Element, fitted: Fitted) -> None:
    """Write bands into an equalizer's element."""
    for band in fitted.bands:
        one = Xml.SubElement(element, "Band", type=NAMES[band.shape])
        for tag, value, unit in (
            ("Freq", band.frequency_hz, "hertz"),
            ("Gain", band.gain_db, "decibel"),
            ("Q", band.q, "linear"),
        ):
            Xml.SubElement(one, tag, value=repr(float(value)), unit=unit)
    if fitted.gain_db:
        Xml.SubElement(element, "OutputGain", value=repr(float(fitted.gain_db)), unit="decibel")


def read_bands(element: Xml.Element, number: Callable[[Xml.Element], float]) -> tuple[list[Band], float]:
    """Bands of an equalizer, and its gain of all in dB.

    Args:
        element: of the device.
        number: the value of a parameter; refuses what is none.
    """
    bands = []
    for one in element.findall("Band"):
        shape, enabled, hz = SHAPES.get(one.get("type", "")), one.find("Enabled"), one.find("Freq")
        if shape is None or hz is None or (enabled is not None and enabled.get("value") == "false"):
            continue
        frequency = number(hz)
        if hz.get("unit") == "semitones":
            frequency = 440.0 * 2 ** ((min(max(frequency, -60.0), 200.0) - 69) / 12)
        gain, q = one.find("Gain"), one.find("Q")
        quality = BUTTERWORTH if q is None else min(100.0, max(0.05, number(q)))
        level = 0.0 if gain is None else min(60.0, max(-60.0, _decibels(gain, number)))
        sections = 1
        if shape in (Shape.high_pass, Shape.low_pass):
            order = one.get("order") or "2"
            sections = min(MOST_SECTIONS, max(1, round(int(order) / 2))) if order.isdigit() else 1
        bands += [Band(shape, max(1.0, frequency), level, quality)] * sections
    gains = (element.find(tag) for tag in ("InputGain", "OutputGain"))
    return bands, sum(_decibels(gain, number) for gain in gains if gain is not None)


def _decibels(element: Xml.Element, number: Callable[[Xml.Element], float]) -> float:
    value = number(element)
    if element.get("unit") == "linear":
        return 20 * math.log10(value) if value > 1e-6 else -120.0
    return value
