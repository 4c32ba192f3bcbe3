"""
A synthesizer
=============

Patches are graphs as well: operators with envelopes that modulate one another.
"""

import torch

from graphmix import Rack, Renderer, plot_graph
from graphmix.plots.notes import plot_notes
from graphmix.synthesizers import FM

values = {"algorithm": "5", "op1.ratio": 1.0, "op2.ratio": 2.0, "op2.level_db": -12.0}
patch = FM.patch(values, pitch=57, length_ms=800)
figure = plot_graph(patch, title="an FM patch")

# %%
# The same patch with a modulator that is 12 dB louder: spectrograms, levels, and the error.

play = Renderer(Rack.generators(44100))
brighter = FM.patch({**values, "op2.level_db": 0.0}, pitch=57, length_ms=800)
soft, bright = (play(p, torch.zeros(0, 2, 2 * 44100))[0].mean(0).detach().numpy() for p in (patch, brighter))
notes = plot_notes(bright, {"softer": soft}, 44100)
