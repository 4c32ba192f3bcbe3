"""
A mined song
============

The demo song, whose tracks graphmix synthesizes, is mined on a small budget: what ``graphmix mine`` does, step by step.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from graphmix import Rack, fit, load_song, mixing_console, plots, prune, render_song
from graphmix.search import DRAFT, Objective, find_baselines, start_graph
from graphmix.songbook.demo import write_demo_song

song = load_song(write_demo_song(Path(mkdtemp()) / "song"), sample_rate=30000)
settings = replace(DRAFT, chain="ecgr", master="", trial_segments=1, audible_db=0.0).scaled(steps=30, rounds=3)
rack = Rack.console(settings.chain, song.sample_rate)
objective = Objective(song, rack)
console = mixing_console(rack, song.subgroups, settings.chain)
start = start_graph(console, objective, find_baselines(objective, with_gains=True), seed=0)
fitted = fit(start, song, rack, settings)
pruned = prune(fitted.graph, song, rack, settings, tolerance=0.02)
figure = plots.plot_graph(pruned.graph, title=f"mined, audio loss {float(pruned.loss.total):.3f}")

# %%
# The history of the search: processors left, their weights, the loss.

history = plots.plot_pruning(pruned.trace)

# %%
# Spectrograms of the target, of what was found, and of the plain sum of the tracks, with their errors.

whole = song.read(0, song.num_samples)
matches = {"mined": render_song(pruned.graph, song), "plain sum": whole.stems.sum(0)}
match = plots.plot_match(whole.mix, matches, song.sample_rate)

# %%
# The settings that are left, as engineers say them.

settings_sheet = plots.plot_settings(pruned.graph, title="settings")
