r"""One way to say what a graph does: dry/wet folded into the parameters, adjacent linear nodes as one.

A search moves dry/wet weights beside parameters, so that it ends at a gain of -6.9 dB of which 34.5 % is wet. What
sounds is -1.8 dB:

.. math:: w\,h + (1 - w)\,\delta = h'

Where the family of a processor holds :math:`h'`, :meth:`graphmix.processors.Processor.fold` gives its parameters:

=====================  ==============================================================================================
gain, imager           exactly: a matrix of the same kind
send                   exactly: its first inlet passes at any weight, and the weight scales the second one's gain
equalizer              exactly: its taps are linear in the amplitudes, and its window is 1 at time zero
delay, reverb          not: the dry signal is none of their taps, and their energy is 1; the weight is the level of the
                       wet part
compressor, gate, …    not: a mixture with the dry signal bends the curve (parallel compression)
crossover, align       have no dry/wet weight
=====================  ==============================================================================================

What a processor proposes is held against its own response, and kept where the two differ by less than 1e-6.

Two equalizers in a row are not folded into one: the product of two windowed responses is twice as long.
"""

import copy

import torch
from torch import Tensor

from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.base import LTIProcessor, MatrixProcessor, Processor
from graphmix.processors.rack import Rack
from graphmix.rewrite.absorb import absorb, without_idle

SAME = 1e-6
"""Largest difference between the responses before and after, as a share of their largest value."""
_SAMPLES = 256
"""Noise on which processors that are no filter or matrix are compared."""


def fold_dry_wet(graph: MixGraph, rack: Rack) -> MixGraph:
    """The graph in which a dry/wet weight is 1 wherever the parameters can say the same; the sound stays as it is.

    Args:
        graph: one graph, or a batch.
        rack: its processors; nodes of other types stay as they are.
    """
    result = copy.copy(graph)
    result.wet, result.params = graph.wet.clone(), dict(graph.params)
    for name, values in graph.params.items():
        processor = rack.get(name)
        nodes = graph.nodes_of(name)
        if processor is None or not nodes.numel():
            continue
        wet = graph.wet[nodes].detach().double()
        folded = processor.fold(values.detach().double(), wet)
        if folded is None:
            continue
        low, high = (bound.to(folded) for bound in processor.node_type.bounds())
        fits = ((folded >= low) & (folded <= high)).all(dim=1) & (wet > 0) & (wet < 1)
        fits &= _is_same(processor, values.detach(), wet, folded.to(values))
        result.params[name] = torch.where(fits[:, None], folded.to(values), values.detach())
        result.wet[nodes] = torch.where(fits, 1.0, graph.wet[nodes].detach())
    return result


@torch.no_grad()
def _is_same(processor: Processor, params: Tensor, wet: Tensor, folded: Tensor) -> Tensor:
    """Whether each node's response at a weight is the folded one's, [nodes]."""
    before, after = (_response(processor, values) for values in (params, folded))
    if before is None or after is None:
        shape = [len(wet), *[len(processor.node_type.inlets)] * (len(processor.node_type.inlets) > 1), 2, _SAMPLES]
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(wet)
        wanted = processor.mix(noise, params.double(), wet)[0]
        return _close(wanted, processor(noise, folded.double()))
    response, dry = before
    weight = wet.view(-1, *[1] * (response.dim() - 1))
    wanted = weight * response + (1 - weight) * dry
    return _close(wanted, after[0])


def _close(wanted: Tensor, found: Tensor) -> Tensor:
    """Whether two results of each node are the same, [nodes]."""
    return (wanted - found).flatten(1).abs().amax(1) <= SAME * wanted.flatten(1).abs().amax(1)


def _response(processor: Processor, params: Tensor) -> tuple[Tensor, Tensor] | None:
    """Matrix or taps of each node in float64, and what stands for its dry signal; None if it is not linear."""
    if isinstance(processor, MatrixProcessor):
        matrix = processor.matrix(params.double())
        return matrix, torch.eye(2).to(matrix)
    if isinstance(processor, LTIProcessor):
        taps = processor.impulse_response(params.double())
        dry = torch.zeros_like(taps[:1])
        dry[..., processor.extent[0]] = 1.0
        return taps, dry
    return None


def simplify(graph: MixGraph, rack: Rack) -> MixGraph:
    """The graph with dry/wet folded in and without nodes that others next to them can do the work of.

    The sound stays as it is, to the resolution of float32 parameters. What is absorbed stays within a chain: nothing
    moves past a mix of several signals, so that each track and each subgroup keeps a fader where it had one.

    Args:
        graph: one graph.
        rack: its processors.

    Raises:
        GraphError: a batch.
    """
    return absorb(fold_dry_wet(without_idle(graph), rack), rack=rack, across_mixes=False)
