"""
Weight and importance
=====================

A low dry/wet weight is a hint, no proof, that a processor may go: each dot is one processor of the console that mixes
the demo song, and its height is what the loss rises by without it.
"""

from pathlib import Path
from tempfile import mkdtemp

from graphmix import Rack, load_song, plots
from graphmix.search import Judge, Objective
from graphmix.songbook.demo import hidden_console, write_demo_song

song = load_song(write_demo_song(Path(mkdtemp()) / "song"), sample_rate=30000)
console = hidden_console(song.sample_rate)
objective = Objective(song, Rack.standard(song.sample_rate))
nodes = console.prunable.nonzero().flatten().tolist()
increases = Judge(objective, console, objective.segments[:2]).leave_one_out(nodes)
types = [console.type_of(node).name for node in nodes]
figure = plots.plot_importance(console.wet[nodes].tolist(), increases.tolist(), types)
