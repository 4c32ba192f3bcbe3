"""Files from strangers: thousands of damaged and malicious ones, loaded in a process whose memory is limited.

    python fuzzed_files.py FOLDER COUNT SEED

prints as JSON how many loaded and were refused, whatever else was raised, the longest message, the slowest file and the
memory that was taken.
"""

import json
import random
import resource
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from graphmix.datasets.records import read_record
from graphmix.errors import GraphError, GraphmixError
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph, save_graph
from graphmix.processors.rack import Rack
from tests.graph.random_mixgraphs import random_graph

MEMORY_BYTES = 3 << 29  # 1.5 GiB beyond what Python and PyTorch take
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3.5, -0.0, 10**12, 2**31, 2**63, 2**64, 10**400, -(10**12), 1e308, 1e39,
    float("nan"), float("inf"), float("-inf"), "", "x", "inf", "nan", "in", "out", "../../x", "/etc/passwd", "\0",
    "\ud800", "x" * 5000, [], {}, [[]], [0] * 2000, [None], {"": {}}, {"kind": "linear", "unit": 0},
    {"kind": "exponential"},
)  # fmt: skip


def limit_memory() -> None:
    """Let allocations beyond what is needed fail."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# --- damage


def damage_bytes(content: bytes, rng: random.Random) -> bytes:
    """Cut, flip, overwrite, remove, repeat or insert."""
    place, length = rng.randrange(len(content) + 1), rng.choice([1, 2, 8, 64, 1000])
    if rng.random() < 0.5:  # most of what matters is near the beginning
        place = min(place, rng.randrange(3000))
    match rng.randrange(6):
        case 0:
            return content[:place]
        case 1:
            flipped = bytearray(content)
            for _ in range(rng.choice([1, 1, 2, 8])):
                at = min(place + rng.randrange(length), len(flipped) - 1)
                flipped[at] ^= 1 << rng.randrange(8)
            return bytes(flipped)
        case 2:
            return content[:place] + rng.randbytes(length) + content[place + length :]
        case 3:
            return content[:place] + content[place + length :]
        case 4:
            return content[:place] + content[place : place + length] * 2 + content[place + length :]
    return content[:place] + rng.randbytes(length) + content[place:]


def damage_value(value: Any, rng: random.Random) -> Any:
    """One entry of a JSON value replaced, removed, repeated or exchanged."""
    value = json.loads(json.dumps(value))
    parent, key = None, None
    place: Any = value
    while isinstance(place, (dict, list)) and place and (parent is None or rng.random() < 0.75):
        parent = place
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        place = place[key]
    if parent is None:
        return rng.choice(NASTY)
    match rng.randrange(8):
        case 0 | 1 | 2 | 3:
            parent[key] = rng.choice(NASTY)
        case 4:
            del parent[key]
        case 5 if isinstance(parent, list):
            parent.extend([place] * rng.choice([1, 2, 300]))
        case 5:
            parent["more" + str(rng.randrange(9))] = place
        case 6:
            parent[key] = [place]
        case _:
            others = list(parent) if isinstance(parent, dict) else range(len(parent))
            other = rng.choice(list(others))
            parent[key], parent[other] = parent[other], parent[key]
    return value


def damage_text(text: str, rng: random.Random) -> bytes:
    """Deep, doubled or huge."""
    match rng.randrange(5):
        case 0:
            return text.replace("[", "[" * rng.choice([2, 500, 2000, 50_000]), 1).encode()
        case 1:
            return text.replace("{", '{"nodes": [], "types": 3, "source": 1, "graph": "..", ', 1).encode()
        case 2:
            deep = '{"a":' * (depth := rng.choice([10, 900, 1500])) + "1" + "}" * depth
            return text.replace('"provenance": {', f'"provenance": {{"deep": {deep}, ', 1).encode()
        case 3:
            return text.replace("0", "9" * rng.choice([10, 400, 5000]), rng.choice([1, 2])).encode()
    return text.encode(rng.choice(["utf-16", "utf-8-sig", "utf-32"]))


def damage_header(content: bytes, rng: random.Random) -> bytes:
    """A tensor file whose header says something else, while its length fits again."""
    (size,) = struct.unpack("<Q", content[:8])
    outer = json.loads(content[8 : 8 + size])
    if rng.random() < 0.5:
        inner = json.loads(outer["__metadata__"]["graphmix"])
        outer["__metadata__"]["graphmix"] = dumps(damage_value(inner, rng))
    elif rng.random() < 0.5:
        name = rng.choice([name for name in outer if name != "__metadata__"])
        outer[name] = damage_tensor(outer[name], rng)
    else:
        outer = damage_value(outer, rng)
    new = dumps(outer).encode("utf-8", "surrogatepass")
    length = len(new) if rng.random() < 0.95 else rng.choice([0, 1, 2**32, 2**63, 2**64 - 1, len(new) + 5])
    return struct.pack("<Q", length) + new + content[8 + size :]


def damage_tensor(entry: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    entry = json.loads(json.dumps(entry))
    begin, end = entry["data_offsets"]
    match rng.randrange(5):
        case 0:
            entry["dtype"] = rng.choice(["F64", "I32", "BOOL", "F8_E4M3", "F4", "BF16", "U64", "C64", "?", "F8_E8M0"])
        case 1:
            entry["shape"] = rng.choice(
                [[10**12], [0, 2**62], [2**63, 0], [2**64, 0], [], [1] * 100, [-1], [0], [10**12, 2]]
            )
        case 2:
            entry["data_offsets"] = rng.choice([[0, 0], [end, begin], [begin, 10**12], [0, 2**63], [-1, 5], [0]])
        case 3:  # the same bytes as other numbers
            entry["dtype"], entry["shape"] = "U8", [end - begin]
        case _:
            entry["shape"] = entry["shape"][::-1]
    return entry


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=bool(hash(str(value)[:9]) % 2))


# --- files


def originals(folder: Path) -> dict[str, bytes]:
    """Sound files of both kinds, by a name that tells them apart."""
    rack = Rack.console("gsc")
    graphs = [random_graph(seed, 2, 6) for seed in range(4)]
    graphs.append(mixing_console(rack, {"drums": ["kick", "snare"], "voice": ["lead"]}, "gsc"))
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
        if rng.random() < 0.4:
            damaged = damage_bytes(content, rng)
        elif path.suffix == ".safetensors":
            damaged = damage_header(content, rng)
        elif rng.random() < 0.7:
            damaged = dumps(damage_value(json.loads(content), rng)).encode("utf-8", "surrogatepass")
        else:
            damaged = damage_text(content.decode(), rng)
        path.unlink(missing_ok=True)  # emptying a file instead may wait for the disk
        path.write_bytes(damaged)
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
    """Files that are small, or take no room, and claim to be enormous; or that need care to be refused in time."""
    sparse = folder / "sparse.safetensors"
    entry = {"dtype": "I64", "shape": [10**12 // 8], "data_offsets": [0, 10**12]}
    head = json.dumps({"node_type": entry}).encode()
    with open(sparse, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.truncate(8 + len(head) + 10**12)
    yield sparse
    for size in (10**12, 2**40, 2**63, 2**64 - 1):
        path = folder / "header.safetensors"
        path.write_bytes(struct.pack("<Q", size) + b"{}")
        yield path
    huge = folder / "huge.json"
    with open(huge, "wb") as file:
        file.truncate(10**12)
    yield huge
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
    path = folder / "deep.json"
    path.write_bytes(b"[" * 30_000_000)
    yield path
    path.write_bytes(b'{"nodes":[' + b"[]," * 11_000_000 + b"0]}")
    yield path


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
    jobs: list[tuple[str, Callable[[Path], Any], Iterator[Path], type[Exception]]] = [
        ("graph", load_graph, graphs, GraphError),
        ("record", read_record, records, GraphmixError),
        ("absurd", load_graph, absurd_files(folder), GraphError),
    ]
    result: dict[str, Any] = {"others": [], "longest_message": 0, "slowest": 0.0, "slowest_file": ""}
    limit_memory()
    before = peak_bytes()
    for kind, load, paths, expected in jobs:
        result[kind] = {"loaded": 0, "refused": 0}
        for path in paths:
            started = time.perf_counter()
            try:
                load(path)
                result[kind]["loaded"] += 1
            except expected as error:
                result[kind]["refused"] += 1
                result["longest_message"] = max(result["longest_message"], len(str(error)))
            except BaseException:
                kept = folder / f"kept{len(result['others'])}-{path.name}"
                if path.is_file() and path.stat().st_size < 1 << 20:
                    kept.write_bytes(path.read_bytes())
                result["others"].append(f"{kept}: {traceback.format_exc()[-1500:]}")
            seconds = time.perf_counter() - started
            if seconds > result["slowest"]:
                result["slowest"], result["slowest_file"] = seconds, path.name
    return {**result, "grown_bytes": peak_bytes() - before}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
