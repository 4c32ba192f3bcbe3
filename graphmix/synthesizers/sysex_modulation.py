r"""The pitch envelope and the LFO of the classic FM voice, as numbers of a voice and as values of a patch.

The maker's curves, as the open emulations publish them (see :mod:`graphmix.synthesizers.sysex`):

* levels of the pitch envelope: 0.375 semitones a step around 50, more near both ends, which are four octaves away;
* its rates: from 1 / 21.3 to 255 / 21.3 octaves a second, straight in semitones;
* speed of the LFO: nearly in proportion to the number, 0.06 to 49 Hz; delay: half of the time nothing, then faded in;
* its depth: at full depth and sensitivity one octave to either side.

Curves are taken from a few of their points, between which they are straight (rates: as logarithms). A segment that is
straight in semitones there is exponential here, with the same ends and time; the delay is faded in from its beginning
here. The pitch envelope of a patch reaches 15.8 semitones, what is beyond is held there, and it goes in proportion to
the velocity of a note: it is that of a voice at full velocity. The LFO's effect on levels is not carried over.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from graphmix.synthesizers.instruments import FM
from graphmix.synthesizers.modules import Value

_LEVEL_POINTS = (0, 5, 10, 18, 50, 85, 90, 95, 99), (-128, -76, -49, -32, 0, 35, 49, 82, 127)
_RATE_POINTS = (0, 4, 10, 25, 50, 75, 90, 99), (1, 4, 7, 14, 41, 94, 165, 255)
_SEMITONES = 12 / 32
"""Of a step of the levels' curve."""
_SECONDS_AN_OCTAVE = 21.3
"""At the lowest rate."""
_LFO_SECONDS = 16.0 * 11
"""Of a period at the lowest step of the LFO."""
_SENSITIVITIES = 0, 10, 20, 33, 55, 92, 153, 255
_SILENT = 0.003
"""In semitones: less of vibrato or bend counts as none."""


def bend_semitones(level: int) -> float:
    """A level of the pitch envelope; none at 50."""
    return _SEMITONES * float(np.interp(level, *_LEVEL_POINTS))


def bend_ms(rate: int, semitones: float) -> float:
    """Time that the pitch envelope takes for a distance."""
    speed = math.exp(float(np.interp(rate, _RATE_POINTS[0], np.log(_RATE_POINTS[1]))))
    return 1000 * abs(semitones) / 12 * _SECONDS_AN_OCTAVE / speed


def lfo_hz(speed: int) -> float:
    """Frequency of the LFO."""
    step = max(1, 165 * speed >> 6)
    return step * (11 + max(0, step - 160 >> 2)) / _LFO_SECONDS


def lfo_delay_ms(delay: int) -> float:
    """Time until the LFO is there in full; 0 for none."""
    if delay == 0:
        return 0.0
    fine, octave = (99 - delay) % 16, (99 - delay) // 16
    speed = (16 + fine) << (1 + octave)
    return 1000 * _LFO_SECONDS / 2 * (1 / speed + 1 / max(128, speed & ~127))


def vibrato_semitones(depth: int, sensitivity: int) -> float:
    """To either side."""
    return 12 * (depth * 165 >> 6) * _SENSITIVITIES[sensitivity] / 2**16


def modulation_values(n: Mapping[str, int]) -> dict[str, Value]:
    """LFO, vibrato and pitch envelope of a patch for the numbers of a voice; what does nothing is left out."""
    values: dict[str, Value] = {}
    depth = vibrato_semitones(n["lfo_pitch"], n["pitch_sensitivity"])
    if depth > 0:
        values |= {"lfo.rate_hz": lfo_hz(n["lfo_speed"]), "vibrato.level_db": 20 * math.log10(depth)}
        values["lfo.fade_ms"] = lfo_delay_ms(n["lfo_delay"])
    levels = [bend_semitones(n[f"pitch_level_{i}"]) for i in (4, 1, 2, 3, 4)]
    most = max(abs(level) for level in levels)
    if most > 0:
        values["bend.level_db"] = min(20 * math.log10(most), FM.by_name["bend.level_db"].high)
        reach = 10 ** (float(values["bend.level_db"]) / 20)
        for i, level in enumerate(levels, start=1):
            values[f"pitch_envelope.levels.{i}"] = level / reach
        for i in (1, 2, 3, 4):
            values[f"pitch_envelope.times_ms.{i}"] = bend_ms(n[f"pitch_rate_{i}"], levels[i] - levels[i - 1])
    return {name: _inside(name, value) for name, value in values.items()}


def _inside(name: str, value: Value) -> float:
    p = FM.by_name[name]
    return min(max(float(value), p.low), p.high)


def modulation_numbers(values: Mapping[str, Value], like: Mapping[str, int]) -> dict[str, int]:
    """The inverse of :func:`modulation_values`; numbers that do not matter are those of another voice.

    Args:
        values: all of a patch.
        like: numbers of the other voice.
    """

    def number(name: str) -> float:
        return float(values[name])

    n: dict[str, int] = {}
    vibrato = 10 ** (number("vibrato.level_db") / 20) * number("lfo.depth")
    if vibrato < _SILENT:
        n["lfo_pitch"] = 0 if vibrato_semitones(like["lfo_pitch"], like["pitch_sensitivity"]) > 0 else like["lfo_pitch"]
    else:
        n["lfo_speed"] = min(range(100), key=lambda speed: abs(math.log(lfo_hz(speed) / number("lfo.rate_hz"))))
        n["lfo_delay"] = min(range(100), key=lambda delay: abs(lfo_delay_ms(delay) - number("lfo.fade_ms")))
        pairs = [(depth, s) for s in range(1, 8) for depth in range(1, 100)]
        n["lfo_pitch"], n["pitch_sensitivity"] = min(
            pairs,
            key=lambda pair: (
                round(abs(vibrato_semitones(*pair) / vibrato - 1), 6),
                pair[1] != like["pitch_sensitivity"],
            ),
        )
    reach = 10 ** (number("bend.level_db") / 20)
    levels = [reach * number(f"pitch_envelope.levels.{i}") for i in (1, 2, 3, 4, 5)]
    if max(abs(level) for level in levels) < _SILENT:
        return n | {f"pitch_level_{i}": 50 for i in (1, 2, 3, 4)}
    for i in (1, 2, 3, 4):
        n[f"pitch_level_{i}"] = _nearest(levels[i], [bend_semitones(level) for level in range(100)])
    begins = [levels[4], *levels[1:4]]
    for i, begin in enumerate(begins, start=1):
        if abs(levels[i] - begin) > _SILENT:
            times = [math.log(bend_ms(rate, levels[i] - begin)) for rate in range(100)]
            n[f"pitch_rate_{i}"] = _nearest(math.log(number(f"pitch_envelope.times_ms.{i}")), times)
    return n


def _nearest(wanted: float, values: Sequence[float]) -> int:
    """Place of the value that is nearest."""
    return min(range(len(values)), key=lambda place: abs(values[place] - wanted))
