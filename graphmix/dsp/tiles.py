r"""Products of a small matrix and few long rows, for compiled loops that keep what they work on in the nearest cache.

.. math:: C[o, t] \mathrel{+}= \sum_i A[o, i]\, X[i, t] \qquad G[o, i] \mathrel{+}= \sum_t C[o, t]\, X[i, t]

Layers of audio networks have 8 or 16 channels. Libraries of linear algebra are made for larger matrices, and what a
compiler makes of a plain loop reads and writes memory for each multiplication. Here blocks of four rows and some
samples are summed up in registers: a few lines of LLVM's vector instructions, in the width of the processor.

Conventions: arrays are float32 or float64 and of two axes, the second of which is contiguous. Rows are padded: the
products are computed over whole vectors of :data:`LANES` samples, and a caller leaves room for them.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import Signature
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

LANES = 32 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 16
"""Samples of a block: four rows of them take half of the registers."""
_ROWS = 4
_OUTER = 2
"""A block of the second product has four rows of one factor and two of the other."""
_FAST = ("contract", "reassoc", "nsz")


class _Builder:
    """What both products need of LLVM's builder: addresses, vectors, sums."""

    def __init__(self, context: Any, builder: Any, signature: Signature, args: Any) -> None:
        self.context, self.builder, self.signature, self.args = context, builder, signature, args
        self.element = context.get_data_type(signature.args[0].dtype)
        self.vector = ir.VectorType(self.element, LANES)

    def index(self, number: int) -> Any:
        """An argument that is an index."""
        return self.context.cast(self.builder, self.args[number], self.signature.args[number], types.intp)

    def rows(self, number: int, first: Any, count: int) -> list[Any]:
        """Addresses of rows of an argument, from ``first`` on."""
        b, array = self.builder, make_array(self.signature.args[number])(self.context, self.builder, self.args[number])
        begin = b.ptrtoint(array.data, ir.IntType(64))
        stride = cgutils.unpack_tuple(b, array.strides, 2)[0]
        return [b.add(begin, b.mul(stride, b.add(first, ir.Constant(first.type, i)))) for i in range(count)]

    def columns(self, number: int) -> Any:
        """Length of the second axis of an argument."""
        array = make_array(self.signature.args[number])(self.context, self.builder, self.args[number])
        return cgutils.unpack_tuple(self.builder, array.shape, 2)[1]

    def at(self, row: Any, place: Any) -> Any:
        """The address of one element of a row."""
        size = self.context.get_abi_sizeof(self.element)
        address = self.builder.add(row, self.builder.mul(place, ir.Constant(place.type, size)))
        return self.builder.inttoptr(address, self.element.as_pointer())

    def load(self, row: Any, place: Any) -> Any:
        """A vector."""
        pointer = self.builder.bitcast(self.at(row, place), self.vector.as_pointer())
        return self.builder.load(pointer, align=self.context.get_abi_sizeof(self.element))

    def store(self, value: Any, row: Any, place: Any) -> None:
        """Write a vector."""
        pointer = self.builder.bitcast(self.at(row, place), self.vector.as_pointer())
        self.builder.store(value, pointer, align=self.context.get_abi_sizeof(self.element))

    def spread(self, scalar: Any) -> Any:
        """A vector of equal elements."""
        b = self.builder
        single = b.insert_element(ir.Constant(self.vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return b.shuffle_vector(single, ir.Constant(self.vector, ir.Undefined), mask)

    def fused(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c."""
        return self.builder.fadd(self.builder.fmul(a, b, flags=_FAST), c, flags=_FAST)

    def variables(self, count: int) -> list[Any]:
        """Vectors that start at zero; the compiler keeps them in registers."""
        zero = ir.Constant(self.vector, None)
        slots = [cgutils.alloca_once(self.builder, self.vector) for _ in range(count)]
        for slot in slots:
            self.builder.store(zero, slot)
        return slots


def _product_of(rows: int) -> Callable[..., None]:
    """The first product, ``(a, o, x, out, p, t)``: rows of ``a`` from o on, of ``out`` from p on, LANES samples."""

    @intrinsic
    def block(typing: Any, a: Any, o: Any, x: Any, out: Any, p: Any, t: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Signature, args: Any) -> Any:
            v = _Builder(context, builder, signature, args)
            weights, results, t = v.rows(0, v.index(1), rows), v.rows(3, v.index(4), rows), v.index(5)
            inputs = v.columns(0)
            sums = v.variables(rows)
            with cgutils.for_range(builder, inputs) as loop:
                (row,) = v.rows(2, loop.index, 1)
                values = v.load(row, t)
                for weight, total in zip(weights, sums, strict=True):
                    factor = v.spread(builder.load(v.at(weight, loop.index)))
                    builder.store(v.fused(values, factor, builder.load(total)), total)
            for result, total in zip(results, sums, strict=True):
                v.store(builder.fadd(v.load(result, t), builder.load(total), flags=_FAST), result, t)
            return context.get_dummy_value()

        return types.void(a, o, x, out, p, t), generate

    return block


def _outer_of(rows: int, columns: int) -> Callable[..., None]:
    """A block of the second product: ``(c, x, out, o, i, samples)``, summed over whole vectors of samples."""

    @intrinsic
    def block(typing: Any, c: Any, x: Any, out: Any, o: Any, i: Any, samples: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Signature, args: Any) -> Any:
            v = _Builder(context, builder, signature, args)
            o, i, samples = v.index(3), v.index(4), v.index(5)
            left, right, results = v.rows(0, o, rows), v.rows(1, i, columns), v.rows(2, o, rows)
            sums = v.variables(rows * columns)
            step = ir.Constant(samples.type, LANES)
            with cgutils.for_range_slice(builder, ir.Constant(samples.type, 0), samples, step) as (t, _):
                factors = [v.load(row, t) for row in right]
                for k, row in enumerate(left):
                    values = v.load(row, t)
                    for j, factor in enumerate(factors):
                        total = sums[k * columns + j]
                        builder.store(v.fused(values, factor, builder.load(total)), total)
            name = f"llvm.vector.reduce.fadd.v{LANES}f{8 * context.get_abi_sizeof(v.element)}"
            face = ir.FunctionType(v.element, [v.element, v.vector])
            add = cgutils.get_or_insert_function(builder.module, face, name)
            for k, result in enumerate(results):
                for j in range(columns):
                    place = v.at(result, builder.add(i, ir.Constant(i.type, j)))
                    vector = builder.load(sums[k * columns + j])
                    total = builder.call(add, [builder.load(place), vector], fastmath=_FAST)
                    builder.store(total, place)
            return context.get_dummy_value()

        return types.void(c, x, out, o, i, samples), generate

    return block


_product_4, _product_1 = _product_of(_ROWS), _product_of(1)
_outer_4, _outer_1 = _outer_of(_ROWS, _OUTER), _outer_of(1, 1)


@numba.njit(cache=True, error_model="numpy")
def add_product(a: np.ndarray, x: np.ndarray, out: np.ndarray, samples: int) -> None:
    """Add ``a @ x`` to ``out``, over so many samples rounded up to whole vectors.

    Args:
        a: [rows, inputs].
        x: [inputs or more, samples or more].
        out: [rows or more, samples or more].
        samples: how many.
    """
    whole = a.shape[0] // _ROWS * _ROWS
    for t in range(0, samples, LANES):
        for o in range(0, whole, _ROWS):
            _product_4(a, o, x, out, o, t)
        for o in range(whole, a.shape[0]):
            _product_1(a, o, x, out, o, t)


@numba.njit(cache=True, error_model="numpy")
def add_product_of_rows(a: np.ndarray, o: int, count: int, x: np.ndarray, out: np.ndarray, p: int) -> None:
    """As :func:`add_product` for ``count`` rows, of ``a`` from o on and of ``out`` from p on, over all vectors of x."""
    whole = count // _ROWS * _ROWS
    for t in range(0, x.shape[1], LANES):
        for k in range(0, whole, _ROWS):
            _product_4(a, o + k, x, out, p + k, t)
        for k in range(whole, count):
            _product_1(a, o + k, x, out, p + k, t)


@numba.njit(cache=True, error_model="numpy")
def add_outer(c: np.ndarray, x: np.ndarray, out: np.ndarray, samples: int) -> None:
    """Add ``c @ x.T`` to ``out``, summed over so many samples rounded up to whole vectors.

    Args:
        c: [rows, samples or more].
        x: [columns, samples or more].
        out: [rows, columns].
        samples: how many; what lies between them and the end of the last vector counts as well.
    """
    rows, columns = out.shape
    whole, even = rows // _ROWS * _ROWS, columns // _OUTER * _OUTER
    for o in range(0, whole, _ROWS):
        for i in range(0, even, _OUTER):
            _outer_4(c, x, out, o, i, samples)
        for i in range(even, columns):
            for k in range(o, o + _ROWS):
                _outer_1(c, x, out, k, i, samples)
    for o in range(whole, rows):
        for i in range(columns):
            _outer_1(c, x, out, o, i, samples)
