"""Audio files in a folder, and what listing it would pass over."""

from pathlib import Path

import pytest

from graphmix.audio.listing import (
    audio_files,
    broken_links,
    holds_audio,
    some_names,
    subfolders,
    tracks_by_name,
    unread_audio,
)
from graphmix.errors import SongError


def test_audio_files_are_listed_in_natural_order(tmp_path: Path) -> None:
    for name in ("10.wav", "2.FLAC", "1.bwf", "notes.txt", "._2.wav", "b.m4a"):
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    assert [path.name for path in audio_files(tmp_path)] == ["1.bwf", "2.FLAC", "10.wav"]
    assert [path.name for path in unread_audio(tmp_path)] == ["b.m4a"]
    assert [path.name for path in subfolders(tmp_path)] == ["folder.wav"]


@pytest.mark.parametrize("start", [b"RIFF\0\0\0\0WAVE", b"FORM\0\0\0\0AIFF", b"fLaC", b"OggS", b"ID3"])
def test_audio_without_an_ending_is_known_by_its_first_bytes(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "take 1").write_bytes(start)
    (tmp_path / "RIFF").write_bytes(b"RIFF\0\0\0\0AVI ")
    assert [path.name for path in unread_audio(tmp_path)] == ["take 1"]


def test_only_links_to_missing_audio_are_broken(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    for name, target in (("b.wav", "a.wav"), ("c.wav", "gone.wav"), ("d.txt", "gone.txt")):
        (tmp_path / name).symlink_to(tmp_path / target)
    assert [path.name for path in broken_links(tmp_path)] == ["c.wav"]


def test_audio_is_found_below_and_rings_of_links_end(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "ring").symlink_to(tmp_path)
    assert not holds_audio(tmp_path)
    (tmp_path / "a" / "b" / "c.wav").touch()
    assert holds_audio(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    for look in (audio_files, subfolders, unread_audio, broken_links):
        with pytest.raises(SongError, match="nowhere is not a folder"):
            look(tmp_path / "nowhere")
    assert not holds_audio(tmp_path / "nowhere")


def test_tracks_of_one_name_are_a_problem() -> None:
    tracks, problems = tracks_by_name([Path("x/e\u0301.wav"), Path("x/\xe9.wav"), Path("x/a\udcff.wav")])
    assert list(tracks) == ["\xe9.wav", "a\\xff.wav"]
    assert len(problems) == 1
    assert some_names(["a", "b", "c"], 2) == "a, b and 1 more"
