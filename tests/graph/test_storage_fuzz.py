"""Graph files and records from strangers load, or fail with one error, in bounded time and memory."""

import json
import os
import subprocess
import sys
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
from tests.graph.fuzzed_files import MEMORY_BYTES

TESTS = Path(__file__).resolve().parent.parent
SECONDS = 30
"""For one file, on a machine that does other things as well; a few are normal."""


def run(folder: Path, count: int, seed: int) -> dict[str, Any]:
    path = os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    command = [
        sys.executable,
        "-W",
        "ignore",
        str(TESTS / "graph" / "fuzzed_files.py"),
        str(folder),
        str(count),
        str(seed),
    ]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def check(result: dict[str, Any], count: int) -> None:
    assert result["others"] == []
    assert sum(sum(result[kind].values()) for kind in ("graph", "record")) == count
    for kind in ("graph", "record"):
        assert min(result[kind].values()) > count // 100  # some do load: a changed number is no damage
    assert result["absurd"] == {"loaded": 1, "refused": 17}
    assert result["longest_message"] < 1500
    assert result["slowest"] < SECONDS, result["slowest_file"]
    assert result["grown_bytes"] < MEMORY_BYTES


def test_ten_thousand_files_from_strangers(tmp_path: Path) -> None:
    check(run(tmp_path, 10_000, seed=1), 10_000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_a_hundred_thousand_files_from_strangers(tmp_path: Path, seed: int) -> None:
    check(run(tmp_path, 25_000, seed), 25_000)


@pytest.mark.parametrize("ending", [".safetensors", ".json"])
def test_a_pipe_a_device_and_an_impossible_name_are_refused_without_waiting(tmp_path: Path, ending: str) -> None:
    pipe = tmp_path / f"pipe{ending}"
    os.mkfifo(pipe)
    endless = tmp_path / f"zero{ending}"
    endless.symlink_to("/dev/zero")
    for path in (pipe, endless):
        with pytest.raises(GraphError, match=r"cannot load .*: it is no regular file\."):
            load_graph(path)
    with pytest.raises(GraphError, match="there is no such file"):
        load_graph(f"a\0b{ending}")


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
