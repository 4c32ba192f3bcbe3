"""The compiled pass of a WaveNet forward (:mod:`graphmix.dsp.dilated`), tile by tile, all layers for one tile."""

import numba
import numpy as np

from graphmix.dsp.dilated_layout import COMPILED, TILE, Layout, matrix, ring
from graphmix.dsp.recurrent import tanh
from graphmix.dsp.tiles import add_product


@numba.njit(**COMPILED)
def _layer(
    net: Layout, layer: int, weights: np.ndarray, held: np.ndarray, audio: np.ndarray, x: np.ndarray, z: np.ndarray
) -> None:
    """The activations of one layer over one tile."""
    array, dilation = net.array[layer], net.dilation[layer]
    channels, kernel = net.channels[array], net.kernel[array]
    for o in range(channels):
        out, bias, factor = z[o], held[net.channel[layer] + o], weights[net.mixer[layer] + o]
        for t in range(TILE):
            out[t] = bias + factor * audio[t]
    for k in range(kernel):
        taps = matrix(weights, net.taps[layer] + k * channels * channels, channels, channels)
        add_product(taps, x[:, k * dilation :], z, TILE)
    for o in range(channels):
        out = z[o]
        for t in range(TILE):
            out[t] = tanh(out[t])


@numba.njit(**COMPILED)
def pass_on(net: Layout, layer: int, weights: np.ndarray, x: np.ndarray, z: np.ndarray, following: np.ndarray) -> None:
    """The signal for the next layer, from the tile of this one's."""
    channels = net.channels[net.array[layer]]
    for i in range(channels):
        out, values, bias = following[i], x[i], weights[net.last_bias[layer] + i]
        for t in range(TILE):
            out[t] = values[t] + bias
    add_product(matrix(weights, net.last[layer], channels, channels), z, following, TILE)


@numba.njit(**COMPILED)
def begin_array(net: Layout, array: int, weights: np.ndarray, signal: np.ndarray, x: np.ndarray) -> None:
    """x of the first layer from what comes into the array."""
    for i in range(net.channels[array]):
        x[i, :TILE] = 0
    weight = matrix(weights, net.rechannel[array], net.channels[array], signal.shape[0])
    add_product(weight, signal, x, TILE)


@numba.njit(**COMPILED)
def end_array(net: Layout, array: int, weights: np.ndarray, total: np.ndarray, out: np.ndarray) -> None:
    """What the array hands on, from the sum of its activations."""
    for i in range(net.head[array]):
        out[i, :TILE] = weights[net.head_bias[array] + i]
    add_product(matrix(weights, net.head_weight[array], net.head[array], net.channels[array]), total, out, TILE)


@numba.njit(**COMPILED)
def _forward_tile(
    net: Layout,
    weights: np.ndarray,
    held: np.ndarray,
    audio: np.ndarray,
    rings: np.ndarray,
    z: np.ndarray,
    work: np.ndarray,
    end: int,
) -> None:
    """One tile of a row.

    ``z`` has a place for all layers, or one for all of them; ``work`` [3, channels, TILE]: the sum of the activations,
    what an array hands on, and its last signal. Layers that a cold start does not need before ``end`` are left out.
    """
    total, handed, signal = work[0], work[1], work[2]
    arrays, keeps = net.channels.size, z.shape[0] > work.shape[1]
    inflow = audio[None]
    for array in range(arrays):
        channels = net.channels[array]
        for o in range(channels):
            sums, values = total[o], handed[o]
            for t in range(TILE):
                sums[t] = values[t] if array > 0 else 0
        first, stop = net.first[array], net.first[array + 1]
        reach = (net.kernel[array] - 1) * net.dilation[first]
        begin_array(net, array, weights, inflow, ring(net, rings, first)[:, reach:])
        for layer in range(first, stop):
            if end <= net.start[layer]:
                return
            reach = (net.kernel[array] - 1) * net.dilation[layer]
            x, place = ring(net, rings, layer), net.channel[layer] if keeps else 0
            own = z[place : place + channels]
            _layer(net, layer, weights, held, audio, x, own)
            for o in range(channels):
                sums, values = total[o], own[o]
                for t in range(TILE):
                    sums[t] += values[t]
            if layer + 1 < stop:
                after = (net.kernel[array] - 1) * net.dilation[layer + 1]
                pass_on(net, layer, weights, x[:, reach:], own, ring(net, rings, layer + 1)[:, after:])
            elif array + 1 < arrays:
                pass_on(net, layer, weights, x[:, reach:], own, signal)
        end_array(net, array, weights, total, handed)
        inflow = signal[:channels]


@numba.njit(**COMPILED)
def _shift(net: Layout, rings: np.ndarray, samples: int, end: int) -> None:
    """Bring what is the past of the next tile to the beginning of each buffer."""
    for layer in range(net.array.size):
        if layer > 0 and end <= net.start[layer - 1]:
            return
        x, reach = ring(net, rings, layer), (net.kernel[net.array[layer]] - 1) * net.dilation[layer]
        for i in range(x.shape[0]):
            row = x[i]
            for t in range(reach):
                row[t] = row[t + samples]


@numba.njit(**COMPILED)
def _exchange(net: Layout, rings: np.ndarray, history: np.ndarray, writes: bool) -> None:
    """The past of all layers, from the history into the buffers or the other way."""
    for layer in range(net.array.size):
        x, reach = ring(net, rings, layer), (net.kernel[net.array[layer]] - 1) * net.dilation[layer]
        own = matrix(history, net.history[layer], x.shape[0], reach)
        for i in range(x.shape[0]):
            for t in range(reach):  # an assignment of slices takes a second to compile
                if writes:
                    own[i, t] = x[i, t]
                else:
                    x[i, t] = own[i, t]


@numba.njit(**COMPILED)
def _forward_row(
    net: Layout,
    audio: np.ndarray,
    held: np.ndarray,
    weights: np.ndarray,
    history: np.ndarray,
    warm: bool,
    out: np.ndarray,
    kept: np.ndarray,
) -> None:
    samples, widest = audio.size, max(net.channels.max(), net.head.max())
    tiles, skipped = (samples + TILE - 1) // TILE, samples - out.size
    rings, work = np.zeros(net.sizes[3], audio.dtype), np.zeros((3, widest, TILE), audio.dtype)
    tile, own = np.zeros(TILE, audio.dtype), np.empty((widest, TILE), audio.dtype)
    if warm:
        _exchange(net, rings, history, False)
    for index in range(tiles):
        begin, end = index * TILE, min((index + 1) * TILE, samples)
        for t in range(TILE):
            tile[t] = audio[begin + t] if begin + t < end else 0
        if kept.shape[0] > 0:
            own = kept[index]
        reached = end if not warm else end + net.sizes[4]
        _forward_tile(net, weights, held, tile, rings, own, work, reached)
        for t in range(max(begin, skipped), end):
            out[t - skipped] = work[1, 0, t - begin]
        _shift(net, rings, end - begin, reached)
    _exchange(net, rings, history, True)


@numba.njit(parallel=True, **COMPILED)
def forward(
    net: Layout,
    audio: np.ndarray,
    held: np.ndarray,
    weights: np.ndarray,
    history: np.ndarray,
    warm: bool,
    out: np.ndarray,
    kept: np.ndarray,
) -> None:
    """``kept`` [rows, tiles, channels of all layers, TILE] takes the activations, if it has room for any tile."""
    for row in numba.prange(audio.shape[0]):
        _forward_row(net, audio[row], held[row], weights, history[row], warm, out[row], kept[row])
