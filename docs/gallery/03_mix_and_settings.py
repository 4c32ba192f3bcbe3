"""
A mix and its settings
======================

The console that mixes the demo song, whose tracks graphmix synthesizes. This is what a search has to find; the
tutorials mine it step by step.
"""

from pathlib import Path
from tempfile import mkdtemp

from graphmix import load_song, plots
from graphmix.songbook.demo import hidden_console, write_demo_song

song = load_song(write_demo_song(Path(mkdtemp()) / "song"), sample_rate=30000)
console = hidden_console(song.sample_rate)
figure = plots.plot_graph(console, title="the demo's console")

# %%
# Its settings, as engineers say them:

sheet = plots.plot_settings(console, title="settings")

# %%
# Spectrograms of the mix and of the plain sum of the tracks, with the error:

whole = song.read(0, song.num_samples)
match = plots.plot_match(whole.mix, {"plain sum": whole.stems.sum(0)}, song.sample_rate)
