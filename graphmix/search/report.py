"""The pictures of a mined song: graphs, spectrograms, the course of pruning, weight against loss increase."""

from pathlib import Path
from typing import Any

from torch import Tensor

from graphmix.errors import SearchError
from graphmix.graph.mixgraph import MixGraph
from graphmix.search.objective import Objective
from graphmix.search.state import SearchState


def draw_plots(
    folder: Path, graph: MixGraph, state: SearchState, objective: Objective, mix: Tensor, target: Tensor
) -> None:
    """Write ``console.svg``, ``graph.svg``, ``spectrograms.png``, ``pruning.png`` and ``importance.png``."""
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
        weights, increases, types = single_trials(state.trace)
        if weights:
            figures["importance.png"] = plots.plot_importance(weights, increases, types)
    for file, figure in figures.items():
        plots.save(figure, folder / file)


def single_trials(trace: list[dict[str, Any]]) -> tuple[list[float], list[float], list[str]]:
    """Weight, loss increase and type of every trial that removed one processor (equation 9)."""
    single = [
        record
        for record in trace
        if record["event"] == "trial" and len(record["weights"]) == 1 and record["type"] is not None
    ]
    weights = [record["weights"][0] for record in single]
    return weights, [r["loss_after"] - r["loss_before"] for r in single], [r["type"] for r in single]
