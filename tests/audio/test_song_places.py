"""Which folders are songs: nested archives, outputs of a search, other layouts."""

from pathlib import Path

import pytest

from graphmix.audio.song_folder import find_layout
from graphmix.errors import SongError
from graphmix.songs.collection import SongFiles, open_collection
from tests.songs.tiny_collections import noise, write_tracks, write_wav

TRACKS = ("01_Kick.wav", "02_Bass.wav")


def only_song(root: Path, kind: str = "auto") -> SongFiles:
    (song,) = open_collection(root, kind)
    return song


def song_in(tmp_path: Path) -> Path:
    write_tracks(tmp_path / "A" / "stems", TRACKS, tmp_path / "A" / "mix.wav")
    return tmp_path / "A"


@pytest.mark.parametrize("mix", ["Anna_Song_FullPreview.wav", "Anna_Song_Full/Anna_Song_FullPreview.wav"])
def test_archives_that_unpack_into_a_folder_of_their_name_are_one_song(tmp_path: Path, mix: str) -> None:
    write_tracks(tmp_path / "Anna_Song_Full" / "Anna_Song_Full", TRACKS, None)
    write_wav(tmp_path / mix, noise(5))
    song = only_song(tmp_path)
    assert song.id == "Anna_Song_Full"
    assert song.problems == ()
    assert song.layout.mix == tmp_path / mix
    assert tuple(song.layout.tracks) == TRACKS
    assert find_layout(tmp_path / "Anna_Song_Full").mix == tmp_path / mix


def test_mined_folders_are_neither_songs_nor_tracks(tmp_path: Path) -> None:
    folder = song_in(tmp_path)
    for mined in (folder / "mined", tmp_path / "B"):
        write_wav(mined / "mix.wav", noise(1))
        (mined / "run.json").write_text("{}")
        (mined / "graph.safetensors").touch()
    song = only_song(tmp_path)
    assert song.problems == ()
    assert song.layout.notices[0] == f"mined folders in {folder} were left out: mined."
    assert open_collection(tmp_path).notices == ("mined folders were left out: B.",)


def test_one_song_of_medleydb_points_to_the_collection(tmp_path: Path) -> None:
    folder = tmp_path / "Anna_Song"
    write_tracks(folder / "Anna_Song_RAW", TRACKS, folder / "Anna_Song_MIX.wav")
    write_tracks(folder / "Anna_Song_STEMS", TRACKS, None)
    with pytest.raises(SongError, match=r"is a song of MedleyDB, .* graphmix mine-all"):
        find_layout(folder)


def test_a_graph_saved_in_the_folder_of_a_song_leaves_it_a_song(tmp_path: Path) -> None:
    for place in (tmp_path / "A", tmp_path / "B" / "B_Full"):
        song = tmp_path / place.relative_to(tmp_path).parts[0]
        write_tracks(place, TRACKS, song / "mix.wav")
        (song / "graph.safetensors").touch()
        assert tuple(find_layout(song).tracks) == TRACKS
