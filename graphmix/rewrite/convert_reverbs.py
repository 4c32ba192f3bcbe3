r"""Noise reverbs as feedback delay networks by decay times, width and colour, and networks as noise.

What a reverb does is measured on its impulse response: in each octave the *decay time* (RT60, a line through the energy
of frames in dB, down to -35 dB) and the *energy decay*, what is still to come after a time t,

.. math:: E_b(t) = 10 \log_{10} \sum_{\tau \geq t} l_b^2[\tau] + r_b^2[\tau]

A network takes over

* the decay times: those of lows and highs and the corner between them, by least squares over the octaves (of a reverb
  of noise those that its mask has on average);
* the width: in-phase lines make its mid, the others its side, so that their levels set side against mid exactly;
* the colour: its energy in thirds of octaves, by a ``parametric_eq`` behind it where it differs by more than the
  tolerance; dry and wet signal then meet in a ``send`` behind that, as on a desk;
* the level: both have unit energy.

The error is the root mean square difference of the energy decays in dB, level and colour included, from 0 to -30 dB of
the reverb that is given, its octaves weighted by what passes. A network's first echo arrives after 22 ms and its echoes
are sparser at first: where a reverb is short, that is most of the error.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import least_squares
from scipy.signal import butter, sosfiltfilt

from graphmix.processors.base import LTIProcessor
from graphmix.processors.reverb import REVERB_SECONDS, Reverb
from graphmix.processors.spaces import LINES_MS, NETWORK_SECONDS, FeedbackNetwork
from graphmix.rewrite.conversion import Array, Given, NewNode, Replacement, Value, passing_weights
from graphmix.rewrite.convert_dynamics import row_of
from graphmix.rewrite.convert_equalizers import bands_node, count_of, parametric_limits, passing_power
from graphmix.rewrite.parametric import Band, fit_bands, fitted_grid, response

OCTAVES_HZ = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
DECAY_FRAME_SECONDS = 0.02
DOWN_TO_DB, LOOKED_AT_DB = -35.0, -30.0
"""How far a line is fitted to the decay of energy, and how far decays are compared."""
DECAYS_S = (0.1, NETWORK_SECONDS)
"""Of a network."""
COLOUR_TOLERANCE_DB = 1.0
LEVEL_RANGE_DB = 60.0
_TINY = 1e-30


def taps_of(processor: LTIProcessor, params: torch.Tensor) -> Array:
    """Left and right response from time zero on, [2, samples]."""
    with torch.no_grad():
        taps = processor.impulse_response(params)[0].numpy()
    return np.asarray(np.broadcast_to(taps, (2, taps.shape[-1]))[:, processor.extent[0] :])


def octaves_of(taps: Array, sample_rate: int) -> tuple[Array, Array]:
    """Centers of octaves in Hz, and the energy of both channels in each, [octaves, samples]."""
    centers = np.array([hz for hz in OCTAVES_HZ if hz * math.sqrt(2) < 0.49 * sample_rate])
    bands = []
    for hz in centers:
        edges = [hz / math.sqrt(2), hz * math.sqrt(2)]
        filtered = sosfiltfilt(butter(3, edges, "bandpass", fs=sample_rate, output="sos"), taps, axis=1)
        bands.append((filtered**2).sum(0))
    return centers, np.array(bands)


def decay_times(energy: Array, sample_rate: int) -> Array:
    """RT60 in seconds of each octave of a response, [octaves, samples] -> [octaves]."""
    frame = round(DECAY_FRAME_SECONDS * sample_rate)
    return _falling(energy[:, : energy.shape[1] // frame * frame].reshape(len(energy), -1, frame).sum(2))


def noise_decay_times(processor: LTIProcessor, params: torch.Tensor, octaves_hz: Array) -> Array:
    """RT60 in seconds of each octave of a reverb of noise, by the energy that its mask has on average.

    A response of two seconds has few independent values in a low octave, and its own RT60 varies by a fifth with the
    noise; that of its mask does not.
    """
    initial, decay = (processor.get(params, name)[0].numpy() for name in ("initial_db", "decay_db_per_s"))
    rate = processor.node_type.base_rate or processor.sample_rate
    hz = np.tile(np.arange(len(initial) // 2) * (rate / len(initial)), 2)
    seconds = np.arange(0, REVERB_SECONDS, DECAY_FRAME_SECONDS)
    power = 10 ** ((initial[:, None] + decay[:, None] * seconds) / 10)
    apart = np.abs(np.log2(np.maximum(hz, 1.0) / octaves_hz[:, None]))
    own = (apart <= 0.5) | (apart == apart.min(1, keepdims=True))
    return _falling(own @ power)


def _falling(frames: Array) -> Array:
    """RT60 by a line through the energy in dB of frames, from the loudest one on, [octaves, frames] -> [octaves]."""
    times = []
    for row in frames:
        level = 10 * np.log10(np.maximum(row, _TINY))
        start = int(level.argmax())
        below = np.nonzero(level[start:] < level[start] + DOWN_TO_DB)[0]
        end = start + max(3, int(below[0]) if len(below) else len(level) - start)
        own = level[start:end]
        slope = np.polyfit(np.arange(len(own)) * DECAY_FRAME_SECONDS, own, 1)[0]
        times.append(-60 / min(slope, -1e-3))
    return np.array(times)


def energy_decay_db(energy: Array, samples: int) -> Array:
    """What is still to come in each octave, over so many samples, [octaves, samples]."""
    energy = np.pad(energy, ((0, 0), (0, max(0, samples - energy.shape[1]))))[:, :samples]
    return np.asarray(10 * np.log10(np.maximum(energy[:, ::-1].cumsum(1)[:, ::-1], _TINY)))


def decay_error_db(taps: Array, wanted: Array, sample_rate: int, signal: Array | None) -> float:
    """Root mean square difference of energy decays; see the top of this file."""
    samples = wanted.shape[1]
    centers, energy = octaves_of(wanted, sample_rate)
    target = energy_decay_db(energy, samples)
    found = energy_decay_db(octaves_of(taps, sample_rate)[1], samples)
    power = np.maximum(energy.sum(1), _TINY)
    passing = passing_power(centers, signal, 10 * np.log10(power), sample_rate)
    weights = passing_weights(centers, power if passing is None else passing)
    errors = []
    for own, other in zip(target, found, strict=True):
        seen = own > own[0] + LOOKED_AT_DB
        errors.append(np.mean((other[seen] - own[seen]) ** 2))
    return float(np.sqrt(np.average(errors, weights=weights)))


def third_octave_power(taps: Array, frequency_hz: Array, sample_rate: int) -> Array:
    """Mean energy per bin of a response in a third of an octave around frequencies, mean over its channels."""
    spectrum = (np.abs(np.fft.rfft(taps, axis=-1)) ** 2).mean(0)
    total = np.concatenate([[0.0], np.cumsum(spectrum)])
    per_bin = taps.shape[-1] / sample_rate
    edges = [np.clip(frequency_hz * 2.0**s * per_bin, 0, len(spectrum) - 1) for s in (-1 / 6, 1 / 6)]
    low, high = np.floor(edges[0]).astype(int), np.ceil(edges[1]).astype(int) + 1
    return np.asarray(np.maximum((total[high] - total[low]) / (high - low), _TINY))


def network_decays(network: FeedbackNetwork, decay_s: Sequence[float], crossover_hz: float, hz: Array) -> Array:
    """RT60 of a network at frequencies, by the gain of its lines' filters."""
    row = row_of(network, {"decay_s": list(decay_s), "crossover_hz": crossover_hz})
    b0, b1, a1 = network.filters(row)[0].numpy().T[:, :, None]
    z = np.exp(-2j * np.pi * hz / network.sample_rate)
    gain_db = 20 * np.log10(np.abs((b0 + b1 * z) / (1 + a1 * z)))
    seconds = (network.lengths.numpy() / network.sample_rate)[:, None]
    return np.asarray(-60 / (gain_db / seconds).mean(0))


def fit_decays(network: FeedbackNetwork, hz: Array, times: Array, weights: Array) -> tuple[list[float], float]:
    """Decay times of lows and highs and the corner, nearest to those of octaves."""
    spec = next(p for p in network.node_type.parameters if p.name == "crossover_hz")
    bounds = [math.log(DECAYS_S[0])] * 2 + [math.log(spec.low)], [math.log(DECAYS_S[1])] * 2 + [math.log(spec.high)]
    wanted, root = np.log(np.clip(times, *DECAYS_S)), np.sqrt(weights)

    def residual(x: Array) -> Array:
        low, high, corner = np.exp(x)
        return np.asarray(root * (np.log(network_decays(network, (low, high), corner, hz)) - wanted))

    found = []
    for corner in (600.0, 2500.0, 8000.0):
        start = np.clip([wanted[0], wanted[-1], math.log(corner)], bounds[0], bounds[1])
        found.append(least_squares(residual, start, bounds=bounds))
    best = min(found, key=lambda one: float(one.cost))
    low, high, corner = np.exp(best.x).tolist()
    return [low, high], corner


def _mid_side_energy(taps: Array) -> tuple[float, float]:
    left, right = taps
    return float(((left + right) ** 2).sum()), float(((left - right) ** 2).sum())


def _levels(network: FeedbackNetwork, plain: Array, wanted: Array) -> list[float]:
    """Levels of the lines that bring a network's side against its mid to that of a response."""
    mid, side = _mid_side_energy(plain)
    wanted_mid, wanted_side = _mid_side_energy(wanted)
    ratio_db = 10 * math.log10(max(wanted_side, _TINY) / max(wanted_mid, _TINY)) - 10 * math.log10(side / mid)
    half = min(max(ratio_db / 2, -19.0), 19.0)
    in_phase = (network.signs[0] == network.signs[1]).tolist()
    return [-half if same else half for same in in_phase] * 2


def to_network(given: Given) -> Replacement:
    """A reverb of noise as a ``feedback_network``, with a ``parametric_eq`` for its colour where that is needed."""
    rate, processor = given.sample_rate, given.processor
    assert isinstance(processor, LTIProcessor)
    network = FeedbackNetwork(rate)
    wanted = taps_of(processor, given.params)
    hz, energy = octaves_of(wanted, rate)
    times = noise_decay_times(processor, given.params, hz)
    loud = passing_weights(hz, np.maximum(energy.sum(1), _TINY))
    decays, corner = fit_decays(network, hz, times, loud)
    values: dict[str, Value] = {"decay_s": decays, "crossover_hz": corner}
    values["level_db"] = _levels(network, taps_of(network, row_of(network, values)), wanted)
    taps = taps_of(network, row_of(network, values))
    node = NewNode("feedback_network", values, given.wet)
    words = f"RT60 {decays[0]:.2f} s low, {decays[1]:.2f} s high, corner {corner:.0f} Hz"
    outside = [
        f"{t:.2g} s at {f:.0f} Hz"
        for f, t in zip(hz, times, strict=True)
        if not 0.9 * DECAYS_S[0] < t < 1.1 * DECAYS_S[1]
    ]
    words += f" (out of reach: {', '.join(outside)})" if outside else ""
    plain = decay_error_db(taps, wanted, rate, given.signal)
    bands, gain_db = _colour(taps, wanted, rate, given.signal)
    with_colour = _filtered(taps, bands, gain_db, rate)
    coloured = decay_error_db(with_colour, wanted, rate, given.signal)
    if plain - coloured < COLOUR_TOLERANCE_DB:
        return Replacement((node,), plain, f"{words}; colour as it comes")
    words += f"; colour by {count_of(bands)}"
    wet = (NewNode("feedback_network", values), bands_node(bands))
    if given.wet == 1:
        return Replacement((*wet, NewNode("gain", {"gain_db": gain_db})), coloured, words)
    send_db = gain_db + 20 * math.log10(given.wet / (1 - given.wet))
    ends = NewNode("send", {"gain_db": send_db}), NewNode("gain", {"gain_db": 20 * math.log10(1 - given.wet)})
    return Replacement((*wet, *ends), coloured, words, past=True, behind=1)


def _colour(taps: Array, wanted: Array, rate: int, signal: Array | None) -> tuple[tuple[Band, ...], float]:
    """Bands and a gain that bring the spectrum of one response to that of another."""
    grid = fitted_grid(rate)
    target = 10 * np.log10(third_octave_power(wanted, grid, rate))
    curve = target - 10 * np.log10(third_octave_power(taps, grid, rate))
    power = passing_power(grid, signal, target, rate)
    weights = passing_weights(grid, 10 ** (target / 10) * grid if power is None else power)
    limits = replace(parametric_limits(rate), overall_db=LEVEL_RANGE_DB)
    fitted = fit_bands(grid, curve, rate, limits, COLOUR_TOLERANCE_DB, weights)
    return fitted.bands, fitted.gain_db


def _filtered(taps: Array, bands: tuple[Band, ...], gain_db: float, rate: int) -> Array:
    """A response behind bands and a gain."""
    n_fft = 2 * taps.shape[1]
    hz = np.fft.rfftfreq(n_fft, 1 / rate)
    spectrum = np.fft.rfft(taps, n_fft) * response(bands, np.maximum(hz, 1e-3), rate) * 10 ** (gain_db / 20)
    return np.asarray(np.fft.irfft(spectrum, n_fft)[:, : taps.shape[1]])


def to_noise(given: Given) -> Replacement:
    """A network or velvet noise as a reverb of filtered noise: its spectrum in thirds and its decay in octaves."""
    rate, processor = given.sample_rate, given.processor
    assert isinstance(processor, LTIProcessor)
    reverb = Reverb(rate)
    wanted = taps_of(processor, given.params)
    hz, energy = octaves_of(wanted, rate)
    times = decay_times(energy, rate)
    own = np.arange(reverb.bands) * (rate / 2 / reverb.bands)
    decay = -60 / np.interp(np.log(np.maximum(own, 1.0)), np.log(hz), times)
    per_second = np.maximum(-decay * (math.log(10) / 10), 1e-9)
    whole_db = 10 * np.log10(-np.expm1(-per_second * REVERB_SECONDS) / per_second)
    left, right = wanted
    at = np.maximum(own, own[1])
    initial = [
        10 * np.log10(third_octave_power(part[None], at, rate)) - whole_db
        for part in ((left + right) / 2, (left - right) / 2)
    ]
    low, high = (bound.numpy() for bound in reverb.node_type.bounds())
    both = np.concatenate(initial)
    row = np.clip(np.concatenate([both - both.max(), decay, decay]), low, high)
    values = {"initial_db": row[: len(both)].tolist(), "decay_db_per_s": row[len(both) :].tolist()}
    taps = taps_of(reverb, row_of(reverb, values))
    error = decay_error_db(taps, wanted[:, : taps.shape[1]], rate, given.signal)
    words = f"RT60 {', '.join(f'{t:.2f}' for t in times)} s in octaves from {hz[0]:.0f} Hz"
    lost = "its echoes one by one"
    if isinstance(processor, FeedbackNetwork):
        lost += f", the {min(LINES_MS):.0f} ms before the first"
    return Replacement((NewNode("reverb", values, given.wet),), error, f"{words}; lost: {lost}")
