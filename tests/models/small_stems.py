"""Stems of a second, tiny models, and true graphs for the tests of estimators."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from graphmix.graph.mixgraph import MixGraph
from graphmix.models.config import EncoderConfig
from graphmix.models.mixing.stems import Stems
from graphmix.processors.rack import Rack

RATE = 30000
TINY: dict[str, Any] = {"mels": 16, "components": 3, "encoder": EncoderConfig(width=2, embedding=8)}
TINY_RESIDUAL: dict[str, Any] = {**TINY, "encoder": EncoderConfig(kind="residual", width=2, embedding=8)}
TINY_LEVELS: dict[str, Any] = {**TINY, "encoder": EncoderConfig(kind="statistics", width=1, embedding=8)}
TINY_GRAPH: dict[str, Any] = {**TINY, "channels": 8, "heads": 2, "layers": 2, "head_hidden": 8}


def tone(frequency: float, amplitude: float = 0.1, seconds: float = 1.0, rate: int = RATE) -> Tensor:
    """A sine on both channels, [2, samples]."""
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return (amplitude * torch.sin(2 * torch.pi * frequency * time)).float().expand(2, -1).contiguous()


def make_stems(
    num_tracks: int = 3,
    seconds: float = 1.0,
    rate: int = RATE,
    seed: int = 0,
    buses: int = 2,
    silent: Sequence[int] = (),
) -> Stems:
    """Tones with noise, each track another; tracks take turns on the buses; the mix is their sum at half level.

    Without buses the subgroups are unknown.
    """
    generator = torch.Generator().manual_seed(seed)
    tracks = [tone(80 * 1.3 ** (i % 16), 0.1 / (1 + i % 4), seconds, rate) for i in range(num_tracks)]
    audio = torch.stack(tracks)
    audio = audio + 0.02 * torch.randn(audio.shape, generator=generator)
    for track in silent:
        audio[track] = 0.0
    names = tuple(f"track {i}" for i in range(num_tracks))
    groups = {f"bus {b}": names[b::buses] for b in range(min(buses, num_tracks))} if buses else None
    return Stems(audio, names, rate, groups, 0.5 * audio.sum(0))


def with_silent_track(stems: Stems, name: str = "nothing", level: float = 0.0) -> Stems:
    """One more track, the first, that is silent; it shares the first bus."""
    audio = torch.cat([torch.full_like(stems.audio[:1], level), stems.audio])
    groups = stems.subgroups
    if groups is not None:
        first = next(iter(groups))
        groups = {**groups, first: (name, *groups[first])}
    return replace(stems, audio=audio, names=(name, *stems.names), subgroups=groups)


@torch.no_grad()
def shake(model: nn.Module, seed: int = 0, amount: float = 0.3) -> None:
    """Move all weights off their start, so that outputs of a model depend on its inputs."""
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.add_(amount * torch.randn(weight.shape, generator=generator))


def gains_graph(gains_db: dict[str, Sequence[float] | None], bus: str = "bus 0", chain: str = "eg") -> MixGraph:
    """Each track through a gain, or through nothing, into one bus and out."""
    graph = MixGraph(Rack.console(chain, RATE).types, RATE)
    mix = graph.add("mix", name=bus)
    for name, gain_db in gains_db.items():
        strip = [] if gain_db is None else [graph.add("gain", gain_db=gain_db)]
        graph.chain(graph.add("in", name=name), *strip, mix)
    graph.chain(mix, graph.add("out", name="mix"))
    return graph


def gains_by_track(graph: MixGraph) -> dict[str, list[float]]:
    """The parameters of the gain that directly follows each input; nothing where none does."""
    after = dict(graph.edge_index.t().tolist())
    rows = graph.rows().tolist()
    found = {}
    for node in graph.nodes_of("in").tolist():
        if graph.type_of(after[node]).name == "gain":
            found[graph.names[node]] = graph.params["gain"][rows[after[node]]].tolist()
    return found
