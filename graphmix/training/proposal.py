"""Proposal of a mix by a model, in memory: a song in, a graph and its sound out.

A long song is encoded in blocks, whose embeddings are averaged, and rendered in blocks, so that memory does not limit
its length.
"""

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmix.audio.segments import ENCODER_SECONDS, encoder_blocks
from graphmix.audio.song import Song
from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.estimator import Estimator
from graphmix.models.mixing.stems import Stems
from graphmix.render.blocks import render_song
from graphmix.training.rules import Rules, apply_rules


@dataclass(frozen=True)
class Proposal:
    """A model's mix of a song.

    Args:
        graph: on the CPU; None for a model that makes sound without a graph.
        mix: at the model's rate, [2, samples].
        seconds: spent on deciding (encoding included) and on rendering.
        changes: what the rules changed, in words; see :mod:`graphmix.training.rules`.
    """

    graph: MixGraph | None
    mix: Tensor
    seconds: dict[str, float]
    changes: tuple[str, ...] = ()


def blocks_of(song: Song, seconds: float = ENCODER_SECONDS) -> Iterator[Stems]:
    """Successive stretches of a song for an encoder; see :func:`graphmix.audio.segments.encoder_blocks`."""
    for start, length in encoder_blocks(song.num_samples, song.sample_rate, seconds):
        yield Stems.from_song(song, start, length)


@torch.no_grad()
def propose(estimator: Estimator, song: Song, rules: Rules | None = None) -> Proposal:
    """Let a model mix a song at the model's sample rate.

    Args:
        estimator: the model.
        song: at its rate.
        rules: that the graph is made to keep; none by default. Of a model without a graph nothing is changed.

    Raises:
        GraphmixError: the song is at another rate, or the model needs a mix that the song does not have.
    """
    if song.sample_rate != estimator.sample_rate:
        raise GraphmixError(
            f"the song is at {song.sample_rate} Hz and the model at {estimator.sample_rate} Hz; load it at the model's."
        )
    was_training = estimator.training
    estimator.eval()
    started = time.perf_counter()
    try:
        if not estimator.proposes_graph:
            mix = estimator.mix(Stems.from_song(song)).cpu()
            return Proposal(None, mix, {"deciding": 0.0, "rendering": time.perf_counter() - started})
        graph = estimator.forward_blocks(blocks_of(song))
        decided = time.perf_counter()
        if rules is None:
            mix, changes = render_song(graph, song, estimator.rack), ()
        else:
            rack = copy.deepcopy(estimator.rack).cpu() if estimator.device.type != "cpu" else estimator.rack
            ruled = apply_rules(graph.clone().cpu(), song, rack, rules)
            graph, mix, changes = ruled.graph, ruled.mix, ruled.changes
        seconds = {"deciding": decided - started, "rendering": time.perf_counter() - decided}
        return Proposal(graph.clone().cpu(), mix, seconds, changes)
    finally:
        estimator.train(was_training)
