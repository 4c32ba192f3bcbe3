"""
A console
=========

The full console of a search: every track and every subgroup has the same chain, and boxes are filled in proportion to
their dry/wet weight.
"""

from graphmix import Rack, mixing_console, plot_graph

subgroups = {"drums": ["kick", "snare", "hat"], "band": ["bass", "guitar"], "vocals": ["voice"]}
rack = Rack.console("ecnsgdr", sample_rate=30000)
console = mixing_console(rack, subgroups, chain="ecnsgdr")
figure = plot_graph(console, title="a full console")
