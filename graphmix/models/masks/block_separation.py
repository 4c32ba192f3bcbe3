"""Separation in blocks on a fixed grid: any length, at any rate, and the same wherever a signal is cut.

A network that looks at a whole recording at once needs memory in proportion to its length, and its output at one
moment depends on all others. Here block k covers ``hop * k`` to ``hop * k + hop + overlap`` samples, counted from the
beginning of the signal; neighbours are crossfaded. So an output sample depends on the blocks that it lies in, and on
nothing else: a signal that is cut at a multiple of the hop is resumed exactly.

The blocks are resampled to the model's rate and back. Of what lies above its band the sources have nothing.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmix.dsp.resampling import can_resample, resample
from graphmix.dsp.two_mixes import filter_two_mixes, find_gains, unexplained_energy
from graphmix.dsp.wiener import certainty, wiener_filter
from graphmix.errors import GraphmixError
from graphmix.models.masks.separator import MaskEstimator, MaskOutput

HOP_SECONDS = 7
"""In whole seconds, so that the grid is one of whole samples at every pair of rates."""
OVERLAP_SECONDS = 1
AT_ONCE = 2
"""Blocks that pass through the network together."""
LEAST_CERTAIN, CERTAIN = 0.6, 0.8
"""Mean certainty of masks below which the Wiener filter is not believed, and from which on it is believed entirely. Up
to 0.6 networks lose by three iterations of it as often as they gain; ideal ratio masks with an error have 0.64 to 0.76,
and gain."""
LEAST_SHARE = 0.25
"""Share of the sound whose change from one mix to another is a gain of a source, below which the other mix is not used.
It was 0.38 to 0.78 for faders and panning, 0.08 with equalizers."""
LEAST_SPREAD = 0.03
"""Deviation of the gains among the sources, as a natural logarithm, below which another mix says nothing new."""
_SMALLEST = 1e-30
"""Samples below it count as silence."""
REST = "rest"
"""Name of what no source explains; of a source of this name, it is that source."""


@dataclass
class TwoMixes:
    """What another mix of the song gave, summed over blocks.

    Args:
        blocks: that were separated, as far as they sound.
        used: of these, those in which the other mix was used.
        share: sum over blocks of the share of the sound whose change is a gain of a source.
        energy: of the other mix in the blocks that used it.
        before: of it, what the masks' stems at the gains found leave.
        after: what the stems by both mixes leave.
    """

    blocks: int = 0
    used: int = 0
    share: float = 0.0
    energy: float = 0.0
    before: float = 0.0
    after: float = 0.0


class BlockSeparator:
    """A model, applied to signals at a rate of their own.

    Args:
        model: in evaluation mode; its weights are not changed.
        sample_rate: of the signals, in Hz.
        iterations: of the Wiener filter; see :mod:`graphmix.dsp.wiener`.

    Attributes:
        hop: samples from one block to the next.
        overlap: samples that two neighbours share.
        two_mixes: what other mixes gave so far.

    Raises:
        GraphmixError: no resampler connects the two rates.
    """

    def __init__(self, model: MaskEstimator, sample_rate: int, iterations: int = 0) -> None:
        self.model, self.sample_rate, self.iterations = model, int(sample_rate), iterations
        self.own_rate = round(model.sample_rate)
        if not can_resample(self.own_rate, self.sample_rate):
            raise GraphmixError(
                f"the separator works at {self.own_rate} Hz and the signal has {self.sample_rate} Hz: no resampler "
                "connects two rates with so little in common. Convert the signal first."
            )
        self.hop, self.overlap = HOP_SECONDS * self.sample_rate, OVERLAP_SECONDS * self.sample_rate
        self.two_mixes = TwoMixes()
        self._double: list[MaskEstimator] = []

    @property
    def block(self) -> int:
        """Samples of a block."""
        return self.hop + self.overlap

    def __call__(
        self, audio: Tensor, tail: Tensor | None = None, mark: int = 0, other: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The model's sources of one part of a longer signal.

        Args:
            audio: [signals, channels, samples], beginning at a multiple of the hop in the longer signal.
            tail: what the call for the part before returned; None where the signal begins.
            mark: the sample at which the next part begins, a multiple of the hop.
            other: another mix of the same sources at the same time, of the shape of the audio; it is used where it
                says something about them (:mod:`graphmix.dsp.two_mixes`).

        Returns:
            The sources [signals, sources, channels, samples], and the tail: what the block before the mark adds to the
            samples behind it, [signals, sources, channels, overlap].
        """
        samples = audio.size(-1)
        audio = audio[None] if other is None else torch.stack([audio, other])
        count = 1 + max(0, -(-(samples - self.block) // self.hop))
        cut = self._estimate(audio[..., (count - 1) * self.hop :])
        whole = self._whole_blocks(audio, count - 1)
        rise = self._rise(audio)
        fall = rise.flip(0)
        before, parts, after = tail, list[Tensor](), cut.new_zeros(*cut.shape[:-1], self.overlap)
        for k in range(count):
            piece = whole[:, k] if k < count - 1 else cut
            if before is not None:
                shared = min(self.overlap, piece.size(-1))
                joined = piece[..., :shared] * rise[:shared] + before[..., :shared]
                piece = torch.cat([joined, piece[..., shared:]], dim=-1)
            if piece.size(-1) == self.block:
                before = piece[..., self.hop :] * fall
                if (k + 1) * self.hop == mark:
                    after = before
            parts.append(piece if k == count - 1 else piece[..., : self.hop])
        return torch.cat(parts, dim=-1), after

    def _rise(self, like: Tensor) -> Tensor:
        """Weight of the later block over an overlap; that of the earlier one is its mirror image."""
        phase = (torch.arange(self.overlap, dtype=like.dtype, device=like.device) + 0.5) / self.overlap
        return (phase * (math.pi / 2)).sin().square()

    def _whole_blocks(self, audio: Tensor, count: int) -> Tensor:
        """The sources of the first blocks, [signals, blocks, sources, channels, samples of a block]."""
        if count == 0:
            return audio.new_zeros(0)
        blocks = audio[..., : count * self.hop + self.overlap].unfold(-1, self.block, self.hop)
        rows = blocks.transpose(2, 3).flatten(1, 2)
        return torch.cat([self._estimate(part) for part in rows.split(AT_ONCE, 1)]).unflatten(0, (-1, count))

    def _estimate(self, audio: Tensor) -> Tensor:
        """Sources of blocks: [mixes, blocks, channels, samples] -> [blocks, sources, channels, samples].

        Each block is for itself; the first mix is separated.
        """
        mixes, blocks, channels, samples = audio.shape
        sources = len(self.model.sources)
        audio = torch.where(audio.abs() < _SMALLEST, 0.0, audio)  # subnormal coefficients have no gradient but NaN
        if not samples or not audio[0].any():
            return audio.new_zeros(blocks, sources, channels, samples)
        own = resample(audio.flatten(0, 1), self.sample_rate, self.own_rate).unflatten(0, (mixes, blocks))
        if self.model.channels == 1 and channels == 2:
            found = self._separate(own.flatten(1, 2)[:, :, None]).unflatten(0, (blocks, channels))
            found = found[:, :, :, 0].transpose(1, 2)
        elif self.model.channels == 2 and channels == 1:
            found = self._separate(own.expand(-1, -1, 2, -1)).mean(2, keepdim=True)
        else:
            found = self._separate(own)
        back = resample(found, self.own_rate, self.sample_rate)[..., :samples]
        return torch.nn.functional.pad(back, (0, samples - back.size(-1)))

    def _separate(self, audio: Tensor) -> Tensor:
        """As the model's own, in the precision of the signal, with the Wiener filter and by the other mix if any."""
        model, mix = self._model(audio.dtype), audio[0]
        if not self.iterations and len(audio) == 1:
            return model.separate(mix)
        output = model(mix)
        others = model.representation.encode(audio[1]) if len(audio) == 2 else [None] * len(mix)
        parts = []
        for masks, mixture, other in zip(output.masks, output.mixture, others, strict=True):  # one by one: less memory
            found = None if other is None else self._by_two_mixes(masks, mixture, other)
            if found is None:
                found = refine(MaskOutput(masks[None], mixture[None]), self.iterations)[0]
            parts.append(model.representation.decode(found, mix.size(-1)))
        return torch.stack(parts)

    def _by_two_mixes(self, masks: Tensor, mixture: Tensor, other: Tensor) -> Tensor | None:
        """Coefficients of the sources by two mixes; None where the other one does not tell them apart."""
        about = self.two_mixes
        if masks.is_complex() or not mixture.any():
            return None
        gains, share = find_gains(masks, mixture, other)
        about.blocks, about.share = about.blocks + 1, about.share + share
        if share < LEAST_SHARE or float(gains.log().std(0, correction=0).max()) < LEAST_SPREAD:
            return None
        found = filter_two_mixes(masks, mixture, other, gains)
        about.used += 1
        about.energy += float(other.abs().double().square().sum())
        about.before += unexplained_energy(masks * mixture, other, gains)
        about.after += unexplained_energy(found, other, gains)
        return found

    def _model(self, dtype: torch.dtype) -> MaskEstimator:
        if dtype != torch.float64:
            return self.model
        if not self._double:
            self._double.append(copy.deepcopy(self.model).double())
        return self._double[0]


def refine(output: MaskOutput, iterations: int) -> Tensor:
    """Coefficients of the sources after the Wiener filter, for which the rest is one more source.

    The filter takes estimates at their word: powers are squared magnitudes, so whichever source has a little more gets
    nearly all. Where masks are sure that helps; where they are half of everything, because the network does not know,
    it makes them worse, also the sources of which it is sure. So estimates move to the filtered ones by the mean
    certainty of the sources: not at all up to :data:`LEAST_CERTAIN`, all the way from :data:`CERTAIN` on.

    Shape:
        [mixtures, sources, channels, bins, frames]
    """
    estimates = output.estimates
    if not iterations:
        return estimates
    sure = certainty(estimates, output.mixture).mean(1, keepdim=True)
    trust = ((sure - LEAST_CERTAIN) / (CERTAIN - LEAST_CERTAIN)).clamp(0, 1)
    if not trust.any():
        return estimates
    rest = output.mixture.unsqueeze(1) - estimates.sum(1, keepdim=True)
    filtered = wiener_filter(torch.cat([estimates, rest], dim=1), output.mixture, iterations)[:, :-1]
    return estimates + trust * (filtered - estimates)


def stems_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the stems that a model's sources and the rest make: the rest is last.

    >>> stems_of(("vocals", "drums")), stems_of(("rest", "drums"))
    (('vocals', 'drums', 'rest'), ('drums', 'rest'))
    """
    return (*(name for name in names if name != REST), REST)


def with_rest(audio: Tensor, sources: Tensor, names: tuple[str, ...], chosen: tuple[str, ...] | None = None) -> Tensor:
    """Stems that add up to the signal: the sources, and what they leave of it.

    Args:
        audio: [signals, channels, samples].
        sources: [signals, sources, channels, samples].
        names: of the sources.
        chosen: sources that become stems, in this order; by default all but one that is called rest.

    Shape:
        [signals, stems, channels, samples]
    """
    wanted = [name for name in (names if chosen is None else chosen) if name != REST]
    stems = sources[:, [names.index(name) for name in wanted]]
    rest = (audio.double() - stems.double().sum(1)).to(audio.dtype)
    return torch.cat([stems, rest[:, None]], dim=1)
