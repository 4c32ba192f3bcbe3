"""A plain folder of songs: nesting, descriptions, folders that are meant to be songs and are not."""

import json
from pathlib import Path

from graphmix.songs.collection import open_collection
from tests.songs.tiny_collections import (
    PLAIN_TRACKS,
    SECONDS,
    noise,
    write_plain,
    write_plain_song,
    write_tracks,
    write_wav,
)


def test_songs_say_their_name_artist_genre_and_subgroups(tmp_path: Path) -> None:
    collection = open_collection(write_plain(tmp_path / "my songs"))
    assert collection.name == "my songs"
    assert [song.id for song in collection] == ["Anna/Third", "First", "Second"]
    second = collection["Second"]
    assert (second.layout.name, second.artist, second.genre) == ("The Second", "Anna", "Folk")
    assert second.layout.subgroups == {"drums": PLAIN_TRACKS[:2], "bass": PLAIN_TRACKS[2:]}
    assert collection["First"].artist is None


def test_songs_may_lie_three_folders_deep_and_no_deeper(tmp_path: Path) -> None:
    write_plain_song(tmp_path / "a" / "b" / "c")
    write_plain_song(tmp_path / "a" / "b" / "d" / "e")
    assert [song.id for song in open_collection(tmp_path)] == ["a/b/c"]


def test_tracks_beside_their_mix_are_read_among_plain_songs(tmp_path: Path) -> None:
    write_plain_song(tmp_path / "A")
    write_tracks(tmp_path / "B", ("kick.wav", "bass.wav"), tmp_path / "B" / "mix.wav")
    (tmp_path / "artwork").mkdir()
    (tmp_path / "notes.txt").touch()
    collection = open_collection(tmp_path)
    assert [song.id for song in collection] == ["A", "B"]
    assert collection["B"].problems == ()
    assert tuple(collection["B"].layout.tracks) == ("bass.wav", "kick.wav")


def test_audio_beside_the_songs_of_an_artist_does_not_hide_them(tmp_path: Path) -> None:
    write_plain_song(tmp_path / "Anna" / "A")
    write_wav(tmp_path / "Anna" / "interview.wav", noise(0))
    assert [song.id for song in open_collection(tmp_path)] == ["Anna/A"]


def test_a_song_without_mix_still_shows_its_tracks(tmp_path: Path) -> None:
    folder = write_plain_song(tmp_path / "A")
    (folder / "mix.wav").unlink()
    song = open_collection(tmp_path)["A"]
    assert tuple(song.layout.tracks) == PLAIN_TRACKS
    assert "has no mix" in song.problems[0]
    assert song.seconds == SECONDS  # of its tracks


def test_a_wrong_description_is_the_problem_of_that_song_alone(tmp_path: Path) -> None:
    write_plain_song(tmp_path / "A")
    for name, text in (("B", "{"), ("C", "[]"), ("D", '{"artist": 7}'), ("E", '{"stems": "../A/stems"}')):
        (write_plain_song(tmp_path / name) / "song.json").write_text(text, encoding="utf-8")
    write_plain_song(tmp_path / "F", {"subgroups": {"drums": ["gone.wav"]}})
    collection = open_collection(tmp_path)
    assert [song.id for song in collection.usable] == ["A"]
    told = {song.id: " ".join(song.problems) for song in collection}
    assert "is not JSON" in told["B"]
    assert "expected an object" in told["C"]
    assert 'under "artist", expected a name' in told["D"]
    assert "leads out of the song's folder" in told["E"]
    assert "'gone.wav'" in told["F"]


def test_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    folder = write_plain_song(tmp_path / "A")
    (folder / "stems" / "4_lost.wav").symlink_to(tmp_path / "moved away.wav")
    song = open_collection(tmp_path)["A"]
    assert "1 link leads to no file" in song.problems[0]
    assert "4_lost.wav" in song.problems[0]


def test_a_mix_that_is_named_and_missing_is_told(tmp_path: Path) -> None:
    write_plain_song(tmp_path / "A", {"mix": "final.wav"})
    assert "final.wav is not a file" in open_collection(tmp_path)["A"].problems[0]


def test_keys_of_other_programs_are_ignored(tmp_path: Path) -> None:
    folder = write_plain_song(tmp_path / "A", {"seed": 4, "graph": "graph.safetensors", "genre": " "})
    song = open_collection(tmp_path)["A"]
    assert song.problems == ()
    assert song.genre is None
    assert json.loads((folder / "song.json").read_text())["seed"] == 4
