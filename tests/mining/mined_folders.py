"""Folders as mining and the songbook leave them, made in milliseconds: small graphs, and audio that counts samples."""

import json
from pathlib import Path
from typing import Any

import torch

from graphmix.audio.files import write_audio
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import save_graph
from graphmix.processors.rack import Rack

RATE = 30000
SAMPLES = 6000
RACK = Rack.console("gs", RATE)


def ramp(number: int, samples: int = SAMPLES) -> torch.Tensor:
    """[2, samples]: sample n of track ``number`` is (n + number / 10) / 2 ** 14 left and its negative right."""
    line = (torch.arange(samples) + number / 10) / 2**14
    return torch.stack([line, -line])


def small_graph(tracks: int = 2, gain_db: float = -3.0, rack: Rack = RACK, rate: int = RATE) -> MixGraph:
    """Some tracks with a gain each, summed, widened, to the output."""
    graph = MixGraph(rack.types, rate)
    bus = graph.add("mix", name="bus")
    for number in range(tracks):
        track = graph.add("in", name=f"{number}.wav")
        graph.chain(track, graph.add("gain", gain_db=[gain_db, gain_db - number]), bus)
    graph.chain(bus, graph.add("imager", side_db=1.0), graph.add("out", name="mix"))
    return graph


def write_audio_of(folder: Path, tracks: int, samples: int = SAMPLES) -> tuple[Path, dict[str, Path]]:
    """Mix and tracks, and their paths."""
    (folder / "dry").mkdir(parents=True)
    paths = {f"{number}.wav": folder / "dry" / f"{number}.wav" for number in range(tracks)}
    for number, path in enumerate(paths.values()):
        write_audio(path, ramp(number, samples), RATE)
    write_audio(folder / "mix.wav", ramp(9, samples), RATE)
    return folder / "mix.wav", paths


def write_mined(
    folder: Path,
    graph: MixGraph,
    song_id: str,
    artist: str | None = None,
    mix: Path | None = None,
    tracks: dict[str, Path] | None = None,
    **more: Any,
) -> Path:
    """A folder as :func:`graphmix.mine` leaves it, as far as datasets read it."""
    folder.mkdir(parents=True)
    save_graph(graph, folder / "graph.safetensors")
    source = {
        "song_id": song_id,
        "collection": "tiny",
        "artist": artist,
        "mix": None if mix is None else str(mix),
        "tracks": {name: str(path) for name, path in (tracks or {}).items()},
        "subgroups": {},
    }
    (folder / "metrics.json").write_text(json.dumps({"song": song_id, "audio_loss": 0.5, "source": source, **more}))
    return folder


def write_collection(root: Path, songs: int = 6, with_audio: bool = True) -> Path:
    """``root/mined`` with songs of three artists, whose audio is in ``root/audio``; song i has 1 + i % 3 tracks."""
    for i in range(songs):
        tracks, name = 1 + i % 3, f"song{i:03d}"
        mix, paths = write_audio_of(root / "audio" / name, tracks) if with_audio else (None, {})
        graph = small_graph(tracks, gain_db=-1.0 - i)
        write_mined(root / "mined" / name, graph, name, f"Artist {i % 3}", mix, paths)
    return root / "mined"


def write_songbook_song(folder: Path, tracks: int = 2, name: str = "One") -> Path:
    """A song folder with its true graph in it."""
    write_audio_of(folder, tracks)
    save_graph(small_graph(tracks), folder / "graph.safetensors")
    described = {"name": name, "artist": "The Chance", "genre": "pop", "mix": "mix.wav", "stems": "dry", "seed": 3}
    described |= {"subgroups": {"bus": [f"{i}.wav" for i in range(tracks)]}, "graph": "graph.safetensors"}
    (folder / "song.json").write_text(json.dumps(described))
    return folder
