"""graphmix: music mixing as graphs, on PyTorch Geometric.

A mixing graph is a PyG ``Data`` object whose node types are differentiable audio processors. graphmix renders any
such graph, fits it to a song, prunes it to the processors that matter, stores, draws and describes it.

The names below are loaded when they are first used, so that importing graphmix costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphmix.audio.song import Song, load_song
    from graphmix.errors import GraphError, GraphmixError, SearchError, SongError
    from graphmix.graph.console import mixing_console
    from graphmix.graph.convert import from_networkx, to_networkx
    from graphmix.graph.edit import bypass_nodes, remove_nodes
    from graphmix.graph.mixgraph import MixGraph
    from graphmix.graph.storage import load_graph, save_graph
    from graphmix.graph.validate import validate
    from graphmix.memory import keep_memory
    from graphmix.plots import plot_graph
    from graphmix.processors.rack import Rack
    from graphmix.render.renderer import Renderer
    from graphmix.render.schedule import schedule
    from graphmix.render.song import render_song
    from graphmix.search.fit import fit
    from graphmix.search.losses import mix_loss
    from graphmix.search.mine import mine
    from graphmix.search.search import prune
    from graphmix.search.settings import SearchSettings
    from graphmix.search.start import start_from_levels

__version__ = "0.1.0"

_WHERE = {
    "GraphError": "errors",
    "GraphmixError": "errors",
    "MixGraph": "graph.mixgraph",
    "Rack": "processors.rack",
    "Renderer": "render.renderer",
    "SearchError": "errors",
    "SearchSettings": "search.settings",
    "Song": "audio.song",
    "SongError": "errors",
    "bypass_nodes": "graph.edit",
    "fit": "search.fit",
    "from_networkx": "graph.convert",
    "keep_memory": "memory",
    "load_graph": "graph.storage",
    "load_song": "audio.song",
    "mine": "search.mine",
    "mix_loss": "search.losses",
    "mixing_console": "graph.console",
    "plot_graph": "plots",
    "prune": "search.search",
    "remove_nodes": "graph.edit",
    "render_song": "render.song",
    "save_graph": "graph.storage",
    "schedule": "render.schedule",
    "start_from_levels": "search.start",
    "to_networkx": "graph.convert",
    "validate": "graph.validate",
}

__all__ = [
    "GraphError",
    "GraphmixError",
    "MixGraph",
    "Rack",
    "Renderer",
    "SearchError",
    "SearchSettings",
    "Song",
    "SongError",
    "bypass_nodes",
    "fit",
    "from_networkx",
    "keep_memory",
    "load_graph",
    "load_song",
    "mine",
    "mix_loss",
    "mixing_console",
    "plot_graph",
    "prune",
    "remove_nodes",
    "render_song",
    "save_graph",
    "schedule",
    "start_from_levels",
    "to_networkx",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'graphmix' has no attribute {name!r}")
    return getattr(import_module(f"graphmix.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
