"""What the audio loss measures of a signal: A-weighting, short-time spectra and mel filters, as auraloss has them."""

import warnings
from typing import Any

import torch
from auraloss.perceptual import FIRFilter
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

OVERLAP = 4  # hop = FFT size / 4
_NUM_TAPS = 101  # auraloss's A-weighting filter
_BLOCK = 128  # samples that one row of the filter's matrix product makes; 64 to 256 are equally fast


class SymmetricFilter(torch.autograd.Function):
    """FIR filter with symmetric taps, as ``conv1d`` with "same" padding: it is its own adjoint."""

    @staticmethod
    def forward(ctx: Any, audio: Tensor, banded_taps: Tensor) -> Tensor:
        """The filtered signal."""
        ctx.save_for_backward(banded_taps)
        return _correlate(audio, banded_taps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """The gradient of the audio."""
        (banded_taps,) = ctx.saved_tensors
        return _correlate(grad, banded_taps), None


def banded(taps: Tensor) -> Tensor:
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


class Stft(torch.autograd.Function):
    """Windowed spectra without padding: audio [..., samples], window [n] -> [..., frames, n // 2 + 1]."""

    @staticmethod
    def forward(ctx: Any, audio: Tensor, window: Tensor) -> Tensor:
        """The spectra."""
        size = window.numel()
        ctx.save_for_backward(window)
        ctx.num_samples = audio.size(-1)
        return torch.fft.rfft(audio.unfold(-1, size, size // OVERLAP) * window)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """The gradient of the audio."""
        (window,) = ctx.saved_tensors
        return _transposed_stft(grad.clone(), window, ctx.num_samples), None


def _transposed_stft(spectra: Tensor, window: Tensor, num_samples: int) -> Tensor:
    """The gradient of audio from that of its windowed ``rfft`` frames [..., frames, bins], which it overwrites."""
    size, frames = window.numel(), spectra.size(-2)
    hop = size // OVERLAP
    # Each inner bin stands for two in the full transform, and irfft counts it twice: halve all in the window,
    # and double the two that stand alone.
    spectra[..., 0].mul_(2)
    spectra[..., -1].mul_(2)
    pieces = torch.fft.irfft(spectra, size, norm="forward") * (window / 2)
    pieces = pieces.unflatten(-1, (OVERLAP, hop))
    audio = window.new_zeros(*spectra.shape[:-2], frames + OVERLAP - 1, hop)
    for part in range(OVERLAP):
        audio[..., part : part + frames, :] += pieces[..., part, :]
    audio = audio.flatten(-2)
    return functional.pad(audio, (0, num_samples - audio.size(-1)))


def a_weighting(sample_rate: int) -> Tensor:
    """Taps of auraloss's A-weighting filter, [101]."""
    return FIRFilter(filter_type="aw", fs=sample_rate, ntaps=_NUM_TAPS).fir.weight.detach().flatten().clone()


def mel_filters(sample_rate: int, fft_size: int, num_mels: int) -> Tensor:
    """Slaney's mel filters [bins, bands], those of librosa, without bands that hold no bin."""
    from torchaudio.functional import melscale_fbanks  # here: importing graphmix must not load torchaudio

    with warnings.catch_warnings():  # of bands without a bin, which are left out below
        warnings.simplefilter("ignore", UserWarning)
        filters = melscale_fbanks(
            fft_size // 2 + 1, 0.0, sample_rate / 2, num_mels, sample_rate, norm="slaney", mel_scale="slaney"
        )
    return filters[:, filters.sum(0) > 0]
