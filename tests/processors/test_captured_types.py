"""Captured effects in racks: letters, names, and which file a graph's node type is from."""

from pathlib import Path

import pytest
import torch

from graphmix.errors import GraphError, GraphmixError
from graphmix.graph.editing import retype
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.networkx import from_networkx, to_networkx
from graphmix.graph.storage import load_graph, save_graph
from graphmix.graph.tables import describe_graph
from graphmix.models.effects import captured_effect
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.spec import TypeTable
from tests.small_effects import write_amp, write_pedal
from tests.small_song import RATE, same_graph


def two_letters(folder: Path) -> tuple[Rack, MixGraph]:
    """A track through an amp and a pedal."""
    rack = Rack.console("eg", RATE).with_effect("a", write_amp(folder)).with_effect("p", write_pedal(folder))
    graph = MixGraph(rack.types, RATE)
    chain = [graph.add("amp", wet=0.7), graph.add("pedal", drive_db=12, tone=3), graph.add("gain", gain_db=-3)]
    return rack, graph.chain(graph.add("in", name="voice"), *chain, graph.add("out"))


def test_with_effect_is_with_processor_of_the_file(tmp_path: Path):
    path = write_amp(tmp_path)
    one = Rack.console("eg", RATE).with_effect("a", path)
    other = Rack.console("eg", RATE).with_processor(captured_effect(path, "a", RATE))
    assert one.types == other.types
    assert one.with_effect("b", path, "second").names == ("equalizer", "gain", "amp", "second")


@pytest.mark.parametrize("letter", ["g", "i", "m", "o"])
def test_a_letter_that_is_taken_is_refused(tmp_path: Path, letter: str):
    with pytest.raises(GraphError, match=rf"letter '{letter}' of amp is that of \w+; choose another"):
        Rack.console("eg", RATE).with_effect(letter, write_amp(tmp_path))


def test_what_capture_wrote_is_called_as_its_folder(tmp_path: Path):
    amp, pedal = write_amp(tmp_path / "Small Amp", "effect"), write_pedal(tmp_path / "pedal", "effect")
    rack = Rack.console("g", RATE).with_effect("a", amp).with_effect("p", pedal)
    assert rack.names == ("gain", "small_amp", "pedal")


def test_a_graph_finds_its_effect_in_another_file_under_another_letter(tmp_path: Path):
    rack, graph = two_letters(tmp_path)
    moved = (tmp_path / "amp.safetensors").rename(tmp_path / "moved.safetensors")
    given = [captured_effect(tmp_path / "pedal.safetensors", "x", RATE), captured_effect(moved, "y", RATE)]
    again = Rack.for_types(graph.types.types, RATE, given)
    assert again.types == rack.types
    audio = 0.3 * torch.randn(1, 2, 4000, generator=torch.Generator().manual_seed(1))
    assert torch.equal(Renderer(again)(graph, audio), Renderer(rack)(graph, audio))


def test_a_graph_refuses_another_capture_and_asks_for_a_missing_one(tmp_path: Path):
    _, graph = two_letters(tmp_path)
    pedal = captured_effect(tmp_path / "pedal.safetensors", "p", RATE)
    louder = captured_effect(write_amp(tmp_path / "other", drive=3.0), "a", RATE)
    with pytest.raises(GraphError, match=r"'amp' is from amp\.safetensors \w{16}, and the one given from .*another"):
        Rack.for_types(graph.types.types, RATE, [pedal, louder])
    with pytest.raises(GraphError, match=r"uses the captured effect 'amp', from amp\.safetensors .*--effect a=FILE"):
        Rack.for_types(graph.types.types, RATE, [pedal])


def test_files_and_networkx_keep_the_effect_and_its_controls(tmp_path: Path):
    _, graph = two_letters(tmp_path)
    for path in (tmp_path / "graph.json", tmp_path / "graph.safetensors"):
        again = load_graph(save_graph(graph, path))
        assert same_graph(graph, again)
        assert again.types == graph.types
    assert same_graph(graph, from_networkx(to_networkx(graph)))


def test_a_table_shows_controls_with_their_units(tmp_path: Path):
    _, graph = two_letters(tmp_path)
    (track,) = (chain for chain in describe_graph(graph) if chain.kind == "track")
    assert [row.settings for row in track.processors] == ["", "drive 12 dB, tone 3", "fader -3.0 dB, pan centre"]


def test_another_capture_is_another_type(tmp_path: Path):
    _, graph = two_letters(tmp_path)
    moved = Rack.console("g", RATE).with_effect("b", (tmp_path / "amp.safetensors").rename(tmp_path / "x.safetensors"),
                                                "amp").with_effect("p", tmp_path / "pedal.safetensors")  # fmt: skip
    table = TypeTable((*graph.types.types[:3], *moved.types))
    assert retype(graph, table).types == table
    other = (
        Rack.console("g", RATE)
        .with_effect("a", write_amp(tmp_path, drive=3.0))
        .with_effect("p", tmp_path / "pedal.safetensors")
    )
    with pytest.raises(GraphmixError, match=r"'amp' is from amp\.safetensors .* from amp\.safetensors .*another capt"):
        retype(graph, TypeTable((*graph.types.types[:3], *other.types)))
