"""Plots: graphs, matches, searches. Each function returns a ``matplotlib`` figure; :func:`save` writes it.

Nothing here touches pyplot or its global state, so plots may be made on servers and in threads.
"""

from graphmix.plots.graph import plot_graph
from graphmix.plots.palette import color_of
from graphmix.plots.pruning import plot_importance, plot_pruning
from graphmix.plots.saving import save
from graphmix.plots.spectrogram import plot_match

__all__ = ["color_of", "plot_graph", "plot_importance", "plot_match", "plot_pruning", "save"]
