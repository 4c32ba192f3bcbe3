"""``graphmix show``: what a graph does, in a table."""

from pathlib import Path
from typing import TYPE_CHECKING

from graphmix.cli.files import find_graph
from graphmix.cli.terminal import new_console, say
from graphmix.io import to_json

if TYPE_CHECKING:
    from graphmix.graph.mixgraph import MixGraph
    from graphmix.graph.tables import Reductions


def run_show(graph_path: Path, *, as_json: bool = False) -> None:
    """``graphmix show``: the provenance, then the table of chains, whose title counts nodes and edges.

    Args:
        graph_path: a graph file, or a folder that holds one.
        as_json: print JSON in place of the table.

    Raises:
        GraphmixError: no graph file, or one that cannot be read.
    """
    from graphmix.graph.storage import load_graph
    from graphmix.graph.tables import as_plain, as_table

    path = find_graph(graph_path)
    graph = load_graph(path)
    reductions = _reductions_of(path, graph)
    console = new_console()
    if as_json:
        print(to_json(as_plain(graph, reductions), indent=1))
        return
    if graph.provenance:
        say(console, provenance_line(graph))
    for line in captured_lines(graph):
        say(console, line)
    console.print(as_table(graph, reductions))


def _reductions_of(path: Path, graph: "MixGraph") -> "Reductions":
    """What compressors and gates take off, as mining measured it beside the graph; nothing where it did not."""
    from graphmix.errors import SearchError
    from graphmix.search.metrics import METRICS, read_metrics
    from graphmix.search.reductions import read_reductions

    if not path.with_name(METRICS).is_file():
        return {}
    try:
        return read_reductions(read_metrics(path.parent), graph)
    except SearchError:
        return {}  # another program's, or damaged; the graph is shown all the same


def headline(graph: "MixGraph") -> list[str]:
    """What a graph consists of and where it comes from, in one or two lines."""
    counts = {t.name: int(graph.nodes_of(t.name).numel()) for t in graph.types.types}
    used = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    lines = [f"{graph.num_nodes} nodes ({used}), {graph.num_edges} edges, {graph.sample_rate} Hz"]
    lines += captured_lines(graph)
    return [*lines, provenance_line(graph)] if graph.provenance else lines


def captured_lines(graph: "MixGraph") -> list[str]:
    """Which files its captured effects are from, with their digests."""
    return [f"{t.letter} {t.name}: captured effect, {t.source}" for t in graph.types.types if t.source]


def provenance_line(graph: "MixGraph") -> str:
    """Where a graph comes from, without nested values."""
    known = {key: value for key, value in graph.provenance.items() if not isinstance(value, (dict, list))}
    return ", ".join(f"{key} {value}" for key, value in known.items())
