"""Soundfonts: the presets of a file written by hand, shared samples, and the pitch of what is played."""

from pathlib import Path

import numpy as np
import pytest

from graphmix.errors import SongError
from graphmix.songbook.extras import load_extra
from graphmix.songbook.soundfont import PlayedNote, play_preset, read_soundfont
from tests.songbook.real_material import CYCLE, RATE, write_soundfont


def has_fluidsynth() -> bool:
    try:
        load_extra("fluidsynth")
    except SongError:
        return False
    return True


needs_fluidsynth = pytest.mark.skipif(not has_fluidsynth(), reason="pyfluidsynth or its library is not installed")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    presets = [("Piano", 0, 0, 0), ("Bright", 8, 0, 0), ("Bass", 0, 33, 1), ("Kit", 128, 0, 2)]
    return write_soundfont(tmp_path / "tiny.sf2", presets, samples=3)


def test_presets_are_read_with_their_roles(path: Path) -> None:
    found = {(p.bank, p.program): p for p in read_soundfont(path).presets}
    assert {key: p.name for key, p in found.items()} == {
        (0, 0): "Piano", (8, 0): "Bright", (0, 33): "Bass", (128, 0): "Kit"
    }  # fmt: skip
    assert found[0, 33].roles == ("bass",)
    assert found[128, 0].roles == ()
    assert found[0, 0].group == found[8, 0].group != found[0, 33].group


def test_files_that_are_no_soundfonts_are_refused(tmp_path: Path, path: Path) -> None:
    with pytest.raises(SongError, match=r"none.sf2 cannot be read"):
        read_soundfont(tmp_path / "none.sf2")
    (tmp_path / "text.sf2").write_text("no soundfont at all")
    with pytest.raises(SongError, match=r"text.sf2 is no soundfont"):
        read_soundfont(tmp_path / "text.sf2")
    (tmp_path / "half.sf2").write_bytes(path.read_bytes()[:-400])
    with pytest.raises(SongError, match=r"half.sf2 is damaged|half.sf2 has no presets"):
        read_soundfont(tmp_path / "half.sf2")


@needs_fluidsynth
def test_a_note_sounds_at_its_pitch_and_time_and_the_same_each_time(path: Path) -> None:
    font = read_soundfont(path)
    piano = font.presets[0]
    note = PlayedNote(0.5, 1.0, 72, 0.8)
    audio = play_preset(font, piano, [note], 2.0)
    assert audio.shape == (2, 2 * RATE)
    assert np.abs(audio[:, : RATE // 2 - 100]).max() < 1e-6
    sounding = audio[0, RATE // 2 + 2000 : RATE // 2 + 34000]
    spectrum = np.abs(np.fft.rfft(sounding * np.hanning(sounding.size)))
    hz = np.argmax(spectrum) * RATE / sounding.size
    assert abs(hz - 2 * RATE / CYCLE) < 1.5
    assert np.array_equal(audio, play_preset(font, piano, [note], 2.0))


@needs_fluidsynth
def test_a_repeated_note_is_struck_again_before_the_first_ends(path: Path) -> None:
    font = read_soundfont(path)
    notes = [PlayedNote(0.0, 3.0, 60, 0.9), PlayedNote(1.0, 0.5, 60, 0.9)]
    audio = play_preset(font, font.presets[0], notes, 3.0)
    level = [float(np.sqrt(np.mean(np.square(audio[:, k * RATE // 4 : (k + 1) * RATE // 4])))) for k in range(12)]
    assert level[4] == pytest.approx(level[0], rel=0.2)
    assert level[10] < 0.01 * level[5]


@needs_fluidsynth
def test_velocity_makes_it_louder(path: Path) -> None:
    font = read_soundfont(path)
    soft, loud = (
        np.abs(play_preset(font, font.presets[0], [PlayedNote(0, 0.5, 60, v)], 0.6)).max() for v in (0.3, 0.9)
    )
    assert loud > 3 * soft
