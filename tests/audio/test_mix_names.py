"""Which file is the mix, by its name."""

from pathlib import Path

import pytest

from graphmix.audio.mix_names import mix_rank
from graphmix.songs.collection import SongFiles, open_collection
from tests.songs.tiny_collections import write_tracks

TRACKS = ("01_Kick.wav", "02_Bass.wav")


def only_song(root: Path, kind: str = "auto") -> SongFiles:
    (song,) = open_collection(root, kind)
    return song


@pytest.mark.parametrize(
    "name",
    [
        "mix.wav",
        "MIX.wav",
        "Mixdown.wav",
        "master.wav",
        "My Song.wav",
        "MySong_Mix.wav",
        "my-song (full mix).wav",
        "My_Song_FullPreview.wav",
        "Another Title Final Mix.wav",
        "The Guitar Man_FullPreview.wav",
    ],
)
def test_a_mix_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "My Song"
    write_tracks(folder, TRACKS, folder / name)
    song = only_song(folder)
    assert song.layout.mix == folder / name
    assert tuple(song.layout.tracks) == TRACKS


@pytest.mark.parametrize("name", ["03_Mix.wav", "Room Mix.wav", "Guitars Mix.wav", "Mixolydian Lead.wav"])
def test_a_track_is_not_taken_for_the_mix(tmp_path: Path, name: str) -> None:
    write_tracks(tmp_path / "A", (*TRACKS, name), tmp_path / "A" / "mix.wav")
    assert name in only_song(tmp_path / "A").layout.tracks


def test_surer_names_come_first() -> None:
    folder = Path("My Song_Full")
    names = ["mix.flac", "Master.wav", "My_Song.wav", "Other FullPreview.mp3", "The final mix.wav", "Kick.wav"]
    assert [mix_rank(Path(name), folder) for name in names] == [0, 1, 2, 3, 4, None]
