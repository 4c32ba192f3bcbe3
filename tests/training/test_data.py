"""Songs, segments and steps: the same at every call, each song in its turn, no artist in two parts."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from graphmix.errors import GraphmixError
from graphmix.graph.storage import save_graph
from graphmix.training.data import Pick, SongSegments, StepSampler, artist_of, songs_in, split_songs
from tests.small_song import RATE, SUBGROUPS, same_graph
from tests.training.tiny_songbook import SECONDS, true_graph


@pytest.fixture
def songs(songbook: Path) -> SongSegments:
    return SongSegments(songs_in([songbook]), RATE, segment_seconds=1.0, warmup_seconds=0.3, seed=1)


def test_a_songbook_is_found_with_graphs_and_subgroups(songs: SongSegments) -> None:
    assert len(songs) == 4
    for index in range(4):
        graph, subgroups = songs.truth(index)
        assert same_graph(graph, true_graph(index))
        assert subgroups == {bus: tuple(tracks) for bus, tracks in SUBGROUPS.items()}


def test_an_example_is_a_stretch_of_the_song(songs: SongSegments) -> None:
    example = songs.cut(2, 12_000)
    read = songs.song(2).read(12_000, RATE)
    assert read.mix is not None
    assert example.stems.mix is not None
    assert torch.equal(example.stems.audio, read.stems)
    assert torch.equal(example.stems.mix, read.mix)
    assert example.stems.names == songs.song(2).track_names
    assert example.stems.sample_rate == RATE
    assert example.warmup == round(0.3 * RATE)


def test_the_same_pick_gives_the_same_segment_and_draws_differ(songs: SongSegments, songbook: Path) -> None:
    again = SongSegments(songs_in([songbook]), RATE, segment_seconds=1.0, warmup_seconds=0.3, seed=1)
    other = SongSegments(songs_in([songbook]), RATE, segment_seconds=1.0, warmup_seconds=0.3, seed=2)
    places = [songs[Pick(1, draw)].place for draw in range(6)]
    assert places == [again[Pick(1, draw)].place for draw in range(6)]
    assert places != [other[Pick(1, draw)].place for draw in range(6)]
    assert len(set(places)) > 2


def test_fixed_places_come_again(songbook: Path) -> None:
    songs = SongSegments(songs_in([songbook]), RATE, segment_seconds=1.0, warmup_seconds=0.3, fixed_places=True)
    allowed = {example.place for example in songs.fixed(0, 100)}
    drawn = Counter(songs[Pick(0, draw)].place for draw in range(2 * len(allowed)))
    assert drawn == dict.fromkeys(allowed, 2)
    assert songs[Pick(0, 0)].comes_again


def test_songs_beyond_the_memory_are_read_from_disk(songbook: Path) -> None:
    one_song = 4 * 2 * round(SECONDS * RATE) * 4
    songs = SongSegments(
        songs_in([songbook]), RATE, segment_seconds=1.0, warmup_seconds=0.3, memory_bytes=one_song + 100
    )
    preloaded = [songs.song(index).is_preloaded for index in range(4)]
    assert preloaded == [True, False, False, False]
    assert torch.equal(songs.cut(1, 500).stems.audio, songs.song(1).read(500, RATE).stems)


# --- parting


def test_no_artist_is_in_two_parts(songbook: Path) -> None:
    records = songs_in([songbook])
    parts = split_songs(records, validation=0.25, test=0.25, seed=3)
    assert sorted(record.song_id for part in parts.values() for record in part) == [r.song_id for r in records]
    artists = [{artist_of(record) for record in part} for part in parts.values()]
    assert all(artists)
    assert sum(len(own) for own in artists) == len(set().union(*artists)) == 3


def test_too_few_artists_are_refused(songbook: Path) -> None:
    records = [record for record in songs_in([songbook]) if record.artist == "ann"]
    with pytest.raises(GraphmixError, match=r"data\.validation and data\.test"):
        split_songs(records, validation=0.5)
    assert len(split_songs(records)["train"]) == 2


# --- steps


def test_every_song_is_drawn_once_before_one_is_drawn_again() -> None:
    picks = [pick for step in StepSampler(5, 2, (0, 10), seed=4) for pick in step]
    assert len(picks) == 20
    for turn in range(4):
        part = picks[5 * turn : 5 * turn + 5]
        assert sorted(pick.song for pick in part) == [0, 1, 2, 3, 4]
        assert {pick.draw for pick in part} == {turn}


def test_a_sampler_that_begins_later_continues_the_other() -> None:
    whole = list(StepSampler(5, 3, (0, 12), seed=4))
    assert list(StepSampler(5, 3, (7, 12), seed=4)) == whole[7:]


def test_processes_share_the_songs_of_a_step() -> None:
    whole = list(StepSampler(7, 4, (0, 6), seed=4))
    shares = [list(StepSampler(7, 4, (0, 6), seed=4, rank=rank, world_size=2)) for rank in range(2)]
    for step, *parts in zip(whole, *shares, strict=True):
        assert Counter(step) == Counter([*parts[0], *parts[1]])
        assert [len(part) for part in parts] == [2, 2]


# --- bad input


def test_no_folder_and_a_folder_without_songs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphmixError, match="name a folder by --songs"):
        songs_in([])
    with pytest.raises(GraphmixError, match="holds no song with graph"):
        songs_in([tmp_path])


def test_songs_with_too_many_tracks_are_left_out(songbook: Path) -> None:
    with pytest.raises(GraphmixError, match="more than 2 tracks"):
        songs_in([songbook], max_tracks=2)


def test_a_graph_of_another_rate_is_refused(songbook: Path) -> None:
    songs = SongSegments(songs_in([songbook]), 44100)
    with pytest.raises(GraphmixError, match="made for 30000 Hz and the model for 44100 Hz"):
        songs.truth(0)


def test_a_graph_that_lacks_a_track_is_refused(songbook: Path, tmp_path: Path) -> None:
    folder = tmp_path / "book" / "song"
    shutil.copytree(songbook / "song_0", folder)
    graph = true_graph(0)
    keep = [node for node in range(graph.num_nodes) if graph.names[node] != "3_voice.wav"]
    sources = set(graph.edge_index[0].tolist())
    voice = graph.names.index("3_voice.wav")
    assert voice in sources
    alone = [node for node in keep if node != int(graph.edge_index[1][graph.edge_index[0] == voice][0])]
    save_graph(graph.subgraph(torch.tensor(alone)), folder / "graph.safetensors")
    with pytest.raises(GraphmixError, match=r"has no input for the track '3_voice\.wav'"):
        SongSegments(songs_in([tmp_path / "book"]), RATE).truth(0)
