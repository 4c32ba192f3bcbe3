"""Editable Ardour sessions: faders, panners and automation that are real, and Ardour's own plugins.

=====================================  =================================================================================
the last gain of a channel             fader (up to +6 dB) and balance panner, where only linear devices come behind it
ride                                   automation of the fader, in steps of 1 dB at most
equalizer                              ``a-eq``, as few bands as it takes (:mod:`graphmix.rewrite.convert_equalizers`)
compressor, gate                       ``a-comp``, ``a-exp``, fitted to the signal
delay, reverb, crossover, align        an impulse response each
other gains, imager, limiter, ducking  plugins of graphmix in Lua, as in the exact session
=====================================  =================================================================================

What does nothing (a dry/wet weight of 0) is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from graphmix.processors.base import LTIProcessor
from graphmix.processors.rack import Rack
from graphmix.processors.ride import used_points
from graphmix.rewrite.convert_equalizers import curve_grid, fit_curve, magnitude_db
from graphmix.sessions import ardour_equalizer
from graphmix.sessions.ardour_dynamics import first_knobs, fit_knobs
from graphmix.sessions.ardour_plan import (
    MOST_FADER,
    BuiltIn,
    Convolver,
    LuaPlugin,
    Plugin,
    Route,
    RoutePlan,
    decibels,
    end_of,
    lua_plugin,
    script,
    with_equal_latencies,
    with_late_master,
)
from graphmix.sessions.session import Channel, Connection, Device, Role, Session
from graphmix.sessions.stretches import LINEAR, MATRICES, response_of

COMPRESSOR, GATE = "urn:ardour:a-comp#stereo", "urn:ardour:a-exp#stereo"
FITTED_KINDS = {
    "compressor": COMPRESSOR,
    "ballistic_compressor": COMPRESSOR,
    "noisegate": GATE,
    "ballistic_gate": GATE,
}
STEP_DB = 1.0
"""Between points of an automation, which Ardour joins by a line that is not straight in dB."""
ReadSignal = Callable[[int], NDArray[np.float64]]
"""What comes into a node of the graph, [2, samples]."""


@dataclass(frozen=True)
class Approximation:
    """How well a plugin of Ardour's stands for devices.

    Args:
        label: of the devices.
        plugin: what stands for them.
        error_db: root mean square of the difference of gains in dB; None where nothing was fitted.
    """

    label: str
    plugin: str
    error_db: float | None

    def __str__(self) -> str:
        error = "not fitted, for its input is silent" if self.error_db is None else f"{self.error_db:.2f} dB"
        return f"{self.label}: {self.plugin}, {error}"


def plan_editable(session: Session, signal_into: ReadSignal) -> tuple[RoutePlan, list[Approximation]]:
    """The routes of an editable session, and how well their plugins fit.

    Args:
        session: what an exact session can hold.
        signal_into: renders what comes into a node; the plugins of dynamics are fitted to it.

    Raises:
        GraphError: an impulse response that is longer than the convolver takes.
    """
    routes: list[Route] = []
    connections: list[Connection] = []
    last_of: list[int] = []
    builder = _Builder(session.sample_rate, signal_into)
    for index, channel in enumerate(session.channels):
        parts = _parts(channel)
        for number, devices in enumerate(parts):
            sources = [(last_of[c.source], c.inlet) for c in session.into(index)]
            if number:
                sources = [(len(routes) - 1, 0)]
            connections += [Connection(source, len(routes), inlet) for source, inlet in sources]
            route = builder.route(channel, number, devices)
            behind = channel.devices if number + 1 == len(parts) else devices
            routes.append(replace(route, end=end_of(channel, behind)))
        last_of.append(len(routes) - 1)
    return with_late_master(with_equal_latencies(RoutePlan(tuple(routes), tuple(connections)))), builder.found


def _parts(channel: Channel) -> list[list[Device]]:
    """The devices of a channel that do something, cut so that each part has one ride and only levels behind it."""
    parts: list[list[Device]] = [[]]
    for device in channel.devices:
        if device.wet == 0 and device.node_type.can_be_bypassed and len(device.node_type.inlets) == 1:
            continue
        if any(before.kind == "ride" for before in parts[-1]) and device.kind not in MATRICES:
            parts.append([])
        parts[-1].append(device)
    return parts


class _Builder:
    """Makes routes, and keeps how well their plugins fit."""

    def __init__(self, sample_rate: int, signal_into: ReadSignal) -> None:
        self.sample_rate, self.signal_into = sample_rate, signal_into
        self.found: list[Approximation] = []

    def route(self, channel: Channel, number: int, devices: list[Device]) -> Route:
        """One part of a channel."""
        place = _fader_place(devices)
        level, pan = 1.0, 0.5
        plugins: list[Plugin] = []
        ride = next((device for device in devices if device.kind == "ride"), None)
        index = 0
        while index < len(devices):
            device = devices[index]
            stretch = [device]
            if index == place:
                level, pan, rest = _fader_and_pan(device, devices[index + 1 :])
                plugins += rest
            elif device.kind == "equalizer":
                while index + len(stretch) < len(devices) and devices[index + len(stretch)].kind == "equalizer":
                    stretch.append(devices[index + len(stretch)])
                plugins += self._equalizers(stretch)
            elif device is not ride:
                plugins += self._plugins(device)
            index += len(stretch)
        name = channel.name if not number else f"{channel.name} behind {devices[0].label}"
        track = channel.node if channel.role is Role.track and not number else None
        role = channel.role if not number or channel.role is Role.master else Role.bus
        inputs = 2 * channel.inlets if not number else 2
        route = Route(name, role, tuple(plugins), level, inputs, track, pan=pan)
        if place is not None:
            route = replace(route, fader_node=devices[place].node)
        return _with_automation(route, ride) if ride else route

    def _plugins(self, device: Device) -> list[Plugin]:
        if device.kind in FITTED_KINDS:
            return [self._dynamics(device)]
        if device.kind == "gain":
            return [gain_plugin(device, *_factors(device))]
        if device.kind in LINEAR and device.kind not in MATRICES:
            return [Convolver(device.kind, response_of([device], self.sample_rate), (device.node,))]
        return [lua_plugin(device, self.sample_rate)]

    def _dynamics(self, device: Device) -> BuiltIn:
        audio = self.signal_into(device.node)
        knobs = fit_knobs(device, audio, self.sample_rate) if audio.any() else first_knobs(device)
        name = "ACE Compressor" if FITTED_KINDS[device.kind] == COMPRESSOR else "ACE Expander"
        self.found.append(Approximation(device.label, name, knobs.error_db))
        return BuiltIn(name, FITTED_KINDS[device.kind], knobs.controls(), nodes=(device.node,))

    def _equalizers(self, devices: Sequence[Device]) -> list[Plugin]:
        """One curve of several devices as few equalizers, fitted where the signal is."""
        frequency = curve_grid(self.sample_rate)
        curve = np.sum([curve_db(device, frequency, self.sample_rate) for device in devices], axis=0)
        limits, tolerance = ardour_equalizer.LIMITS, ardour_equalizer.TOLERANCE_DB
        audio = self.signal_into(devices[0].node)
        fitted = fit_curve(frequency, curve, self.sample_rate, limits, tolerance, audio)
        units = ardour_equalizer.units_of(fitted, self.sample_rate)
        nodes = tuple(device.node for device in devices)
        bands = f"{len(units)} ACE EQ of {len(fitted.bands)} {'band' if len(fitted.bands) == 1 else 'bands'}"
        self.found.append(Approximation(" + ".join(device.label for device in devices), bands, fitted.error_db))
        return [BuiltIn("ACE EQ", ardour_equalizer.URI, tuple(unit.items()), sinks=1, nodes=nodes) for unit in units]


def curve_db(device: Device, frequency_hz: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """Magnitude in dB of an equalizer with its dry/wet."""
    processor = Rack.for_types([device.node_type], sample_rate)[device.kind]
    assert isinstance(processor, LTIProcessor)
    return magnitude_db(processor, device.params[None], device.wet, frequency_hz)


def gain_plugin(device: Device, left: float, right: float) -> LuaPlugin:
    """Factors of left and right as knobs in dB, which stand for a part of a device at least."""
    knobs = (("Left", decibels(left)), ("Right", decibels(right)))
    return LuaPlugin("graphmix gain", script("gain"), knobs, nodes=(device.node,))


def _factors(device: Device) -> tuple[float, float]:
    left, right = (device.wet * 10 ** (gain / 20) + 1 - device.wet for gain in device.values("gain_db"))
    return left, right


def _fader_place(devices: Sequence[Device]) -> int | None:
    """Place of the last gain, if only linear devices and the ride come behind it."""
    for place in reversed(range(len(devices))):
        if devices[place].kind == "gain":
            return place
        if devices[place].kind not in LINEAR | {"ride"}:
            return None
    return None


def _fader_and_pan(device: Device, behind: Sequence[Device]) -> tuple[float, float, list[Plugin]]:
    """Fader, balance (0 left, 0.5 both, 1 right) and what they cannot hold, at the device's place.

    The balance acts at the channel's end, so that nothing behind the device may mix left and right.
    """
    left, right = _factors(device)
    level = max(left, right)
    if not level > 0:
        return 0.0, 0.5, []
    rest: list[Plugin] = []
    fader = min(level, MOST_FADER)
    over = level / fader
    left, right = left / level, right / level
    if any(other.kind == "imager" for other in behind) and left != right:
        return fader, 0.5, [gain_plugin(device, over * left, over * right)]
    if over > 1:
        rest = [gain_plugin(device, over, over)]
    return fader, right / 2 if left >= right else 1 - left / 2, rest


def _with_automation(route: Route, ride: Device) -> Route:
    """A route whose fader follows a ride; what goes above the fader's end is a gain of its own."""
    points = []
    pairs = used_points(ride.params)
    for place, (seconds, gain_db) in enumerate(pairs):
        if place:
            before, start_db = pairs[place - 1]
            steps = max(1, int(np.ceil(abs(gain_db - start_db) / STEP_DB)))
            for step in range(1, steps):
                share = step / steps
                points.append((before + share * (seconds - before), start_db + share * (gain_db - start_db)))
        points.append((seconds, gain_db))
    factors = [(time, route.level * (ride.wet * 10 ** (gain / 20) + 1 - ride.wet)) for time, gain in points]
    over = max(factor for _, factor in factors) / MOST_FADER
    if over <= 1:
        return replace(route, automation=tuple(factors), automated=ride.node)
    plugins = (*route.plugins, gain_plugin(ride, over, over))
    lower = tuple((time, factor / over) for time, factor in factors)
    return replace(route, plugins=plugins, automation=lower, automated=ride.node)
