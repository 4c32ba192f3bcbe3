"""Songs with silence, as full sessions have it: at the start, in a break, at the end, in the mix alone, in tracks.

Each kind is a song of six seconds with three tracks (:mod:`tests.small_song`) and a known graph: gains alone.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import save_graph
from tests.small_song import RATE, TRACKS, hidden_graph, mixed, write_song

SECONDS = 6


def _tracks() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(11)
    return {name: 0.1 * torch.randn(2, SECONDS * RATE, generator=generator) for name in TRACKS}


def _second(first: float, last: float) -> slice:
    return slice(round(first * RATE), round(last * RATE))


def _dithered(mix: Tensor) -> Tensor:
    """Silence of a 16-bit file: half a bit of noise."""
    return mix + torch.randn(mix.shape, generator=torch.Generator().manual_seed(1)) * 2**-16


def _build(kind: str) -> tuple[MixGraph, dict[str, Tensor], Tensor]:
    graph, tracks = hidden_graph(equalized=False), _tracks()
    silent = {"start": _second(0, 4), "break": _second(1, 5), "end": _second(2, SECONDS)}.get(kind)
    if silent is not None:
        for track in tracks.values():
            track[:, silent] = 0
    if kind == "short parts":
        for place, track in enumerate(tracks.values()):
            track[:, : _second(0, place + 1).stop] = 0
            track[:, _second(0, place + 2).stop :] = 0
    if kind == "hiss":
        tracks[TRACKS[0]][:, _second(1, SECONDS)] *= 1e-3
    mix = mixed(graph, tracks)
    if kind in ("muted mix", "faded mix"):
        mix[:, _second(3, SECONDS)] = 0
        mix = _dithered(mix) if kind == "faded mix" else mix
    if kind == "silent track":
        tracks[TRACKS[1]] = torch.zeros_like(mix)
        mix = mixed(graph, tracks)
    return graph, tracks, mix


KINDS = (
    "start", "break", "end", "short parts", "hiss", "muted mix", "faded mix", "silent track", "mono mix",
)  # fmt: skip


def write_quiet_song(folder: Path, kind: str) -> Path:
    """A song of one kind, with its graph."""
    graph, tracks, mix = _build(kind)
    write_song(folder, tracks, mix, kind)
    if kind == "mono mix":
        soundfile.write(folder / "mix.wav", mix.mean(0).numpy(), RATE, subtype="PCM_16")
    save_graph(graph, folder / "graph.safetensors")
    path = folder / "song.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "artist": kind, "graph": "graph.safetensors"}))
    return folder


def write_quiet_songs(root: Path, kinds: Sequence[str] = KINDS) -> Path:
    """A folder for each kind."""
    for kind in kinds:
        write_quiet_song(root / kind.replace(" ", "_"), kind)
    return root
