r"""A WaveNet of audio effects in the form of Neural Amp Modeler (Atkinson; after van den Oord et al. 2016).

Arrays of layers in series. Each array lifts its input to its channels; each layer is a dilated convolution of these,
plus a mix of the conditioning signal (the input and the controls), through an activation; a 1×1 convolution of that is
added to what goes on to the next layer. The sum of all layers' activations, brought to the next array's channels, is
where the next array's sum begins; after the last array, times ``head_scale``, it is the output.

A standard network has 13,802 weights in two arrays of 16 and 8 channels and sees 4,093 samples. Layers with tanh are
compiled loops on the CPU (:mod:`graphmix.dsp.dilated`); other activations, gates and devices go through PyTorch's
convolutions.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from graphmix.dsp.dilated import dilated_layer
from graphmix.models.config import Table
from graphmix.models.effects.effect import EffectConfig, EffectModel, State

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
        if config.activation == "Tanh" and not config.gated and signal.device.type == "cpu":
            bias = self.conv.bias
            assert bias is not None, "these convolutions have a bias"
            last_bias = self.last.bias
            assert last_bias is not None, "these convolutions have a bias"
            weights = self.conv.weight, bias, self.mixer.weight[..., 0]
            condition = condition.contiguous()
            return dilated_layer(signal, condition, *weights, self.last.weight[..., 0], last_bias, self.dilation)
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

    @property
    def reach(self) -> int:
        """Samples of the past that it needs."""
        return sum(layer.reach for layer in self.layers)

    def forward(
        self, signal: Tensor, condition: Tensor, total: Tensor | None, histories: list[Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """The sum for the next array, and the signal for it.

        With ``histories``, the end of each layer's previous input, they are as long as the input, and the histories
        are replaced by the next; without, they are shorter by the array's reach.
        """
        signal = self.rechannel(signal)
        samples = signal.size(-1) - (self.reach if histories is None else 0)
        total = None if total is None else total[..., -samples:]
        for i, layer in enumerate(self.layers):
            if histories is not None:
                signal = torch.cat([histories[i], signal], dim=-1)
                histories[i] = signal[..., signal.size(-1) - layer.reach :]
            z, signal = layer(signal, condition[..., -(signal.size(-1) - layer.reach) :])
            total = z[..., -samples:] if total is None else total + z[..., -samples:]
        return self.head(total), signal


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
        self.reach = sum(sum(a.dilations) * (a.kernel - 1) for a in config.arrays)
        self.head_scale = config.head_scale

    def rest(self, controls: Tensor) -> State:
        """What each layer has seen after a long silence: the same at all times."""
        condition = torch.cat([controls.new_zeros(controls.size(0), 1), controls], dim=1)[..., None]
        signal, state = condition[:, :1], list[Tensor]()
        for array in self.arrays:
            signal = array.rechannel(signal)
            for layer in array.layers:
                constant = signal.expand(-1, -1, layer.reach)
                state.append(constant.contiguous())
                _, signal = layer(torch.cat([constant, signal], dim=-1), condition)
        return tuple(state)

    def run(self, audio: Tensor, controls: Tensor, state: State) -> tuple[Tensor, State]:
        """One block."""
        histories = list(state)
        total, signal = None, audio[:, None]
        condition = self._condition(signal, controls)
        first = 0
        for array in self.arrays:
            last = first + len(array.layers)
            part = histories[first:last]
            total, signal = array(signal, condition, total, part)
            histories[first:last], first = part, last
        assert total is not None, "there is at least one array"
        return self.head_scale * total[:, 0], tuple(histories)

    def respond(self, audio: Tensor, controls: Tensor | None = None) -> Tensor:
        """Outputs from the sample on that has ``context`` samples before it; nothing is computed in vain."""
        signal, total = audio[:, None], None
        condition = self._condition(signal, self.normalized(controls, audio))
        for array in self.arrays:
            total, signal = array(signal, condition, total, None)
        assert total is not None, "there is at least one array"
        return self.head_scale * total[:, 0]

    @staticmethod
    def _condition(signal: Tensor, controls: Tensor) -> Tensor:
        """The input and the controls, [rows, 1 + controls, samples]."""
        held = controls[..., None].expand(-1, -1, signal.size(-1))
        return torch.cat([signal, held], dim=1) if controls.size(1) else signal
