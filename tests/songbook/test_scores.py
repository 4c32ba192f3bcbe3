"""Real scores: MIDI and MusicXML of known notes, folders of them, an excerpt's key, chords and place."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from graphmix.errors import SongError
from graphmix.songbook.excerpt import Excerpt, draw_excerpt
from graphmix.songbook.score import GENRES, Note
from graphmix.songbook.scores import RealScore, ScorePart, find_scores, read_score
from tests.songbook.real_material import MUSICXML, write_midi

music21 = pytest.importorskip("music21", reason="music21 is not installed")
pytest.importorskip("pretty_midi", reason="pretty_midi is not installed")


def only(folder: Path) -> RealScore:
    (files,) = find_scores(folder).files.values()
    return read_score(files[0])


def test_midi_is_read_in_beats(tmp_path: Path) -> None:
    write_midi(tmp_path / "song.mid")
    score = only(tmp_path)
    assert (score.beats_per_bar, score.is_compound) == (4, False)
    assert score.bpm == pytest.approx(100, rel=1e-4)
    tune, bass, piano, drums = score.parts
    assert [part.program for part in score.parts] == [53, 33, 0, None]
    assert [part.is_drums for part in score.parts] == [False, False, False, True]
    assert [note.beat for note in bass.notes[:5]] == pytest.approx([0, 1, 2, 3, 4], abs=0.01)
    assert [note.pitch for note in bass.notes[::4]] == [36, 41, 43, 36] * 2
    assert [note.beats for note in piano.notes[:3]] == pytest.approx([3.5] * 3, abs=0.02)
    assert tune.notes[0].velocity == pytest.approx(90 / 127)
    assert {note.pitch for note in drums.notes} == {36, 38, 42}


def test_musicxml_in_six_eight_has_two_beats_a_bar_and_joins_ties(tmp_path: Path) -> None:
    (tmp_path / "duet.musicxml").write_text(MUSICXML)
    score = only(tmp_path)
    assert (score.beats_per_bar, score.is_compound, score.beats) == (2, True, 4)
    oboe, bassoon = score.parts
    assert [(n.beat, n.beats, n.pitch) for n in oboe.notes] == [(0, 1, 72), (1, 2, 76), (3, 1, 79)]
    assert [(n.beat, n.beats, n.pitch) for n in bassoon.notes] == [(0, 2, 48), (2, 2, 43)]


def test_a_file_of_tunes_is_many_scores(tmp_path: Path) -> None:
    tune = "X:{n}\nT:tune\nM:4/4\nL:1/4\nK:C\nCDEF|{rest}|\n\n"
    (tmp_path / "tunes.abc").write_text(tune.format(n=1, rest="GABc") + tune.format(n=7, rest="GGGG"))
    (files,) = find_scores(tmp_path).files.values()
    assert {file.name for file in files} == {"tunes.abc#1", "tunes.abc#7"}
    by_name = {file.name: read_score(file) for file in files}
    assert [n.pitch for n in by_name["tunes.abc#7"].parts[0].notes] == [60, 62, 64, 65, 67, 67, 67, 67]


def test_one_piece_in_two_files_counts_once(tmp_path: Path) -> None:
    write_midi(tmp_path / "song.mid")
    (tmp_path / "copy.mid").write_bytes((tmp_path / "song.mid").read_bytes())
    (tmp_path / "song.musicxml").write_text(MUSICXML)
    assert len(find_scores(tmp_path)) == 1


def test_bad_scores_are_named(tmp_path: Path) -> None:
    with pytest.raises(SongError, match=r"neither a folder with scores nor the word music21"):
        find_scores(tmp_path / "none")
    with pytest.raises(SongError, match=r"holds no scores: put MIDI or MusicXML files there"):
        find_scores(tmp_path)
    (tmp_path / "broken.mid").write_bytes(b"MThd, and then nothing")
    with pytest.raises(SongError, match=r"broken\.mid cannot be read"):
        only(tmp_path)
    (tmp_path / "broken.mid").unlink()
    (tmp_path / "broken.musicxml").write_text("<score-partwise><part>")
    with pytest.raises(SongError, match=r"broken\.musicxml cannot be read"):
        only(tmp_path)


@pytest.mark.slow
def test_the_corpus_of_music21_is_a_collection() -> None:
    library = find_scores("music21")
    assert len(library) > 3000
    parts = {split: library.of_split(split) for split in ("train", "valid", "test")}
    assert sum(map(len, parts.values())) == len(library)
    names = [{f.digest for files in part.files.values() for f in files} for part in parts.values()]
    assert not names[0] & names[1] | names[0] & names[2] | names[1] & names[2]


# --- excerpts


def score_of(*chords: Sequence[int], bars: int = 1, beats: int = 4, melody: Sequence[int] = ()) -> RealScore:
    low = [Note(float(k * beats), float(beats), float(p), 0.7) for k, chord in enumerate(chords) for p in chord]
    high = [Note(float(k), 0.9, float(p), 0.7) for k, p in enumerate(melody)]
    parts = [ScorePart("low", None, False, tuple(low))]
    if high:
        parts.append(ScorePart("high", None, False, tuple(high)))
    return RealScore("made", tuple(parts), beats, float(len(chords) * beats), 120.0, False)


def degrees(excerpt: Excerpt) -> list[int]:
    return [(excerpt.form.root + excerpt.form.scale[d] - excerpt.transposition) % 12 for d in excerpt.form.progression]


def test_key_and_chords_of_a_cadence_are_found() -> None:
    chords = ((48, 52, 55), (53, 57, 60), (55, 59, 62), (48, 52, 55)) * 4
    melody = [note for chord in chords for note in (*(n + 24 for n in chord), chord[0] + 24)]
    for seed in range(5):
        excerpt = draw_excerpt(score_of(*chords, melody=melody), GENRES[1], 32.0, np.random.default_rng(seed))
        assert (excerpt.form.root - excerpt.transposition) % 12 == 0
        assert excerpt.form.scale == (0, 2, 4, 5, 7, 9, 11)
        bars = int(excerpt.form.seconds * excerpt.form.bpm / 60 / 4)
        assert degrees(excerpt)[:bars] == ([0, 5, 7, 0] * 8)[excerpt.first_bar :][:bars]
        assert [part.name for part in excerpt.parts] == ["high", "low"]


def test_a_short_score_is_repeated_in_time() -> None:
    excerpt = draw_excerpt(score_of((48,), (50,), melody=range(60, 68)), GENRES[0], 20.0, np.random.default_rng(1))
    starts = np.array([note.beat for note in excerpt.parts[0].notes])
    assert np.allclose(starts, np.arange(starts.size))
    assert starts[-1] > 20 * excerpt.form.bpm / 60 - 1.1
    pitches = [note.pitch for note in excerpt.parts[0].notes]
    assert pitches[:8] == pitches[8:16]


def test_an_excerpt_is_where_notes_are() -> None:
    notes = tuple(Note(4.0 * k + b, 0.9, 60.0, 0.7) for k in range(40, 52) for b in range(4))
    score = RealScore("late", (ScorePart("p", None, False, notes),), 4, 208.0, 120.0, False)
    for seed in range(10):
        excerpt = draw_excerpt(score, GENRES[0], 10.0, np.random.default_rng(seed))
        assert len(excerpt.parts[0].notes) > 8
        assert excerpt.parts[0].notes[0].beat < 4


def test_composed_parts_keep_to_bars_of_three() -> None:
    score = score_of(*[(48, 52, 55)] * 8, beats=3, melody=range(60, 84))
    excerpt = draw_excerpt(score, GENRES[1], 12.0, np.random.default_rng(0))
    assert excerpt.beats_per_bar == 3
    kicks = excerpt.compose("kick", np.random.default_rng(1))
    assert {0.0} <= {round(note.beat % 3, 3) for note in kicks}
    assert max(note.beat for note in kicks) < 12 * excerpt.form.bpm / 60 + 3
    assert all(note.beat % 3 + note.beats <= 3 + 1e-9 for note in excerpt.compose("pad", np.random.default_rng(2)))


def test_long_note_values_are_shortened() -> None:
    slow = RealScore(
        "slow", (ScorePart("p", None, False, tuple(Note(8.0 * k, 8.0, 60.0, 0.7) for k in range(30))),),
        4, 240.0, 100.0, False,
    )  # fmt: skip
    excerpt = draw_excerpt(slow, GENRES[0], 10.0, np.random.default_rng(0))
    assert len(excerpt.parts[0].notes) >= 5
