"""Plugins outside of graphs: pedalboard loads them, sets them, and runs them over NumPy arrays.

Conventions: audio is float32 [2, samples] at the rate of the host; values are physical, one for each parameter. A
render begins with the plugin at rest, whatever it did before, and is free of the latency that the plugin reports. What
is stereo processes left and right together; what takes one channel only processes each for itself.
"""

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from graphmix.errors import GraphmixError
from graphmix.processors.plugin_parameters import BUILT_IN, specification
from graphmix.spec import ParameterSpec

Audio = NDArray[np.float32]
Feed = Callable[[Audio], Audio]
PREFIX = "plugin:"
"""Before the name of one of pedalboard's own effects, where a file could be meant."""
BUFFER = 512
"""Samples that a plugin is given at a time, always the same: some sound otherwise in other portions, and a longer one
than the last would make pedalboard reset a plugin."""
SHORTEST = 3
"""pedalboard takes the shorter axis of an array for the channels."""
_DIGITS = 16
_EDGE = 0.1
"""Share of a range in which no search starts, at either end."""
_LATENCY_SECONDS = 2.0
"""Longest latency that is found."""


@contextmanager
def _same_arithmetic() -> Iterator[None]:
    """Subnormal numbers stay what they are: a library built with ``-ffast-math`` rounds them to zero as it is loaded,
    for the whole thread and from then on.
    """
    flushed = not np.float32(1e-40) * np.float32(1)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)


def pedalboard() -> Any:
    """The package.

    Raises:
        GraphmixError: it is not installed.
    """
    try:
        import pedalboard
    except ImportError:
        raise GraphmixError("plugins need the package pedalboard: pip install 'graphmix[plugins]'.") from None
    return pedalboard


class PluginHost(ABC):
    """A plugin with some of its parameters fixed.

    Args:
        sample_rate: in Hz.

    Attributes:
        identity: plugin, settings, versions and a digest of these, in a line.
        parameters: those that are not fixed.
        start: where a search starts with them.
        latency: in samples, as reported by the plugin; it is removed from what :meth:`render` gives.
    """

    identity: str
    parameters: tuple[ParameterSpec, ...]
    start: tuple[float, ...]

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.mono = False

    @abstractmethod
    def at_rate(self, sample_rate: int) -> "PluginHost":
        """The same plugin and settings at another rate."""

    @abstractmethod
    def instance(self, values: Sequence[float]) -> Any:
        """A plugin that nothing else uses, at rest, set to values."""

    @abstractmethod
    def render(self, audio: Audio, values: Sequence[float]) -> Audio:
        """A whole signal, from rest."""

    @property
    def lag(self) -> int:
        """Most samples by which what a stream returns is behind what it was given."""
        return self.latency + BUFFER - 1

    def stream(self, values: Sequence[float]) -> Feed:
        """A function of one block after the other; what it returns lags behind."""
        if self.mono:
            left, right = (_Feed(self.instance(values), self.sample_rate) for _ in range(2))
            return lambda audio: np.concatenate([left(audio[:1]), right(audio[1:])])
        return _Feed(self.instance(values), self.sample_rate)

    def measure(self, values: Sequence[float]) -> None:
        """Find out whether the plugin takes two channels, and its latency.

        Raises:
            GraphmixError: it takes neither two channels nor one, or reports a latency beyond 2 s.
        """
        silence = np.zeros((2, BUFFER * -(-round(_LATENCY_SECONDS * self.sample_rate) // BUFFER)), np.float32)
        for self.mono in (False, True):
            try:
                self.render(silence[:, :BUFFER], values)
            except ValueError as error:
                refusal = error
            else:
                break
        else:
            raise GraphmixError(f"{self.identity} processes neither two channels nor one: {refusal}.")
        made = self.stream(values)(silence).shape[1]
        self.latency = silence.shape[1] - made
        if not made:
            raise GraphmixError(f"{self.identity} has a latency beyond {_LATENCY_SECONDS:g} s, which no graph can use.")

    def _whole(self, plugin: Any, audio: Audio) -> Audio:
        """A signal through an instance, from rest."""
        samples = audio.shape[1]
        if samples < SHORTEST:
            audio = np.pad(audio, ((0, 0), (0, SHORTEST - samples)))
        parts = np.split(audio, 2) if self.mono else [audio]
        done = [plugin.process(part, self.sample_rate, buffer_size=BUFFER, reset=True) for part in parts]
        return np.concatenate(done)[:, :samples]


class _Feed:
    """One instance that goes on where it stopped, from buffer to buffer: what does not fill one waits for the next."""

    def __init__(self, plugin: Any, sample_rate: int) -> None:
        self._plugin, self._sample_rate = plugin, sample_rate
        self._waiting: Audio | None = None

    def __call__(self, audio: Audio) -> Audio:
        whole = audio if self._waiting is None else np.concatenate([self._waiting, audio], axis=1)
        ready = whole.shape[1] // BUFFER * BUFFER
        self._waiting = whole[:, ready:]
        if not ready:
            return whole[:, :0]
        out = self._plugin.process(whole[:, :ready], self._sample_rate, buffer_size=BUFFER, reset=False)
        return out if out.size else whole[:, :0]


class BuiltInHost(PluginHost):
    """One of pedalboard's own effects.

    An instance is made for every render: they take microseconds, and share nothing between threads.

    Args:
        name: of the class, e.g. ``"Compressor"``.
        sample_rate: in Hz.
        settings: values of parameters that are fixed, and other settings, by name.

    Raises:
        GraphmixError: an effect or a setting that there is not.
    """

    def __init__(self, name: str, sample_rate: int, settings: Mapping[str, Any]) -> None:
        super().__init__(sample_rate)
        package = pedalboard()
        if name not in BUILT_IN or not hasattr(package, name):
            known = ", ".join(effect for effect in BUILT_IN if hasattr(package, effect))
            raise GraphmixError(f"there is no plugin {name!r}: give a .vst3 file or one of {known}.")
        effect = BUILT_IN[name]
        allowed = (*effect.parameters, *effect.choices)
        unknown = next((key for key in settings if key not in allowed), None)
        if unknown is not None:
            raise GraphmixError(f"{name} has no setting {unknown!r}; it has: {', '.join(allowed) or 'none'}.")
        self._kind, self._given = getattr(package, name), (name, dict(settings))
        self._settings = {**effect.settings, **{k: self._value(name, k, v) for k, v in settings.items()}}
        free = {key: p for key, p in effect.parameters.items() if key not in settings}
        self.parameters = tuple(p.specification(key, sample_rate) for key, p in free.items())
        self.start = tuple(min(float(p.start), s.high) for p, s in zip(free.values(), self.parameters, strict=True))
        self.identity = _identity(f"{PREFIX}{name}", settings, f"pedalboard {package.__version__}")
        self.measure(self.start)

    def _value(self, effect: str, key: str, value: Any) -> Any:
        """A setting as pedalboard takes it; tried out at once."""
        modes = self._kind.Mode.__members__ if key == "mode" else {}
        try:
            if key == "mode":
                return modes[str(value)]
            value = value if isinstance(value, bool) else float(value)
            setattr(self._kind(), key, value)
        except KeyError:
            raise GraphmixError(f"{effect}: the mode is {value!r}; it is one of {', '.join(modes)}.") from None
        except (TypeError, ValueError) as error:
            raise GraphmixError(f"{effect}: {key}={value}: {str(error).rstrip('.')}.") from None
        return value

    def at_rate(self, sample_rate: int) -> "BuiltInHost":
        """The same effect and settings at another rate."""
        return BuiltInHost(self._given[0], sample_rate, self._given[1])

    def instance(self, values: Sequence[float]) -> Any:
        """A plugin that nothing else uses, at rest, set to values."""
        named = {p.name: float(value) for p, value in zip(self.parameters, values, strict=True)}
        return self._kind(**self._settings, **named)

    def render(self, audio: Audio, values: Sequence[float]) -> Audio:
        """A whole signal, from rest."""
        return self._whole(self.instance(values), audio)


class VST3Host(PluginHost):
    """A VST3 plugin; one instance, for which threads wait.

    Args:
        path: of the ``.vst3`` file or folder.
        sample_rate: in Hz.
        settings: values of parameters that are fixed, choices and switches, by pedalboard's names of them.
        plugin_name: which one, in a file of several.

    Raises:
        GraphmixError: a file that cannot be loaded, an instrument, a setting that there is not.
    """

    def __init__(
        self, path: Path, sample_rate: int, settings: Mapping[str, Any], plugin_name: str | None = None
    ) -> None:
        super().__init__(sample_rate)
        self._path, self._name, self._settings = path, plugin_name, dict(settings)
        self._lock = threading.Lock()
        self._plugin = self._load()
        found = self._plugin.parameters
        scales = {key: scale for key, p in found.items() if (scale := _Scale.of(p)) is not None}
        self._scales = {key: scale for key, scale in scales.items() if key not in settings}
        self.parameters = tuple(self._specification(key, found[key]) for key in self._scales)
        self.start = tuple(self._inside(p) for p in self.parameters)
        maker = " ".join(filter(None, (self._plugin.name, self._plugin.version, "by", self._plugin.manufacturer_name)))
        about = f"{maker}, pedalboard {pedalboard().__version__}"
        self.identity = _identity(f"{path.name}{f'#{plugin_name}' if plugin_name else ''}", settings, about)
        self.measure(self.start)

    def _specification(self, key: str, parameter: Any) -> ParameterSpec:
        scale, unit = self._scales[key], str(parameter.units or "").strip()
        return specification(key, unit, scale.low, scale.high, scale.value(parameter.raw_value), self.sample_rate)

    def _inside(self, p: ParameterSpec) -> float:
        """A plugin's own value, away from the ends of the range, where it may do nothing at all."""
        scale = self._scales[p.name]
        return min(scale.value(min(max(scale.raw(p.neutral), _EDGE), 1 - _EDGE)), p.high)

    def __deepcopy__(self, memo: dict[int, Any]) -> "VST3Host":
        return self  # a plugin cannot be copied; whoever has the lock sets it

    def __reduce__(self) -> tuple[Any, ...]:
        return VST3Host, (self._path, self.sample_rate, self._settings, self._name)

    def _load(self) -> Any:
        """An instance with the fixed settings."""
        if not self._path.exists():
            raise GraphmixError(f"cannot load {self._path}: there is no such file.")
        try:
            with _same_arithmetic():
                plugin = pedalboard().load_plugin(str(self._path), plugin_name=self._name)
        except (ImportError, RuntimeError, ValueError, OSError) as error:
            raise GraphmixError(f"cannot load {self._path}: {' '.join(str(error).split()).rstrip('.')}.") from None
        if not plugin.is_effect:
            raise GraphmixError(f"{self._path} is an instrument, not an effect: it has no input.")
        for key, value in self._settings.items():
            if key not in plugin.parameters:
                known = ", ".join(plugin.parameters)
                raise GraphmixError(f"{self._path} has no setting {key!r}; it has: {known}.")
            try:
                setattr(plugin, key, value)
            except (TypeError, ValueError) as error:
                raise GraphmixError(f"{self._path}: {key}={value}: {str(error).rstrip('.')}.") from None
        return plugin

    def _set(self, plugin: Any, values: Sequence[float]) -> Any:
        for (key, scale), value in zip(self._scales.items(), values, strict=True):
            plugin.parameters[key].raw_value = scale.raw(value)
        return plugin

    def at_rate(self, sample_rate: int) -> "VST3Host":
        """The same plugin and settings at another rate."""
        return VST3Host(self._path, sample_rate, self._settings, self._name)

    def instance(self, values: Sequence[float]) -> Any:
        """A plugin that nothing else uses, at rest, set to values."""
        return self._set(self._load(), values)

    def render(self, audio: Audio, values: Sequence[float]) -> Audio:
        """A whole signal, from rest."""
        with self._lock:
            return self._whole(self._set(self._plugin, values), audio)


class _Scale:
    """How a VST3 parameter's values in its own unit lie on its scale of 0 to 1: piecewise linear, monotone."""

    def __init__(self, raw: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        order = np.argsort(values)
        self._raw, self._values = raw, values
        self._sorted = values[order], raw[order]
        self.low, self.high = float(values.min()), float(values.max())

    @classmethod
    def of(cls, parameter: Any) -> "_Scale | None":
        """None of what cannot be moved little by little: choices, switches, meters, and what is no number."""
        if parameter.type is not float or not parameter.is_automatable or len(parameter.ranges) < 3:
            return None
        edges, values = np.array(list(parameter.ranges)), np.array(list(parameter.ranges.values()), dtype=np.float64)
        finite = np.isfinite(values)
        edges, values = edges[finite], values[finite]
        steps = np.diff(values)
        if len(values) < 3 or not ((steps > 0).all() or (steps < 0).all()):
            return None
        raw = (edges[:, 0] + edges[:, 1] - np.diff(edges).min()) / 2  # the middle of the places with this value
        raw[0], raw[-1] = edges[0, 0], edges[-1, 1]
        return cls(raw, values)

    def value(self, raw: float) -> float:
        return float(np.interp(raw, self._raw, self._values))

    def raw(self, value: float) -> float:
        return float(np.interp(value, *self._sorted))


def _identity(plugin: str, settings: Mapping[str, Any], about: str) -> str:
    """What is written after ``--effect LETTER=``, the versions, and a digest of it all."""
    shown = {
        k: f"{v:g}" if isinstance(v, float | int) and not isinstance(v, bool) else str(v) for k, v in settings.items()
    }
    text = f"{','.join([plugin, *(f'{key}={value}' for key, value in sorted(shown.items()))])} ({about})"
    return f"{text} {hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"
