"""A song of three short tracks, mixed by a known graph: small enough to be mined in seconds, many times over."""

import json
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from graphmix.audio import write_audio
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.search import SearchSettings, mine

RATE = 30000
SECONDS = 3.4
SUBGROUPS = {"rhythm": ["1_drum.wav", "2_bass.wav"], "lead": ["3_voice.wav"]}
TRACKS = [track for tracks in SUBGROUPS.values() for track in tracks]
GAINS_DB = {"1_drum.wav": [-3.0, -9.0], "2_bass.wav": [-6.0, -6.0], "3_voice.wav": [-12.0, -2.0]}
SETTINGS = SearchSettings(
    chain="eg",
    steps=4,
    rounds=2,
    round_steps=2,
    ramp_steps=4,
    evaluate_every=2,
    learning_rate=0.03,
    sample_rate=RATE,
)
"""Four steps, two rounds of trials, two steps after each."""

CONSOLE_ALONE = {"align": False, "rides": False, "ducking": False, "full_band": False}
mine_without_plots = partial(mine, plots=False, **CONSOLE_ALONE)
"""Pictures take most of the time of a tiny song, and looking for more than its console much of the rest."""


def dry_tracks() -> dict[str, Tensor]:
    """Bursts of noise, a pulsing low tone with harmonics, and a stereo tone that glides; [2, samples] each."""
    generator = torch.Generator().manual_seed(7)
    samples = round(SECONDS * RATE)
    time = torch.arange(samples, dtype=torch.float64) / RATE
    bursts = torch.randn(samples, generator=generator, dtype=torch.float64) * torch.exp(-12 * (time % 0.4))
    low = sum(torch.sin(2 * torch.pi * 70 * k * time) / k for k in range(1, 6)) * (0.5 + 0.5 * torch.sin(5 * time))
    voice = torch.stack([torch.sin(2 * torch.pi * (400 * time + 60 * time**2) + phase) for phase in (0.0, 0.6)])
    voice = voice * (0.6 + 0.4 * torch.sin(9 * time))
    noise = 0.01 * torch.randn(3, 2, samples, generator=generator, dtype=torch.float64)
    signals = [0.3 * bursts.expand(2, -1), 0.2 * low.expand(2, -1), 0.2 * voice]
    return {name: (signal + noise[row]).float() for row, (name, signal) in enumerate(zip(TRACKS, signals, strict=True))}


def hidden_graph(equalized: bool = True) -> MixGraph:
    """Gains and panning on each track; if wanted, also two equalizers, one on a track and one on a bus."""
    rack = Rack.console("eg", RATE)
    graph = MixGraph(rack.types, RATE)
    out = graph.add("out", name="mix")
    tilt = torch.linspace(-6, 6, rack["equalizer"].node_type.width).tolist()
    for bus, tracks in SUBGROUPS.items():
        mix = graph.add("mix", name=bus)
        for track in tracks:
            nodes = [graph.add("gain", gain_db=GAINS_DB[track])]
            if equalized and track == "1_drum.wav":
                nodes.insert(0, graph.add("equalizer", gain_db=tilt))
            graph.chain(graph.add("in", name=track), *nodes, mix)
        on_bus = [graph.add("equalizer", gain_db=tilt[::-1])] if equalized and bus == "lead" else []
        graph.chain(mix, *on_bus, out)
    return graph


@torch.no_grad()
def mixed(graph: MixGraph, tracks: dict[str, Tensor]) -> Tensor:
    """The mix of a graph, [2, samples]."""
    sources = torch.stack([tracks[graph.names[node]] for node in graph.nodes_of("in").tolist()])
    return Renderer(Rack.for_types(graph.types.types, RATE))(graph, sources)[0]


def write_song(folder: Path, tracks: dict[str, Tensor], mix: Tensor, name: str = "small") -> Path:
    """Write tracks, mix and description."""
    (folder / "dry").mkdir(parents=True)
    for track, audio in tracks.items():
        write_audio(folder / "dry" / track, audio, RATE)
    write_audio(folder / "mix.wav", mix, RATE)
    groups = {bus: [t for t in members if t in tracks] for bus, members in SUBGROUPS.items()}
    description = {"name": name, "mix": "mix.wav", "stems": "dry", "subgroups": groups}
    (folder / "song.json").write_text(json.dumps(description))
    return folder


def write_small_song(folder: Path) -> Path:
    """The song of this module in a folder."""
    tracks = dry_tracks()
    return write_song(folder, tracks, mixed(hidden_graph(), tracks))


def write_tiny_song(folder: Path, name: str = "tiny") -> Path:
    """One second of two tracks."""
    tracks = {name: audio[:, :RATE] for name, audio in list(dry_tracks().items())[1:]}
    mix = sum(audio * gain for audio, gain in zip(tracks.values(), (0.5, 0.3), strict=True))
    assert isinstance(mix, Tensor)
    return write_song(folder, tracks, mix + 0.2 * mix.roll(900, 1), name)


def same_graph(one: MixGraph, other: MixGraph) -> bool:
    """Are two graphs equal to the last bit?"""
    fields = ("node_type", "edge_index", "edge_port", "wet")
    return (
        one.names == other.names
        and all(torch.equal(one[name], other[name]) for name in fields)
        and one.params.keys() == other.params.keys()
        and all(torch.equal(one.params[name], other.params[name]) for name in one.params)
    )
