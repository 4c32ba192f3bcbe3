r"""Losses of proposals: against a true graph, node by node, and against the mix, through the renderer.

.. math:: L = \lambda_a L_a + \lambda_k L_k + \lambda_w L_w + \lambda_c L_c + \lambda_b L_b + \lambda_s \bar p

L_a is the audio loss of the pruning paper (equation 3) between the mix and the rendered *soft* console, each dry/wet
weight of which is multiplied by the probability that the node stays, so that audio also decides what is kept. L_k is
the cross entropy of that probability, in which what is rare of a node type weighs more, by the square root. L_w and L_c
compare dry/wet weights and coefficients of raw parameters, where the true graph keeps the node. L_b is the cross
entropy of the links from tracks to buses, where a model predicts them, and the last term a price on every processor.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from graphmix.audio.files import read_audio
from graphmix.audio.segments import MIN_SCORED_SAMPLES
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.heads import COEFFICIENT_LIMIT
from graphmix.models.mixing.basis import RawBasis
from graphmix.models.mixing.outputs import Outputs
from graphmix.models.mixing.stems import Stems
from graphmix.processors.rack import Rack
from graphmix.search.losses import mix_loss
from graphmix.search.objective import song_level
from graphmix.spec import STRUCTURAL
from graphmix.training.data import Example
from graphmix.training.matching import ConsoleTarget, console_target

_SMALL_ERROR = 0.05
"""Raw error, half a decibel, around which the term turns from a square into an absolute value."""


def audio_loss(
    prediction: Tensor, stems: Stems, warmup: int, sample_rate: int, song_level: Tensor | None = None
) -> Tensor:
    """The audio loss of one segment, a 0-dim tensor.

    Args:
        prediction: [2, samples] at the rate of the model.
        stems: with their mix, at the same rate.
        warmup: samples at the beginning that are not scored.
        sample_rate: in Hz.
        song_level: of the whole mix, so that a silent segment does not outweigh the others; see
            :class:`graphmix.search.MixLoss`.
    """
    assert stems.mix is not None, "songs without a mix are not trained on"
    target = stems.mix.to(prediction.device)
    return mix_loss(
        prediction=prediction[None, :, warmup:].float(),
        target=target[None, :, warmup:],
        sample_rate=sample_rate,
        song_level=song_level,
    ).total


def song_level_of(example: Example, sample_rate: int) -> Tensor:
    """Level of the whole mix that a segment is cut from; see :func:`graphmix.search.song_level`.

    Not for: processes that only decode. They are forks, and the loops of the loss run in threads.
    """
    assert example.mix is not None, "songs without a mix are not trained on"
    mix = read_audio(example.mix, 0, example.song_samples, sample_rate)
    return song_level(pad(mix, (0, max(0, MIN_SCORED_SAMPLES - mix.size(1)))), sample_rate)


def class_weights(graphs: Iterable[tuple[MixGraph, Mapping[str, Sequence[str]]]], rack: Rack, chain: str) -> Tensor:
    """Weights of dropping and keeping for each node type, [types, 2]: what is rare weighs more, by the square root.

    Args:
        graphs: true graphs, each with the subgroups of its song.
        rack: the processors of the chain.
        chain: of the console that is decided on.
    """
    counts = torch.zeros(len(STRUCTURAL) + len(rack.names), 2)
    for graph, subgroups in graphs:
        console = mixing_console(rack, subgroups, chain)
        kept = console_target(graph, console).keep
        counts.index_put_((console.node_type, kept.long()), torch.ones(kept.numel()), accumulate=True)
    counts = counts + 1  # a type that is always kept in ten songs may be dropped in the next
    return (0.5 * counts.sum(1, keepdim=True) / counts).sqrt()


def parameter_terms(
    outputs: Outputs, targets: Sequence[ConsoleTarget], basis: RawBasis, weights: Tensor | None = None
) -> dict[str, Tensor]:
    """The terms ``keep``, ``wet`` and ``coefficients`` for the outputs of heads, 0-dim tensors.

    Args:
        outputs: of the songs.
        targets: what their consoles should be set to.
        basis: maps the true parameters to coefficients.
        weights: of dropping and keeping for each type, [types, 2]; all alike by default.
    """
    device = outputs.keep_logit.device
    node_type = outputs.node_type.to(device)
    keep = torch.cat([target.keep for target in targets]).to(device)
    processors = torch.cat([target.processors for target in targets]).to(device)
    wet = torch.cat([target.wet for target in targets]).to(device)
    fixed = outputs.always_kept
    compared = processors & (keep | fixed)
    return {
        "keep": _keep_term(outputs.keep_logit, keep, processors & ~fixed, node_type, weights),
        "wet": _mean((outputs.wet_logit.sigmoid() - wet).abs()[compared]),
        "coefficients": _coefficient_term(outputs, targets, keep, node_type, basis),
    }


def _keep_term(logits: Tensor, keep: Tensor, decided: Tensor, node_type: Tensor, weights: Tensor | None) -> Tensor:
    """Cross entropy of the nodes that are decided on."""
    weight = None if weights is None else weights.to(logits)[node_type, keep.long()][decided]
    entropy = binary_cross_entropy_with_logits(logits[decided], keep[decided].to(logits), weight, reduction="none")
    return _mean(entropy)


def _coefficient_term(
    outputs: Outputs, targets: Sequence[ConsoleTarget], keep: Tensor, node_type: Tensor, basis: RawBasis
) -> Tensor:
    """Root mean square of the raw error of each kept processor, mean over the processors.

    A raw step is about equally audible for all parameters, so that faders, which have two of them, weigh as much as
    equalizers, which have a thousand.
    """
    errors = []
    for index, name in enumerate(basis.sizes, start=len(STRUCTURAL)):
        kept = keep[node_type == index]
        if not bool(kept.any()) or not basis.sizes[name]:  # a captured effect without controls has nothing to set
            continue
        params = torch.cat([target.params[name] for target in targets]).to(kept.device)[kept]
        if outputs.offsets is not None:
            params = params - outputs.offsets[name][kept]
        wanted = basis.encode(name, params).clamp(-COEFFICIENT_LIMIT, COEFFICIENT_LIMIT)
        off = (outputs.coefficients[name][kept] - wanted) * basis.spread(name)  # along orthonormal directions
        errors.append((off.square().sum(1) / basis.mean(name).numel() + _SMALL_ERROR**2).sqrt() - _SMALL_ERROR)
    return torch.cat(errors).mean() if errors else outputs.keep_logit.sum() * 0


def sparsity_term(outputs: Outputs) -> Tensor:
    """Mean probability that a processor stays."""
    return _mean(outputs.keep_logit.sigmoid()[outputs.node_type.to(outputs.keep_logit.device) >= len(STRUCTURAL)])


def _mean(values: Tensor) -> Tensor:
    """Mean; 0 of nothing."""
    return values.sum() / max(1, values.numel())
