"""How long are the sequences of each scheduling method, and how long do they take to find?

Pruned consoles: the real track and subgroup structure of `consoles.json` (838 songs) with the paper's chain
`e c n s g d r` on every track and subgroup, of which 30 to 70 % of the processors are removed at random.
Random graphs: 7 types, 50 to 400 nodes, each node fed by one to three of the nodes before it; of all of them
("uniform") or of the last twelve ("window"). The seconds of a console are the median of some runs; the row "plan" is
`schedule(graph, rack)` as a whole: the sequence of the default method, the domains of the nodes, all edges.

    python benchmarks/schedules.py --consoles consoles.json --count 838
"""

import argparse
import json
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from graphmix.graph.mixgraph import MixGraph
from graphmix.processors import Rack
from graphmix.render.schedule import schedule
from graphmix.render.sequence import Beam, Exact, FixedOrder, Greedy, OneByOne, SequenceMethod, find_sequence

#: Types of a console: in, the chain e c n s g d r, mix, out.
IN, CHAIN, MIX, OUT = 0, (1, 2, 3, 4, 5, 6, 7), 8, 9
Graph = tuple[list[int], NDArray[np.int64]]


def build_pruned_console(song: dict, kept: float, rng: np.random.Generator) -> Graph:
    """Node types and edges [2, num_edges] of a song's console that keeps this share of its processors."""
    types: list[int] = []
    edges: list[tuple[int, int]] = []

    def add(node_type: int, sources: list[int]) -> int:
        types.append(node_type)
        edges.extend((source, len(types) - 1) for source in sources)
        return len(types) - 1

    def add_chain(node: int) -> int:
        for processor in CHAIN:
            if rng.random() < kept:
                node = add(processor, [node])
        return node

    tracks = {track: add(IN, []) for track in song["tracks"]}
    tails = {track: add_chain(node) for track, node in tracks.items()}
    grouped = {track for group in song["subgroups"].values() for track in group}
    buses = [add_chain(add(MIX, [tails[t] for t in group])) for group in song["subgroups"].values() if group]
    add(OUT, buses + [tail for track, tail in tails.items() if track not in grouped])
    return types, np.array(edges, dtype=np.int64).T


def build_random_graph(num_nodes: int, window: int, rng: np.random.Generator) -> Graph:
    """A graph of 7 types whose nodes are fed by one to three of the `window` nodes before them."""
    edges = [
        (int(source), node)
        for node in range(1, num_nodes)
        for source in rng.integers(max(0, node - window), node, size=int(rng.integers(1, 4)))
    ]
    return rng.integers(0, 7, num_nodes).tolist(), np.array(edges, dtype=np.int64).T


def as_mixgraph(graph: Graph, rack: Rack) -> MixGraph:
    """The same graph as graphmix has it, all settings neutral."""
    types, edges = graph
    result = MixGraph(rack.types)
    names = {IN: "in", MIX: "mix", OUT: "out"} | dict(zip(CHAIN, "ecnsgdr", strict=True))
    result.node_type = torch.tensor([result.types.index(names[kind]) for kind in types])
    result.edge_index = torch.from_numpy(edges)
    result.edge_port = torch.zeros(edges.shape[1], 2, dtype=torch.long)
    result.wet = torch.ones(len(types))
    for kind in rack.types:
        count = int(result.nodes_of(kind.name).numel())
        result.params[kind.name] = kind.neutral().expand(count, -1)
    return result


def time_plans(graphs: list[Graph], repeats: int, console: Console) -> None:
    """Print the milliseconds of whole plans."""
    rack = Rack.console("ecnsgdr")
    milliseconds = []
    for graph in graphs:
        mixgraph, times = as_mixgraph(graph, rack), []
        for _ in range(repeats):
            start = perf_counter()
            schedule(mixgraph, rack)
            times.append(1000 * (perf_counter() - start))
        milliseconds.append(np.median(times))
    shown = f"median {np.median(milliseconds):.1f} ms, 99 % below {np.quantile(milliseconds, 0.99):.1f} ms"
    console.print(f"plan, beam: {shown}, max {max(milliseconds):.1f} ms\n")


def measure(graphs: list[Graph], methods: list[SequenceMethod], title: str, console: Console, repeats: int = 1) -> None:
    """Print a row for each method: stages, stages above the best proven bound, proofs, milliseconds."""
    table = Table(title=title)
    for column in ("method", "mean stages", "above shortest known", "proven", "median ms", "max ms"):
        table.add_column(column, justify="left" if column == "method" else "right")
    results = [[find_sequence(*graph, method) for graph in graphs] for method in methods]
    shortest = np.array([[len(sequence) for sequence in row] for row in results]).min(axis=0)
    bound = np.array([[sequence.lower_bound for sequence in row] for row in results]).max(axis=0)
    for method, row in zip(methods, results, strict=True):
        stages = np.array([len(sequence) for sequence in row])
        again = [[find_sequence(*graph, method) for graph in graphs] for _ in range(repeats - 1)]
        milliseconds = 1000 * np.median([[sequence.seconds for sequence in run] for run in [row, *again]], axis=0)
        proven = sum(sequence.optimal for sequence in row)
        table.add_row(
            method.name,
            f"{stages.mean():.2f}",
            f"{(stages - shortest).mean():.3f}",
            f"{proven}/{len(row)}",
            f"{np.median(milliseconds):.1f}",
            f"{milliseconds.max():.1f}",
        )
    console.print(table)
    nodes = np.mean([len(types) for types, _ in graphs])
    console.print(f"mean proven lower bound {bound.mean():.2f}, mean nodes {nodes:.0f}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--consoles", type=Path, help="consoles.json; without it random graphs only")
    parser.add_argument("--count", type=int, default=838, help="how many of the consoles")
    parser.add_argument("--random", type=int, default=2, help="how many random graphs of each size and kind")
    parser.add_argument("--time-limit", type=float, default=3.0, help="seconds for an exact search")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each console, of which the median counts")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, console, start = np.random.default_rng(options.seed), Console(width=100), perf_counter()
    search: list[SequenceMethod] = [Beam(), Exact(options.time_limit)]
    if options.consoles is not None:
        songs = json.loads(options.consoles.read_text())[: options.count]
        graphs = [build_pruned_console(song, rng.uniform(0.3, 0.7), rng) for song in songs]
        fixed: list[SequenceMethod] = [OneByOne(), Greedy(), FixedOrder((IN, *CHAIN, MIX, OUT))]
        measure(graphs, fixed + search, f"{len(graphs)} pruned consoles", console, options.repeats)
        time_plans(graphs, options.repeats, console)
    for kind, window in (("uniform", 10**9), ("window", 12)):
        for num_nodes in (50, 100, 200, 400) if options.random else ():
            graphs = [build_random_graph(num_nodes, window, rng) for _ in range(options.random)]
            measure(graphs, [Greedy(), *search], f"random {kind} graphs of {num_nodes} nodes", console)
    console.print(f"{perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
