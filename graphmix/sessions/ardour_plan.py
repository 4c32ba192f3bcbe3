"""From a session to what Ardour's routes hold: plugins in order, faders, automation.

The *exact* form: a stretch of linear processors with a memory is one impulse response in a convolver; gain, imager,
send, dynamics and limiter are plugins written in Lua whose source lies in the session. Where a channel ends with a
gain, its louder side is the fader (up to +6 dB) and the rest is a plugin. A ride is the fader's automation, so that a
channel with a ride in its middle becomes two.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby

import numpy as np

from graphmix.errors import GraphError
from graphmix.processors.ride import used_points
from graphmix.sessions.session import Channel, Connection, Device, Role, Session
from graphmix.sessions.stretches import LINEAR, MATRICES, Response, matrix_of, response_of

MOST_FADER = 1.99
"""Ardour's faders end at 2 (+6 dB)."""
LEAST_DB = -200.0
"""Stands for nothing in a plugin that takes dB."""
DYNAMICS = {
    "compressor": (1, 1, 2),
    "noisegate": (-1, 1, 2),
    "ballistic_compressor": (1, 1, 2),
    "ballistic_gate": (-1, 1, 2),
    "sidechain_compressor": (1, 3, 4),
}
"""Direction, the detector's first input, and the number of inputs."""
HELD = LINEAR | frozenset(DYNAMICS) | {"limiter", "send", "ride"}


@dataclass(frozen=True)
class LuaPlugin:
    """A plugin whose source is in the session.

    Args:
        name: shown on the mixer strip.
        script: its source.
        controls: name and value of each parameter, in order.
        inputs: number of audio inputs.
        latency: in samples.
    """

    name: str
    script: str
    controls: tuple[tuple[str, float], ...]
    inputs: int = 2
    latency: int = 0


@dataclass(frozen=True, eq=False)
class Convolver:
    """An impulse response; what rings before the input becomes latency."""

    name: str
    response: Response

    @property
    def latency(self) -> int:
        """In samples."""
        return max(0, -self.response.start)


Plugin = LuaPlugin | Convolver


@dataclass(frozen=True)
class Fader:
    """A level as a factor, and how it moves: seconds and dB of breakpoints, with the ride's dry/wet weight."""

    level: float = 1.0
    points: tuple[tuple[float, float], ...] = ()
    wet: float = 1.0


@dataclass(frozen=True, eq=False)
class Route:
    """A track or a bus of Ardour: audio or inputs, plugins, then the fader."""

    name: str
    role: Role
    plugins: tuple[Plugin, ...]
    fader: Fader
    inputs: int = 2
    track: str | None = None

    @property
    def latency(self) -> int:
        """Latency of its plugins in samples."""
        return sum(plugin.latency for plugin in self.plugins)


@dataclass(frozen=True, eq=False)
class Plan:
    """Routes and the connections between them, in an order in which each comes behind all that feed it."""

    routes: tuple[Route, ...]
    connections: tuple[Connection, ...]

    def longest_latency(self) -> int:
        """Along the path with the most of it, in samples."""
        latency = [0] * len(self.routes)
        for index, route in enumerate(self.routes):
            before = [latency[c.source] for c in self.connections if c.target == index]
            latency[index] = max(before, default=0) + route.latency
        return max(latency, default=0)


def what_is_not_held(session: Session) -> list[str]:
    """Devices that an exact session cannot hold, as messages call them."""
    return [device.label for device in session.devices() if device.kind not in HELD or device.node_type.source]


def plan_routes(session: Session) -> Plan:
    """The routes of an exact session.

    Raises:
        GraphError: a processor that it cannot hold, by name.
    """
    missing = what_is_not_held(session)
    if missing:
        raise GraphError(
            f"an Ardour session cannot hold {', '.join(missing)}: of captured effects, plugins, synthesizers and "
            "processors of your own there is no Ardour plugin. Remove them, or render their tracks first."
        )
    routes: list[Route] = []
    connections: list[Connection] = []
    last_of: list[int] = []
    for index, channel in enumerate(session.channels):
        parts = list(_parts(channel))
        for c in session.into(index):
            connections.append(Connection(last_of[c.source], len(routes), c.inlet))
        for number, devices in enumerate(parts):
            if number:
                connections.append(Connection(len(routes) - 1, len(routes)))
            routes.append(_route(channel, number, devices, session.sample_rate, len(parts)))
        last_of.append(len(routes) - 1)
    return Plan(tuple(routes), tuple(connections))


def _parts(channel: Channel) -> Iterable[list[Device]]:
    """The devices of a channel, cut behind each ride that something with a memory follows."""
    part: list[Device] = []
    has_ride = False
    for device in channel.devices:
        if has_ride and device.kind not in MATRICES:
            yield part
            part, has_ride = [], False
        part.append(device)
        has_ride = has_ride or device.kind == "ride"
    yield part


def _route(channel: Channel, number: int, devices: list[Device], sample_rate: int, parts: int) -> Route:
    """One part of a channel; its ride, which only matrices follow, goes behind them into the fader."""
    others = [device for device in devices if device.kind != "ride"]
    plugins: list[Plugin] = []
    level = 1.0
    for is_linear, group in groupby(others, key=lambda device: device.kind in LINEAR):
        stretch = list(group)
        if is_linear:
            level, linear = _linear(stretch, stretch[-1] is others[-1], sample_rate)
            plugins += linear
        else:
            plugins += [_lua(device, sample_rate) for device in stretch]
    fader = Fader(level)
    for ride in devices:
        if ride.kind == "ride":
            fader = Fader(level, tuple(used_points(ride.params)), ride.wet)
    is_first, is_last = number == 0, number == parts - 1
    return Route(
        channel.name if is_last else f"{channel.name} part {number + 1}",
        channel.role if is_first else Role.bus,
        tuple(plugins),
        fader,
        2 * channel.inlets if is_first else 2,
        channel.track if is_first else None,
    )


def _linear(stretch: list[Device], is_end: bool, sample_rate: int) -> tuple[float, list[Plugin]]:
    """A level for the fader, 1 unless the channel ends with a gain, and the plugins of a linear stretch."""
    level = 1.0
    if all(device.kind in MATRICES for device in stretch):
        matrices = [_Matrix(device.kind, matrix_of(device, sample_rate)) for device in stretch]
        if is_end:
            level, matrices[-1] = matrices[-1].without_level()
        return level, [matrix.plugin() for matrix in matrices if matrix.does_something]
    response = response_of(stretch, sample_rate)
    if is_end and stretch[-1].kind == "gain":
        level, _ = _Matrix("gain", matrix_of(stretch[-1], sample_rate)).without_level()
        response = Response(response.start, response.taps / level)
    return level, [Convolver(" + ".join(device.kind for device in stretch), response)]


@dataclass(frozen=True, eq=False)
class _Matrix:
    """A gain or an imager with its dry/wet folded in, [2, 2] on (left, right)."""

    kind: str
    matrix: np.ndarray

    @property
    def does_something(self) -> bool:
        return not np.array_equal(self.matrix, np.eye(2))

    def without_level(self) -> "tuple[float, _Matrix]":
        """Its louder side as a factor for the fader, and what is left."""
        level = float(self.matrix.max())
        if self.kind != "gain" or not 0 < level <= MOST_FADER:
            return 1.0, self
        return level, _Matrix(self.kind, self.matrix / level)

    def plugin(self) -> LuaPlugin:
        if self.kind == "gain":
            controls = (("Left", decibels(self.matrix[0, 0])), ("Right", decibels(self.matrix[1, 1])))
        else:
            controls = (("Side", decibels(self.matrix[0, 0] - self.matrix[0, 1])),)
        return LuaPlugin(f"graphmix {self.kind}", script(self.kind), controls)


def decibels(factor: float) -> float:
    """A factor in dB."""
    return max(LEAST_DB, 20 * math.log10(factor)) if factor > 0 else LEAST_DB


@cache
def script(name: str) -> str:
    """A Lua script that comes with graphmix."""
    return (files("graphmix.sessions") / "lua" / f"{name}.lua").read_text("utf-8")


def _lua(device: Device, sample_rate: int) -> LuaPlugin:
    """The plugin of a processor that is not linear, or has two inlets."""
    name = f"graphmix {device.kind}"
    if device.kind == "send":
        gains = [20 * math.log10(device.wet) + gain if device.wet > 0 else LEAST_DB for gain in device.values("gain_db")]
        return LuaPlugin(name, script("send"), tuple(zip(("Left", "Right"), gains, strict=True)), inputs=4)
    if device.kind == "limiter":
        ahead_ms = device.value("lookahead_ms")
        controls = (
            ("Ceiling", device.value("ceiling_db")),
            ("Look-ahead", ahead_ms),
            ("Release", device.value("release_ms")),
            ("Wet", device.wet),
        )
        return LuaPlugin(name, script("limiter"), controls, latency=math.ceil(ahead_ms * sample_rate / 1000))
    direction, detector, inputs = DYNAMICS[device.kind]
    has_times = "ballistic" in device.kind
    attack, release = ("attack_ms", "release_ms") if has_times else ("time_ms", "time_ms")
    controls = (
        ("Threshold", device.value("threshold_db")),
        ("Ratio", device.value("ratio")),
        ("Knee", device.value("knee_db")),
        ("Attack", device.value(attack)),
        ("Release", device.value(release)),
        ("Wet", device.wet),
    )
    source = script("dynamics")
    for key, value in (("kind", device.kind), ("direction", direction), ("detector", detector), ("inputs", inputs)):
        source = source.replace(f"@{key}@", str(value))
    return LuaPlugin(name, source, controls, inputs=inputs)
