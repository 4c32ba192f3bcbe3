"""References of saturation, modulation, stereo, echoes and rooms: NumPy and SciPy, float64, in their plainest form.

As :mod:`graphmix.render.reference`, whose conventions hold: general processors are given the segment alone; matrices
and responses act on an unbounded time axis. Constants and fixed noises are taken from the processors; no arithmetic
is.
"""

import math
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, lfilter

from graphmix.dsp.oversampling import BETA, CORNER, FACTOR, HALF
from graphmix.processors.modulation import HIGHEST_SHARE, LOWEST_HZ, STAGES, VOICES
from graphmix.processors.saturation import OPERATORS, Chebyshev, Clipper, Power, Tanh, Tape, WaveShaper
from graphmix.processors.spaces import (
    LINES_MS,
    LISTENER,
    NETWORK_SECONDS,
    SOUND_M_PER_S,
    SOURCE,
    VELVET_FILTER_SECONDS,
    VELVET_SECONDS,
    velvet_noise,
)
from graphmix.render.reference_signals import Array, Values, amplitude

# --- saturation


def kernel(place: NDArray[Any]) -> Array:
    """The Kaiser-windowed sinc of oversampling, at places in samples."""
    window = np.i0(BETA * np.sqrt(np.clip(1 - (place / HALF) ** 2, 0, None))) / np.i0(BETA)
    return np.asarray(2 * CORNER * np.sinc(2 * CORNER * place) * window * (np.abs(place) <= HALF))


def oversampled(x: Array, added: Callable[[Array], Array], points: int) -> Array:
    """One channel: what a curve adds to it, evaluated between its samples."""
    samples, step = len(x), 1 / FACTOR
    filled = np.zeros((samples + 4 * HALF + 1, FACTOR))  # from 2 HALF samples before the signal on
    filled[2 * HALF : 2 * HALF + samples, 0] = x
    taps = kernel(np.arange(-HALF * FACTOR, HALF * FACTOR + 1) * step)
    fine = fftconvolve(filled.reshape(-1), taps)[HALF * FACTOR :][: filled.size]
    fine = fine[HALF * FACTOR : (samples + 3 * HALF) * FACTOR + 1]  # from HALF samples before the signal on
    share = np.zeros(1) if points == 1 else (np.arange(points) + 0.5) / points
    moved = (fine[:-1, None] * (1 - share) + fine[1:, None] * share).reshape(-1)
    bent = added(moved).reshape(samples + 2 * HALF, FACTOR * points)
    time = ((np.arange(FACTOR)[:, None] + share) * step).reshape(-1)
    out = np.zeros(samples)
    for k in range(2 * HALF):
        out += bent[k : k + samples] @ kernel(k - HALF + time) / (FACTOR * points)
    return out + bent[2 * HALF :] @ kernel(HALF + time) / (FACTOR * points)


def tanh(x: Array, values: Values) -> Array:
    """The tangent as it is written in textbooks: of a shifted signal, less that of the shift."""
    drive, shift = amplitude(values["drive_db"][0]), np.arctanh(values["asymmetry"][0])
    return np.asarray((np.tanh(drive * x + shift) - np.tanh(shift)) / (drive * (1 - np.tanh(shift) ** 2)))


def clipper(x: Array, values: Values) -> Array:
    """Straight, then bent."""
    side = (x < 0).astype(int)
    ceiling, hardness = amplitude(values["ceiling_db"])[side], values["hardness"][side]
    size = np.abs(x) / ceiling
    bent = hardness + (1 - hardness) * np.tanh((size - hardness) / (1 - hardness))
    return np.asarray(np.sign(x) * ceiling * np.where(size <= hardness, size, bent))


def power(x: Array, values: Values) -> Array:
    """Coefficients of a polynomial."""
    drive = amplitude(values["drive_db"][0])
    series = np.polynomial.polynomial.polyval(np.tanh(drive * x), np.concatenate([[0, 0], values["amount"]]))
    return np.asarray(x + series / drive)


def chebyshev(x: Array, values: Values) -> Array:
    """Coefficients of Chebyshev polynomials."""
    drive, weights = amplitude(values["drive_db"][0]), np.concatenate([[0, 0], values["amount"]])
    at, zero = (np.polynomial.chebyshev.chebval(t, weights) for t in (np.tanh(drive * x), np.zeros(1)))
    return np.asarray(x + (at - zero) / drive)


def wave_shaper(x: Array, values: Values) -> Array:
    """Hermite polynomials with slopes from the neighbours' differences; the outermost from their own."""
    drive, knots = amplitude(values["drive_db"][0]), values["offset"]
    place = (np.tanh(drive * x) + 1) / 2 * (len(knots) - 1)
    index = np.minimum(place.astype(int), len(knots) - 2)
    slopes, f = np.gradient(knots), place - index
    start, end = knots[index], knots[index + 1]
    curve = (
        start * (1 + 2 * f) * (1 - f) ** 2 + end * f**2 * (3 - 2 * f)
        + slopes[index] * f * (1 - f) ** 2 - slopes[index + 1] * f**2 * (1 - f)
    )  # fmt: skip
    return np.asarray(x + (curve - knots[len(knots) // 2]) / drive)


def tape(x: Array, values: Values) -> Array:
    """Backlash, operator by operator and sample by sample."""
    drive, half = amplitude(values["drive_db"][0]), amplitude(values["width_db"][0])
    held = np.zeros(len(x))
    for k in range(1, OPERATORS + 1):
        place, width = 0.0, half * k / OPERATORS
        for n, value in enumerate(x.tolist()):
            place = min(max(place, value - width), value + width)
            held[n] += place / OPERATORS
    return np.asarray(np.tanh(drive * (x - values["hysteresis"][0] * (x - held))) / drive)


def saturation(curve: Callable[[Array, Values], Array], points: int) -> Callable[[Array, Values, int], Array]:
    """A curve at a multiple of the sample rate."""

    def process(audio: Array, values: Values, sample_rate: int) -> Array:
        rows = [row + oversampled(row, lambda x: curve(x, values) - x, points) for row in audio[0]]
        return np.stack(rows)

    return process


def bit_crusher(audio: Array, values: Values, sample_rate: int) -> Array:
    """Rounded to steps."""
    step = 2.0 ** (1 - values["bits"][0])
    return np.asarray(step * np.round(audio[0] / step))


# --- modulation


def wave(values: Values, samples: int, sample_rate: int, ahead: float = 0.0) -> Array:
    """The sine on left and right, [2, samples]."""
    turns = values["rate_hz"][0] * np.arange(samples) / sample_rate + values["phase"][0] + ahead
    return np.sin(2 * np.pi * (turns + values["spread"][0] * np.arange(2)[:, None]))


def lagrange(written: list[float], delay: float) -> float:
    """What was written so many samples ago: the cubic through the four values around it."""
    whole = math.floor(delay)
    ages = np.arange(whole - 1, whole + 3)
    total = 0.0
    for age in ages:
        others = ages[ages != age]
        weight = np.prod((delay - others) / (age - others))
        total += weight * (written[-age] if age <= len(written) else 0.0)
    return float(total)


def modulated_delay(audio: Array, values: Values, sample_rate: int, voices: int = 1) -> Array:
    """Moving delays, sample by sample."""
    samples = audio.shape[-1]
    feedback = float(values["feedback"][0]) if "feedback" in values else 0.0
    out = np.zeros((2, samples))
    for voice, channel in product(range(voices), range(2)):
        moved = wave(values, samples, sample_rate, voice / voices)[channel]
        delays = np.maximum(values["center_ms"][0] / 1000 * sample_rate * (1 + values["depth"][0] * moved), 2.0)
        written: list[float] = []
        for n in range(samples):
            y = lagrange(written, delays[n])
            written.append(audio[0, channel, n] + feedback * y)
            out[channel, n] += y / voices
    return out


def phaser(audio: Array, values: Values, sample_rate: int) -> Array:
    """All-pass filters in the direct form, whose coefficient changes with every sample."""
    samples = audio.shape[-1]
    corner = values["center_hz"][0] * 2.0 ** (values["depth"][0] * wave(values, samples, sample_rate))
    tangent = np.tan(np.pi * np.clip(corner, LOWEST_HZ, HIGHEST_SHARE * sample_rate) / sample_rate)
    coefficient, out = (tangent - 1) / (tangent + 1), np.zeros((2, samples))
    for channel in range(2):
        held, last = [0.0] * STAGES, 0.0
        for n in range(samples):
            a, u = float(coefficient[channel, n]), float(audio[0, channel, n] + values["feedback"][0] * last)
            for k in range(STAGES):
                y = a * u + held[k]
                held[k], u = u - a * y, y
            out[channel, n] = last = u
    return out


def tremolo(audio: Array, values: Values, sample_rate: int) -> Array:
    """A level between 1 and 1 - depth."""
    moved = wave(values, audio.shape[-1], sample_rate)
    return np.asarray(audio[0] * (1 - values["depth"][0] * (moved + 1) / 2))


def auto_pan(audio: Array, values: Values, sample_rate: int) -> Array:
    """Sine and cosine of a moving angle."""
    angle = (1 + values["depth"][0] * wave(values, audio.shape[-1], sample_rate)) * np.pi / 4
    return np.asarray(audio[0] * np.sqrt(2) * np.stack([np.cos(angle[0]), np.sin(angle[1])]))


# --- stereo


def pan(values: Values) -> Array:
    """Gains of a constant sum of squares, 2."""
    angle = (values["position"][0] + 1) * np.pi / 4
    return np.diag([np.sqrt(2) * np.cos(angle), np.sqrt(2) * np.sin(angle)])


def balance(values: Values) -> Array:
    """The other side down."""
    position = values["position"][0]
    return np.diag([1 - max(position, 0.0), 1 + min(position, 0.0)])


def rotation(values: Values) -> Array:
    """By an angle."""
    turn = np.exp(1j * np.deg2rad(values["angle_deg"][0]))
    return np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])


def polarity(values: Values) -> Array:
    """Signs."""
    return np.diag(np.where(values["polarity"] < 0, -1.0, 1.0))


MATRICES: Mapping[str, Callable[[Values], Array]] = {
    "pan": pan,
    "balance": balance,
    "rotation": rotation,
    "polarity": polarity,
    "mid_side_encoder": lambda values: np.array([[0.5, 0.5], [0.5, -0.5]]),
    "mid_side_decoder": lambda values: np.array([[1.0, 1.0], [1.0, -1.0]]),
}
"""Types that are a matrix on (left, right)."""


def sinc_taps(times: Array | float, gains: Array | float, reach: int, length: int) -> Array:
    """Impulses at times in samples: sums of windowed sincs, time zero at index ``reach``."""
    taps, half = np.zeros(length), reach + 0.5
    for time, gain in zip(np.atleast_1d(times), np.atleast_1d(gains), strict=True):
        n = np.arange(round(time) - reach, round(time) + reach + 1)
        window = np.i0(8 * np.sqrt(np.clip(1 - ((n - time) / half) ** 2, 0, None))) / np.i0(8)
        taps[n + reach] += gain * np.sinc(n - time) * window
    return taps


def haas_taps(values: Values, sample_rate: int) -> tuple[Array, int]:
    """One impulse a channel."""
    later, level = values["later_ms"][0], amplitude(values["level_db"][0])
    length = math.ceil(0.04 * sample_rate) + 2 * 32 + 1
    times = np.array([max(-later, 0.0), max(later, 0.0)]) * sample_rate / 1000
    gains = np.array([level if later < 0 else 1.0, level if later > 0 else 1.0])
    return np.stack([sinc_taps(t, g, 32, length) for t, g in zip(times, gains, strict=True)]), -32


def hann_low_pass(corner_hz: float, seconds: float, sample_rate: int) -> Array:
    """Zero-phase taps of 1 / (1 + (f / corner)^4), Hann-windowed."""
    taps = 2 * round((seconds * sample_rate - 1) / 2) + 1
    n, bins = np.arange(taps) - taps // 2, np.arange(taps)
    frequency = np.minimum(bins, taps - bins) * sample_rate / taps
    response = np.fft.fftshift(np.fft.ifft(1 / (1 + (frequency / corner_hz) ** 4)).real)
    return np.asarray(response * (0.5 + 0.5 * np.cos(2 * np.pi * n / (taps - 1))))


def bass_width(audio: Array, values: Values, sample_rate: int) -> Array:
    """The side below a frequency louder or softer."""
    taps = hann_low_pass(values["frequency_hz"][0], 2047 / 30000, sample_rate)
    left, right = audio[0]
    low = fftconvolve((left - right) / 2, taps)[len(taps) // 2 :][: audio.shape[-1]]
    added = (amplitude(values["side_db"][0]) - 1) * low
    return np.stack([left + added, right - added])


# --- echoes and rooms


def feedback_delay(audio: Array, values: Values, sample_rate: int) -> Array:
    """Two lines that feed each other, sample by sample."""
    cross, feedback = values["cross"][0], values["feedback"][0]
    delays = np.maximum(values["time_ms"] / 1000 * sample_rate, 2.0)
    keep_high = math.exp(-2 * np.pi * values["high_cut_hz"][0] / sample_rate)
    keep_low = math.exp(-2 * np.pi * values["low_cut_hz"][0] / sample_rate)
    left, right = audio[0]
    into = np.stack([(1 - cross) * left + cross * (left + right) / 2, (1 - cross) * right])
    written: list[list[float]] = [[], []]
    dull, slow, out = np.zeros(2), np.zeros(2), np.zeros((2, audio.shape[-1]))
    for n in range(audio.shape[-1]):
        y = np.array([lagrange(written[c], delays[c]) for c in range(2)])
        dull = keep_high * dull + (1 - keep_high) * y
        slow = keep_low * slow + (1 - keep_low) * dull
        back = feedback * ((1 - cross) * (dull - slow) + cross * (dull - slow)[::-1])
        for c in range(2):
            written[c].append(into[c, n] + back[c])
        out[:, n] = y
    return out


def unit_energy(response: Array) -> Array:
    """Scale left and right together so that their energies have mean 1."""
    return response / np.sqrt(np.mean(np.sum(response**2, axis=1)))


def is_prime(number: int) -> bool:
    """By trial division."""
    return number > 1 and all(number % d for d in range(2, math.isqrt(number) + 1))


def network_taps(values: Values, sample_rate: int) -> tuple[Array, int]:
    """Eight lines, in blocks as long as the shortest of them."""
    lengths = [round(ms * sample_rate / 1000) for ms in LINES_MS]
    lengths = [next(m for m in range(length, 2 * length + 9) if is_prime(m)) for length in lengths]
    samples, lines, block = round(NETWORK_SECONDS * sample_rate), len(lengths), min(lengths)
    rows = np.array([[(-1) ** bin(i & j).count("1") for j in range(lines)] for i in range(lines)], float)
    t = math.tan(np.pi * values["crossover_hz"][0] / sample_rate)
    filters, states = [], [np.zeros(1)] * lines
    for m in lengths:
        low, high = (10 ** (-3 * m / sample_rate / decay) for decay in values["decay_s"])
        filters.append(([(low * t + high) / (1 + t), (low * t - high) / (1 + t)], [1, (t - 1) / (1 + t)]))
    written, read = np.zeros((lines, samples + block)), np.zeros((lines, samples + block))
    written[:, 0] = 1 / math.sqrt(lines)
    for begin in range(0, samples, block):
        filtered = np.zeros((lines, block))
        for i, m in enumerate(lengths):
            first = max(begin - m, 0)
            chunk = written[i, first : max(begin - m + block, 0)]
            read[i, begin : begin + block] = np.concatenate([np.zeros(block - len(chunk)), chunk])
            filtered[i], states[i] = lfilter(*filters[i], read[i, begin : begin + block], zi=states[i])
        written[:, begin : begin + block] += rows @ filtered / math.sqrt(lines)
    gains = rows[[3, 5]] * amplitude(values["level_db"].reshape(2, lines))
    return unit_energy(gains @ read[:, :samples]), 0


def velvet_taps(values: Values, sample_rate: int) -> tuple[Array, int]:
    """Sparse impulses, with an envelope for lows and one for highs."""
    noise = velvet_noise(sample_rate)
    assert noise.shape == (2, round(VELVET_SECONDS * sample_rate)), "the noise is as long as the response"
    low, high = (10 ** (-3 * np.arange(noise.shape[1]) / sample_rate / decay) for decay in values["decay_s"])
    filtered = hann_low_pass(values["crossover_hz"][0], VELVET_FILTER_SECONDS, sample_rate)
    impulse = np.zeros(len(filtered))
    impulse[len(filtered) // 2] = 1
    rows = [fftconvolve(row * low, filtered) + fftconvolve(row * high, impulse - filtered) for row in noise]
    return unit_energy(np.stack(rows)), -(len(filtered) // 2)


def early_taps(values: Values, sample_rate: int) -> tuple[Array, int]:
    """Images of a source: mirrored at each wall, and these once more."""
    size, beta = values["size_m"], values["reflection"][0]
    source, listener = (np.array(shares) * size for shares in (SOURCE, LISTENER))
    places = {tuple(np.round(source, 6)): (0, source)}
    for walls in (1, 2):
        for place in [place for count, place in places.values() if count == walls - 1]:
            for axis, wall in product(range(3), (0.0, 1.0)):
                image = place.copy()
                image[axis] = 2 * wall * size[axis] - image[axis]
                places.setdefault(tuple(np.round(image, 6)), (walls, image))
    farthest = 30.0 * max(float(np.linalg.norm((p - listener) / size)) for _, p in places.values()) / SOUND_M_PER_S
    length = math.ceil(farthest * sample_rate) + 2 * 32 + 1
    taps, direct = np.zeros((2, length)), float(np.linalg.norm(source - listener))
    for walls, place in places.values():
        if walls:
            toward = place - listener
            distance = float(np.linalg.norm(toward))
            time = (distance - direct) / SOUND_M_PER_S * sample_rate
            angle = (toward[0] / distance + 1) * np.pi / 4
            for channel, gain in enumerate((np.cos(angle), np.sin(angle))):
                taps[channel] += sinc_taps(time, beta**walls / distance * gain, 32, length)
    return unit_energy(taps), -32


GENERAL: Mapping[str, Callable[[Array, Values, int], Array]] = {
    "tanh": saturation(tanh, Tanh.points),
    "clipper": saturation(clipper, Clipper.points),
    "power": saturation(power, Power.points),
    "chebyshev": saturation(chebyshev, Chebyshev.points),
    "wave_shaper": saturation(wave_shaper, WaveShaper.points),
    "tape": saturation(tape, Tape.points),
    "bit_crusher": bit_crusher,
    "chorus": lambda audio, values, rate: modulated_delay(audio, values, rate, VOICES),
    "flanger": modulated_delay,
    "vibrato": modulated_delay,
    "phaser": phaser,
    "tremolo": tremolo,
    "auto_pan": auto_pan,
    "bass_width": bass_width,
    "feedback_delay": feedback_delay,
}
TAPS: Mapping[str, Callable[[Values, int], tuple[Array, int]]] = {
    "haas": haas_taps,
    "feedback_network": network_taps,
    "velvet_reverb": velvet_taps,
    "early_reflections": early_taps,
}
"""Left and right taps of linear types, and the time of the first."""
