"""
A proposal for new tracks
=========================

The estimator that comes with graphmix mixes the tracks of the demo song without knowing their mix.
"""

from pathlib import Path
from tempfile import mkdtemp

from graphmix import load_estimator, load_song, plots, propose
from graphmix.songbook.demo import write_demo_song

estimator = load_estimator("graph")
song = load_song(write_demo_song(Path(mkdtemp()) / "song"), estimator.sample_rate)
proposal = propose(estimator, song)
figure = plots.plot_graph(proposal.graph, title="proposed")

# %%
# Beside the mix that an engineer, here a hidden console, made of the same tracks:

whole = song.read(0, song.num_samples)
match = plots.plot_match(whole.mix, {"proposed": proposal.mix, "plain sum": whole.stems.sum(0)}, song.sample_rate)
