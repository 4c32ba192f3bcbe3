"""Powers of two and their logarithms for compiled loops, in a form that processors compute eight at a time.

The C library computes them one by one. In float32 they are written out here, to the accuracy of float32; in
float64 they remain the library's.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

FASTMATH = {"reassoc", "contract", "arcp", "nsz", "afn"}
"""Liberties that a compiler may take: all but the promise that no number is infinite or undefined."""
_ONE, _HALF = np.float32(1), np.float32(0.5)
_ROOT_HALF = int(np.float32(math.sqrt(0.5)).view(np.int32))
_MANTISSA, _MANTISSA_BITS, _BIAS = 0x7FFFFF, 23, 127
_SMALLEST, _LARGEST = np.float32(-126), np.float32(127)
_A0, _A1, _A2, _A3, _A4 = (np.float32(2 / math.log(2) / (2 * k + 1)) for k in range(5))
"""log2((1 + s) / (1 - s)) = A0 s + A1 s^3 + ..."""
_B0, _B1, _B2, _B3, _B4, _B5, _B6, _B7 = (np.float32(math.log(2) ** k / math.factorial(k)) for k in range(8))
"""2^t = B0 + B1 t + B2 t^2 + ..."""


def log2(x: float) -> float:
    """Binary logarithm of a positive normal number; nan of nan."""
    return math.log2(x)


def exp2(x: float) -> float:
    """Two to the power of x. In float32, 0 where that lies below the normal numbers, and at most 2^127."""
    return math.exp2(x)


def _single_log2(x: Any) -> Any:
    bits = np.float32(x).view(np.int32) - _ROOT_HALF
    mantissa = np.int32((bits & _MANTISSA) + _ROOT_HALF).view(np.float32)  # in [sqrt(1/2), sqrt(2))
    s = (mantissa - _ONE) / (mantissa + _ONE)
    z = s * s
    series = s * (_A0 + z * (_A1 + z * (_A2 + z * (_A3 + z * _A4))))
    return x if np.isnan(x) else np.float32(np.int32(bits >> _MANTISSA_BITS)) + series


def _single_exp2(x: Any) -> Any:
    x = _LARGEST if x > _LARGEST else x
    whole = np.floor(x + _HALF)
    t = x - whole
    series = _B0 + t * (_B1 + t * (_B2 + t * (_B3 + t * (_B4 + t * (_B5 + t * (_B6 + t * _B7))))))
    power = np.int32((np.int32(whole) + _BIAS) << _MANTISSA_BITS).view(np.float32)
    return np.float32(0) if x < _SMALLEST else series * power


def _double_log2(x: float) -> float:
    return math.log2(x)


def _double_exp2(x: float) -> float:
    return 2.0**x


@overload(log2, jit_options={"fastmath": FASTMATH, "error_model": "numpy"}, strict=False)
def _log2(x: types.Type) -> Callable[[Any], Any]:
    return _single_log2 if x == types.float32 else _double_log2


@overload(exp2, jit_options={"fastmath": FASTMATH, "error_model": "numpy"}, strict=False)
def _exp2(x: types.Type) -> Callable[[Any], Any]:
    return _single_exp2 if x == types.float32 else _double_exp2
