"""The pictures of a mined song: graphs, spectrograms, the history of pruning, weight against loss increase."""

from pathlib import Path

from torch import Tensor

from graphmix.errors import SearchError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.tables import Reductions
from graphmix.search.importance import Importance
from graphmix.search.rides import describe_rides
from graphmix.search.search_state import SearchState


def make_folder(folder: Path) -> None:
    """Make the folder of the pictures.

    Raises:
        SearchError: it cannot be made.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise SearchError(f"cannot write to {folder}: {error.strerror or error}.") from None


def draw_plots(
    folder: Path,
    graph: MixGraph,
    state: SearchState,
    importance: Importance,
    console_loss: float,
    mix: Tensor,
    target: Tensor,
    reductions: Reductions | None = None,
) -> None:
    """Write ``console.svg``, ``graph.svg``, ``graph.png``, ``settings.svg``, ``spectrograms.png``, ``pruning.png``,
    ``importance.png``.

    And ``rides.png``, if gains move.

    Args:
        folder: which exists.
        graph: what was mined, with its provenance.
        state: of the search at its end.
        importance: of the processors of the fitted console.
        console_loss: L_a of the fitted console.
        mix: of the graph, [2, samples].
        target: the mix to match, [2, samples].
        reductions: what compressors and gates of the graph take off.
    """
    from graphmix import plots  # matplotlib is loaded only where something is drawn

    assert state.console is not None, "the console was fitted"
    console, name = state.console, graph.provenance["song"]
    loss = graph.provenance["audio_loss"]
    figures = {
        "console.svg": plots.plot_graph(console.graph, f"{name}: full console, L_a = {console_loss:.3f}"),
        "graph.svg": plots.plot_graph(graph, f"{name}: mined, L_a = {loss:.3f}"),
        "spectrograms.png": plots.plot_match(target, {"mined": mix}, graph.sample_rate),
    }
    figures["settings.svg"] = plots.plot_settings(graph, reductions, f"{name}: settings")
    figures["graph.png"] = figures["graph.svg"]
    if any(record["event"] == "round" for record in state.trace):
        objective = graph.provenance["settings"].get("objective")
        label = f"loss ({objective})" if objective else "audio loss"
        figures["pruning.png"] = plots.plot_pruning(state.trace, label)
    if importance.types:
        figures["importance.png"] = plots.plot_importance(
            importance.weights, importance.loss_increases, importance.types
        )
    if rides := describe_rides(graph):
        moving = {ride["of"]: ride["points"] for ride in rides}
        figures["rides.png"] = plots.plot_rides(moving, target.size(-1) / graph.sample_rate)
    for file, figure in figures.items():
        plots.save(figure, folder / file)
