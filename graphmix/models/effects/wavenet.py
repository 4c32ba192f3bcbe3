r"""A WaveNet of audio effects in the form of Neural Amp Modeler (Atkinson; after van den Oord et al. 2016).

Arrays of layers in series. Each array lifts its input to its channels; each layer is a dilated convolution of these,
plus a mix of the conditioning signal (the input and the controls), through an activation; a 1×1 convolution of that is
added to what goes on to the next layer. The sum of all layers' activations, brought to the next array's channels, is
where the next array's sum begins; after the last array, times ``head_scale``, it is the output.

A standard network has 13,802 weights in two arrays of 16 and 8 channels and sees 4,093 samples. On the CPU a network
with tanh is one compiled pass (:mod:`graphmix.dsp.dilated`); other activations, gates and devices go through PyTorch's
convolutions.
"""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

import numba
import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from graphmix.dsp.dilated import ArraySizes, cold, layout, warm
from graphmix.models.config import Table
from graphmix.models.effects.effect import BLOCK, EffectConfig, EffectModel, State

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Tanh": torch.tanh,
    "ReLU": functional.relu,
    "LeakyReLU": functional.leaky_relu,
    "Hardtanh": functional.hardtanh,
    "Hardswish": functional.hardswish,
    "Sigmoid": torch.sigmoid,
    "SiLU": functional.silu,
    "Softsign": functional.softsign,
}
"""By the names of the file format; each at PyTorch's own slope."""


MOST_KEPT = 1 << 24
"""Samples of the past, times channels, that a model of convolutions may keep: a standard network keeps 57,000."""


def _known(name: str) -> str:
    if name not in ACTIVATIONS:
        raise ValueError(f"activation {name[:60]!r} is none of: {', '.join(ACTIVATIONS)}")
    return name


Activation = Annotated[str, AfterValidator(_known)]
"""One of :data:`ACTIVATIONS`."""
Dilation = Annotated[int, Field(ge=1, le=1 << 16)]
"""Samples between two taps."""


class ArrayConfig(Table):
    """One array of layers.

    Args:
        channels: of its signals.
        head: channels of the sum that it hands on; those of the next array, 1 in the last.
        kernel: taps of a convolution.
        dilations: samples between taps, one for each layer.
        activation: one of :data:`ACTIVATIONS`.
        gated: the activation is multiplied by the sigmoid of as many more channels.
        head_bias: the sum gets a bias.
    """

    channels: int = Field(ge=1, le=512)
    head: int = Field(ge=1, le=512)
    kernel: int = Field(default=3, ge=1, le=64)
    dilations: tuple[Dilation, ...] = Field(default=tuple(2**k for k in range(10)), min_length=1, max_length=64)
    activation: Activation = "Tanh"
    gated: bool = False
    head_bias: bool = False


STANDARD = (ArrayConfig(channels=16, head=8), ArrayConfig(channels=8, head=1, head_bias=True))


_SPLIT = 4
"""A signal is split in time for the sake of more threads if a part has so many times the samples of its context."""
_LONG_BLOCK = 1 << 20


class WaveNetConfig(EffectConfig):
    """Sizes of a :class:`WaveNetEffect`.

    Args:
        model: ``"wavenet"``.
        arrays: in series.
        head_scale: of the output.
    """

    model: Literal["wavenet"] = "wavenet"
    arrays: tuple[ArrayConfig, ...] = Field(default=STANDARD, min_length=1, max_length=16)
    head_scale: float = Field(default=0.02, allow_inf_nan=False)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        for i, (array, after) in enumerate(zip(self.arrays, [*self.arrays[1:], None], strict=True)):
            expected = 1 if after is None else after.channels
            if array.head != expected:
                raise ValueError(f"layer array {i} has a head of {array.head} channels, expected {expected}")
        kept = sum(sum(a.dilations) * (a.kernel - 1) * a.channels for a in self.arrays)
        if kept > MOST_KEPT:
            raise ValueError(f"it keeps {kept} values of the past; at most {MOST_KEPT}. Its dilations are too long")
        return self


class Layer(nn.Module):
    """Convolution, conditioning, activation, 1×1 and residual connection; ``dilation`` samples between taps."""

    def __init__(self, config: ArrayConfig, conditions: int, dilation: int) -> None:
        super().__init__()
        self.config, self.dilation = config, dilation
        outputs = config.channels * (2 if config.gated else 1)
        self.conv = nn.Conv1d(config.channels, outputs, config.kernel, dilation=dilation)
        self.mixer = nn.Conv1d(conditions, outputs, 1, bias=False)
        self.last = nn.Conv1d(config.channels, config.channels, 1)

    @property
    def reach(self) -> int:
        """Samples of the past that it needs."""
        return (self.config.kernel - 1) * self.dilation

    def forward(self, signal: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """A signal that is longer by its reach than the condition -> activations, and the signal for the next layer."""
        config = self.config
        z = self.conv(signal) + self.mixer(condition)
        activate = ACTIVATIONS[config.activation]
        gate = torch.sigmoid(z[:, config.channels :]) if config.gated else 1.0
        z = activate(z[:, : config.channels]) * gate
        return z, signal[..., self.reach :] + self.last(z)


class LayerArray(nn.Module):
    """Layers in series, and the sum of their activations."""

    def __init__(self, config: ArrayConfig, inputs: int, conditions: int) -> None:
        super().__init__()
        self.rechannel = nn.Conv1d(inputs, config.channels, 1, bias=False)
        self.layers: Any = nn.ModuleList(Layer(config, conditions, dilation) for dilation in config.dilations)
        self.head = nn.Conv1d(config.channels, config.head, 1, bias=config.head_bias)

    def forward(self, signal: Tensor, condition: Tensor, total: Tensor | None) -> tuple[Tensor, Tensor]:
        """The sum for the next array, and the signal for it; shorter than the input by the array's reach."""
        signal = self.rechannel(signal)
        samples = signal.size(-1) - sum(layer.reach for layer in self.layers)
        total = None if total is None else total[..., -samples:]
        for layer in self.layers:
            z, signal = layer(signal, condition[..., -(signal.size(-1) - layer.reach) :])
            total = z[..., -samples:] if total is None else total + z[..., -samples:]
        return self.head(total), signal

    def weights(self) -> list[Tensor]:
        """All of them but those of :meth:`held`, in the order of :func:`graphmix.dsp.dilated_layout.layout`."""
        parts = [self.rechannel.weight]
        for layer in self.layers:
            parts += [layer.conv.weight.permute(2, 0, 1), layer.mixer.weight[:, 0], layer.last.weight, layer.last.bias]
        bias = self.head.weight.new_zeros(self.head.weight.size(0)) if self.head.bias is None else self.head.bias
        return [*parts, self.head.weight, bias]


class WaveNetEffect(EffectModel):
    """A WaveNet in the place of a device; see the module."""

    config: WaveNetConfig
    arrays: Any
    reach: int

    def __init__(self, config: WaveNetConfig) -> None:
        super().__init__(config)
        conditions = 1 + len(config.controls)
        inputs = [1, *(array.channels for array in config.arrays[:-1])]
        self.arrays = nn.ModuleList(
            LayerArray(array, size, conditions) for array, size in zip(config.arrays, inputs, strict=True)
        )
        self.head_scale = config.head_scale
        self.compiled = all(array.activation == "Tanh" and not array.gated for array in config.arrays)
        """There is a compiled pass for it, on the CPU."""
        self._layout = layout([ArraySizes(a.channels, a.head, a.kernel, a.dilations) for a in config.arrays])
        self.reach = self._layout.reach

    @property
    def block(self) -> int:
        """Long where the compiled pass keeps no signal of a layer, so that parts of it are worth a thread."""
        plain = not self.compiled or self.arrays[0].head.weight.device.type != "cpu"
        return max(BLOCK, 8 * self.reach) if plain else _LONG_BLOCK

    @torch.no_grad()
    def rest(self, controls: Tensor) -> State:
        """Silence, and what each layer has seen after long silence: the same at all times."""
        audio = controls.new_zeros(controls.size(0), self.reach)
        if not self.compiled or controls.device.type != "cpu":
            return (audio,)
        held, signal, past = self._held(controls), controls.new_zeros(controls.size(0), 1), list[Tensor]()
        for array in self.arrays:
            signal = signal @ array.rechannel.weight[..., 0].t()
            for layer in array.layers:
                past.append(signal[..., None].expand(-1, -1, layer.reach).flatten(1))
                own, held = held[:, : signal.size(1)], held[:, signal.size(1) :]
                z = torch.tanh(own + signal @ layer.conv.weight.sum(-1).t())
                signal = signal + z @ layer.last.weight[..., 0].t() + layer.last.bias
        return audio, torch.cat(past, dim=1)

    def run(self, audio: Tensor, controls: Tensor, state: State) -> tuple[Tensor, State]:
        """One block; the state is the audio before it and, for the compiled pass, the past of each layer."""
        extended = torch.cat([state[0], audio], dim=-1)
        after = extended[:, extended.size(-1) - self.reach :]
        if len(state) == 1:
            return self._plain(extended, controls), (after,)
        weights, held = self._weights(), self._held(controls)
        parts = self._parts(*audio.shape)
        differentiable = torch.is_grad_enabled() and any(t.requires_grad for t in (extended, held, weights))
        if parts > 1 or differentiable:
            out, past = self._cold(extended, held, weights, parts)
        else:
            out, past = warm(self._layout, audio, held, weights, state[1])
        return self.head_scale * out, (after, past)

    def respond(self, audio: Tensor, controls: Tensor | None = None) -> Tensor:
        """Outputs from the sample on that has ``context`` samples before it; nothing is computed in vain."""
        unit = self.normalized(controls, audio)
        if not self.compiled or audio.device.type != "cpu":
            return self._plain(audio, unit)
        parts = self._parts(audio.size(0), audio.size(1) - self.reach)
        return self.head_scale * self._cold(audio, self._held(unit), self._weights(), parts)[0]

    def _plain(self, audio: Tensor, controls: Tensor) -> Tensor:
        """As :meth:`respond`, by PyTorch's convolutions; the reference for the compiled pass."""
        signal, total = audio[:, None], None
        held = controls[..., None].expand(-1, -1, signal.size(-1))
        condition = torch.cat([signal, held], dim=1)
        for array in self.arrays:
            total, signal = array(signal, condition, total)
        assert total is not None, "there is at least one array"
        return self.head_scale * total[:, 0]

    def _parts(self, rows: int, samples: int) -> int:
        """In how many parts each row is split, so that all threads have the same to do."""
        threads = numba.get_num_threads()
        return max(1, min(threads // math.gcd(rows, threads), samples // (_SPLIT * self.reach + 1)))

    def _cold(self, audio: Tensor, held: Tensor, weights: Tensor, parts: int) -> tuple[Tensor, Tensor]:
        """As :func:`graphmix.dsp.dilated.cold`, with each row split in so many parts, whose contexts overlap."""
        if parts == 1:
            return cold(self._layout, audio, held, weights)
        rows, samples = audio.size(0), audio.size(1) - self.reach
        length = -(-samples // parts)
        audio = functional.pad(audio, (length * parts - samples, 0))  # what comes of it is cut off
        pieces = audio.unfold(-1, self.reach + length, length).flatten(0, 1)
        out, past = cold(self._layout, pieces, held.repeat_interleave(parts, dim=0), weights)
        return out.view(rows, -1)[:, length * parts - samples :], past[parts - 1 :: parts]

    def _weights(self) -> Tensor:
        """All weights of the compiled pass, flat."""
        return torch.cat([part.flatten() for array in self.arrays for part in array.weights()])

    def _held(self, controls: Tensor) -> Tensor:
        """What all layers add before tanh at any time: biases, and the controls' part; [rows, all channels]."""
        layers = [layer for array in self.arrays for layer in array.layers]
        bias = torch.cat([layer.conv.bias for layer in layers]).expand(controls.size(0), -1)
        if not controls.size(1):
            return bias
        return bias + controls @ torch.cat([layer.mixer.weight[:, 1:, 0] for layer in layers]).t()
