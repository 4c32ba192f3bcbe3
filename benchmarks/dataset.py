"""How long does a dataset of mined graphs take to build, to load and to go through, and how large is it?

The graphs have the tracks and subgroups of real songs (`consoles.json`; without it, drawn from a log-normal
distribution of the same median), with the paper's chain `e c n s g d r` on every track and subgroup, of which 15 to
45 % of the processors are kept (the paper keeps 29 %), and random parameters. They are written as mining leaves them:
one folder each, `graph.safetensors` and `metrics.json`.

    python benchmarks/dataset.py --consoles consoles.json --count 10000 --json dataset.json
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import torch
from rich.console import Console
from rich.table import Table
from torch_geometric.loader import DataLoader

from graphmix.datasets.mined_graphs import MinedGraphs, MinedGraphsOnDisk
from graphmix.graph.mixgraph import GraphInfo, MixGraph
from graphmix.graph.storage import save_graph
from graphmix.processors.rack import Rack
from graphmix.spec import STRUCTURAL, TypeTable

CHAIN = "ecnsgdr"
KEPT = (0.15, 0.45)
MILLION = 1_000_000
Song = dict[str, Any]


def drawn_song(number: int, rng: np.random.Generator) -> Song:
    """Tracks and subgroups of an imaginary song: medians 20 tracks, 5 subgroups."""
    tracks = [f"{i:02d}.wav" for i in range(int(np.clip(rng.lognormal(3.0, 0.65), 2, 136)))]
    groups: dict[str, list[str]] = {}
    for track in tracks:
        groups.setdefault(f"group {int(rng.integers(0, 2 + len(tracks) // 5))}", []).append(track)
    return {"song": f"drawn {number}", "tracks": tracks, "subgroups": groups}


class Builder:
    """Makes pruned consoles with random parameters, quickly."""

    def __init__(self) -> None:
        rack = Rack.console(CHAIN)
        self.table = TypeTable(STRUCTURAL + rack.types)
        self.letters = {t.letter: i for i, t in enumerate(self.table.types)}

    def graph(self, song: Song, rng: np.random.Generator) -> MixGraph:
        """One of them."""
        kept = rng.uniform(*KEPT)
        kinds, names, edges = list[int](), list[str](), list[tuple[int, int]]()

        def add(letter: str, name: str, sources: list[int]) -> int:
            kinds.append(self.letters[letter])
            names.append(name)
            edges.extend((source, len(kinds) - 1) for source in sources)
            return len(kinds) - 1

        def chain(node: int) -> int:
            for letter in CHAIN:
                if rng.random() < kept:
                    node = add(letter, "", [node])
            return node

        groups = {bus: list(members) for bus, members in song["subgroups"].items() if members}
        ends = {bus: [chain(add("i", track, [])) for track in members] for bus, members in groups.items()}
        buses = [chain(add("m", bus, tails)) for bus, tails in ends.items()]
        grouped = {track for members in groups.values() for track in members}
        add("o", "mix", buses + [chain(add("i", t, [])) for t in song["tracks"] if t not in grouped])
        return self._finished(kinds, names, edges, song["song"], rng)

    def _finished(
        self, kinds: list[int], names: list[str], edges: list[tuple[int, int]], song: str, rng: np.random.Generator
    ) -> MixGraph:
        graph = MixGraph([t for t in self.table.types if t.is_processor])
        graph.node_type, graph.edge_index = torch.tensor(kinds), torch.tensor(edges).t().contiguous()
        graph.edge_port = torch.zeros(len(edges), 2, dtype=torch.long)
        weights = torch.from_numpy(rng.random(len(kinds))).float()
        graph.wet = torch.where(graph.node_type >= len(STRUCTURAL), weights, 1.0)
        for index, t in enumerate(self.table.types):
            if t.is_processor:
                low, high = (edge.clamp(-60, 60) for edge in t.bounds())
                values = torch.from_numpy(rng.random((kinds.count(index), t.width), dtype=np.float32))
                graph.params[t.name] = low + (high - low) * values
        provenance = {"song": song, "made_by": "benchmarks/dataset.py", "audio_loss": 0.4, "num_samples": 6_000_000}
        graph.info = GraphInfo(self.table, 30000, tuple(names), provenance)
        return graph


def write_sources(root: Path, count: int, songs: list[Song], seed: int) -> dict[str, Any]:
    """Folders as mining leaves them; their mean sizes."""
    builder, rng = Builder(), np.random.default_rng(seed)
    totals = dict.fromkeys(("nodes", "edges", "processors", "values", "graph_bytes", "description_bytes"), 0)
    started = perf_counter()
    for number in range(count):
        song = songs[number % len(songs)] if songs else drawn_song(number, rng)
        graph = builder.graph(song, rng)
        folder = root / f"{number // 1000:03d}" / f"{number:06d}"
        folder.mkdir(parents=True)
        path = save_graph(graph, folder / "graph.safetensors")
        place = f"/music/{song['song']}"
        source = {"song_id": f"{number:06d}", "collection": song.get("source", "drawn"), "artist": f"{number % 997}"}
        source |= {"mix": f"{place}/mix.wav", "tracks": {t: f"{place}/dry/{t}" for t in song["tracks"]}}
        (folder / "metrics.json").write_text(json.dumps({"song": song["song"], "audio_loss": 0.4, "source": source}))
        totals["nodes"] += graph.node_type.numel()
        totals["edges"] += graph.edge_index.size(1)
        totals["processors"] += graph.processors.numel()
        totals["values"] += sum(values.numel() for values in graph.params.values())
        totals["graph_bytes"] += path.stat().st_size
        totals["description_bytes"] += (folder / "metrics.json").stat().st_size
    means = {f"mean_{name}": total / count for name, total in totals.items()}
    return {"count": count, "write_s": perf_counter() - started, **means}


def timed(function: Callable[[], Any], repeats: int) -> tuple[list[float], Any]:
    """Seconds of each run, and what the last one gave."""
    seconds, result = [], None
    for _ in range(repeats):
        result = None
        started = perf_counter()
        result = function()
        seconds.append(perf_counter() - started)
    return seconds, result


def epoch(graphs: Any, workers: int, batch: int, seed: int) -> int:
    """Go through all graphs once, in random order."""
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(graphs, batch_size=batch, shuffle=True, num_workers=workers, generator=generator)
    return sum(int(each.num_graphs) for each in loader)


def measure(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Build, load, and go through both kinds of dataset."""
    own = psutil.Process()
    started = perf_counter()
    processed = Path(MinedGraphsOnDisk(root).processed_dir)
    result: dict[str, Any] = {"build_s": perf_counter() - started}
    sizes = {path.name: path.stat().st_size for path in processed.iterdir() if path.suffix in (".json", ".safetensors")}
    result |= {
        "shards": len(sizes) - 1,
        "index_bytes": sizes["dataset.json"],
        "shard_bytes": sum(sizes.values()) - sizes["dataset.json"],
    }
    for name, kind in (("on_disk", MinedGraphsOnDisk), ("in_memory", MinedGraphs)):
        before = own.memory_info().rss
        seconds, graphs = timed(lambda kind=kind: kind(root), options.repeats)
        assert len(graphs) == options.count
        result[f"{name}_load_s"] = seconds
        result[f"{name}_resident_bytes"] = own.memory_info().rss - before
        for workers in options.workers:
            runs, seen = timed(lambda g=graphs, w=workers: epoch(g, w, options.batch, options.seed), options.repeats)
            assert seen == options.count
            result[f"{name}_epoch_{workers}_workers_s"] = runs
        del graphs
    return result


def project(sources: dict[str, Any], measured: dict[str, Any], workers: list[int]) -> dict[str, Any]:
    """A million graphs: what is measured, per graph, times a million."""
    factor = MILLION / sources["count"]
    result = {"graphs": MILLION, "factor": factor, "build_s": measured["build_s"] * factor}
    result["source_bytes"] = MILLION * (sources["mean_graph_bytes"] + sources["mean_description_bytes"])
    result["shard_bytes"] = measured["shard_bytes"] * factor
    result["index_bytes"] = measured["index_bytes"] * factor
    result["shards"] = round(measured["shards"] * factor)
    result["on_disk_load_s"] = float(np.median(measured["on_disk_load_s"])) * factor
    for count in workers:
        result[f"on_disk_epoch_{count}_workers_s"] = (
            float(np.median(measured[f"on_disk_epoch_{count}_workers_s"])) * factor
        )
    return result


def show(report: dict[str, Any]) -> None:
    console, sources, measured, million = Console(width=110), report["sources"], report["measured"], report["million"]
    console.print(
        f"{sources['count']} graphs; mean: {sources['mean_nodes']:.1f} nodes, {sources['mean_edges']:.1f} edges, "
        f"{sources['mean_processors']:.1f} processors, {sources['mean_values']:.0f} parameter values, "
        f"{sources['mean_graph_bytes'] / 1e3:.0f} kB a graph file; written in {sources['write_s']:.1f} s"
    )
    table = Table()
    for column in ("", "measured", "1,000,000 graphs"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("build, s", f"{measured['build_s']:.1f}", f"{million['build_s']:.0f}")
    table.add_row("shards, GB", f"{measured['shard_bytes'] / 1e9:.2f}", f"{million['shard_bytes'] / 1e9:.0f}")
    table.add_row("index, MB", f"{measured['index_bytes'] / 1e6:.2f}", f"{million['index_bytes'] / 1e6:.0f}")
    for key, values in measured.items():
        if key.endswith("_s") and isinstance(values, list):
            far = f"{million[key]:.0f}" if key in million else "–"
            table.add_row(
                key.removesuffix("_s").replace("_", " ") + ", s",
                f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})",
                far,
            )
    for name in ("on_disk", "in_memory"):
        table.add_row(f"{name.replace('_', ' ')}: resident, MB", f"{measured[f'{name}_resident_bytes'] / 1e6:.0f}", "–")
    console.print(table)
    console.print(f"torch {report['versions']['torch']}, {report['cpus']} CPUs, batches of {report['batch']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--consoles", type=Path, help="consoles.json; without it, drawn topologies")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the graphs are written; a temporary folder by default")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    options = parser.parse_args()
    songs = json.loads(options.consoles.read_text()) if options.consoles else []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        sources = write_sources(Path(folder), options.count, songs, options.seed)
        measured = measure(Path(folder), options)
    report = {
        "sources": sources,
        "measured": measured,
        "million": project(sources, measured, options.workers),
        "batch": options.batch,
        "topologies": len(songs) or "drawn",
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "torch_geometric", "safetensors", "numpy")},
    }
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
