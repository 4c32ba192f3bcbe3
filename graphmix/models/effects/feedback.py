r"""A network that is fed its own output: m samples of input and m - 1 previous outputs make the next output.

After "Training Neural Audio Effects" (yager.io). The network sees no state but its own past outputs, from which it can
read what a device remembers (the phase of an oscillator, the charge of a capacitor).

.. math:: y[n] = f(x[n-m+1], …, x[n], \; y[n-m+1], …, y[n-1])

In training the previous outputs are the device's own, exact; in use they are the network's, with its errors, and a
network that has learned to trust them to the last bit may oscillate about the right value. So **noise is injected into
the feedback path in training** (``noise``): it learns to take what it is fed back for approximate.

*Companding*: levels may be given to the network, and its error measured, on a µ-law scale, where quiet sounds count as
much as loud ones. With ``output = "one_hot"`` the network names one of 256 µ-law levels, and a residual within it.

Weights are divided by the square root of a layer's width, so that all learn at one rate. Inference is a compiled loop.

*Gradients* of a free run reach audio and controls, not the weights. The network is differentiated at all samples at
once, at the outputs that it has made: :math:`y[n] = f(\dots)` has the gradient :math:`J` by its inputs, and what
:math:`y[n]` is worth follows from the outputs after it,

.. math:: \lambda[n] = \frac{\partial L}{\partial y[n]} + \sum_{k=1}^{m-1} \lambda[n+k] \, J_k[n+k]

which a compiled loop does from the end. The state before the first sample counts as a constant.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import numba
import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from graphmix.dsp.powers import FASTMATH
from graphmix.dsp.recurrent import tanh
from graphmix.models.effects.effect import EffectConfig, EffectModel, State

MU = 255.0
"""Of the µ-law of telephony (ITU-T G.711)."""
LEVELS = 256
"""Levels of the one-hot output: 8 bits."""
REST_WINDOWS = 8
"""Silence, in windows, after which the network counts as at rest."""
_LOG_MU = math.log1p(MU)
CHUNK = 1 << 14
"""Windows at which the network is differentiated at a time."""
_GELU_A, _GELU_B = math.sqrt(2 / math.pi), 0.044715


def mu_law(x: Tensor) -> Tensor:
    r""":math:`\mathrm{sgn}(x) \ln(1 + \mu |x|) / \ln(1 + \mu)`, for -1 to 1; values beyond go on in the same way."""
    return _odd(lambda size: torch.log1p(MU * size) / _LOG_MU, x)


def mu_law_inverse(y: Tensor) -> Tensor:
    """The inverse of :func:`mu_law`."""
    return _odd(lambda size: torch.expm1(_LOG_MU * size) / MU, y)


def _odd(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """An odd function from its values for positive numbers; unlike with sign and absolute, with a slope at zero."""
    values = function(torch.where(x < 0, -x, x))
    return torch.where(x < 0, -values, values)


class FeedbackConfig(EffectConfig):
    """Sizes of a :class:`FeedbackEffect`.

    Args:
        model: ``"feedback"``.
        window: samples of input that it sees, and one more than its previous outputs.
        hidden: units of a layer.
        layers: hidden layers.
        noise: standard deviation of what is added to the previous outputs in training, on the scale of ``companding``.
        companding: scale on which samples enter the network, and leave it: ``"linear"`` or ``"mu_law"``.
        output: ``"linear"``, one number, or ``"one_hot"``: one of 256 µ-law levels, with a residual.
    """

    model: Literal["feedback"] = "feedback"
    window: int = Field(default=128, ge=2, le=4096)
    hidden: int = Field(default=256, ge=1, le=4096)
    layers: int = Field(default=5, ge=1, le=16)
    noise: float = Field(default=0.1, ge=0)
    companding: Literal["linear", "mu_law"] = "linear"
    output: Literal["linear", "one_hot"] = "linear"


class FeedbackEffect(EffectModel):
    """An MLP on inputs and previous outputs in the place of a device; see the module."""

    config: FeedbackConfig

    def __init__(self, config: FeedbackConfig) -> None:
        super().__init__(config)
        inputs = 2 * config.window - 1 + len(config.controls)
        outputs = 1 if config.output == "linear" else LEVELS + 1
        sizes = [inputs, *[config.hidden] * config.layers, outputs]
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(after, before)) for before, after in pairwise(sizes))
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(after)) for after in sizes[1:])

    def compress(self, audio: Tensor) -> Tensor:
        """Samples on the scale of the network."""
        return mu_law(audio) if self.config.companding == "mu_law" else audio

    def expand(self, values: Tensor) -> Tensor:
        """The inverse of :meth:`compress`."""
        return mu_law_inverse(values) if self.config.companding == "mu_law" else values

    def network(self, windows: Tensor) -> Tensor:
        """What the network makes of windows [..., inputs + previous outputs + controls] -> [..., outputs]."""
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            windows = functional.linear(windows, weight / math.sqrt(weight.size(1)), bias)
            if i < len(self.weights) - 1:
                windows = functional.gelu(windows, approximate="tanh")
        return windows

    def decode(self, outputs: Tensor) -> Tensor:
        """The next sample on the scale of the network, from what the network returns."""
        if self.config.output == "linear":
            return outputs[..., 0]
        level = outputs[..., :LEVELS].argmax(-1)
        fine = (level + 0.5 + 0.5 * torch.tanh(outputs[..., LEVELS])) * (2 / LEVELS) - 1
        return fine if self.config.companding == "mu_law" else mu_law_inverse(fine)

    def windows(self, audio: Tensor, previous: Tensor, controls: Tensor) -> Tensor:
        """All windows of a signal: compressed audio [rows, samples + window - 1] and outputs -> [rows, samples, …].

        Args:
            audio: with ``window - 1`` samples before the first output.
            previous: outputs before each sample, ``window - 1`` before the first one, as long as ``audio`` less one.
            controls: in units of -1 to 1, [rows, controls].
        """
        m = self.config.window
        inputs = audio.unfold(-1, m, 1)
        outputs = previous.unfold(-1, m - 1, 1)
        held = controls[:, None].expand(-1, inputs.size(1), -1)
        return torch.cat([inputs, outputs, held], dim=-1)

    def teacher_forcing(self, audio: Tensor, target: Tensor, controls: Tensor | None = None) -> Tensor:
        """What the network returns for each sample if it is fed the device's previous outputs, plus noise.

        Args:
            audio: [rows, samples].
            target: the device's output, [rows, samples].
            controls: physical values, [rows, controls].

        Returns:
            [rows, samples - window + 1, outputs], on the scale of the network.
        """
        previous = self.compress(target)[:, :-1]
        if self.training and self.config.noise:
            previous = previous + self.config.noise * torch.randn_like(previous)
        return self.network(self.windows(self.compress(audio), previous, self.normalized(controls, audio)))

    def loss(self, audio: Tensor, target: Tensor, controls: Tensor | None = None) -> Tensor:
        """Mean squared error of :meth:`teacher_forcing`, on the scale of the network.

        For a one-hot output it is the cross entropy of the right level, and the squared error of the place within it.
        """
        outputs = self.teacher_forcing(audio, target, controls)
        wanted = self.compress(target)[:, self.config.window - 1 :]
        if self.config.output == "linear":
            return functional.mse_loss(outputs[..., 0], wanted)
        if self.config.companding == "linear":
            wanted = mu_law(wanted)
        place = (wanted.clamp(-1, 1) + 1) * (LEVELS / 2)
        level = place.floor().clamp(0, LEVELS - 1).long()
        within = 0.5 + 0.5 * torch.tanh(outputs[..., LEVELS])
        named = functional.cross_entropy(outputs[..., :LEVELS].flatten(0, 1), level.flatten())
        return named + functional.mse_loss(within, place - level)

    @torch.no_grad()
    def rest(self, controls: Tensor) -> State:
        """Inputs of silence, and the outputs to which it has led."""
        silence = controls.new_zeros(controls.size(0), REST_WINDOWS * self.config.window)
        zeros = silence[:, : self.config.window - 1]
        return self.run(silence, controls, (zeros, zeros))[1]

    def run(self, audio: Tensor, controls: Tensor, state: State) -> tuple[Tensor, State]:
        """One block, free running, with gradients of audio and controls; weights learn from the device's outputs."""
        before, previous = state
        signal = torch.cat([before, audio], dim=-1)
        values = _FreeRun.apply(self.compress(signal), self.compress(previous), controls, self)
        assert isinstance(values, Tensor)
        out = self.expand(values)
        reach = self.config.window - 1
        after = signal[:, -reach:], torch.cat([previous, out], dim=-1)[:, -reach:]
        return out, tuple(part.detach() for part in after)

    def run_freely(self, inputs: Tensor, fed: Tensor, controls: Tensor) -> Tensor:
        """Outputs of a free run, all on the scale of the network, without gradients.

        Args:
            inputs: with ``window - 1`` samples before the first output, [rows, window - 1 + samples].
            fed: the outputs before it, [rows, window - 1].
            controls: in units of -1 to 1, [rows, controls].

        Returns:
            [rows, samples].
        """
        m, width = self.config.window, self.config.hidden
        scaled = [w / math.sqrt(w.size(1)) for w in self.weights]
        first = scaled[0]
        pre = functional.conv1d(inputs[:, None], first[:, None, :m])
        pre = pre + (controls @ first[:, 2 * m - 1 :].t())[:, :, None] + self.biases[0][:, None]
        inner = torch.stack([w.t() for w in scaled[1:-1]]) if len(scaled) > 2 else first.new_zeros(0, width, width)
        biases = torch.stack(list(self.biases[1:-1])) if len(scaled) > 2 else first.new_zeros(0, width)
        arrays = (pre.mT, first[:, m : 2 * m - 1].t(), inner, biases, scaled[-1].t(), self.biases[-1])
        values = torch.cat([fed, inputs.new_zeros(inputs.size(0), pre.size(-1))], dim=-1).cpu().numpy()
        expands = self.config.output == "one_hot" and self.config.companding == "linear"
        _free_run(*(a.detach().cpu().contiguous().numpy() for a in arrays), values, expands)
        return torch.from_numpy(values[:, m - 1 :]).to(inputs.device)

    def sensitivity(self, inputs: Tensor, outputs: Tensor, controls: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradient of each output of a free run by what the network saw for it, on the scale of the network.

        Args:
            inputs: as for :meth:`run_freely`.
            outputs: ``fed``, and what came out, [rows, window - 1 + samples].
            controls: in units of -1 to 1, [rows, controls].

        Returns:
            By inputs [rows, samples, window], by previous outputs [rows, samples, window - 1], by controls [rows,
            samples, controls].
        """
        m = self.config.window
        windows = self.windows(inputs, outputs[:, :-1], controls).detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self.decode(self.network(windows)).sum(), windows)
        by_inputs, by_outputs, by_controls = gradient.split([m, m - 1, controls.size(1)], dim=-1)
        return by_inputs, by_outputs, by_controls


class _FreeRun(torch.autograd.Function):
    """:meth:`FeedbackEffect.run_freely` with gradients of inputs and controls."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, fed: Tensor, controls: Tensor, model: FeedbackEffect) -> Tensor:
        values = model.run_freely(inputs, fed, controls)
        ctx.save_for_backward(inputs, torch.cat([fed, values], dim=-1), controls)
        ctx.model = model
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, outputs, controls = ctx.saved_tensors
        model, reach = ctx.model, ctx.model.config.window - 1
        worth = functional.pad(gradient, (reach, 0)).cpu().numpy()
        of_inputs, of_controls = torch.zeros_like(inputs, device="cpu").numpy(), torch.zeros_like(controls)
        samples, step = gradient.size(1), max(1, CHUNK // max(1, gradient.size(0)))
        for begin in reversed(range(0, samples, step)):
            part = slice(begin, min(samples, begin + step) + reach)
            by = model.sensitivity(inputs[:, part], outputs[:, part], controls)
            _spread(by[0].cpu().numpy(), by[1].cpu().numpy(), worth[:, part], of_inputs[:, part])
            of_controls += torch.einsum("rn,rnc->rc", torch.from_numpy(worth[:, part][:, reach:]).to(by[2]), by[2])
        return torch.from_numpy(of_inputs).to(inputs.device), None, of_controls, None


@numba.njit(parallel=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _spread(by_inputs: np.ndarray, by_outputs: np.ndarray, worth: np.ndarray, of_inputs: np.ndarray) -> None:
    """From the last sample on, share what an output is worth among the outputs before it and its inputs."""
    rows, samples, window = by_inputs.shape
    for row in numba.prange(rows):
        for n in range(samples - 1, -1, -1):
            value = worth[row, window - 1 + n]
            for k in range(window - 1):
                worth[row, n + k] += value * by_outputs[row, n, k]
            for k in range(window):
                of_inputs[row, n + k] += value * by_inputs[row, n, k]


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _gelu(values: np.ndarray) -> None:
    real = values.dtype.type
    half, one, a, b = real(0.5), real(1), real(_GELU_A), real(_GELU_B)
    for j in range(values.size):
        x = values[j]
        values[j] = half * x * (one + tanh(a * (x + b * x * x * x)))


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _add_product(state: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    """Add ``state @ weight`` to ``out``, eight rows of the weight at a time: fewer passes over ``out``."""
    whole = state.size // 8 * 8
    for k in range(0, whole, 8):
        a, b, c, d = state[k], state[k + 1], state[k + 2], state[k + 3]
        e, f, g, h = state[k + 4], state[k + 5], state[k + 6], state[k + 7]
        for j in range(out.size):
            first = a * weight[k, j] + b * weight[k + 1, j] + c * weight[k + 2, j] + d * weight[k + 3, j]
            second = e * weight[k + 4, j] + f * weight[k + 5, j] + g * weight[k + 6, j] + h * weight[k + 7, j]
            out[j] += first + second
    for k in range(whole, state.size):
        a = state[k]
        for j in range(out.size):
            out[j] += a * weight[k, j]


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _named_sample(outputs: np.ndarray, expands: bool) -> float:
    """:meth:`FeedbackEffect.decode` of a one-hot output."""
    real = outputs.dtype.type
    level = 0
    for j in range(1, LEVELS):
        if outputs[j] > outputs[level]:
            level = j
    half = real(0.5)
    fine = (real(level) + half + half * tanh(outputs[LEVELS])) * real(2 / LEVELS) - real(1)
    if not expands:
        return fine
    size = real(math.expm1(abs(fine) * real(_LOG_MU)) / real(MU))
    return size if fine > 0 else -size


@numba.njit(parallel=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _free_run(
    pre: np.ndarray,
    feedback: np.ndarray,
    inner: np.ndarray,
    biases: np.ndarray,
    last: np.ndarray,
    last_bias: np.ndarray,
    values: np.ndarray,
    expands: bool,
) -> None:
    """``pre`` [rows, samples, width]: the first layer's part of the inputs; ``values`` has the previous outputs first.

    Matrices lie with what is summed over first, so that the innermost loop runs along a layer's units. What takes
    time is reading all weights for each sample: they have to fit into a core's own cache. With one output it is the
    next sample, with more it is named, and expanded from the µ-law if ``expands``.
    """
    rows, samples, width = pre.shape
    past = feedback.shape[0]
    for row in numba.prange(rows):
        units, following = np.empty(width, pre.dtype), np.empty(width, pre.dtype)
        outputs = np.empty(last_bias.size, pre.dtype)
        for n in range(samples):
            units[:] = pre[row, n]
            _add_product(values[row, n : n + past], feedback, units)
            _gelu(units)
            for layer in range(inner.shape[0]):
                following[:] = biases[layer]
                _add_product(units, inner[layer], following)
                _gelu(following)
                units[:] = following
            outputs[:] = last_bias
            _add_product(units, last, outputs)
            values[row, past + n] = outputs[0] if outputs.size == 1 else _named_sample(outputs, expands)
