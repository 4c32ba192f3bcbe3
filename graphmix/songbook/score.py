"""Songs as notes: key, tempo, chords, and a part for each role.

A song is a form of bars over a progression of chords; each part is made from a pattern of its genre, mutated, over
these chords, and rests in some sections.

Conventions. Beats count from the song's start, four to a bar; pitches are MIDI numbers; velocities 0 to 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

BEATS_PER_BAR = 4
SECTION_BARS = 2


@dataclass(frozen=True)
class Note:
    """One stroke: start and length in beats, pitch, velocity."""

    beat: float
    beats: float
    pitch: float
    velocity: float


@dataclass(frozen=True)
class Genre:
    """Tempo range, swing of the sixteenths in beats, and patterns of a bar for the drums: digits are velocities."""

    name: str
    bpm: tuple[float, float]
    swing: float
    kick: tuple[str, ...]
    snare: tuple[str, ...]
    hats: tuple[str, ...]


GENRES = (
    Genre(
        "house", (118, 128), 0.0, ("9...9...9...9...", "9...9...9...9.5."), ("....9.......9...", "....9..3....9..2"),
        ("..8...8...8...8.", "4.8.4.8.4.8.4.85"),
    ),
    Genre(
        "rock", (96, 144), 0.0, ("9.......9.......", "9.....7.9.9....."), ("....9.......9...", "....9..2.2..9..."),
        ("8.6.8.6.8.6.8.6.", "9...7...9...7..."),
    ),
    Genre(
        "hip hop", (76, 98), 0.06, ("9......6..9.....", "9..7......9..6.."), ("....9.......9...", "....9..2.3..9..."),
        ("8.5.8.548.5.8.5.", "8.6.7.6.8.656.6."),
    ),
    Genre(
        "latin", (88, 112), 0.02, ("9..6..9.9..6..9.", "9..6....9..6...."), ("...8..8....8.8..", "....8..4....8.48"),
        ("8.688.688.688.68", "86868686868686.8"),
    ),
    Genre(
        "ballad", (62, 84), 0.0, ("9.......5.9.....", "9.....4.9......."), ("....8.......8...", "....8......18..."),
        ("7.4.6.4.7.4.6.4.", "7...6...7...6..."),
    ),
)  # fmt: skip

_MINOR, _MAJOR = (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 5, 7, 9, 11)
_PROGRESSIONS = (
    (0, 5, 2, 6), (0, 3, 4, 0), (0, 4, 5, 3), (0, 5, 3, 4), (0, 6, 5, 4), (1, 4, 0, 0), (0, 0, 3, 4), (0, 2, 3, 5),
)  # fmt: skip
"""Degrees of the scale, one a bar."""


@dataclass(frozen=True)
class Form:
    """What all parts of a song share.

    Args:
        genre: patterns and feel.
        bpm: tempo.
        root: MIDI pitch of the tonic between 36 and 47.
        scale: semitones of the seven degrees.
        progression: degree of the chord in each bar, repeated.
        seconds: length of the song.
    """

    genre: Genre
    bpm: float
    root: int
    scale: tuple[int, ...]
    progression: tuple[int, ...]
    seconds: float

    @property
    def bars(self) -> int:
        """Bars that begin within the song."""
        return int(np.ceil(self.seconds * self.bpm / 60 / BEATS_PER_BAR))

    def degree(self, step: int) -> int:
        """Pitch of a degree of the scale, any number of octaves away."""
        return self.root + 12 * (step // 7) + self.scale[step % 7]

    def chord(self, bar: int, tones: int = 3) -> list[int]:
        """Degrees of the chord of a bar, stacked in thirds."""
        first = self.progression[bar % len(self.progression)]
        return [first + 2 * k for k in range(tones)]


def draw_form(rng: Generator, genre: Genre, seconds: float) -> Form:
    """Key, tempo and chords of a song."""
    scale = _MINOR if rng.random() < 0.55 else _MAJOR
    progression = _PROGRESSIONS[int(rng.integers(len(_PROGRESSIONS)))]
    return Form(genre, float(rng.uniform(*genre.bpm)), int(rng.integers(36, 48)), scale, progression, seconds)


def write_part(role: str, form: Form, rng: Generator) -> list[Note]:
    """The notes of one track; at least one."""
    bar_part = _WRITERS[role](form, rng)
    resting = _resting(form, rng)
    notes = []
    for bar in range(form.bars):
        if resting[bar // SECTION_BARS]:
            continue
        for note in bar_part(bar):
            notes.append(Note(bar * BEATS_PER_BAR + note.beat, note.beats, note.pitch, note.velocity))
    end = form.seconds * form.bpm / 60
    return [note for note in notes if note.beat < end - 0.1] or [Note(0.0, min(2.0, end), form.degree(0) + 24, 0.8)]


def _resting(form: Form, rng: Generator) -> list[bool]:
    """Which sections a part leaves out: at most every third, and never the first."""
    sections = -(-form.bars // SECTION_BARS)
    rests = [bool(rest) for rest in rng.random(sections) < 0.15]
    return [rest and index % 3 == 1 for index, rest in enumerate(rests)]


BarPart = Callable[[int], list[Note]]
Writer = Callable[[Form, Generator], BarPart]


def _steps(pattern: str, pitch: float = 0.0) -> list[Note]:
    """A bar of sixteenths: a digit is a stroke at that ninth of full velocity."""
    return [Note(step / 4, 0.25, pitch, int(mark) / 9) for step, mark in enumerate(pattern) if mark.isdigit()]


def _mutated(pattern: str, rng: Generator, share: float = 0.08) -> str:
    """A pattern with some weak strokes added and some left out; the first stroke stays."""
    marks = list(pattern)
    for step in range(1, len(marks)):
        if rng.random() < share:
            marks[step] = "." if marks[step] != "." else str(int(rng.integers(2, 6)))
    return "".join(marks)


def _looped(*bars: list[Note]) -> BarPart:
    return lambda bar: bars[bar % len(bars)]


def _drum(pattern_of: Callable[[Genre], tuple[str, ...]]) -> Writer:
    def write(form: Form, rng: Generator) -> BarPart:
        pattern = str(rng.choice(pattern_of(form.genre)))
        return _looped(_steps(pattern), _steps(_mutated(pattern, rng)))

    return write


def _pattern(*patterns: str, pitches: tuple[float, ...] = (0.0,)) -> Writer:
    """Strokes by one of some patterns; each stroke on one of the pitches."""

    def write(form: Form, rng: Generator) -> BarPart:
        marks = [_mutated(str(rng.choice(patterns)), rng, 0.05) for _ in range(2)]
        tuning = float(rng.uniform(-2, 2))
        bars = []
        for mark in marks:
            strokes = _steps(mark)
            bars.append([Note(n.beat, n.beats, tuning + float(rng.choice(pitches)), n.velocity) for n in strokes])
        return _looped(*bars)

    return write


def _every(bars: int, beat: float = 0.0, beats: float = 1.0) -> Writer:
    """One stroke every so many bars."""
    return lambda form, rng: lambda bar: [Note(beat, beats, 60, 0.9)] if bar % bars == 0 else []


def _bass(octave: int) -> Writer:
    def write(form: Form, rng: Generator) -> BarPart:
        patterns = ("9..6..8.9.6...7.", "9.......8...6...", "9.6.9.6.9.6.9.6.", "9...7..79...7.5.")
        pattern = _mutated(str(rng.choice(patterns)), rng)
        leaps = rng.integers(0, 8, 16)

        def bar_part(bar: int) -> list[Note]:
            chord = form.chord(bar)
            notes = _steps(pattern)
            ends = [n.beat for n in notes[1:]] + [4.0]
            return [
                Note(n.beat, min(end - n.beat, 1.5) * 0.95, _bass_pitch(form, chord, int(leap), octave), n.velocity)
                for n, end, leap in zip(notes, ends, leaps, strict=False)
            ]

        return bar_part

    return write


def _bass_pitch(form: Form, chord: list[int], leap: int, octave: int) -> int:
    degree = chord[2] if leap == 7 else chord[0]
    pitch = form.degree(degree) - 12 * octave
    return pitch + 12 if leap == 6 else pitch


def _chords(tones: int, octave: int, hits: tuple[tuple[tuple[float, float, float], ...], ...], roll: float) -> Writer:
    """Chords at (beat, beats, velocity), rolled from the bottom up."""

    def write(form: Form, rng: Generator) -> BarPart:
        chosen = [hits[int(rng.integers(len(hits)))] for _ in range(2)]
        inversion = int(rng.integers(0, tones))

        def bar_part(bar: int) -> list[Note]:
            degrees = form.chord(bar, tones)
            degrees = sorted(degrees[inversion:] + [d + 7 for d in degrees[:inversion]])
            pitches = [form.degree(d) + 12 * octave for d in degrees]
            return [
                Note(beat + roll * rank, beats, pitch, velocity)
                for beat, beats, velocity in chosen[bar % 2]
                for rank, pitch in enumerate(pitches)
            ]

        return bar_part

    return write


def _climb(octave: int) -> Writer:
    """Notes of the chord one after another, up and round again."""

    def write(form: Form, rng: Generator) -> BarPart:
        pattern = _mutated(str(rng.choice(("9.6.7.8.6.7.8.6.", "9.678.679.678.67", "8..8..8..8..8.7."))), rng)
        order = rng.permutation(4)

        def bar_part(bar: int) -> list[Note]:
            degrees = form.chord(bar, 4)
            return [
                Note(n.beat, 0.25, form.degree(degrees[int(order[k % 4])]) + 12 * octave, n.velocity)
                for k, n in enumerate(_steps(pattern))
            ]

        return bar_part

    return write


def _melody(octave: int, density: float, harmony: int = 0) -> Writer:
    """A walk over the scale that lands on chord tones at strong beats, in phrases of two bars."""

    def write(form: Form, rng: Generator) -> BarPart:
        phrase: list[list[tuple[float, float, int, float]]] = []
        at = int(rng.integers(0, 5))
        for _ in range(2):
            beats, bar = 0.0 if rng.random() < 0.6 else 0.5, []
            while beats < 3.8:
                length = float(rng.choice((0.5, 0.5, 1.0, 1.5, 2.0)))
                length = min(length, 4.0 - beats)
                if rng.random() < density:
                    at = int(np.clip(at + rng.integers(-2, 3), -2, 8))
                    bar.append((beats, length * 0.92, at, float(rng.uniform(0.65, 1.0))))
                beats += length
            phrase.append(bar or [(0.0, 1.5, at, 0.85)])

        def bar_part(bar: int) -> list[Note]:
            chord, notes = form.chord(bar), []
            for beat, beats, step, velocity in phrase[bar % 2]:
                degree = step + harmony
                if beat % 2 == 0:  # the nearest chord tone
                    degree = min((c + 7 * o for c in chord for o in (-1, 0, 1)), key=lambda d: abs(d - degree))
                notes.append(Note(beat, beats, form.degree(degree) + 12 * octave, velocity))
            return notes

        return bar_part

    return write


_WRITERS: dict[str, Writer] = {
    "kick": _drum(lambda genre: genre.kick),
    "snare": _drum(lambda genre: genre.snare),
    "hats": _drum(lambda genre: genre.hats),
    "clap": _pattern("....9.......9...", "....9..6....9..."),
    "toms": _pattern("..........7.8.99", "............8899", "8...........7.79", pitches=(43, 46, 50)),
    "ride": _pattern("8...6...8...6...", "8..58..58..58..5"),
    "crash": _every(4),
    "congas": _pattern("..7...57..75...5", "7..5..7.7..5.48.", "...57..8...57.68", pitches=(55, 62)),
    "shaker": _pattern("8.5.7.5.8.5.7.5.", "8565856585658565"),
    "woodblock": _pattern("9..9..9...9.9...", "9...9..9..9.9...", pitches=(84, 88)),
    "bass": _bass(0),
    "sub bass": _bass(0),
    "electric piano": _chords(
        4, 1, (((0, 1.2, 0.9), (1.75, 0.3, 0.6), (2.5, 1.2, 0.8)), ((0, 1.8, 0.9), (2.5, 1.2, 0.75)), ((0, 3.6, 0.9),)),
        0.012,
    ),
    "organ": _chords(3, 2, (((0, 3.8, 0.8),), ((0, 1.8, 0.8), (2, 1.8, 0.7))), 0.0),
    "pluck": _climb(2),
    "strum": _chords(
        4, 1, (((0, 0.9, 0.9), (1.5, 0.4, 0.6), (2, 0.9, 0.8), (3.5, 0.4, 0.6)), ((0, 1.9, 0.9), (2, 1.9, 0.8))), 0.03
    ),
    "pad": _chords(3, 2, (((0, 3.7, 0.85),),), 0.0),
    "strings": _chords(3, 2, (((0, 3.8, 0.85),), ((0, 1.8, 0.85), (2, 1.8, 0.75))), 0.0),
    "arpeggio": _climb(2),
    "stabs": _chords(3, 2, (((0.5, 0.3, 0.9), (2.5, 0.3, 0.8)), ((1, 0.3, 0.9), (1.75, 0.3, 0.7), (3, 0.3, 0.9))), 0.0),
    "lead": _melody(3, 0.8),
    "vocal": _melody(2, 0.85),
    "double": _melody(2, 0.85),
    "backing vocal": _melody(2, 0.6, harmony=2),
    "riser": lambda form, rng: lambda bar: [Note(0, 3.9, 60, 0.9)] if bar % 2 == 1 or form.bars == 1 else [],
    "blips": _pattern("9.....7.....8...", "..8...9...8..7..", pitches=(72, 76, 79, 84)),
}  # fmt: skip
