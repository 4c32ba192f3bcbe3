"""Gradient descent of several patches of one synthesizer towards a sound, in one batch.

The loss is the log-spectral distance itself (:mod:`graphmix.synthesizers.sounds`), which is differentiable; Adam moves
the raw values of :class:`graphmix.search.parametrization.RawGraph`, each patch by itself, since nothing in the loss of
one depends on another. Choices and the note stay what they are. Of each patch the best step is kept.
"""

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.graph.mixgraph import MixGraph
from graphmix.render.renderer import Renderer
from graphmix.search.parametrization import RawGraph
from graphmix.synthesizers.candidates import Candidate, note_graph
from graphmix.synthesizers.sounds import LevelTarget, Sound, power_spectra
from graphmix.synthesizers.synthesizer import Synthesizer

LEARNING_RATE, FINAL_RATE = 0.03, 0.05
"""Of Adam, and the share of it that is left at the end of half a cosine."""
BETAS = (0.9, 0.99)
ROUNDING = 1e-3
"""In square dB: rounds the corner of the root of a frame that is equal."""


class DistanceLoss:
    """The log-spectral distance from one sound, for gradients.

    Args:
        target: [samples].
    """

    def __init__(self, target: Tensor) -> None:
        self.target = LevelTarget(target)

    def __call__(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Loss with gradients and distance in dB without, [sounds] each, of sounds [sounds, samples]."""
        squares = self.target.squares(power_spectra(audio))
        return (squares + ROUNDING).sqrt().mean(-1), squares.detach().sqrt().mean(-1)


def descend(
    sound: Sound,
    synthesizer: Synthesizer,
    candidates: Sequence[Candidate],
    steps: int,
    renderer: Renderer,
    on_step: Callable[[int, float], None] | None = None,
) -> list[Candidate]:
    """Refine the numbers of patches.

    Args:
        sound: to imitate.
        synthesizer: whose patches they are.
        candidates: where to start.
        steps: of all of them together.
        renderer: at the sound's sample rate.
        on_step: given the number of steps done and the smallest distance so far.

    Returns:
        The best of each, in their order.
    """
    graphs = [note_graph(sound, synthesizer, candidate.values) for candidate in candidates]
    raw = RawGraph(Batch.from_data_list(graphs), renderer.rack)
    masks, owners = _masks(synthesizer, graphs, raw)
    leaves = raw.tensors()
    optimizer = torch.optim.Adam(raw.parameters(), lr=LEARNING_RATE, betas=BETAS)
    loss, silence = DistanceLoss(sound.audio), torch.zeros(0, 2, len(sound.audio))
    least = torch.full((len(graphs),), math.inf)
    best = {name: leaf.detach().clone() for name, leaf in leaves.items()}
    for step in range(steps + 1):
        with torch.set_grad_enabled(step < steps):
            losses, distances = loss(renderer(raw.graph(), silence)[:, 0])
        better = distances < least
        least = torch.where(better, distances, least)
        for name, leaf in leaves.items():
            rows = better[owners[name]].view(-1, *[1] * (leaf.dim() - 1))
            best[name] = torch.where(rows, leaf.detach(), best[name])
        if on_step is not None:
            on_step(step, float(least.min()))
        if step < steps:
            _move(raw, losses, masks, optimizer, step / steps)
    with torch.no_grad():
        for name, leaf in leaves.items():
            leaf.copy_(best[name])
    found = _apart(raw.snapshot(), graphs, owners, synthesizer, least.tolist())
    return [min(pair, key=lambda c: c.distance) for pair in zip(candidates, found, strict=True)]


def _move(
    raw: RawGraph, losses: Tensor, masks: dict[str, Tensor], optimizer: torch.optim.Optimizer, progress: float
) -> None:
    optimizer.zero_grad()
    losses.sum().backward()
    for name, leaf in raw.tensors().items():
        if leaf.grad is not None:
            leaf.grad = torch.nan_to_num(leaf.grad, 0, 0, 0) * masks[name]
    for group in optimizer.param_groups:
        group["lr"] = LEARNING_RATE * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * progress)))
    optimizer.step()
    raw.project()


def _masks(
    synthesizer: Synthesizer, graphs: Sequence[MixGraph], raw: RawGraph
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """By leaf of the batch: 1 where a number may move, and the graph that each row belongs to."""
    modules = {module.name: module for module in synthesizer.modules}
    masks: dict[str, list[Tensor]] = {name: [] for name in raw.tensors()}
    owners: dict[str, list[int]] = {name: [] for name in raw.tensors()}
    for number, graph in enumerate(graphs):
        for kind in raw.params:
            mask = torch.ones_like(graph.params[kind])
            for row, node in enumerate(graph.nodes_of(kind).tolist()):
                module = modules.get(graph.names[node])
                if module is None:  # the note
                    mask[row] = 0
                    continue
                for name in (*module.fixed, *(name for options in module.choices.values() for name in options)):
                    mask[row, graph.type_of(node).columns(name)] = 0
            masks[f"params.{kind}"].append(mask)
            owners[f"params.{kind}"] += [number] * len(mask)
        nodes = graph.prunable.nonzero().flatten().tolist()
        wet = [float(graph.names[i] in modules and modules[graph.names[i]].has_wet) for i in nodes]
        masks["weights"].append(torch.tensor(wet))
        owners["weights"] += [number] * len(nodes)
    return {n: torch.cat(m) for n, m in masks.items()}, {n: torch.tensor(o) for n, o in owners.items()}


def _apart(
    batch: MixGraph,
    graphs: Sequence[MixGraph],
    owners: dict[str, Tensor],
    synthesizer: Synthesizer,
    distances: Sequence[float],
) -> list[Candidate]:
    """The patches of a batch."""
    found, begin = [], 0
    for number, (graph, distance) in enumerate(zip(graphs, distances, strict=True)):
        own = copy.copy(graph)
        own.params = dict(graph.params)
        for name in owners:
            if name != "weights":
                kind = name.removeprefix("params.")
                own.params[kind] = batch.params[kind][owners[name] == number]
        own.wet = batch.wet[begin : begin + graph.num_nodes]
        begin += graph.num_nodes
        found.append(Candidate(synthesizer.name, synthesizer.read(own), distance))
    return found
