"""Applying frequency responses with dry/wet folded in, and the energies that gain-staging needs, in one pass.

.. math:: Y = (w H + 1 - w) U, \\quad E_{wet} = \\sum_k c_k |(H U)_{mid}|^2, \\quad E_{dry} = \\sum_k c_k |U_{mid}|^2

with Parseval's weights c, so that the energies are those of the signals in time (equation 5 of the pruning paper).
On the CPU forward and backward are one compiled pass each over memory; elsewhere they are tensor operations.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from graphmix.dsp.fft import parseval_weights

_BLOCK = 8192
"""Bins that one thread takes at a time."""


@numba.njit(parallel=True, cache=True, fastmath=True)
def _forward(
    u: np.ndarray, h: np.ndarray, wet: np.ndarray, c: np.ndarray, y: np.ndarray, energy: np.ndarray
) -> None:
    n, bins = u.shape[0], u.shape[2]
    blocks = energy.shape[1]
    right = h.shape[1] - 1
    is_complex = h.shape[3] == 2
    for job in numba.prange(n * blocks):
        i, block = job // blocks, job % blocks
        w = wet[i]
        d = 1 - w
        wet_sum, dry_sum = 0.0, 0.0
        for k in range(block * _BLOCK, min(bins, (block + 1) * _BLOCK)):
            lr, li = u[i, 0, k, 0], u[i, 0, k, 1]
            rr, ri = u[i, 1, k, 0], u[i, 1, k, 1]
            if is_complex:
                ar, ai = h[i, 0, k, 0], h[i, 0, k, 1]
                br, bi = h[i, right, k, 0], h[i, right, k, 1]
                vlr, vli = ar * lr - ai * li, ar * li + ai * lr
                vrr, vri = br * rr - bi * ri, br * ri + bi * rr
            else:
                vlr, vli = h[i, 0, k, 0] * lr, h[i, 0, k, 0] * li
                vrr, vri = h[i, right, k, 0] * rr, h[i, right, k, 0] * ri
            y[i, 0, k, 0], y[i, 0, k, 1] = w * vlr + d * lr, w * vli + d * li
            y[i, 1, k, 0], y[i, 1, k, 1] = w * vrr + d * rr, w * vri + d * ri
            wet_sum += c[k] * ((vlr + vrr) ** 2 + (vli + vri) ** 2)
            dry_sum += c[k] * ((lr + rr) ** 2 + (li + ri) ** 2)
        energy[i, block, 0] = wet_sum / 4
        energy[i, block, 1] = dry_sum / 4


@numba.njit(parallel=True, cache=True, fastmath=True)
def _backward(
    u: np.ndarray,
    h: np.ndarray,
    wet: np.ndarray,
    c: np.ndarray,
    gy: np.ndarray,
    ge: np.ndarray,
    gu: np.ndarray,
    gh: np.ndarray,
    gw: np.ndarray,
) -> None:
    n, bins = u.shape[0], u.shape[2]
    blocks = gw.shape[1]
    right = h.shape[1] - 1
    is_complex = h.shape[3] == 2
    for job in numba.prange(n * blocks):
        i, block = job // blocks, job % blocks
        w = wet[i]
        d = 1 - w
        g_wet, g_dry = ge[i, 0] / 2, ge[i, 1] / 2
        w_sum = 0.0
        for k in range(block * _BLOCK, min(bins, (block + 1) * _BLOCK)):
            lr, li = u[i, 0, k, 0], u[i, 0, k, 1]
            rr, ri = u[i, 1, k, 0], u[i, 1, k, 1]
            ar, br = h[i, 0, k, 0], h[i, right, k, 0]
            ai, bi = (h[i, 0, k, 1], h[i, right, k, 1]) if is_complex else (ar * 0, br * 0)
            vlr, vli = ar * lr - ai * li, ar * li + ai * lr
            vrr, vri = br * rr - bi * ri, br * ri + bi * rr
            glr, gli = gy[i, 0, k, 0], gy[i, 0, k, 1]
            grr, gri = gy[i, 1, k, 0], gy[i, 1, k, 1]
            w_sum += glr * (vlr - lr) + gli * (vli - li) + grr * (vrr - rr) + gri * (vri - ri)
            mr, mi = g_wet * c[k] * (vlr + vrr), g_wet * c[k] * (vli + vri)
            plr, pli, prr, pri = w * glr + mr, w * gli + mi, w * grr + mr, w * gri + mi
            mr, mi = g_dry * c[k] * (lr + rr), g_dry * c[k] * (li + ri)
            gu[i, 0, k, 0] = ar * plr + ai * pli + d * glr + mr
            gu[i, 0, k, 1] = ar * pli - ai * plr + d * gli + mi
            gu[i, 1, k, 0] = br * prr + bi * pri + d * grr + mr
            gu[i, 1, k, 1] = br * pri - bi * prr + d * gri + mi
            gh[i, 0, k, 0] = plr * lr + pli * li
            right_real = prr * rr + pri * ri
            if is_complex:
                gh[i, 0, k, 1] = pli * lr - plr * li
                right_imag = pri * rr - prr * ri
                if right == 1:
                    gh[i, 1, k, 1] = right_imag
                else:
                    gh[i, 0, k, 1] += right_imag
            if right == 1:
                gh[i, 1, k, 0] = right_real
            else:
                gh[i, 0, k, 0] += right_real
        gw[i, block] = w_sum


def _real(spectrum: Tensor) -> np.ndarray:
    """Real view with (real, imag) last, or one number where the tensor is real."""
    spectrum = spectrum.detach().resolve_conj().contiguous()
    return (torch.view_as_real(spectrum) if spectrum.is_complex() else spectrum[..., None]).numpy()


class _ApplyResponse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, h: Tensor, wet: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        u, h = u.contiguous(), h.contiguous()
        blocks = -(-u.size(-1) // _BLOCK)
        y = torch.empty_like(u)
        energy = torch.zeros(u.size(0), blocks, 2, dtype=wet.dtype)
        arrays = _real(u), _real(h), wet.detach().contiguous().numpy(), weights.numpy()
        _forward(*arrays, _real(y), energy.numpy())
        ctx.save_for_backward(u, h, wet, weights)
        return y, energy.sum(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        u, h, wet, weights = ctx.saved_tensors
        gy, ge = grads
        gu, gh = torch.empty_like(u), torch.empty_like(h)
        gw = torch.zeros(u.size(0), -(-u.size(-1) // _BLOCK), dtype=wet.dtype)
        _backward(
            _real(u),
            _real(h),
            wet.detach().contiguous().numpy(),
            weights.numpy(),
            _real(gy),
            ge.contiguous().numpy(),
            _real(gu),
            _real(gh),
            gw.numpy(),
        )
        return gu, gh, gw.sum(1), None


def apply_response(u: Tensor, h: Tensor, wet: Tensor, n_fft: int) -> tuple[Tensor, Tensor]:
    """Filter spectra and mix with the dry ones.

    Args:
        u: spectra, [nodes, 2, bins].
        h: responses, real or complex, [nodes, 1 or 2, bins].
        wet: dry/wet weights, [nodes].
        n_fft: FFT length of the bins.

    Returns:
        The filtered spectra [nodes, 2, bins], and the energies (wet, dry) of the mid channel [nodes, 2].
    """
    wet = wet.to(u.real.dtype)
    weights = parseval_weights(n_fft).to(wet)
    if u.device.type == "cpu":
        return _ApplyResponse.apply(u, h, wet, weights)
    return _apply_by_tensors(u, h, wet, weights)


def _apply_by_tensors(u: Tensor, h: Tensor, wet: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The same by tensor operations, on any device."""
    v = u * h
    y = torch.lerp(torch.view_as_real(u), torch.view_as_real(v), wet[:, None, None, None])
    mids = torch.stack([v.mean(1), u.mean(1)], dim=1)
    energy = (torch.view_as_real(mids).square().sum(-1) * weights).sum(-1)
    return torch.view_as_complex(y), energy
