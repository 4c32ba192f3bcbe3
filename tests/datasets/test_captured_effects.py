"""Datasets of graphs with captured effects: the type keeps its source, and two captures do not mix."""

from pathlib import Path

import pytest
import torch

from graphmix.datasets.merge import AbsorbRedundant
from graphmix.datasets.mined_graphs import MinedGraphs
from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.effects import captured_effect
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from tests.mining.mined_folders import RATE, small_graph, write_mined
from tests.small_effects import write_amp
from tests.small_song import same_graph


def played(amp: Path, letter: str = "a") -> MixGraph:
    """A track through an amp between two gains, and one without."""
    rack = Rack.console("g", RATE).with_processor(captured_effect(amp, letter, RATE, "amp"))
    graph = MixGraph(rack.types, RATE)
    out = graph.add("out")
    chain = [graph.add("gain", gain_db=6), graph.add("amp", wet=0.6), graph.add("gain", gain_db=-3)]
    graph.chain(graph.add("in", name="0.wav"), *chain, graph.add("gain", gain_db=-2), out)
    return graph.chain(graph.add("in", name="1.wav"), out)


def test_what_is_stored_comes_back_with_its_source(tmp_path: Path):
    amp = write_amp(tmp_path)
    write_mined(tmp_path / "mined" / "one", played(amp), "one")
    write_mined(tmp_path / "mined" / "two", small_graph(), "two")
    moved = amp.rename(tmp_path / "moved.safetensors")
    write_mined(tmp_path / "mined" / "zwo", played(moved, "b"), "zwo")
    for _ in ("built", "read"):
        dataset = MinedGraphs(tmp_path / "mined")
        graph = dataset[0]
        assert isinstance(graph, MixGraph)
        assert graph.types.by_letter("a").source.startswith("amp.safetensors ")
        assert [int(each.nodes_of("amp").numel()) for each in dataset] == [1, 0, 1]


def test_two_captures_of_one_name_do_not_share_a_dataset(tmp_path: Path):
    write_mined(tmp_path / "mined" / "one", played(write_amp(tmp_path)), "one")
    write_mined(tmp_path / "mined" / "two", played(write_amp(tmp_path, drive=3.0)), "two")
    with pytest.raises(GraphError, match=r"the 'amp' of .*two.* is from amp\.safetensors .*: another capture\. Select"):
        MinedGraphs(tmp_path / "mined")


def test_gains_are_not_merged_across_an_effect(tmp_path: Path):
    amp = write_amp(tmp_path)
    graph = played(amp)
    merged = AbsorbRedundant()(graph)
    assert [merged.type_of(node).name for node in merged.processors.tolist()] == ["gain", "amp", "gain"]
    audio = 0.2 * torch.randn(2, 2, 3000, generator=torch.Generator().manual_seed(2))
    renderer = Renderer(Rack.for_types(graph.types.types, RATE, [captured_effect(amp, "a", RATE)]))
    assert torch.allclose(renderer(graph, audio), renderer(merged, audio), atol=1e-5)
    assert not same_graph(graph, merged)
