r"""How far a mix is from the mix that it should be: equations 3 to 5 of the pruning paper, and SDR.

The audio loss compares mel spectrograms of the A-weighted left, right, mid and side signals in three
resolutions: spectral convergence plus the mean absolute difference of logarithms. Conventions are those of
auraloss 0.4, which the paper builds on, because its figures were measured so:

- magnitude = sqrt(max(power, eps)), eps = 1e-4, before the mel filters (Slaney's scale and normalization);
- mid = left + right, side = left - right, without a factor;
- the norm that divides the convergence is the *target's*; left and right share one norm;
- resolutions and mel bands are *averaged*, where equation 4 sums them;
- the weights ½, ¼, ¼ of equation 3.

Unlike auraloss, each item of a batch has its own norms: the loss of a batch is the mean of its items'.

Silent segments: the target's norm is tiny where the mix is silent, so that whatever a prediction leaves there would
cost some 50 times as much as elsewhere. Where the *song level* is given (:func:`graphmix.search.song_level`), the term
of a segment that lies more than 30 dB below it fades, signal by signal and resolution by resolution, from the paper's
definition to the leakage ``‖Y − Ŷ‖`` relative to the song level, without logarithms. See :class:`MixLoss`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphmix.dsp.mel import stereo_mels
from graphmix.errors import SearchError
from graphmix.search.weighted_spectra import OVERLAP, Stft, SymmetricFilter, a_weighting, banded, mel_filters

FFT_SIZES = (512, 1024, 4096)
NUM_MELS = 96
POWER_FLOOR = 1e-4

_ENERGY_FLOOR = 1e-8  # sum of squares below which a signal counts as silent in equation 5
SILENT_BELOW = 10 ** (-30 / 20)
"""Share of the song level, -30 dB, below which a segment is on its way to silence."""
_GATE = 0.1  # stretches 20 dB below the mean of the whole song do not count for its level, as in BS.1770


class LossTerms(NamedTuple):
    """The audio loss of equation 3 and the parts that it weighs, each a 0-dim tensor."""

    total: Tensor
    left_right: Tensor
    mid: Tensor
    side: Tensor

    def to_list(self) -> list[float]:
        """The four numbers as JSON values."""
        return [float(term) for term in self]

    @classmethod
    def from_list(cls, values: Sequence[float]) -> "LossTerms":
        """The inverse of :meth:`to_list`, in float64."""
        return cls(*(torch.tensor(value, dtype=torch.float64) for value in values))


@dataclass(frozen=True)
class TargetFeatures:
    """Features of a target; one tensor for each resolution.

    Shape:
        mels, log_mels [batch, 4 (left, right, mid, side), frames, mel bands]
        norms          [batch, 3 (left and right together, mid, side)], Frobenius norms of ``mels``
        sounding       as ``norms``: 1 where the target sounds, towards 0 where it is silent; see :class:`MixLoss`
        denominators   as ``norms``: what the convergence is divided by

    Without a song level ``sounding`` and ``denominators`` are None, and the loss is the paper's.
    """

    mels: tuple[Tensor, ...]
    log_mels: tuple[Tensor, ...]
    norms: tuple[Tensor, ...]
    num_samples: int
    sounding: tuple[Tensor, ...] | None = None
    denominators: tuple[Tensor, ...] | None = None

    @property
    def batch_size(self) -> int:
        """Number of targets."""
        return self.norms[0].size(0)

    @property
    def num_bytes(self) -> int:
        """Memory of the spectrograms."""
        return sum(mel.numel() * mel.element_size() for mel in (*self.mels, *self.log_mels))

    def to(self, device: torch.device | str) -> "TargetFeatures":
        """The same features on another device."""

        def moved(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(x.to(device) for x in tensors)

        return TargetFeatures(
            mels=moved(self.mels),
            log_mels=moved(self.log_mels),
            norms=moved(self.norms),
            num_samples=self.num_samples,
            sounding=None if self.sounding is None else moved(self.sounding),
            denominators=None if self.denominators is None else moved(self.denominators),
        )

    def of_the_paper(self) -> "TargetFeatures":
        """The same features without a song level."""
        return replace(self, sounding=None, denominators=None)


class MixLoss(nn.Module):
    r"""The audio loss of the pruning paper, equations 3 and 4, differentiable in the prediction.

    .. math::
        L = \tfrac12 L_{lr} + \tfrac14 L_m + \tfrac14 L_s, \qquad
        L_x = \operatorname{mean}_i \Big[ \operatorname{mean} |\log Y_i - \log \hat Y_i|
              + \lVert Y_i - \hat Y_i \rVert_F / \lVert Y_i \rVert_F \Big]

    Args:
        sample_rate: in Hz.
        fft_sizes: one for each resolution, multiples of 4; a quarter is the hop.
        num_mels: bands of each resolution. Bands so narrow that no bin falls into them (at 44.1 kHz: a few
            of the lowest in the shortest transform) are left out; auraloss returns NaN there.
        eps: floor of a bin's power. Below it differences do not count and no gradient flows; exact silence is finite.
        left_right_weight, mid_weight, side_weight: of equation 3.

    Shape:
        prediction and target [..., 2, samples] -> four numbers, means over all items. A single target may
        meet several predictions.

    The target is the side whose norm divides: swap the two and another number comes out. Hence keywords only.

    Silence: with a ``song_level`` [resolutions, 3] of the song that the target is cut from, R below is that level times
    the root of the number of frames, and E the mel spectrogram of digital silence, which ``eps`` keeps above zero:

    .. math::
        L_x = \operatorname{mean}_i \Big[ s_i \operatorname{mean} |\log Y_i - \log \hat Y_i|
              + \frac{\lVert Y_i - \hat Y_i \rVert_F}{\lVert Y_i \rVert_F + (1 - s_i) R_i} \Big], \qquad
        s_i = \min\Big(1, \frac{\lVert Y_i - E_i \rVert_F}{0.0316\, R_i}\Big)

    A segment less than 30 dB below the song's level has s = 1 and to the last bit the loss of the paper. In digital
    silence s = 0: a prediction that goes on at the level of the song costs 1 there. A signal that is silent in the
    whole song (the side of a mono mix) has no level to compare with, and s = 1.

    >>> loss = MixLoss(30_000)
    >>> mix = torch.randn(1, 2, 30_000)
    >>> target = loss.features(mix)  # once for each segment
    >>> float(loss(prediction=mix, target=target).total)
    0.0
    """

    def __init__(
        self,
        sample_rate: int,
        *,
        fft_sizes: Sequence[int] = FFT_SIZES,
        num_mels: int = NUM_MELS,
        eps: float = POWER_FLOOR,
        left_right_weight: float = 0.5,
        mid_weight: float = 0.25,
        side_weight: float = 0.25,
    ) -> None:
        super().__init__()
        wrong = [size for size in fft_sizes if size < OVERLAP or size % OVERLAP]
        if wrong or not fft_sizes:
            raise SearchError(f"fft_sizes is {tuple(fft_sizes)}: give one or more multiples of {OVERLAP}.")
        if eps <= 0:
            raise SearchError(f"eps is {eps}: it must be positive, or silence has no logarithm.")
        self.sample_rate = sample_rate
        self.fft_sizes = tuple(fft_sizes)
        self.eps = eps
        self.weights = (left_right_weight, mid_weight, side_weight)
        self.register_buffer("banded_taps", banded(a_weighting(sample_rate)), persistent=False)
        for size in self.fft_sizes:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)
            self.register_buffer(f"mel_{size}", mel_filters(sample_rate, size, num_mels), persistent=False)

    @property
    def num_levels(self) -> int:
        """Rows of a song level: one for each resolution."""
        return len(self.fft_sizes)

    @torch.no_grad()
    def features(self, audio: Tensor, song_level: Tensor | None = None) -> TargetFeatures:
        """What the loss needs of a target, computed once, without gradients.

        Args:
            audio: [..., 2, samples].
            song_level: of the song that it is cut from, [resolutions, 3] or one for each item, [batch, resolutions, 3];
                without it every target counts as sounding, and the loss is the paper's.
        """
        mels = self._mels(audio)
        features = TargetFeatures(
            mels=tuple(mels),
            log_mels=tuple(mel.log() for mel in mels),
            norms=tuple(_norms(mel) for mel in mels),
            num_samples=audio.size(-1),
        )
        return features if song_level is None else self.with_song_level(features, song_level)

    @torch.no_grad()
    def with_song_level(self, features: TargetFeatures, song_level: Tensor) -> TargetFeatures:
        """The features of a target, compared with the level of its song."""
        sounding, denominators = [], []
        for index, (mel, norm) in enumerate(zip(features.mels, features.norms, strict=True)):
            usual = song_level[..., index, :].to(norm) * mel.size(-2) ** 0.5
            here, limit = self._above_silence(index, mel), SILENT_BELOW * usual
            sounding.append(torch.where(here < limit, here / limit.clamp(min=torch.finfo(limit.dtype).tiny), 1.0))
            denominators.append(norm + (1 - sounding[-1]) * usual)
        return replace(features, sounding=tuple(sounding), denominators=tuple(denominators))

    def levels(self, features: TargetFeatures) -> Tensor:
        """Levels of targets, the root mean square over frames of what is above silence, [batch, resolutions, 3]."""
        levels = [self._above_silence(i, mel) / mel.size(-2) ** 0.5 for i, mel in enumerate(features.mels)]
        return torch.stack(levels, dim=1)

    def _above_silence(self, index: int, mel: Tensor) -> Tensor:
        """Norms [batch, 3] of what mel magnitudes have more than digital silence, which ``eps`` keeps above zero."""
        silence = self.eps**0.5 * self.get_buffer(f"mel_{self.fft_sizes[index]}").sum(0)
        return _norms(mel - silence)

    def per_item(
        self, *, prediction: Tensor, target: Tensor | TargetFeatures, song_level: Tensor | None = None
    ) -> LossTerms:
        """As a call, but each term has shape [batch]: one number for each item, e.g. for each trial."""
        features = target if isinstance(target, TargetFeatures) else self.features(target, song_level)
        mels = self._mels(prediction)
        if features.num_samples != prediction.size(-1) or features.batch_size not in (1, mels[0].size(0)):
            raise SearchError(
                f"the prediction has {mels[0].size(0)} items of {prediction.size(-1)} samples, the target "
                f"{features.batch_size} of {features.num_samples}: cut both to the same segment."
            )
        terms = torch.zeros_like(features.norms[0])
        denominators = features.norms if features.denominators is None else features.denominators
        for index, (mel, wanted, log_wanted) in enumerate(zip(mels, features.mels, features.log_mels, strict=True)):
            logs = (mel.log() - log_wanted).abs().mean((-2, -1))
            logs = torch.cat((logs[:, :2].mean(1, keepdim=True), logs[:, 2:]), 1)
            if features.sounding is not None:
                logs = features.sounding[index] * logs
            terms = terms + logs + _norms(mel - wanted) / denominators[index]
        left_right, mid, side = (terms / len(mels)).unbind(1)
        of_left_right, of_mid, of_side = self.weights
        total = of_left_right * left_right + of_mid * mid + of_side * side
        return LossTerms(total, left_right, mid, side)

    def forward(
        self, *, prediction: Tensor, target: Tensor | TargetFeatures, song_level: Tensor | None = None
    ) -> LossTerms:
        """The loss and its three parts, each the mean over the items; ``song_level`` as in :meth:`features`."""
        terms = self.per_item(prediction=prediction, target=target, song_level=song_level)
        return LossTerms(*(term.mean() for term in terms))

    def _mels(self, audio: Tensor) -> list[Tensor]:
        """Mel magnitudes [batch, 4, frames, bands] for each resolution."""
        self._check(audio)
        audio = audio.reshape(-1, 2, audio.size(-1))
        weighted = SymmetricFilter.apply(audio, self.get_buffer("banded_taps"))
        mels = []
        for size in self.fft_sizes:
            padded = functional.pad(weighted, (size // 2, size // 2), mode="reflect")
            window, mel_matrix = self.get_buffer(f"window_{size}"), self.get_buffer(f"mel_{size}")
            mels.append(stereo_mels(Stft.apply(padded, window), mel_matrix, self.eps))
        return mels

    def _check(self, audio: Tensor) -> None:
        if audio.dim() < 2 or audio.size(-2) != 2:
            raise SearchError(f"the loss compares stereo, shape [..., 2, samples], and this has {list(audio.shape)}.")
        shortest = max(self.fft_sizes) // 2 + 1
        if audio.size(-1) < shortest:
            raise SearchError(
                f"the segment has {audio.size(-1)} samples: an FFT of {max(self.fft_sizes)} needs {shortest}."
            )
        taps = self.get_buffer("banded_taps")
        if audio.dtype != taps.dtype or audio.device != taps.device:
            raise SearchError(
                f"the audio is {audio.dtype} on {audio.device}, the loss {taps.dtype} on {taps.device}: "
                "move one with .to(...)."
            )


def mix_loss(
    *,
    prediction: Tensor,
    target: Tensor | TargetFeatures,
    sample_rate: int = 30_000,
    song_level: Tensor | None = None,
) -> LossTerms:
    """:class:`MixLoss` with the paper's settings, as a function."""
    loss = paper_loss(sample_rate, prediction.device, prediction.dtype)
    return loss(prediction=prediction, target=target, song_level=song_level)


def gated_level(levels: Tensor, weights: Tensor) -> Tensor:
    """Root mean square of levels [segments, resolutions, 3], without segments 20 dB below that of all of them.

    Args:
        levels: of the segments of a song; see :meth:`MixLoss.levels`.
        weights: how many samples each segment stands for, [segments].
    """
    power, weights = levels.double().square(), weights.double()[:, None, None]
    mean = (power * weights).sum(0) / weights.sum()
    counted = weights * (power >= _GATE**2 * mean)
    return ((power * counted).sum(0) / counted.sum(0)).sqrt().to(levels)


@lru_cache(maxsize=8)
def paper_loss(sample_rate: int, device: torch.device, dtype: torch.dtype) -> MixLoss:
    """The loss with the paper's settings; filters are made once for each sample rate, device and type."""
    with torch.inference_mode(False):  # the buffers outlive this call, and training may use them next
        return MixLoss(sample_rate).to(device, dtype)


def _norms(mels: Tensor) -> Tensor:
    """Frobenius norms [batch, 3] of left and right together, mid, side; the gradient at zero is zero."""
    left_right = torch.linalg.vector_norm(mels[:, :2], dim=(1, 2, 3)).unsqueeze(1)
    return torch.cat((left_right, torch.linalg.vector_norm(mels[:, 2:], dim=(2, 3))), 1)


def gain_staging(wet_energy: Tensor, dry_energy: Tensor) -> Tensor:
    r"""Equation 5: how far processors change the level, ``Σ |log ‖wet‖ − log ‖dry‖|``, a 0-dim tensor.

    Args:
        wet_energy, dry_energy: sums of squares of the mid signal after and before each processor, [nodes].
            Silence, below 1e-8, counts as 1e-8: silent both before and after costs nothing.
    """
    if wet_energy.shape != dry_energy.shape:
        raise SearchError(
            f"wet_energy has shape {list(wet_energy.shape)}, dry_energy {list(dry_energy.shape)}: "
            "give one number for each processor in both."
        )
    wet, dry = wet_energy.clamp(min=_ENERGY_FLOOR), dry_energy.clamp(min=_ENERGY_FLOOR)
    return 0.5 * (wet.log() - dry.log()).abs().sum()


def sdr(*, prediction: Tensor, target: Tensor) -> Tensor:
    """Signal-to-distortion ratio ``10 log10(|y|² / |y − x|²)`` in dB: [..., channels, samples] -> [...].

    Channels count together. A perfect prediction is infinite, also of silence.
    """
    _check_same_shape(prediction, target)
    wanted = target.double()
    error = (wanted - prediction).square().sum((-2, -1))
    return _decibels(wanted.square().sum((-2, -1)), error).to(prediction.dtype)


def si_sdr(*, prediction: Tensor, target: Tensor) -> Tensor:
    """SDR in dB after the target is scaled to fit the prediction best, one factor for all channels.

    Le Roux et al., "SDR: half-baked or well done?" (2019); the mean is not removed. Shapes as in :func:`sdr`.
    Where only one of the two is silent the ratio is minus infinity.
    """
    _check_same_shape(prediction, target)
    wanted, found = target.double(), prediction.double()
    energy = wanted.square().sum((-2, -1), keepdim=True)
    factor = (wanted * found).sum((-2, -1), keepdim=True) / energy.clamp(min=torch.finfo(energy.dtype).tiny)
    scaled = factor * wanted
    error = (scaled - found).square().sum((-2, -1))
    ratio = _decibels(scaled.square().sum((-2, -1)), error)
    missing = (found == 0).all(-1).all(-1) & (energy[..., 0, 0] > 0)  # scaled to nothing, the target would fit exactly
    return torch.where(missing, -torch.inf, ratio).to(prediction.dtype)


def _decibels(energy: Tensor, error: Tensor) -> Tensor:
    ratio = 10 * (energy.log10() - error.log10())
    return torch.where(error > 0, ratio, torch.full_like(ratio, torch.inf))


def _check_same_shape(prediction: Tensor, target: Tensor) -> None:
    if prediction.shape != target.shape or target.dim() < 2:
        raise SearchError(
            f"the prediction has shape {list(prediction.shape)}, the target {list(target.shape)}: "
            "give both as [..., channels, samples], of equal length."
        )
