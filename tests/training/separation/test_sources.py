"""Which tracks make which source, in songbooks, MUSDB18-HQ and folders of one's own."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from graphmix.audio.files import read_audio, read_info
from graphmix.errors import GraphmixError
from graphmix.songbook import SongbookSettings, write_songbook
from graphmix.training.separation.sources import SOURCES, find_source_songs
from graphmix.training.separation.stems import StemStore, load_stems_of
from tests.training.separation.small_songs import RATE, write_songs


def test_subgroups_of_ones_own_songs(tmp_path: Path) -> None:
    song = find_source_songs([write_songs(tmp_path, 1)])[0]
    assert {source: list(tracks) for source, tracks in song.tracks.items()} == {
        "drums": ["02_hat.wav"],
        "bass": ["01_bass.wav"],
        "vocals": ["03_lead.wav"],  # its name says so
        "other": ["04_pad.wav"],
    }
    assert (song.artist, song.split, song.graph) == ("artist 0", None, None)


def test_labels_of_ones_own(tmp_path: Path) -> None:
    songs = write_songs(tmp_path, 1)
    song = find_source_songs([songs], {"low": ("bass",), "synths": ()})[0]
    assert {source: list(tracks) for source, tracks in song.tracks.items()} == {
        "low": ["01_bass.wav"],
        "synths": ["03_lead.wav", "04_pad.wav"],
    }
    assert song.left_out == ("02_hat.wav",)
    with pytest.raises(GraphmixError, match="holds no song with tracks of two sources"):
        find_source_songs([songs], {"flutes": ("flute",)})
    with pytest.raises(GraphmixError, match="no songs to learn from"):
        find_source_songs([])


def test_musdb(tmp_path: Path) -> None:
    for split in ("train", "test"):
        folder = tmp_path / split / "Anna - Song"
        folder.mkdir(parents=True)
        for name in ("mixture", "drums", "bass", "vocals", "other"):
            soundfile.write(folder / f"{name}.wav", np.zeros((400, 2)) + 0.1, 44100)
    songs = find_source_songs([tmp_path])
    assert [(song.split, list(song.tracks)) for song in songs] == [("test", list(SOURCES)), ("train", list(SOURCES))]
    assert all(list(tracks) == [f"{source}.wav"] for source, tracks in songs[0].tracks.items())


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("book")
    write_songbook(
        folder, 2, SongbookSettings(seed=3, min_tracks=4, max_tracks=6, seconds=(2.0, 2.0), sample_rate=16000)
    )
    return folder


def test_wet_stems_of_a_songbook_add_up_to_its_mix(book: Path) -> None:
    for song in find_source_songs([book]):
        assert song.graph is not None
        stems = load_stems_of(song, list(SOURCES), 16000)
        mix = read_audio(read_info(song.graph.parent / "mix.flac"), 0, stems.size(-1), 16000)
        assert (stems.sum(dim=0) - mix).norm() < 0.01 * mix.norm()  # a compressor may be shared by a bus
        dry = load_stems_of(song, list(SOURCES), 16000, wet=False)
        assert not torch.allclose(dry, stems, atol=1e-3)
        tracks = [p for source in song.tracks.values() for p in source.values()]
        whole = sum(read_audio(read_info(path), 0, dry.size(-1), 16000) for path in tracks)
        torch.testing.assert_close(dry.sum(dim=0), whole, atol=1e-5, rtol=0)
    with pytest.raises(GraphmixError, match="is made for 16000 Hz and the separator for 44100 Hz"):
        load_stems_of(song, list(SOURCES), 44100)


def test_the_store_gives_stretches_of_what_it_rendered_once(tmp_path: Path) -> None:
    song = find_source_songs([write_songs(tmp_path / "songs", 1)])[0]
    store = StemStore(tmp_path / "stems", list(SOURCES), RATE)
    stems = load_stems_of(song, list(SOURCES), RATE)
    torch.testing.assert_close(store.whole(song), stems, atol=2e-5, rtol=0)
    assert store.num_samples(song) == 12000
    torch.testing.assert_close(store.read(song, 2, 11900, 300)[:, :100], stems[2, :, 11900:], atol=2e-5, rtol=0)
    assert store.read(song, 2, 11900, 300)[:, 100:].abs().max() == 0
    (kept,) = (tmp_path / "stems").iterdir()
    again = StemStore(tmp_path / "stems", list(SOURCES), RATE)
    assert torch.equal(again.whole(song), store.whole(song))
    kept.write_bytes(b"damaged")  # it is made again
    assert torch.equal(StemStore(tmp_path / "stems", list(SOURCES), RATE).whole(song), store.whole(song))
