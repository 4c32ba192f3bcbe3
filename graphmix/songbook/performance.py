"""From notes in beats to notes in time, as a hand plays them: early and late, loud and soft, short and long.

Timing wanders (neighbouring notes are off alike) and jitters; loudness follows the beat, a phrase that swells and
falls, and the hand. Chords are not struck at once. Two tracks of the same notes are two performances.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from graphmix.songbook.score import Form, Note
from graphmix.songbook.soundfont import PlayedNote

_SMOOTH = 0.85
"""Correlation of a note's lateness with the last one's."""


@dataclass(frozen=True)
class Hand:
    """How a player plays.

    Args:
        late_ms: on average.
        wander_ms: standard deviation of the slow part of the timing.
        jitter_ms: of the part of each note.
        velocity: standard deviation of the velocity.
        phrase: depth of the swell.
        accent: what is added on a bar's first beat, half of it on other beats.
        length: factor on the lengths of notes.
    """

    late_ms: float
    wander_ms: float
    jitter_ms: float
    velocity: float
    phrase: float
    accent: float
    length: float


def draw_hand(rng: Generator, is_drum: bool = False) -> Hand:
    """A player, tight or loose; drummers are tighter and follow no phrase."""
    loose = float(rng.uniform(0.3, 1.5))
    return Hand(
        late_ms=float(rng.normal(0, 4 if is_drum else 7)),
        wander_ms=(3 if is_drum else 6) * loose,
        jitter_ms=(3 if is_drum else 5) * loose,
        velocity=0.04 + 0.04 * loose,
        phrase=0.0 if is_drum else float(rng.uniform(0.02, 0.14)),
        accent=float(rng.uniform(0.0, 0.12)),
        length=1.0 if is_drum else float(rng.uniform(0.8, 1.04)),
    )


def perform(notes: Sequence[Note], form: Form, beats_per_bar: int, hand: Hand, rng: Generator) -> list[PlayedNote]:
    """The notes in seconds.

    Args:
        notes: in beats.
        form: tempo and swing.
        beats_per_bar: of the song.
        hand: the player.
        rng: of what is not even.
    """
    seconds_per_beat = 60 / form.bpm
    period = beats_per_bar * float(rng.choice((2, 4)))
    start_of_phrase = float(rng.uniform(0, period))
    wander, played, last = 0.0, [], -1.0
    for note in sorted(notes, key=lambda n: (n.beat, n.pitch)):
        if note.beat > last + 0.02:
            wander = _SMOOTH * wander + float(rng.normal(0, hand.wander_ms)) * (1 - _SMOOTH**2) ** 0.5
            last = note.beat
        swing = form.genre.swing if round(4 * note.beat) % 2 else 0.0
        late = hand.late_ms + wander + float(rng.normal(0, hand.jitter_ms))
        start = max(0.0, (note.beat + swing) * seconds_per_beat + late / 1000)
        swell = hand.phrase * float(np.sin(2 * np.pi * (note.beat - start_of_phrase) / period))
        velocity = note.velocity + swell + _accent(note.beat, beats_per_bar, hand.accent)
        velocity = float(np.clip(velocity + rng.normal(0, hand.velocity), 0.08, 1.0))
        seconds = max(0.04, note.beats * seconds_per_beat * hand.length * float(rng.uniform(0.94, 1.02)))
        played.append(PlayedNote(start, seconds, round(note.pitch), velocity))
    return played


def _accent(beat: float, beats_per_bar: int, size: float) -> float:
    place = beat % beats_per_bar
    if min(place, beats_per_bar - place) < 0.05:
        return size
    return size / 2 if abs(place - round(place)) < 0.05 else 0.0
