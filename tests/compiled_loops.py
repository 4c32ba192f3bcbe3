"""Compiled loops of rendering and of the loss, compiled by several test workers together.

A loop that one process has compiled lies in numba's cache, from which the others take it. Workers that begin with the
same tests would all compile the same loops at the same time; here every second one begins at the other end.
"""

from collections.abc import Callable

import torch

from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.search.losses import paper_loss

SAMPLES = 16384


def compile_loops(backwards: bool) -> None:
    """Compile what the tests of rendering and searching share, or take it from the cache."""
    works = [_loss, *(_renderings(kind) for kind in Rack.console("ecnsgdr").names)]
    for work in reversed(works) if backwards else works:
        work()


def _loss() -> None:
    loss = paper_loss(30000, torch.device("cpu"), torch.float32)
    audio = torch.randn(1, 2, SAMPLES, generator=torch.Generator().manual_seed(0))
    loss(prediction=audio.clone().requires_grad_(), target=audio).total.backward()


def _renderings(kind: str) -> Callable[[], None]:
    """One node of a type, forward and backward."""

    def render() -> None:
        rack = Rack.console("ecnsgdr")
        graph = MixGraph(rack.types, rack.sample_rate)
        graph.chain(graph.add("in"), graph.add(kind), graph.add("out"))
        graph.wet.fill_(0.5)
        for values in graph.params.values():
            values.requires_grad_()
        audio = torch.randn(1, 2, SAMPLES, generator=torch.Generator().manual_seed(0))
        Renderer(rack)(graph, audio).square().sum().backward()

    return render
