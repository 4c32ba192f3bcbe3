r"""A WaveNet of audio effects as one compiled pass forward and one backward.

Arrays of layers; in each layer a dilated convolution, tanh, a 1×1 convolution and a residual connection:

.. math::
    z_l[n] = \tanh\Big(b_l + m_l c[n] + \sum_k W_{l,k}\, x_l[n - (K - 1 - k)\, d_l]\Big), \quad
    x_{l+1}[n] = x_l[n] + V_l z_l[n] + v_l

:math:`c` is the input. An array begins with :math:`x_0 = R\,s`, where s is the input or the last signal of the array
before, and ends with :math:`H (\sum_l z_l + h) + b_h`, h being what the array before ended with.

Such networks have few channels (8 or 16) and many samples. All layers are computed for one tile of samples, which
stays in the nearest caches with the past that each layer needs, then for the next tile (products:
:mod:`graphmix.dsp.tiles`). Backward, tiles are taken from the last to the first, and what stays is each layer's future.
Kept in between are the z alone; the x follow from them by the 1×1 convolutions.

Conventions: rows are independent signals, [rows, samples]. The network has a *reach*, the sum of (K - 1) d over all
layers. *Cold*, the first ``reach`` samples are there for the others' sake: they give no output, and of each layer only
what is needed of them is computed. *Warm*, each layer's past is given, and all samples give an output.
"""

from typing import Any

import torch
from torch import Tensor

from graphmix.dsp.dilated_backward import backward, turn
from graphmix.dsp.dilated_forward import forward
from graphmix.dsp.dilated_layout import TILE, ArraySizes, Layout, layout
from graphmix.dsp.threads import at_most

__all__ = ["ArraySizes", "Layout", "cold", "layout", "warm"]


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, audio: Tensor, held: Tensor, weights: Tensor, net: Layout, history: Tensor, keeps: bool
    ) -> Tensor:
        audio, held, weights = (t.detach().contiguous() for t in (audio, held, weights))
        samples = audio.size(1)
        out = audio.new_empty(audio.size(0), samples - net.reach)
        tiles = -(-samples // TILE) if keeps else 0
        kept = audio.new_empty(audio.size(0), tiles, int(net.sizes[1]), TILE)
        with at_most(len(audio)):
            forward(net, *(t.numpy() for t in (audio, held, weights, history)), False, out.numpy(), kept.numpy())
        ctx.save_for_backward(audio, weights, kept)
        ctx.net = net
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        audio, weights, kept = ctx.saved_tensors
        net, rows = ctx.net, audio.size(0)
        grad_audio = torch.empty_like(audio)
        grad_held, grad_weights = audio.new_zeros(rows, int(net.sizes[1])), audio.new_zeros(rows, weights.numel())
        turned = torch.from_numpy(turn(net, weights.numpy()))
        arrays = [audio, weights, turned, kept, grads[0].contiguous(), grad_audio, grad_held, grad_weights]
        with at_most(rows):
            backward(net, *(t.numpy() for t in arrays))
        return grad_audio, grad_held, grad_weights.sum(0), None, None, None


def cold(net: Layout, audio: Tensor, held: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs from the sample on that has ``reach`` samples before it, differentiable; on the CPU.

    Args:
        net: sizes and places.
        audio: [rows, reach + samples].
        held: biases of all layers' convolutions, with what does not change over a row, [rows, channels of all layers].
        weights: see :func:`layout`, [weights].

    Returns:
        [rows, samples], and the past of all layers after the last sample for :func:`warm`, without gradients.
    """
    keeps = torch.is_grad_enabled() and any(t.requires_grad for t in (audio, held, weights))
    history = audio.new_zeros(audio.size(0), net.history_size)
    return _Network.apply(audio, held, weights, net, history, keeps), history


@torch.no_grad()
def warm(net: Layout, audio: Tensor, held: Tensor, weights: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs for all samples, from the past of all layers [rows, history]; without gradients, on the CPU."""
    history = history.clone(memory_format=torch.contiguous_format)
    audio, held, weights = (t.detach().contiguous() for t in (audio, held, weights))
    out, kept = torch.empty_like(audio), audio.new_empty(audio.size(0), 0, 0, TILE)
    with at_most(len(audio)):
        forward(net, *(t.numpy() for t in (audio, held, weights, history)), True, out.numpy(), kept.numpy())
    return out, history
