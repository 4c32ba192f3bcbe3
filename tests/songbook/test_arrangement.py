"""Arrangements: the tune to the singer, the bass to the bass, programs to their roles, drums to their pieces."""

from dataclasses import replace

import numpy as np
import pytest

from graphmix.songbook.arrangement import arrange, drum_strokes, in_scale
from graphmix.songbook.excerpt import Excerpt
from graphmix.songbook.general_midi import KEY_PIECES, PROGRAM_ROLES, RANGES, ROLE_PIECES
from graphmix.songbook.performance import Hand, draw_hand, perform
from graphmix.songbook.roles import ROLES
from graphmix.songbook.score import GENRES, Form, Note
from graphmix.songbook.scores import ScorePart
from graphmix.songbook.topology import PlannedTrack

FORM = Form(GENRES[1], 120.0, 36, (0, 2, 4, 5, 7, 9, 11), (0, 3, 4, 0), 16.0)


def part(name: str, program: int | None, pitches: list[int], together: int = 1, drums: bool = False) -> ScorePart:
    notes = tuple(Note(float(k // together), 0.9, float(p), 0.7) for k, p in enumerate(pitches))
    return ScorePart(name, program, drums, notes)


SOPRANO = part("soprano", None, [72, 74, 76, 77] * 6)
ALTO = part("alto", None, [64, 65, 67, 69] * 6)
BASS = part("bass", None, [48, 50, 43, 48] * 6)
EXCERPT = Excerpt((SOPRANO, ALTO, BASS), FORM, 4, 0, 0)


def track(role: str, copy: int = 0) -> PlannedTrack:
    return PlannedTrack(f"{role} {copy}", role, copy)


def classes(notes: list[Note]) -> list[float]:
    return [note.pitch % 12 for note in notes]


def test_the_highest_part_is_sung_and_the_lowest_is_the_bass() -> None:
    roles = ("kick", "sub bass", "bass", "lead", "vocal", "double")
    kick, sub, bass, lead, vocal, double = arrange(EXCERPT, [track(role) for role in roles], (1,))
    assert kick.notes == []
    assert vocal.source == "soprano"
    assert classes(vocal.notes) == classes(list(SOPRANO.notes))
    assert double.notes == vocal.notes
    assert (lead.source, bass.source, sub.source) == ("alto", "bass", "bass")
    assert classes(sub.notes) == classes(bass.notes) == classes(list(BASS.notes))
    for role, its in (("vocal", vocal), ("bass", bass), ("sub bass", sub), ("lead", lead)):
        low, high = RANGES[role]
        assert all(low - 5 <= note.pitch <= high + 5 for note in its.notes)


def test_parts_go_where_their_programs_belong() -> None:
    parts = (
        part("sung", 53, [67] * 12), part("organ", 16, [60, 64, 67] * 8, together=3), part("guitar", 25, [55] * 12),
        part("bass guitar", 33, [40] * 12), part("tuba", None, [30] * 12),
    )  # fmt: skip
    excerpt = replace(EXCERPT, parts=parts)
    roles = ("vocal", "organ", "strum", "bass")
    assert [a.source for a in arrange(excerpt, [track(r) for r in roles], (1,))] == [
        "sung", "organ", "guitar", "bass guitar"
    ]  # fmt: skip


@pytest.mark.parametrize("role", sorted(RANGES))
def test_what_a_score_lacks_is_composed(role: str) -> None:
    (assigned,) = arrange(replace(EXCERPT, parts=()), [track(role)], (3,))
    assert assigned.source == "composed"
    assert assigned.notes


def test_thirds_stay_in_the_scale() -> None:
    tune = [Note(0.0, 1.0, float(p), 0.7) for p in (60, 62, 64, 65, 67, 69, 71, 72)]
    assert [n.pitch for n in in_scale(tune, FORM, -2)] == [57, 59, 60, 62, 64, 65, 67, 69]
    assert [n.pitch for n in in_scale(tune, FORM, 0)] == [n.pitch for n in tune]


def test_drums_are_the_scores_own_where_it_has_some() -> None:
    drums = part("drums", None, [36, 42, 38, 46] * 4, drums=True)
    excerpt = replace(EXCERPT, parts=(SOPRANO, drums))
    rng = np.random.default_rng(0)
    assert [(piece, n.beat) for piece, n in drum_strokes(excerpt, "kick", rng)] == [
        ("kick", 0.0), ("kick", 4.0), ("kick", 8.0), ("kick", 12.0)
    ]  # fmt: skip
    assert [piece for piece, _ in drum_strokes(excerpt, "hats", rng)] == ["hats", "open hats"] * 4
    composed = drum_strokes(EXCERPT, "toms", rng)
    assert {piece for piece, _ in composed} <= set(ROLE_PIECES["toms"])
    assert composed


def test_programs_and_keys_mean_roles_and_pieces_that_there_are() -> None:
    assert {role for roles in PROGRAM_ROLES.values() for role in roles} == set(RANGES)
    assert set(RANGES) | set(ROLE_PIECES) == set(ROLES)
    assert KEY_PIECES[36] == "kick"
    assert KEY_PIECES[38] == "snare"
    assert {piece for pieces in ROLE_PIECES.values() for piece in pieces} == set(KEY_PIECES.values())


# --- performances

STIFF = Hand(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def test_a_stiff_hand_plays_the_score() -> None:
    rng = np.random.default_rng(0)
    played = perform(SOPRANO.notes, FORM, 4, STIFF, rng)
    assert [note.start for note in played] == pytest.approx([0.5 * n.beat for n in SOPRANO.notes])
    assert [note.velocity for note in played] == pytest.approx([0.7] * 24)
    assert all(0.4 < note.seconds < 0.47 for note in played)


def test_hands_are_early_late_loud_and_soft_by_little() -> None:
    rng = np.random.default_rng(1)
    notes = [Note(float(k), 0.9, 60.0, 0.7) for k in range(4000)]
    hand = Hand(late_ms=5.0, wander_ms=6.0, jitter_ms=5.0, velocity=0.06, phrase=0.0, accent=0.0, length=1.0)
    played = perform(notes, FORM, 4, hand, rng)
    late = 1000 * (np.array([n.start for n in played]) - 0.5 * np.arange(4000))[10:]
    assert np.mean(late) == pytest.approx(5, abs=1.5)
    assert np.std(late) == pytest.approx(np.hypot(6, 5), rel=0.1)
    assert np.corrcoef(late[:-1], late[1:])[0, 1] == pytest.approx(0.85 * 36 / 61, abs=0.08)
    assert np.std([n.velocity for n in played]) == pytest.approx(0.06, rel=0.1)


def test_accents_and_swing() -> None:
    rng = np.random.default_rng(2)
    swung = replace(FORM, genre=replace(FORM.genre, swing=0.06))
    notes = [Note(0.25 * k, 0.2, 60.0, 0.5) for k in range(16)]
    played = perform(notes, swung, 4, replace(STIFF, accent=0.1), rng)
    assert played[0].velocity == pytest.approx(0.6)
    assert played[4].velocity == pytest.approx(0.55)
    assert played[1].velocity == pytest.approx(0.5)
    assert played[1].start == pytest.approx(0.5 * (0.25 + 0.06))
    assert played[2].start == pytest.approx(0.25)
    assert draw_hand(rng, is_drum=True).phrase == 0
