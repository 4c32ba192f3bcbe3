"""Tracks rendered alone, all at once, against one rendering for each."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphmix.audio import load_song
from graphmix.graph import mixing_console
from graphmix.graph.editing import with_type
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.dynamics import SidechainCompressor
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.search import Objective
from graphmix.search import contributions as module
from graphmix.search.contributions import Contributions
from graphmix.search.ducking import Ducking, insert_ducking
from graphmix.search.rides import find_places
from tests.small_song import RATE, SUBGROUPS

CHAIN = "ecngdr"


@pytest.fixture(scope="module")
def objective(song_folder: Path) -> Objective:
    return Objective(load_song(song_folder, RATE), Rack.console(CHAIN + "sl", RATE))


@pytest.fixture(params=["console", "ducked"])
def graph(objective: Objective, request: pytest.FixtureRequest) -> MixGraph:
    """With something to do for all processors."""
    graph = mixing_console(objective.rack, SUBGROUPS, CHAIN, "sl")
    if request.param == "ducked":
        graph = with_type(graph, SidechainCompressor(RATE).node_type)
        place = next(place for place in find_places(graph) if len(place.tracks) == 1)
        graph = insert_ducking(graph, Ducking(place, 1 - place.tracks[0], -40.0, 0.6, 60.0, 0.0, 0.1))
    generator = torch.Generator().manual_seed(0)
    for kind in ("equalizer", "gain"):
        values = graph.params[kind]
        values += 3 * torch.randn(values.shape, generator=generator)
    compressor = objective.rack["compressor"].node_type
    graph.params["compressor"][:, compressor.columns("threshold_db")] = -30.0
    graph.wet = torch.where(graph.prunable, 0.7, graph.wet)
    return graph


def one_by_one(objective: Objective, graph: MixGraph, stems: Tensor) -> Tensor:
    """The definition: all other tracks are silent."""
    sources = objective.stems_for(graph, stems)
    renderer = Renderer(objective.rack)
    parts = []
    for row in range(len(sources)):
        alone = torch.zeros_like(sources)
        alone[row] = sources[row]
        parts.append(renderer(graph, alone).sum(0))
    return torch.stack(parts)


@pytest.mark.parametrize("at_once", [2, 32])
def test_tracks_at_once_are_tracks_alone(
    objective: Objective, graph: MixGraph, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    able = objective.with_processor(SidechainCompressor(RATE))
    contributions = Contributions(able, graph)
    stems = able.read(0, RATE).stems
    resting = stems.clone()
    resting[1] = 0
    for audio in (stems, resting, stems):  # the second with known responses, and without the nodes of a track
        parts, made = contributions(audio, 0)
        wanted = one_by_one(able, graph, audio)
        assert torch.allclose(parts, wanted, atol=2e-6 * float(wanted.abs().max()))
        assert torch.allclose(made, Renderer(able.rack)(graph, able.stems_for(graph, audio)).sum(0), atol=1e-6)
    assert not contributions(resting, 0)[0][able.song.track_names.index(graph.input_names[1])].any()


def test_a_silent_song_has_no_contributions(objective: Objective) -> None:
    graph = mixing_console(objective.rack, SUBGROUPS, "g")
    parts, made = Contributions(objective, graph)(torch.zeros(3, 2, 9000), 0)
    assert not parts.any()
    assert not made.any()
