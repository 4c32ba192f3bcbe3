"""How important each processor of a fitted console is: the loss increase when it alone is removed.

Figure 4 of the pruning paper compares it with the dry/wet weight; statistics over many songs read the same numbers.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from graphmix.audio.segments import spread_segments
from graphmix.graph.mixgraph import MixGraph
from graphmix.io import write_atomically
from graphmix.search.objective import Objective
from graphmix.search.rounds import prunable_nodes
from graphmix.search.trial_losses import Judge

IMPORTANCE_SEGMENTS = 4
"""Segments of the song on which the loss increases are measured."""


@dataclass(frozen=True)
class Importance:
    """Node type, dry/wet weight and loss increase of each processor that can be pruned, in node order."""

    types: list[str]
    weights: list[float]
    loss_increases: list[float]

    def write(self, path: Path) -> None:
        """Write the numbers as CSV."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("type", "weight", "loss_increase"))
        for kind, weight, increase in zip(self.types, self.weights, self.loss_increases, strict=True):
            rows.writerow((kind, f"{weight:.6g}", f"{increase:.6g}"))
        write_atomically(path, text.getvalue().encode())


def measure_importance(objective: Objective, console: MixGraph) -> Importance:
    """Exact leave-one-out losses of a console (equation 9), on a few segments of the song."""
    nodes = prunable_nodes(console)
    types = [console.type_of(node).name for node in nodes]
    judge = Judge(objective, console, spread_segments(objective.segments, IMPORTANCE_SEGMENTS))
    increases = judge.leave_one_out(nodes).tolist() if nodes else []
    return Importance(types, console.wet[nodes].tolist(), increases)
