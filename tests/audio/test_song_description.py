"""song.json: wrong values, mistyped keys, encodings."""

import json
from pathlib import Path

import pytest

from graphmix.audio.song_folder import find_layout
from graphmix.errors import SongError
from graphmix.songs.collection import SongFiles, open_collection
from tests.songs.tiny_collections import write_tracks

TRACKS = ("01_Kick.wav", "02_Bass.wav")


def only_song(root: Path, kind: str = "auto") -> SongFiles:
    (song,) = open_collection(root, kind)
    return song


def song_in(tmp_path: Path) -> Path:
    write_tracks(tmp_path / "A" / "stems", TRACKS, tmp_path / "A" / "mix.wav")
    return tmp_path / "A"


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"mix": None}, "has no mix"),
        ({"mix": "gone.wav"}, "gone.wav is not a file: check the name"),
        ({"mix": "../mix.wav"}, "leads out of the song's folder"),
        ({"mix": "C:/mix.wav"}, "leads out of the song's folder"),
        ({"mix": 3}, "expected a name in quotes"),
        ({"subgroups": {"drums": ["gone.wav"]}}, "1 of 1 tracks that song.json names are missing"),
        ({"subgroups": {"a": ["01_Kick.wav"], "b": ["01_Kick.wav"]}}, "into 'a' and into 'b'"),
        ({"subgroups": [1]}, "neither bus -> list of tracks nor track -> bus"),
    ],
)
def test_a_wrong_song_json_is_a_problem(tmp_path: Path, description: dict[str, object], message: str) -> None:
    write_tracks(tmp_path / "A", TRACKS, tmp_path / "A" / "mix.wav")
    (tmp_path / "A" / "song.json").write_text(json.dumps(description))
    assert message in " ".join(only_song(tmp_path, "daw").problems)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("subgroup", "subgroups"),
        ("Sub-Groups", "subgroups"),
        ("stem", "stems"),
        ("offsets", "offset"),
        ("title", "name"),
    ],
)
def test_a_mistyped_key_is_named_with_the_one_that_is_meant(tmp_path: Path, key: str, meant: str) -> None:
    folder = song_in(tmp_path)
    (folder / "song.json").write_text(json.dumps({key: {"a": "b"}, "bpm": 120, "facts": {}, "roles": {}, "taste": {}}))
    (notice,) = find_layout(folder).notices
    assert f'has the key "{key}", which is not read: "{meant}" is meant?' in notice


def test_a_description_in_utf16_is_read_and_one_in_latin1_named(tmp_path: Path) -> None:
    folder = song_in(tmp_path)
    (folder / "song.json").write_text('{"name": "Söng"}', encoding="utf-16")
    assert find_layout(folder).name == "Söng"
    (folder / "song.json").write_text('{"name": "Söng"}', encoding="latin-1")
    with pytest.raises(SongError, match="is not UTF-8 text; it may be Latin-1"):
        find_layout(folder)


def test_an_empty_object_of_subgroups_says_nothing(tmp_path: Path) -> None:
    folder = song_in(tmp_path)
    (folder / "song.json").write_text('{"subgroups": {}}')
    assert find_layout(folder).subgroups == {"mix bus": TRACKS}
