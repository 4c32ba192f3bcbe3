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

Everything before the magnitude is linear: left and right alone are weighted and transformed, mid and side
are sums of spectra. The backward passes of the filter and of the transform are written by hand, because
PyTorch's take several times longer (its gradient of ``rfft`` is a full complex transform). They have no
second derivative.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from auraloss.perceptual import FIRFilter
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from graphmix.dsp.mel import stereo_mels
from graphmix.errors import SearchError

FFT_SIZES = (512, 1024, 4096)
NUM_MELS = 96
POWER_FLOOR = 1e-4

_OVERLAP = 4  # hop = FFT size / 4
_NUM_TAPS = 101  # auraloss's A-weighting filter
_BLOCK = 128  # samples that one row of the filter's matrix product makes; 64 to 256 are equally fast
_ENERGY_FLOOR = 1e-8  # sum of squares below which a signal counts as silent in equation 5


class LossTerms(NamedTuple):
    """The audio loss of equation 3 and the parts that it weighs, each a 0-dim tensor."""

    total: Tensor
    left_right: Tensor
    mid: Tensor
    side: Tensor


@dataclass(frozen=True)
class TargetFeatures:
    """What the loss needs to know of a target; one tensor for each resolution.

    Shape:
        mels, log_mels [batch, 4 (left, right, mid, side), frames, mel bands]
        norms          [batch, 3 (left and right together, mid, side)], Frobenius norms of ``mels``
    """

    mels: tuple[Tensor, ...]
    log_mels: tuple[Tensor, ...]
    norms: tuple[Tensor, ...]
    num_samples: int

    @property
    def batch_size(self) -> int:
        """How many targets these are."""
        return self.norms[0].size(0)

    def to(self, device: torch.device | str) -> "TargetFeatures":
        """The same features on another device."""
        return TargetFeatures(
            mels=tuple(x.to(device) for x in self.mels),
            log_mels=tuple(x.to(device) for x in self.log_mels),
            norms=tuple(x.to(device) for x in self.norms),
            num_samples=self.num_samples,
        )


class _SymmetricFilter(torch.autograd.Function):
    """FIR filter with symmetric taps, as ``conv1d`` with "same" padding: it is its own adjoint."""

    @staticmethod
    def forward(ctx: Any, audio: Tensor, banded_taps: Tensor) -> Tensor:
        ctx.save_for_backward(banded_taps)
        return _correlate(audio, banded_taps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (banded_taps,) = ctx.saved_tensors
        return _correlate(grad, banded_taps), None


def _banded(taps: Tensor) -> Tensor:
    """Taps [K] as the matrix [block + K - 1, block] that turns a row of samples into a block of output."""
    columns = torch.arange(_BLOCK)
    matrix = taps.new_zeros(_BLOCK + taps.numel() - 1, _BLOCK)
    for k, tap in enumerate(taps):
        matrix[columns + k, columns] = tap
    return matrix


def _correlate(audio: Tensor, banded_taps: Tensor) -> Tensor:
    """``y[n] = Σ taps[k] x[n + k - K // 2]`` over the last axis, zeros outside.

    Short rows of samples times one banded matrix is work for BLAS: 10 times faster than ``conv1d`` and than
    FFT at 2 × 84,000 samples and 101 taps, though half of what it multiplies are zeros.
    """
    row, num_samples = banded_taps.size(0), audio.size(-1)
    half = (row - _BLOCK) // 2
    padded = functional.pad(audio, (half, half + (-num_samples) % _BLOCK))
    return (padded.unfold(-1, row, _BLOCK) @ banded_taps).flatten(-2)[..., :num_samples]


class _Stft(torch.autograd.Function):
    """Windowed spectra without padding: audio [..., samples], window [n] -> [..., frames, n // 2 + 1]."""

    @staticmethod
    def forward(ctx: Any, audio: Tensor, window: Tensor) -> Tensor:
        size = window.numel()
        ctx.save_for_backward(window)
        ctx.num_samples = audio.size(-1)
        return torch.fft.rfft(audio.unfold(-1, size, size // _OVERLAP) * window)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (window,) = ctx.saved_tensors
        return _transposed_stft(grad.clone(), window, ctx.num_samples), None


def _transposed_stft(spectra: Tensor, window: Tensor, num_samples: int) -> Tensor:
    """The gradient of audio from that of its windowed ``rfft`` frames [..., frames, bins], which it overwrites."""
    size, frames = window.numel(), spectra.size(-2)
    hop = size // _OVERLAP
    # Each inner bin stands for two in the full transform, and irfft counts it twice: halve all in the window,
    # and double the two that stand alone.
    spectra[..., 0].mul_(2)
    spectra[..., -1].mul_(2)
    pieces = torch.fft.irfft(spectra, size, norm="forward") * (window / 2)
    pieces = pieces.unflatten(-1, (_OVERLAP, hop))
    audio = window.new_zeros(*spectra.shape[:-2], frames + _OVERLAP - 1, hop)
    for part in range(_OVERLAP):
        audio[..., part : part + frames, :] += pieces[..., part, :]
    audio = audio.flatten(-2)
    return functional.pad(audio, (0, num_samples - audio.size(-1)))


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
        eps: floor of a bin's power. Below it nothing is heard and no gradient flows; exact silence is finite.
        left_right_weight, mid_weight, side_weight: of equation 3.

    Shape:
        prediction and target [..., 2, samples] -> four numbers, means over all items. A single target may
        meet several predictions.

    The target is the side whose norm divides: swap the two and another number comes out. Hence keywords only.

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
        wrong = [size for size in fft_sizes if size < _OVERLAP or size % _OVERLAP]
        if wrong or not fft_sizes:
            raise SearchError(f"fft_sizes is {tuple(fft_sizes)}: give one or more multiples of {_OVERLAP}.")
        if eps <= 0:
            raise SearchError(f"eps is {eps}: it must be positive, or silence has no logarithm.")
        self.sample_rate = sample_rate
        self.fft_sizes = tuple(fft_sizes)
        self.eps = eps
        self.weights = (left_right_weight, mid_weight, side_weight)
        self.register_buffer("banded_taps", _banded(_a_weighting(sample_rate)), persistent=False)
        for size in self.fft_sizes:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)
            self.register_buffer(f"mel_{size}", _mel_filters(sample_rate, size, num_mels), persistent=False)

    def features(self, audio: Tensor) -> TargetFeatures:
        """What the loss needs of a target, computed once: audio [..., 2, samples], no gradient."""
        with torch.no_grad():
            mels = self._mels(audio)
            return TargetFeatures(
                mels=tuple(mels),
                log_mels=tuple(mel.log() for mel in mels),
                norms=tuple(_norms(mel) for mel in mels),
                num_samples=audio.size(-1),
            )

    def per_item(self, *, prediction: Tensor, target: Tensor | TargetFeatures) -> LossTerms:
        """As a call, but each term has shape [batch]: one number for each item, e.g. for each trial."""
        features = target if isinstance(target, TargetFeatures) else self.features(target)
        mels = self._mels(prediction)
        if features.num_samples != prediction.size(-1) or features.batch_size not in (1, mels[0].size(0)):
            raise SearchError(
                f"the prediction has {mels[0].size(0)} items of {prediction.size(-1)} samples, the target "
                f"{features.batch_size} of {features.num_samples}: cut both to the same segment."
            )
        terms = torch.zeros_like(features.norms[0])
        for mel, wanted, log_wanted, norm in zip(mels, features.mels, features.log_mels, features.norms, strict=True):
            logs = (mel.log() - log_wanted).abs().mean((-2, -1))
            logs = torch.cat((logs[:, :2].mean(1, keepdim=True), logs[:, 2:]), 1)
            terms = terms + logs + _norms(mel - wanted) / norm
        left_right, mid, side = (terms / len(mels)).unbind(1)
        of_left_right, of_mid, of_side = self.weights
        total = of_left_right * left_right + of_mid * mid + of_side * side
        return LossTerms(total, left_right, mid, side)

    def forward(self, *, prediction: Tensor, target: Tensor | TargetFeatures) -> LossTerms:
        """The loss and its three parts, each the mean over the items."""
        return LossTerms(*(term.mean() for term in self.per_item(prediction=prediction, target=target)))

    def _mels(self, audio: Tensor) -> list[Tensor]:
        """Mel magnitudes [batch, 4, frames, bands] for each resolution."""
        self._check(audio)
        audio = audio.reshape(-1, 2, audio.size(-1))
        weighted = _SymmetricFilter.apply(audio, self.get_buffer("banded_taps"))
        mels = []
        for size in self.fft_sizes:
            padded = functional.pad(weighted, (size // 2, size // 2), mode="reflect")
            window, mel_filters = self.get_buffer(f"window_{size}"), self.get_buffer(f"mel_{size}")
            mels.append(stereo_mels(_Stft.apply(padded, window), mel_filters, self.eps))
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


def mix_loss(*, prediction: Tensor, target: Tensor | TargetFeatures, sample_rate: int = 30_000) -> LossTerms:
    """:class:`MixLoss` with the paper's settings; filters are made once for each sample rate and device."""
    loss = _paper_loss(sample_rate, prediction.device, prediction.dtype)
    return loss(prediction=prediction, target=target)


@lru_cache(maxsize=8)
def _paper_loss(sample_rate: int, device: torch.device, dtype: torch.dtype) -> MixLoss:
    with torch.inference_mode(False):  # the buffers outlive this call, and training may use them next
        return MixLoss(sample_rate).to(device, dtype)


def _norms(mels: Tensor) -> Tensor:
    """Frobenius norms [batch, 3] of left and right together, mid, side; the gradient at zero is zero."""
    left_right = torch.linalg.vector_norm(mels[:, :2], dim=(1, 2, 3)).unsqueeze(1)
    return torch.cat((left_right, torch.linalg.vector_norm(mels[:, 2:], dim=(2, 3))), 1)


def _a_weighting(sample_rate: int) -> Tensor:
    return FIRFilter(filter_type="aw", fs=sample_rate, ntaps=_NUM_TAPS).fir.weight.detach().flatten().clone()


def _mel_filters(sample_rate: int, fft_size: int, num_mels: int) -> Tensor:
    """Slaney's mel filters [bins, bands], those of librosa, without bands that hold no bin."""
    from torchaudio.functional import melscale_fbanks  # here: importing graphmix must not load torchaudio

    with warnings.catch_warnings():  # of bands without a bin, which are left out below
        warnings.simplefilter("ignore", UserWarning)
        filters = melscale_fbanks(
            fft_size // 2 + 1, 0.0, sample_rate / 2, num_mels, sample_rate, norm="slaney", mel_scale="slaney"
        )
    return filters[:, filters.sum(0) > 0]


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
    """
    _check_same_shape(prediction, target)
    wanted, found = target.double(), prediction.double()
    energy = wanted.square().sum((-2, -1), keepdim=True)
    factor = (wanted * found).sum((-2, -1), keepdim=True) / energy.clamp(min=torch.finfo(energy.dtype).tiny)
    scaled = factor * wanted
    error = (scaled - found).square().sum((-2, -1))
    return _decibels(scaled.square().sum((-2, -1)), error).to(prediction.dtype)


def _decibels(energy: Tensor, error: Tensor) -> Tensor:
    ratio = 10 * (energy.log10() - error.log10())
    return torch.where(error > 0, ratio, torch.full_like(ratio, torch.inf))


def _check_same_shape(prediction: Tensor, target: Tensor) -> None:
    if prediction.shape != target.shape or target.dim() < 2:
        raise SearchError(
            f"the prediction has shape {list(prediction.shape)}, the target {list(target.shape)}: "
            "give both as [..., channels, samples], of equal length."
        )
