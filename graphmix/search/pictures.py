"""The pictures of a mined song: graphs, spectrograms, the course of pruning, weight against loss increase."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from graphmix.errors import SearchError
from graphmix.graph.mixgraph import MixGraph
from graphmix.io import write_atomically
from graphmix.search.objective import Objective
from graphmix.search.rounds import prunable_nodes, trial_segments
from graphmix.search.search_state import SearchState
from graphmix.search.trial_losses import Judge

IMPORTANCE_SEGMENTS = 4
"""Of the song, from which the loss increases of the console's processors are taken."""


def draw_plots(
    folder: Path, graph: MixGraph, state: SearchState, objective: Objective, mix: Tensor, target: Tensor
) -> None:
    """Write ``console.svg``, ``graph.svg``, ``spectrograms.png``, ``pruning.png``, ``importance.png`` and ``.csv``.

    The last shows the fitted console before pruning, with exact leave-one-out losses (figure 4 of the paper).
    """
    from graphmix import plots  # matplotlib is loaded only where something is drawn

    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise SearchError(f"cannot write to {folder}: {error.strerror or error}.") from None
    name = objective.song.name
    console = state.graphs["console"]
    figures = {
        "console.svg": plots.plot_graph(console, f"{name}: full console, L_a = {state.losses['console'][0]:.3f}"),
        "graph.svg": plots.plot_graph(graph, f"{name}: mined, L_a = {graph.provenance['audio_loss']:.3f}"),
        "spectrograms.png": plots.plot_match(target, {"mined": mix}, objective.song.sample_rate),
    }
    figures["graph.png"] = figures["graph.svg"]
    if any(record["event"] == "round" for record in state.trace):
        figures["pruning.png"] = plots.plot_pruning(state.trace)
    if nodes := prunable_nodes(console):
        increases = Judge(objective, console, trial_segments(objective, IMPORTANCE_SEGMENTS)).leave_one_out(nodes)
        types = [console.type_of(node).name for node in nodes]
        weights = console.wet[nodes].tolist()
        figures["importance.png"] = plots.plot_importance(weights, increases.tolist(), types)
        _write_importance(folder / "importance.csv", types, weights, increases.tolist())
    for file, figure in figures.items():
        plots.save(figure, folder / file)


def _write_importance(path: Path, types: Sequence[str], weights: Sequence[float], increases: Sequence[float]) -> None:
    """The numbers of ``importance.png``, for statistics over many songs."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("type", "weight", "loss_increase"))
    for row in zip(types, weights, increases, strict=True):
        rows.writerow((row[0], f"{row[1]:.6g}", f"{row[2]:.6g}"))
    write_atomically(path, text.getvalue().encode())
