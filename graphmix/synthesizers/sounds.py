r"""Sounds to be imitated, and how far two sounds are apart.

The log-spectral distance of the paper on multi-task synthesizer programming, with a floor, since without one it is
infinite for silence: the mean over frames of

.. math:: \sqrt{\frac{1}{K} \sum_k \left(10 \log_{10} \frac{|X_k|^2 + \epsilon}{|Y_k|^2 + \epsilon}\right)^2}

in dB, frames of 2,048 samples, a quarter of that between them; the floor lies 80 dB below the target's loudest bin.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from graphmix.audio.files import check_audio, read_audio, read_info
from graphmix.errors import GraphmixError
from graphmix.processors.generators import A4_HZ, A4_NOTE
from graphmix.synthesizers.notes import Note, check_notes, find_beginnings, levels_of

N_FFT, HOP = 2048, 512
FLOOR_DB = -80.0
LONGEST_SECONDS = 10.0
SHORTEST_SAMPLES = 8192
"""A shorter sound is followed by silence up to there."""
SILENT_PEAK = 1e-4
_ONSET_DB, _END_DB, _HELD_DB = -40.0, -60.0, -24.0
_PITCH_RANGE_HZ = (40.0, 2200.0)
_CLIPPED = 0.999
_UNCLEAR, _NOISY = 0.5, 0.75
"""Of a pitch, how periodic the sound is at it: at 0.75 with noise 5 dB below the note, at 0.5 with as much noise."""
_MISSING_DB = -40.0
"""Fundamental re the strongest partial: the common period of a chord lies below all of its notes."""


@dataclass(frozen=True)
class Sound:
    """A note to be imitated, or several of one instrument, one after the other.

    Args:
        audio: mono, from its beginning, [samples].
        sample_rate: in Hz.
        pitch: MIDI note number, of the first one.
        length_ms: as long as the key seems to be down, of the first one.
        notices: what was found and done.
        melody: the notes where there are several.
    """

    audio: Tensor
    sample_rate: int
    pitch: float
    length_ms: float
    notices: tuple[str, ...] = ()
    melody: tuple[Note, ...] = ()

    @property
    def notes(self) -> tuple[Note, ...]:
        """All notes: one, or a melody."""
        return self.melody or (Note(self.pitch, self.length_ms),)

    @cached_property
    def target(self) -> "LevelTarget":
        """What others are compared with."""
        return LevelTarget(self.audio)

    @property
    def first(self) -> Tensor:
        """The audio up to the second note, [samples]."""
        return self.audio[: self._place(1)]

    def _place(self, number: int) -> int:
        later = self.melody[number : number + 1]
        return round(later[0].start_ms * self.sample_rate / 1000) if later else len(self.audio)


def load_sound(
    path: str | Path,
    sample_rate: int,
    pitch: float | None = None,
    length_ms: float | None = None,
    notes: Sequence[Note] | None = None,
) -> Sound:
    """Read a sound: what is before it is cut off, its pitch and its length are estimated if they are not given.

    Args:
        path: of the file.
        sample_rate: of the result, in Hz.
        pitch: MIDI note number of the note.
        length_ms: as long as its key is down.
        notes: several in place of one, from the beginning of the sound; none of them: they are found.

    Raises:
        GraphmixError: it cannot be read, or is silent.
    """
    path = Path(path)
    info = read_info(path)
    check_audio(info)
    seconds = info.num_samples / info.sample_rate
    samples = round(seconds * sample_rate)
    audio = read_audio(info, 0, samples, sample_rate)
    notices = []
    if not torch.equal(audio[0], audio[1]):
        notices.append("the sound is stereo; its mean of left and right is imitated.")
    mono = audio.mean(0)
    if float(mono.abs().max()) < SILENT_PEAK <= float(audio.abs().max()):
        notices[-1] = "left and right of the sound cancel each other; its left channel is imitated."
        mono = audio[0]
    if float(mono.abs().max()) < SILENT_PEAK:
        raise GraphmixError(f"{path} is silent: there is nothing to imitate.")
    if float((mono.abs() > _CLIPPED).float().mean()) > 1e-3:
        notices.append("the sound is clipped; so will be what imitates it.")
    mono = _trimmed(mono, sample_rate)
    if len(mono) > LONGEST_SECONDS * sample_rate:
        notices.append(f"the sound lasts {len(mono) / sample_rate:.0f} s; its first {LONGEST_SECONDS:.0f} s are taken.")
        mono = mono[: round(LONGEST_SECONDS * sample_rate)]
    mono = torch.nn.functional.pad(mono, (0, max(0, SHORTEST_SAMPLES - len(mono))))
    if notes is not None:
        melody = check_notes(notes) if notes else find_notes(mono, sample_rate)
        notices.append(f"notes: {', '.join(f'{n.pitch:.1f} at {n.start_ms:.0f} ms' for n in melody)}.")
        several = melody if len(melody) > 1 else ()
        return Sound(mono, sample_rate, melody[0].pitch, melody[0].length_ms, tuple(notices), several)
    if pitch is None:
        pitch, certainty = estimate_pitch(mono, sample_rate)
        if certainty < _UNCLEAR:
            notices.append("the sound has no clear pitch (noise, or several notes): the result is a best effort.")
        elif fundamental_db(mono, sample_rate, pitch) < _MISSING_DB:
            notices.append(
                f"the sound has nothing at its pitch, MIDI note {pitch:.1f}: it may be several notes, and the result "
                "a best effort. Give the note if it is one."
            )
        elif certainty < _NOISY:
            notices.append("the sound is noisy: the result is a best effort.")
    held = _held_ms(mono, sample_rate) if length_ms is None else length_ms
    return Sound(mono, sample_rate, pitch, held, tuple(notices))


def find_notes(mono: Tensor, sample_rate: int) -> tuple[Note, ...]:
    """Notes of a sound in which they are played one by one: beginnings by level, lengths, pitches.

    Raises:
        GraphmixError: more than a melody holds.
    """
    found = find_beginnings(mono, sample_rate)
    ends = [begin for begin, _ in found[1:]] + [len(mono)]
    notes = []
    for (begin, held), end in zip(found, ends, strict=True):
        pitch = estimate_pitch(mono[begin:end], sample_rate)[0]
        notes.append(Note(pitch, 1000 * held / sample_rate, 1000 * begin / sample_rate))
    return check_notes(notes)


def _trimmed(mono: Tensor, sample_rate: int) -> Tensor:
    level, size = levels_of(mono, sample_rate)
    loud = (level > _ONSET_DB).nonzero()[0]
    end = (level > _END_DB).nonzero()[-1]
    return mono[int(loud) * size : (int(end) + 1) * size]


def _held_ms(mono: Tensor, sample_rate: int) -> float:
    level, size = levels_of(mono, sample_rate)
    return 1000 * (int((level > _HELD_DB).nonzero()[-1]) + 1) * size / sample_rate


def estimate_pitch(mono: Tensor, sample_rate: int) -> tuple[float, float]:
    """MIDI note number of a note, and how periodic it is at that pitch, 0 to 1.

    The lag of the first peak of the normalized square difference function near its highest (McLeod & Wyvill 2005), in
    the loudest frames; their median.
    """
    size = 4 * math.ceil(sample_rate / _PITCH_RANGE_HZ[0])
    mono = torch.nn.functional.pad(mono, (0, max(0, size - len(mono))))
    frames = mono.unfold(0, size, max(1, size // 4))
    energy = frames.square().sum(1)
    frames = frames[energy >= energy.max() * 0.05].double()
    spectrum = torch.fft.rfft(frames, 2 * size)
    correlation = torch.fft.irfft(spectrum.abs().square(), 2 * size)[:, :size]
    squares = torch.nn.functional.pad(frames.square().cumsum(1), (1, 0))
    lags = torch.arange(size)
    total = squares[:, size - lags] + (squares[:, -1:] - squares[:, lags])
    similarity = 2 * correlation / total.clamp(min=1e-12)
    low, high = int(sample_rate / _PITCH_RANGE_HZ[1]), size // 2
    places, heights = [], []
    for row in similarity:
        inner = row[low:high]
        peaks = ((inner[1:-1] > inner[:-2]) & (inner[1:-1] >= inner[2:])).nonzero().flatten() + 1
        if not len(peaks):
            continue
        best = peaks[inner[peaks] >= 0.9 * inner[peaks].max()][0]
        a, b, c = (float(inner[best + i]) for i in (-1, 0, 1))
        shift = 0.5 * (a - c) / (a - 2 * b + c) if a - 2 * b + c else 0.0
        places.append(low + int(best) + shift)
        heights.append(b)
    if not places:
        return 60.0, 0.0
    hz = sample_rate / float(torch.tensor(places).median())
    return A4_NOTE + 12 * math.log2(hz / A4_HZ), float(torch.tensor(heights).median())


def fundamental_db(mono: Tensor, sample_rate: int, pitch: float) -> float:
    """Power at a pitch, a MIDI note number, re the strongest partial of the sound, in dB."""
    size = 1 << 14
    mono = torch.nn.functional.pad(mono, (0, max(0, size - len(mono))))
    frames = mono.unfold(0, size, size // 2) * torch.hann_window(size)
    power = torch.fft.rfft(frames).abs().square().amax(0)
    place = A4_HZ * 2 ** ((pitch - A4_NOTE) / 12) * size / sample_rate
    near = power[int(place * 0.97 - 1) : math.ceil(place * 1.03) + 2]
    return 10 * math.log10(float(near.max() / power.max()) + 1e-20)


def power_spectra(audio: Tensor) -> Tensor:
    """Power spectra of frames, [..., bins, frames]."""
    window = torch.hann_window(N_FFT, device=audio.device, dtype=audio.dtype)
    spectrum = torch.stft(audio, N_FFT, HOP, window=window, return_complex=True, pad_mode="constant")
    return spectrum.real.square() + spectrum.imag.square()


class LevelTarget:
    """The levels in dB that others are compared with, above the floor.

    Args:
        audio: one sound [samples], or one for each of those that are compared with it [sounds, samples].
    """

    def __init__(self, audio: Tensor) -> None:
        power = power_spectra(audio)
        self.floor = power.amax((-2, -1), keepdim=True).clamp(min=1e-20) * 10 ** (FLOOR_DB / 10)
        self.wanted = (power + self.floor).log10()

    def squares(self, power: Tensor) -> Tensor:
        """Mean squared differences in dB² of the frames of power spectra, [sounds, frames]."""
        return (10 * ((power + self.floor).log10() - self.wanted)).square().mean(-2)

    def distances(self, found: Tensor) -> Tensor:
        """Distances in dB of sounds [sounds, samples], [sounds]."""
        return self.squares(power_spectra(found)).sqrt().mean(-1)


def log_spectral_distance(found: Tensor, target: Tensor) -> Tensor:
    """Distances in dB of sounds [sounds, samples] from one target [samples], [sounds]."""
    return LevelTarget(target).distances(found)
