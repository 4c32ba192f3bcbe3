"""
Gains that move
===============

A ride follows breakpoints over the time of the song: here a voice that is brought forward in the chorus, and a fade at
the end of the mix.
"""

from graphmix import MixGraph, Rack, plot_graph, plots
from graphmix.processors import Ride
from graphmix.processors.ride import breakpoints

moves = {
    "voice": [(0.0, -1.5), (58.0, -1.5), (60.0, 2.0), (88.0, 2.0), (90.0, -1.5)],
    "mix": [(0.0, 0.0), (165.0, 0.0), (180.0, -60.0)],
}
rack = Rack([*Rack.standard(44100), Ride(44100)])
graph = MixGraph(rack.types, sample_rate=44100)
voice = graph.add("ride", **breakpoints(moves["voice"]))
fade, out = graph.add("ride", **breakpoints(moves["mix"])), graph.add("out", name="mix")
graph.chain(graph.add("in", name="voice"), voice, fade, out).chain(graph.add("in", name="piano"), fade)
figure = plots.plot_rides(moves, seconds=180.0)

# %%
# The graph that does it:

drawn = plot_graph(graph, title="rides")
