"""Songs of two seconds with known graphs, by three artists, and tiny models: enough to train in seconds."""

import json
from pathlib import Path
from typing import Any

import torch

from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import save_graph
from graphmix.processors.rack import Rack
from graphmix.training.config import TrainConfig, parse_config
from tests.small_song import RATE, SUBGROUPS, TRACKS, dry_tracks, mixed, write_song

SECONDS = 2.0
CHAIN = "eg"
ARTISTS = ("ann", "ann", "bob", "cyd")
ENCODER = {"kind": "vggish", "width": 2, "embedding": 8}
DMC: dict[str, Any] = {"name": "dmc", "chain": "g", "mels": 16, "hidden": 8, "layers": 1, "encoder": ENCODER}
LEVELS: dict[str, Any] = {**DMC, "encoder": {"kind": "statistics", "width": 1, "embedding": 8}}
GRAPH: dict[str, Any] = {
    "name": "graph",
    "chain": CHAIN,
    "mels": 16,
    "components": 4,
    "channels": 8,
    "layers": 1,
    "heads": 2,
    "head_hidden": 8,
    "encoder": ENCODER,
}
AUTOREGRESSIVE: dict[str, Any] = {
    "name": "autoregressive",
    "chain": CHAIN,
    "mels": 16,
    "components": 4,
    "channels": 8,
    "heads": 2,
    "layers": 1,
    "rounds": 1,
    "hidden": 8,
    "encoder": ENCODER,
}
WAVEUNET: dict[str, Any] = {"name": "waveunet", "tracks": 3, "levels": 3, "width": 2}


def true_graph(song: int) -> MixGraph:
    """A gain on each track; an equalizer on the first track of even songs, and on the second bus of odd ones."""
    graph = MixGraph(Rack.console(CHAIN, RATE).types, RATE)
    out = graph.add("out", name="mix")
    tilt = torch.linspace(-6, 6, graph.types.by_letter("e").width)
    for number, (bus, tracks) in enumerate(SUBGROUPS.items()):
        mix = graph.add("mix", name=bus)
        for track in tracks:
            nodes = [graph.add("gain", gain_db=[-3.0 - song, -6.0 + song])]
            if song % 2 == 0 and track == TRACKS[0]:
                nodes.insert(0, graph.add("equalizer", gain_db=tilt.tolist()))
            graph.chain(graph.add("in", name=track), *nodes, mix)
        on_bus = [graph.add("equalizer", gain_db=(-tilt).tolist())] if song % 2 and number else []
        graph.chain(mix, *on_bus, out)
    return graph


def write_tiny_songbook(root: Path, songs: int = len(ARTISTS)) -> Path:
    """A folder for each song, as the songbook writes them."""
    samples = round(SECONDS * RATE)
    for song in range(songs):
        tracks = {name: audio.roll(3000 * song, 1)[:, :samples] for name, audio in dry_tracks().items()}
        graph = true_graph(song)
        folder = write_song(root / f"song_{song}", tracks, mixed(graph, tracks), f"song {song}")
        save_graph(graph, folder / "graph.safetensors")
        path = folder / "song.json"
        description = {**json.loads(path.read_text()), "artist": ARTISTS[song % 4], "graph": "graph.safetensors"}
        path.write_text(json.dumps(description))
    return root


def tiny_config(songs: Path, model: dict[str, Any], **tables: dict[str, Any]) -> TrainConfig:
    """Segments of a second, four steps, an evaluation every second step."""
    data = {
        "songs": [str(songs)],
        "validation": 0.3,
        "segment_seconds": 1.0,
        "warmup_seconds": 0.3,
        "validation_segments": 1,
    }
    training = {"steps": 4, "batch_size": 2, "evaluate_every": 2, "warmup_steps": 1, "log_every": 1}
    values = {
        "model": model,
        "data": {**data, **tables.get("data", {})},
        "loss": tables.get("loss", {}),
        "training": {**training, **tables.get("training", {})},
        "device": {"accelerator": "cpu", **tables.get("device", {})},
    }
    return parse_config(values, "the test")
