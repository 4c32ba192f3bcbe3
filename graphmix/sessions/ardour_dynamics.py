r"""Compressors and gates as Ardour's own: ``a-comp`` and ``a-exp``, fitted to what graphmix's do to a signal.

The two differ. graphmix smooths the *energy of mid* and puts it through the curve; Ardour's plugins put the larger
*magnitude* of left and right through the curve, sample by sample, and smooth the gain in dB:

.. math:: r[n] = a\, r[n-1] + (1 - a)\, s\, \mathrm{knee}(\pm(20 \log_{10} \max(|u_l|, |u_r|) - T)), \quad
    y = 10^{-r / 20} u

with *a* that of the attack or of the release. So no settings are the same, and threshold, ratio and times are chosen by
least squares over the gains in dB, weighted by the level of what comes in.

Source: Ardour 7's plugins, measured against them in ``tests/sessions/test_ardour_editable.py``.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from graphmix.processors.dynamics import Dynamics
from graphmix.processors.rack import Rack
from graphmix.rewrite.convert_dynamics import FITTED_SECONDS, level_weights, loudest
from graphmix.sessions.session import Device

Array = NDArray[np.float64]

SILENCE_DB = -160.0
"""What the plugins take for the level of digital silence."""
KNEE_STEP_DB, LEAST_KNEE_DB = 6.0, 0.01
"""Width of the knee in dB for each unit of the plugins' knob, and with the knob at 0."""
SINE_DB = 10 * math.log10(2)
"""Peak of a sine above its energy: so much higher lies a threshold for peaks."""
RANGES = {"att": (0.1, 100.0), "rel": (1.0, 2000.0), "kn": (0.0, 8.0), "thr": (-60.0, 0.0)}
"""Of the knobs attack and release in ms, knee, threshold in dB."""
MOST_RATIO = {1: 20.0, -1: 100.0}
_TRIALS = 160


@dataclass(frozen=True)
class Knobs:
    """Settings of ``a-comp`` (direction 1) or ``a-exp`` (-1), and how well they fit.

    Args:
        direction: 1 turns down above the threshold, -1 below it.
        threshold_db: of the larger magnitude.
        ratio: dB in per dB out, or out per in.
        knee: of the knob, 6 dB each.
        attack_ms: while a compressor's reduction grows, a gate's shrinks.
        release_ms: the other way.
        error_db: weighted root mean square of the difference of gains; None where nothing was fitted.
    """

    direction: int
    threshold_db: float
    ratio: float
    knee: float
    attack_ms: float
    release_ms: float
    error_db: float | None = None

    def controls(self) -> tuple[tuple[str, float], ...]:
        """Symbols of the plugin's ports with their values."""
        values = (self.attack_ms, self.release_ms, self.knee, self.ratio, self.threshold_db, 0.0)
        return tuple(zip(("att", "rel", "kn", "rat", "thr", "mak"), values, strict=True))


def reduction_db(audio: Array, knobs: Knobs, sample_rate: int) -> Array:
    """Gain reduction of the plugin in dB, 0 or more, [2, samples] -> [samples]."""
    level = np.full(audio.shape[1], SILENCE_DB)
    peak = np.abs(audio).max(0)
    sounding = peak > 0
    level[sounding] = 20 * np.log10(peak[sounding])
    attack, release = (math.exp(-1000 / (ms * sample_rate)) for ms in (knobs.attack_ms, knobs.release_ms))
    slope = 1 - 1 / knobs.ratio if knobs.direction > 0 else knobs.ratio - 1
    grows, shrinks = (attack, release) if knobs.direction > 0 else (release, attack)
    width = KNEE_STEP_DB * knobs.knee + LEAST_KNEE_DB
    start = 0.0 if knobs.direction > 0 else -SILENCE_DB
    over = knobs.direction * (level - knobs.threshold_db)
    return _reduction(over, slope, width, grows, shrinks, start, -SILENCE_DB)


@numba.njit(cache=True)
def _reduction(
    over: np.ndarray, slope: float, width: float, grows: float, shrinks: float, start: float, most: float
) -> np.ndarray:
    result = np.empty_like(over)
    state = start
    for n in range(over.size):
        inside = over[n] + width / 2
        if inside <= 0:
            target = 0.0
        elif over[n] > width / 2:
            target = slope * over[n]
        else:
            target = slope * inside * inside / (2 * width)
        target = min(target, most)
        constant = grows if target > state else shrinks
        state = target + constant * (state - target)
        result[n] = state
    return result


def direction_of(device: Device) -> int:
    """1 for compressors, -1 for gates."""
    return -1 if device.kind in ("noisegate", "ballistic_gate") else 1


def first_knobs(device: Device) -> Knobs:
    """The settings as they are, the threshold higher by what a sine's peak lies above its energy."""
    ballistic = device.kind.startswith("ballistic")
    attack, release = ("attack_ms", "release_ms") if ballistic else ("time_ms", "time_ms")
    direction = direction_of(device)
    return Knobs(
        direction,
        float(np.clip(device.value("threshold_db") + SINE_DB, *RANGES["thr"])),
        float(np.clip(device.value("ratio"), 1.0, MOST_RATIO[direction])),
        float(np.clip((device.value("knee_db") - LEAST_KNEE_DB) / KNEE_STEP_DB, *RANGES["kn"])),
        float(np.clip(device.value(attack), *RANGES["att"])),
        float(np.clip(device.value(release), *RANGES["rel"])),
    )


def fit_knobs(device: Device, audio: Array, sample_rate: int) -> Knobs:
    """Settings whose gains are nearest to the device's on a signal, its dry/wet included.

    Args:
        device: a compressor or gate with one inlet.
        audio: what comes into it, [2, samples].
        sample_rate: in Hz.
    """
    start = first_knobs(device)
    audio = loudest(audio, round(FITTED_SECONDS * sample_rate))
    weight = level_weights(audio, sample_rate)
    if not weight.sum():
        return start
    wanted = gain_db(device, audio, sample_rate)

    def error(knobs: Knobs) -> float:
        difference = -reduction_db(audio, knobs, sample_rate) - wanted
        return float(np.sqrt(weight @ difference**2))

    most = MOST_RATIO[start.direction]

    def knobs_of(x: Array) -> Knobs:
        return Knobs(
            start.direction,
            float(np.clip(x[0], *RANGES["thr"])),
            float(np.clip(1 + math.exp(min(x[1], 10.0)), 1.0, most)),
            start.knee,
            float(np.clip(math.exp(min(x[2], 20.0)), *RANGES["att"])),
            float(np.clip(math.exp(min(x[3], 20.0)), *RANGES["rel"])),
        )

    first = [start.threshold_db, math.log(max(start.ratio - 1, 0.02)), math.log(start.attack_ms)]
    first.append(math.log(start.release_ms))
    simplex = np.array(
        [first] + [[v + d * (k == i) for k, v in enumerate(first)] for i, d in enumerate((4, 0.5, -1, 1))]
    )
    found = minimize(
        lambda x: error(knobs_of(x)),
        first,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxfev": _TRIALS, "xatol": 0.02, "fatol": 1e-3},
    )
    best = min((start, knobs_of(found.x)), key=error)
    return Knobs(**{**vars(best), "error_db": error(best)})


def gain_db(device: Device, audio: Array, sample_rate: int) -> Array:
    """Gain in dB that a compressor or gate of graphmix gives to a signal, dry/wet included, [samples]."""
    import torch

    processor = Rack.for_types([device.node_type], sample_rate)[device.kind]
    assert isinstance(processor, Dynamics)
    with torch.no_grad():
        factor = processor.gain(torch.from_numpy(audio.copy())[None], device.params[None])[0].numpy()
    return 20 * np.log10(np.maximum(device.wet * factor + 1 - device.wet, 1e-8))
