r"""Mel magnitudes of left, right, mid and side from the spectra of left and right.

.. math:: Y_x[m] = \sum_k F[k, m] \sqrt{\max(|X_x[k]|^2, \epsilon)}, \quad
    X_{mid} = X_{left} + X_{right}, \quad X_{side} = X_{left} - X_{right}

The filters are triangles that overlap two by two, so that almost all of F is zero. On the CPU forward and backward
are one compiled pass each, frame by frame, over the bins where filters are not zero; magnitudes are never written out.
On other devices F is a matrix. Side is squared after subtraction: from the powers and the cross-spectrum it would be
rounding noise wherever the mix is nearly mono. The gradient is zero where the power is below its floor. There is no
second derivative.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _magnitudes(left: np.ndarray, right: np.ndarray, eps: float, out: np.ndarray) -> None:
    """[bins, 2] each -> [4, bins]."""
    for k in range(left.shape[0]):
        a, b, c, d = left[k, 0], left[k, 1], right[k, 0], right[k, 1]
        out[0, k] = np.sqrt(max(a * a + b * b, eps))
        out[1, k] = np.sqrt(max(c * c + d * d, eps))
        p, q = a + c, b + d
        out[2, k] = np.sqrt(max(p * p + q * q, eps))
        p, q = a - c, b - d
        out[3, k] = np.sqrt(max(p * p + q * q, eps))


@numba.njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def _forward(spectra: np.ndarray, filters: np.ndarray, spans: np.ndarray, eps: np.ndarray, mels: np.ndarray) -> None:
    frames, bins = spectra.shape[2], spectra.shape[3]
    for job in numba.prange(spectra.shape[0] * frames):
        item, frame = job // frames, job % frames
        magnitudes = np.empty((4, bins), spectra.dtype)
        _magnitudes(spectra[item, 0, frame], spectra[item, 1, frame], eps[0], magnitudes)
        for band in range(filters.shape[0]):
            first, last = spans[band, 0], spans[band, 1]
            weights = filters[band, first:last]
            for signal in range(4):
                inside = magnitudes[signal, first:last]
                total = eps[0] * 0
                for k in range(weights.size):
                    total += weights[k] * inside[k]
                mels[item, signal, frame, band] = total


@numba.njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def _backward(
    spectra: np.ndarray, filters: np.ndarray, spans: np.ndarray, eps: np.ndarray, grad: np.ndarray, out: np.ndarray
) -> None:
    frames, bins = spectra.shape[2], spectra.shape[3]
    floor = np.sqrt(eps[0])
    for job in numba.prange(spectra.shape[0] * frames):
        item, frame = job // frames, job % frames
        magnitudes, ratios = np.empty((4, bins), spectra.dtype), np.zeros((4, bins), spectra.dtype)
        left, right = spectra[item, 0, frame], spectra[item, 1, frame]
        _magnitudes(left, right, eps[0], magnitudes)
        for band in range(filters.shape[0]):
            first, last = spans[band, 0], spans[band, 1]
            weights = filters[band, first:last]
            for signal in range(4):
                here, inside = grad[item, signal, frame, band], ratios[signal, first:last]
                for k in range(weights.size):
                    inside[k] += here * weights[k]
        for signal in range(4):
            magnitude, ratio = magnitudes[signal], ratios[signal]
            for k in range(bins):
                ratio[k] = ratio[k] / magnitude[k] if magnitude[k] > floor else 0
        to_left, to_right = out[item, 0, frame], out[item, 1, frame]
        for k in range(bins):
            both, cross = ratios[2, k] + ratios[3, k], ratios[2, k] - ratios[3, k]
            of_left, of_right = ratios[0, k] + both, ratios[1, k] + both
            for part in range(2):
                to_left[k, part] = left[k, part] * of_left + right[k, part] * cross
                to_right[k, part] = right[k, part] * of_right + left[k, part] * cross


def _spans(filters: np.ndarray) -> np.ndarray:
    """Where each filter is not zero, [bands, 2], from filters [bands, bins]."""
    inside = filters != 0
    first = inside.argmax(1)
    last = inside.shape[1] - inside[:, ::-1].argmax(1)
    return np.stack([first, np.where(inside.any(1), last, first)], axis=1)


class _StereoMels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spectra: Tensor, mel_filters: Tensor, eps: float) -> Tensor:
        spectra = spectra.contiguous()
        filters = mel_filters.t().contiguous()
        ctx.save_for_backward(spectra, filters)
        ctx.eps = np.array([eps], filters.numpy().dtype)
        mels = filters.new_empty(spectra.size(0), 4, spectra.size(2), filters.size(0))
        arrays = torch.view_as_real(spectra.detach()).numpy(), filters.numpy(), _spans(filters.numpy())
        _forward(*arrays, ctx.eps, mels.numpy())
        return mels

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        spectra, filters = ctx.saved_tensors
        out = torch.empty_like(spectra)
        arrays = torch.view_as_real(spectra).numpy(), filters.numpy(), _spans(filters.numpy()), ctx.eps
        _backward(*arrays, grad.contiguous().numpy(), torch.view_as_real(out).numpy())
        return out, None, None


class _StereoMelsByTensors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spectra: Tensor, mel_filters: Tensor, eps: float) -> Tensor:
        left, right = spectra.unbind(1)
        batch, frames, bins = left.shape
        magnitudes = mel_filters.new_empty(batch, 4, frames, bins)
        for index, signal in enumerate((left, right, left + right, left - right)):
            power = torch.mul(signal.real, signal.real, out=magnitudes[:, index])
            power.addcmul_(signal.imag, signal.imag)
        magnitudes.clamp_(min=eps).sqrt_()
        ctx.save_for_backward(spectra, magnitudes, mel_filters)
        ctx.eps = eps
        return magnitudes @ mel_filters

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        spectra, magnitudes, mel_filters = ctx.saved_tensors
        left, right = spectra.unbind(1)
        # d magnitude / d spectrum = spectrum / magnitude
        ratios = (grad @ mel_filters.t()).div_(magnitudes).mul_(magnitudes > ctx.eps**0.5)
        of_left, of_right, of_mid, of_side = ratios.unbind(1)
        both, cross = of_mid + of_side, of_mid - of_side
        to_left, to_right = left * (of_left + both) + right * cross, right * (of_right + both) + left * cross
        return torch.stack((to_left, to_right), 1), None, None


def stereo_mels(spectra: Tensor, mel_filters: Tensor, eps: float) -> Tensor:
    """Mel magnitudes of left, right, mid and side.

    Args:
        spectra: of left and right, [batch, 2, frames, bins].
        mel_filters: [bins, bands].
        eps: floor of a bin's power.

    Shape:
        [batch, 4 (left, right, mid, side), frames, bands]
    """
    function = _StereoMels if spectra.device.type == "cpu" else _StereoMelsByTensors
    return function.apply(spectra, mel_filters, eps)


def hertz_to_mel(frequency: np.ndarray) -> np.ndarray:
    """The mel scale (O'Shaughnessy 1987), on which the bands of a mel spectrum are equally spaced."""
    return 2595 * np.log10(1 + frequency / 700)


def mel_to_hertz(mel: np.ndarray) -> np.ndarray:
    """The inverse of :func:`hertz_to_mel`."""
    return 700 * (10 ** (mel / 2595) - 1)
