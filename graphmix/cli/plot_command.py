"""``graphmix plot``: a picture of a graph."""

from pathlib import Path

from graphmix.cli.files import check_file, find_graph
from graphmix.cli.terminal import new_console, say

ENDINGS = (".svg", ".png", ".pdf")


def run_plot(graph_path: Path, output: Path, force: bool = False) -> None:
    """``graphmix plot``.

    Args:
        graph_path: a graph file, or a folder that holds one.
        output: picture to be written.
        force: replace the picture if it exists.

    Raises:
        GraphmixError: bad input, or an output file that exists.
    """
    from graphmix import plots
    from graphmix.graph.storage import load_graph

    graph_path = find_graph(graph_path)
    check_file(output, ENDINGS, [graph_path], force)
    graph = load_graph(graph_path)
    plots.save(plots.plot_graph(graph, graph.provenance.get("song")), output)
    say(new_console(), f"{output}: {graph.num_nodes} nodes, {graph.num_edges} edges")
