r"""Play operators: mechanical backlash, of which a material's hysteresis is a sum (Prandtl and Ishlinskii).

.. math:: p[n] = \min(\max(p[n - 1],\ x[n] - w),\ x[n] + w), \quad p[-1] = 0

The output stays where it is as long as the input moves within a gap of width 2 w, and is dragged along else. It knows
no time: only the turning points of the input matter. Here the mean over operators of several widths, as one compiled
loop forward and one backward; the recursion only compares, so it is exact in the precision of the signal.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_STAYS, _RISES, _FALLS = 0, 1, 2


@numba.njit(parallel=True, cache=True)
def _forward(x: np.ndarray, widths: np.ndarray, state: np.ndarray, cases: np.ndarray, out: np.ndarray) -> None:
    """``cases`` [rows, operators, samples] say what each did, or are empty; ``state`` [rows, operators] goes on."""
    operators = widths.shape[1]
    for row in numba.prange(x.shape[0]):
        out[row] = 0
        for k in range(operators):
            p, w = state[row, k], widths[row, k]
            for n in range(x.shape[1]):
                case = _STAYS
                if x[row, n] - w > p:
                    p, case = x[row, n] - w, _RISES
                elif x[row, n] + w < p:
                    p, case = x[row, n] + w, _FALLS
                out[row, n] += p / operators
                if cases.size > 0:
                    cases[row, k, n] = case
            state[row, k] = p


@numba.njit(parallel=True, cache=True)
def _backward(grad: np.ndarray, cases: np.ndarray, to_x: np.ndarray, to_widths: np.ndarray) -> None:
    operators = cases.shape[1]
    for row in numba.prange(grad.shape[0]):
        to_x[row] = 0
        for k in range(operators):
            carried, of_width = 0.0, 0.0
            for n in range(grad.shape[1] - 1, -1, -1):
                carried += grad[row, n] / operators
                case = cases[row, k, n]
                if case != _STAYS:
                    to_x[row, n] += carried
                    of_width += carried if case == _FALLS else -carried
                    carried = 0.0
            to_widths[row, k] = of_width


class _Play(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, widths: Tensor, state: Tensor) -> Tensor:
        x, widths = x.detach().contiguous(), widths.detach().contiguous()
        kept = any(ctx.needs_input_grad)
        cases = torch.empty((*widths.shape, x.size(1)) if kept else (0, 0, 0), dtype=torch.uint8)
        out = torch.empty_like(x)
        _forward(*(t.numpy() for t in (x, widths, state, cases, out)))
        ctx.save_for_backward(cases, widths)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        cases, widths = ctx.saved_tensors
        grad = grad.contiguous()
        to_x, to_widths = torch.empty_like(grad), torch.empty_like(widths)
        _backward(*(t.numpy() for t in (grad, cases, to_x, to_widths)))
        return to_x, to_widths, None


def play(x: Tensor, widths: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The mean of play operators.

    Args:
        x: [rows, samples].
        widths: half of each gap, 0 or more, [rows, operators].
        state: where the operators are before the first sample, [rows, operators]; at 0 if not given.

    Returns:
        [rows, samples] on the device of ``x``, with gradients of signal and widths; and the state behind it.
    """
    state = widths.detach().new_zeros(widths.shape) if state is None else state
    state = state.to("cpu", x.dtype, copy=True).contiguous()
    out = _Play.apply(x.cpu(), widths.to("cpu", x.dtype), state)
    assert isinstance(out, Tensor)
    return out.to(x.device), state.to(x.device)
