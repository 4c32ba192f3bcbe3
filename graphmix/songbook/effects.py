"""Settings of single processors in an engineer's words: low cut and bells, echoes in time, a room of some seconds."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.random import Generator

from graphmix.processors.base import Processor
from graphmix.processors.delay import NUM_TAPS, MultitapDelay
from graphmix.processors.rack import Rack
from graphmix.processors.reverb import Reverb
from graphmix.render.renderer import Renderer
from graphmix.songbook.features import Array

Setting = tuple[str, float, dict[str, Any]]
"""Type, dry/wet weight and physical values of a processor."""

CHAIN = "ecnsgdr"
SHELF_HZ = 2500.0
LOW_CUT_FLOOR_DB = -36.0
SILENT_TAP_DB = -80.0
ECHO_FALL_DB = 5.0
GEAR_WET = (0.5, 1.0)
"""Dry/wet weights of captured effects: at the least half of what is left of a track has passed through its gear."""


@lru_cache(maxsize=4)
def studio(sample_rate: int, effects: tuple[Processor, ...] = ()) -> Renderer:
    """The console's seven processors at a rate and captured effects, with a renderer; made once in a process."""
    letters = "".join(effect.node_type.token for effect in effects)
    return Renderer(Rack.console(letters + CHAIN, sample_rate, effects))


def draw_gear(rng: Generator, effects: Sequence[Processor], share: float) -> Setting | None:
    """The captured effect of a track, its controls anywhere in their ranges; None on tracks without one."""
    plays, which, wet = rng.random(), int(rng.integers(max(1, len(effects)))), rng.uniform(*GEAR_WET)
    if not effects or plays >= share:
        return None
    node_type = effects[which].node_type
    drawn = {p.name: rng.uniform(p.low, p.high, p.size).round(4).tolist() for p in node_type.parameters}
    return node_type.name, round(float(wet), 3), drawn


def equalizer_curve(
    hz: Array, low_cut_hz: float | None, bell: tuple[float, float, float] | None, shelf_db: float
) -> Array:
    """Gains in dB at some frequencies.

    Args:
        hz: frequencies.
        low_cut_hz: corner of a low cut of 12 dB an octave, which ends at -36 dB.
        bell: center in Hz, gain in dB, width in octaves (a standard deviation).
        shelf_db: gain far above 2.5 kHz.
    """
    safe = np.maximum(hz, 1.0)
    gain = shelf_db / (1 + (SHELF_HZ / safe) ** 2)
    if low_cut_hz:
        gain = gain + np.maximum(LOW_CUT_FLOOR_DB, -10 * np.log10(1 + (low_cut_hz / safe) ** 4))
    if bell:
        center, depth, width = bell
        gain = gain + depth * np.exp(-0.5 * (np.log2(safe / center) / width) ** 2)
    return np.asarray(gain)


def equalizer(sample_rate: int, low_cut_hz: float | None, bell: Any, shelf_db: float) -> Setting:
    """An equalizer with such a curve."""
    bins = studio(sample_rate).rack["equalizer"].node_type.width
    hz = np.arange(bins, dtype=np.float64) * (sample_rate / (2 * bins - 1))
    curve = equalizer_curve(hz, low_cut_hz, bell, shelf_db).round(3)
    return "equalizer", 1.0, {"gain_db": curve.tolist()}


def panned_gain(level_db: float, place: float) -> Setting:
    """Gain and panning by equal powers: a place in the middle changes no level."""
    angle = (place + 1) * math.pi / 4
    sides = (max(math.cos(angle), 1e-3) * math.sqrt(2), max(math.sin(angle), 1e-3) * math.sqrt(2))
    return "gain", 1.0, {"gain_db": [round(level_db + 20 * math.log10(side), 3) for side in sides]}


def echoes(sample_rate: int, wet: float, period_s: float) -> Setting:
    """Three echoes, a period apart, left, right and left again, each softer and darker; other taps are silent."""
    processor = studio(sample_rate).rack["delay"]
    assert isinstance(processor, MultitapDelay), "the console's rack has one"
    segment_ms = 1000.0 * processor.segment / sample_rate
    delay_ms = [segment_ms * (tap + 0.5) for tap in range(NUM_TAPS)] * 2
    level = [SILENT_TAP_DB] * (2 * NUM_TAPS)
    for echo in range(3):
        at_ms = 1000 * period_s * (echo + 1)
        tap = int(at_ms / segment_ms)
        if tap >= NUM_TAPS:
            break
        delay_ms[echo % 2 * NUM_TAPS + tap] = round(at_ms, 3)
        level[echo % 2 * NUM_TAPS + tap] = -ECHO_FALL_DB * echo
    filters = [gain - 0.4 * k for gain in level for k in range(processor.bins)]
    return "delay", round(wet, 4), {"delay_ms": delay_ms, "radius": 0.9, "filter_db": filters}


def room(sample_rate: int, wet: float, decay_s: float) -> Setting:
    """A reverb of that RT60 at its lowest frequencies; it grows darker as it falls, the side a little below the mid."""
    processor = studio(sample_rate).rack["reverb"]
    assert isinstance(processor, Reverb), "the console's rack has one"
    darker = np.linspace(0, 1, processor.bands)
    initial = np.concatenate([-12 * darker, -12 * darker - 3]).round(3).tolist()
    decay = np.tile(-60 / decay_s * (1 + darker), 2).round(3).tolist()
    return "reverb", round(wet, 4), {"initial_db": initial, "decay_db_per_s": decay}


def dynamics(kind: str, threshold_db: float, ratio: float, knee_db: float, time_ms: float, wet: float = 1.0) -> Setting:
    """A compressor or a noise gate."""
    values = {"threshold_db": threshold_db, "ratio": ratio, "knee_db": knee_db, "time_ms": time_ms}
    return kind, wet, {name: round(value, 3) for name, value in values.items()}


def compression_change(frames_db: Array, threshold_db: float, ratio: float, knee_db: float) -> float:
    """By how much a compressor lowers the mean power of a signal with these frame levels, in dB (0 or below)."""
    over = frames_db - threshold_db
    half = knee_db / 2
    bent = np.where(over > half, over, np.maximum(over + half, 0) ** 2 / (4 * half))
    before, after = (float(np.sum(10 ** (x / 10))) for x in (frames_db, frames_db + (1 / ratio - 1) * bent))
    return 10 * math.log10(after / before) if before > 0 and after > 0 else 0.0
