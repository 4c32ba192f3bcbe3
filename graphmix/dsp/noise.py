"""Noise shaped by an exponential mask on its STFT, as a stereo response (equations 14 and 15 of the pruning paper).

.. math:: M_x[k, m] = \\exp(H^0_x[k] + m H^\\Delta_x[k]), \\quad x \\in \\{\\mathrm{mid}, \\mathrm{side}\\}

Conventions: frames of an even length, half of it the hop, the first centered at time zero; levels in nepers, decays
in nepers a frame. On the CPU the mask, the overlap-add and their gradients are compiled passes around one batched
FFT, for a few nodes at a time, and the mask is a product of two short tables; elsewhere all are tensor operations.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_BLOCK = 16
"""The mask of frame ``_BLOCK * b + j`` is that of frame ``_BLOCK * b`` times j frames of decay."""
NODES_AT_ONCE = 8
"""Nodes at a time: bounds the memory for their frames, which are 4 times as long as a response."""


@numba.njit(parallel=True, cache=True, fastmath=True)
def _mask(noise: np.ndarray, coarse: np.ndarray, fine: np.ndarray, spectra: np.ndarray) -> None:
    """noise [2, frames, 2 bins] times the mask coarse [.., blocks, 2 bins] * fine [.., _BLOCK, 2 bins]."""
    nodes, _, frames, width = spectra.shape
    blocks = coarse.shape[2]
    for job in numba.prange(nodes * 2 * blocks):
        i, x, block = job // (2 * blocks), job // blocks % 2, job % blocks
        level = coarse[i, x, block]
        for j in range(min(_BLOCK, frames - block * _BLOCK)):
            source, decay = noise[x, block * _BLOCK + j], fine[i, x, j]
            out = spectra[i, x, block * _BLOCK + j]
            for k in range(width):
                out[k] = source[k] * (level[k] * decay[k])


@numba.njit(parallel=True, cache=True, fastmath=True)
def _mask_backward(noise: np.ndarray, coarse: np.ndarray, fine: np.ndarray, grad: np.ndarray, sums: np.ndarray) -> None:
    """sums [nodes, 2, 2, 2 bins]: of the gradient by the mask's logarithm, and of that times its frame."""
    nodes, _, frames, width = grad.shape
    blocks = coarse.shape[2]
    for row in numba.prange(nodes * 2):
        i, x = row // 2, row % 2
        total, moment = np.zeros(width), np.zeros(width)
        block_total, block_moment = np.zeros(width, grad.dtype), np.zeros(width, grad.dtype)
        for block in range(blocks):
            block_total[:] = 0
            block_moment[:] = 0
            for j in range(min(_BLOCK, frames - block * _BLOCK)):
                source, decay = noise[x, block * _BLOCK + j], fine[i, x, j]
                slope, frame = grad[i, x, block * _BLOCK + j], grad.dtype.type(j)
                for k in range(width):
                    product = slope[k] * (source[k] * decay[k])
                    block_total[k] += product
                    block_moment[k] += frame * product
            level = coarse[i, x, block]
            for k in range(width):
                total[k] += level[k] * block_total[k]
                moment[k] += level[k] * (block_moment[k] + float(block * _BLOCK) * block_total[k])
        sums[i, x, 0] = total
        sums[i, x, 1] = moment


@numba.njit(parallel=True, cache=True, fastmath=True)
def _overlap_add(frames: np.ndarray, rise: np.ndarray, fall: np.ndarray, stereo: np.ndarray) -> None:
    """Halves of two frames make a hop; rise and fall are [2, hop], their second row for the last hop."""
    nodes, _, count, size = frames.shape
    hop, samples = size // 2, stereo.shape[2]
    for job in numba.prange(nodes * count):
        i, m = job // count, job % count
        last = m + 1 == count
        up, down = rise[int(last)], fall[int(last)]
        after = m if last else m + 1
        mid_old, side_old = frames[i, 0, m, hop:], frames[i, 1, m, hop:]
        mid_new, side_new = frames[i, 0, after], frames[i, 1, after]
        left, right = stereo[i, 0, m * hop :], stereo[i, 1, m * hop :]
        for t in range(min(hop, samples - m * hop)):
            mid = down[t] * mid_old[t] + up[t] * mid_new[t]
            side = down[t] * side_old[t] + up[t] * side_new[t]
            left[t] = mid + side
            right[t] = mid - side


@numba.njit(parallel=True, cache=True, fastmath=True)
def _overlap_add_backward(grad: np.ndarray, rise: np.ndarray, fall: np.ndarray, frames: np.ndarray) -> None:
    nodes, _, count, size = frames.shape
    hop, samples = size // 2, grad.shape[2]
    for job in numba.prange(nodes * count):
        i, m = job // count, job % count
        down = fall[int(m + 1 == count)]
        frames[i, 0, m] = 0
        frames[i, 1, m] = 0
        if m > 0:
            mid, side = frames[i, 0, m], frames[i, 1, m]
            left, right = grad[i, 0, (m - 1) * hop :], grad[i, 1, (m - 1) * hop :]
            for t in range(hop):
                mid[t] = rise[0, t] * (left[t] + right[t])
                side[t] = rise[0, t] * (left[t] - right[t])
        mid, side = frames[i, 0, m, hop:], frames[i, 1, m, hop:]
        left, right = grad[i, 0, m * hop :], grad[i, 1, m * hop :]
        for t in range(min(hop, samples - m * hop)):
            mid[t] = down[t] * (left[t] + right[t])
            side[t] = down[t] * (left[t] - right[t])


def _halves(window: Tensor) -> tuple[Tensor, Tensor]:
    """Synthesis window over the summed squares of analysis and synthesis: rising half and falling half, [2, hop].

    The second row is for the last hop, where no frame rises any more.
    """
    up, down = window.chunk(2)
    power = up.square() + down.square()
    return torch.stack([up / power, 0 * up]), torch.stack([down / power, 1 / down])


def _tables(initial: Tensor, decay: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """The mask at every block's start, and its decay within a block; each bin twice, for real and imaginary part."""
    blocks = -(-frames // _BLOCK)
    start = torch.arange(0, blocks * _BLOCK, _BLOCK, dtype=initial.dtype)
    inside = torch.arange(_BLOCK, dtype=initial.dtype)
    coarse = torch.addcmul(initial[:, :, None], decay[:, :, None], start[:, None]).exp()
    fine = (decay[:, :, None] * inside[:, None]).exp()
    return _twice(coarse), _twice(fine)


def _twice(bands: Tensor) -> Tensor:
    """Real and imaginary part of each bin, [..., bands] -> [..., 2 * (bands + 1)]; the highest as the one below."""
    return torch.cat([bands, bands[..., -1:]], dim=-1).repeat_interleave(2, dim=-1)


def _parts(spectrum: Tensor) -> np.ndarray:
    """Real and imaginary parts side by side, [..., 2 * bins]."""
    return torch.view_as_real(spectrum).flatten(-2).numpy()


class _MaskedNoise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, initial: Tensor, decay: Tensor, noise: Tensor, window: Tensor, samples: int) -> Tensor:
        ctx.save_for_backward(initial, decay, noise, window)
        nodes, size = initial.size(0), window.size(0)
        rise, fall = (half.numpy() for half in _halves(window))
        coarse, fine = (table.numpy() for table in _tables(initial, decay, noise.size(1)))
        stereo = initial.new_empty(nodes, 2, samples)
        spectra = noise.new_empty(min(nodes, NODES_AT_ONCE), *noise.shape)
        for some in (slice(at, at + NODES_AT_ONCE) for at in range(0, nodes, NODES_AT_ONCE)):
            part = spectra[: len(coarse[some])]
            _mask(_parts(noise), coarse[some], fine[some], _parts(part))
            _overlap_add(torch.fft.irfft(part, n=size).numpy(), rise, fall, stereo[some].numpy())
        return stereo

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        initial, decay, noise, window = ctx.saved_tensors
        nodes, size = initial.size(0), window.size(0)
        rise, fall = (half.numpy() for half in _halves(window))
        coarse, fine = (table.numpy() for table in _tables(initial, decay, noise.size(1)))
        grad = grads[0].contiguous()
        frames = grad.new_empty(min(nodes, NODES_AT_ONCE), *noise.shape[:2], size)
        sums = torch.empty(nodes, 2, 2, 2 * noise.size(2), dtype=torch.float64)
        for some in (slice(at, at + NODES_AT_ONCE) for at in range(0, nodes, NODES_AT_ONCE)):
            part = frames[: len(coarse[some])]
            _overlap_add_backward(grad[some].numpy(), rise, fall, part.numpy())
            spectra = _parts(torch.fft.rfft(part))
            _mask_backward(_parts(noise), coarse[some], fine[some], spectra, sums[some].numpy())
        by_bin = sums.unflatten(-1, (-1, 2)).sum(-1) * (2 / size)
        by_bin[..., [0, -1]] /= 2
        by_bin[..., -2] += by_bin[..., -1]
        by_initial, by_decay = by_bin[..., :-1].to(initial.dtype).unbind(2)
        return by_initial, by_decay, None, None, None


def by_tensors(initial: Tensor, decay: Tensor, noise: Tensor, window: Tensor, samples: int) -> Tensor:
    """The same by tensor operations, on any device."""
    frame = torch.arange(noise.size(1), device=initial.device, dtype=initial.dtype)
    mask = torch.addcmul(initial[:, :, None], decay[:, :, None], frame[:, None]).exp()
    mask = torch.cat([mask, mask[..., -1:]], dim=-1)
    new, old = torch.fft.irfft(noise * mask, n=window.size(0)).chunk(2, dim=-1)
    rise, fall = _halves(window)
    hops = old * torch.cat([fall[:1].expand(noise.size(1) - 1, -1), fall[1:]])
    hops[:, :, :-1] += new[:, :, 1:] * rise[0]  # torch.istft would do as much, but looks at its window on the host
    mid, side = hops.flatten(-2)[..., :samples].unbind(1)
    return torch.stack([mid + side, mid - side], dim=1)


def masked_noise(initial: Tensor, decay: Tensor, noise: Tensor, window: Tensor, samples: int) -> Tensor:
    """Left and right response from the masked STFT of mid and side noise.

    Args:
        initial: level at time zero of mid and side in nepers, [nodes, 2, bands].
        decay: its change from frame to frame, zero or less, [nodes, 2, bands].
        noise: STFT of mid and side, [2, frames, bands + 1]; its highest bin takes the mask of the one below.
        window: of analysis and synthesis, [2 * bands].
        samples: of the response; the frames are ``1 + samples // bands``.

    Shape:
        [nodes, 2, samples]
    """
    noise, window = noise.to(initial.dtype.to_complex()).contiguous(), window.to(initial.dtype)
    if initial.device.type == "cpu":
        return _MaskedNoise.apply(initial, decay, noise, window, samples)
    return by_tensors(initial, decay, noise, window, samples)
