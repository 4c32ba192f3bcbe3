"""The work that all contenders do: the same consoles, settings and audio.

The paper's training step: stereo at 30 kHz, segments of 3.8 s whose first second is not scored, the chain
``ecnsgdr`` on every track and every bus.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphmix.graph import MixGraph, mixing_console
from graphmix.graph.editing import remove_nodes
from graphmix.processors import Rack

SAMPLE_RATE = 30000
SAMPLES = 114000
WARMUP = 30000
CHAIN = "ecnsgdr"
GAIN_STAGING = 1e-3
LEARNING_RATE = 0.01
LEVEL = 0.1
"""Standard deviation of the noise that the tracks carry: -20 dB, so that dynamics have something to do."""
RANGES = {
    "gain_db": (-3.0, 3.0),
    "side_db": (-3.0, 3.0),
    "threshold_db": (-30.0, -20.0),
    "ratio": (1.5, 3.0),
    "knee_db": (4.0, 8.0),
    "time_ms": (10.0, 30.0),
    "filter_db": (-3.0, 3.0),
    "initial_db": (-3.0, 3.0),
    "decay_db_per_s": (-140.0, -100.0),
}
"""Uniform ranges of the random settings; delays start where a search starts them."""


def make_console(rack: Rack, tracks: int, subgroups: int, chain: str = CHAIN) -> MixGraph:
    """The paper's full console; track i goes to bus i modulo the number of buses."""
    groups = {f"bus {i}": [f"track {j}" for j in range(i, tracks, subgroups)] for i in range(subgroups)}
    return mixing_console(rack, groups, chain)


def make_pruned_console(rack: Rack, song: Mapping[str, Any], removed: float, seed: int) -> MixGraph:
    """The full console of a song of ``consoles.json``, of whose processors a share is removed at random.

    A track without a subgroup gets one of its own, as in the paper's code.
    """
    groups = {name: list(members) for name, members in song["subgroups"].items()}
    grouped = {track for members in groups.values() for track in members}
    groups |= {f"bus of {track}": [track] for track in song["tracks"] if track not in grouped}
    console = mixing_console(rack, groups, CHAIN)
    processors = console.processors.numpy()
    count = round(removed * len(processors))
    chosen = np.random.default_rng(seed).choice(processors, count, replace=False)
    return remove_nodes(console, torch.from_numpy(chosen))


def make_graph(rack: Rack, work: Mapping[str, Any]) -> MixGraph:
    """The graph that a description (JSON values) stands for, with random settings."""
    if "song" in work:
        graph = make_pruned_console(rack, work["song"], work["removed"], work["seed"])
    else:
        graph = make_console(rack, work["tracks"], work["subgroups"])
    return dial(graph, rack, work["seed"])


def dial(graph: MixGraph, rack: Rack, seed: int, ranges: Mapping[str, Sequence[float]] = RANGES) -> MixGraph:
    """Set every processor of a graph at random, half wet."""
    generator = torch.Generator().manual_seed(seed)
    graph = graph.clone()
    graph.params = {
        name: random_params(rack, name, len(graph.nodes_of(name)), generator, ranges) for name in rack.names
    }
    graph.wet = torch.full_like(graph.wet, 0.5)
    return graph


def random_params(
    rack: Rack,
    name: str,
    count: int,
    generator: torch.Generator,
    ranges: Mapping[str, Sequence[float]] = RANGES,
) -> Tensor:
    """Physical values of ``count`` processors of one type, [count, width]."""
    processor = rack[name]
    params = processor.start(processor.node_type.neutral().repeat(count, 1), generator)
    for spec in processor.node_type.parameters:
        if spec.name in ranges:
            low, high = ranges[spec.name]
            drawn = torch.rand(count, spec.size, generator=generator)
            params[:, processor.node_type.columns(spec.name)] = low + (high - low) * drawn
    return params


def make_audio(tracks: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise for the tracks [tracks, 2, samples] and the part of the mix that is scored [1, 2, samples - warm-up]."""
    generator = torch.Generator().manual_seed(seed)
    sources = LEVEL * torch.randn(tracks, 2, SAMPLES, generator=generator)
    return sources, torch.randn(1, 2, SAMPLES - WARMUP, generator=generator)
