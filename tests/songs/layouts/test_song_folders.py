"""Collections of song folders: which folders are listed, and what lies beside them."""

from pathlib import Path

from graphmix.songs.collection import open_collection
from tests.songs.tiny_collections import noise, write_plain_song, write_tracks, write_wav

TRACKS = ("01_Kick.wav", "02_Bass.wav")


def test_audio_beside_several_songs_is_of_none_of_them(tmp_path: Path) -> None:
    for name in ("A", "B"):
        write_tracks(tmp_path / name, TRACKS, tmp_path / name / "mix.wav")
    write_wav(tmp_path / "Kick sample.wav", noise(4))
    collection = open_collection(tmp_path)
    assert [song.id for song in collection.usable] == ["A", "B"]
    assert collection.notices == ("Kick sample.wav beside the songs belongs to none of them.",)


def test_a_mix_alone_is_no_whole_song(tmp_path: Path) -> None:
    write_tracks(tmp_path / "A", TRACKS, tmp_path / "A" / "mix.wav")
    song_folder = tmp_path / "B"
    write_tracks(song_folder, TRACKS, None)
    collection = open_collection(tmp_path)
    assert "has no mix" in collection["B"].problems[0]
    assert collection["A"].problems == ()


def test_plain_songs_among_exports_are_read_as_such(tmp_path: Path) -> None:
    write_tracks(tmp_path / "A", TRACKS, tmp_path / "A" / "mix.wav")
    write_plain_song(tmp_path / "B", {"artist": "Bert"})
    collection = open_collection(tmp_path, "daw")
    assert [song.id for song in collection.usable] == ["A", "B"]
    assert collection["B"].artist == "Bert"


def test_a_folder_with_audio_that_is_no_song_is_listed_with_the_reason(tmp_path: Path) -> None:
    write_plain_song(tmp_path / "A")
    write_wav(tmp_path / "B" / "mix.wav", noise(0))
    (tmp_path / "artwork").mkdir()
    collection = open_collection(tmp_path)
    assert [song.id for song in collection] == ["A", "B"]
    assert "has neither stems/ nor dry/" in collection["B"].problems[0]
