"""How a track is mixed: decisions that follow from what is measured, from its role, from style, and from chance.

Each decision has a *score*, a measured excess over what the role is left alone with; a processor is set where the
score is above 0, and its settings grow with the excess. Chance moves scores and settings by multiples of the numbers
of :data:`SWAY`; without it all is a function of content, role and style.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from graphmix.songbook.effects import (
    Setting,
    compression_change,
    dynamics,
    echoes,
    equalizer,
    equalizer_curve,
    panned_gain,
    room,
)
from graphmix.songbook.features import Features
from graphmix.songbook.roles import BUS_BRIGHT_DB, BUS_DEPTH, Role
from graphmix.songbook.session import Luck, MixingStyle

SWAY: Mapping[str, float] = {
    "level": 4.0, "place": 0.25, "cut": 6.0, "corner": 0.3, "bell": 3.0, "bell depth": 0.4, "shelf": 4.0,
    "shelf depth": 0.4, "comp": 4.0, "threshold": 3.0, "ratio": 0.3, "time": 0.4, "gate": 6.0, "gate threshold": 4.0,
    "image": 3.0, "echo": 0.08, "echo wet": 0.4, "room": 0.05, "room wet": 0.4, "decay": 0.3,
}  # fmt: skip
"""A standard deviation of each decision at chance 1, in dB, place, octaves, logarithms of a factor, or wet weight."""

RUMBLE_DB = -24.0
"""Below the lowest note, relative to the rest: what is more is cut."""
RESONANCE_DB = 3.5
"""What stands out of its surroundings by so much more than is typical of the role is cut."""
DULL_DB = 4.0
"""Brightness may differ from the role's by so much."""
GATED_DB = (18.0, 52.0)
"""Pauses so far below the loud parts are noise; nearer they are music, farther silence."""
STEADY_DB = 8.0
"""Pauses whose level varies by more are the tails of notes."""
WIDTH_DB = 7.0
ECHO_WET, ROOM_WET = 0.09, 0.1
"""Wet weights below which a delay or reverb is not worth it."""
GLUE_CREST_DB = 17.0
"""A bus with higher peaks is compressed."""
BUS_DULL_DB = 8.0


@dataclass(frozen=True)
class Wish:
    """What is wanted of a track beside its role: how loud in the mix (dB), and where (-1 to 1)."""

    loudness_db: float
    place: float


def decide_track(
    f: Features, role: Role, wish: Wish, style: MixingStyle, luck: Luck, sample_rate: int
) -> list[Setting]:
    """The processors of a track, in the order of the console."""
    chain: list[Setting] = []
    louder = raised = 0.0
    curve = _track_curve(f, role, style, luck)
    if curve is not None:
        chain.append(equalizer(sample_rate, *curve))
        gains = equalizer_curve(f.band_hz, *curve)
        louder, raised = f.change(gains, weighted=True), f.change(gains, weighted=False)
    compressor = _track_compressor(f, role, style, luck, raised)
    if compressor is not None:
        chain.append(compressor)
        settings = compressor[2]
        louder += compression_change(
            f.frames_db + raised, settings["threshold_db"], settings["ratio"], settings["knee_db"]
        )
    chain += _gate(f, luck, raised)
    chain += _image(f, role, luck)
    level_db = wish.loudness_db - f.loudness_db - louder + _sway(luck, "level")
    chain.append(_fader(level_db, wish, luck))
    return chain + _echo(f, role, style, luck, sample_rate) + _room(f, role, style, luck, sample_rate)


def decide_gain(f: Features, wish: Wish, luck: Luck) -> list[Setting]:
    """Gain and panning alone."""
    return [_fader(wish.loudness_db - f.loudness_db + _sway(luck, "level"), wish, luck)]


def decide_bus(f: Features, family: str, style: MixingStyle, luck: Luck, sample_rate: int) -> list[Setting]:
    """The processors of a bus of several tracks; one that is compressed has a gain to make up for it."""
    chain: list[Setting] = []
    raised = 0.0
    lack = BUS_BRIGHT_DB[family] + style.bright_db - f.bright_db
    if abs(lack) - BUS_DULL_DB + _sway(luck, "shelf") > 0:
        shelf = float(np.clip(0.5 * lack * np.exp(_sway(luck, "shelf depth")), -6, 6))
        chain.append(equalizer(sample_rate, None, None, round(shelf, 2)))
        raised = f.change(equalizer_curve(f.band_hz, None, None, shelf), weighted=False)
    excess = f.crest_db - GLUE_CREST_DB - style.even_db + _sway(luck, "comp")
    if excess > 0:
        ratio = float(np.clip((1.5 + excess / 6) * np.exp(_sway(luck, "ratio")), 1.3, 4.0))
        threshold = float(np.clip(f.loud_db + raised - 5 + _sway(luck, "threshold"), -70, -3))
        chain.append(dynamics("compressor", threshold, ratio, 10.0, 30 * float(np.exp(_sway(luck, "time"))), 0.85))
        lost = compression_change(f.frames_db + raised, threshold, ratio, 10.0)
        chain.append(panned_gain(-0.85 * lost, 0.0))
    wet = BUS_DEPTH.get(family, 0.0) * style.depth * (1 - 0.6 * f.sustain)
    if wet - 0.6 * ROOM_WET + _sway(luck, "room") > 0:
        chain.append(_room_of(wet, 1.1, f, style, luck, sample_rate))
    return chain


def _sway(luck: Luck, name: str) -> float:
    return SWAY[name] * luck(name)


Curve = tuple[float | None, tuple[float, float, float] | None, float]
"""Low cut in Hz, bell, shelf in dB."""


def _track_curve(f: Features, role: Role, style: MixingStyle, luck: Luck) -> Curve | None:
    """What undoes the colour of a track; None where nothing needs undoing."""
    low_cut, bell, shelf = None, None, 0.0
    if role.low_hz > 60:
        rumble = f.band_level(0, 0.6 * role.low_hz) - f.band_level(role.low_hz, 20000)
        if rumble - RUMBLE_DB + _sway(luck, "cut") > 0:
            low_cut = round(0.8 * role.low_hz * 2 ** _sway(luck, "corner"), 1)
    hz, excess = f.resonance(max(200.0, 1.5 * role.low_hz), 8000)
    excess -= role.peaky_db
    if excess - RESONANCE_DB + _sway(luck, "bell") > 0:
        depth = -excess * np.exp(_sway(luck, "bell depth"))
        bell = (round(hz, 1), round(float(np.clip(depth, -14, -3)), 2), 0.5)
    lack = role.bright_db + style.bright_db - f.bright_db
    if abs(lack) - DULL_DB + _sway(luck, "shelf") > 0:
        shelf = round(float(np.clip(0.7 * lack * np.exp(_sway(luck, "shelf depth")), -8, 10)), 2)
    return None if low_cut is None and bell is None and shelf == 0 else (low_cut, bell, shelf)


def _track_compressor(f: Features, role: Role, style: MixingStyle, luck: Luck, raised: float) -> Setting | None:
    """For strokes that differ too much: the louder half is held back."""
    excess = f.spread_db - role.even_db - style.even_db + _sway(luck, "comp")
    if excess <= 0:
        return None
    ratio = float(np.clip((1.7 + excess / 4) * np.exp(_sway(luck, "ratio")), 1.5, 8.0))
    middle = float(np.percentile(f.strokes_db, 40))
    threshold = float(np.clip(middle + raised + _sway(luck, "threshold"), -70, -3))
    return dynamics("compressor", threshold, ratio, 6.0, role.time_ms * float(np.exp(_sway(luck, "time"))))


def _gate(f: Features, luck: Luck, raised: float) -> list[Setting]:
    """For a steady noise in the pauses."""
    quiet = np.percentile(f.frames_db, (5, 25))
    pause, varied = f.loud_db - float(quiet[1]), float(quiet[1] - quiet[0])
    score = min(pause - GATED_DB[0], GATED_DB[1] - pause, STEADY_DB - varied)
    if score + _sway(luck, "gate") <= 0 or quiet[1] < -85:
        return []
    threshold = float(np.clip(quiet[1] + raised + 8 + _sway(luck, "gate threshold"), -79, -5))
    return [dynamics("noisegate", threshold, 3.0, 6.0, 20.0)]


def _image(f: Features, role: Role, luck: Luck) -> list[Setting]:
    """For a stereo track that is too narrow or too wide."""
    lack = role.width_db - f.width_db
    if f.width_db < -60 or abs(lack) - WIDTH_DB + _sway(luck, "image") <= 0:
        return []
    return [("imager", 1.0, {"side_db": round(float(np.clip(lack, -9, 9)), 2)})]


def _fader(level_db: float, wish: Wish, luck: Luck) -> Setting:
    place = wish.place
    if place:
        place = float(np.clip(place + _sway(luck, "place"), -0.9, 0.9))
    return panned_gain(level_db, place)


def _echo(f: Features, role: Role, style: MixingStyle, luck: Luck, sample_rate: int) -> list[Setting]:
    """Echoes in the rhythm of the track, where it leaves room for them."""
    wet = role.echo * style.echo * (1 - f.sustain)
    if not role.echo or wet - ECHO_WET + _sway(luck, "echo") <= 0:
        return []
    period = f.pulse_s
    while period < 0.2:
        period *= 2
    while period > 0.5:
        period /= 2
    return [echoes(sample_rate, float(np.clip(wet * np.exp(_sway(luck, "echo wet")), 0.05, 0.5)), round(period, 4))]


def _room(f: Features, role: Role, style: MixingStyle, luck: Luck, sample_rate: int) -> list[Setting]:
    """A reverb for depth, where the track leaves gaps that it can fill."""
    wet = role.depth * style.depth * (1 - 0.6 * f.sustain)
    if not role.depth or wet - ROOM_WET + _sway(luck, "room") <= 0:
        return []
    return [_room_of(wet, role.decay_s, f, style, luck, sample_rate)]


def _room_of(wet: float, decay_s: float, f: Features, style: MixingStyle, luck: Luck, sample_rate: int) -> Setting:
    """A reverb; busy tracks get a shorter one."""
    wet = float(np.clip(wet * np.exp(_sway(luck, "room wet")), 0.04, 0.4))
    busy = float(np.clip(np.sqrt(f.pulse_s / 0.4), 0.8, 1.3))
    return room(sample_rate, wet, float(np.clip(decay_s * style.decay * busy * np.exp(_sway(luck, "decay")), 0.2, 3.0)))
