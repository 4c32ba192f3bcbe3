"""A short song and the paper's console for it, shared by what is tested on other devices."""

import pytest
import torch

from graphmix.audio import Song, load_song
from graphmix.graph import MixGraph, mixing_console
from graphmix.processors import Rack
from tests.random_parameters import random_parameters
from tests.small_song import RATE, SUBGROUPS, dry_tracks, hidden_graph, mixed, write_song

CHAIN = "ecnsgdr"


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Song:
    """Two segments long."""
    tracks = {name: audio.repeat(1, 2)[:, : 4 * RATE] for name, audio in dry_tracks().items()}
    return load_song(write_song(tmp_path_factory.mktemp("songs") / "song", tracks, mixed(hidden_graph(), tracks)), RATE)


@pytest.fixture(scope="module")
def rack() -> Rack:
    return Rack.console(CHAIN, RATE)


@pytest.fixture(scope="module")
def console(rack: Rack) -> MixGraph:
    graph = mixing_console(rack, SUBGROUPS, CHAIN)
    generator = torch.Generator().manual_seed(1)
    for kind in rack.types:
        graph.params[kind.name] = random_parameters(kind, len(graph.nodes_of(kind.name)), generator)
    graph.wet = torch.full_like(graph.wet, 0.5)
    return graph
