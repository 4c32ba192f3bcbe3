"""How a real part reaches its file: a room around it, its colour, noise, hum, an offset, clicks.

Beside the faults of :mod:`graphmix.songbook.condition`, which effects correct, these are what recordings bring along.
Each is drawn apart from the others; most tracks have one or none.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import signal

from graphmix.songbook.microphones import room_response
from graphmix.songbook.playing import Audio
from graphmix.songbook.roles import Role
from graphmix.songbook.synth import SYNTH_RATE

_SHARES = {"room": 0.35, "noise": 0.3, "hum": 0.15, "offset": 0.1, "clicks": 0.06}
_HUMMING_FAMILIES = frozenset({"guitars", "bass", "keys", "synths", "lead"})
_ROOMLESS_FAMILIES = frozenset({"drums", "bass", "effects"})


@dataclass(frozen=True)
class Recording:
    """Levels are relative to the part's own; None or 0 where there is nothing.

    Args:
        tilt_db: of the spectrum from 100 Hz to 5 kHz.
        room_db, room_s: level and reverberation time of a room.
        noise_db: of steady noise.
        hum_db, hum_hz: of the mains and its harmonics.
        offset_db: of a constant.
        clicks: how many.
    """

    tilt_db: float
    room_db: float | None
    room_s: float
    noise_db: float | None
    hum_db: float | None
    hum_hz: float
    offset_db: float | None
    clicks: int


def draw_recording(role: Role, rng: Generator) -> Recording:
    """What the next part brings along."""
    has = {name: bool(rng.random() < share) for name, share in _SHARES.items()}
    has["room"] &= role.family not in _ROOMLESS_FAMILIES
    has["hum"] &= role.family in _HUMMING_FAMILIES
    return Recording(
        tilt_db=float(np.clip(rng.normal(0, 2.5), -6, 6)),
        room_db=float(rng.uniform(-24, -10)) if has["room"] else None,
        room_s=float(rng.uniform(0.2, 0.7)),
        noise_db=float(rng.uniform(-72, -48)) if has["noise"] else None,
        hum_db=float(rng.uniform(-62, -40)) if has["hum"] else None,
        hum_hz=50.0 if rng.random() < 0.5 else 60.0,
        offset_db=float(rng.uniform(-50, -30)) if has["offset"] else None,
        clicks=int(rng.integers(1, 5)) if has["clicks"] else 0,
    )


def record(audio: Audio, recording: Recording, rng: Generator) -> Audio:
    """A part as it is recorded, [1 or 2, samples] at :data:`SYNTH_RATE` -> the same; a room keeps the channels.

    Args:
        audio: the part alone.
        recording: what it brings along.
        rng: of room, noise and clicks.
    """
    level = float(np.sqrt(np.mean(np.square(audio)))) + 1e-9
    if recording.room_db is not None:
        responses = room_response(recording.room_s, rng)
        room = np.stack([signal.oaconvolve(a, r)[: a.size] for a, r in zip(audio, responses, strict=False)])
        audio = audio + room * 10 ** (recording.room_db / 20)
    audio = tilted(audio, recording.tilt_db)
    if recording.noise_db is not None:
        audio = audio + rng.standard_normal(audio.shape) * (level * 10 ** (recording.noise_db / 20))
    if recording.hum_db is not None:
        time = np.arange(audio.shape[1]) / SYNTH_RATE
        hum = sum(np.sin(2 * np.pi * (k * recording.hum_hz * time + rng.random())) / k for k in (1, 2, 3, 5))
        audio = audio + hum * (level * 10 ** (recording.hum_db / 20))
    if recording.offset_db is not None:
        audio = audio + level * 10 ** (recording.offset_db / 20) * (1 if rng.random() < 0.5 else -1)
    for _ in range(recording.clicks):
        at = int(rng.integers(0, audio.shape[1] - 8))
        audio[:, at : at + 8] += level * rng.uniform(1, 5) * rng.choice((-1, 1)) * np.exp(-np.arange(8))
    return audio


def tilted(audio: Audio, tilt_db: float) -> Audio:
    """A spectrum that rises or falls between 100 Hz and 5 kHz, by one pole and one zero at the middle's sides.

    The first-order shelf about 700 Hz has half of the tilt below and half above.
    """
    gain = 10 ** (tilt_db / 40)
    omega = np.tan(np.pi * 700 / SYNTH_RATE)
    b = np.array([omega / gain + gain, omega / gain - gain])
    a = np.array([omega + 1, omega - 1])
    return np.asarray(signal.lfilter(b / a[0], a / a[0], audio))
