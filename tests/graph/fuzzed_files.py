"""Graph files from strangers: thousands of damaged and malicious ones, loaded in a process whose memory is limited.

    python fuzzed_files.py FOLDER COUNT SEED

prints as JSON how many loaded and were refused, whatever else was raised, the longest message, the slowest file and the
memory that was taken.
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from graphmix.datasets.records import read_record
from graphmix.errors import GraphError, GraphmixError
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph, save_graph
from graphmix.processors.rack import Rack
from graphmix.processors.ride import Ride, breakpoints
from tests.fuzzing import (
    Job,
    absurd_tensor_files,
    absurd_text_files,
    damage_bytes,
    damage_text,
    damage_value,
    damaged,
    dumps,
    load_all,
    some_of,
)
from tests.graph.random_mixgraphs import random_graph

# --- files


def originals(folder: Path) -> dict[str, bytes]:
    """Sound files of both kinds, by a name that tells them apart."""
    rack = Rack.console("gsc")
    graphs = [random_graph(seed, 2, 6) for seed in range(4)]
    graphs.append(mixing_console(rack, {"drums": ["kick", "snare"], "voice": ["lead"]}, "gsc"))
    ridden = MixGraph([Ride().node_type])
    ride = ridden.add("ride", **breakpoints([(1.0, 0.0), (2.5, -60.0)]))
    graphs.append(ridden.chain(ridden.add("in", name="lead"), ride, ridden.add("out")))
    result = {}
    for number, graph in enumerate(graphs):
        for ending in (".safetensors", ".json"):
            path = save_graph(graph, folder / f"sound{ending}")
            result[f"{number}{ending}"] = path.read_bytes()
            load_graph(path)
            path.unlink()
    return result


def fuzzed_graphs(folder: Path, count: int, rng: random.Random) -> Iterator[Path]:
    """Write graph files, one after the other in the place of the last."""
    sound = originals(folder)
    for _ in range(count):
        name, content = rng.choice(list(sound.items()))
        path = folder / f"graph{Path(name).suffix}"
        path.unlink(missing_ok=True)  # emptying a file instead may wait for the disk
        path.write_bytes(damaged(content, path.suffix, rng))
        yield path


def fuzzed_records(folder: Path, count: int, rng: random.Random) -> Iterator[Path]:
    """Write folders with a sound graph and a damaged description."""
    record = folder / "record"
    (record / "dry").mkdir(parents=True)
    save_graph(random_graph(1), record / "graph.safetensors")
    (record / "dry" / "a.wav").write_bytes(b"RIFF")
    source = {"song_id": "a", "collection": None, "artist": "x", "mix": "mix.wav", "tracks": {"a.wav": "dry/a.wav"}}
    metrics = {"song": "a", "audio_loss": 0.5, "source": source, "settings": {"chain": "g"}}
    song = {"name": "a", "mix": None, "stems": "dry", "subgroups": {"b": ["a.wav"]}, "graph": "graph.safetensors"}
    song |= {"artist": "x"}
    for _ in range(count):
        name, text = rng.choice([("metrics.json", metrics), ("song.json", song)])
        for other in ("metrics.json", "song.json"):
            (record / other).unlink(missing_ok=True)
        if rng.random() < 0.7:
            content = dumps(damage_value(text, rng)).encode("utf-8", "surrogatepass")
        elif rng.random() < 0.5:
            content = damage_bytes(json.dumps(text).encode(), rng)
        else:
            content = damage_text(json.dumps(text), rng)
        (record / name).write_bytes(content)
        yield record


def absurd_files(folder: Path) -> Iterator[Path]:
    """Files that claim to be enormous, or that need care to be refused in time."""
    yield from absurd_tensor_files(folder)
    yield from absurd_text_files(folder, ".json")
    yield from absurd_json(folder)
    yield from absurd_graphs(folder)


def absurd_json(folder: Path) -> Iterator[Path]:
    def written(document: dict[str, Any], **repeated: str) -> Path:
        """The document, with some lists written out as text, which is faster than as values."""
        path = folder / "absurd.json"
        text = json.dumps({**document, **dict.fromkeys(repeated, 0)})
        for key, entries in repeated.items():
            text = text.replace(f'"{key}": 0', f'"{key}": [{entries.rstrip(",")}]')
        path.unlink(missing_ok=True)
        path.write_text(text)
        return path

    graph = random_graph(1)
    document = json.loads(save_graph(graph, folder / "sound.json").read_text())
    amp = next(t for t in document["types"] if t["name"] == "amp")
    for size in (10**12, 10**9, 1 << 20):  # a hundred thousand nodes of a million neutral values each
        amp["parameters"][1]["size"] = size
        yield written(document, nodes='{"id":1,"type":"amp"},' * 100_000, edges="")
    amp["parameters"][1]["size"] = 1
    yield written(document, nodes='{"id":1,"type":"in"},' * 300_000, edges="")
    yield written(document, edges='{"from":0,"to":1},' * 1_100_000)
    amp["parameters"] *= 300
    yield written({**document, "nodes": [], "edges": []})
    document["types"] += [{**document["types"][0], "name": f"t{i}", "letter": f"l{i}"} for i in range(20_000)]
    yield written(document)


def absurd_graphs(folder: Path) -> Iterator[Path]:
    """As large as a file may be: a chain and a cycle of all nodes, and one node more."""
    graph = MixGraph([])
    for count, closed in ((100_000, False), (100_000, True), (100_001, False)):
        nodes = torch.ones(count, dtype=torch.long)
        nodes[0], nodes[-1] = 0, 2
        ends = torch.stack([torch.arange(count - 1), torch.arange(1, count)])
        if closed:
            ends = torch.cat([ends, torch.tensor([[count - 2], [1]])], dim=1)
        yield written_unchecked(graph, nodes, ends, folder / f"long{count}{closed}.safetensors")


def written_unchecked(graph: MixGraph, nodes: torch.Tensor, ends: torch.Tensor, path: Path) -> Path:
    """A tensor file of such nodes and edges, whatever :func:`save_graph` would say of them."""
    from graphmix.graph import storage

    graph.node_type, graph.edge_index = nodes, ends
    graph.edge_port = torch.zeros(ends.size(1), 2, dtype=torch.long)
    graph.wet = torch.ones(nodes.numel())
    graph.info = type(graph.info)(graph.info.types, 30000, ("",) * nodes.numel())
    path.write_bytes(storage._encode_tensors(graph))
    return path


# --- the run


def run(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Load all files and say what became of them."""
    rng = random.Random(seed)
    graphs = (path for path in fuzzed_graphs(folder, count * 17 // 20, rng))
    records = fuzzed_records(folder, count - count * 17 // 20, rng)
    jobs: list[Job] = [
        ("graph", load_graph, graphs, GraphError),
        ("record", read_record, records, GraphmixError),
        ("absurd", load_graph, some_of(absurd_files(folder), count), GraphError),
    ]
    return load_all(folder, jobs)


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
