"""The small song, written once, and what the tests of the search make of it."""

from pathlib import Path

import pytest

from graphmix.audio import Song, load_song
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.search import Objective, find_baselines, start_graph
from tests.small_song import SETTINGS, write_small_song, write_tiny_song


@pytest.fixture(scope="session")
def song_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_song(tmp_path_factory.mktemp("songs") / "small")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_song(tmp_path_factory.mktemp("songs") / "tiny")


@pytest.fixture(scope="session")
def song(song_folder: Path) -> Song:
    return load_song(song_folder, SETTINGS.sample_rate)


@pytest.fixture(scope="session")
def rack() -> Rack:
    return Rack.console(SETTINGS.chain, SETTINGS.sample_rate)


@pytest.fixture(scope="session")
def objective(song: Song, rack: Rack) -> Objective:
    return Objective(song, rack)


@pytest.fixture(scope="session")
def _started(song: Song, objective: Objective) -> MixGraph:
    console = mixing_console(objective.rack, song.subgroups, SETTINGS.chain)
    return start_graph(console, objective, find_baselines(objective, with_gains=True), SETTINGS.seed)


@pytest.fixture
def console(_started: MixGraph) -> MixGraph:
    """A full console at the start of its search."""
    return _started.clone()
