"""A plugin as a node type: one of pedalboard's effects, or a VST3 file.

Its parameters that can be moved little by little are the node's parameters; choices and switches are fixed, and so is
whatever is given by keyword. It is rendered node by node on the CPU, from rest, at the graph's sample rate.

Nothing can be differentiated inside of a plugin. With ``gradient="none"`` its parameters and what comes in get no
gradient; that of the dry/wet weight is exact all the same, so that a search can prune it. With ``gradient="spsa"`` they
are estimated from further renders, see :mod:`graphmix.processors.perturbation`.
"""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from graphmix.errors import GraphError, GraphmixError
from graphmix.processors.base import Processor
from graphmix.processors.perturbation import Perturbation, Perturbed
from graphmix.processors.plugin_host import PREFIX, Audio, BuiltInHost, PluginHost, VST3Host
from graphmix.spec import NodeType, ParameterSpec

START_WET = 0.01
"""Dry/wet weight at the beginning of a search: most plugins have no neutral setting."""
GRADIENTS = ("none", "spsa")
VST3 = ".vst3"
_SILENT = 1e-7
_PROBE = 4096
"""Samples of noise on which a plugin is tried."""
_SHIFT = 1000
_DIFFERS = 1e-3
"""Share of the output's level from which two outputs count as different."""


class PluginEffect(Processor):
    """A plugin as a processor.

    Args:
        host: the plugin.
        name: of the node type.
        letter: of the node type in chains.
        gradient: ``"none"`` or ``"spsa"``.
        how: sizes of steps and number of draws of ``"spsa"``.

    Attributes:
        coupled: left and right act on each other.
        varies: the output depends on when the input begins, e.g. by an oscillator that starts with it.

    Params:
        one for each parameter of the plugin that is not fixed, in its own unit and range [nodes, 1].

    Shape:
        audio [nodes, 2, samples] -> the same.

    Not for: instruments, and effects that are to follow the tempo of a song.
    """

    gain_staged = True
    start_wet = START_WET

    def __init__(
        self,
        host: PluginHost,
        name: str,
        letter: str,
        gradient: Literal["none", "spsa"] = "none",
        how: Perturbation | None = None,
    ) -> None:
        super().__init__(host.sample_rate)
        if gradient not in GRADIENTS:
            raise GraphmixError(f"the gradient of a plugin is {gradient!r}; it is one of {', '.join(GRADIENTS)}.")
        self.host, self.gradient = host, gradient
        self.node_type = NodeType(name, letter, host.parameters, source=host.identity)
        self.passes_gradients = gradient != "none"
        self.keeps_silence = bool(np.abs(self._render(np.zeros((2, _PROBE), np.float32))).max() < _SILENT)
        self.coupled, self.varies = self._try()
        self._perturbed = Perturbed(self._render_unit, self.coupled, self.varies, how or Perturbation())

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes, one after the other; wet only."""
        if self.gradient == "none":
            return self._render_all(audio, params)
        return self._perturbed(audio, self._unit(params), lambda: self._render_all(audio, params))

    def at_rate(self, sample_rate: int) -> "PluginEffect":
        """The same plugin at another rate."""
        own = self.node_type
        return PluginEffect(self.host.at_rate(sample_rate), own.name, own.letter, self.gradient, self._perturbed.how)

    def memory(self, params: Tensor) -> tuple[int, int]:
        """Nothing before, as rendering in blocks carries the plugin on; ahead, what its stream lags."""
        return 0, self.host.lag

    @property
    def streams(self) -> bool:
        """True: the state of a plugin cannot be read."""
        return True

    def stream(self, params: Tensor) -> Callable[[Tensor], Tensor]:
        """A plugin of one node that goes on from block to block; see :meth:`Processor.stream`."""
        feed = self.host.stream(_values(params))
        return lambda audio: torch.from_numpy(feed(_array(audio))).to(audio)

    def start(self, params: Tensor, generator: torch.Generator) -> Tensor:
        """Where the plugin does something: at its neutral values many a parameter would have no effect."""
        return torch.tensor(self.host.start).to(params).expand_as(params).clone()

    def extra_repr(self) -> str:
        """The plugin and how its gradients come about."""
        how = f", {self._perturbed.how}" if self.passes_gradients else ""
        return f"{self.host.identity}, gradient={self.gradient}{how}"

    def _render(self, audio: Audio) -> Audio:
        return self.host.render(audio, self.host.start)

    def _try(self) -> tuple[bool, bool]:
        """Whether left and right act on each other, and whether the output depends on when the input begins."""
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, _PROBE)).astype(np.float32)
        left = noise.copy()
        left[1] = 0
        early, late, of_left = (
            self._render(np.pad(wave, ((0, 0), (rest, 0))))[:, rest:]  # silence first: a plugin may start with a click
            for wave, rest in ((noise, _PROBE), (noise, _PROBE + _SHIFT), (left, _PROBE))
        )
        least = _DIFFERS * max(_SILENT, float(np.abs(early).max()))
        apart = float(max(np.abs(early[0] - of_left[0]).max(), np.abs(of_left[1]).max()))
        return apart > least and not self.host.mono, bool(np.abs(late - early).max() > least)

    @torch.no_grad()
    def _render_all(self, audio: Tensor, params: Tensor) -> Tensor:
        waves = _array(audio)
        out = np.empty_like(waves)
        for i, values in enumerate(params):
            out[i] = self.host.render(waves[i], _values(values)) if waves.shape[-1] else waves[i]
        return torch.from_numpy(out).to(audio)

    def _render_unit(self, audio: Audio, place: np.ndarray) -> Audio:
        """One node, whose parameters are given in units of 0 to 1 over their ranges."""
        values = []
        for p, unit in zip(self.node_type.parameters, place.tolist(), strict=True):
            low, high = _raw_range(p)
            physical = p.curve.physical(low + unit * (high - low))
            values.append(min(max(float(physical), p.low), p.high))
        return self.host.render(audio, values)

    def _unit(self, params: Tensor) -> Tensor:
        """Parameters in units of 0 to 1 over their ranges, [nodes, width]."""
        columns = []
        for p in self.node_type.parameters:
            low, high = (edge.to(params) for edge in _raw_range(p))
            columns.append((p.curve.raw(self.get(params, p.name)) - low) / (high - low))
        return torch.cat([params[:, :0], *columns], dim=1)


def _raw_range(p: ParameterSpec) -> tuple[Tensor, Tensor]:
    low, high = p.curve.raw(torch.tensor([p.low, p.high], dtype=torch.float64))
    return low, high


def _array(audio: Tensor) -> Audio:
    return np.ascontiguousarray(audio.detach().cpu().float().numpy())


def _values(params: Tensor) -> list[float]:
    return [float(value) for value in params.detach().cpu()]


def plugin_effect(
    plugin: str | PathLike[str],
    letter: str,
    sample_rate: int = 30000,
    *,
    name: str | None = None,
    gradient: Literal["none", "spsa"] = "none",
    how: Perturbation | None = None,
    plugin_name: str | None = None,
    **settings: Any,
) -> PluginEffect:
    """A plugin as a processor.

    Args:
        plugin: class name of one of pedalboard's effects, e.g. ``"Compressor"``, or path of a ``.vst3`` file or folder.
        letter: of the node type in chains; none that graphmix uses itself.
        sample_rate: of the graph, in Hz.
        name: of the node type; ``plugin_`` and the plugin's name by default.
        gradient: ``"none"``, or ``"spsa"`` for estimates by simultaneous perturbation.
        how: sizes of steps and number of draws of ``"spsa"``.
        plugin_name: which one, in a ``.vst3`` file of several.
        **settings: values of parameters that are fixed, choices and switches, under pedalboard's names of them.

    Raises:
        GraphmixError: pedalboard is not installed, a plugin that cannot be loaded, a setting that there is not.

    Example:
        >>> from graphmix.processors import Rack
        >>> squeeze = plugin_effect("Compressor", "p", 48000, attack_ms=5, release_ms=80)  # doctest: +SKIP
        >>> Rack.console("eg", 48000).with_processor(squeeze).names  # doctest: +SKIP
        ('equalizer', 'gain', 'plugin_compressor')
    """
    path = Path(plugin)
    host: PluginHost
    if path.suffix.lower() == VST3:
        host = VST3Host(path, sample_rate, settings, plugin_name)
    else:
        host = BuiltInHost(str(plugin), sample_rate, settings)
    plain = "".join(c if c.isalnum() else "_" for c in path.stem).strip("_").lower()
    try:
        return PluginEffect(host, name or f"plugin_{plain}", letter, gradient, how)
    except GraphmixError:
        raise
    except ValueError as error:
        raise GraphError(f"{plugin} cannot be a node type with the letter {letter!r}: {error}.") from None


_OPTIONS = ("gradient", "draws", "name", "plugin_name")
"""What may be said of a plugin beside its settings."""


def plugin_from_text(text: str, letter: str, sample_rate: int = 30000) -> PluginEffect:
    """A plugin as it is written on a command line.

    Args:
        text: ``plugin:Compressor`` or a ``.vst3`` path, with settings and options after commas:
            ``plugin:Compressor,ratio=4,gradient=spsa,draws=2``.
        letter: of the node type in chains.
        sample_rate: of the graph, in Hz.

    Raises:
        GraphmixError: as :func:`plugin_effect`, or a text of another form.
    """
    end = text.lower().rfind(VST3)
    cut = end + len(VST3) if end >= 0 else len(text.partition(",")[0])
    plugin, rest = text[:cut].removeprefix(PREFIX), text[cut:].removeprefix(",")
    given: dict[str, Any] = {}
    for entry in filter(None, rest.split(",")):
        key, equals, value = entry.partition("=")
        if not equals or not key or key in given:
            raise GraphmixError(f"{text}: {entry!r} is no setting of its own; write NAME=VALUE, each name once.")
        given[key] = value
    options = {key: given.pop(key) for key in _OPTIONS if key in given}
    draws = options.pop("draws", None)
    if draws is not None:
        if not draws.isdecimal():
            raise GraphmixError(f"{text}: draws is {draws!r}; it is a number of estimates to be averaged.")
        options["how"] = Perturbation(draws=int(draws))
    settings: dict[str, Any] = {key: _plain(value) for key, value in given.items()}
    return plugin_effect(plugin, letter, sample_rate, **options, **settings)


def _plain(value: str) -> str | float | bool:
    """A setting as a number or a truth value, if it is one."""
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        return float(value)
    except ValueError:
        return value


def is_plugin(text: str) -> bool:
    """Whether a text names a plugin, and not a captured effect's file."""
    return text.startswith(PREFIX) or VST3 in text.lower()
