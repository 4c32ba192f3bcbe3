"""Graph files and records from strangers load, or fail with one error, in bounded time and memory."""

from pathlib import Path
from typing import Any

import pytest
import torch

from graphmix.errors import GraphError
from graphmix.graph.consoles import mixing_console
from graphmix.graph.document import MAX_NODES
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import MAX_JSON_BYTES, MAX_TENSOR_BYTES, load_graph, read_header, save_graph
from graphmix.processors.rack import Rack
from graphmix.spec import NodeType, ParameterSpec
from tests.fuzzing import check_bounds, check_what_is_no_file, run_script

SCRIPT = Path(__file__).with_name("fuzzed_files.py")


def check(result: dict[str, Any], count: int) -> None:
    check_bounds(result)
    assert sum(sum(result[kind].values()) for kind in ("graph", "record")) == count
    for kind in ("graph", "record"):
        assert min(result[kind].values()) > count // 100  # some do load: a changed number is no damage
    assert result["absurd"] == {"loaded": 1, "refused": 17 if count >= 1000 else 5}


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_hundreds_or_thousands_of_files_from_strangers(count: int, tmp_path: Path) -> None:
    check(run_script(SCRIPT, tmp_path, count, seed=1), count)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_a_hundred_thousand_files_from_strangers(tmp_path: Path, seed: int) -> None:
    check(run_script(SCRIPT, tmp_path, 25_000, seed), 25_000)


@pytest.mark.parametrize("ending", [".safetensors", ".json"])
def test_a_pipe_a_device_and_an_impossible_name_are_refused_without_waiting(tmp_path: Path, ending: str) -> None:
    check_what_is_no_file(tmp_path, ending, load_graph, GraphError)


def test_what_is_too_large_to_be_read_is_not_written_either(tmp_path: Path) -> None:
    graph = MixGraph([])
    graph.node_type = torch.zeros(MAX_NODES + 1, dtype=torch.long)
    with pytest.raises(GraphError, match=f"cannot save .*: it has {MAX_NODES + 1} nodes; a graph file holds up to"):
        save_graph(graph, tmp_path / "graph.json")
    wide = MixGraph([NodeType("wide", "w", (ParameterSpec("value", 2_000_000, "", 0.0, 1.0, 0.0),))])
    with pytest.raises(GraphError, match=r"cannot save .*: a parameter has size 2000000; it has one entry or more"):
        save_graph(wide, tmp_path / "graph.json")


def test_a_header_is_read_without_the_tensors(tmp_path: Path) -> None:
    graph = MixGraph([], 44100)
    graph.chain(graph.add("in", name="voice"), graph.add("out"))
    path = save_graph(graph, tmp_path / "graph.safetensors")
    head = read_header(path)
    assert (head["sample_rate"], head["names"]) == (44100, ["voice", ""])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(GraphError, match=r"cannot load .*graph\.safetensors: the file is damaged or cut off"):
        read_header(path)
    with pytest.raises(GraphError, match=r"cannot load .*nowhere"):
        read_header(tmp_path / "nowhere.safetensors")


def test_the_largest_console_of_the_papers_data_stays_far_below_the_limits(tmp_path: Path) -> None:
    """136 tracks and 26 buses with seven processors each, all parameters different: 162 times one such chain."""
    rack = Rack.console()
    graph = mixing_console(rack, {"bus": ["track"]})
    for t in rack.types:
        low, high = (edge.clamp(-100, 100) for edge in t.bounds())
        graph.params[t.name] = low + (high - low) * torch.rand(graph.params[t.name].shape)
    tensors, text = (
        save_graph(graph, tmp_path / f"graph{ending}").stat().st_size for ending in (".safetensors", ".json")
    )
    assert 162 / 2 * tensors < MAX_TENSOR_BYTES / 10
    assert 162 / 2 * text < MAX_JSON_BYTES
