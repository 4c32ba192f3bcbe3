"""DAWproject files: a session in the elements of the open exchange format, with its audio inside.

What the format has elements for is in them: tracks, busses, the master, what feeds what, sends, volume and pan (the
last gain of a channel), one ride of a channel as automation of its volume, compressors, gates and limiters (knee and
dry/wet beside them as parameters). All other processors are devices of graphmix's own with their settings in a state
file, which other programs show as missing and pass: they are *left out* there, and listed. All of it is read back
(:mod:`graphmix.sessions.dawproject_import`). ``comment`` says which node of the graph an element is.

Units. Volume is a factor; pan goes from 0 (left) to 1 and turns the other side down; the ratio is in percent as the
format's documentation asks for, ``100 (1 - 1/R)``; times are in seconds.
"""

import json
import math
import zipfile
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as Xml

from torch import Tensor

from graphmix import __version__
from graphmix.audio.files import write_audio
from graphmix.errors import GraphError
from graphmix.processors.ride import used_points
from graphmix.rewrite.parametric import Fitted
from graphmix.sessions.ardour_plan import HELD, not_held
from graphmix.sessions.dawproject_equalizer import add_bands, fit_device
from graphmix.sessions.names import safe_names
from graphmix.sessions.printing import refuse
from graphmix.sessions.rebuild import own_kinds
from graphmix.sessions.session import Channel, Connection, Device, Role, Session

ENDING = ".dawproject"
ID = "graphmix:"
"""Begins the identity of a device that is a processor of graphmix."""
SEND_NAME, SIDECHAIN_NAME = "send", "sidechain"
NATIVE = {
    "compressor": "Compressor",
    "ballistic_compressor": "Compressor",
    "noisegate": "NoiseGate",
    "ballistic_gate": "NoiseGate",
    "limiter": "Limiter",
}
LEAST_WET = 0.5
"""Dry/wet weight of a gain from which on it is a volume; one of less could hardly be found again in it."""
ROLES = {Role.track: "regular", Role.bus: "submix", Role.master: "master"}


def check_dawproject(session: Session) -> None:
    """See that the format can hold a session.

    Raises:
        GraphError: several outputs, of which the format has one; a processor that comes from elsewhere.
    """
    refuse(not_held(session, HELD | own_kinds()), "a DAWproject")
    if session.channels[-1].node is None:
        raise GraphError("a DAWproject has one master, and this graph several out nodes; connect them by a mix node.")


def lacking(session: Session, editable: bool = False) -> list[Device]:
    """Devices that other programs lack, or all; equalizers are not among them in an editable project."""
    devices = [device for channel in session.channels for device in _Elements.of(session, channel).stated]
    return [device for device in devices if not (editable and device.kind == "equalizer")]


def write_editable_dawproject(
    session: Session,
    read_track: Callable[[int], Tensor],
    folder: Path,
    num_samples: int,
    signal_into: Callable[[int], Tensor],
) -> list[str]:
    """Write a project whose equalizers are built-in ones as well, and say how near their bands are.

    Arguments as :func:`graphmix.sessions.ardour.write_editable`'s.
    """
    equalizers = [device for device in lacking(session) if device.kind == "equalizer"]
    fits = {device.node: fit_device(device, session.sample_rate) for device in equalizers}
    write_dawproject(session, read_track, folder, num_samples, fits)
    return [
        f"{device.label}: built-in equalizer, bands: {len(fits[device.node].bands)}, "
        f"{fits[device.node].error_db:.2f} dB"
        for device in equalizers
    ]


def write_dawproject(
    session: Session,
    read_track: Callable[[int], Tensor],
    folder: Path,
    num_samples: int,
    fits: Mapping[int, Fitted] | None = None,
) -> None:
    """Write ``NAME.dawproject`` into a folder.

    Arguments as :func:`graphmix.sessions.ardour.write_ardour`'s, and the bands of equalizers by node.
    """
    tracks = [channel for channel in session.channels if channel.role is Role.track]
    names = safe_names(channel.name.removesuffix(".wav") for channel in tracks)
    files = {channel.name: f"audio/{name}.wav" for channel, name in zip(tracks, names, strict=True)}
    document = _Document(session, files, num_samples / session.sample_rate, fits or {})
    root = document.project()
    with zipfile.ZipFile(folder / f"{session.name}{ENDING}", "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        Xml.indent(root)
        archive.writestr("project.xml", Xml.tostring(root, "UTF-8", xml_declaration=True))
        metadata = Xml.Element("MetaData")
        Xml.SubElement(metadata, "Title").text = session.name
        archive.writestr("metadata.xml", Xml.tostring(metadata, "UTF-8", xml_declaration=True))
        for path, text in document.states.items():
            archive.writestr(path, text)
        with TemporaryDirectory() as scratch:
            for channel in tracks:
                assert channel.node is not None
                written = Path(scratch) / "track.wav"
                write_audio(written, read_track(channel.node), session.sample_rate)
                archive.write(written, files[channel.name])


class _Elements:
    """What of a channel becomes which element: a send's gain, the volume, the automation, native devices, states."""

    def __init__(self, session: Session, index: int) -> None:
        channel = session.channels[index]
        self.send: Device | None = None
        self.volume: tuple[int, Device] | None = None
        self.ride: tuple[int, Device] | None = None
        self.others: list[Device] = []
        into = session.into(index)
        for device in channel.devices:
            if device.kind == "send" and device.wet == 1 and len(into) == 1 and into[0].inlet == 1:
                self.send = device
        gains = [(p, d) for p, d in enumerate(channel.devices) if d.kind == "gain" and d.wet >= LEAST_WET]
        rides = [(p, d) for p, d in enumerate(channel.devices) if d.kind == "ride" and d.wet == 1]
        self.volume = gains[-1] if gains else None
        self.ride = rides[-1] if rides else None
        taken = [self.send, *(pair[1] for pair in (self.volume, self.ride) if pair)]
        self.others = [device for device in channel.devices if not any(device is other for other in taken)]

    @staticmethod
    def of(session: Session, channel: Channel) -> "_Elements":
        return _Elements(session, session.channels.index(channel))

    @property
    def stated(self) -> list[Device]:
        return [device for device in self.others if device.kind not in NATIVE]


class _Document:
    """The elements of one project."""

    def __init__(self, session: Session, files: dict[str, str], seconds: float, fits: Mapping[int, Fitted]) -> None:
        self.session, self.files, self.seconds, self.fits = session, files, seconds, fits
        self.numbers = count()
        self.states: dict[str, str] = {}
        self.channel_ids = [f"channel{index}" for index in range(len(session.channels))]
        self.elements = [_Elements(session, index) for index in range(len(session.channels))]

    def project(self) -> Xml.Element:
        root = Xml.Element("Project", version="1.0")
        Xml.SubElement(root, "Application", name="graphmix", version=__version__)
        transport = Xml.SubElement(root, "Transport")
        _real(transport, "Tempo", 120.0, "bpm", id="tempo")
        structure = Xml.SubElement(root, "Structure")
        arrangement = Xml.SubElement(root, "Arrangement", id="arrangement")
        lanes = Xml.SubElement(arrangement, "Lanes", id="lanes", timeUnit="seconds")
        for index, channel in enumerate(self.session.channels):
            track = Xml.SubElement(structure, "Track", id=f"track{index}", name=channel.name, contentType="audio")
            track.set("loaded", "true")
            self._add_channel(track, index)
            self._add_lanes(lanes, index)
        return root

    def _add_channel(self, track: Xml.Element, index: int) -> None:
        session, parts = self.session, self.elements[index]
        channel = session.channels[index]
        element = Xml.SubElement(
            track, "Channel", id=self.channel_ids[index], role=ROLES[channel.role], audioChannels="2", solo="false"
        )
        element.set("name", channel.label)
        element.set("comment", f"node {channel.node}")
        if parts.send:
            element.set("role", "effect")
        if parts.others:
            devices = Xml.SubElement(element, "Devices")
            for device in parts.others:
                self._add_device(devices, device, channel.devices.index(device))
        leaves = session.out_of(index)
        is_mute = not leaves and channel.role is not Role.master
        Xml.SubElement(element, "Mute", value=str(is_mute).lower(), id=f"mute{index}")
        left, right = _factors(parts.volume[1]) if parts.volume else (1.0, 1.0)
        level, pan = level_and_pan(left, right)
        _real(element, "Pan", pan, "normalized", id=f"pan{index}")
        main = next((c for c in leaves if c.inlet == 0), None)
        rest = [c for c in leaves if c is not main]
        if main:
            element.set("destination", self.channel_ids[main.target])
        if rest:
            sends = Xml.SubElement(element, "Sends")
            for connection in rest:
                self._add_send(sends, connection)
        volume = _real(element, "Volume", level, "linear", id=f"volume{index}")
        if parts.volume:
            place, gain = parts.volume
            weight = "" if gain.wet == 1 else f" wet {gain.wet!r}"
            volume.set("comment", f"node {gain.node} at {place}{weight}")
            volume.set("name", gain.name)

    def _add_send(self, sends: Xml.Element, connection: Connection) -> None:
        number = next(self.numbers)
        send = Xml.SubElement(sends, "Send", id=f"send{number}", type="post")
        send.set("destination", self.channel_ids[connection.target])
        device = self.elements[connection.target].send
        is_open = connection.inlet == 0 or device is not None
        if device:
            send.set("name", device.name or SEND_NAME)
            send.set("comment", f"node {device.node}")
        elif not is_open:
            send.set("name", SIDECHAIN_NAME)
        Xml.SubElement(send, "Enable", value=str(is_open).lower(), id=f"enable{number}")
        level, pan = level_and_pan(*(_factors(device) if device else (1.0, 1.0)))
        _real(send, "Pan", pan, "normalized")
        _real(send, "Volume", level, "linear")

    def _add_device(self, devices: Xml.Element, device: Device, place: int) -> None:
        fitted = self.fits.get(device.node)
        tag = "Equalizer" if fitted else NATIVE.get(device.kind, "Device")
        element = Xml.SubElement(devices, tag, deviceID=f"{ID}{device.kind}", deviceName=f"graphmix {device.kind}")
        for key, value in (("deviceRole", "audioFX"), ("deviceVendor", "graphmix"), ("name", device.name)):
            element.set(key, value)
        element.set("comment", f"node {device.node} at {place}")
        if tag in ("Device", "Equalizer"):
            path = f"plugins/{next(self.numbers)}.json"
            values = {p.name: device.values(p.name) for p in device.node_type.parameters}
            state = {"type": device.kind, "wet": device.wet, "outlet": device.outlet, "values": values}
            state["base_rate"] = device.node_type.base_rate
            self.states[path] = json.dumps(state)
            Xml.SubElement(element, "State", path=path)
            if fitted:
                add_bands(element, fitted)
            return
        parameters = Xml.SubElement(element, "Parameters")
        for name, unit in (("knee_db", "decibel"), ("wet", "linear")):
            if name == "wet" or device.kind != "limiter":
                setting = device.wet if name == "wet" else device.value(name)
                _real(parameters, "RealParameter", setting, unit, name=name)
        for name, (number, unit) in _native(device).items():
            _real(element, name, number, unit)

    def _add_lanes(self, lanes: Xml.Element, index: int) -> None:
        channel, parts = self.session.channels[index], self.elements[index]
        if channel.name not in self.files and not parts.ride:
            return
        own = Xml.SubElement(lanes, "Lanes", track=f"track{index}", id=f"lanes{index}")
        if channel.name in self.files:
            clips = Xml.SubElement(own, "Clips", id=f"clips{index}")
            clip = Xml.SubElement(clips, "Clip", time="0.0", duration=repr(self.seconds), name=channel.name)
            clip.set("contentTimeUnit", "seconds")
            clip.set("playStart", "0.0")
            audio = Xml.SubElement(clip, "Audio", channels="2", sampleRate=str(self.session.sample_rate))
            audio.set("duration", repr(self.seconds))
            Xml.SubElement(audio, "File", path=self.files[channel.name])
        if parts.ride:
            place, ride = parts.ride
            level = 20 * math.log10(max(_factors(parts.volume[1]))) if parts.volume else 0.0
            points = Xml.SubElement(own, "Points", id=f"points{index}", unit="decibel", name=ride.name)
            points.set("comment", f"node {ride.node} at {place}")
            Xml.SubElement(points, "Target", parameter=f"volume{index}")
            for seconds, gain_db in used_points(ride.params):
                point = Xml.SubElement(points, "RealPoint", time=repr(seconds), value=repr(gain_db + level))
                point.set("interpolation", "linear")


def _native(device: Device) -> dict[str, tuple[float, str]]:
    """Values of a built-in device in the order of the schema, with their units."""
    if device.kind == "limiter":
        return {
            "Attack": (device.value("lookahead_ms") / 1000, "seconds"),
            "Release": (device.value("release_ms") / 1000, "seconds"),
            "Threshold": (device.value("ceiling_db"), "decibel"),
        }
    is_ballistic = device.kind.startswith("ballistic")
    attack, release = (device.value(f"{x}_ms" if is_ballistic else "time_ms") / 1000 for x in ("attack", "release"))
    return {
        "Attack": (attack, "seconds"),
        "Ratio": (100 * (1 - 1 / device.value("ratio")), "percent"),
        "Release": (release, "seconds"),
        "Threshold": (device.value("threshold_db"), "decibel"),
    }


def _factors(device: Device) -> tuple[float, float]:
    """Left and right factor of a gain or a send, its dry/wet in them."""
    left, right = (device.wet * 10 ** (gain / 20) + 1 - device.wet for gain in device.values("gain_db"))
    return left, right


def level_and_pan(left: float, right: float) -> tuple[float, float]:
    """Volume and pan of a left and a right factor, above 0."""
    level = max(left, right)
    return level, right / (2 * level) if left >= right else 1 - left / (2 * level)


def left_and_right(level: float, pan: float) -> tuple[float, float]:
    """The inverse of :func:`level_and_pan`."""
    return level * min(1.0, 2 * (1 - pan)), level * min(1.0, 2 * pan)


def _real(parent: Xml.Element, tag: str, value: float, unit: str, **attributes: str) -> Xml.Element:
    return Xml.SubElement(parent, tag, {"value": repr(float(value)), "unit": unit, **attributes})
