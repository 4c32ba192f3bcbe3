"""The XML of an Ardour session (version 7): sources, regions, routes, playlists.

Read in sessions that Ardour 7.3 wrote; what it needs no more to open a session than its defaults is left out. Times are
``a<n>``, n in units of 1/282,240,000 s, which every usual sample rate divides. Fades are off, panners are bypassed
(left goes to left), and routes are connected by the names of their ports.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from xml.etree import ElementTree as Xml

from graphmix.sessions.ardour_plan import BuiltIn, Convolver, LuaPlugin, Plugin, Route

TICKS = 282_240_000
"""Units of time in a second."""
BALANCE = "http://ardour.org/plugin/panner_balance"
"""A panner that turns down the other side, and does nothing in the middle."""


@dataclass
class Ids:
    """Numbers of a session's objects."""

    numbers: Iterable[int] = field(default_factory=lambda: count(100))

    def __call__(self) -> str:
        """The next one."""
        return str(next(iter(self.numbers)))


def add(parent: Xml.Element, tag: str, **attributes: object) -> Xml.Element:
    """A child; underscores of names stand for hyphens, and numbers have the digits of float32."""
    texts = {}
    for key, value in attributes.items():
        texts[key.rstrip("_").replace("_", "-")] = f"{value:.9g}" if isinstance(value, float) else str(value)
    return Xml.SubElement(parent, tag, texts)


def time(samples: int, sample_rate: int) -> str:
    """A place on the timeline."""
    return f"a{samples * TICKS // sample_rate}"


def add_source(sources: Xml.Element, ids: Ids, file: str) -> list[str]:
    """Both channels of a stereo file."""
    numbers = [ids(), ids()]
    for channel, number in enumerate(numbers):
        add(
            sources,
            "Source",
            name=file,
            take_id="",
            type="audio",
            flags="",
            id=number,
            channel=channel,
            origin="",
            gain=1,
        )
    return numbers


def add_region(
    parent: Xml.Element, ids: Ids, name: str, sources: list[str], span: tuple[str, str], whole: bool
) -> None:
    """A region over a whole file, without fades.

    Args:
        parent: the session's regions, or a playlist.
        ids: numbers.
        name: of the region.
        sources: its channels.
        span: length and position.
        whole: the region of a file, which is in no playlist.
    """
    length, position = span
    region = add(
        parent, "Region", name=name, muted=0, opaque=1, locked=0, video_locked=0, automatic=int(whole),
        whole_file=int(whole), import_=0, external=0, sync_marked=0, left_of_split=0, right_of_split=0, hidden=0,
        position_locked=0, valid_transients=0, start="a0", length=f"{length}@{position}", sync_position="a0",
        stretch=1, shift=1, layering_index=0, envelope_active=0, default_fade_in=0, default_fade_out=0,
        fade_in_active=0, fade_out_active=0, scale_amplitude=1, id=ids(), type="audio", first_edit="Nothing",
        channels=len(sources),
    )  # fmt: skip
    for channel, source in enumerate(sources):
        region.set(f"source-{channel}", source)
        region.set(f"master-source-{channel}", source)


@dataclass(frozen=True)
class Strip:
    """A route with what its XML needs: its name among ports, what enters each of its inputs, where it goes.

    Args:
        route: plugins and fader.
        name: unique, without colons and slashes.
        enters: names of ports for each input.
        leaves: names of ports for left and right.
        playlist: number of its playlist; None for a bus.
        order: place on the mixer.
        begin: where the song begins on the timeline, in ticks.
    """

    route: Route
    name: str
    enters: list[list[str]]
    leaves: list[list[str]]
    playlist: str | None
    order: int
    begin: int = 0


def add_route(routes: Xml.Element, ids: Ids, strip: Strip) -> tuple[str, list[tuple[str, Plugin]]]:
    """A route; returns its number, and its plugins with theirs."""
    route, is_master, is_track = strip.route, strip.route.role == "master", strip.playlist is not None
    number = ids()
    element = add(
        routes, "Route", version=7002, id=number, name=strip.name, default_type="audio", strict_io=0, active=1,
        denormal_protection=0, meter_point="MeterPostFader", disk_io_point="DiskIOPreFader", meter_type="MeterPeak",
    )  # fmt: skip
    flags = "MasterOut" if is_master else "AudioTrack" if is_track else "AudioBus"
    add(element, "PresentationInfo", order=strip.order, flags=f"{flags},OrderSet", color=0)
    if route.pan is not None:
        add(add(element, "Pannable"), "Controllable", name="pan-azimuth", id=ids(), flags="", value=route.pan)
    if is_track:
        element.set("audio-playlist", str(strip.playlist))
        element.set("mode", "Normal")
    for direction, ports in (("Input", strip.enters), ("Output", strip.leaves)):
        io = add(element, "IO", name=strip.name, id=ids(), direction=direction, default_type="audio")
        for channel, others in enumerate(ports, 1):
            way = "in" if direction == "Input" else "out"
            port = add(io, "Port", type="audio", name=f"{strip.name}/audio_{way} {channel}")
            for other in others:
                add(port, "Connection", other=other)
    if is_track:
        _processor(element, ids, f"player:{strip.name}", "diskreader")
    plugins = [(_add_plugin(element, ids, plugin, strip.begin), plugin) for plugin in route.plugins]
    _add_fader(element, ids, strip)
    _processor(element, ids, f"meter-{strip.name}", "meter")
    main = _processor(element, ids, strip.name, "main-outs")
    for key, value in (("own-input", "1"), ("own-output", "0"), ("output", strip.name), ("role", "Main")):
        main.set(key, value)
    panner = "" if route.pan is None else BALANCE
    add(main, "PannerShell", bypassed=int(route.pan is None), user_panner=panner, linked_to_route=1)
    return number, plugins


def _processor(parent: Xml.Element, ids: Ids, name: str, kind: str, latency: int = 0) -> Xml.Element:
    return add(
        parent, "Processor", id=ids(), name=name, active=1, user_latency=latency, use_user_latency=int(latency > 0),
        type=kind,
    )  # fmt: skip


def _add_fader(parent: Xml.Element, ids: Ids, strip: Strip) -> None:
    fader = _processor(parent, ids, "Amp", "amp")
    if strip.route.automation:
        _add_automation(fader, ids, ("gain", "Exponential"), strip.begin, strip.route.automation)
    add(fader, "Controllable", name="gaincontrol", id=ids(), flags="GainLike", value=strip.route.level)


def _add_automation(
    parent: Xml.Element, ids: Ids, what: tuple[str, str], begin: int, points: Iterable[tuple[float, float]]
) -> None:
    """Automation of a control: its name and the scale on which lines are straight, seconds of the song and values."""
    name, scale = what
    line = add(
        add(parent, "Automation"), "AutomationList", automation_id=name, id=ids(), interpolation_style=scale,
        time_domain="AudioTime", state="Play",
    )  # fmt: skip
    events = (f"a{begin + round(seconds * TICKS)} {value:.9g}" for seconds, value in points)
    add(line, "events").text = "\n".join(events)


def _add_plugin(parent: Xml.Element, ids: Ids, plugin: Plugin, begin: int) -> str:
    """A plugin in its route, where the song begins at a time in ticks; returns its number."""
    is_lua = not isinstance(plugin, BuiltIn)
    element = _processor(parent, ids, plugin.name, "luaproc" if is_lua else "lv2", plugin.latency if is_lua else 0)
    if isinstance(plugin, Convolver):
        plugin = plugin.plugin(response_file(str(element.get("id"))))
    inputs = plugin.inputs if isinstance(plugin, LuaPlugin) else 2
    sinks = plugin.sinks if isinstance(plugin, BuiltIn) else inputs
    copies = 2 if sinks == 1 else 1
    element.set("count", str(copies))
    element.set("custom", "0")
    for tag, channels in (("ConfiguredInput", inputs), ("CustomSinks", sinks), ("ConfiguredOutput", 2)):
        add(add(element, tag), "Channels", type="audio", count=channels)
    add(element, "PresetOutput")
    for copy in range(copies):
        for tag, channels in ((f"InputMap-{copy}", inputs), (f"OutputMap-{copy}", 2)):
            pins = add(element, tag)
            for channel in range(channels // copies):
                add(pins, "Channelmap", type="audio", from_=channel, to=channel + copy)
    add(element, "ThruMap")
    if isinstance(plugin, LuaPlugin):
        _add_script(element, ids, plugin)
        if plugin.automation:
            _add_automation(element, ids, ("parameter-0", "Linear"), begin, plugin.automation)
    else:
        _add_lv2(element, plugin)
    return str(element.get("id"))


def _add_script(element: Xml.Element, ids: Ids, plugin: LuaPlugin) -> None:
    source = plugin.script.encode()
    element.set("unique-id", hashlib.sha1(source, usedforsecurity=False).hexdigest())
    lua = add(element, "luaproc", last_preset_uri="", last_preset_label="")
    add(lua, "script", lua="Lua 5.3", origin="").text = base64.b64encode(source).decode()
    for index, (name, value) in enumerate(plugin.controls):
        add(lua, "Port", id=index, value=float(value))
        add(element, "Controllable", name=name, id=ids(), flags="", value=float(value), parameter=index)


def _add_lv2(element: Xml.Element, plugin: BuiltIn) -> None:
    element.set("unique-id", plugin.uri)
    state = add(element, "lv2", last_preset_uri="", last_preset_label="", parameter_changed_since_last_preset=0)
    for symbol, value in plugin.controls:
        add(state, "Port", symbol=symbol, value=float(value))


def response_file(number: str) -> str:
    """Where the impulse response of a convolver lies in the session's folder, by the number of its plugin."""
    return f"externals/response {number}.wav"
