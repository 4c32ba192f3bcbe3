"""What engineers say of filters, dynamics, saturations, modulations, rooms and stereo tools; of the seven processors of
the pruning paper see :mod:`graphmix.graph.engineering`.

Each summary is given physical values by parameter name, the sample rate and the dry/wet weight. Bands that do nothing
are left out, as are settings at their usual value (no look-ahead, no make-up, feed-forward).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graphmix.graph.wording import (
    WITH_GAIN,
    Settings,
    band_words,
    decibels,
    hertz,
    level_of,
    milliseconds,
    percent,
    place_of,
    rounded,
    short,
    wet_db,
)

Values = Mapping[str, np.ndarray]
Summary = Callable[[Values, int, float], Settings]
SHAPES = ("low pass", "high pass", "band pass", "notch", "all pass", "bell", "low shelf", "high shelf")
DYNAMIC_SHAPES = ("bell", "low shelf", "high shelf")
LISTEN = ("left and right linked", "left and right apart", "mid", "side")
FIRST_OCTAVES = {3: -17, 1: -5}
"""Steps of the lowest band below 1 kHz, by bands per octave."""
IDLE_DB = 0.05
MONO_DB = -60.0
PURE: dict[tuple[float, ...], str] = {
    (1, 0, 0): "low pass", (0, 1, 0): "band pass", (0, 0, 1): "high pass", (1, 0, 1): "notch",
}  # fmt: skip
"""By the amounts of a state-variable filter."""
MOST_LISTED = 3


def _one(values: Values, name: str) -> float:
    return float(values[name][0])


def _band_numbers(shape: str, hz: float, gain_db: float, q: float) -> dict[str, Any]:
    gain = {"gain_db": rounded(gain_db)} if shape in WITH_GAIN else {}
    return {"shape": shape.replace(" ", "_"), "frequency_hz": rounded(hz), **gain, "q": rounded(q)}


def _biquad(values: Values, sample_rate: int, wet: float) -> Settings:
    shape, order = SHAPES[round(_one(values, "shape"))], round(_one(values, "order"))
    hz, gain, q = (_one(values, name) for name in ("frequency_hz", "gain_db", "q"))
    numbers = _band_numbers(shape, hz, gain, q)
    if "pass" in shape and shape not in ("band pass", "all pass"):
        numbers["order"] = order
    return Settings(band_words(shape, hz, gain, q, order), numbers)


def _parametric(values: Values, sample_rate: int, wet: float) -> Settings:
    rows = zip(*(values[name].tolist() for name in ("shape", "frequency_hz", "gain_db", "q")), strict=True)
    bands = [(SHAPES[round(shape)], hz, gain, q) for shape, hz, gain, q in rows]
    used = [band for band in bands if band[0] not in WITH_GAIN or abs(band[2]) >= IDLE_DB]
    used.sort(key=lambda band: band[1])
    text = "; ".join(band_words(*band) for band in used) or "flat"
    return Settings(text, {"bands": [_band_numbers(*band) for band in used]})


def _graphic(steps: int) -> Summary:
    def summary(values: Values, sample_rate: int, wet: float) -> Settings:
        gain = values["gain_db"]
        centers = 1000 * 2.0 ** ((FIRST_OCTAVES[steps] + np.arange(len(gain))) / steps)
        numbers = {"frequency_hz": [rounded(hz, 1) for hz in centers], "gain_db": [rounded(g) for g in gain]}
        if not (np.abs(gain) >= IDLE_DB).any():
            return Settings("flat", numbers)
        if steps == 1:
            words = ", ".join(f"{hertz(hz)} {decibels(g)}" for hz, g in zip(centers, gain, strict=True))
            return Settings(f"{words} dB", numbers)
        high, low = int(gain.argmax()), int(gain.argmin())
        text = f"highest {decibels(gain[high])} dB at {hertz(centers[high])}, lowest {decibels(gain[low])} dB at "
        return Settings(f"{text}{hertz(centers[low])}, mean {decibels(gain.mean())} dB", numbers)

    return summary


def _state_variable(values: Values, sample_rate: int, wet: float) -> Settings:
    names = ("frequency_hz", "q", "low", "band", "high")
    hz, q, low, band, high = (_one(values, name) for name in names)
    amounts = f"low {short(low)}, band {short(band)}, high {short(high)}"
    pure: dict[tuple[float, ...], str] = {
        (1, 0, 0): "low pass",
        (0, 1, 0): "band pass",
        (0, 0, 1): "high pass",
        (1, 0, 1): "notch",
    }
    kind = pure.get((low, band, high), amounts)
    numbers = {name: rounded(_one(values, name)) for name in names}
    return Settings(f"{kind} at {hertz(hz)}, Q {short(q)}", numbers)


def _pole_zero(values: Values, sample_rate: int, wet: float) -> Settings:
    parts = [f"gain {decibels(_one(values, 'gain_db'))} dB"]
    for name in ("pole", "zero"):
        pairs = zip(values[f"{name}_hz"], values[f"{name}_bandwidth_hz"], strict=True)
        parts.append(f"{name}s at " + ", ".join(f"{hertz(hz)} ({hertz(width)} wide)" for hz, width in pairs))
    return Settings("; ".join(parts), {name: [rounded(v) for v in own] for name, own in values.items()})


def _fir(values: Values, sample_rate: int, wet: float) -> Settings:
    first, second = sorted((_one(values, "low_hz"), _one(values, "high_hz")))
    inside, outside = _one(values, "inside_db"), _one(values, "outside_db")
    text = f"{decibels(inside)} dB from {hertz(first)} to {hertz(second)}, {decibels(outside)} dB outside"
    ripple = _one(values, "attenuation_db")
    numbers = {name: rounded(own[0]) for name, own in values.items()}
    return Settings(f"{text}; ripples {decibels(-ripple)} dB", numbers)


def _studio(values: Values, sample_rate: int, wet: float) -> Settings:
    one = {name: float(own[0]) for name, own in values.items()}
    parts = [f"threshold {decibels(one['threshold_db'])} dB", f"ratio {short(one['ratio'])}:1"]
    parts += [f"knee {short(one['knee_db'])} dB"]
    if "range_db" in one:
        parts.append(f"range {short(one['range_db'])} dB")
    parts += [f"attack {milliseconds(one['attack_ms'])}", f"release {milliseconds(one['release_ms'])}"]
    rms = round(one["detection"]) == 1
    parts.append(f"RMS over {milliseconds(one['mean_ms'])}" if rms else "peak")
    parts.append(LISTEN[round(one["listen"])])
    smoothing = round(one["smoothing"])
    parts += [("", "smooths the gain factor", "smooths the level")[smoothing]] if smoothing else []
    parts += ["feedback"] if round(one.get("topology", 0)) == 1 else []
    parts += [f"looks {milliseconds(one['lookahead_ms'])} ahead"] if one["lookahead_ms"] else []
    parts += [f"make-up {decibels(one['makeup_db'])} dB"] if one.get("makeup_db") else []
    parts += [f"auto make-up {percent(one['auto_makeup'])}"] if one.get("auto_makeup") else []
    names = {
        "listen": ("linked", "apart", "mid", "side"),
        "detection": ("peak", "rms"),
        "smoothing": ("gain_db", "gain", "level"),
        "topology": ("feed_forward", "feedback"),
    }
    numbers = {name: names[name][round(v)] if name in names else rounded(v) for name, v in one.items()}
    return Settings(", ".join(parts), numbers)


def _transient(values: Values, sample_rate: int, wet: float) -> Settings:
    one = {name: float(own[0]) for name, own in values.items()}
    words = [
        f"{name} {decibels(one[f'{name}_db'])} dB (over {milliseconds(one[f'{name}_ms'])})"
        for name in ("attack", "sustain")
    ]
    return Settings(", ".join(words), {name: rounded(v) for name, v in one.items()})


def _dynamic_equalizer(values: Values, sample_rate: int, wet: float) -> Settings:
    parts, bands = [], []
    for place in range(len(values["shape"])):
        one = {name: float(own[place]) for name, own in values.items()}
        shape = DYNAMIC_SHAPES[round(one["shape"])]
        if one["ratio"] <= 1.005 and abs(one["gain_db"]) < IDLE_DB:
            continue
        where = band_words(shape, one["frequency_hz"], one["gain_db"], one["q"])
        times = f"attack {milliseconds(one['attack_ms'])}, release {milliseconds(one['release_ms'])}"
        parts.append(
            f"{where}; above {decibels(one['threshold_db'])} dB {short(one['ratio'])}:1, "
            f"by {short(one['range_db'])} dB at most, {times}"
        )
        bands.append({**{name: rounded(v) for name, v in one.items()}, "shape": shape.replace(" ", "_")})
    return Settings(" | ".join(parts) or "does nothing", {"bands": bands})


# --- saturation


def _tanh(values: Values, sample_rate: int, wet: float) -> Settings:
    drive, asymmetry = _one(values, "drive_db"), _one(values, "asymmetry")
    text = f"drive {decibels(drive)} dB" + (f", asymmetry {percent(asymmetry)}" if asymmetry else "")
    return Settings(text, {"drive_db": rounded(drive), "asymmetry": rounded(asymmetry)})


def _clipper(values: Values, sample_rate: int, wet: float) -> Settings:
    sides = [
        f"{decibels(c)} dB ({'hard' if h > 0.9 else 'soft'}, straight up to {percent(h)})"
        for c, h in zip(values["ceiling_db"], values["hardness"], strict=True)
    ]
    text = f"ceiling {sides[0]}" if sides[0] == sides[1] else f"ceiling {sides[0]} above, {sides[1]} below zero"
    return Settings(text, {name: [rounded(v) for v in own] for name, own in values.items()})


def _orders(what: str) -> Summary:
    def summary(values: Values, sample_rate: int, wet: float) -> Settings:
        amounts = values["amount"]
        strongest = sorted(np.argsort(-np.abs(amounts), kind="stable")[:MOST_LISTED].tolist())
        listed = [f"{what} {k + 2} {100 * amounts[k]:+.0f} %" for k in strongest if abs(amounts[k]) >= 0.005]
        text = ", ".join([f"drive {decibels(_one(values, 'drive_db'))} dB", *(listed or ["no change"])])
        return Settings(text, {name: [rounded(v) for v in own] for name, own in values.items()})

    return summary


def _wave_shaper(values: Values, sample_rate: int, wet: float) -> Settings:
    offsets = values["offset"] - values["offset"][len(values["offset"]) // 2]
    text = f"drive {decibels(_one(values, 'drive_db'))} dB, up to {percent(float(np.abs(offsets).max()))} off the line"
    return Settings(text, {name: [rounded(v) for v in own] for name, own in values.items()})


def _tape(values: Values, sample_rate: int, wet: float) -> Settings:
    one = {name: float(own[0]) for name, own in values.items()}
    text = f"drive {decibels(one['drive_db'])} dB, hysteresis {percent(one['hysteresis'])}"
    text += f" {decibels(one['width_db'])} dB wide" if one["hysteresis"] else ""
    return Settings(text, {name: rounded(v) for name, v in one.items()})


def _bits(values: Values, sample_rate: int, wet: float) -> Settings:
    bits = _one(values, "bits")
    return Settings(
        f"{short(bits)} bits (steps of {decibels(20 * math.log10(2) * (1 - bits))} dB)", {"bits": rounded(bits)}
    )


# --- modulation, echoes, rooms


def _moved(values: Values, what: str) -> tuple[list[str], dict[str, Any]]:
    """Rate, what it moves, and how the channels are apart."""
    one = {name: float(own[0]) for name, own in values.items()}
    parts = [f"{one['rate_hz']:.2g} Hz", what]
    parts += [f"feedback {percent(one['feedback'])}"] if one.get("feedback") else []
    parts += [f"right {360 * one['spread']:.0f}° ahead"] if one["spread"] else []
    parts += [f"phase {360 * one['phase']:.0f}°"] if one["phase"] else []
    return parts, {name: rounded(v) for name, v in one.items()}


def _moved_delay(values: Values, sample_rate: int, wet: float) -> Settings:
    center, depth = _one(values, "center_ms"), _one(values, "depth")
    parts, numbers = _moved(values, f"delay {center * (1 - depth):.2f} to {center * (1 + depth):.2f} ms")
    return Settings(", ".join(parts), numbers)


def _phaser(values: Values, sample_rate: int, wet: float) -> Settings:
    center, depth = _one(values, "center_hz"), _one(values, "depth")
    parts, numbers = _moved(values, f"corner {hertz(center * 2**-depth)} to {hertz(center * 2**depth)}")
    return Settings(", ".join(parts), numbers)


def _tremolo(values: Values, sample_rate: int, wet: float) -> Settings:
    dip = 20 * math.log10(max(1 - wet * _one(values, "depth"), 1e-3))
    parts, numbers = _moved(values, f"dips to {decibels(dip)} dB")
    return Settings(", ".join(parts), numbers, folded=True)


def _auto_pan(values: Values, sample_rate: int, wet: float) -> Settings:
    depth = 100 * _one(values, "depth")
    parts, numbers = _moved(values, f"pan L {depth:.0f} to R {depth:.0f}")
    return Settings(", ".join(parts), numbers)


def _wet(text: str, numbers: dict[str, Any], wet: float) -> Settings:
    """With the level of the wet part."""
    relative = wet_db(wet)
    if relative is None:
        return Settings(text, numbers)
    return Settings(
        f"{text}; wet {decibels(relative)} dB to dry", {**numbers, "wet_db": rounded(relative)}, folded=True
    )


def _feedback_delay(values: Values, sample_rate: int, wet: float) -> Settings:
    left, right = values["time_ms"].tolist()
    feedback, cross = _one(values, "feedback"), _one(values, "cross")
    parts = [f"left {milliseconds(left)}, right {milliseconds(right)}"]
    parts.append(f"each repeat {decibels(20 * math.log10(feedback))} dB" if feedback > 1e-3 else "no repeats")
    parts += [f"ping-pong {percent(cross)}"] if cross else []
    parts.append(f"passes {hertz(_one(values, 'low_cut_hz'))} to {hertz(_one(values, 'high_cut_hz'))}")
    numbers = {name: [rounded(v) for v in own] if len(own) > 1 else rounded(own[0]) for name, own in values.items()}
    return _wet(", ".join(parts), numbers, wet)


def _decays(values: Values, sample_rate: int, wet: float) -> Settings:
    low, high = values["decay_s"].tolist()
    corner = _one(values, "crossover_hz")
    text = f"RT60 low {low:.2f} s, high {high:.2f} s, corner {hertz(corner)}"
    numbers = {"rt60_low_s": rounded(low), "rt60_high_s": rounded(high), "crossover_hz": rounded(corner)}
    return _wet(text, numbers, wet)


def _room(values: Values, sample_rate: int, wet: float) -> Settings:
    size, share = values["size_m"], _one(values, "reflection")
    text = f"room {' × '.join(f'{side:.1f}' for side in size)} m, walls reflect {decibels(20 * math.log10(share))} dB"
    numbers = {"size_m": [rounded(side) for side in size], "reflection": rounded(share)}
    return _wet(text, numbers, wet)


# --- stereo


def _crossover(values: Values, sample_rate: int, wet: float) -> Settings:
    corners = sorted(values["frequency_hz"].tolist())
    return Settings(
        f"splits at {', '.join(map(hertz, corners))}", {"frequency_hz": [rounded(hz) for hz in corners]}, True
    )


def _panned(law: Callable[[float], tuple[float, float]]) -> Summary:
    def summary(values: Values, sample_rate: int, wet: float) -> Settings:
        left, right = (wet * factor + 1 - wet for factor in law(_one(values, "position")))
        (pan, place), level = place_of(left, right), level_of(left, right)
        text = f"pan {place}" + (f", {decibels(level)} dB" if abs(level) >= IDLE_DB else "")
        return Settings(text, {"pan_percent": rounded(pan), "level_db": rounded(level)}, folded=True)

    return summary


def _constant_power(position: float) -> tuple[float, float]:
    angle = math.pi / 4 * (1 + position)
    return math.sqrt(2) * math.cos(angle), math.sqrt(2) * math.sin(angle)


def _balance(position: float) -> tuple[float, float]:
    return min(1.0, 1 - position), min(1.0, 1 + position)


def _rotation(values: Values, sample_rate: int, wet: float) -> Settings:
    angle = _one(values, "angle_deg")
    return Settings(f"rotated by {angle:+.1f}°", {"angle_deg": rounded(angle)})


def _polarity(values: Values, sample_rate: int, wet: float) -> Settings:
    signs = ["inverted" if v < 0 else "normal" for v in values["polarity"]]
    text = f"both {signs[0]}" if signs[0] == signs[1] else f"left {signs[0]}, right {signs[1]}"
    return Settings(text, {"left": signs[0], "right": signs[1]})


def _fixed(text: str) -> Summary:
    return lambda values, sample_rate, wet: Settings(text, {}, folded=True)


def _haas(values: Values, sample_rate: int, wet: float) -> Settings:
    later, level = _one(values, "later_ms"), _one(values, "level_db")
    side = "right" if later >= 0 else "left"
    text = f"{side} {abs(later):.1f} ms later, {decibels(level)} dB"
    return Settings(text, {"later_ms": rounded(later), "level_db": rounded(level)})


def _bass_width(values: Values, sample_rate: int, wet: float) -> Settings:
    hz, side = _one(values, "frequency_hz"), _one(values, "side_db")
    folded = 20 * math.log10(max(wet * 10 ** (side / 20) + 1 - wet, 1e-6))
    text = f"mono below {hertz(hz)}" if folded <= MONO_DB else f"side {decibels(folded)} dB below {hertz(hz)}"
    return Settings(text, {"frequency_hz": rounded(hz), "side_db": rounded(folded)}, folded=True)


_DYNAMICS = ("threshold_db", "ratio", "knee_db")
_DETECTOR = ("attack_ms", "release_ms", "mean_ms", "lookahead_ms")
_BANDS = ("shape", "frequency_hz", "q", "gain_db", "threshold_db", "ratio", "range_db", "attack_ms", "release_ms")
_DELAYED = ("rate_hz", "depth", "center_ms", "spread", "phase")
GEAR: dict[str, tuple[tuple[str, ...], Summary]] = {
    "biquad": (("shape", "frequency_hz", "gain_db", "q", "order"), _biquad),
    "parametric_eq": (("shape", "frequency_hz", "gain_db", "q"), _parametric),
    "graphic_eq": (("gain_db",), _graphic(3)),
    "octave_eq": (("gain_db",), _graphic(1)),
    "state_variable": (("frequency_hz", "q", "low", "band", "high"), _state_variable),
    "pole_zero": (("gain_db", "zero_hz", "zero_bandwidth_hz", "pole_hz", "pole_bandwidth_hz"), _pole_zero),
    "fir_filter": (("low_hz", "high_hz", "inside_db", "outside_db", "attenuation_db"), _fir),
    "studio_compressor": (
        (*_DYNAMICS, *_DETECTOR, "makeup_db", "auto_makeup", "listen", "detection", "smoothing", "topology"),
        _studio,
    ),
    "expander": ((*_DYNAMICS, "range_db", *_DETECTOR, "listen", "detection", "smoothing"), _studio),
    "transient_shaper": (("attack_db", "sustain_db", "attack_ms", "sustain_ms"), _transient),
    "dynamic_eq": (_BANDS, _dynamic_equalizer),
    "de_esser": (_BANDS, _dynamic_equalizer),
    "tanh": (("drive_db", "asymmetry"), _tanh),
    "clipper": (("ceiling_db", "hardness"), _clipper),
    "power": (("drive_db", "amount"), _orders("order")),
    "chebyshev": (("drive_db", "amount"), _orders("harmonic")),
    "wave_shaper": (("drive_db", "offset"), _wave_shaper),
    "tape": (("drive_db", "hysteresis", "width_db"), _tape),
    "bit_crusher": (("bits",), _bits),
    "chorus": (_DELAYED, _moved_delay),
    "flanger": (("rate_hz", "depth", "center_ms", "feedback", "spread", "phase"), _moved_delay),
    "vibrato": (_DELAYED, _moved_delay),
    "phaser": (("rate_hz", "depth", "center_hz", "feedback", "spread", "phase"), _phaser),
    "tremolo": (("rate_hz", "depth", "spread", "phase"), _tremolo),
    "auto_pan": (("rate_hz", "depth", "spread", "phase"), _auto_pan),
    "feedback_delay": (("time_ms", "feedback", "cross", "low_cut_hz", "high_cut_hz"), _feedback_delay),
    "feedback_network": (("decay_s", "crossover_hz", "level_db"), _decays),
    "velvet_reverb": (("decay_s", "crossover_hz"), _decays),
    "early_reflections": (("size_m", "reflection"), _room),
    "crossover": (("frequency_hz",), _crossover),
    "pan": (("position",), _panned(_constant_power)),
    "balance": (("position",), _panned(_balance)),
    "rotation": (("angle_deg",), _rotation),
    "polarity": (("polarity",), _polarity),
    "mid_side_encoder": ((), _fixed("left, right become mid, side")),
    "mid_side_decoder": ((), _fixed("mid, side become left, right")),
    "haas": (("later_ms", "level_db"), _haas),
    "bass_width": (("frequency_hz", "side_db"), _bass_width),
}
"""Type name -> the parameters that the summary needs, and the summary."""
