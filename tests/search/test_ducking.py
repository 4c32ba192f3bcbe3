"""Ducking: found where one track makes way for another, by the level of its key, and nowhere else."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphmix.audio import load_song
from graphmix.evaluation.records import compare_records
from graphmix.graph import MixGraph, validate
from graphmix.graph.consoles import mixing_console
from graphmix.graph.editing import insert_after
from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.search import Objective, find_baselines, start_graph
from graphmix.search.ducking import grow_ducking
from tests.small_song import RATE, SETTINGS, dry_tracks, mine_without_plots, write_song

GROUPS = {"rhythm": ["1_drum.wav", "2_bass.wav"], "lead": ["3_voice.wav"]}


def true_graph(ducked: bool) -> MixGraph:
    rack = Rack.console("gk", RATE)
    graph = mixing_console(rack, GROUPS, "g")
    graph.params["gain"][:3] = torch.tensor([[-3.0, -3.0], [-6.0, -6.0], [-9.0, -9.0]])
    if ducked:
        graph = insert_after(graph, 3 + 2, "sidechain_compressor", threshold_db=-42.0, ratio=6.0, time_ms=60.0)
        graph = graph.connect(3, graph.num_nodes - 1, inlet=1)
    return validate(graph)


@torch.no_grad()
def mix_of(graph: MixGraph, tracks: dict[str, Tensor]) -> Tensor:
    rack = Rack.for_types(graph.types.types, RATE)
    return Renderer(rack)(graph, torch.stack([tracks[name] for name in graph.input_names]))[0]


def song_in(folder: Path, *, ducked: bool) -> Path:
    tracks = dry_tracks()
    return write_song(folder, tracks, mix_of(true_graph(ducked), tracks))


@pytest.mark.parametrize("ducked", [True, False])
def test_a_track_that_makes_way_is_found_with_what_it_makes_way_for(tmp_path: Path, ducked: bool) -> None:
    song = load_song(song_in(tmp_path / "song", ducked=ducked), RATE)
    objective = Objective(song, Rack.console("g", RATE))
    console = mixing_console(objective.rack, song.subgroups, "g")
    start = start_graph(console, objective, find_baselines(objective, True), 0)
    grown = grow_ducking(objective, start)
    score = compare_records(true_graph(ducked), grown.graph)["ducking"]
    assert (score.true, score.found, score.matched) == ((1, 1, 1) if ducked else (0, 0, 0))
    if ducked:
        (trial,) = (trial for trial in grown.trials if trial["kept"])
        assert trial["loss_after"] < 0.7 * trial["loss_before"]
        assert trial["threshold_db"] == pytest.approx(-42, abs=6)


def test_a_mined_graph_keeps_it_and_a_search_without_looking_does_not_find_it(tmp_path: Path) -> None:
    folder = song_in(tmp_path / "song", ducked=True)
    brief = replace(SETTINGS, chain="g", steps=4, rounds=1)
    mined = mine_without_plots(folder, tmp_path / "with", brief, device="cpu", ducking=True)
    plain = mine_without_plots(folder, tmp_path / "without", brief, device="cpu")
    assert compare_records(true_graph(True), mined.graph)["ducking"].matched == 1
    assert "sidechain_compressor" not in plain.graph.params
    assert mined.metrics["audio_loss"] < 0.7 * plain.metrics["audio_loss"]
