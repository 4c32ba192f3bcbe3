"""Compressors and gates of the reference renderer, of the pruning paper and beyond: plain float64, sample by sample."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from scipy.signal import sosfilt

from graphmix.dsp.dynamics import ENERGY_FLOOR
from graphmix.render.reference_filters import digital
from graphmix.render.reference_signals import Array, General, Values, amplitude

# --- of the paper: equations 16 to 23, levels and ratios in dB


def envelope(energy: Array, attack_ms: float, release_ms: float, sample_rate: int) -> Array:
    """Equations 16 and 17: one time constant while the energy rises, another while it falls."""
    attack, release = (np.exp(-1 / (ms / 1000 * sample_rate)) for ms in (attack_ms, release_ms))
    result, state = np.empty(len(energy)), 0.0
    for n, x in enumerate(energy.tolist()):
        alpha = attack if x > state else release
        state = alpha * state + (1 - alpha) * x
        result[n] = state
    return result


def level_db(detector: Array, values: Values, sample_rate: int) -> Array:
    """Level of the mid channel that a compressor or a gate goes by."""
    attack = float(values["attack_ms" if "attack_ms" in values else "time_ms"][0])
    release = float(values["release_ms" if "release_ms" in values else "time_ms"][0])
    mid = (detector[0] + detector[1]) / 2
    return np.asarray(10 * np.log10(envelope(mid**2, attack, release, sample_rate) + ENERGY_FLOOR))


def compressed_level(level: Array, values: Values) -> Array:
    """Output level of a compressor (equations 20 and 21); half of the knee's width is the paper's W."""
    threshold, ratio, half = values["threshold_db"], values["ratio"], values["knee_db"] / 2
    above = threshold + (level - threshold) / ratio
    bent = level + (1 / ratio - 1) * (level - threshold + half) ** 2 / (4 * half)
    return np.where(level >= threshold + half, above, np.where(level < threshold - half, level, bent))


def gated_level(level: Array, values: Values) -> Array:
    """Output level of a gate (equations 20 and 23)."""
    threshold, ratio, half = values["threshold_db"], values["ratio"], values["knee_db"] / 2
    below = threshold + ratio * (level - threshold)
    bent = level + (1 - ratio) * (level - threshold - half) ** 2 / (4 * half)
    return np.where(level >= threshold + half, level, np.where(level < threshold - half, below, bent))


def compressor(audio: Array, values: Values, sample_rate: int) -> Array:
    """Compressor (equation 22). The last inlet is the detector's: its own input, or a sidechain."""
    level = level_db(audio[-1], values, sample_rate)
    return amplitude(compressed_level(level, values) - level) * audio[0]


def noisegate(audio: Array, values: Values, sample_rate: int) -> Array:
    """Noise gate."""
    level = level_db(audio[-1], values, sample_rate)
    return amplitude(gated_level(level, values) - level) * audio[0]


# --- beyond it


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
    most = c.get("range_db", math.inf)
    return lambda level: min(most, (1 - 1 / c["ratio"]) * bent(level - c["threshold_db"], c["knee_db"]))


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
    return np.stack([gains(audio[0][0], audio[0][1], c, curve, grow, shrink, row) for row in range(rows)]) * audio[0]


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


def limiter(audio: Array, values: Values, sample_rate: int, peaks: Array | None = None) -> Array:
    """Limiter: maximum over the look-ahead, decay in dB, moving mean in dB; before the signal there is silence."""
    ahead = float(values["lookahead_ms"][0]) * sample_rate / 1000
    reach, length = math.ceil(ahead), audio.shape[-1]
    release = math.exp(-1000 / (float(values["release_ms"][0]) * sample_rate))
    largest = np.abs(audio[0]).max(0) if peaks is None else peaks
    peak = np.maximum(20 * np.log10(np.maximum(largest, 1e-300)) - values["ceiling_db"], 0)
    padded = np.concatenate([np.zeros(reach), peak, np.zeros(reach)])
    reduction, last = np.zeros(reach + length), 0.0
    for n in range(reach + length):
        last = reduction[n] = max(padded[n : n + reach + 1].max(), release * last)
    weights = np.clip(1 + ahead - np.arange(reach + 1), 0, 1)[::-1]
    mean = np.array([weights @ reduction[n : n + reach + 1] for n in range(length)]) / (1 + ahead)
    return 10 ** (-mean / 20) * audio[0]


def true_peak_limiter(audio: Array, values: Values, sample_rate: int) -> Array:
    """A limiter of what lies between samples: Kaiser's window over 24 of them, points an eighth apart."""
    samples, peaks = audio.shape[-1], np.abs(audio[0]).max(0)
    padded, near = np.pad(audio[0], ((0, 0), (13, 13))), np.arange(-11, 13)
    for eighth in (-7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7):
        whole = eighth // 8
        away = eighth / 8 - whole - near
        weights = np.sinc(away) * np.i0(6 * np.sqrt(np.clip(1 - (away / 12) ** 2, 0, None))) / np.i0(6)
        shifted = [padded[:, 13 + whole + k : 13 + whole + k + samples] for k in near]
        peaks = np.maximum(peaks, np.abs(np.tensordot(weights, np.stack(shifted), 1)).max(0))
    return limiter(audio, values, sample_rate, peaks)


def transient_shaper(audio: Array, values: Values, sample_rate: int) -> Array:
    """Three envelopes of one energy."""
    energy = (audio[0] ** 2).mean(0)
    attack_ms, sustain_ms = float(values["attack_ms"][0]), float(values["sustain_ms"][0])
    levels = []
    for rise_ms, fall_ms in ((1.0, 20.0), (attack_ms, 20.0), (1.0, sustain_ms)):
        rise, fall = (math.exp(-1000 / (ms * sample_rate)) for ms in (rise_ms, fall_ms))
        state, envelope = 0.0, []
        for x in energy.tolist():
            alpha = rise if x > state else fall
            state = alpha * state + (1 - alpha) * x
            envelope.append(state)
        levels.append(10 * np.log10(np.array(envelope) + ENERGY_FLOOR))
    gain = values["attack_db"] * np.tanh((levels[0] - levels[1]) / 12)
    gain = gain + values["sustain_db"] * np.tanh((levels[2] - levels[0]) / 12)
    return np.asarray(10 ** (gain / 20) * audio[0])


def dynamic_equalizer(audio: Array, values: Values, sample_rate: int) -> Array:
    """Bands taken out and put back with another gain, one after the other."""
    signal = audio[0]
    for number in range(len(values["ratio"])):
        own = {name: value[number : number + 1] for name, value in values.items()}
        c = dict.fromkeys(("listen", "detection", "smoothing", "lookahead_ms", "mean_ms"), 0.0)
        c |= {**settings(own, sample_rate), "rate": float(sample_rate), "knee_db": 6.0}
        corner, shape = c["frequency_hz"], round(c["shape"])
        if shape == 0:
            section = digital([0.0, 1 / c["q"], 0.0], [1.0, 1 / c["q"], 1.0], corner, sample_rate)
        else:
            section = digital([0.0, 1.0] if shape == 1 else [1.0, 0.0], [1.0, 1.0], corner, sample_rate)
        inside = sosfilt(section[None], signal, axis=1)
        gain = gains(inside[0], inside[1], c, compressed(c), "attack_ms", "release_ms", 0)
        signal = signal + (10 ** (c["gain_db"] / 20) * gain - 1) * inside
    return np.asarray(signal)


STUDIO: Mapping[str, General] = {
    "studio_compressor": studio_compressor,
    "expander": expander,
    "true_peak_limiter": true_peak_limiter,
    "transient_shaper": transient_shaper,
    "dynamic_eq": dynamic_equalizer,
    "de_esser": dynamic_equalizer,
}
"""General processors by the name of their type."""
