"""Consoles of two tracks on a bus and a bass alone on another, and processors to put into them."""

import torch

from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack

RATE = 30000
RACK = Rack.console("ecnsgdr", RATE)
BINS = RACK["equalizer"].node_type.width
Chain = list[tuple[str, dict]]
GAIN = ("gain", {"gain_db": [-6.0, -3.0]})
LEVEL = ("gain", {"gain_db": 4.0})
TILT = ("equalizer", {"gain_db": torch.linspace(-6, 6, BINS).tolist()})
SQUASH = ("compressor", {"threshold_db": -30.0, "ratio": 4.0, "knee_db": 6.0, "time_ms": 20.0})
WIDER = ("imager", {"side_db": 6.0})
ROOM = ("reverb", {"wet": 0.2})
ECHO = ("delay", {"wet": 0.1})


def console(kick: Chain, snare: Chain, bus: Chain, bass: Chain = (), bass_bus: Chain = ()) -> MixGraph:  # type: ignore[assignment]
    """Two tracks on a bus, and a bass alone on another."""
    graph = MixGraph(RACK.types, RATE)
    out = graph.add("out", name="mix")
    for name, tracks, chain in (
        ("drums", {"kick.wav": kick, "snare.wav": snare}, bus),
        ("low", {"bass.wav": bass}, bass_bus),
    ):
        mix = graph.add("mix", name=name)
        for track, own in tracks.items():
            graph.chain(graph.add("in", name=track), *(graph.add(kind, **values) for kind, values in own), mix)
        graph.chain(mix, *(graph.add(kind, **values) for kind, values in chain), out)
    return graph
