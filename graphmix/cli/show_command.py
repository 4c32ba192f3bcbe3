"""``graphmix show``: what a graph does, in a table."""

from pathlib import Path

from graphmix.cli.files import find_graph
from graphmix.cli.terminal import new_console, say
from graphmix.graph.mixgraph import MixGraph


def run_show(graph_path: Path) -> None:
    """``graphmix show``: the provenance, then the table of chains, whose title counts nodes and edges.

    Args:
        graph_path: a graph file, or a folder that holds one.

    Raises:
        GraphmixError: no graph file, or one that cannot be read.
    """
    from graphmix.graph.storage import load_graph
    from graphmix.graph.tables import as_table

    graph = load_graph(find_graph(graph_path))
    console = new_console()
    if graph.provenance:
        say(console, provenance_line(graph))
    for line in captured_lines(graph):
        say(console, line)
    console.print(as_table(graph))


def headline(graph: MixGraph) -> list[str]:
    """What a graph consists of and where it comes from, in one or two lines."""
    counts = {t.name: int(graph.nodes_of(t.name).numel()) for t in graph.types.types}
    used = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    lines = [f"{graph.num_nodes} nodes ({used}), {graph.num_edges} edges, {graph.sample_rate} Hz"]
    lines += captured_lines(graph)
    return [*lines, provenance_line(graph)] if graph.provenance else lines


def captured_lines(graph: MixGraph) -> list[str]:
    """Which files its captured effects are from, with their digests."""
    return [f"{t.letter} {t.name}: captured effect, {t.source}" for t in graph.types.types if t.source]


def provenance_line(graph: MixGraph) -> str:
    """Where a graph comes from, without nested values."""
    known = {key: value for key, value in graph.provenance.items() if not isinstance(value, dict)}
    return ", ".join(f"{key} {value}" for key, value in known.items())
