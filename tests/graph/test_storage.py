"""Files: both formats give back the same bits, and writing is atomic."""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch_geometric.data import Batch

from graphmix.errors import FileError, GraphError
from graphmix.graph import MixGraph, mixing_console
from graphmix.graph.document import graph_from_plain, plain_graph
from graphmix.graph.storage import load_graph, save_graph
from graphmix.processors import Rack
from graphmix.spec import NodeType, ParameterSpec
from tests.graph.random_mixgraphs import AMP, TYPES, assert_same, random_graph, random_graphs

ENDINGS = (".safetensors", ".json")


@pytest.fixture(params=ENDINGS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"song{request.param}"


# --- round trips


@settings(max_examples=40, deadline=None)
@given(random_graphs, st.sampled_from(ENDINGS))
def test_a_saved_graph_comes_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, graph: MixGraph, ending: str
) -> None:
    provenance = {"song": "Überfall", "losses": [0.1, 2, None], "pruned": {"by": "dry/wet", "round": 3}}
    graph.info = replace(graph.info, provenance=provenance)
    path = tmp_path_factory.mktemp("graphs") / f"song{ending}"
    assert save_graph(graph, path) == path
    loaded = load_graph(str(path))
    assert_same(graph, loaded)
    assert loaded.provenance == provenance


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=5, max_size=5))
def test_readable_numbers_are_the_same_float32(values: list[float]) -> None:
    graph = MixGraph([NodeType("any", "a", (ParameterSpec("value", 5, "", -np.inf, np.inf, 0.0),))])
    graph.add("a", value=values)
    text = json.dumps(plain_graph(graph))
    assert graph_from_plain(json.loads(text)).params["any"].numpy().tobytes() == graph.params["any"].numpy().tobytes()


def test_readable_numbers_are_short(tmp_path: Path) -> None:
    graph = MixGraph([AMP])
    graph.chain(graph.add("in"), graph.add("amp", gain_db=[-3.2, 0.1], time_ms=21.7, wet=0.3), graph.add("out"))
    text = save_graph(graph, tmp_path / "song.json").read_text()
    assert '"parameters": {"gain_db": [-3.2, 0.1], "time_ms": 21.7}' in text
    assert '"wet": 0.3' in text
    assert '"unit": "dB"' in text
    assert '{"from": 0, "to": 1}' in text


def test_a_full_console_with_awkward_values_comes_back(path: Path) -> None:
    rack = Rack.standard(44100)
    graph = mixing_console(rack, {"Schlagzeug [ü]": ["kick/in", ""], "\udcff": ["a\nb"]})
    generator = torch.Generator().manual_seed(1)
    for processor in rack:
        values = graph.params[processor.node_type.name]
        graph.params[processor.node_type.name] = processor.start(values, generator)
    graph.params["gain"] = torch.tensor([[-0.0, 0.0], [1e-45, -1e-38]]).repeat(3, 1)[: graph.params["gain"].size(0)]
    save_graph(graph, path)
    assert_same(load_graph(path), graph)
    assert Rack.for_types(load_graph(path).types.types, 44100).names


def test_types_without_parameters_and_infinite_ranges_come_back(path: Path) -> None:
    free = NodeType("free", "f", (ParameterSpec("value", 2, "", -np.inf, np.inf, 0.0),))
    graph = MixGraph((NodeType("flip", "x"), free))
    graph.add("out")
    save_graph(graph, path)
    assert_same(load_graph(path), graph)
    graph = MixGraph((NodeType("flip", "x"), free))
    graph.chain(graph.add("in"), graph.add("x"), graph.add("f", value=3e38), graph.add("out"))
    save_graph(graph, path)
    assert_same(load_graph(path), graph)


def test_a_graph_in_training_is_saved_by_value(path: Path) -> None:
    graph = random_graph(1)
    graph.params["amp"].requires_grad_()
    loaded = load_graph(save_graph(graph, path))
    assert not loaded.params["amp"].requires_grad
    assert torch.equal(loaded.params["amp"], graph.params["amp"])


def test_the_compact_file_holds_named_tensors_and_a_json_header(tmp_path: Path) -> None:
    graph = random_graph(2)
    with safe_open(save_graph(graph, tmp_path / "song.safetensors"), "pt") as file:
        head = json.loads(file.metadata()["graphmix"])
        assert set(file.keys()) == {"node_type", "edge_index", "edge_port", "wet"} | {f"params.{t.name}" for t in TYPES}
        assert torch.equal(file.get_tensor("params.amp"), graph.params["amp"])
    assert (head["format"], head["schema_version"], head["sample_rate"]) == ("graphmix", 1, 44100)
    assert [t["name"] for t in head["types"]] == list(graph.types.names)
    assert head["names"] == graph.names


def test_a_readable_file_may_be_written_by_hand() -> None:
    document: dict[str, Any] = plain_graph(MixGraph(TYPES))
    document["nodes"] = [
        {"id": "voice", "type": "in"},
        {"id": "band", "type": "split", "wet": 1},
        {"id": "amp", "type": "amp", "wet": 0.25, "parameters": {"gain_db": -3}},
        {"id": 7, "type": "out", "name": "mix"},
    ]
    document["edges"] = [
        {"from": "voice", "to": "band"},
        {"from": "band", "to": "amp", "outlet": "high"},
        {"from": "amp", "to": 7, "inlet": 0},
    ]
    graph = graph_from_plain(document)
    assert graph.params["amp"].tolist() == [[-3, -3, 10]]
    assert graph.params["split"].tolist() == [[500]]
    assert graph.wet.tolist() == [1, 1, 0.25, 1]
    assert graph.names == ["", "", "", "mix"]
    assert graph.edge_port.tolist() == [[0, 0], [1, 0], [0, 0]]


def test_endings_are_read_in_any_case(tmp_path: Path) -> None:
    assert_same(load_graph(save_graph(random_graph(3), tmp_path / "SONG.JSON")), random_graph(3))


# --- writing


def test_saving_replaces_the_old_file_and_leaves_no_other(path: Path) -> None:
    save_graph(random_graph(1), path)
    save_graph(random_graph(2), path)
    assert_same(load_graph(path), random_graph(2))
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    save_graph(random_graph(1), path)

    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(FileError, match=r"cannot write .*song\..*: No space left on device\.$"):
            save_graph(random_graph(2), path)
    assert_same(load_graph(path), random_graph(1))
    assert os.listdir(path.parent) == [path.name]


def test_a_folder_that_is_missing_or_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot write .*nowhere/song\.json: No such file or directory"):
        save_graph(random_graph(1), tmp_path / "nowhere" / "song.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"cannot write .*file/song\.json: Not a directory"):
        save_graph(random_graph(1), tmp_path / "file" / "song.json")
    (tmp_path / "taken.json").mkdir()
    with pytest.raises(FileError, match=r"cannot write .*taken\.json: Is a directory"):
        save_graph(random_graph(1), tmp_path / "taken.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_is_read_only_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FileError, match=r"cannot write .*song\.json: Permission denied"):
        save_graph(random_graph(1), tmp_path / "song.json")
    tmp_path.chmod(0o700)


def _add_field(graph: MixGraph) -> None:
    graph.position = torch.zeros(graph.num_nodes, 2)


def _widen(graph: MixGraph) -> None:
    graph.params["amp"] = graph.params["amp"].double()


def _spoil_provenance(graph: MixGraph) -> None:
    graph.info = replace(graph.info, provenance={"model": torch.nn.ReLU()})


def _lose_a_number(graph: MixGraph) -> None:
    graph.wet[0] = float("nan")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_add_field, "the graph has the attribute 'position', which a graph file does not hold"),
        (_widen, r"params\['amp'\] has type float64, expected float32"),
        (_spoil_provenance, "JSON cannot hold its types or its provenance: .*ReLU"),
        (_lose_a_number, "in 0 'track 0' has wet nan"),
    ],
)
def test_what_a_file_cannot_hold_is_not_written(path: Path, spoil: Callable[[MixGraph], None], message: str) -> None:
    graph = MixGraph(TYPES)
    graph.chain(graph.add("in", "track 0"), graph.add("amp"), graph.add("out"))
    spoil(graph)
    with pytest.raises(GraphError, match=rf"cannot save .*song\..*: {message}"):
        save_graph(graph, path)
    assert not path.exists()


def test_a_curve_of_ones_own_and_a_batch_are_not_written(path: Path) -> None:
    class Square:
        def physical(self, raw: torch.Tensor) -> torch.Tensor:
            return raw.square()

        def raw(self, physical: torch.Tensor) -> torch.Tensor:
            return physical.sqrt()

    curved = NodeType("curved", "c", (ParameterSpec("value", 1, "", 0.0, 1.0, 0.0, Square()),))
    with pytest.raises(GraphError, match="curved: the curve of value is a Square, which a file cannot hold"):
        save_graph(MixGraph([curved]), path)
    with pytest.raises(GraphError, match="this is a batch; save its graphs one by one"):
        save_graph(Batch.from_data_list([random_graph(1)]), path)
