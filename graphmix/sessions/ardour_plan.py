"""From a session to what Ardour's routes hold: plugins in order, faders, latencies that are equal.

The *exact* form: a stretch of linear processors with a memory is one impulse response in a convolver; gain, imager,
send, dynamics and limiter are plugins written in Lua whose source lies in the session. Where a channel ends with a
gain, its louder side is the fader (up to +6 dB) and the rest is a plugin.

A ride is a plugin whose gain is automated. The fader's own automation is no exact means: Ardour reads it through a
25 Hz lowpass, stretches its times over each block by up to a sample, and as the command-line export plays it, it comes
256 samples late (measured, Ardour 7.3). What automates a plugin is none of this: blocks are cut at its points, and the
plugin is given the value at each block's first sample.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from graphmix.sessions.ardour_ride import automation_of
from graphmix.sessions.session import Channel, Connection, Device, Role, Session
from graphmix.sessions.stretches import LINEAR, MATRICES, Response, matrix_of, response_of

MOST_FADER = 1.99
"""Ardour's faders end at 2 (+6 dB)."""
CONVOLVER_LATENCY = 64
"""Samples by which Ardour's convolver is late."""
MASTER_LATENCY = 1
"""Samples by which the master is late, for which Ardour compensates. Ardour 7.3's export puts the mix through a ring of
two blocks per channel. With AVX-512 its routine that adds one buffer to another adds up to 7 samples too many where
both begin at multiples of 16 bytes, but not equally far from one of 64, as the heap has it: at the ring's end, memory
behind it gets into the mix. One sample more, and the second channel's place in the ring is no such multiple."""
RIDE_LATENCY = 2048
"""Samples by which a ride is late: the longest block through which its plugin knows the line of its automation, as it
does when the next one begins. The plugin behind it states them, since Ardour reads what automates a plugin at the time
of what leaves it."""
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
MATRIX_KNOBS = ("Left to left", "Right to left", "Left to right", "Right to right")
"""Of the plugin for matrices that are neither gains nor widths; factors."""
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
        nodes: of the graph, for which it stands.
        automation: of its first parameter, seconds of the song and value.
    """

    name: str
    script: str
    controls: tuple[tuple[str, float], ...]
    inputs: int = 2
    latency: int = 0
    nodes: tuple[int, ...] = ()
    automation: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Convolver:
    """An impulse response of some nodes in Ardour's own convolver; what rings before the input becomes latency.

    It is a plugin in Lua, and not the LV2 plugin of Debian's ``x42-plugins``: Ardour restarts that one as soon as it
    has loaded it, its threads of before then still work or are still to end, and are one block ahead or behind from
    then on. Seen in its source, and measured: renders differed by -24 to -32 dB now and then.
    """

    name: str
    response: Response
    nodes: tuple[int, ...] = ()

    @property
    def lead(self) -> int:
        """Samples that ring before the input."""
        return max(0, -self.response.start)

    @property
    def latency(self) -> int:
        """In samples."""
        return self.lead + CONVOLVER_LATENCY

    def taps(self) -> NDArray[np.float64]:
        """The response from the first sample on, [taps, 4]: left to left and right, right to left and right."""
        taps = np.pad(self.response.taps, ((0, 0), (0, 0), (self.lead + self.response.start, 0)))
        return np.stack([taps[output, source] for source in range(2) for output in range(2)], 1)

    def plugin(self, file: str) -> LuaPlugin:
        """The plugin that convolves with a file of the session's folder."""
        return LuaPlugin(self.name, script("convolver").replace("@file@", file), (), latency=self.latency)


@dataclass(frozen=True)
class BuiltIn:
    """A plugin that comes with Ardour.

    Args:
        name: shown on the mixer strip.
        uri: of the plugin.
        controls: symbol and value of each port that is set.
        sinks: its audio inputs; one means that left and right each have one of it.
        latency: in samples.
        nodes: of the graph, for which it stands.
    """

    name: str
    uri: str
    controls: tuple[tuple[str, float], ...]
    sinks: int = 3
    latency: int = 0
    nodes: tuple[int, ...] = ()


Plugin = LuaPlugin | Convolver | BuiltIn


@dataclass(frozen=True, eq=False)
class Route:
    """A track or a bus of Ardour.

    Args:
        name: of its channel.
        role: what it is.
        plugins: in the order of the signal; the fader comes behind them.
        level: of the fader, a factor.
        inputs: number of audio inputs.
        track: input node of the graph whose track plays in it.
        pan: of a balance, 0 left, 0.5 both, 1 right; None where left stays left and right stays right.
        automation: of the fader, seconds of the song and factor; it stands for the level.
        automated: the ride that it is.
        fader_node: the gain whose level the fader has.
        end: node and outlet behind which the route ends.
    """

    name: str
    role: Role
    plugins: tuple[Plugin, ...]
    level: float = 1.0
    inputs: int = 2
    track: int | None = None
    pan: float | None = None
    automation: tuple[tuple[float, float], ...] = ()
    automated: int | None = None
    fader_node: int | None = None
    end: tuple[int, int] | None = None

    @property
    def latency(self) -> int:
        """Latency of its plugins in samples."""
        return sum(plugin.latency for plugin in self.plugins)


@dataclass(frozen=True, eq=False)
class RoutePlan:
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


def not_held(session: Session, held: Collection[str] = HELD) -> list[Device]:
    """Devices that a format cannot hold: of other kinds than it has, or from a file."""
    return [device for device in session.devices() if device.kind not in held or device.node_type.source]


def plan_routes(session: Session) -> RoutePlan:
    """The routes of an exact session, which can hold all of its devices.

    Raises:
        GraphError: an impulse response that is longer than the convolver takes.
    """
    routes = tuple(_route(channel, session.sample_rate) for channel in session.channels)
    return with_late_master(with_equal_latencies(RoutePlan(routes, session.connections)))


def _route(channel: Channel, sample_rate: int) -> Route:
    """The route of a channel."""
    devices = channel.devices
    plugins: list[Plugin] = []
    level = 1.0
    for is_linear, group in groupby(devices, key=lambda device: device.kind in LINEAR):
        stretch = list(group)
        if is_linear:
            level, linear = _linear(stretch, stretch[-1] is devices[-1], sample_rate)
            plugins += linear
        else:
            for device in stretch:
                plugins.append(lua_plugin(device, sample_rate))
                if device.kind == "ride":
                    plugins.append(delay(0, latency=RIDE_LATENCY))
    last = devices[-1] if devices else None
    end, fader_node = end_of(channel, devices), last.node if last and last.kind == "gain" else None
    track, inputs = channel.node if channel.role is Role.track else None, 2 * channel.inlets
    return Route(channel.name, channel.role, tuple(plugins), level, inputs, track, end=end, fader_node=fader_node)


def end_of(channel: Channel, devices: Sequence[Device]) -> tuple[int, int] | None:
    """Node and outlet behind which a part of a channel ends; None for the master of several outputs."""
    if devices:
        return devices[-1].node, devices[-1].outlet
    return None if channel.node is None else (channel.node, 0)


def with_equal_latencies(plan: RoutePlan) -> RoutePlan:
    """The plan with delays where a route feeds others whose ways to the master have different latencies.

    Ardour starts tracks earlier by the latency of their way. Where a signal parts it can do so for one way only, and
    what is lost on the others shifts them; so they are made equal here.
    """
    ahead = [0] * len(plan.routes)  # from the input of a route to the master's output
    beyond = [0] * len(plan.routes)  # from its output
    for index in reversed(range(len(plan.routes))):
        beyond[index] = max((ahead[c.target] for c in plan.connections if c.source == index), default=0)
        ahead[index] = beyond[index] + plan.routes[index].latency
    routes: list[Route] = []
    connections: list[Connection] = []
    new: list[int] = []
    delays: dict[tuple[int, int], int] = {}
    for index, route in enumerate(plan.routes):
        into = [c for c in plan.connections if c.target == index]
        for c in into:
            missing = beyond[c.source] - ahead[index]
            key = c.source, missing
            if missing and key not in delays:
                delays[key] = len(routes)
                connections.append(Connection(new[c.source], len(routes)))
                routes.append(Route(f"{plan.routes[c.source].name} + {missing} samples", Role.bus, (delay(missing),)))
        for c in into:
            source = delays.get((c.source, beyond[c.source] - ahead[index]), new[c.source])
            connections.append(Connection(source, len(routes), c.inlet))
        new.append(len(routes))
        routes.append(route)
    return RoutePlan(tuple(routes), tuple(connections))


def delay(samples: int, latency: int | None = None) -> LuaPlugin:
    """A delay that is its latency, unless that is another."""
    latency = samples if latency is None else latency
    return LuaPlugin("graphmix latency", script("delay"), (("Samples", samples),), latency=latency)


def with_late_master(plan: RoutePlan) -> RoutePlan:
    """The plan with the master late by :data:`MASTER_LATENCY`."""

    def late(route: Route) -> Route:
        return replace(route, plugins=(*route.plugins, delay(MASTER_LATENCY)))

    routes = (late(route) if route.role is Role.master else route for route in plan.routes)
    return RoutePlan(tuple(routes), plan.connections)


def _linear(stretch: list[Device], is_end: bool, sample_rate: int) -> tuple[float, list[Plugin]]:
    """A level for the fader, 1 unless the channel ends with a gain, and the plugins of a linear stretch."""
    level = 1.0
    if all(device.kind in MATRICES for device in stretch):
        matrices = [_Matrix(device.kind, matrix_of(device, sample_rate), device.node) for device in stretch]
        if is_end:
            level, matrices[-1] = matrices[-1].without_level()
        return level, [matrix.plugin() for matrix in matrices if matrix.does_something]
    response = response_of(stretch, sample_rate)
    if is_end and stretch[-1].kind == "gain":
        level, _ = _Matrix("gain", matrix_of(stretch[-1], sample_rate), stretch[-1].node).without_level()
        response = Response(response.start, response.taps / level)
    nodes = tuple(device.node for device in stretch)
    return level, [Convolver(" + ".join(device.kind for device in stretch), response, nodes)]


@dataclass(frozen=True, eq=False)
class _Matrix:
    """A gain or an imager with its dry/wet folded in, [2, 2] on (left, right)."""

    kind: str
    matrix: np.ndarray
    node: int

    @property
    def does_something(self) -> bool:
        return not np.array_equal(self.matrix, np.eye(2))

    def without_level(self) -> "tuple[float, _Matrix]":
        """Its louder side as a factor for the fader, and what is left."""
        level = float(self.matrix.max())
        if self.kind != "gain" or not 0 < level <= MOST_FADER:
            return 1.0, self
        return level, _Matrix(self.kind, self.matrix / level, self.node)

    def plugin(self) -> LuaPlugin:
        controls: tuple[tuple[str, float], ...]
        if self.kind == "gain":
            controls = (("Left", decibels(self.matrix[0, 0])), ("Right", decibels(self.matrix[1, 1])))
        elif self.kind == "imager":
            controls = (("Side", decibels(self.matrix[0, 0] - self.matrix[0, 1])),)
        else:
            controls = tuple(zip(MATRIX_KNOBS, self.matrix.ravel().tolist(), strict=True))
        source = script(self.kind if self.kind in ("gain", "imager") else "matrix")
        return LuaPlugin(f"graphmix {self.kind}", source, controls, nodes=(self.node,))


def decibels(factor: float) -> float:
    """A factor in dB."""
    return max(LEAST_DB, 20 * math.log10(factor)) if factor > 0 else LEAST_DB


@cache
def script(name: str) -> str:
    """A Lua script that comes with graphmix."""
    return (files("graphmix.sessions") / "lua" / f"{name}.lua").read_text("utf-8")


def lua_plugin(device: Device, sample_rate: int) -> LuaPlugin:
    """The plugin of a processor that has no memory, is not linear, or has two inlets."""
    if device.kind in MATRICES:
        return _Matrix(device.kind, matrix_of(device, sample_rate), device.node).plugin()
    name, nodes = f"graphmix {device.kind}", (device.node,)
    controls: tuple[tuple[str, float], ...]
    if device.kind == "ride":
        points = automation_of(device, sample_rate)
        controls = (("Gain", points[0][1]), ("Wet", device.wet))
        source = script("ride").replace("@latency@", str(RIDE_LATENCY))
        return LuaPlugin(name, source, controls, nodes=nodes, automation=points)
    if device.kind == "send":
        gains = [decibels(device.wet * 10 ** (gain / 20)) for gain in device.values("gain_db")]
        controls = tuple(zip(("Left", "Right"), gains, strict=True))
        return LuaPlugin(name, script("send"), controls, inputs=4, nodes=nodes)
    if device.kind == "limiter":
        ahead_ms = device.value("lookahead_ms")
        controls = (
            ("Ceiling", device.value("ceiling_db")),
            ("Look-ahead", ahead_ms),
            ("Release", device.value("release_ms")),
            ("Wet", device.wet),
        )
        latency = math.ceil(ahead_ms * sample_rate / 1000)
        return LuaPlugin(name, script("limiter"), controls, latency=latency, nodes=nodes)
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
    return LuaPlugin(name, source, controls, inputs, nodes=nodes)
