"""The linear processors of the reference renderer: gains, zero-phase and recursive filters, echoes and reverb.

As :mod:`graphmix.render.reference`, whose conventions hold: they keep all of their output.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
from scipy.signal import firwin, kaiser_beta, sosfilt

from graphmix.processors.delay import FILTER_SECONDS as DELAY_FILTER_SECONDS
from graphmix.processors.delay import NUM_TAPS, SEGMENT_SECONDS
from graphmix.processors.filters import FILTER_SECONDS
from graphmix.processors.graphic import THIRD_OCTAVE_RING_SECONDS
from graphmix.processors.recursive import RING_SECONDS
from graphmix.processors.reverb import REVERB_SECONDS, WINDOW_SECONDS, reverb_noise
from graphmix.render import reference_colour as colour
from graphmix.render.reference_filters import SECTIONS, Design
from graphmix.render.reference_signals import Array, Linear, Signal, Values, amplitude

# --- levels: equations 10 and 11


def gain(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    """Gain and panning (equation 10)."""
    left, right = amplitude(values["gain_db"])
    return [Signal(u.start, np.stack([left * u.samples[0], right * u.samples[1]]))]


def imager(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    """Stereo imager (equation 11)."""
    left, right = u.samples
    mid, side = left + right, amplitude(values["side_db"]) * (left - right)
    return [Signal(u.start, np.stack([(mid + side) / 2, (mid - side) / 2]))]


# --- zero-phase filters: equation 12


def nearest_odd(samples: float) -> int:
    """The odd number nearest to a duration."""
    return 2 * round((samples - 1) / 2) + 1


def zero_phase(magnitude: Array) -> Array:
    """Inverse DFT of (N + 1) / 2 real bins, Hann-windowed: N taps with time zero in the middle."""
    half = len(magnitude) - 1
    taps = 2 * half + 1
    n, k = np.arange(-half, half + 1), np.arange(1, half + 1)
    cosines = np.cos(2 * np.pi * (np.outer(n, k) % taps) / taps)
    hann = 0.5 + 0.5 * np.cos(2 * np.pi * n / (taps - 1))
    return hann * (magnitude[0] + 2 * cosines @ magnitude[1:]) / taps


def equalizer(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    """Equalizer (equations 12 and 13)."""
    taps = zero_phase(amplitude(values["gain_db"]))
    return [u.convolved(np.stack([taps, taps]), -(len(taps) // 2))]


def crossover(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    """Bands between squared Butterworth magnitudes, which add up to 1 at every frequency."""
    taps = nearest_odd(FILTER_SECONDS * sample_rate)
    frequency = np.arange((taps + 1) // 2) * sample_rate / taps
    edges = [np.zeros(len(frequency))]
    edges += [1 / (1 + (frequency / corner) ** 4) for corner in sorted(values["frequency_hz"])]
    edges += [np.ones(len(frequency))]
    bands = [zero_phase(above - below) for below, above in pairwise(edges)]
    return [u.convolved(np.stack([band, band]), -(taps // 2)) for band in bands]


def recursive(kind: str, design: Design) -> Linear:
    """Sections in a row; of what rings on, half a second behind the input is kept (of narrow bells two)."""
    ring = THIRD_OCTAVE_RING_SECONDS if kind == "graphic_eq" else RING_SECONDS

    def run(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
        padded = np.pad(u.samples, ((0, 0), (0, round(ring * sample_rate))))
        return [Signal(u.start, sosfilt(design(values, sample_rate), padded, axis=1))]

    return run


def fir_filter(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    """A band by SciPy's windowed design."""
    taps, names = nearest_odd(FILTER_SECONDS * sample_rate), ("low_hz", "high_hz", "inside_db", "outside_db")
    first, second, inside, outside = (float(values[name][0]) for name in names)
    window = ("kaiser", kaiser_beta(float(values["attenuation_db"][0])))
    band = firwin(taps, sorted((first, second)), window=window, pass_zero=False, scale=False, fs=sample_rate)
    response = (amplitude(np.array(inside)) - amplitude(np.array(outside))) * band
    response[taps // 2] += amplitude(np.array(outside))
    return [u.convolved(np.stack([response, response]), -(taps // 2))]


# --- time-based effects: equations 14, 15 and 24


def unit_energy(response: Array) -> Array:
    """Scale left and right together so that their energies have mean 1."""
    return response / np.sqrt(np.mean(np.sum(response**2, axis=1)))


def delay_taps(values: Values, sample_rate: int) -> tuple[Array, int]:
    """Filtered echoes (equation 24), and the time of the first sample."""
    segment = 2 * round(SEGMENT_SECONDS * sample_rate / 2)
    width = nearest_odd(DELAY_FILTER_SECONDS * sample_rate)
    delays = values["delay_ms"].reshape(2, NUM_TAPS)
    filters = values["filter_db"].reshape(2, NUM_TAPS, (width + 1) // 2)
    response = np.zeros((2, NUM_TAPS * segment + width - 1))
    for channel in range(2):
        for tap in range(NUM_TAPS):
            # A delay outside of the tap's own 100 ms counts from their beginning, as on a circle.
            inside = round(delays[channel, tap] * sample_rate / 1000 % segment)
            at = tap * segment + min(inside, segment - 1)
            response[channel, at : at + width] += zero_phase(amplitude(filters[channel, tap]))
    return unit_energy(response), -(width // 2)


def delay(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    """Multitap delay."""
    return [u.convolved(*delay_taps(values, sample_rate))]


def masked_noise(noise: Array, initial_db: Array, decay_db_per_s: Array, sample_rate: int) -> Array:
    """STFT, mask (equations 14 and 15), inverse STFT: one channel of noise, the same length."""
    size = 2 * round(WINDOW_SECONDS * sample_rate / 2)
    hop = size // 2
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    padded = np.concatenate([np.zeros(hop), noise, np.zeros(2 * size)])  # frame m is centered at time m * hop
    summed, weight = np.zeros(len(padded)), np.zeros(len(padded))
    for m in range(1 + len(noise) // hop):
        frame = slice(m * hop, m * hop + size)
        mask = amplitude(initial_db + decay_db_per_s * (m * hop / sample_rate))
        spectrum = np.fft.rfft(window * padded[frame]) * np.append(mask, mask[-1])
        summed[frame] += window * np.fft.irfft(spectrum, size)
        weight[frame] += window**2
    kept = slice(hop, hop + len(noise))
    return np.asarray(summed[kept] / weight[kept])


def reverb_taps(values: Values, sample_rate: int) -> Array:
    """Left and right response of the reverb from time zero on, [2, 2 seconds]."""
    noise = reverb_noise(sample_rate)
    assert noise.shape == (2, round(REVERB_SECONDS * sample_rate)), "the noise is as long as the response"
    initial, decay = values["initial_db"].reshape(2, -1), values["decay_db_per_s"].reshape(2, -1)
    mid, side = (masked_noise(noise[x], initial[x], decay[x], sample_rate) for x in range(2))
    return unit_energy(np.stack([mid + side, mid - side]))


def reverb(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    """Reverb."""
    return [u.convolved(reverb_taps(values, sample_rate), 0)]


# --- all of them

TAPS: Mapping[str, Callable[[Values, int], tuple[Array, int]]] = {
    "delay": delay_taps,
    "reverb": lambda values, rate: (reverb_taps(values, rate), 0),
    **colour.TAPS,
}
"""Types whose response may be made at another rate: left and right taps, and the time of the first."""


def by_taps(kind: str) -> Linear:
    """A type that is given by its taps."""
    return lambda u, values, rate: [u.convolved(*TAPS[kind](values, rate))]


def by_matrix(kind: str) -> Linear:
    """A type that is a matrix on (left, right)."""
    return lambda u, values, rate: [Signal(u.start, colour.MATRICES[kind](values) @ u.samples)]


LINEAR: Mapping[str, Linear] = {
    "gain": gain,
    "imager": imager,
    "equalizer": equalizer,
    "crossover": crossover,
    "fir_filter": fir_filter,
    "delay": delay,
    "reverb": reverb,
    **{name: recursive(name, design) for name, design in SECTIONS.items()},
    **{kind: by_taps(kind) for kind in colour.TAPS},
    **{kind: by_matrix(kind) for kind in colour.MATRICES},
}
