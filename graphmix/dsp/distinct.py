"""Reads and writes of arrays that do not overlap, so that compiled loops become vector code.

A compiler turns a loop into vector code only where it knows that what is stored is not read by a later sample. For two
arrays it compares their ends before the loop begins; for many arrays it gives up, and for a table, of which any place
may be read, there is nothing to compare. :func:`pick` and :func:`put` say it: what a function picks is never what the
same function puts, this time or another time that it is called. :func:`read` and :func:`write` promise nothing and may
be used on one array. None of them checks limits.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array


def _scopes(builder: Any) -> Any:
    """What is put in the function that is compiled, as a list of scopes of LLVM's."""
    module = builder.module
    domain = module.add_metadata([ir.MetaDataString(module, "graphmix")])
    return module.add_metadata([module.add_metadata([ir.MetaDataString(module, builder.function.name), domain])])


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any, index_kind: Any) -> Any:
    """The address of an element of a contiguous array of one axis."""
    data = make_array(kind)(context, builder, array).data
    return builder.gep(data, [context.cast(builder, index, index_kind, types.int64)], inbounds=True)


@intrinsic
def pick(typing: Any, array: Any, index: Any) -> Any:
    """``array[index]``, of an array that is not written to by :func:`put` in the same function."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_place(context, builder, array, args[0], args[1], index))
        value.set_metadata("noalias", _scopes(builder))
        return value

    assert (array.layout, array.ndim) == ("C", 1), "rows are contiguous"
    return array.dtype(array, index), generate


@intrinsic
def put(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """``array[index] = value``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        converted = context.cast(builder, args[2], value, array.dtype)
        stored = builder.store(converted, _place(context, builder, array, args[0], args[1], index))
        stored.set_metadata("alias.scope", _scopes(builder))
        return context.get_dummy_value()

    assert (array.layout, array.ndim) == ("C", 1), "rows are contiguous"
    return types.void(array, index, value), generate


@intrinsic
def read(typing: Any, array: Any, index: Any) -> Any:
    """``array[index]``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, array, args[0], args[1], index))

    assert (array.layout, array.ndim) == ("C", 1), "rows are contiguous"
    return array.dtype(array, index), generate


@intrinsic
def write(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """``array[index] = value``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        converted = context.cast(builder, args[2], value, array.dtype)
        builder.store(converted, _place(context, builder, array, args[0], args[1], index))
        return context.get_dummy_value()

    assert (array.layout, array.ndim) == ("C", 1), "rows are contiguous"
    return types.void(array, index, value), generate
