"""Proposal of a mix by a model, in memory: a song in, a graph and its sound out.

A long song is encoded in blocks, whose embeddings are averaged, and rendered in blocks, so that memory does not limit
its length.
"""

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from graphmix.audio.segments import ENCODER_SECONDS, encoder_blocks
from graphmix.audio.song import Song
from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.canonical import in_song_order
from graphmix.models.mixing.estimator import Estimator
from graphmix.models.mixing.stems import Stems
from graphmix.render.blocks import render_song
from graphmix.training.decisions import Decision, hold
from graphmix.training.reference_style import match_style
from graphmix.training.rules import Rules, apply_rules, rack_of


@dataclass(frozen=True)
class Wishes:
    """What a user wants of a proposal, whatever model makes it; each rewrites the proposed graph, in this order.

    Args:
        decisions: by track, what is decided already; see :mod:`graphmix.training.decisions`.
        reference: a mix of another song, whose style is wanted, [2, samples] at the model's rate; see
            :mod:`graphmix.training.reference_style`.
        rules: that the graph keeps; see :mod:`graphmix.training.rules`.
    """

    decisions: Mapping[str, Decision] = field(default_factory=dict)
    reference: Tensor | None = None
    rules: Rules | None = None


@dataclass(frozen=True)
class Proposal:
    """A model's mix of a song.

    Args:
        graph: on the CPU; None for a model that makes sound without a graph.
        mix: at the model's rate, [2, samples].
        seconds: spent on deciding (encoding included) and on rendering.
        changes: what the rules changed, in words.
        style: distances to the reference before and after, in dB by part; None without a reference.
        score: of one of several variants, the logarithm of its probability; see :meth:`Estimator.variants_of`.
    """

    graph: MixGraph | None
    mix: Tensor
    seconds: dict[str, float]
    changes: tuple[str, ...] = ()
    style: Mapping[str, Mapping[str, float]] | None = None
    score: float | None = None


def blocks_of(song: Song, seconds: float = ENCODER_SECONDS) -> Iterator[Stems]:
    """Successive stretches of a song for an encoder; see :func:`graphmix.audio.segments.encoder_blocks`."""
    for start, length in encoder_blocks(song.num_samples, song.sample_rate, seconds):
        yield Stems.from_song(song, start, length)


@torch.no_grad()
def propose(estimator: Estimator, song: Song, wishes: Wishes | None = None) -> Proposal:
    """Let a model mix a song at the model's sample rate.

    Args:
        estimator: the model.
        song: at its rate.
        wishes: what is wanted of the mix beside; by default nothing.

    Raises:
        GraphmixError: the song is at another rate, the model needs a mix that the song does not have, or there are
            wishes and the model proposes no graph.
    """
    with _in_evaluation(estimator, song):
        started = time.perf_counter()
        if not estimator.proposes_graph:
            if wishes is not None and (wishes.decisions or wishes.reference is not None):
                name = estimator.config.name
                raise GraphmixError(f"the model {name!r} proposes no graph, in which something could be kept or set.")
            mix = estimator.mix(Stems.from_song(song)).cpu()
            return Proposal(None, mix, {"deciding": 0.0, "rendering": time.perf_counter() - started})
        graph = estimator.forward_blocks(blocks_of(song))
        return _finished(graph, estimator, song, wishes, time.perf_counter() - started)


@torch.no_grad()
def propose_variants(
    estimator: Estimator, song: Song, count: int, seed: int = 0, wishes: Wishes | None = None
) -> list[Proposal]:
    """Several mixes of a song, drawn from what a model thinks possible, the most probable first.

    Args:
        estimator: a model that knows more than one answer; see :attr:`Estimator.has_variants`.
        song: at its rate.
        count: of mixes.
        seed: of the draws; the same song and seed give the same mixes.
        wishes: as of :func:`propose`, of each mix.

    Raises:
        GraphmixError: as :func:`propose`, or a model that has one answer alone.
    """
    with _in_evaluation(estimator, song):
        started = time.perf_counter()
        tracks = song.track_names
        embedded = [own for block in blocks_of(song) for own in estimator.embed([block])]
        drawn = estimator.variants_of(estimator.join(embedded), count, seed)
        seconds = (time.perf_counter() - started) / count
        drawn = sorted(drawn, key=lambda variant: -variant.score)
        return [
            replace(_finished(in_song_order(v.graph, tracks), estimator, song, wishes, seconds), score=v.score)
            for v in drawn
        ]


@contextmanager
def _in_evaluation(estimator: Estimator, song: Song) -> Iterator[None]:
    """The model in evaluation mode, and afterwards as it was."""
    if song.sample_rate != estimator.sample_rate:
        raise GraphmixError(
            f"the song is at {song.sample_rate} Hz and the model at {estimator.sample_rate} Hz; load it at the model's."
        )
    was_training = estimator.training
    estimator.eval()
    try:
        yield
    finally:
        estimator.train(was_training)


def _finished(graph: MixGraph, estimator: Estimator, song: Song, wishes: Wishes | None, deciding: float) -> Proposal:
    """A proposed graph with what is wanted of it, and its sound."""
    started = time.perf_counter()
    changes: tuple[str, ...] = ()
    style = None
    if wishes is None:
        mix = render_song(graph, song, estimator.rack)
    else:
        rack = copy.deepcopy(estimator.rack).cpu() if estimator.device.type != "cpu" else estimator.rack
        graph = hold(graph.clone().cpu(), wishes.decisions)
        if wishes.reference is not None:
            before = render_song(graph, song, rack_of(graph, rack))
            with torch.enable_grad():
                styled = match_style(graph, before, wishes.reference)
            graph, style = styled.graph, {"before": styled.before, "after": styled.after}
        if wishes.rules is None:
            mix = render_song(graph, song, rack_of(graph, rack))
        else:
            placed = {track for track, decision in wishes.decisions.items() if decision.place is not None}
            rules = replace(wishes.rules, placed=wishes.rules.placed | placed)
            ruled = apply_rules(graph, song, rack, rules)
            graph, mix, changes = ruled.graph, ruled.mix, ruled.changes
    seconds = {"deciding": deciding, "rendering": time.perf_counter() - started}
    return Proposal(graph.clone().cpu(), mix, seconds, changes, style)
