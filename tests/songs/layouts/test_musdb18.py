"""MUSDB18-HQ: splits, artists, partial copies, the compressed data set."""

import shutil
from pathlib import Path

import pytest

from graphmix.errors import SongError
from graphmix.songs.collection import open_collection
from tests.songs.tiny_collections import MUSDB_FILES, write_musdb18, write_tracks


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_musdb18(tmp_path / "musdb18hq")


def test_songs_have_four_stems_on_one_bus_a_split_and_an_artist(root: Path) -> None:
    collection = open_collection(root)
    assert (collection.kind, collection.name) == ("musdb18-hq", "musdb18-hq")
    song = collection["train/Bert _ Co - Two - Three"]
    assert (song.artist, song.layout.name, song.split) == ("Bert & Co", "Bert & Co - Two - Three", "train")
    assert tuple(song.layout.tracks) == MUSDB_FILES
    assert song.layout.subgroups == {"mix bus": MUSDB_FILES}
    assert [song.split for song in collection] == ["test", "train", "train"]


def test_a_partial_copy_is_counted(root: Path) -> None:
    assert open_collection(root).notices == (
        "train/ has 2 songs; the published data set has 100.",
        "test/ has 1 songs; the published data set has 50.",
    )
    shutil.rmtree(root / "test")
    assert "test/ is missing." in open_collection(root).notices


def test_each_missing_file_is_named(root: Path) -> None:
    (root / "train" / "Anna - First" / "other.wav").unlink()
    (root / "train" / "Anna - First" / "mixture.wav").unlink()
    song = open_collection(root)["train/Anna - First"]
    assert len(song.problems) == 1
    assert "2 of 5 files are missing" in song.problems[0]
    assert "(mixture.wav, other.wav)" in song.problems[0]
    assert tuple(song.layout.tracks) == MUSDB_FILES[:3]


def test_an_empty_song_is_listed(root: Path) -> None:
    (root / "test" / "Empty - One").mkdir()
    assert "5 of 5 files are missing" in open_collection(root)["test/Empty - One"].problems[0]


def test_one_split_alone_is_a_collection(root: Path) -> None:
    collection = open_collection(root / "train")
    assert collection.kind == "musdb18-hq"
    assert [song.id for song in collection] == ["Anna - First", "Bert _ Co - Two - Three"]
    assert collection.songs[0].split == "train"


def test_stems_of_the_same_names_beside_another_mix_are_no_musdb(tmp_path: Path) -> None:
    write_tracks(tmp_path / "Mine", ("drums.wav", "bass.wav", "vocals.wav"), tmp_path / "Mine" / "mix.wav")
    assert open_collection(tmp_path).kind == "daw"


def test_the_compressed_data_set_is_refused_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "Anna - First.stem.mp4").touch()
    with pytest.raises(SongError, match="get MUSDB18-HQ"):
        open_collection(tmp_path)
