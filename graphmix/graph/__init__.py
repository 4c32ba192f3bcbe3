"""Mixing graphs: the ``Data`` object, validation, editing, consoles, storage, networkx."""

from graphmix.graph.consoles import CONSOLE_CHAIN, mixing_console
from graphmix.graph.editing import bypass_nodes, keep_nodes, remove_nodes
from graphmix.graph.mixgraph import GraphInfo, MixGraph
from graphmix.graph.validation import validate

__all__ = [
    "CONSOLE_CHAIN",
    "GraphInfo",
    "MixGraph",
    "bypass_nodes",
    "keep_nodes",
    "mixing_console",
    "remove_nodes",
    "validate",
]
