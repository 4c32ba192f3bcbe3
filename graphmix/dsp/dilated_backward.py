"""The compiled pass of a WaveNet backward (:mod:`graphmix.dsp.dilated`): tiles from the last to the first."""

import numba
import numpy as np

from graphmix.dsp.dilated_forward import begin_array, end_array, pass_on
from graphmix.dsp.dilated_layout import COMPILED, TILE, Layout, matrix, ring
from graphmix.dsp.tiles import add_outer, add_product


@numba.njit(**COMPILED)
def _recompute(
    net: Layout, weights: np.ndarray, audio: np.ndarray, z: np.ndarray, x: np.ndarray, signals: np.ndarray, end: int
) -> None:
    """x of all layers over one tile from their z; ``signals`` [arrays, channels, TILE]: the last one of each array."""
    inflow = audio[None]
    for array in range(net.channels.size):
        channels, first, stop = net.channels[array], net.first[array], net.first[array + 1]
        place = net.channel[first]
        begin_array(net, array, weights, inflow, x[place : place + channels])
        for layer in range(first, stop):
            if end <= net.start[layer]:
                return
            place = net.channel[layer]
            own, activations = x[place : place + channels], z[place : place + channels]
            if layer + 1 < stop:
                pass_on(net, layer, weights, own, activations, x[place + channels : place + 2 * channels])
            elif array + 1 < net.channels.size:
                pass_on(net, layer, weights, own, activations, signals[array])
        inflow = signals[array, :channels]


@numba.njit(**COMPILED)
def _heads(
    net: Layout, weights: np.ndarray, turned: np.ndarray, z: np.ndarray, grad_out: np.ndarray, grads: np.ndarray,
    totals: np.ndarray, work: np.ndarray,
) -> None:  # fmt: skip
    """Adjoints of the sums of activations, ``totals`` [arrays, channels, TILE], and of the heads' weights."""
    arrays = net.channels.size
    sums, handed = work[0], work[1]
    reached = np.zeros((arrays, sums.shape[0], TILE), z.dtype)
    for array in range(arrays):
        channels = net.channels[array]
        own = reached[array, :channels]
        if array > 0:
            for o in range(channels):
                for t in range(TILE):
                    own[o, t] = handed[o, t]
        for layer in range(net.first[array], net.first[array + 1]):
            for o in range(channels):
                into, values = own[o], z[net.channel[layer] + o]
                for t in range(TILE):
                    into[t] += values[t]
        end_array(net, array, weights, own, handed)
    for array in range(arrays - 1, -1, -1):
        channels, head = net.channels[array], net.head[array]
        incoming = grad_out[None] if array == arrays - 1 else totals[array + 1, :head]
        out = matrix(grads, net.head_weight[array], head, channels)
        add_outer(incoming, reached[array, :channels], out, TILE)
        for i in range(head):
            grads[net.head_bias[array] + i] += incoming[i, :TILE].sum()
        totals[array, :channels] = 0
        add_product(matrix(turned, net.head_weight[array], channels, head), incoming, totals[array, :channels], TILE)


@numba.njit(**COMPILED)
def _layer_backward(
    net: Layout, layer: int, turned: np.ndarray, audio: np.ndarray, x: np.ndarray, z: np.ndarray, total: np.ndarray,
    future: np.ndarray, grad_y: np.ndarray, grads: np.ndarray, grad_held: np.ndarray, grad_audio: np.ndarray,
) -> None:  # fmt: skip
    """The adjoint of what enters tanh, to the beginning of ``future``, and of the weights that lead there and on."""
    array = net.array[layer]
    channels = net.channels[array]
    add_outer(grad_y, z, matrix(grads, net.last[layer], channels, channels), TILE)
    for o in range(channels):
        grads[net.last_bias[layer] + o] += grad_y[o, :TILE].sum()
        for t in range(TILE):
            future[o, t] = total[o, t]
    add_product(matrix(turned, net.last[layer], channels, channels), grad_y, future, TILE)
    one = z.dtype.type(1)
    for o in range(channels):
        adjoint, values = future[o], z[o]
        for t in range(TILE):
            adjoint[t] *= one - values[t] * values[t]
        grad_held[net.channel[layer] + o] += adjoint[:TILE].sum()
    add_outer(future, audio[None], matrix(grads, net.mixer[layer], channels, 1), TILE)
    add_product(matrix(turned, net.mixer[layer], 1, channels), future, grad_audio[None], TILE)


@numba.njit(**COMPILED)
def _taps_backward(
    net: Layout, layer: int, turned: np.ndarray, x: np.ndarray, future: np.ndarray, grad: np.ndarray, grads: np.ndarray
) -> None:
    """Add the convolution's part to the adjoint of x, ``grad``, which holds that of the residual connection."""
    array, dilation = net.array[layer], net.dilation[layer]
    channels, kernel = net.channels[array], net.kernel[array]
    for k in range(kernel):
        place = net.taps[layer] + k * channels * channels
        later = future[:, (kernel - 1 - k) * dilation :]
        add_product(matrix(turned, place, channels, channels), later, grad, TILE)
        add_outer(later, x, matrix(grads, place, channels, channels), TILE)
    reach = (kernel - 1) * dilation
    for i in range(channels):
        row = future[i]
        for begin in range((reach - 1) // TILE * TILE, -1, -TILE):
            stop = min(begin + TILE, reach)
            for t in range(stop - 1, begin - 1, -1):
                row[t + TILE] = row[t]


@numba.njit(**COMPILED)
def _backward_tile(
    net: Layout, turned: np.ndarray, audio: np.ndarray, x: np.ndarray, z: np.ndarray, signals: np.ndarray,
    totals: np.ndarray, rings: np.ndarray, grad: np.ndarray, grads: np.ndarray, grad_held: np.ndarray,
    grad_audio: np.ndarray, end: int,
) -> None:  # fmt: skip
    """One tile of a row; ``grad`` [channels, TILE] carries the adjoint of the signal from layer to layer."""
    grad[:] = 0
    for array in range(net.channels.size - 1, -1, -1):
        channels, first = net.channels[array], net.first[array]
        if first > 0 and end <= net.start[first - 1]:
            continue
        own = grad[:channels]
        for layer in range(net.first[array + 1] - 1, first - 1, -1):
            if layer > 0 and end <= net.start[layer - 1]:
                continue
            place, future = net.channel[layer], ring(net, rings, layer)
            if end > net.start[layer]:
                _layer_backward(
                    net, layer, turned, audio, x[place : place + channels], z[place : place + channels],
                    totals[array, :channels], future, own, grads, grad_held, grad_audio,
                )  # fmt: skip
            else:
                future[:, :TILE] = 0
            _taps_backward(net, layer, turned, x[place : place + channels], future, own, grads)
        inflow = audio[None] if array == 0 else signals[array - 1, : net.channels[array - 1]]
        inputs = inflow.shape[0]
        add_outer(own, inflow, matrix(grads, net.rechannel[array], channels, inputs), TILE)
        before = np.zeros((inputs, TILE), grad.dtype)
        add_product(matrix(turned, net.rechannel[array], inputs, channels), own, before, TILE)
        grad[:] = 0
        for i in range(inputs):
            for t in range(TILE):
                if array > 0:
                    grad[i, t] = before[i, t]
                else:
                    grad_audio[t] += before[i, t]


@numba.njit(**COMPILED)
def _backward_row(
    net: Layout, audio: np.ndarray, weights: np.ndarray, turned: np.ndarray, kept: np.ndarray, grad_out: np.ndarray,
    grad_audio: np.ndarray, grad_held: np.ndarray, grad_weights: np.ndarray,
) -> None:  # fmt: skip
    samples, arrays, widest = audio.size, net.channels.size, max(net.channels.max(), net.head.max())
    skipped = samples - grad_out.size
    rings, work = np.zeros(net.sizes[3], audio.dtype), np.zeros((2, widest, TILE), audio.dtype)
    x, grad = np.zeros((net.sizes[1], TILE), audio.dtype), np.zeros((widest, TILE), audio.dtype)
    signals, totals = np.zeros((arrays, widest, TILE), audio.dtype), np.zeros((arrays, widest, TILE), audio.dtype)
    tile, arriving, leaving = np.zeros(TILE, audio.dtype), np.zeros(TILE, audio.dtype), np.zeros(TILE, audio.dtype)
    for index in range(kept.shape[0] - 1, -1, -1):
        begin, end = index * TILE, min((index + 1) * TILE, samples)
        for t in range(TILE):
            place = begin + t
            tile[t] = audio[place] if place < end else 0
            arriving[t] = grad_out[place - skipped] if skipped <= place < end else 0
            leaving[t] = 0
        z = kept[index]
        _recompute(net, weights, tile, z, x, signals, end)
        totals[:] = 0
        if end > skipped:
            _heads(net, weights, turned, z, arriving, grad_weights, totals, work)
        _backward_tile(net, turned, tile, x, z, signals, totals, rings, grad, grad_weights, grad_held, leaving, end)
        for t in range(begin, end):
            grad_audio[t] = leaving[t - begin]


@numba.njit(parallel=True, **COMPILED)
def backward(
    net: Layout, audio: np.ndarray, weights: np.ndarray, turned: np.ndarray, kept: np.ndarray, grad_out: np.ndarray,
    grad_audio: np.ndarray, grad_held: np.ndarray, grad_weights: np.ndarray,
) -> None:  # fmt: skip
    """Of a cold start. ``turned``: the weights with each matrix transposed; gradients by row, zero to begin with."""
    for row in numba.prange(audio.shape[0]):
        _backward_row(
            net, audio[row], weights, turned, kept[row], grad_out[row], grad_audio[row], grad_held[row],
            grad_weights[row],
        )  # fmt: skip


@numba.njit(**COMPILED)
def turn(net: Layout, weights: np.ndarray) -> np.ndarray:
    """The weights with each matrix transposed, in the place that it had."""
    turned = weights.copy()
    inputs = 1
    for array in range(net.channels.size):
        channels, head, kernel = net.channels[array], net.head[array], net.kernel[array]
        _turn_one(weights, turned, net.rechannel[array], channels, inputs)
        for layer in range(net.first[array], net.first[array + 1]):
            for k in range(kernel):
                _turn_one(weights, turned, net.taps[layer] + k * channels * channels, channels, channels)
            _turn_one(weights, turned, net.last[layer], channels, channels)
        _turn_one(weights, turned, net.head_weight[array], head, channels)
        inputs = channels
    return turned


@numba.njit(**COMPILED)
def _turn_one(weights: np.ndarray, turned: np.ndarray, first: int, rows: int, columns: int) -> None:
    into = matrix(turned, first, columns, rows)
    values = matrix(weights, first, rows, columns)
    for i in range(rows):
        for j in range(columns):
            into[j, i] = values[i, j]
