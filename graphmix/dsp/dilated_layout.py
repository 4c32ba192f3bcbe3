"""Where what lies in the flat vectors of a compiled WaveNet (:mod:`graphmix.dsp.dilated`)."""

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np

from graphmix.dsp.powers import FASTMATH

TILE = 256
"""Samples at a time: sixteen channels of them take 16 KiB."""
_PAD = 16
"""Between rows of a buffer, so that rows of a power of two of samples do not fall on the same cache lines."""


class ArraySizes(NamedTuple):
    """Sizes of one array of layers."""

    channels: int
    head: int
    kernel: int
    dilations: tuple[int, ...]


class Layout(NamedTuple):
    """Where what lies in the flat vectors of a network; integers by layer or, where said, by array.

    Args:
        array: of each layer, its array.
        dilation: of each layer.
        taps: first weight of the convolution [kernel, channels, channels].
        mixer: of the input's column [channels].
        last: of the 1×1 convolution [channels, channels].
        last_bias: of its bias [channels].
        channel: first of its channels among those of all layers.
        history: first value of its past [channels, reach].
        ring: first value of its buffer.
        start: reach up to and including it: its outputs before count for nothing in a cold start.
        channels: by array.
        head: by array.
        kernel: by array.
        first: by array, its first layer; one more entry, the number of layers.
        rechannel: by array, first weight of R [channels, inputs].
        head_weight: by array, first weight of H [head, channels].
        head_bias: by array, first of its bias [head].
        sizes: numbers of weights, of all channels, of values of a past, of values of all buffers; the reach.
    """

    array: np.ndarray
    dilation: np.ndarray
    taps: np.ndarray
    mixer: np.ndarray
    last: np.ndarray
    last_bias: np.ndarray
    channel: np.ndarray
    history: np.ndarray
    ring: np.ndarray
    start: np.ndarray
    channels: np.ndarray
    head: np.ndarray
    kernel: np.ndarray
    first: np.ndarray
    rechannel: np.ndarray
    head_weight: np.ndarray
    head_bias: np.ndarray
    sizes: np.ndarray

    @property
    def history_size(self) -> int:
        """Values of the past of all layers."""
        return int(self.sizes[2])

    @property
    def reach(self) -> int:
        """Samples of the past on which an output depends."""
        return int(self.sizes[4])


def layout(arrays: Sequence[ArraySizes]) -> Layout:
    """The layout of a network; its weights lie array by array: R; of each layer W, m, V, v; H, its bias."""
    by_layer: list[list[int]] = []
    by_array: list[list[int]] = []
    weight = channel = history = buffer = start = layer = 0
    inputs = 1
    for number, (channels, head, kernel, dilations) in enumerate(arrays):
        rechannel, first = weight, layer
        weight += channels * inputs
        for dilation in dilations:
            reach = (kernel - 1) * dilation
            mixer = weight + kernel * channels * channels
            last = mixer + channels
            bias = last + channels * channels
            start += reach
            by_layer.append([number, dilation, weight, mixer, last, bias, channel, history, buffer, start])
            weight, channel, history = bias + channels, channel + channels, history + channels * reach
            buffer, layer = buffer + channels * (reach + TILE + _PAD), layer + 1
        by_array.append([channels, head, kernel, first, rechannel, weight, weight + head * channels])
        weight += head * channels + head
        inputs = channels
    columns = [np.array(c, dtype=np.int64) for c in zip(*by_layer, strict=True)]
    own = [np.array(c, dtype=np.int64) for c in zip(*by_array, strict=True)]
    own[3] = np.append(own[3], layer)
    sizes = np.array([weight, channel, history, buffer, start], dtype=np.int64)
    return Layout._make([*columns, *own, sizes])


COMPILED = {"cache": True, "fastmath": FASTMATH, "error_model": "numpy"}


@numba.njit(**COMPILED)
def matrix(flat: np.ndarray, first: int, rows: int, columns: int) -> np.ndarray:
    """A part of a flat vector, [rows, columns]."""
    return flat[first : first + rows * columns].reshape(rows, columns)


@numba.njit(**COMPILED)
def ring(net: Layout, rings: np.ndarray, layer: int) -> np.ndarray:
    """A layer's buffer, [channels, reach + TILE + padding]."""
    array = net.array[layer]
    width = (net.kernel[array] - 1) * net.dilation[layer] + TILE + _PAD
    return matrix(rings, net.ring[layer], net.channels[array], width)
