"""Patches that are played beside a sound, and how far they are from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.progress import Listener, Silent
from graphmix.render.renderer import Renderer
from graphmix.synthesizers.modules import Value
from graphmix.synthesizers.presets import random_patch
from graphmix.synthesizers.sounds import Sound
from graphmix.synthesizers.synthesizer import LEVEL, Synthesizer

BATCH = 8
"""Candidates that are rendered at once."""
Values = Mapping[str, Value]


@dataclass(frozen=True)
class Candidate:
    """A patch that was tried.

    Args:
        synthesizer: its name.
        values: of the patch.
        distance: log-spectral distance from the sound, in dB.
    """

    synthesizer: str
    values: Values
    distance: float


def note_graph(sound: Sound, synthesizer: Synthesizer, values: Values) -> MixGraph:
    """A patch with the notes of a sound."""
    return synthesizer.patch(values, sound.sample_rate, notes=sound.notes)


def play(graphs: Sequence[MixGraph], samples: int, renderer: Renderer) -> Tensor:
    """What patches sound like, [graphs, samples]: the left of two equal channels."""
    batch = Batch.from_data_list(list(graphs))
    with torch.no_grad():
        return renderer(batch, torch.zeros(0, 2, samples))[:, 0]


def compare(sound: Sound, graph: MixGraph, renderer: Renderer) -> tuple[Tensor, float]:
    """What a patch sounds like beside a sound, [samples], and its log-spectral distance in dB."""
    audio = play([graph], len(sound.audio), renderer)
    return audio[0], float(sound.target.distances(audio)[0])


def with_level(values: Values, change_db: float) -> dict[str, Value]:
    """The patch at another level."""
    return {**values, LEVEL: float(values[LEVEL]) + change_db}


def _possible(synthesizer: Synthesizer, values: Values, change_db: float) -> float:
    """A change of level within the range of the amplifier."""
    p = synthesizer.by_name[LEVEL]
    return min(max(float(values[LEVEL]) + change_db, p.low), p.high) - float(values[LEVEL])


def measure(sound: Sound, synthesizer: Synthesizer, patches: Sequence[Values], renderer: Renderer) -> list[Candidate]:
    """Play patches at once, at the pitch and level of a sound; in their order, infinitely far where no number came."""
    level, samples = _level(sound.audio), len(sound.audio)
    played = sound.audio.new_empty(len(patches), samples)
    by_wiring: dict[tuple[str, ...], list[int]] = {}
    for i, values in enumerate(patches):
        by_wiring.setdefault(synthesizer.wiring(values), []).append(i)
    for rows in by_wiring.values():  # a plan is made once for all batches that are wired equally
        batch = synthesizer.batch([patches[i] for i in rows], sound.sample_rate, sound.notes)
        with torch.no_grad():
            played[rows] = renderer(batch, torch.zeros(0, 2, samples))[:, 0]
    gains = [_possible(synthesizer, v, level - _level(audio)) for v, audio in zip(patches, played, strict=True)]
    scaled = played * torch.tensor([10 ** (gain / 20) for gain in gains])[:, None]
    distances = sound.target.distances(scaled).tolist()
    return [
        Candidate(synthesizer.name, with_level(values, gain), distance if math.isfinite(distance) else math.inf)
        for values, gain, distance in zip(patches, gains, distances, strict=True)
    ]


def try_patches(
    sound: Sound, synthesizer: Synthesizer, patches: Sequence[Values], listener: Listener | None = None
) -> list[Candidate]:
    """Play patches at the pitch and level of a sound; the nearest one first."""
    renderer = Renderer(Rack.generators(sound.sample_rate))
    listener = listener or Silent()
    found: list[Candidate] = []
    ordered = sorted(patches, key=synthesizer.wiring)
    for begin in range(0, len(patches), BATCH):
        part = ordered[begin : begin + BATCH]
        found += measure(sound, synthesizer, part, renderer)
        listener.progress(begin + len(part))
    finite = (candidate for candidate in found if math.isfinite(candidate.distance))
    return sorted(finite, key=lambda candidate: candidate.distance)


def random_patches(synthesizer: Synthesizer, count: int, seed: int) -> list[dict[str, Value]]:
    """Patches of the distributions of :mod:`graphmix.synthesizers.presets`."""
    rng = np.random.default_rng([seed, *synthesizer.name.encode()])
    return [random_patch(synthesizer, rng) for _ in range(count)]


def _level(audio: Tensor) -> float:
    return 10 * math.log10(float(audio.square().mean()) + 1e-20)
