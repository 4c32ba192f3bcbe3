"""A song that needs no file: ten dry tracks, twelve seconds, played on :mod:`graphmix.songbook.synth`.

Five bars in A minor at 100 beats a minute (Am9, Fmaj9, Dm9, E7, Am9) for drums, harmony and lead. The tracks
are left as a mixing engineer gets them, at uneven levels and each with a fault that one effect corrects:

=====================  ==============================================================  =======================
track                  fault                                                           wants
=====================  ==============================================================  =======================
01_kick.wav            boxy near 350 Hz, no click                                      equalizer, compressor
02_snare.wav           dull above 3 kHz, no room; ghost notes far below the backbeat   equalizer, reverb
03_hats.wav            much too loud, harsh near 8 kHz                                 gain, equalizer
04_congas.wav          no room, in the middle like all the rest                        reverb, panning
05_bass.wav            strokes that differ by 18 dB                                    compressor
06_electric_piano.wav  muddy from 150 to 400 Hz, where the bass lives                  equalizer
07_pad.wav             nearly mono, rumble below 100 Hz                                stereo imager, reverb
08_arpeggio.wav        short dry blips                                                 delay
09_lead.wav            much too quiet, dry, honks near 1 kHz                           gain, delay, reverb
10_pluck.wav           amplifier hiss and hum between the notes                        noise gate, panning
=====================  ==============================================================  =======================

Conventions. Times in the score are beats; velocities are 0 to 1 and sound as their own square. A seed moves
timing (a few ms), strokes (about 1 dB), levels (2 dB at most) and all noise; the notes stay.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import signal

from graphmix.errors import SongError
from graphmix.songbook import synth
from graphmix.songbook.synth import SYNTH_RATE, Samples

BEATS_PER_MINUTE = 100.0
BEATS_PER_BAR = 4
FORM_BARS = 5
"""Bars after which the song starts again, where it is asked to be longer."""

DEMO_SUBGROUPS: dict[str, tuple[str, ...]] = {
    "drums": ("01_kick.wav", "02_snare.wav", "03_hats.wav", "04_congas.wav"),
    "harmony": ("05_bass.wav", "06_electric_piano.wav", "07_pad.wav", "08_arpeggio.wav"),
    "lead": ("09_lead.wav", "10_pluck.wav"),
}
"""The tracks of each subgroup; read in this order they are the keys of :func:`demo_stems`."""

_BEAT_SECONDS = 60 / BEATS_PER_MINUTE
_SWING_BEATS = 0.035
"""How late each second sixteenth comes: a slight shuffle."""
_FADE_SECONDS = 0.2
_MIN_SAMPLE_RATE = 22050
"""Below it the hats, which play above 6.5 kHz, would be all but silent."""
_MIN_SECONDS = 1.0
"""By then each track has played: the last to enter is the snare, on the second beat."""


@dataclass(frozen=True)
class Note:
    """One stroke: where in its bar and how long, in beats, its MIDI pitch (0 on drums), its velocity."""

    beat: float
    beats: float
    pitch: float
    velocity: float


@dataclass(frozen=True)
class Part:
    """One track: its notes in each bar of the form, who plays them, what is wrong with it, and its peak."""

    bars: tuple[tuple[Note, ...], ...]
    voice: Callable[[float, float, float, Generator], Samples]  # pitch, seconds, velocity -> one note
    colour: Callable[[Samples, Generator], Samples]
    peak_db: float


def demo_stems(sample_rate: int = 44100, seed: int = 0, seconds: float = 12.0) -> dict[str, NDArray[np.float32]]:
    """Play the song: its dry tracks by name, in the order of :data:`DEMO_SUBGROUPS`.

    The song sounds at 44.1 kHz and is resampled by its Fourier transform, so that every rate gets the same
    notes and the same noise. It ends in a fade of 0.2 s.

    Args:
        sample_rate: in Hz, 22050 or more.
        seed: of timing, strokes, levels and noise, 0 or more; the same seed gives the same samples.
        seconds: length, 1 or more, by when all tracks have entered; 12 is the whole form, more repeats it.

    Returns:
        Float32 tracks [2, round(seconds * sample_rate)], peaks between -24 and -1 dBFS. Both channels are
        equal except in the pad, which is a little wide.

    Raises:
        SongError: an argument is out of its range.
    """
    if sample_rate < _MIN_SAMPLE_RATE:
        raise SongError(f"The demo song needs a sample rate of {_MIN_SAMPLE_RATE} Hz or more, not {sample_rate}.")
    if seed < 0:
        raise SongError(f"The seed of the demo song is {seed}; give 0 or a positive whole number.")
    if not (np.isfinite(seconds) and seconds >= _MIN_SECONDS):
        raise SongError(f"The demo song cannot last {seconds} seconds; give {_MIN_SECONDS} or more, such as 12.")
    return {
        name: _track(part, sample_rate, seconds, np.random.default_rng((seed, number)))
        for number, (name, part) in enumerate(_PARTS.items())
    }


def _track(part: Part, sample_rate: int, seconds: float, rng: Generator) -> NDArray[np.float32]:
    """Play one part, colour it, set its level, fade its end and bring it to the rate: [2, samples]."""
    audio = part.colour(_played(part, round(seconds * SYNTH_RATE), rng), rng)
    level_db = part.peak_db + rng.uniform(-2, 2)
    audio *= 10 ** (level_db / 20) / np.abs(audio).max()
    fade = round(_FADE_SECONDS * SYNTH_RATE)
    audio[..., -fade:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fade + 1) / fade)
    if sample_rate != SYNTH_RATE:
        audio = np.asarray(signal.resample(audio, round(seconds * sample_rate), axis=-1))
    stereo: NDArray[np.float32] = np.array(np.broadcast_to(audio, (2, audio.shape[-1])), dtype=np.float32)
    return stereo


def _played(part: Part, length: int, rng: Generator) -> Samples:
    """All notes of a part in time, with the unevenness of a hand: [length]."""
    audio = np.zeros(length)
    bar_samples = round(BEATS_PER_BAR * _BEAT_SECONDS * SYNTH_RATE)
    for bar in range(-(-length // bar_samples)):
        for note in part.bars[bar % FORM_BARS]:
            late = _SWING_BEATS if round(4 * note.beat) % 2 else 0.0
            seconds = (note.beat + late) * _BEAT_SECONDS + rng.normal(0, 0.003)
            start = max(0, bar * bar_samples + round(seconds * SYNTH_RATE))
            loudness = min(1.0, note.velocity * rng.uniform(0.94, 1.06)) ** 2
            sound = part.voice(note.pitch, note.beats * _BEAT_SECONDS, loudness, rng)
            sound = sound[: max(0, length - start)]
            audio[start : start + sound.size] += sound
    return audio


def _steps(pattern: str, pitch: float = 0) -> tuple[Note, ...]:
    """A bar of sixteenths as drum machines write it: a digit is a stroke at that ninth of full velocity."""
    strokes = ((step, int(stroke)) for step, stroke in enumerate(pattern) if stroke.isdigit())
    return tuple(Note(step / 4, 0.25, pitch, stroke / 9) for step, stroke in strokes)


def _line(*notes: tuple[float, float, float, float]) -> tuple[Note, ...]:
    """A bar of (beat, beats, pitch, velocity)."""
    return tuple(Note(*note) for note in notes)


def _comp(tones: tuple[int, ...], *hits: tuple[float, float, float]) -> tuple[Note, ...]:
    """A chord struck at each (beat, beats, velocity), rolled a little from the bottom up."""
    return tuple(
        Note(beat + 0.012 * rank, beats, tone, velocity)
        for beat, beats, velocity in hits
        for rank, tone in enumerate(tones)
    )


def _climb(tones: tuple[int, ...], accents: str) -> tuple[Note, ...]:
    """Sixteenths that run up a chord one octave above, then two, and begin again; dots rest."""
    ladder = [tone + 12 for tone in tones] + [tones[0] + 24, tones[1] + 24]
    strokes = ((step, int(accent)) for step, accent in enumerate(accents) if accent.isdigit())
    return tuple(Note(step / 4, 0.25, ladder[step % 6], accent / 9) for step, accent in strokes)


_CHORDS = (
    (55, 59, 60, 64),  # Am9 above A: G B C E
    (55, 57, 60, 64),  # Fmaj9 above F: G A C E
    (53, 57, 60, 64),  # Dm9 above D: F A C E
    (56, 59, 62, 64),  # E7 above E: G sharp B D E
    (55, 59, 60, 64),  # Am9 above A
)

_KICK = (
    _steps("9......6.79....."),
    _steps("9......6..9..5.."),
    _steps("9......6.79....."),
    _steps("9......6..9..67."),
    _steps("9......6..8....."),
)
_SNARE = (
    _steps("....9..2.2..9..."),
    _steps("....9..2.2..9..3"),
    _steps("....9..2.2..9..."),
    _steps("....9..2.2..9.68"),
    _steps("....9....2..7..."),
)
_HATS = (*(_steps("8.6.8.648.6.8.65"),) * 4, _steps("8.6.8.6.7.5.6..."))
_CONGAS = (
    _steps("..7...57..7....5", 62) + _steps("...5.......8.6..", 55),
    _steps("..7...5...7..7..", 62) + _steps("...5...8...8..6.", 55),
    _steps("..7...57..7....5", 62) + _steps("...5.......8.6..", 55),
    _steps("..7...5.7.7.7...", 62) + _steps("...5...8...8.868", 55),
    _steps("7.7...5...6.....", 62) + _steps("...8...7....5...", 55),
)
_BASS = (
    _line((0, 1.4, 33, 1.0), (1.75, 0.2, 33, 0.4), (2.5, 0.8, 33, 0.7), (3.5, 0.4, 40, 0.35)),
    _line((0, 1.4, 29, 0.9), (1.75, 0.2, 29, 0.35), (2.5, 0.4, 41, 1.0))
    + _line((3, 0.4, 36, 0.4), (3.5, 0.4, 31, 0.6)),
    _line((0, 1.4, 38, 0.65), (1.75, 0.2, 38, 0.35), (2.5, 0.8, 38, 1.0), (3.5, 0.4, 33, 0.4)),
    _line((0, 1.4, 40, 1.0), (1.75, 0.2, 40, 0.35), (2.5, 0.4, 28, 0.55))
    + _line((3, 0.4, 32, 0.4), (3.5, 0.4, 35, 0.9)),
    _line((0, 2.2, 33, 0.95), (2.5, 0.3, 40, 0.35), (3, 0.8, 33, 0.5)),
)
_PIANO = (
    _comp(_CHORDS[0], (0, 1.2, 0.9), (1.75, 0.3, 0.6), (2.5, 1.2, 0.8)),
    _comp(_CHORDS[1], (0, 1.2, 0.85), (1.5, 0.4, 0.65), (2.75, 1.0, 0.8)),
    _comp(_CHORDS[2], (0, 1.2, 0.9), (1.75, 0.3, 0.6), (2.5, 1.2, 0.8)),
    _comp(_CHORDS[3], (0, 1.2, 0.9), (1.5, 0.4, 0.7), (2.5, 0.4, 0.75), (3.25, 0.5, 0.85)),
    _comp(_CHORDS[4], (0, 2.8, 0.9)),
)
_PAD = tuple(_comp(tones, (0, 3.6, 0.9)) for tones in _CHORDS)
_ARPEGGIO = tuple(
    _climb(tones, accents)
    for tones, accents in zip(
        _CHORDS,
        ("9.6.7.86.6.8.6.7", "9.6.7.86.6.8.6.7", "9.6.7.86.6.8.6.7", "9.6.7.8696.8.687", "9.6.7.8.6......."),
        strict=True,
    )
)
_LEAD = (
    _line((0, 1.4, 76, 0.9), (1.5, 0.45, 74, 0.75), (2, 0.95, 72, 0.85))
    + _line((3, 0.4, 69, 0.7), (3.5, 0.45, 72, 0.8)),
    _line((0, 1.3, 74, 0.9), (1.5, 0.9, 72, 0.8), (2.5, 0.4, 67, 0.7), (3, 0.8, 69, 0.85)),
    _line((0.5, 0.4, 69, 0.7), (1, 0.4, 72, 0.8), (1.5, 0.4, 74, 0.8), (2, 0.95, 77, 1.0), (3, 0.4, 76, 0.85))
    + _line((3.5, 0.4, 74, 0.8)),
    _line((0, 1.4, 76, 1.0), (1.5, 0.45, 74, 0.8), (2, 0.9, 71, 0.8), (3, 0.9, 68, 0.85)),
    _line((0, 3.2, 69, 0.95)),
)
_PLUCK = (
    _line((0.5, 0.4, 64, 0.8), (1, 0.5, 69, 0.9), (2.5, 0.4, 67, 0.8), (3.25, 0.4, 64, 0.75)),
    _line((0.5, 0.4, 65, 0.8), (1.5, 0.4, 69, 0.85), (2, 0.5, 72, 0.95), (3.5, 0.4, 69, 0.8)),
    _line((0, 0.4, 62, 0.8), (1, 0.4, 65, 0.8), (2.5, 0.4, 69, 0.9), (3, 0.4, 72, 0.95)),
    _line((0.5, 0.4, 68, 0.85), (1, 0.4, 71, 0.85), (2.5, 0.4, 74, 1.0), (3.5, 0.4, 71, 0.85)),
    _line((0, 0.4, 72, 0.9), (0.5, 0.4, 69, 0.8), (1, 0.4, 64, 0.75), (1.5, 0.4, 60, 0.7), (2, 0.8, 57, 0.8)),
)


def _boxy(audio: Samples, rng: Generator) -> Samples:
    """A kick recorded in a small room: too much near 350 Hz, nothing of the beater."""
    return synth.lowpass(synth.boost(audio, 250, 480, 9), 2500, order=1)


def _dull(audio: Samples, rng: Generator) -> Samples:
    """A snare under a blanket."""
    return synth.lowpass(audio, 2600, order=1)


def _harsh(audio: Samples, rng: Generator) -> Samples:
    """Hats too near to the microphone."""
    return synth.boost(audio, 7000, 9200, 9)


def _muddy(audio: Samples, rng: Generator) -> Samples:
    """A piano whose low middle covers the bass."""
    return synth.boost(audio, 150, 400, 10)


def _rumbling_and_narrow(audio: Samples, rng: Generator) -> Samples:
    """A pad with low noise below it; a late copy in the side, 16 dB down, is all its width: [2, samples]."""
    rumble = synth.lowpass(rng.standard_normal(audio.size), 70, order=4)
    middle = audio + 0.06 * np.abs(audio).max() * rumble / rumble.std()
    late = round(0.011 * SYNTH_RATE)
    side = 0.16 * np.concatenate((np.zeros(late), audio))[: audio.size]
    return np.stack((middle + side, middle - side))


def _honking(audio: Samples, rng: Generator) -> Samples:
    """A lead with a resonance near 1 kHz."""
    return synth.boost(audio, 850, 1250, 8)


def _noisy(audio: Samples, rng: Generator) -> Samples:
    """An amplifier that hisses and hums below the plucked string, about 40 dB under its peaks."""
    hiss = synth.highpass(rng.standard_normal(audio.size), 1500, order=1)
    hum = np.sin(2 * np.pi * 50 * np.arange(audio.size) / SYNTH_RATE)
    return audio + np.abs(audio).max() * (0.008 * hiss + 0.006 * hum)


def _plain(audio: Samples, rng: Generator) -> Samples:
    """No fault but its level and its dryness."""
    return audio


_PARTS: dict[str, Part] = {
    "01_kick.wav": Part(_KICK, lambda _pitch, _length, vel, rng: synth.kick(vel, rng), _boxy, -6),
    "02_snare.wav": Part(_SNARE, lambda _pitch, _length, vel, rng: synth.snare(vel, rng), _dull, -9),
    "03_hats.wav": Part(_HATS, lambda _pitch, _length, vel, rng: synth.hat(vel, rng), _harsh, -5),
    "04_congas.wav": Part(_CONGAS, lambda pitch, _length, vel, rng: synth.conga(pitch, vel, rng), _plain, -12),
    "05_bass.wav": Part(_BASS, lambda pitch, seconds, vel, _rng: synth.bass(pitch, seconds, vel), _plain, -9),
    "06_electric_piano.wav": Part(
        _PIANO, lambda pitch, seconds, vel, _rng: synth.electric_piano(pitch, seconds, vel), _muddy, -8
    ),
    "07_pad.wav": Part(_PAD, synth.pad, _rumbling_and_narrow, -14),
    "08_arpeggio.wav": Part(_ARPEGGIO, lambda pitch, _seconds, vel, _rng: synth.arpeggio(pitch, vel), _plain, -12),
    "09_lead.wav": Part(_LEAD, lambda pitch, seconds, vel, _rng: synth.lead(pitch, seconds, vel), _honking, -21),
    "10_pluck.wav": Part(_PLUCK, synth.plucked_string, _noisy, -10),
}
