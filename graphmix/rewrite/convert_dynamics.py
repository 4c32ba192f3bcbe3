r"""Compressors and gates with one time constant as ones with attack and release, and back.

graphmix's one-time dynamics smooth the *energy* of mid by one pole and put it through the curve. A compressor of a
studio averages the energy over a few milliseconds, puts it through the curve, and smooths the *gain in dB* with attack
and release. Threshold, ratio and knee mean the same in both and are carried over as they are; attack and release are
chosen such that the gain is nearest to the one that was,

.. math:: e^2 = \sum_n v_n \, (G'[n] - G[n])^2 / \sum_n v_n

in dB, weighted by the level that comes in (an amplitude, over 50 ms), dry/wet included, over the loudest eight seconds
of what comes into the node; over a standard set of bursts around the threshold where no song is given or it is silent.
Gains below -60 dB count as -60 dB.

A ``studio_compressor`` can also smooth the level, as the one-time form does: then both are the same, sample by sample.
That is what is chosen where the usual form misses the tolerance.
"""

import math
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.optimize import minimize

from graphmix.processors.base import Processor
from graphmix.processors.compressors import Expander, StudioCompressor, StudioDynamics
from graphmix.processors.dynamics import ATTACK, RELEASE, THRESHOLD, TIME, Compressor, NoiseGate
from graphmix.rewrite.conversion import Array, Given, NewNode, NotConverted, Replacement, Value, weighted_rms

FITTED_SECONDS = 8.0
"""The loudest stretch of a signal, which settings are fitted to."""
WEIGHT_SECONDS = 0.05
"""Over which the level is averaged that weights a difference of gains."""
LEAST_GAIN_DB = -60.0
EVERY = 5
"""So many samples apart gains are compared; they move more slowly."""
MEAN_MS = 10.0
"""Of an RMS detector, as engineers know it; shorter where the time constant is."""
TRIALS = 70
"""Of the search for attack and release, behind the starts."""
ATTACK_SHARES, RELEASE_SHARES = (0.1, 0.4, 1.0), (0.7, 2.0, 6.0)
"""Of the one time constant: where the search for attack and release starts."""
BURST_SECONDS = (0.005, 0.02, 0.08, 0.3)
BURST_DB = (6.0, 15.0)
"""Over the threshold; between bursts the signal lies as far below it, so that gates close as well."""
PAUSE_SECONDS = 0.2
BURST_HZ = (110.0, 997.0)
PEAK_DB = 10 * math.log10(2)
"""Peak of a sine above its energy."""
FULL_RANGE_DB = 100.0
_AUDIBLE = 1e-9


def loudest(audio: Array, length: int) -> Array:
    """The stretch of a signal [2, samples] with the most energy; all of it where it is shorter."""
    if audio.shape[1] <= length:
        return audio
    energy = np.concatenate([[0.0], np.cumsum((audio**2).sum(0))])
    start = int((energy[length:] - energy[:-length]).argmax())
    return audio[:, start : start + length]


def level_weights(audio: Array, sample_rate: int) -> Array:
    """Amplitude of a signal [2, samples] averaged over 50 ms, with a sum of 1; zeros for silence."""
    weight = np.sqrt(uniform_filter1d((audio**2).mean(0), round(WEIGHT_SECONDS * sample_rate)).clip(min=0))
    return np.asarray(weight / weight.sum() if weight.sum() else weight)


def bursts(threshold_db: float, sample_rate: int) -> Array:
    """Bursts of two sines, 5 to 300 ms long and 6 and 15 dB above a threshold, on both channels, [2, samples].

    Levels are of energy, and at most 0 dB.
    """
    parts = []
    for hz, over, seconds in product(BURST_HZ, BURST_DB, BURST_SECONDS):
        for level, length in ((threshold_db + over, seconds), (threshold_db - over, PAUSE_SECONDS)):
            turns = np.arange(round(length * sample_rate)) * (hz / sample_rate)
            parts.append(10 ** ((min(level, 0.0) + PEAK_DB) / 20) * np.sin(2 * np.pi * turns))
    return np.tile(np.concatenate(parts), (2, 1))


def gain_of(processor: Processor, params: torch.Tensor, audio: Array, wet: float, places: NDArray[np.int64]) -> Array:
    """Gain in dB that a processor of dynamics gives to a signal, dry/wet included, -60 dB or more, [places].

    Args:
        processor: compressor, gate, expander.
        params: physical values, [1, width].
        audio: what comes in, [2, samples].
        wet: dry/wet weight.
        places: samples at which it is wanted; none of them silent.
    """
    with torch.no_grad():
        out = processor(torch.from_numpy(audio.copy())[None], params)[0].numpy()[:, places]
    own = audio[:, places]
    gain = np.abs(wet * out + (1 - wet) * own).sum(0) / np.abs(own).sum(0)
    return np.asarray(20 * np.log10(np.maximum(gain, 10 ** (LEAST_GAIN_DB / 20))))


def _signal(given: Given) -> tuple[Array, str]:
    """What is fitted to, and in words what it is."""
    if given.signal is not None:
        audio = loudest(given.signal, round(FITTED_SECONDS * given.sample_rate))
        if np.abs(audio).max() > _AUDIBLE:
            return audio, "this song"
        return bursts(given.value("threshold_db"), given.sample_rate), "bursts, for its input is silent"
    return bursts(given.value("threshold_db"), given.sample_rate), "bursts"


class _Gains:
    """How far the gains of candidates lie from those of the node that is given."""

    def __init__(self, given: Given, target: Processor) -> None:
        self.audio, self.words = _signal(given)
        self.given, self.target = given, target
        every = np.arange(0, self.audio.shape[1], EVERY)
        self.places = every[np.abs(self.audio[:, every]).sum(0) > _AUDIBLE]
        self.weights = level_weights(self.audio, given.sample_rate)[self.places]
        self.wanted = gain_of(given.processor, given.params, self.audio, given.wet, self.places)

    def error(self, values: dict[str, Value]) -> float:
        """In dB, of the target with these values."""
        found = gain_of(self.target, row_of(self.target, values), self.audio, self.given.wet, self.places)
        return weighted_rms(found - self.wanted, self.weights)

    def fit(self, values_at: Callable[[Sequence[float]], dict[str, Value]], starts: Sequence[Sequence[float]]) -> Array:
        """The numbers whose values come nearest, from the best of some starts."""
        first = min(starts, key=lambda x: self.error(values_at(x)))
        simplex = np.array([first, *[[v + 0.5 * (i == k) for i, v in enumerate(first)] for k in range(len(first))]])
        found = minimize(
            lambda x: self.error(values_at(x)),
            first,
            method="Nelder-Mead",
            options={"initial_simplex": simplex, "maxfev": TRIALS, "xatol": 0.01, "fatol": 1e-4},
        )
        return np.asarray(found.x)


def row_of(processor: Processor, values: dict[str, Value]) -> torch.Tensor:
    """Physical values of one node, neutral where not given, float64 [1, width]."""
    node_type = processor.node_type
    row = node_type.neutral().double()
    for name, value in values.items():
        spec = next(p for p in node_type.parameters if p.name == name)
        row[node_type.columns(name)] = torch.as_tensor(spec.numbers_of(value), dtype=torch.float64)
    return row[None]


def _clip(value: float, spec_low: float, spec_high: float) -> float:
    return min(max(value, spec_low), spec_high)


def to_attack_release(given: Given) -> Replacement:
    """A compressor or gate of energies as ``studio_compressor`` or ``expander``."""
    upward = isinstance(given.processor, Compressor)
    target: StudioDynamics = StudioCompressor(given.sample_rate) if upward else Expander(given.sample_rate)
    kind = target.node_type.name
    curve: dict[str, Value] = {name: given.value(name) for name in ("threshold_db", "ratio", "knee_db")}
    if not upward:
        curve["range_db"] = FULL_RANGE_DB
    curve["listen"] = "mid"
    names = {p.name for p in given.processor.node_type.parameters}
    times = [given.value(name) for name in (("time_ms",) * 2 if "time_ms" in names else ("attack_ms", "release_ms"))]
    gains = _Gains(given, target)

    def usual(x: Sequence[float]) -> dict[str, Value]:
        attack, release = (
            _clip(math.exp(min(v, 20.0)), spec.low, spec.high) for v, spec in zip(x, (ATTACK, RELEASE), strict=True)
        )
        mean = _clip(min(MEAN_MS, *times), 0.1, MEAN_MS)
        choices: dict[str, Value] = {"detection": "rms", "smoothing": "gain_db", "mean_ms": mean}
        return {**curve, **choices, "attack_ms": attack, "release_ms": release}

    starts = [
        [math.log(times[0] * a), math.log(times[1] * b)]
        for a, b in product(ATTACK_SHARES, RELEASE_SHARES)
    ]  # fmt: skip
    values = usual(gains.fit(usual, starts).tolist())
    error, words = gains.error(values), f"attack {values['attack_ms']:.3g} ms, release {values['release_ms']:.3g} ms"
    if error > given.tolerance_db:
        exact = {**curve, "detection": "peak", "smoothing": "level", "attack_ms": times[0], "release_ms": times[1]}
        words = f"smooths the level, {times[0]:.3g} ms up, {times[1]:.3g} ms down; usual form {error:.2g} dB"
        values, error = exact, gains.error(exact)
    return Replacement((NewNode(kind, values, given.wet),), error, f"{words}; {gains.words}")


def to_one_time(given: Given) -> Replacement:
    """A compressor or gate with attack and release as one of energies with a single time constant.

    Raises:
        NotConverted: make-up gain in a parallel compressor.
    """
    own = given.processor
    upward = isinstance(own, StudioCompressor | Compressor)
    target: Processor = Compressor(given.sample_rate) if upward else NoiseGate(given.sample_rate)
    curve: dict[str, Value] = {name: given.value(name) for name in ("threshold_db", "ratio", "knee_db")}
    makeup, shift, words = 0.0, False, list[str]()
    if isinstance(own, StudioDynamics):
        makeup = float(own.makeup_db(given.params)[0])
        level = own.choice(given.params, "smoothing")[0, 0] == 2
        shift = not level and bool(own.choice(given.params, "detection")[0, 0] == 0)
        if makeup and given.wet < 1:
            raise NotConverted(f"has {makeup:+.1f} dB of make-up gain in its wet part alone")
        if own.feedback(given.params)[0]:
            ratio = 2 - 1 / given.value("ratio")
            curve["ratio"], words = ratio, [f"feedback: acts as {ratio:.3g}:1"]
    gains = _Gains(given, target)
    gains.wanted = gains.wanted - makeup

    def values(x: Sequence[float]) -> dict[str, Value]:
        threshold = given.value("threshold_db") + (x[1] if shift else 0.0)
        time = _clip(math.exp(min(x[0], 20.0)), TIME.low, TIME.high)
        return {**curve, "threshold_db": _clip(threshold, THRESHOLD.low, THRESHOLD.high), "time_ms": time}

    attack, release = given.value("attack_ms"), given.value("release_ms")
    times = sorted({attack, math.sqrt(attack * release), release, (attack + release) / 4})
    starts = [[math.log(_clip(t, TIME.low, TIME.high)), *[-PEAK_DB] * shift] for t in times]
    best = min((values(gains.fit(values, starts).tolist()), *map(values, starts)), key=gains.error)
    words = [f"time {best['time_ms']:.3g} ms", *words]
    if shift:
        words.append(f"threshold {float(str(best['threshold_db'])) - given.value('threshold_db'):+.1f} dB for energies")
    nodes = [NewNode(target.node_type.name, best, given.wet)]
    if makeup:
        nodes.append(NewNode("gain", {"gain_db": makeup}))
        words.append(f"make-up {makeup:+.1f} dB as a gain")
    return Replacement(tuple(nodes), gains.error(best), "; ".join([*words, gains.words]))
