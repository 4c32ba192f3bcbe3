"""Multiband processing as a part of a graph: a crossover, a processor in each band, and their sum."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph

Settings = Mapping[str, Sequence[float | str] | float | str]
"""Parameters by name, as :meth:`graphmix.graph.mixgraph.MixGraph.add` takes them."""
CROSSOVER = "crossover"


class Multiband(NamedTuple):
    """Nodes of a multiband processor.

    Args:
        first: the crossover, into which the signal goes.
        bands: the processor of each band, from the lowest up.
        last: the mix, from which it comes.
    """

    first: int
    bands: tuple[int, ...]
    last: int


def add_multiband(
    graph: MixGraph,
    frequency_hz: Sequence[float],
    bands: Sequence[Settings],
    kind: str = "studio_compressor",
    name: str = "multiband",
) -> Multiband:
    """Add a crossover, a processor for each of its bands, and the mix of these.

    The crossover's bands add up to its input exactly and without phase, so that with neutral processors nothing
    changes. Each processor keeps its own dry/wet weight and can be pruned alone.

    Args:
        graph: with the types ``crossover`` and ``kind``; it is changed.
        frequency_hz: corners of the crossover, in rising order.
        bands: settings of each band, from the lowest up; ``{}`` is neutral.
        kind: name or letter of the type in each band.
        name: of the mix node.

    Returns:
        The nodes, not yet connected to anything else.

    Raises:
        GraphError: other numbers of corners or bands than the graph's crossover has, or types that it has not.

    Example:
        >>> from graphmix.processors import Rack
        >>> graph = MixGraph(Rack.full().types)
        >>> loud = {"threshold_db": -30.0, "ratio": 3.0}
        >>> nodes = add_multiband(graph, (200.0, 3000.0), (loud, {}, {}))
        >>> graph.chain(graph.add("in", "voice"), nodes.first).chain(nodes.last, graph.add("out")).num_edges
        8
    """
    try:
        crossover = graph.types[graph.types.index(CROSSOVER)]
    except KeyError as error:
        raise GraphError(f"a multiband processor needs a crossover: {error.args[0]}.") from None
    corners = crossover.parameters[0].size
    if len(frequency_hz) != corners or len(bands) != corners + 1:
        raise GraphError(
            f"{len(frequency_hz)} corners and {len(bands)} bands given; this graph's crossover has {corners} corners "
            f"and {corners + 1} bands. Make a rack with Crossover(sample_rate, bands=...) for another number."
        )
    if list(frequency_hz) != sorted(frequency_hz):
        raise GraphError(f"the corners {list(frequency_hz)} Hz do not rise; sort them, and the bands with them.")
    first = graph.add(CROSSOVER, frequency_hz=list(frequency_hz))
    nodes = tuple(graph.add(kind, **settings) for settings in bands)  # type: ignore[arg-type]
    last = graph.add("mix", name=name)
    for outlet, node in enumerate(nodes):
        graph.connect(first, node, outlet=outlet).connect(node, last)
    return Multiband(first, nodes, last)
