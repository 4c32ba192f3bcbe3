"""An excerpt of a real score as the material of a song: its notes in time, its key, a chord for each bar.

Key and chords let the composer of :mod:`graphmix.songbook.score` write what a score lacks (a bass, drums, a pad) in
its harmony. Key by correlation with the profiles of Krumhansl and Kessler (1982); the chord of a bar is the triad of
the scale that holds most of what sounds in it, the lowest part counting twice.

Conventions. Beats count from the excerpt's start. A song has bars of 3 or 4 beats; other metres are put together or
cut into those.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from graphmix.songbook.score import BEATS_PER_BAR, Form, Genre, Note, write_part
from graphmix.songbook.scores import RealScore, ScorePart

Weights = NDArray[np.float64]

_MAJOR_PROFILE = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR_PROFILE = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
_BUSY, _IDLE = 7.0, 1.3
"""Notes a second of the busiest part between which a score is left as fast as it is written."""
_BPM_RANGE = (55.0, 190.0)
_TEMPO_VARIATION = 0.12
_TRANSPOSITIONS = (-5, 6)
_ENOUGH = 0.6
"""Places where an excerpt may begin have so much of the notes of the fullest one."""


@dataclass(frozen=True)
class Excerpt:
    """What a song is arranged from.

    Args:
        parts: those that sound in it, the highest first, then drums; notes in beats of the song.
        form: tempo, key and chords, as the composer needs them; its own bars have four beats.
        beats_per_bar: 3 or 4.
        first_bar: where it begins in the score.
        transposition: in semitones.
    """

    parts: tuple[ScorePart, ...]
    form: Form
    beats_per_bar: int
    first_bar: int
    transposition: int

    @property
    def melodic(self) -> tuple[ScorePart, ...]:
        """Parts that are not drums."""
        return tuple(part for part in self.parts if not part.is_drums)

    @property
    def drums(self) -> tuple[Note, ...]:
        """All drum notes, by key of the percussion map."""
        return tuple(note for part in self.parts if part.is_drums for note in part.notes)

    def compose(self, role: str, rng: Generator) -> list[Note]:
        """A part that the score lacks, in its harmony and metre."""
        longer = replace(self.form, seconds=self.form.seconds * BEATS_PER_BAR / self.beats_per_bar)
        notes = write_part(role, longer, rng)
        if self.beats_per_bar == BEATS_PER_BAR:
            return notes
        return [
            Note(bar * self.beats_per_bar + beat, min(note.beats, self.beats_per_bar - beat), note.pitch, note.velocity)
            for note in notes
            for bar, beat in (divmod(note.beat, BEATS_PER_BAR),)
            if beat < self.beats_per_bar - 0.05
        ]


def draw_excerpt(score: RealScore, genre: Genre, seconds: float, rng: Generator) -> Excerpt:
    """A piece of a score that is not silent, at a tempo and in a key a little off its own.

    Args:
        score: whole.
        genre: of the drums, and of the tempo where the score has none.
        seconds: of the song; a shorter score is repeated.
        rng: of place, tempo and transposition.
    """
    bpm = score.bpm or float(rng.uniform(*genre.bpm))
    factor = _time_factor(score, bpm)
    bpm = float(np.clip(bpm * rng.uniform(1 - _TEMPO_VARIATION, 1 + _TEMPO_VARIATION), *_BPM_RANGE))
    bar = 3 if score.beats_per_bar % 3 == 0 else BEATS_PER_BAR
    parts = [replace(part, notes=_scaled(part.notes, factor)) for part in score.parts]
    beats = seconds * bpm / 60
    wanted = math.ceil(beats / bar)
    total = max(1, math.ceil(score.beats * factor / bar - 1e-6))
    first = _place(parts, bar, wanted, total, rng)
    shift = int(rng.integers(*_TRANSPOSITIONS))
    cut = [replace(part, notes=_cut(part, bar, first, total, beats, shift)) for part in parts]
    cut = [part for part in cut if part.notes] or [replace(parts[0], notes=(Note(0.0, 1.0, 60.0, 0.7),))]
    cut.sort(key=lambda part: (part.is_drums, -_height(part)))
    root, scale = _key(cut)
    chords = _chords(cut, root, scale, bar, wanted)
    form = Form(genre if not score.is_compound else replace(genre, swing=0.0), bpm, root, scale, chords, seconds)
    return Excerpt(tuple(cut), form, bar, first, shift)


def _height(part: ScorePart) -> float:
    return float(np.mean([note.pitch for note in part.notes]))


def _time_factor(score: RealScore, bpm: float) -> float:
    """By how much a score in long or short note values is written shorter or longer."""
    rates = [
        len(part.notes) / max(4.0, part.notes[-1].beat - part.notes[0].beat) * bpm / 60
        for part in score.parts
        if not part.is_drums
    ]
    busiest, factor = max(rates, default=2.0), 1.0
    while busiest / factor < _IDLE and factor > 0.2:
        factor /= 2
    while busiest / factor > _BUSY and factor < 4:
        factor *= 2
    return factor


def _scaled(notes: tuple[Note, ...], factor: float) -> tuple[Note, ...]:
    return tuple(Note(n.beat * factor, n.beats * factor, n.pitch, n.velocity) for n in notes)


def _place(parts: list[ScorePart], bar: int, wanted: int, total: int, rng: Generator) -> int:
    """The first bar of an excerpt in which enough sounds."""
    if total <= wanted:
        return 0
    counts = np.zeros(total)
    for part in parts:
        hit = np.zeros(total)
        for note in part.notes:
            hit[min(total - 1, int(note.beat / bar))] += 1
        counts += np.minimum(hit, 6)
    sums = np.convolve(counts, np.ones(wanted), "valid")
    begins = counts[: sums.size] > 0
    good = np.flatnonzero((sums >= _ENOUGH * sums.max()) & begins)
    return int(rng.choice(good)) if good.size else int(np.argmax(sums))


def _cut(part: ScorePart, bar: int, first: int, total: int, beats: float, shift: int) -> tuple[Note, ...]:
    """Notes of an excerpt, from beat 0; the score is repeated where it ends too soon."""
    start, period = first * bar, total * bar
    notes = []
    for turn in range(math.ceil((start + beats) / period)):
        for note in part.notes:
            beat = note.beat + turn * period - start
            if -1e-6 <= beat < beats - 0.05 and note.beat < period:
                pitch = note.pitch if part.is_drums else note.pitch + shift
                notes.append(Note(max(0.0, beat), min(note.beats, beats - beat), pitch, note.velocity))
    return tuple(sorted(notes, key=lambda n: (n.beat, n.pitch)))


def _key(parts: list[ScorePart]) -> tuple[int, tuple[int, ...]]:
    """Tonic between 36 and 47, and the scale."""
    weights = np.zeros(12)
    for part in parts:
        if not part.is_drums:
            for note in part.notes:
                weights[int(note.pitch) % 12] += min(note.beats, 4.0)
    if not weights.any():
        return 36, _MAJOR
    best = max(
        (float(np.corrcoef(np.roll(profile, tonic), weights)[0, 1]) if weights.std() else 0.0, -tonic, scale)
        for tonic in range(12)
        for profile, scale in ((_MAJOR_PROFILE, _MAJOR), (_MINOR_PROFILE, _MINOR))
    )
    return 36 - best[1], best[2]


def _chords(parts: list[ScorePart], root: int, scale: tuple[int, ...], bar: int, bars: int) -> tuple[int, ...]:
    """The degree of the scale on which the chord of each bar stands."""
    weights: Weights = np.zeros((bars, 12))
    melodic = [part for part in parts if not part.is_drums]
    for part in melodic:
        lowest = 2.0 if len(melodic) > 1 and part is melodic[-1] else 1.0
        for note in part.notes:
            k, end = int(note.beat / bar), note.beat + note.beats
            while k < bars and k * bar < end:
                held = min(end, (k + 1) * bar) - max(note.beat, k * bar)
                accent = 1.3 if abs(note.beat - k * bar) < 0.1 else 1.0
                weights[k, int(note.pitch) % 12] += held * lowest * accent
                k += 1
    tones = [[(root + scale[(degree + 2 * k) % 7]) % 12 for k in range(3)] for degree in range(7)]
    degrees, last = [], 0
    for row in weights:
        scores = [row[t[0]] * 1.2 + row[t[1]] + row[t[2]] for t in tones]
        if max(scores) > 0:
            last = max(range(7), key=lambda degree: (scores[degree] + 1e-3 * (degree == last), degree in (0, 3, 4)))
        degrees.append(last)
    return tuple(degrees)
