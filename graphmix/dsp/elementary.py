r"""Powers of two and sines for compiled loops, written so that the compiler turns a loop of them into vector code.

The functions of the C library are calls, one sample each. These are polynomials, exact to a few units in the last place
of float64:

* :math:`2^x = 2^{k} \, e^{f \ln 2}` with *k* the nearest integer and the exponential's series to order 12;
* :math:`\sin 2 \pi p` of a phase in periods, brought to a quarter of a period, with the sine's series to order 21.

They stay exact where a loop is compiled with sums in any order (:data:`SUMS`).
"""

import math
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

SUMS = {"reassoc", "nsz", "contract"}
"""Of numba's ``fastmath``: what lets a sum over samples be computed in vectors."""
_LN_2 = math.log(2)
_E = tuple(_LN_2**k / math.factorial(k) for k in range(13))
_S = tuple((-1) ** k * (2 * math.pi) ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(11))


@intrinsic
def _power(typing: Any, k: Any) -> Any:
    """2 to the power of a whole float64: moved into the exponent of another one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(64)
        whole = builder.sext(builder.fptosi(args[0], ir.IntType(32)), wide)
        exponent = builder.shl(builder.add(whole, ir.Constant(wide, 1023)), ir.Constant(wide, 52))
        return builder.bitcast(exponent, ir.DoubleType())

    return types.float64(types.float64), generate


@numba.njit(cache=True, error_model="numpy", inline="always")
def exp2(x: float) -> float:
    """2 to the power of x, for x between -1000 and 1000."""
    k = np.floor(x + 0.5)
    f = x - k
    low = _E[0] + f * (_E[1] + f * (_E[2] + f * (_E[3] + f * (_E[4] + f * _E[5]))))
    high = _E[6] + f * (_E[7] + f * (_E[8] + f * (_E[9] + f * (_E[10] + f * (_E[11] + f * _E[12])))))
    f3 = f * f * f
    return (low + f3 * f3 * high) * _power(k)


@numba.njit(cache=True, error_model="numpy", inline="always")
def sine(periods: float) -> float:
    """sin(2 pi p) of a phase in periods, below 2 ** 51."""
    r = periods - np.floor(periods + 0.5)
    r = 0.5 - r if r > 0.25 else (-0.5 - r if r < -0.25 else r)
    s = r * r
    low = _S[0] + s * (_S[1] + s * (_S[2] + s * (_S[3] + s * _S[4])))
    high = _S[5] + s * (_S[6] + s * (_S[7] + s * (_S[8] + s * (_S[9] + s * _S[10]))))
    s2 = s * s
    return r * (low + s2 * s2 * s * high)
