"""Plots: graphs, matches, searches. Each function returns a ``matplotlib`` figure; :func:`save` writes it.

Nothing here touches pyplot or its global state, so plots may be made on servers and in threads.
"""

from graphmix.plots.files import save
from graphmix.plots.graph import plot_graph
from graphmix.plots.palette import color_of

__all__ = ["color_of", "plot_graph", "save"]
