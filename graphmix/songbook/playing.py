"""From notes to dry tracks: each note once through its voice, in time with the unevenness of a hand.

Voices sound at 44.1 kHz; a track is brought to its rate by its Fourier transform. Notes that recur are rendered once
for each of a few variants, since that is most of the work.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft, signal

from graphmix.songbook.score import Form, Note
from graphmix.songbook.synth import SYNTH_RATE, Samples
from graphmix.songbook.voices import STEADY_ROLES, VOICES, WIDE_ROLES

FADE_SECONDS = 0.2
_VARIANTS = 2
_VELOCITY_STEPS = 6
_TIMING_SECONDS = 0.004
_WIDENER_SECONDS = (0.007, 0.013)
_WIDTHS_DB = (-26.0, -6.0)

Audio = NDArray[np.float64]
"""[channels, samples], one channel where both are equal."""


def play(role: str, notes: list[Note], form: Form, rng: Generator, sample_rate: int) -> Audio:
    """One track, [1 or 2, samples]; its end is faded.

    Args:
        role: whose voice plays.
        notes: in beats.
        form: tempo, swing and length.
        rng: of timing, velocities, noise and stereo width.
        sample_rate: in Hz.
    """
    length = round(form.seconds * SYNTH_RATE)
    audio = np.zeros(length)
    player = _Player(role, rng)
    beat_seconds = 60 / form.bpm
    for note in notes:
        late = form.genre.swing if round(4 * note.beat) % 2 else 0.0
        seconds = (note.beat + late) * beat_seconds + float(rng.normal(0, _TIMING_SECONDS))
        start = max(0, round(seconds * SYNTH_RATE))
        sound = player.note(note.pitch, note.beats * beat_seconds, note.velocity)[: max(0, length - start)]
        audio[start : start + sound.size] += sound
    audio = resampled(audio, SYNTH_RATE, sample_rate, round(form.seconds * sample_rate))
    stereo = widened(audio, rng, sample_rate) if role in WIDE_ROLES else audio[None]
    return faded(stereo, sample_rate)


class _Player:
    """A voice that keeps the notes that it has played."""

    def __init__(self, role: str, rng: Generator) -> None:
        self.voice, self.rng = VOICES[role], rng
        self._variants = 1 if role in STEADY_ROLES else _VARIANTS
        self._played: dict[tuple[float, int, int, int], Samples] = {}

    def note(self, pitch: float, seconds: float, velocity: float) -> Samples:
        """A note at a loudness that is the square of its velocity, a little off."""
        loudness = float(np.clip(velocity * self.rng.uniform(0.94, 1.06), 0.05, 1.0)) ** 2
        step = max(1, round(loudness * _VELOCITY_STEPS))
        hundredths = max(5, round(seconds * 100))
        key = (pitch, hundredths, step, int(self.rng.integers(self._variants)))
        if key not in self._played:
            self._played[key] = self.voice(pitch, hundredths / 100, step / _VELOCITY_STEPS, self.rng)
        return self._played[key] * (loudness * _VELOCITY_STEPS / step)


def resampled(audio: Samples, rate: int, wanted: int, length: int) -> Samples:
    """Mono audio at another rate, [samples] -> [length]; padded to a length whose transform is fast."""
    if rate == wanted:
        return audio[:length] if audio.size >= length else np.pad(audio, (0, length - audio.size))
    common = int(np.gcd(rate, wanted))
    blocks = fft.next_fast_len(-(-audio.size * common // rate) + 1, real=True)
    padded = np.pad(audio, (0, blocks * (rate // common) - audio.size))
    return np.asarray(signal.resample(padded, blocks * (wanted // common)))[:length]


def widened(audio: Samples, rng: Generator, sample_rate: int) -> Audio:
    """Mono made stereo by a delayed copy as side channel, narrow or wide: the mid stays as it is, [2, samples]."""
    delay = round(float(rng.uniform(*_WIDENER_SECONDS)) * sample_rate)
    level = 10 ** (float(rng.uniform(*_WIDTHS_DB)) / 20)
    side = level * np.pad(audio, (delay, 0))[: audio.size]
    return np.stack([audio + side, audio - side])


def faded(audio: Audio, sample_rate: int) -> Audio:
    """The same array with a soft end."""
    length = min(round(FADE_SECONDS * sample_rate), audio.shape[1])
    audio[:, audio.shape[1] - length :] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, length + 1) / length)
    return audio
