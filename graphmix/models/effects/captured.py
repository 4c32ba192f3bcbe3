"""A captured device as a node type: its controls are the node's parameters, and it renders like any other processor.

A capture is mono: left and right pass through the same network, each for itself. It keeps its own sample rate: in a
graph at another rate the audio is resampled on its way in and out (a windowed sinc, which is transparent up to 0.45 of
the lower rate and adds no latency). The weights are fixed; gradients flow to controls and audio.
"""

import copy
import math
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from graphmix.dsp.resampling import ZERO_CROSSINGS, can_resample, resample
from graphmix.errors import GraphError, GraphmixError
from graphmix.models.effects.effect import Control, EffectModel
from graphmix.models.effects.effect_files import digest_of, load_effect
from graphmix.models.effects.recurrent_effect import REST_SECONDS
from graphmix.processors.base import Processor, State
from graphmix.spec import NodeType, ParameterSpec

START_WET = 0.01
"""Dry/wet weight at the beginning of a search: a device has no neutral setting."""
_SILENT = 1e-7
Node = TypeVar("Node", bound=Processor)
"""A captured effect or a separator."""
CAPTURED = "effect"
"""What ``graphmix capture`` calls the file in its folder: of several, the folders tell which is which."""


class CapturedEffect(Processor):
    """A network of a device as a processor.

    Args:
        model: the network; it is frozen.
        name: of the node type, e.g. ``"amp"``.
        letter: of the node type in chains.
        sample_rate: of the graph, in Hz.
        source: file and digest, for graphs that use it; see :func:`captured_effect`.

    Params:
        one for each control of the device, in its own units and range [nodes, 1].

    Shape:
        audio [nodes, 2, samples] -> the same.

    Not for: a device whose channels act on each other, such as a linked stereo compressor.
    """

    gain_staged = True
    start_wet = START_WET

    def __init__(self, model: EffectModel, name: str, letter: str, sample_rate: int = 30000, source: str = "") -> None:
        super().__init__(sample_rate)
        _check_rates(model.config.sample_rate, sample_rate)
        self.model = model.eval().requires_grad_(False)
        parameters = tuple(_specification(control) for control in model.config.controls)
        self.node_type = NodeType(name, letter, parameters, source=source or f"{name} {digest_of(model)}")
        self._double: list[EffectModel] = []
        with torch.no_grad():
            silence = self.model(torch.zeros(1, 256))
        self.keeps_silence = bool(silence.abs().max() < _SILENT)

    def at_rate(self, sample_rate: int) -> "CapturedEffect":
        """The same network, which keeps its own rate."""
        own = self.node_type
        return CapturedEffect(self.model, own.name, own.letter, sample_rate, own.source)

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only. All nodes pass through the network together."""
        return self.resume(audio, params, None, 0)[0]

    @property
    def resumable(self) -> bool:
        """True: the state of the network is carried, and what the resampling filters reach back to."""
        return True

    @property
    def period(self) -> int:
        """Samples of the graph after which a sample of the network lies at the same time again."""
        return self.sample_rate // math.gcd(self.sample_rate, self.model.config.sample_rate)

    def memory(self, params: Tensor) -> tuple[int, int]:
        """As far as the network and the resampling filters reach; a recurrent network half a second."""
        rate, own = self.sample_rate, self.model.config.sample_rate
        reach = self.model.reach
        own_samples = round(REST_SECONDS * own) if reach is None else reach
        filters = 0 if rate == own else 2 * (ZERO_CROSSINGS * max(1, -(-rate // own)) + 1)
        return -(-own_samples * rate // own) + filters, filters

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal; the state is of signals, [channels in all, ...].

        Where left and right are one signal it passes through the network once, unless gradients of both are asked for.
        Whether they are is decided by the whole part, and states are kept for both channels.
        """
        single = audio.size(1) == 2 and not audio.requires_grad and torch.equal(audio[:, 0], audio[:, 1])
        single = single and (state is None or all(torch.equal(part[::2], part[1::2]) for part in state))
        channels = 1 if single else audio.size(1)
        dtype = torch.float64 if audio.dtype == torch.float64 else torch.float32
        rows = audio[:, :channels].flatten(0, 1).to(dtype)
        controls = params.repeat_interleave(channels, dim=0).to(dtype)
        if state is not None and single:
            state = tuple(part[::2] for part in state)
        out, after = self._resume_rows(rows, controls, state, mark)
        if single:
            after = tuple(part.repeat_interleave(2, dim=0) for part in after)
        return out.unflatten(0, (-1, channels)).expand(audio.shape).to(audio.dtype), after

    def _resume_rows(self, rows: Tensor, controls: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """The same for signals [rows, samples], in the graph's rate."""
        rate, own, model = self.sample_rate, self.model.config.sample_rate, self._model(rows.dtype)
        unit = model.normalized(controls, rows)
        if rate == own:
            inner = model.rest(unit) if state is None else state
            return _in_two(model, rows, unit, inner, mark)
        periods, own_period = -(-self._reach // self.period), own * self.period // rate
        length, own_length = periods * self.period, periods * own_period  # of what is kept of the past
        if state is None:
            zeros = rows.new_zeros(len(rows), 1)
            state = zeros.expand(-1, length), zeros.expand(-1, own_length), *model.rest(unit)
        silence = rows.new_zeros(len(rows), length)  # what the filters need of the time after the last sample
        before = torch.cat([state[0], rows, silence], dim=-1)
        inner, own_mark = state[2:], mark // self.period * own_period
        made, inner = _in_two(model, resample(before, rate, own)[:, own_length:], unit, inner, own_mark)
        made = torch.cat([state[1], made], dim=-1)
        out = resample(made, own, rate)[:, length : length + rows.size(1)]
        return out, (before[:, mark : mark + length], made[:, own_mark : own_mark + own_length], *inner)

    @property
    def _reach(self) -> int:
        """Samples of the graph that a resampling filter reaches to either side, and one period."""
        return self.memory(torch.zeros(1, 0))[1] + self.period

    def _model(self, dtype: torch.dtype) -> EffectModel:
        """The network in the precision of the signals."""
        if dtype == torch.float32:
            return self.model
        if not self._double:
            self._double.append(copy.deepcopy(self.model).double())
        return self._double[0]


def _in_two(model: EffectModel, audio: Tensor, unit: Tensor, state: State, mark: int) -> tuple[Tensor, State]:
    """A whole signal, and the state after ``mark`` samples of it."""
    if mark == 0:
        return model.follow(audio, unit, state)[0], state
    first, state = model.follow(audio[:, :mark], unit, state)
    rest, _ = model.follow(audio[:, mark:], unit, state)
    return torch.cat([first, rest], dim=-1), state


def _specification(control: Control) -> ParameterSpec:
    return ParameterSpec(control.name, 1, control.unit, control.low, control.high, control.start)


def _check_rates(own: int, rate: int) -> None:
    """The filter bank of a resampler has as many filters as the ratio of the rates asks for."""
    if not can_resample(own, rate):
        raise GraphError(
            f"the effect was captured at {own} Hz and the graph has {rate} Hz: no resampler connects two rates "
            "with so little in common. Choose another sample rate for the graph."
        )


def captured_effect(
    path: str | PathLike[str], letter: str, sample_rate: int = 30000, name: str | None = None
) -> CapturedEffect:
    """A captured device from its file, as a processor.

    Args:
        path: ``.safetensors`` of graphmix or ``.nam`` of Neural Amp Modeler.
        letter: of the node type in chains; none that graphmix uses itself.
        sample_rate: of the graph, in Hz.
        name: of the node type; by default the file's name, or its folder's where that is ``effect``.

    Raises:
        GraphmixError: a file that cannot be read, a letter or name that cannot be used.

    Example:
        >>> import tempfile, os
        >>> from graphmix.models.effects import build_effect, save_effect
        >>> from graphmix.processors import Rack
        >>> path = os.path.join(tempfile.mkdtemp(), "amp.safetensors")
        >>> _ = save_effect(build_effect({"model": "lstm", "hidden": 4}), path)
        >>> Rack.console("eg").with_processor(captured_effect(path, "a")).names
        ('equalizer', 'gain', 'amp')
    """
    path = Path(path)
    model, _ = load_effect(path)
    source = f"{path.name} {digest_of(model)}"
    return named_node(
        path, letter, name, (CAPTURED, "effect"), lambda name: CapturedEffect(model, name, letter, sample_rate, source)
    )


def named_node(path: Path, letter: str, name: str | None, usual: tuple[str, str], build: Callable[[str], Node]) -> Node:
    """A processor from a file, under the name of the file.

    Args:
        path: of the file.
        letter: of the node type, for errors.
        name: of the node type, in place of the file's.
        usual: what files in folders of runs are called, whose folders name the node; and the name if nothing is left.
        build: makes the processor of that name.

    Raises:
        GraphmixError: a letter or name that cannot be used.
    """
    stem, otherwise = usual
    folder = path.absolute().parent.name if path.stem == stem else ""
    name = "".join(c if c.isalnum() else "_" for c in (name or folder or path.stem)).strip("_").lower() or otherwise
    try:
        return build(name)
    except GraphmixError:
        raise
    except ValueError as error:
        raise GraphError(f"{path} cannot be the node type {name!r} with letter {letter!r}: {error}.") from None


def effect_from_file(
    path: str | PathLike[str], letter: str, sample_rate: int = 30000, name: str | None = None
) -> Processor:
    """What a file holds, as a processor.

    That is a captured device, an impulse response (an audio file), or a separator (also a folder of its training, or a
    name).

    Args:
        path, letter, sample_rate, name: as of :func:`captured_effect`,
            :func:`graphmix.models.effects.impulse_response.impulse_response` and
            :func:`graphmix.models.masks.node.separator_node`.

    Raises:
        GraphmixError: as these.
    """
    from graphmix.models.effects.impulse_response import impulse_response, is_impulse_response
    from graphmix.models.masks.node import is_separator, separator_node

    if is_impulse_response(path):
        return impulse_response(path, letter, sample_rate, name)
    return (separator_node if is_separator(path) else captured_effect)(path, letter, sample_rate, name)


def effect_from_text(text: str, letter: str, sample_rate: int = 30000, name: str | None = None) -> Processor:
    """An effect as it is written on a command line or in a configuration: the file of one, or a plugin.

    Args:
        text: a path, or what :func:`graphmix.processors.plugin.plugin_from_text` takes.
        letter: of the node type in chains.
        sample_rate: of the graph, in Hz.
        name: of the node type of a captured effect.

    Raises:
        GraphmixError: as :func:`effect_from_file` and :func:`graphmix.processors.plugin.plugin_from_text`.
    """
    from graphmix.processors.plugin import is_plugin, plugin_from_text

    if is_plugin(text):
        return plugin_from_text(text, letter, sample_rate)
    return effect_from_file(text, letter, sample_rate, name)
