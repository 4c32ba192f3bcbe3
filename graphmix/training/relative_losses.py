r"""Losses that several right answers share: what is relative within a song, and mirrored images.

A master's level is no mixing decision, left and right may be exchanged, and a dull recording is not mixed as brightly
as a bright one. So these terms compare

* the *levels* of tracks re the mean over the song's tracks;
* the *pan* magnitudes, the level of one side above the other whichever it is;
* the mix's *spectrum*, third octaves re their mean.

.. math:: \tfrac1n \sum_t |\ell_t - \bar\ell - (\ell^*_t - \bar\ell^*)| / 10\,\mathrm{dB}, \quad
    \tfrac1n \sum_t \big| |p_t| - |p^*_t| \big| / 10\,\mathrm{dB}

The level and place of a track are those of the faders on its way to the output, as far as it does not branch, with
their dry/wet weights. Equalizers and compressors change levels as well, which these terms do not see.

*density* is the negative log-density of the true graph's settings under a model with modes
(:mod:`graphmix.models.mixing.modes`), for each processor: of keeping, dry/wet weights and coefficients.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import follow, neighbours
from graphmix.models.heads import COEFFICIENT_LIMIT
from graphmix.models.mixing.canonical import EmbeddedSong
from graphmix.models.mixing.neural import NeuralEstimator
from graphmix.models.mixing.outputs import Outputs
from graphmix.training.matching import ConsoleTarget
from graphmix.training.reference_style import band_powers

UNIT_DB = 10.0
MOST_PAN_DB = 24.0
"""Beyond it one side is as good as silent."""
WET_SCALE = 0.1
"""Scale of the Laplace density of a dry/wet weight."""
_FFT = 4096


def fader_gains(graph: MixGraph, tracks: Sequence[str]) -> Tensor:
    """Amplitudes of left and right by the faders behind each track, [tracks, 2]; differentiable.

    Args:
        graph: has inputs of these names.
        tracks: names.
    """
    _, after = neighbours(graph.node_type.numel(), graph.edges())
    start = dict(zip(graph.input_names, graph.nodes_of("in").tolist(), strict=True))
    rows, gains = graph.rows().tolist(), []
    for name in tracks:
        own = graph.wet.new_ones(2)
        for node in follow(after, start[name]):
            if graph.type_of(node).name == "gain":
                wet = graph.wet[node]
                own = own * (1 - wet + wet * 10 ** (graph.params["gain"][rows[node]] / 20))
        gains.append(own)
    return torch.stack(gains) if gains else graph.wet.new_zeros(0, 2)


def relative_terms(
    graphs: Sequence[MixGraph], true: Sequence[MixGraph], tracks: Sequence[Sequence[str]]
) -> dict[str, Tensor]:
    """The terms ``levels`` and ``pan``, means over the songs, 0-dim tensors.

    Args:
        graphs: of a model, one for each song.
        true: the true graph of each.
        tracks: names of the tracks of each that are compared: those that sound.
    """
    levels, pans = [], []
    for graph, wanted, names in zip(graphs, true, tracks, strict=True):
        shared = [name for name in names if name in wanted.input_names]
        if not shared:
            continue
        ours = fader_gains(graph, shared).clamp(min=1e-6)
        theirs = fader_gains(wanted, shared).to(ours).clamp(min=1e-6)
        level, aim = (10 * gains.square().mean(1).log10() for gains in (ours, theirs))
        levels.append((level - level.mean() - (aim - aim.mean())).abs().mean() / UNIT_DB)
        off, far = ((20 * (g[:, 0] / g[:, 1]).log10()).clamp(-MOST_PAN_DB, MOST_PAN_DB) for g in (ours, theirs))
        pans.append((off.abs() - far.abs()).abs().mean() / UNIT_DB)
    nothing = graphs[0].wet.sum() * 0
    return {name: torch.stack(own).mean() if own else nothing for name, own in (("levels", levels), ("pan", pans))}


def spectrum_term(prediction: Tensor, target: Tensor, sample_rate: int) -> Tensor:
    """Mean absolute difference of third octaves re their mean, in units of 10 dB, a 0-dim tensor.

    Args:
        prediction: [2, samples].
        target: [2, samples]; a silent one gives 0.
        sample_rate: in Hz.
    """
    if not bool(target.abs().amax() > 0):
        return prediction.sum() * 0
    shapes = []
    for mix in (prediction.float(), target.to(prediction.device).float()):
        window = torch.hann_window(_FFT, device=mix.device)
        padded = torch.nn.functional.pad(mix, (0, max(0, _FFT - mix.size(1))))
        power = torch.fft.rfft(padded.unfold(1, _FFT, _FFT // 2) * window).abs().square().sum((0, 1))
        bands = band_powers(power, sample_rate)
        levels = 10 * (bands / (bands.mean() + 1e-12) + 1e-6).log10()
        shapes.append(levels - levels.mean())
    return (shapes[0] - shapes[1]).abs().mean() / UNIT_DB


def density_term(model: NeuralEstimator, songs: Sequence[EmbeddedSong], targets: Sequence[ConsoleTarget]) -> Tensor:
    """Negative log-density of the true settings, for each processor, mean over the songs; a 0-dim tensor.

    Args:
        model: with modes.
        songs: embedded.
        targets: what the console of each should be set to.
    """
    assert model.modes is not None, "a term of models with modes alone"
    likelihoods = []
    for mode in range(model.modes.count):
        outputs = model.outputs_of([model.modes.embedded(song, mode) for song in songs])
        parts = zip(outputs.split(), targets, strict=True)
        likelihoods.append(torch.stack([_log_likelihood(model, own, target) for own, target in parts]))
    together = torch.logsumexp(torch.stack(likelihoods, dim=1) + model.modes.log_weights(songs), dim=1)
    counts = together.new_tensor([max(1, int(target.processors.sum())) for target in targets])
    return -(together / counts).mean()


def _log_likelihood(model: NeuralEstimator, outputs: Outputs, target: ConsoleTarget) -> Tensor:
    """Log-density of the true settings of one song's console, a 0-dim tensor."""
    assert model.modes is not None, "a term of models with modes alone"
    device = outputs.keep_logit.device
    keep, processors = target.keep.to(device), target.processors.to(device)
    decided = processors & ~outputs.always_kept
    signs = torch.where(keep, 1.0, -1.0)
    total = logsigmoid(outputs.keep_logit * signs)[decided].sum()
    compared = processors & (keep | outputs.always_kept)
    off = (outputs.wet_logit.sigmoid() - target.wet.to(device)).abs()[compared]
    total = total - (off / WET_SCALE).sum()
    types = outputs.consoles[0].types
    node_type = outputs.node_type.to(device)
    for name, means in outputs.coefficients.items():
        kept = keep[node_type == types.index(name)]
        if not means.size(1) or not bool(kept.any()):
            continue
        params = target.params[name].to(device)[kept]
        if outputs.offsets is not None:
            params = params - outputs.offsets[name][kept]
        wanted = model.basis.encode(name, params).clamp(-COEFFICIENT_LIMIT, COEFFICIENT_LIMIT)
        total = total + model.modes.log_density(name, wanted, means[kept]).sum()
    return total
