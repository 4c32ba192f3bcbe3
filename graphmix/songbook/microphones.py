"""A drum set in a room before microphones: each picks up its own drum, all the others more softly, late and dull.

Close microphones stand at one drum; two overheads see all of it from above, left and right; a pair stands far away in
the room. Levels of bleed are typical of recordings: a snare's microphone has the hats about 20 dB below the snare, a
kick's the rest about 30 dB below; the song's isolation moves all of them.

Conventions. Audio is float64 at :data:`SYNTH_RATE`, [samples] of each piece, [1 or 2, samples] of a track.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import signal

from graphmix.songbook.general_midi import ROLE_PIECES
from graphmix.songbook.playing import Audio
from graphmix.songbook.soundfont import PlayedNote
from graphmix.songbook.synth import SYNTH_RATE, Samples, highpass, lowpass
from graphmix.songbook.topology import PlannedTrack

_ORDER = (
    ("overheads", 0), ("kick", 0), ("snare", 0), ("room", 0), ("hats", 0), ("toms", 0), ("snare", 1), ("kick", 1),
    ("toms", 1), ("ride", 0), ("crash", 0), ("overheads", 1), ("room", 1),
)  # fmt: skip
"""Microphones by which is put up first; (role, which of its role)."""
_PLAIN_ORDER = ("kick", "snare", "hats", "toms", "ride", "crash", "overheads", "room")
MOST_MICROPHONES = len(_ORDER)

_PLACES = {
    "kick": 0.0, "snare": 0.1, "rim": 0.1, "hats": 0.55, "open hats": 0.55, "high tom": 0.3, "mid tom": -0.1,
    "low tom": -0.5, "ride": -0.6, "crash": 0.5, "clap": 0.0,
}  # fmt: skip
"""Where pieces stand, -1 left to 1 right, as the drummer's left-hand side is on the right."""
_OVERHEAD_DB = {"kick": -10.0, "snare": -3.0, "rim": -5.0, "hats": -3.0, "open hats": -2.0, "ride": 0.0, "crash": 1.0}
_ROOM_DB = {"kick": -2.0, "hats": -6.0, "open hats": -5.0, "ride": -5.0, "crash": -3.0}
_BLEED_DB = {
    ("snare", "hats"): -19.0, ("snare", "open hats"): -17.0, ("snare", "kick"): -23.0, ("hats", "snare"): -14.0,
    ("toms", "snare"): -18.0, ("toms", "kick"): -21.0, ("toms", "crash"): -20.0, ("toms", "ride"): -20.0,
    ("ride", "crash"): -12.0, ("crash", "ride"): -14.0,
}  # fmt: skip
"""(microphone, piece) -> level at the microphone relative to where the piece stands."""
_OTHER_BLEED_DB = {"kick": -30.0, "snare": -26.0, "hats": -22.0, "toms": -26.0, "ride": -18.0, "crash": -18.0}
_CHOKE_SECONDS = 0.03


@dataclass(frozen=True)
class Setup:
    """How a drum set is recorded.

    Args:
        isolation_db: added to all bleed.
        room_s: reverberation time of the room.
        room_delay_s: from the drums to the microphones far away.
        width: of overheads and room, 0 to 1.
    """

    isolation_db: float
    room_s: float
    room_delay_s: float
    width: float


def draw_setup(rng: Generator) -> Setup:
    """From a dry booth to a live room."""
    return Setup(
        isolation_db=float(rng.uniform(-8, 6)),
        room_s=float(np.exp(rng.uniform(np.log(0.2), np.log(1.1)))),
        room_delay_s=float(rng.uniform(0.006, 0.02)),
        width=float(rng.uniform(0.5, 1.0)),
    )


def plan_microphones(tracks: Sequence[PlannedTrack]) -> list[PlannedTrack]:
    """Tracks of a drum bus as microphones; those beyond :data:`MOST_MICROPHONES` keep their role, as samples.

    A single track is a pair of overheads; the next are put up in the order in which engineers do.
    """
    chosen = sorted(_ORDER[: len(tracks)], key=lambda mic: (_PLAIN_ORDER.index(mic[0]), mic[1]))
    planned = []
    for track, (role, copy) in zip(tracks, chosen, strict=False):
        number = track.name.split("_")[0]
        planned.append(PlannedTrack(f"{number}_{role}{f'_{copy + 1}' if copy else ''}", role, copy))
    for track in tracks[len(chosen) :]:
        number = track.name.split("_")[0]
        planned.append(PlannedTrack(f"{number}_{track.role.replace(' ', '_')}_sample", track.role, track.copy))
    return planned


def place_strokes(strokes: Sequence[tuple[PlayedNote, Samples]], length: int, is_hat: bool = False) -> Samples:
    """Strokes at their times, [length]; of hats each ends the one before."""
    audio = np.zeros(length)
    ordered = sorted(strokes, key=lambda stroke: stroke[0].start)
    for k, (note, stroke) in enumerate(ordered):
        start = round(note.start * SYNTH_RATE)
        sound = stroke
        if is_hat and k + 1 < len(ordered):
            sound = _choked(stroke, round(ordered[k + 1][0].start * SYNTH_RATE) - start)
        sound = sound[: max(0, length - start)]
        audio[start : start + sound.size] += sound
    return audio


def _choked(stroke: Samples, samples: int) -> Samples:
    fade = round(_CHOKE_SECONDS * SYNTH_RATE)
    if stroke.size <= samples + fade or samples < 0:
        return stroke
    cut = stroke[: samples + fade].copy()
    cut[samples:] *= np.linspace(1, 0, fade)
    return cut


def record_drums(
    pieces: Mapping[str, Samples], tracks: Sequence[PlannedTrack], setup: Setup, rng: Generator
) -> list[Audio]:
    """What each microphone picks up.

    Args:
        pieces: name -> sound of the piece alone.
        tracks: microphones.
        setup: of the recording.
        rng: of their places.
    """
    recorded: list[Audio] = []
    for track in tracks:
        if track.role == "overheads":
            recorded.append(_overheads(pieces, setup, rng, high=track.copy == 0))
        elif track.role == "room":
            recorded.append(_far(pieces, setup, rng, further=1.0 + 0.7 * track.copy))
        else:
            recorded.append(_close(pieces, track, setup, rng)[None])
    return recorded


def _close(pieces: Mapping[str, Samples], track: PlannedTrack, setup: Setup, rng: Generator) -> Samples:
    """A microphone at one drum; a second one is the outside of the kick, the underside of the snare, the other toms."""
    own = list(ROLE_PIECES[track.role])
    if track.role == "toms" and track.copy:
        own = own[:1]
    length = next(iter(pieces.values())).size
    near, far = np.zeros(length), np.zeros(length)
    for piece, sound in pieces.items():
        if piece in own:
            near += sound
            continue
        level = _BLEED_DB.get((track.role, piece), _OTHER_BLEED_DB[track.role]) + setup.isolation_db
        far += _late(sound, float(rng.uniform(0.001, 0.005))) * _factor(level + float(rng.normal(0, 3)))
    if track.role == "kick" and track.copy:
        near = lowpass(_late(near, 0.0015), 1500, order=1)
    if track.role == "snare" and track.copy:
        near = -highpass(near, 500, order=1)
    return near + lowpass(far, float(rng.uniform(3500, 9000)), order=1)


def _overheads(pieces: Mapping[str, Samples], setup: Setup, rng: Generator, high: bool) -> Audio:
    """Two microphones above: each piece on its side, by level and time."""
    length = next(iter(pieces.values())).size
    audio = np.zeros((2, length))
    base = float(rng.uniform(0.0025, 0.004))
    for piece, sound in pieces.items():
        gain = _factor(_OVERHEAD_DB.get(piece, -4.0) + float(rng.normal(0, 1.5)))
        place = setup.width * _PLACES.get(piece, 0.0)
        for channel, side in enumerate((-1, 1)):
            near = side * place
            audio[channel] += gain * (1 + 0.5 * near) * _late(sound, base - 0.0003 * near)
    return audio if high else lowpass(audio, 7000, order=1)


def _far(pieces: Mapping[str, Samples], setup: Setup, rng: Generator, further: float) -> Audio:
    """Two microphones in the room: its response to all of the set."""
    total = sum(_factor(_ROOM_DB.get(piece, 0.0)) * sound for piece, sound in pieces.items())
    response = room_response(setup.room_s * further, rng, setup.width)
    late = _late(np.asarray(total), setup.room_delay_s * further)
    return np.stack([signal.oaconvolve(late, channel)[: late.size] for channel in response])


def room_response(seconds: float, rng: Generator, width: float = 1.0) -> Audio:
    """Impulse response of a room, [2, samples]: early reflections, then noise that falls by 60 dB and darkens.

    Args:
        seconds: reverberation time.
        rng: of reflections and noise.
        width: 1, both channels have nothing in common; 0, they are equal.
    """
    length = round(1.2 * seconds * SYNTH_RATE)
    time = np.arange(length) / SYNTH_RATE
    noise = rng.standard_normal((2, length))
    noise = np.stack([noise[0], (1 - width) * noise[0] + width * noise[1]])
    bright = lowpass(noise, 9000, order=1) * np.exp(-6.9 * time / (0.5 * seconds))
    dark = lowpass(noise, 2500, order=1) * np.exp(-6.9 * time / seconds)
    tail = (bright + 1.5 * dark) * np.minimum(time / 0.008, 1.0)
    for _ in range(6):
        at = int(rng.uniform(0.001, 0.025) * SYNTH_RATE)
        if at < length:
            tail[:, at] += rng.uniform(2, 8) * rng.uniform(0.5, 1.0, 2)
    tail[:, 0] += 6.0
    return tail / np.sqrt(np.mean(np.sum(np.square(tail), axis=1)))


def _late(sound: Samples, seconds: float) -> Samples:
    samples = max(0, round(seconds * SYNTH_RATE))
    return np.concatenate([np.zeros(samples), sound[: sound.size - samples]]) if samples else sound


def _factor(level_db: float) -> float:
    return float(10 ** (level_db / 20))
