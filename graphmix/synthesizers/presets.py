"""Random patches as people make them: envelopes of plucks, keys, pads; most modulations off; ratios that are harmonic.

Uniform values over all ranges make noise: nothing sounds like an instrument, and a network learns nothing of use.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from graphmix.synthesizers.instruments import ALGORITHMS, FM, OPERATORS, SUBTRACTIVE, WAVETABLE
from graphmix.synthesizers.modules import Value
from graphmix.synthesizers.synthesizer import Synthesizer

Values = dict[str, Value]


class Contour(NamedTuple):
    """Ranges of an envelope: times in ms, levels."""

    attack: tuple[float, float]
    decay: tuple[float, float]
    sustain: tuple[float, float]
    release: tuple[float, float]


CONTOURS = {
    "pluck": Contour((1, 8), (120, 900), (0.0, 0.1), (60, 400)),
    "key": Contour((1, 15), (300, 2500), (0.1, 0.5), (80, 500)),
    "organ": Contour((2, 30), (50, 400), (0.85, 1.0), (30, 200)),
    "brass": Contour((25, 120), (100, 600), (0.6, 0.9), (60, 300)),
    "pad": Contour((200, 1200), (300, 2000), (0.7, 1.0), (300, 1500)),
    "hit": Contour((0.5, 3), (30, 250), (0.0, 0.02), (20, 150)),
}
HARMONIC_RATIOS = (0.5, 1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 9.0)
BELL_RATIOS = (1.41, 1.73, 2.76, 3.5, 5.4, 8.93, 11.0, 14.0)


def random_patch(synthesizer: Synthesizer, rng: np.random.Generator) -> Values:
    """Values of a patch, all others at their defaults."""
    kind = str(rng.choice(list(CONTOURS)))
    return synthesizer.defaults() | _MAKERS[synthesizer.name](rng, CONTOURS[kind])


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _pick(rng: np.random.Generator, options: Sequence[str], chances: Sequence[float]) -> str:
    return str(rng.choice(options, p=np.array(chances) / sum(chances)))


def _adsr(rng: np.random.Generator, name: str, contour: Contour) -> Values:
    return {
        f"{name}.attack_ms": _log(rng, *contour.attack),
        f"{name}.decay_ms": _log(rng, *contour.decay),
        f"{name}.sustain": _uniform(rng, *contour.sustain),
        f"{name}.release_ms": _log(rng, *contour.release),
        f"{name}.velocity": _uniform(rng, 0.3, 1.0),
    }


def _lfo(rng: np.random.Generator) -> Values:
    wave = _pick(rng, ("sine", "triangle", "saw", "square"), (5, 3, 1, 1))
    fade = _log(rng, 1, 800)
    return {"lfo.wave": wave, "lfo.rate_hz": _log(rng, 0.2, 9), "lfo.phase": _uniform(rng, 0, 1), "lfo.fade_ms": fade}


def _filter(rng: np.random.Generator) -> Values:
    return {
        "filter.mode": _pick(rng, ("low", "band", "high"), (8, 1, 1)),
        "filter.cutoff_hz": _log(rng, 200, 9000),
        "filter.resonance": _log(rng, 0.6, 8),
        "filter.tracking": _uniform(rng, 0, 1),
    }


def _vibrato(rng: np.random.Generator, name: str) -> Values:
    return {f"{name}.vibrato_semitones": _uniform(rng, 0.02, 0.4)} if rng.random() < 0.25 else {}


def _subtractive(rng: np.random.Generator, contour: Contour) -> Values:
    values = _adsr(rng, "amplitude_envelope", contour) | _lfo(rng) | _filter(rng)
    values |= _adsr(rng, "filter_envelope", CONTOURS[str(rng.choice(["pluck", "key", "brass"]))])
    values |= {"filter.modulation_octaves": _uniform(rng, 0, 5), "filter_envelope.depth": _uniform(rng, 0.2, 1)}
    if rng.random() < 0.2:
        values["lfo_to_filter.offset"] = _uniform(rng, 0.02, 0.3)
    for number in (1, 2):
        name = f"oscillator_{number}"
        values[f"{name}.wave"] = _pick(rng, ("sine", "saw", "pulse", "triangle", "table"), (1, 4, 3, 1, 1))
        values[f"{name}.width"] = _uniform(rng, 0.08, 0.5)
        values[f"{name}.position"] = _uniform(rng, 0, 1)
        values[f"{name}.detune_cents"] = float(np.clip(rng.normal(0, 7), -50, 50))
        values[f"{name}.phase"] = _uniform(rng, 0, 1)
        values |= _vibrato(rng, name)
    values["oscillator_1.transpose_semitones"] = float(rng.choice([-12, 0, 0, 0, 12]))
    values["oscillator_1.level_db"] = _uniform(rng, -9, -3)
    if rng.random() < 0.65:
        values["oscillator_2.level_db"] = _uniform(rng, -24, -4)
        values["oscillator_2.transpose_semitones"] = float(rng.choice([-12, 0, 0, 7, 12, 19]))
    if rng.random() < 0.25:
        values["oscillator_1.width_modulation"] = _uniform(rng, 0.02, 0.3)
    if rng.random() < 0.3:
        values["noise.level_db"] = _uniform(rng, -45, -16)
    return values


def _operator(rng: np.random.Generator, name: str, contour: Contour, level_db: float) -> Values:
    """An operator that sounds: a percussive or a held envelope, a ratio of a harmonic or of a bell."""
    sustain = _uniform(rng, *contour.sustain)
    middle = sustain + (1 - sustain) * _uniform(rng, 0.1, 0.6)
    times = (_log(rng, *contour.attack), _log(rng, *contour.decay) / 3, _log(rng, *contour.decay))
    ratios = HARMONIC_RATIOS if rng.random() < 0.8 else BELL_RATIOS
    return {
        f"{name}.level_db": level_db,
        f"{name}.ratio": float(rng.choice(ratios)),
        f"{name}.detune_cents": float(np.clip(rng.normal(0, 4), -30, 30)),
        **{f"{name}.times_ms.{i + 1}": time for i, time in enumerate((*times, _log(rng, *contour.release)))},
        **{f"{name}.levels.{i + 1}": level for i, level in enumerate((0.0, 1.0, middle, sustain, 0.0))},
    }


def _fm(rng: np.random.Generator, contour: Contour) -> Values:
    algorithm = int(rng.integers(1, len(ALGORITHMS) + 1))
    pairs, carriers, fed_back = ALGORITHMS[algorithm - 1]
    values = _lfo(rng)
    values["algorithm"] = str(algorithm)
    if rng.random() < 0.2:
        values["vibrato.level_db"] = _uniform(rng, -40, -14)
    needed = {*carriers[:1]}  # the rest are there or not, but what modulates nothing that sounds is not
    needed |= {carrier for carrier in carriers if rng.random() < 0.6}
    for operator in OPERATORS:  # a modulator has a higher number than what it modulates
        targets = {pair[1] for pair in pairs.split() if pair[0] == operator}
        if targets & needed and rng.random() < 0.75:
            needed.add(operator)
    for operator in sorted(needed):
        carries = operator in carriers
        level = _uniform(rng, -12, 0) - 10 * math.log10(len(carriers)) if carries else _uniform(rng, -36, -8)
        own = contour if carries else CONTOURS[str(rng.choice(["pluck", "key", "organ", "hit"]))]
        values |= _operator(rng, f"op{operator}", own, level)
        if carries and rng.random() < 0.7:
            values[f"op{operator}.ratio"] = float(rng.choice([0.5, 1.0, 1.0, 1.0, 2.0]))
    if str(fed_back) in needed and rng.random() < 0.5:
        values[f"op{fed_back}.feedback"] = _uniform(rng, 0.1, 1.6)
    if "1" not in needed:
        values["op1.level_db"] = -96.0
    return values


def _wavetable(rng: np.random.Generator, contour: Contour) -> Values:
    values = _adsr(rng, "amplitude_envelope", contour) | _lfo(rng) | _filter(rng)
    values["lfo.depth"] = _uniform(rng, 0, 0.3)
    levels = rng.uniform(-0.6, 0.6, 5) * (rng.random() < 0.7)
    values |= {f"position_envelope.levels.{i + 1}": float(level) for i, level in enumerate(levels)}
    values |= {f"position_envelope.times_ms.{i + 1}": _log(rng, 20, 1500) for i in range(4)}
    for number in (1, 2):
        name = f"oscillator_{number}"
        values[f"{name}.position"] = _uniform(rng, 0, 1)
        values[f"{name}.position_modulation"] = _uniform(rng, 0, 1)
        values[f"{name}.detune_cents"] = float(np.clip(rng.normal(0, 7), -50, 50))
        values[f"{name}.phase"] = _uniform(rng, 0, 1)
        values |= _vibrato(rng, name)
    values["oscillator_1.level_db"] = _uniform(rng, -9, -3)
    values["oscillator_2.level_db"] = _uniform(rng, -9, 3)
    values["oscillator_2.transpose_semitones"] = float(rng.choice([-12, 0, 5, 7, 12, 19, 24]))
    if rng.random() < 0.5:
        values["ring_modulator.wet"] = _uniform(rng, 0.1, 0.9)
    if rng.random() < 0.5:
        values["sub.level_db"] = _uniform(rng, -24, -8)
        values["sub.wave"] = _pick(rng, ("sine", "triangle", "pulse"), (2, 1, 1))
        values["sub.transpose_semitones"] = float(rng.choice([-24, -12, -12, 0]))
    return values


_MAKERS: dict[str, Callable[[np.random.Generator, Contour], Values]] = {
    SUBTRACTIVE.name: _subtractive,
    FM.name: _fm,
    WAVETABLE.name: _wavetable,
}
