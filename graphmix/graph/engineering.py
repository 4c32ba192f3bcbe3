r"""Settings as engineers say them: a fader and a pan for left and right gains, named bands for an equalizer's curve.

Every summary is text and numbers (for JSON). The dry/wet weight is part of what is said wherever the parameters can say
it, so that a gain of -6.9 dB of which 34.5 % is wet is a fader at -1.8 dB:

* gain: *fader* in dB and *pan* in percent, L 100 to R 100, by the constant-power law with 0 dB in the middle:
  left = :math:`\sqrt2\, g \cos\theta`, right = :math:`\sqrt2\, g \sin\theta`;
* send: level and pan, as a fader;
* imager: width in percent, the gain of the side channel;
* equalizer: mean gain of five bands over the octaves, and the frequency of the largest boost and cut of a third octave
  where they stand out of these;
* delay: its three strongest echoes relative to the dry signal (to the whole response where there is none), and the
  *feedback*: by how much the line through the levels of all echoes within 30 dB falls from one time of the first of
  these to the next;
* reverb: RT60 below 250 Hz, up to 4 kHz and above; the wet part relative to the dry one, and its side to its mid;
* align: time and polarity;
* ride: its breakpoints in order;
* other types of graphmix: see :mod:`graphmix.graph.gear_words`.

The summaries go by the names and sizes of parameters and assume their frequencies to be equally spaced from 0 to half
the sample rate, as those of graphmix's own processors are. Types that are not known are shown as ``name value unit``,
choices by their names.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graphmix.graph.gear_words import GEAR
from graphmix.graph.wording import Settings, decibels, hertz, level_of, place_of, rounded, short, wet_db
from graphmix.spec import NodeType, ParameterSpec

BANDS_HZ = {"low": 20, "low-mid": 120, "mid": 500, "high-mid": 2000, "high": 6000}
"""Bands of an equalizer by name, each up to the next; the last ends at half the sample rate."""
REVERB_EDGES_HZ = (250.0, 4000.0)
REVERB_SECONDS = 2.0
"""Length of the reverb's response, over which energies are summed."""
NUM_STRONGEST = 3
STANDS_OUT_DB = 1.5
"""A boost or cut of a third octave is named where it differs so much from every band's mean."""
SILENT_DB = -100.0
_ECHOES_WITHIN_DB = 30.0
_MANY = 4
"""A parameter with more values than this is shown by its range and mean."""

Values = Mapping[str, np.ndarray]


def describe_settings(node_type: NodeType, values: Values, sample_rate: int, wet: float) -> Settings:
    """The settings of one processor.

    Args:
        node_type: its type.
        values: physical values by parameter name.
        sample_rate: of the graph in Hz.
        wet: dry/wet weight.
    """
    names, summarise = _SUMMARIES.get(node_type.name, ((), None))
    own = tuple(name for name in values if not (node_type.base_rate and name == "top_db"))
    if summarise is not None and names == own:
        return summarise(values, node_type.base_rate or sample_rate, wet)
    numbers = {p.name: [_plain_value(p, v) for v in values[p.name]] for p in node_type.parameters}
    single = {name: many[0] if len(many) == 1 else many for name, many in numbers.items()}
    return Settings(", ".join(_plain(p, values[p.name]) for p in node_type.parameters), single)


def third_octaves(gain_db: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Centers in Hz and mean gain in dB of third octaves from 25 Hz to half the sample rate.

    Args:
        gain_db: at equally spaced frequencies from 0 to half the sample rate.
        sample_rate: in Hz.
    """
    centers = 1000 * 2.0 ** (np.arange(-16, 15) / 3)
    centers = centers[centers < sample_rate / 2]
    return centers, np.array([_mean(gain_db, f / 2 ** (1 / 6), f * 2 ** (1 / 6), sample_rate) for f in centers])


def folded_db(gain_db: np.ndarray, wet: float) -> np.ndarray:
    """Gains in dB mixed with a dry signal: what sounds."""
    amplitude = wet * 10 ** (gain_db / 20) + 1 - wet
    return np.asarray(20 * np.log10(np.maximum(amplitude, 10 ** (SILENT_DB / 20))))


def _mean(gain_db: np.ndarray, low: float, high: float, sample_rate: int) -> float:
    """Mean over the octaves between two frequencies."""
    known = np.arange(len(gain_db)) * (sample_rate / max(2 * len(gain_db) - 1, 1))
    at = np.geomspace(low, high, 33)
    return float(np.interp(at, known, gain_db).mean())


def _gain(values: Values, sample_rate: int, wet: float) -> Settings:
    left_db, right_db = folded_db(values["gain_db"], wet)
    left, right = 10 ** (left_db / 20), 10 ** (right_db / 20)
    fader, (pan, place) = level_of(left, right), place_of(left, right)
    numbers = {"fader_db": rounded(fader), "pan_percent": rounded(pan)}
    return Settings(f"fader {decibels(fader)} dB, pan {place}", numbers, folded=True)


def _send(values: Values, sample_rate: int, wet: float) -> Settings:
    scaled = {"gain_db": values["gain_db"] + 20 * math.log10(max(wet, 1e-5))}
    found = _gain(scaled, sample_rate, 1.0)
    numbers = {"send_db": found.numbers["fader_db"], "pan_percent": found.numbers["pan_percent"]}
    return Settings(found.text.replace("fader", "send"), numbers, folded=True)


def _imager(values: Values, sample_rate: int, wet: float) -> Settings:
    (side,) = folded_db(values["side_db"], wet)
    width = 100 * 10 ** (side / 20)
    numbers = {"width_percent": rounded(width), "side_db": rounded(side)}
    return Settings(f"width {width:.0f} % (side {decibels(side)} dB)", numbers, True)


def _equalizer(values: Values, sample_rate: int, wet: float) -> Settings:
    gain = folded_db(values["gain_db"], wet)
    edges = [*(f for f in BANDS_HZ.values() if f < sample_rate / 2), sample_rate / 2]
    means = {
        name: _mean(gain, low, high, sample_rate)
        for name, low, high in zip(BANDS_HZ, edges[:-1], edges[1:], strict=False)
    }
    parts = [", ".join(f"{name} {decibels(mean)}" for name, mean in means.items()) + " dB"]
    centers, curve = third_octaves(gain, sample_rate)
    numbers: dict[str, Any] = {f"{name.replace('-', '_')}_db": rounded(mean) for name, mean in means.items()}
    for word, at, sign in (("boost", curve.argmax(), 1), ("cut", curve.argmin(), -1)):
        if sign * curve[at] >= max(0.0, *(sign * mean for mean in means.values())) + STANDS_OUT_DB:
            parts.append(f"{word} {decibels(curve[at])} dB at {hertz(centers[at])}")
            numbers[word] = {"frequency_hz": rounded(centers[at]), "gain_db": rounded(curve[at])}
    return Settings("; ".join(parts), numbers, folded=True)


def echoes(values: Values, wet: float) -> tuple[np.ndarray, np.ndarray]:
    """Times in ms and levels in dB of a delay's taps, [left and right, taps] each; see :func:`describe_settings`."""
    delay = values["delay_ms"].reshape(2, -1)
    magnitude = 10 ** (values["filter_db"].reshape(*delay.shape, -1) / 20)
    weight = np.full(magnitude.shape[-1], 2.0)
    weight[0] = 1.0  # the other frequencies also stand for their negatives
    energy = (magnitude**2 * weight).sum(-1) / weight.sum()
    return delay, 10 * np.log10(np.maximum(energy / (energy.sum() / 2), 1e-30)) + (wet_db(wet) or 0.0)


def _delay(values: Values, sample_rate: int, wet: float) -> Settings:
    relative = wet_db(wet)
    delay, level = echoes(values, wet)
    strongest = np.argsort(-level, axis=None, kind="stable")[:NUM_STRONGEST]
    taps = [np.unravel_index(index, delay.shape) for index in strongest]
    text = ", ".join(f"{'LR'[tap[0]]} {delay[tap]:.0f} ms {decibels(level[tap])} dB" for tap in taps)
    numbers: dict[str, Any] = {
        "echoes": [
            {"side": "LR"[tap[0]], "delay_ms": rounded(float(delay[tap])), "level_db": rounded(level[tap])}
            for tap in taps
        ]
    }
    audible = level > level.max() - _ECHOES_WITHIN_DB
    first = float(min(delay[tap] for tap in taps))
    if audible.sum() > 2 and np.ptp(delay[audible]) > 0 and first > 0:
        feedback = float(np.polyfit(delay[audible], level[audible], 1)[0]) * first
        text += f"; feedback {decibels(feedback)} dB"
        numbers["feedback_db"] = rounded(feedback)
    return Settings(text, numbers, folded=relative is not None)


def _reverb(values: Values, sample_rate: int, wet: float) -> Settings:
    initial, decay = (values[name].reshape(2, -1) for name in ("initial_db", "decay_db_per_s"))
    frequency = np.arange(initial.shape[1]) * (sample_rate / 2 / initial.shape[1])
    band = np.digitize(frequency, REVERB_EDGES_HZ)
    times, numbers = [], dict[str, Any]()
    for index, label in enumerate(("low", "mid", "high")):
        if (band == index).any():
            mean = decay[:, band == index].mean()
            times.append(f"{label} {-60 / mean:.2f} s" if mean < -1e-3 else f"{label} > 60 s")
            numbers[f"rt60_{label}_s"] = rounded(-60 / mean) if mean < -1e-3 else None
    rate = np.maximum(-decay * (math.log(10) / 10), 1e-9)
    energy = (10 ** (initial / 10) * -np.expm1(-rate * REVERB_SECONDS) / rate).sum(1)
    side_db = 10 * np.log10(max(energy[1] / energy[0], 1e-30))
    text, relative = f"RT60 {', '.join(times)}", wet_db(wet)
    if relative is not None:
        text += f"; wet {decibels(relative)} dB to dry"
        numbers["wet_db"] = rounded(relative)
    numbers["side_db"] = rounded(side_db)
    return Settings(f"{text}; side {decibels(side_db)} dB to mid", numbers, folded=relative is not None)


def _align(values: Values, sample_rate: int, wet: float) -> Settings:
    ms, inverted = float(values["delay_ms"][0]), bool(values["polarity"][0] < 0)
    parts = [f"{abs(ms):.2f} ms {'later' if ms > 0 else 'earlier'}"] if ms else []
    parts += ["polarity inverted"] if inverted else []
    numbers = {"delay_ms": rounded(ms, 5), "polarity": "inverted" if inverted else "normal"}
    return Settings(", ".join(parts) or "in place", numbers, folded=True)


# --- words and numbers


def _plain(parameter: ParameterSpec, values: np.ndarray) -> str:
    """``threshold -21.3 dB``; the unit is not repeated in the name."""
    name = parameter.name.removesuffix("_" + parameter.unit.lower().replace("/", "_per_")).replace("_", " ")
    unit = f" {parameter.unit}" if parameter.unit else ""
    if parameter.name == "ratio" and not unit:
        unit = ":1"
    if parameter.choices:
        return f"{name} {', '.join(parameter.choice_of(v).replace('_', ' ') for v in values)}"
    if len(values) > _MANY:
        spread = f"{short(values.min())} to {short(values.max())}"
        return f"{name} {spread}{unit} ({len(values)} values, mean {short(values.mean())})"
    return f"{name} {', '.join(short(value) for value in values)}{unit}"


def _plain_value(parameter: ParameterSpec, value: float) -> float | str:
    """A JSON value: a number, or the name of a choice."""
    return parameter.choice_of(value) if parameter.choices else rounded(value)


def _ride(values: Values, sample_rate: int, wet: float) -> Settings:
    """``-3.0 dB to 1.20 s, +1.0 dB at 2.00 s, -60.0 dB from 9.50 s``."""
    times, first = np.unique(values["time_s"], return_index=True)
    gains = folded_db(values["gain_db"][first], wet)
    numbers = {"time_s": [rounded(t) for t in times], "gain_db": [rounded(g) for g in gains]}
    if len(times) == 1:
        return Settings(f"{gains[0]:+.1f} dB", numbers, folded=True)
    words = ["to", *["at"] * (len(times) - 2), "from"]
    points = zip(gains, words, times, strict=True)
    return Settings(", ".join(f"{g:+.1f} dB {word} {t:.2f} s" for g, word, t in points), numbers, folded=True)


_SUMMARIES: dict[str, tuple[tuple[str, ...], Callable[[Values, int, float], Settings]]] = {
    "gain": (("gain_db",), _gain),
    "send": (("gain_db",), _send),
    "imager": (("side_db",), _imager),
    "equalizer": (("gain_db",), _equalizer),
    "delay": (("delay_ms", "radius", "filter_db"), _delay),
    "reverb": (("initial_db", "decay_db_per_s"), _reverb),
    "align": (("delay_ms", "polarity"), _align),
    "ride": (("time_s", "gain_db"), _ride),
    **GEAR,
}
"""Type name -> the parameters that the summary needs, and the summary."""
