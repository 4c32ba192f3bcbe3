"""Which part of a score each track of a song plays.

A track has a role, and a score has parts. Parts that say what plays them (General MIDI programs) go to the tracks of
their role; of the others the highest is the tune and the lowest the bass. Further tracks of a role double its part,
follow it in thirds, or take an inner part; what the score lacks is composed in its harmony. All is moved by octaves
into the role's range.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from graphmix.songbook.excerpt import Excerpt
from graphmix.songbook.general_midi import KEY_PIECES, RANGES, ROLE_PIECES, role_of_program
from graphmix.songbook.score import Form, Note
from graphmix.songbook.scores import ScorePart
from graphmix.songbook.topology import PlannedTrack

TUNES = ("vocal", "double", "lead", "backing vocal")
BASSES = ("bass", "sub bass")
_FREE = ("riser", "blips")
"""Roles that are always composed."""
_FROM_SCORE = 0.65
"""Share of accompanying tracks that take a part of the score where one is left."""
_POLYPHONY = 1.35
"""Notes that sound at once, on average, from which a part is chords and no tune."""
_FEW = 3
"""With fewer notes a part of an excerpt is not worth a track."""
_ROLES_OF_STRINGS = frozenset({"lead", "strings", "electric piano"})
"""Roles of programs that scores name by default or by section: they do not say who has the tune."""


@dataclass(frozen=True)
class Assigned:
    """Notes of one track and where they are from."""

    notes: list[Note]
    source: str


def arrange(excerpt: Excerpt, tracks: Sequence[PlannedTrack], seed: tuple[int, ...]) -> list[Assigned]:
    """The notes of each track that is no drum, in its order; drums get none.

    Args:
        excerpt: of the score.
        tracks: of the song.
        seed: of what is drawn, with the number of the track.
    """
    parts = [part for part in excerpt.melodic if len(part.notes) >= _FEW]
    pool = _Pool(parts)
    assigned = [Assigned([], "drums") for _ in tracks]
    first: dict[str, Assigned] = {}
    for place in sorted(range(len(tracks)), key=lambda k: (_turn(tracks[k].role), k)):
        track = tracks[place]
        if track.role not in RANGES:
            continue
        chosen = _choose(excerpt, track, pool, first, np.random.default_rng((*seed, place)))
        first.setdefault("bass" if track.role in BASSES else track.role, chosen)
        assigned[place] = Assigned(_into_range(chosen.notes, track.role), chosen.source)
    return assigned


def _turn(role: str) -> int:
    """Singers choose first."""
    return TUNES.index(role) if role in TUNES else len(TUNES)


class _Pool:
    """Parts of the score that no track has taken yet."""

    def __init__(self, parts: Sequence[ScorePart]) -> None:
        self.parts, self.left = list(parts), list(parts)
        single = [part for part in parts if _polyphony(part) < _POLYPHONY and part.name != "chord symbols"]
        self.tune = _named(single, "vocal") or (single[0] if single else None)
        low = [part for part in parts if part is not self.tune and _role(part) not in TUNES]
        self.bass = _named(low, "bass") or (low[-1] if low and _is_low(low[-1]) else None)

    def take(self, part: ScorePart) -> ScorePart:
        """Take a part out of what is left, if it is still there."""
        self.left = [other for other in self.left if other is not part]
        return part

    def inner(self, role: str | None) -> list[ScorePart]:
        """Parts left besides tune and bass; with a role, those whose programs play it."""
        rest = [part for part in self.left if part is not self.tune and part is not self.bass]
        return rest if role is None else [part for part in rest if _role(part) == role]


def _choose(
    excerpt: Excerpt, track: PlannedTrack, pool: _Pool, first: Mapping[str, Assigned], rng: Generator
) -> Assigned:
    role = track.role
    if role in _FREE:
        return Assigned(excerpt.compose(role, rng), "composed")
    if role in TUNES:
        return _tune(excerpt, track, pool, first, rng)
    if role in BASSES and "bass" in first:  # two instruments, or amplifier and direct signal, of one bass line
        return Assigned(list(first["bass"].notes), first["bass"].source)
    if role in BASSES and pool.bass is not None:
        return Assigned(list(pool.take(pool.bass).notes), pool.bass.name)
    own = pool.inner(role)
    if own:
        part = pool.take(own[0])
        return Assigned(list(part.notes), part.name)
    rest = pool.inner(None)
    if role not in BASSES and rest and rng.random() < _FROM_SCORE:
        part = pool.take(rest[int(rng.integers(len(rest)))])
        return Assigned(list(part.notes), part.name)
    if role not in BASSES and not rest and len(pool.parts) > 2 and rng.random() < 0.3:
        part = pool.parts[int(rng.integers(len(pool.parts)))]
        return Assigned(list(part.notes), f"{part.name}, doubled")
    return Assigned(excerpt.compose(role, rng), "composed")


def _tune(
    excerpt: Excerpt, track: PlannedTrack, pool: _Pool, first: Mapping[str, Assigned], rng: Generator
) -> Assigned:
    """The tune, once; its double; then inner parts, or the tune in thirds."""
    if track.role == "double" and "vocal" in first:
        return first["vocal"]
    if pool.tune is None:
        return Assigned(excerpt.compose(track.role, rng), "composed")
    if track.role == "double":
        return Assigned(list(pool.tune.notes), pool.tune.name)
    if pool.tune in pool.left:
        part = pool.take(pool.tune)
        return Assigned(list(part.notes), part.name)
    single = [part for part in pool.inner(None) if _polyphony(part) < _POLYPHONY]
    if single:
        part = pool.take(single[0])
        return Assigned(list(part.notes), part.name)
    if track.role == "lead" and rng.random() < 0.7:
        return Assigned(excerpt.compose("lead", rng), "composed")
    if track.role == "vocal" and track.copy == 0:
        return Assigned(list(pool.tune.notes), f"{pool.tune.name}, doubled")
    steps = -2 if rng.random() < 0.7 else 2
    return Assigned(in_scale(pool.tune.notes, excerpt.form, steps), f"{pool.tune.name}, in thirds")


def in_scale(notes: Sequence[Note], form: Form, steps: int) -> list[Note]:
    """Notes moved by steps of the scale."""
    moved = []
    for note in notes:
        octave, semitone = divmod(int(note.pitch) - form.root, 12)
        degree = min(range(7), key=lambda k: abs(form.scale[k] - semitone))
        alteration = semitone - form.scale[degree]
        moved.append(
            Note(note.beat, note.beats, float(form.degree(degree + steps + 7 * octave) + alteration), note.velocity)
        )
    return moved


def drum_strokes(excerpt: Excerpt, role: str, rng: Generator) -> list[tuple[str, Note]]:
    """(piece, note) of a drum role: the score's own drums, or the composer's where it has none.

    Args:
        excerpt: of the score.
        role: of :data:`ROLE_PIECES`.
        rng: of what is composed.
    """
    pieces = ROLE_PIECES[role]
    own = [(piece, n) for n in excerpt.drums if (piece := KEY_PIECES.get(int(n.pitch), "")) in pieces]
    if own:
        return own
    notes = excerpt.compose(role, rng)
    by_height = {pitch: k for k, pitch in enumerate(sorted({note.pitch for note in notes}))}
    if role == "hats":
        return [(_hat(note), note) for note in notes]
    if role in ("toms", "congas", "woodblock"):
        return [(pieces[min(by_height[note.pitch], len(pieces) - 1)], note) for note in notes]
    return [(pieces[0], note) for note in notes]


def _hat(note: Note) -> str:
    """An eighth off the beat that is struck hard is open."""
    return "open hats" if note.velocity > 0.85 and abs(note.beat % 1 - 0.5) < 0.1 else "hats"


def _role(part: ScorePart) -> str | None:
    """The role of a part's program, where that says something."""
    role = None if part.program is None else role_of_program(part.program)
    return None if role in _ROLES_OF_STRINGS else role


def _named(parts: Sequence[ScorePart], role: str) -> ScorePart | None:
    return next((part for part in parts if _role(part) == role), None)


def _polyphony(part: ScorePart) -> float:
    """Notes that begin together, on average."""
    return len(part.notes) / max(1, len({round(note.beat, 2) for note in part.notes}))


def _is_low(part: ScorePart) -> bool:
    return float(np.median([note.pitch for note in part.notes])) < 60


def _into_range(notes: Sequence[Note], role: str) -> list[Note]:
    """Notes moved by octaves, all alike, then those that still lie outside one by one; a bass is one voice."""
    low, high = RANGES[role]
    if role in BASSES:
        lowest: dict[float, Note] = {}
        for note in notes:
            at = round(note.beat, 2)
            if at not in lowest or note.pitch < lowest[at].pitch:
                lowest[at] = note
        notes = list(lowest.values())
    if not notes:
        return []
    middle = float(np.median([note.pitch for note in notes]))
    shift = 12 * round(((low + high) / 2 - middle) / 12)
    moved = []
    for note in notes:
        pitch = note.pitch + shift
        while pitch > high + 5:
            pitch -= 12
        while pitch < low - 5:
            pitch += 12
        moved.append(Note(note.beat, note.beats, pitch, note.velocity))
    return moved
