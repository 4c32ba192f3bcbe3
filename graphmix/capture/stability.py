"""Whether a network that is fed its own output stays with the device, or oscillates about it.

Running freely, an error enters the next window and may grow; fed the device's outputs (teacher forcing), it cannot. So
the two errors are compared, window by window, on one recording. Errors are mean absolute errors relative to the mean
level of the device's output over the whole recording.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.models.effects.feedback import FeedbackEffect

WINDOW_SECONDS = 0.1
UNSTABLE_ERROR = 0.2
"""Error of a window from which on it counts as unstable: a fifth of the mean level."""
UNSTABLE_GROWTH = 5.0
"""Free running, an unstable window's error is at least so many times that of teacher forcing."""
RANGE = 3.0
"""An output beyond so many times the device's peak is unstable, whatever the errors."""
_CHUNK = 1 << 14


@dataclass(frozen=True)
class FreeRun:
    """A network running freely beside the device.

    Args:
        output: of the network, [samples].
        errors: of each window, relative to the device's mean level.
        forced: the same where the network is fed the device's outputs.
        peak: largest magnitude of the output, relative to the device's.
        window_seconds: how long a window is.
    """

    output: NDArray[np.float32]
    errors: NDArray[np.float64]
    forced: NDArray[np.float64]
    peak: float
    window_seconds: float

    @property
    def unstable_windows(self) -> NDArray[np.bool_]:
        """Windows in which the output oscillates, or is not a number."""
        far = ~(self.errors < UNSTABLE_ERROR)
        return far & ~(self.errors < UNSTABLE_GROWTH * self.forced)

    @property
    def unstable(self) -> bool:
        """Some window is unstable, or the output leaves the range."""
        return bool(self.unstable_windows.any()) or not self.peak < RANGE

    @property
    def unstable_from(self) -> float | None:
        """Seconds before the first unstable window."""
        found = np.flatnonzero(self.unstable_windows)
        return float(found[0] * self.window_seconds) if found.size else None

    @property
    def error(self) -> float:
        """Of the whole run."""
        return float(self.errors.mean())


def radius_at_rest(model: FeedbackEffect) -> float:
    r"""By how much an error grows with each sample, about silence: above 1 it does not die away.

    The network, linearised there, is :math:`e[n] = \sum_k c_k e[n-k]`; this is the largest root of
    :math:`1 - \sum_k c_k z^{-k}`.
    """
    m, controls = model.config.window, len(model.config.controls)
    silence = next(model.parameters()).new_zeros(1, 2 * m - 1 + controls).requires_grad_()
    with torch.enable_grad():
        (slopes,) = torch.autograd.grad(model.decode(model.network(silence)).sum(), silence)
    past = slopes[0, m : 2 * m - 1].double().numpy()[::-1]
    return float(np.abs(np.roots(np.concatenate([[1.0], -past]))).max(initial=0.0))


@torch.no_grad()
def free_run(model: FeedbackEffect, dry: Tensor, wet: Tensor, every: int = 1) -> FreeRun:
    """Run a network freely, and by teacher forcing, on a recording.

    Args:
        model: without controls, or at their neutral setting.
        dry: [samples], whole windows of it count.
        wet: the device's output, [samples].
        every: teacher forcing is measured in each so many-th window, and taken for the same until the next.
    """
    model.eval()
    width = round(WINDOW_SECONDS * model.config.sample_rate)
    count = dry.numel() // width
    dry, wet = dry[: count * width], wet[: count * width]
    level = float(wet.abs().double().mean())
    output = model(dry[None])[0]
    errors = (output - wet).abs().double().view(count, width).mean(1).numpy() / level
    forced = np.empty(count)
    for i in range(0, count, every):
        forced[i : i + every] = _forced_error(model, dry, wet, i * width, (i + 1) * width) / level
    peak = float(output.abs().max() / wet.abs().max())
    return FreeRun(output.numpy(), errors, forced, peak, WINDOW_SECONDS)


def _forced_error(model: FeedbackEffect, dry: Tensor, wet: Tensor, begin: int, end: int) -> float:
    """Mean absolute error of the samples from ``begin`` to ``end`` by teacher forcing."""
    reach, total = model.config.window - 1, 0.0
    for start in range(begin, end, _CHUNK):
        stop = min(start + _CHUNK, end)
        pieces = [
            torch.nn.functional.pad(a[max(0, start - reach) : stop], (max(0, reach - start), 0)) for a in (dry, wet)
        ]
        out = model.expand(model.decode(model.teacher_forcing(pieces[0][None], pieces[1][None])))[0]
        total += float((out - wet[start:stop]).abs().double().sum())
    return total / (end - begin)
