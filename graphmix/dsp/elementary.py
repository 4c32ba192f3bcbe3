r"""Powers of two and sines for compiled loops, written so that the compiler turns a loop of them into vector code.

The functions of the C library are calls, one sample each. These are polynomials, exact to a few units in the last place
of their argument's type:

* :math:`2^x = 2^{k} \, e^{f \ln 2}` with *k* the nearest integer and the exponential's series, to order 12 in float64
  and 7 in float32;
* :math:`\sin 2 \pi p` of a phase in periods, brought to a quarter of a period, with the sine's series to order 21, in
  float32 to 13.

They stay exact where a loop is compiled with sums in any order (:data:`SUMS`).
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

SUMS = {"reassoc", "nsz", "contract"}
"""Of numba's ``fastmath``: what lets a sum over samples be computed in vectors."""
_LN_2 = math.log(2)
_E = tuple(_LN_2**k / math.factorial(k) for k in range(13))
_S = tuple((-1) ** k * (2 * math.pi) ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(11))
_E32, _S32 = tuple(np.float32(e) for e in _E[:8]), tuple(np.float32(s) for s in _S[:7])
_HALF32 = np.float32(0.5)
_LAYOUT = {types.float64: (64, 1023, 52), types.float32: (32, 127, 23)}
"""Of a number: its bits, what is added to its exponent, where that begins."""


@intrinsic
def _power(typing: Any, k: Any) -> Any:
    """2 to the power of a whole number: moved into the exponent of another one."""
    bits, offset, begin = _LAYOUT[k]

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(bits)
        whole = builder.fptosi(args[0], ir.IntType(32))
        whole = builder.sext(whole, wide) if bits > 32 else whole
        exponent = builder.shl(builder.add(whole, ir.Constant(wide, offset)), ir.Constant(wide, begin))
        return builder.bitcast(exponent, context.get_data_type(k))

    return k(k), generate


def _exp2(x: Any) -> Any:
    """As :func:`exp2`, for each type of its argument."""


@overload(_exp2, inline="always")
def _exp2_of(x: Any) -> Callable[[Any], Any]:
    def of64(x: Any) -> Any:
        k = np.floor(x + 0.5)
        f = x - k
        low = _E[0] + f * (_E[1] + f * (_E[2] + f * (_E[3] + f * (_E[4] + f * _E[5]))))
        high = _E[6] + f * (_E[7] + f * (_E[8] + f * (_E[9] + f * (_E[10] + f * (_E[11] + f * _E[12])))))
        f3 = f * f * f
        return (low + f3 * f3 * high) * _power(k)

    def of32(x: Any) -> Any:
        k = np.floor(x + _HALF32)
        f = x - k
        low = _E32[0] + f * (_E32[1] + f * (_E32[2] + f * _E32[3]))
        high = _E32[4] + f * (_E32[5] + f * (_E32[6] + f * _E32[7]))
        f2 = f * f
        return (low + f2 * f2 * high) * _power(k)

    return of32 if x == types.float32 else of64


@numba.njit(cache=True, error_model="numpy", inline="always")
def exp2(x: Any) -> Any:
    """2 to the power of x, for x between -1000 and 1000, or -125 and 125 in float32."""
    return _exp2(x)


def _exp2_like(x: float, like: Any) -> Any:
    """As :func:`exp2_like`, for each type of its second argument."""


@overload(_exp2_like, inline="always")
def _exp2_like_of(x: float, like: Any) -> Callable[[float, Any], float]:
    def exact(x: float, like: Any) -> float:
        return exp2(x)

    def short(x: float, like: Any) -> float:
        k = np.floor(x + 0.5)
        f = x - k
        low = _E[0] + f * (_E[1] + f * (_E[2] + f * (_E[3] + f * _E[4])))
        high = _E[5] + f * (_E[6] + f * (_E[7] + f * _E[8]))
        f2 = f * f
        return (low + f * f2 * f2 * high) * _power(k)

    return short if like == types.float32 else exact


@numba.njit(cache=True, error_model="numpy", inline="always")
def exp2_like(x: float, like: Any) -> float:
    """2 to the power of a float64; to 2e-10, if ``like`` is a float32, as x is then no more exact than that."""
    return _exp2_like(x, like)


def _quarter(r: Any) -> Any:
    """As :func:`quarter_sine`, for each type of its argument."""


@overload(_quarter, inline="always")
def _quarter_of(r: Any) -> Callable[[Any], Any]:
    def of64(r: Any) -> Any:
        s = r * r
        low = _S[0] + s * (_S[1] + s * (_S[2] + s * (_S[3] + s * _S[4])))
        high = _S[5] + s * (_S[6] + s * (_S[7] + s * (_S[8] + s * (_S[9] + s * _S[10]))))
        s2 = s * s
        return r * (low + s2 * s2 * s * high)

    def of32(r: Any) -> Any:
        s = r * r
        low = _S32[0] + s * (_S32[1] + s * _S32[2])
        high = _S32[3] + s * (_S32[4] + s * (_S32[5] + s * _S32[6]))
        return r * (low + s * s * s * high)

    return of32 if r == types.float32 else of64


@numba.njit(cache=True, error_model="numpy", inline="always")
def quarter_sine(periods: Any) -> Any:
    """sin(2 pi p) of a phase within a quarter of a period of 0."""
    return _quarter(periods)


@numba.njit(cache=True, error_model="numpy", inline="always")
def sine(periods: float) -> float:
    """sin(2 pi p) of a phase in periods, below 2 ** 51."""
    r = periods - np.floor(periods + 0.5)
    r = 0.5 - r if r > 0.25 else (-0.5 - r if r < -0.25 else r)
    return _quarter(r)
