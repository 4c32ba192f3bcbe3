"""Songs of mode ``random-order``: the graph makes the mix, chains have the wanted types in orders that differ."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphmix.audio import load_song
from graphmix.errors import SongError
from graphmix.evaluation.chains import take_apart
from graphmix.evaluation.recovery import compare, empty_answer
from graphmix.graph import MixGraph, load_graph, validate
from graphmix.graph.strips import find_strips
from graphmix.processors import Rack
from graphmix.render import render_song
from graphmix.songbook import SongbookSettings, oracle_mix, write_songbook
from graphmix.songbook.book_song import BookSong, make_song
from graphmix.songbook.features import measure
from graphmix.songbook.mixing import PEAK_CEILING_DB
from graphmix.songbook.random_order import LEAST_CHANGE_DB, TRACK_SHARES, find_kinds
from graphmix.songbook.random_settings import DRAWS, loudest_change_db

SETTINGS = SongbookSettings(
    seed=1, mode="random-order", types="ecngdr[parametric_eq]", min_tracks=4, max_tracks=5, seconds=(2.0, 2.0)
)
RATE = 30000


@pytest.fixture(scope="module")
def song() -> BookSong:
    return make_song(SETTINGS, 0)


def kinds_of(graph: MixGraph) -> list[list[str]]:
    return [[graph.type_of(node).name for node in chain] for chain in find_strips(graph).tracks.values()]


def test_each_track_has_one_fader_and_some_other_types_once(song: BookSong) -> None:
    graph = validate(song.mixed.graph)
    chains = kinds_of(graph)
    assert all(chain.count("gain") == 1 and 2 <= len(chain) <= len(TRACK_SHARES) for chain in chains)
    assert all(len(set(chain)) == len(chain) for chain in chains)
    assert {kind for chain in chains for kind in chain} <= set(find_kinds(SETTINGS.types))
    order = find_kinds("ecnsgdr[parametric_eq]")
    assert any(chain != sorted(chain, key=order.index) for chain in chains)


def test_peaks_stay_below_full_scale_and_every_pass_repeats(song: BookSong) -> None:
    assert float(song.mixed.mix.abs().max()) <= 10 ** (PEAK_CEILING_DB / 20)
    again = make_song(SETTINGS, 0)
    torch.testing.assert_close(again.mixed.mix, song.mixed.mix, rtol=0, atol=0)
    assert kinds_of(again.mixed.graph) == kinds_of(song.mixed.graph)
    assert kinds_of(make_song(replace(SETTINGS, seed=2), 0).mixed.graph) != kinds_of(song.mixed.graph)


def test_the_written_graph_makes_the_written_mix(tmp_path: Path) -> None:
    (folder,) = write_songbook(tmp_path / "book", 1, SETTINGS)
    loaded, graph = load_song(folder), load_graph(folder / "graph.safetensors")
    torch.testing.assert_close(render_song(graph, loaded), loaded.read_mix(0, loaded.num_samples), rtol=0, atol=2e-6)
    with pytest.raises(SongError, match="random chains, which follow from chance"):
        oracle_mix(folder)


def test_dry_tracks_are_those_of_the_other_modes(song: BookSong) -> None:
    console = make_song(replace(SETTINGS, mode="console", types=""), 0)
    for track, stem in console.session.stems.items():
        torch.testing.assert_close(song.session.stems[track], stem, rtol=0, atol=0)


@pytest.mark.parametrize("kind", sorted(set(DRAWS) - {"gain", "tanh", "clipper"}))
def test_settings_are_in_range_and_change_the_signal(kind: str) -> None:
    rng = np.random.default_rng(3)
    time = np.arange(RATE) / RATE
    strokes = np.exp(-8 * (time % 0.25)) * np.sign(np.sin(2 * np.pi * 110 * time))
    audio = (0.3 * np.stack([strokes, strokes]) + 0.02 * rng.standard_normal((2, RATE))).astype(np.float32)
    name, wet, values = DRAWS[kind](rng, measure(audio, RATE), RATE)
    assert name == kind
    processor = Rack.full(RATE)[kind]
    graph = MixGraph((processor.node_type,), RATE)
    graph.add(kind, wet=wet, **values)  # refuses what is out of range
    with torch.no_grad():
        after = processor.mix(torch.from_numpy(audio)[None], graph.params[kind], torch.tensor([wet]))[0][0]
    assert loudest_change_db(audio, after.numpy()) > LEAST_CHANGE_DB - 15


def test_a_change_of_level_alone_is_none() -> None:
    audio = np.random.default_rng(0).standard_normal((2, 1000))
    assert loudest_change_db(audio, -0.5 * audio) == pytest.approx(-120)
    assert loudest_change_db(audio, audio + 0.1 * audio[::-1]) == pytest.approx(-20, abs=0.3)
    assert loudest_change_db(0 * audio, audio) == -np.inf


def test_the_edit_distance_counts_order_only_where_it_sounds() -> None:
    types = Rack.console("ecg[parametric_eq]", RATE).types

    def console(*kinds: str) -> MixGraph:
        graph = MixGraph(types, RATE)
        values: dict[str, dict[str, Any]] = {
            "compressor": {"ratio": 4.0},
            "equalizer": {"gain_db": 3.0},
            "gain": {"gain_db": [3.0, -3.0]},
        }
        nodes = [graph.add(kind, **values.get(kind, {"gain_db": 3.0})) for kind in kinds]
        mix, out = graph.add("mix", name="bus"), graph.add("out")
        graph.chain(graph.add("in", name="a"), *nodes, mix)
        graph.chain(graph.add("in", name="b"), mix)
        return graph.chain(mix, out)

    true = console("compressor", "parametric_eq", "gain")
    assert compare(true, console("compressor", "gain", "parametric_eq")).edit_distance == 0
    assert compare(true, console("parametric_eq", "compressor", "gain")).edit_distance > 0
    assert compare(true, console("compressor", "equalizer", "gain")).edit_distance == 1  # another type, one change
    assert compare(true, empty_answer(true)).edit_distance > compare(true, console("compressor", "gain")).edit_distance
    assert [p.kind for p in take_apart(true).by_place["track a"]] == ["compressor", "parametric_eq", "gain"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"types": "eq"}, "no settings are known of 'q'"),
        ({"types": "eeg"}, "one comes twice"),
        ({"types": "ec"}, "faders need a gain"),
        ({"types": "e[g"}, "is not closed"),
        ({"mode": "console"}, "are for random chains"),
    ],
)
def test_types_of_which_no_chains_can_be_made_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SongError, match=message):
        replace(SETTINGS, **values)
