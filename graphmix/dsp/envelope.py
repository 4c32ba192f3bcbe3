"""Energy envelopes: the exact one-pole recursion, with one smoothing constant or one for each direction.

.. math:: g[n] = \\alpha[n] g[n-1] + (1 - \\alpha[n]) x[n], \\quad
    \\alpha[n] = \\alpha_{att} \\text{ if } x[n] > g[n-1] \\text{ else } \\alpha_{rel}

which is equations 16 and 17 of the pruning paper (there the test reads g[n] > g[n-1], the same thing). The
paper replaces the recursion by a long FIR for the sake of a GPU (equations 18 and 19); here it is exact. On
the CPU it is a compiled loop, forward and backward; on a GPU, where both constants are equal, two matrix
products.

Conventions: rows are independent, ``[rows, samples]``, and start from silence (g[-1] = 0). Coefficients and
the recursion's state are float64 whatever the signal is: next to 1, float32 knows a coefficient to 3e-8 only,
a wrong time constant by 0.2 % for two seconds at 30 kHz, and a float32 state stops moving before it arrives.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor


@numba.njit(parallel=True, cache=True, fastmath=True)
def _smooth(x: np.ndarray, attack: np.ndarray, release: np.ndarray, out: np.ndarray) -> None:
    for row in numba.prange(x.shape[0]):
        a, r = attack[row], release[row]
        g = 0.0
        for n in range(x.shape[1]):
            alpha = a if x[row, n] > g else r
            g = x[row, n] + alpha * (g - x[row, n])
            out[row, n] = g


@numba.njit(parallel=True, cache=True, fastmath=True)
def _smooth_backward(
    x: np.ndarray,
    attack: np.ndarray,
    release: np.ndarray,
    g: np.ndarray,
    grad: np.ndarray,
    grad_x: np.ndarray,
    grad_attack: np.ndarray,
    grad_release: np.ndarray,
) -> None:
    for row in numba.prange(x.shape[0]):
        a, r = attack[row], release[row]
        carried = 0.0
        sum_attack, sum_release = 0.0, 0.0
        for n in range(x.shape[1] - 1, -1, -1):
            before = g[row, n - 1] if n > 0 else 0.0
            adjoint = grad[row, n] + carried
            rising = x[row, n] > before
            alpha = a if rising else r
            carried = alpha * adjoint
            grad_x[row, n] = adjoint - carried
            if rising:
                sum_attack += adjoint * (before - x[row, n])
            else:
                sum_release += adjoint * (before - x[row, n])
        grad_attack[row] = sum_attack
        grad_release[row] = sum_release


class _Smooth(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, attack: Tensor, release: Tensor) -> Tensor:
        x, attack, release = x.contiguous(), attack.contiguous(), release.contiguous()
        out = torch.empty_like(x)
        _smooth(x.detach().numpy(), attack.detach().numpy(), release.detach().numpy(), out.numpy())
        ctx.save_for_backward(x, attack, release, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, attack, release, out = ctx.saved_tensors
        results = torch.empty_like(x), torch.empty_like(attack), torch.empty_like(release)
        arrays = [t.detach().numpy() for t in (x, attack, release, out, grads[0].contiguous(), *results)]
        _smooth_backward(*arrays)
        return results


def _toeplitz(alpha: Tensor, size: int) -> Tensor:
    """Lower-triangular powers ``alpha ** (i - j)``, [rows, size, size]."""
    lag = torch.arange(size, device=alpha.device)
    exponent = (lag[:, None] - lag[None, :]).clamp(min=0).to(alpha.dtype)
    return (alpha[:, None, None] ** exponent).tril()


def one_pole_scan(x: Tensor, alpha: Tensor) -> Tensor:
    """One-pole smoothing by two levels of matrix products: exact, and parallel in time.

    Within blocks of about sqrt(samples) the recursion is one triangular matrix; the states at block ends obey
    the same recursion with ``alpha ** block``. For a GPU; on a CPU the loop is faster.
    """
    rows, samples = x.shape
    alpha = alpha.double()
    block = max(1, int(np.ceil(np.sqrt(samples))))
    padded = torch.nn.functional.pad(x, (0, block * block - samples)).view(rows, block, block)
    inside = padded @ ((1 - alpha)[:, None, None] * _toeplitz(alpha, block).mT).to(x.dtype)
    ends = inside[:, :, -1:]
    carried = _toeplitz(alpha**block, block).to(x.dtype) @ ends
    before = torch.cat([torch.zeros_like(carried[:, :1]), carried[:, :-1]], dim=1)
    decay = (alpha[:, None] ** torch.arange(1, block + 1, device=x.device)).to(x.dtype)
    return (inside + before * decay[:, None, :]).view(rows, -1)[:, :samples]


def smooth(x: Tensor, attack: Tensor, release: Tensor | None = None) -> Tensor:
    """Smoothed signal by the recursion above.

    Args:
        x: [rows, samples], usually an energy.
        attack: coefficient in [0, 1) where the input rises above the envelope, [rows].
        release: the same where it does not, [rows]; as ``attack`` if not given.

    Shape:
        [rows, samples]
    """
    if x.device.type == "cpu":
        return _Smooth.apply(x, attack, attack if release is None else release)
    if release is None:
        return one_pole_scan(x, attack)
    # Two constants make the recursion nonlinear, which no scan computes: it runs on the host.
    return _Smooth.apply(x.cpu(), attack.cpu(), release.cpu()).to(x.device)


def coefficient(time_ms: Tensor, sample_rate: int) -> Tensor:
    """One-pole coefficient whose step response reaches 1 - 1/e after ``time_ms``, in float64."""
    return torch.exp(-1000.0 / (time_ms.double() * sample_rate))
