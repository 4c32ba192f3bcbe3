"""
A graph by hand
===============

Any directed graph without cycles: the kick ducks the bass through a sidechain, voice and guitar share one reverb by
sends, and a limiter is behind the sum.
"""

from graphmix import MixGraph, Rack, plot_graph, schedule

rack = Rack.standard(sample_rate=44100)
graph = MixGraph(rack.types, sample_rate=44100)
kick, bass = graph.add("in", name="kick"), graph.add("in", name="bass")
voice, guitar = graph.add("in", name="voice"), graph.add("in", name="guitar")
duck = graph.add("sidechain_compressor", threshold_db=-30, ratio=4)
room, out = graph.add("reverb", name="room"), graph.add("mix", name="sum")
graph.chain(kick, out).chain(bass, duck, out)
graph.connect(kick, duck, inlet="sidechain")
for track, send_db in ((voice, -12.0), (guitar, -18.0)):
    tone = graph.add("equalizer")
    send = graph.add("send", gain_db=send_db)
    graph.chain(track, tone, out).chain(send, room)
    graph.connect(tone, send, inlet="send")
graph.chain(room, out).chain(out, graph.add("limiter", ceiling_db=-1.0), graph.add("out", name="mix"))
figure = plot_graph(graph, title="sidechain, sends, limiter")

# %%
# What is rendered together, and in which domain:

print(schedule(graph, rack))
