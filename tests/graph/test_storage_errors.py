"""Files that cannot be read, and what is said of them."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from graphmix.errors import GraphError
from graphmix.graph import MixGraph
from graphmix.graph.storage import load_graph, save_graph
from tests.graph.random_mixgraphs import TYPES, random_graph

ENDINGS = (".safetensors", ".json")


@pytest.fixture(params=ENDINGS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"song{request.param}"


def test_another_ending_is_refused(tmp_path: Path) -> None:
    message = r"song\.pt: a graph file ends in \.safetensors or \.json, not in '\.pt'"
    with pytest.raises(GraphError, match=message):
        load_graph(tmp_path / "song.pt")
    with pytest.raises(GraphError, match=message):
        save_graph(random_graph(1), tmp_path / "song.pt")


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(GraphError, match=r"cannot load .*song\..*: there is no such file"):
        load_graph(path)


def test_a_folder_is_no_file(path: Path) -> None:
    path.mkdir()
    with pytest.raises(GraphError, match=r"cannot load .*song\."):
        load_graph(path)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.99])
def test_a_file_that_is_cut_off_is_damaged(path: Path, share: float) -> None:
    content = save_graph(random_graph(1), path).read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(GraphError, match=r"cannot load .*song\..*: the file is damaged or cut off"):
        load_graph(path)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(ENDINGS))
def test_noise_is_no_graph(tmp_path_factory: pytest.TempPathFactory, noise: bytes, ending: str) -> None:
    path = tmp_path_factory.mktemp("noise") / f"song{ending}"
    path.write_bytes(noise)
    with pytest.raises(GraphError, match=r"cannot load .*song\."):
        load_graph(path)


def test_a_pickle_is_not_executed(path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(path.parent / "exploded"),)

    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(GraphError, match=r"cannot load .*song\..*damaged"):
        load_graph(path)
    assert not (path.parent / "exploded").exists()


def test_other_tensors_are_no_graph(tmp_path: Path) -> None:
    for metadata in (None, {"format": "pt"}):
        save_file({"weight": torch.zeros(3)}, tmp_path / "model.safetensors", metadata)
        with pytest.raises(GraphError, match=r"model\.safetensors: this is no graphmix graph: .*other tensors"):
            load_graph(tmp_path / "model.safetensors")


@pytest.mark.parametrize("text", ['{"nodes": []}', "[1, 2]", "3", '{"format": "GRAFX", "schema_version": 1}'])
def test_other_json_is_no_graph(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(GraphError, match=r"other\.json: this is no graphmix graph"):
        load_graph(tmp_path / "other.json")


def rewrite_header(path: Path, change: Callable[[dict], None]) -> None:
    """Change the header of a file of either format."""
    if path.suffix == ".json":
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))
        return
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    outer = json.loads(content[8 : 8 + size])
    inner = json.loads(outer["__metadata__"]["graphmix"])
    change(inner)
    outer["__metadata__"]["graphmix"] = json.dumps(inner)
    new = json.dumps(outer).encode()
    path.write_bytes(struct.pack("<Q", len(new)) + new + content[8 + size :])


def _amp(head: dict) -> dict:
    return next(t for t in head["types"] if t["name"] == "amp")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(schema_version=2), "newer graphmix, schema 2; this one reads up to 1: upgrade graphmix"),
        (lambda h: h.update(schema_version="1"), "the entry 'schema_version' is '1', a str"),
        (lambda h: h.pop("schema_version"), "an entry 'schema_version' is missing"),
        (lambda h: h.update(format="other"), "this is no graphmix graph: its header does not say so"),
        (lambda h: h.pop("types"), "an entry 'types' is missing"),
        (lambda h: h.update(types=[]), "node types do not begin with in, mix and out"),
        (lambda h: h["types"].append(h["types"][-1]), "node types need names and letters of their own"),
        (lambda h: h["types"].append(3), "an entry 'parameters' is missing"),
        (lambda h: h.update(sample_rate=0), "its sample rate is 0; it is a positive number of Hz"),
        (lambda h: h.update(sample_rate=True), "the entry 'sample_rate' is 'True', a bool"),
        (lambda h: h.update(provenance=[]), r"the entry 'provenance' is '\[\]', a list"),
        (lambda h: _amp(h).update(inlets=[1]), "ports need to have strings as names"),
        (lambda h: _amp(h)["parameters"][0].update(low="loud"), "low is 'loud', which is no number"),
        (lambda h: _amp(h)["parameters"][0].update(size=0), "a parameter has size 0"),
        (lambda h: _amp(h)["parameters"][0].update(neutral=99), r"gain_db: neutral 99.0 lies outside"),
        (lambda h: _amp(h)["parameters"][0].update(curve={"kind": "wavy"}), "the curve 'wavy'; known are linear"),
    ],
)
def test_a_header_that_is_wrong(path: Path, change: Callable[[dict], None], message: str) -> None:
    save_graph(random_graph(1), path)
    rewrite_header(path, change)
    with pytest.raises(GraphError, match=rf"cannot load .*song\..*{message}"):
        load_graph(path)


def _rewrite_tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    with safe_open(path, "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    change(tensors)
    save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("wet"), "the tensor 'wet' is missing"),
        (lambda t: t.pop("params.amp"), "the tensor 'params.amp' is missing"),
        (lambda t: t.update(wet=t["wet"].double()), "wet has type float64, expected float32"),
        (lambda t: t.update(edge_index=t["edge_index"].int()), "edge_index has type int32, expected int64"),
        (lambda t: t.update({"params.amp": t["params.amp"].half()}), "params.amp has type float16"),
        (lambda t: t.update(wet=t["wet"][1:]), r"wet has shape \[2\], expected \[3\]"),
        (lambda t: t.update(node_type=t["node_type"][None]), r"node_type has shape \[1, 3\]"),
        (lambda t: t.update({"params.amp": torch.zeros(2, 3)}), r"params\['amp'\] has shape \[2, 3\]"),
        (lambda t: t["params.amp"].fill_(float("nan")), "amp 1: gain_db is nan; it is a number between -60 and 20"),
        (lambda t: t["edge_index"].fill_(9), "edge 0 joins nodes 9 and 9"),
    ],
)
def test_tensors_that_are_wrong(
    tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], None], message: str
) -> None:
    graph = MixGraph(TYPES)
    graph.chain(graph.add("in"), graph.add("amp"), graph.add("out"))
    path = save_graph(graph, tmp_path / "song.safetensors")
    _rewrite_tensors(path, change)
    with pytest.raises(GraphError, match=rf"cannot load .*song\.safetensors: {message}"):
        load_graph(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("edges"), "an entry 'edges' is missing"),
        (lambda d: d.update(nodes={}), "the entry 'nodes' is '{}', a dict"),
        (lambda d: d["nodes"].append(3), "an entry 'id' is missing"),
        (lambda d: d["nodes"].append(d["nodes"][0]), "two nodes have the id 0"),
        (lambda d: d["nodes"][1].update(type="fuzz"), "node 1 has the unknown type 'fuzz'; known are: in, mix, out"),
        (lambda d: d["nodes"][1].update(wet="dry"), "the entry 'wet' is 'dry', a str"),
        (lambda d: d["nodes"][1].update(wet=2), "amp 1 has wet 2"),
        (lambda d: d["nodes"][1].update(wet=10**400), "wet is '1000"),
        (lambda d: d["nodes"][1]["parameters"].update(gain_db=float("nan")), "amp 1: gain_db is nan"),
        (lambda d: d["nodes"][1]["parameters"].update(gain_db=[1, 2, 3]), "node 1: gain_db has 3 values.*takes 2"),
        (lambda d: d["nodes"][1]["parameters"].update(gain_db=[1, "x"]), "node 1: gain_db is 'x', which is no num"),
        (lambda d: d["nodes"][1]["parameters"].update(gain_db=[]), "node 1: gain_db has 0 values"),
        (lambda d: d["nodes"][1]["parameters"].update(fuzz=1), "node 1: amp has no parameter 'fuzz'; it has: gain_"),
        (lambda d: d["nodes"][0].update(parameters={"fuzz": 1}), "node 0: in has no parameter 'fuzz'; it has: none"),
        (lambda d: d["edges"][1].update(to=9), "edge 1 joins 1 and 9, but there is no node 9"),
        (lambda d: d["edges"][1].update(outlet="side"), "edge 1 has the outlet 'side'; known are: out"),
        (lambda d: d["edges"][0].update(inlet=1), "edge 0 has the inlet 1; known are: in"),
        (lambda d: d["edges"].append({"from": 2, "to": 1}), r"edge 2 \(out 2 -> amp 1\) starts at an output node"),
    ],
)
def test_a_readable_file_that_is_wrong(tmp_path: Path, change: Callable[[dict], None], message: str) -> None:
    graph = MixGraph(TYPES)
    graph.chain(graph.add("in"), graph.add("amp"), graph.add("out"))
    path = save_graph(graph, tmp_path / "song.json")
    rewrite_header(path, change)
    with pytest.raises(GraphError, match=rf"cannot load .*song\.json: .*{message}"):
        load_graph(path)
