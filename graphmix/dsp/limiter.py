r"""A look-ahead limiter in one compiled pass forward and one backward.

With the peak :math:`p` of both channels, the ceiling :math:`c`, a look-ahead of :math:`L` samples, :math:`H = \lceil L
\rceil`, and a release coefficient :math:`\alpha`, in nepers (natural logarithms of amplitudes):

.. math::

    d[n] = \max(0, \ln p[n] - \ln c), \quad m[n] = \max_{0 \leq k \leq H} d[n + k], \quad
    s[n] = \max(m[n], \alpha \, s[n - 1])

    y[n] = u[n] \exp\Big(-\frac{1}{1 + L} \Big(\sum_{k=0}^{H-1} s[n - k] + (1 + L - H) \, s[n - H]\Big)\Big)

Every *s* of the mean is at least *d[n]*, so no sample passes the ceiling. The recursion, the running sums and their
adjoints are float64 whatever the signal is. What is kept for the backward pass is *s*, and for each of its samples
which input sample it comes from.
"""

import math
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from graphmix.dsp.powers import FASTMATH, exp2

OCTAVES_PER_NEPER = 1 / math.log(2)
_DECAYED = -1
"""In place of an input sample: the reduction is a share of the one before it."""
_FORGOTTEN = 1e-200
"""A reduction below it is none: subnormal numbers are slow."""


class Limiting(NamedTuple):
    """Settings of limiters, [nodes] each.

    Args:
        ceiling: natural logarithm of the largest amplitude that passes.
        lookahead: in samples, 0 or more.
        release: one-pole coefficient in [0, 1) by which the reduction decays.
    """

    ceiling: Tensor
    lookahead: Tensor
    release: Tensor

    @property
    def reach(self) -> int:
        """Whole samples that the furthest look ahead of them needs."""
        return math.ceil(float(self.lookahead.detach().max())) if self.lookahead.numel() else 0


@numba.njit(cache=True, error_model="numpy")
def _reductions(
    u: np.ndarray, log_ceiling: float, reach: int, release: float, resumes: bool, s: np.ndarray, source: np.ndarray
) -> None:
    """Fill ``s``, whose column of sample 0 is the last but ``samples``, and where each value comes from.

    Where the signal begins, the samples before it are computed as well; else they are there already.
    """
    samples = u.shape[1]
    first = s.size - samples
    ceiling = math.exp(log_ceiling)
    queue = np.empty(samples + 1, np.int64)  # samples of falling peaks, the largest of the window first
    peaks = np.empty(samples)
    for k in range(samples):
        peaks[k] = max(abs(np.float64(u[0, k])), abs(np.float64(u[1, k])))
    head, tail, known, over = 0, 0, -1, 0.0  # what is known is the logarithm of a peak that stays the largest
    for n in range(-reach, samples):
        k = n + reach  # enters the window
        if k < samples and peaks[k] > ceiling:
            while tail > head and peaks[queue[tail - 1]] <= peaks[k]:
                tail -= 1
            queue[tail] = k
            tail += 1
        while tail > head and queue[head] < n:
            head += 1
        if n < 0 and resumes:
            continue
        column = first + n
        decayed = release * s[column - 1]
        if tail > head and queue[head] != known:
            known = queue[head]
            over = math.log(peaks[known]) - log_ceiling
        if tail > head and over > 0.0 and over >= decayed:
            s[column], source[column] = over, known
        else:
            s[column] = decayed if decayed > _FORGOTTEN else 0.0
            source[column] = _DECAYED


@numba.njit(cache=True, error_model="numpy")
def _find_means(s: np.ndarray, first: int, lookahead: float, means: np.ndarray) -> None:
    """What the gains are the exponentials of."""
    reach = math.ceil(lookahead)
    if not reach:
        means[:] = s[first : first + means.size]
        return
    oldest, share, whole = 1.0 + lookahead - reach, 1.0 / (1.0 + lookahead), 0.0
    for k in range(1, reach):
        whole += s[first - k]  # of all in the window but the oldest
    for n in range(means.size):
        column = first + n
        whole += s[column]
        means[n] = (whole + oldest * s[column - reach]) * share
        whole -= s[column - reach + 1]


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _find_gains(means: np.ndarray, gains: np.ndarray) -> None:
    """Of what rounding leaves of a sum that has ended, 1; in the precision of the gains."""
    real = gains.dtype.type
    for n in range(gains.size):
        octaves = real(-OCTAVES_PER_NEPER * means[n])
        gains[n] = exp2(octaves) if means[n] > 1e-12 else real(1)


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(
    u: np.ndarray, settings: np.ndarray, resumes: bool, y: np.ndarray, s: np.ndarray, source: np.ndarray
) -> None:
    samples = u.shape[2]
    for i in numba.prange(u.shape[0]):
        lookahead = settings[i, 1]
        reach = math.ceil(lookahead)
        _reductions(u[i], settings[i, 0], reach, settings[i, 2], resumes, s[i], source[i])
        first = s.shape[1] - samples
        means, gains = np.empty(samples), np.empty(samples, u.dtype)
        _find_means(s[i], first, lookahead, means)
        _find_gains(means, gains)
        for channel in range(2):
            for n in range(samples):
                y[i, channel, n] = gains[n] * u[i, channel, n]


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(
    u: np.ndarray,
    settings: np.ndarray,
    s: np.ndarray,
    source: np.ndarray,
    gy: np.ndarray,
    gu: np.ndarray,
    grad_settings: np.ndarray,
) -> None:
    samples = u.shape[2]
    for i in numba.prange(u.shape[0]):
        lookahead, release = settings[i, 1], settings[i, 2]
        reach = math.ceil(lookahead)
        oldest = 1.0 + lookahead - reach if reach else 1.0
        columns = s.shape[1]
        first = columns - samples
        of_mean = np.zeros(samples)  # adjoint of what the gain is the exponential of
        of_lookahead, of_release, of_ceiling = 0.0, 0.0, 0.0
        means, gains = np.empty(samples), np.empty(samples, u.dtype)
        _find_means(s[i], first, lookahead, means)
        _find_gains(means, gains)
        for n in range(samples):
            left, right = np.float64(u[i, 0, n]), np.float64(u[i, 1, n])
            of_mean[n] = -gains[n] * (left * gy[i, 0, n] + right * gy[i, 1, n]) / (1.0 + lookahead)
            gu[i, 0, n], gu[i, 1, n] = gains[n] * gy[i, 0, n], gains[n] * gy[i, 1, n]
        if reach:
            for n in range(samples):
                of_lookahead += of_mean[n] * (s[i, first + n - reach] - means[n])
        of_over = np.zeros(samples)
        inside, carried = 0.0, 0.0  # adjoints of the means that a reduction is in with weight one
        for column in range(columns - 1, -1, -1):
            n = column - first
            # the reduction of sample n is in the means of n to n + reach, in the last one as the oldest
            if reach:
                if n >= 0:
                    inside += of_mean[n]
                if 0 <= n + reach < samples:
                    inside -= of_mean[n + reach]
                total = inside + (oldest * of_mean[n + reach] if 0 <= n + reach < samples else 0.0) + carried
            else:
                total = (of_mean[n] if n >= 0 else 0.0) + carried
            if source[i, column] >= 0:
                of_over[source[i, column]] += total
                carried = 0.0
            else:
                before = s[i, column - 1] if column else 0.0
                of_release += total * before
                carried = release * total if s[i, column] > 0.0 else 0.0
        for n in range(samples):
            if of_over[n] != 0.0:
                of_ceiling -= of_over[n]
                left, right = np.float64(u[i, 0, n]), np.float64(u[i, 1, n])
                if abs(left) == abs(right):
                    gu[i, 0, n] += 0.5 * of_over[n] / left
                    gu[i, 1, n] += 0.5 * of_over[n] / right
                elif abs(left) > abs(right):
                    gu[i, 0, n] += of_over[n] / left
                else:
                    gu[i, 1, n] += of_over[n] / right
        grad_settings[i, 0], grad_settings[i, 1], grad_settings[i, 2] = of_ceiling, of_lookahead, of_release


class _Limit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, settings: Tensor, reach: int, before: Tensor | None) -> tuple[Tensor, Tensor]:
        u, settings = u.contiguous(), settings.contiguous()
        nodes, _, samples = u.shape
        y = torch.empty_like(u)
        s = settings.new_zeros(nodes, reach + 1 + samples)
        source = torch.full(s.shape, _DECAYED, dtype=torch.int32)
        if before is not None:
            s[:, : reach + 1] = before
        arrays = [t.detach().numpy() for t in (u, settings)]
        _forward(*arrays, before is not None, y.numpy(), s.numpy(), source.numpy())
        ctx.save_for_backward(u, settings, s, source)
        ctx.mark_non_differentiable(s)
        return y, s

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        u, settings, s, source = ctx.saved_tensors
        gu, grad_settings = torch.empty_like(u), torch.empty_like(settings)
        arrays = [t.detach().numpy() for t in (u, settings, s, source, grads[0].contiguous(), gu, grad_settings)]
        _backward(*arrays)
        return gu, grad_settings, None, None


def limit(audio: Tensor, limiting: Limiting, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Limit a batch of signals on the CPU.

    Args:
        audio: float32 or float64, [nodes, 2, samples].
        limiting: the settings.
        before: reductions of the samples before the first, [nodes, reach + 1]; None where the signal begins.

    Returns:
        The signals, and the reductions *s* in nepers, [nodes, reach + 1 + samples], the last sample's last; they have
        no gradient.
    """
    settings = torch.stack([setting.double() for setting in limiting], dim=1)
    return _Limit.apply(audio, settings, limiting.reach, before)


def limit_by_tensors(audio: Tensor, limiting: Limiting) -> Tensor:
    """The same as tensor operations, for any device.

    The recursion is a maximum over the past, :math:`s[n] = \\max_k \\alpha^k m[n - k]`, and in logarithms, less what
    decays anyway, a cumulative maximum.
    """
    if not audio.size(-1):
        return audio.clone()
    reach, double = limiting.reach, audio.double()
    ceiling, lookahead, release = (setting.double()[:, None] for setting in limiting)
    peak = double.abs().amax(1)
    over = (peak.clamp(min=torch.finfo(torch.float64).tiny).log() - ceiling).clamp(min=0)
    steps = torch.arange(reach + 1, device=audio.device)
    ahead = torch.nn.functional.pad(over, (reach, reach)).unfold(-1, reach + 1, 1)
    within = steps <= lookahead.detach().ceil()
    largest = torch.where(within[:, None], ahead, 0.0).amax(-1)  # of samples -reach, ...
    decay = release.clamp(min=torch.finfo(torch.float64).tiny).log()
    place = torch.arange(largest.size(-1), device=audio.device)
    logs = largest.clamp(min=_FORGOTTEN).log() - place * decay
    s = (logs.cummax(-1).values + place * decay).exp()
    s = torch.where(s > 2 * _FORGOTTEN, s, 0.0)
    weights = (1 + lookahead - steps).clamp(0, 1)  # of s[n - k]
    mean = (s.unfold(-1, reach + 1, 1).flip(-1) * weights[:, None]).sum(-1) / (1 + lookahead)
    return (double * (-mean).exp()[:, None]).to(audio)
