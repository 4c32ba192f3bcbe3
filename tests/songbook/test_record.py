"""Songs of mode ``record``: the graph makes the mix, and songs have what records have in the shares that are stated."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from graphmix.audio import load_song
from graphmix.graph import load_graph, validate
from graphmix.render import render_song
from graphmix.songbook import SongbookSettings, write_songbook
from graphmix.songbook.book_song import BookSong, make_song
from graphmix.songbook.record import CEILING_DB, CHANCES, make_record
from graphmix.songbook.roles import find_role

SETTINGS = SongbookSettings(seed=5, mode="record", min_tracks=5, max_tracks=8, seconds=(3.0, 3.5))


@pytest.fixture(scope="module")
def song() -> BookSong:
    return make_song(replace(SETTINGS, mode="console"), 1)


def with_all(song: BookSong, monkeypatch: pytest.MonkeyPatch, *wanted: str) -> tuple[dict[str, int], torch.Tensor]:
    """Counts of types in a record that has these and nothing else, and its sound."""
    monkeypatch.setattr("graphmix.songbook.record.CHANCES", {name: float(name in wanted) for name in CHANCES})
    families = {track: find_role(role).family for track, role in song.session.roles.items()}
    record = make_record(song.session, song.mixed, families, np.random.default_rng(0))
    graph = validate(record.graph)
    return {t.name: len(graph.nodes_of(t.name)) for t in graph.types.types}, record.mix


def test_a_record_without_any_of_it_is_the_console(song: BookSong, monkeypatch: pytest.MonkeyPatch) -> None:
    _, mix = with_all(song, monkeypatch)
    torch.testing.assert_close(mix, song.mixed.mix, rtol=0, atol=2e-4)


@pytest.mark.parametrize(
    ("wanted", "kind", "count"),
    [
        ("master limiter", "limiter", 1),
        ("ducking", "sidechain_compressor", 1),
        ("late mix", "align", 1),
        ("moved track", "align", 1),
        ("inverted track", "align", 1),
    ],
)
def test_a_record_has_what_was_wanted(
    song: BookSong, monkeypatch: pytest.MonkeyPatch, wanted: str, kind: str, count: int
) -> None:
    plain, _ = with_all(song, monkeypatch)
    counts, mix = with_all(song, monkeypatch, wanted)
    assert plain[kind] == 0
    assert counts[kind] == count
    assert float((mix - song.mixed.mix).abs().max()) > 1e-3
    assert float(mix.abs().max()) <= 10 ** (CEILING_DB / 20) * (1 + 1e-6)


def test_returns_take_the_place_of_the_tracks_own_effects(song: BookSong, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _ = with_all(song, monkeypatch)
    counts, _ = with_all(song, monkeypatch, "reverb return")
    assert counts["send"] >= 2
    assert counts["mix"] == plain["mix"] + 1
    assert counts["reverb"] <= plain["reverb"] + 1


def test_a_written_record_is_made_by_its_graph(tmp_path: Path) -> None:
    for folder in write_songbook(tmp_path, [1, 2], SETTINGS):
        song = load_song(folder, SETTINGS.sample_rate)
        made = render_song(load_graph(folder / "graph.safetensors"), song)
        torch.testing.assert_close(made, song.read_mix(0, song.num_samples), rtol=0, atol=1e-4)
