"""What a process of a test does; it imports next to nothing else."""

from pathlib import Path
from typing import Any

from graphmix.datasets.mined_graphs import MinedGraphs


def build_and_tell(root: Path, answers: Any) -> None:
    """Build a dataset, and say how many graphs it has and where they come from."""
    graphs = MinedGraphs(root)
    answers.put((len(list(graphs)), graphs.index.sources))
