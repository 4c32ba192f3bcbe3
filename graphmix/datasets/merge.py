"""Transforms that simplify a graph: gains in a row, and processors that others can do the work of.

How it is done, and when a node may move, is in :mod:`graphmix.rewrite.absorb`.
"""

from collections.abc import Iterable

from torch_geometric.transforms import BaseTransform

from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.rewrite.absorb import absorb, check_kinds, without_idle


class MergeGains(BaseTransform):
    """Merges gains in a row into one; the sound stays as it is.

    Two gains are in a row where one edge, the only one that leaves the first and comes into the second, joins them.
    """

    def forward(self, data: MixGraph) -> MixGraph:
        """The graph with one gain for each row."""
        return absorb(data, ("gain",), moves=False)


class AbsorbRedundant(BaseTransform):
    """Absorbs gains, pannings and imagers that others can do the work of; the sound stays as it is.

    The paper's post-processing; see :mod:`graphmix.rewrite.absorb` for when a node may move.

    Args:
        kinds: which to absorb: "gain", "imager" or both.
        rack: with your own processors; nothing moves past a type that it lacks. graphmix's processors by default.
    """

    def __init__(self, kinds: Iterable[str] = ("gain", "imager"), rack: Rack | None = None) -> None:
        self.kinds, self.rack = check_kinds(kinds), rack

    def forward(self, data: MixGraph) -> MixGraph:
        """The graph without what is redundant."""
        return absorb(without_idle(data), self.kinds, self.rack)

    def __repr__(self) -> str:
        rack = "" if self.rack is None else f", rack={self.rack.names}"
        return f"{type(self).__name__}(kinds={self.kinds}{rack})"
