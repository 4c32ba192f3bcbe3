r"""Sums of products of gradients with what tables of one size give at the same places.

An oscillator reads all of its waveforms at one phase. The gradient of the amplitude of waveform *k* is

.. math:: \sum_n g[n] \sum_{m=0}^{3} c_m(t_n) \, w_k[j_n + m] = \sum_j w_k[j] \, h[j], \quad
    h[j] = \sum_{n, m: j_n + m = j} g[n] \, c_m(t_n)

with the coefficients *c* of the cubic of :mod:`graphmix.dsp.oscillator_forward` and the same *h* for all tables: it is
gathered once, four points a sample, and multiplied with each table at the end.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from graphmix.dsp.elementary import SUMS

_CUBIC = ((0.0, 1.0, 0.0, 0.0), (-0.5, 0.0, 0.5, 0.0), (1.0, -2.5, 2.0, -0.5), (-0.5, 1.5, -1.5, 0.5))
"""By power of t, from 0 on: the shares of the four points around a place in its value."""


@intrinsic
def _scatter(typing: Any, array: Any, at: Any, t: Any, given: Any) -> Any:
    """Add ``given`` to ``array[at : at + 4]`` in the shares that these have in the value at ``t``."""
    element = array.dtype

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scalar = context.get_data_type(element)
        vector = ir.VectorType(scalar, 4)

        def spread(value: Any, kind: Any) -> Any:
            value = context.cast(builder, value, kind, element)
            single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), 4), [0, 0, 0, 0])
            return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)

        place, amount = spread(args[2], t), spread(args[3], given)
        fused = ("contract",)
        shares = ir.Constant(vector, list(_CUBIC[3]))
        for row in _CUBIC[2::-1]:
            shares = builder.fadd(builder.fmul(shares, place, fused), ir.Constant(vector, list(row)), fused)
        data = make_array(array)(context, builder, args[0]).data
        index = context.cast(builder, args[1], at, types.int64)
        pointer = builder.bitcast(builder.gep(data, [index], inbounds=True), vector.as_pointer())
        align = context.get_abi_sizeof(scalar)
        held = builder.load(pointer, align=align)
        total = builder.fadd(builder.fmul(shares, amount, fused), held, fused)
        builder.store(total, pointer, align=align)
        return context.get_dummy_value()

    assert (array.layout, array.ndim) == ("C", 1), "rows are contiguous"
    return types.void(array, at, t, given), generate


@numba.njit(cache=True, error_model="numpy")
def gather(grad: np.ndarray, at: np.ndarray, t: np.ndarray, sums: np.ndarray) -> None:
    """Add gradients of some samples to those of the points of the tables around their places."""
    part = at.size // 4
    two, three, four = part, 2 * part, 3 * part
    for i in range(part):  # points of samples that follow each other overlap, and a sum would wait for the one before
        _scatter(sums, at[i], t[i], grad[i])
        _scatter(sums, at[two + i], t[two + i], grad[two + i])
        _scatter(sums, at[three + i], t[three + i], grad[three + i])
        _scatter(sums, at[four + i], t[four + i], grad[four + i])
    for i in range(4 * part, at.size):
        _scatter(sums, at[i], t[i], grad[i])


@numba.njit(cache=True, error_model="numpy")
def clear(level: np.ndarray, size: int, sums: np.ndarray, begun: np.ndarray) -> None:
    """Set the points of those levels to 0 that samples reach for the first time."""
    low, high = level[0], level[0]
    for i in range(level.size):
        low = min(low, level[i])
        high = max(high, level[i])
    for own in range(low // size, high // size + 1):
        if begun[own] == 0:
            begun[own] = 1
            sums[own * size : (own + 1) * size] = 0


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def product(table: np.ndarray, sums: np.ndarray, begun: np.ndarray) -> float:
    """Sum of products of all gradients with a table."""
    size, result = table.size // begun.size, 0.0
    for own in range(begun.size):
        if begun[own] != 0:
            part = table.dtype.type(0) * sums[0]
            points, gathered = table[own * size : (own + 1) * size], sums[own * size : (own + 1) * size]
            for j in range(size):
                part += points[j] * gathered[j]
            result += part
    return result
