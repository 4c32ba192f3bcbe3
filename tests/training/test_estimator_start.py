"""A search that starts from what a model says."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_song import RATE, write_small_song
from tiny_songbook import CHAIN, GRAPH, WRITER

from graphmix.audio import Song, load_song
from graphmix.errors import GraphmixError, SearchError
from graphmix.graph.console import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.validate import validate
from graphmix.models.config import model_config
from graphmix.models.estimator import build_estimator
from graphmix.processors.rack import Rack
from graphmix.search.raw import MIN_WEIGHT
from graphmix.training.checkpoint import save_estimator
from graphmix.training.start import EstimatorStart, parse_start, soft_console

REVERSE: dict[str, Any] = {**GRAPH, "reverse": True}


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Song:
    return load_song(write_small_song(tmp_path_factory.mktemp("start") / "song"), RATE)


@pytest.fixture
def rack() -> Rack:
    return Rack.console(CHAIN, RATE)


@pytest.fixture
def console(song: Song, rack: Rack) -> MixGraph:
    return mixing_console(rack.types, song.subgroups, CHAIN, RATE)


def test_the_start_is_the_console_with_the_models_settings(song: Song, rack: Rack, console: MixGraph) -> None:
    estimator = build_estimator(model_config(REVERSE))
    start = EstimatorStart(estimator)(console, song, rack)
    validate(start)
    for name in ("node_type", "edge_index", "edge_port"):
        assert torch.equal(start[name], console[name])
    assert start.names == console.names
    proposal = soft_console(estimator, song)
    for track in song.track_names:
        here, there = (graph.names.index(track) for graph in (start, proposal))
        first = [int(graph.edge_index[1][graph.edge_index[0] == node][0]) for graph, node in
                 ((start, here), (proposal, there))]  # fmt: skip
        assert torch.equal(start.parameter(first[0], "gain_db"), proposal.parameter(first[1], "gain_db"))
        assert start.wet[first[0]] == max(float(proposal.wet[first[1]]), MIN_WEIGHT)


def test_every_processor_can_be_trained(song: Song, rack: Rack, console: MixGraph) -> None:
    start = EstimatorStart(build_estimator(model_config(REVERSE)))(console, song, rack)
    wet = start.wet[start.processors]
    assert (wet >= MIN_WEIGHT).all()
    assert (wet <= 1).all()


def test_what_the_model_does_not_have_takes_its_start_value(song: Song) -> None:
    rack = Rack.console("egr", RATE)
    console = mixing_console(rack.types, song.subgroups, "egr", RATE)
    start = EstimatorStart(build_estimator(model_config(REVERSE)))(console, song, rack)
    reverbs = start.nodes_of("reverb")
    assert (start.wet[reverbs] == max(rack["reverb"].start_wet, MIN_WEIGHT)).all()


def test_a_writer_starts_a_search_as_far_as_it_fits(song: Song, rack: Rack, console: MixGraph) -> None:
    start = EstimatorStart(build_estimator(model_config({**WRITER, "chain": CHAIN})))
    try:
        validate(start(console, song, rack))
    except SearchError as error:  # what an untrained model writes may have no place in a console at all
        assert "sets none of the processors" in str(error)


def test_a_start_without_a_common_processor_is_refused(song: Song) -> None:
    rack = Rack.console("r", RATE)
    console = mixing_console(rack.types, song.subgroups, "r", RATE)
    with pytest.raises(SearchError, match="sets none of the processors"):
        EstimatorStart(build_estimator(model_config(REVERSE)))(console, song, rack)


def test_a_model_of_another_rate_is_refused(song: Song, rack: Rack, console: MixGraph) -> None:
    estimator = build_estimator(model_config({**REVERSE, "sample_rate": 24000}))
    with pytest.raises(SearchError, match="--sample-rate 24000"):
        EstimatorStart(estimator)(console, song, rack)


# --- the option


def test_the_option_names_the_usual_start_or_a_model(tmp_path: Path) -> None:
    assert parse_start("levels") is None
    save_estimator(build_estimator(model_config(REVERSE)), tmp_path / "mine")
    start = parse_start(f"estimator:{tmp_path / 'mine'}")
    assert start is not None
    assert start.name == f"estimator:{tmp_path / 'mine'}"


@pytest.mark.parametrize(("text", "message"), [("nearest", "there is no start 'nearest'"), ("estimator:x", "no model")])
def test_another_start_is_refused(text: str, message: str) -> None:
    with pytest.raises(GraphmixError, match=message):
        parse_start(text)
