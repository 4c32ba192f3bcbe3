"""DAWproject files back: graphmix's own lose nothing, those of others become what graphmix has.

Volume and pan become a gain, volume automation a ride, a send a ``send`` node, a compressor a ballistic compressor, a
gate a ballistic gate, a limiter a limiter, the built-in equalizer an equalizer with its curve. Every other device
becomes a bypassed gain of its name, and a notice says so.
"""

import json
import math
import re
from dataclasses import dataclass, field
from xml.etree import ElementTree as Xml
from zipfile import ZipFile

from graphmix.errors import FileError, GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.ride import BREAKPOINTS, breakpoints
from graphmix.sessions.archive import MOST_STATE, MOST_XML, parse_xml, read_member
from graphmix.sessions.ardour_plugins import equalizer_curve
from graphmix.sessions.dawproject import ID, left_and_right
from graphmix.sessions.dawproject_equalizer import read_bands
from graphmix.sessions.rebuild import FoundNode, Link, rebuild, tell_apart

HARD_KNEE_DB = 0.1
LEAST_DB, MOST_DB = -120.0, 60.0
_NODE = re.compile(r"node (\d+)(?: at (\d+)(?: wet (0\.\d+))?)?")


@dataclass(eq=False)
class Found:
    """A channel of a project: its nodes in order, and what leaves it."""

    name: str
    element: Xml.Element
    track_id: str
    nodes: list[FoundNode] = field(default_factory=list)
    outlet: int = 0
    send: FoundNode | None = None


@dataclass(frozen=True, eq=False)
class Project:
    """What a project holds.

    Args:
        graph: its mixer.
        root: the document, for its clips.
        tracks: id of a track -> name of its input node.
        notices: sentences for the user.
    """

    graph: MixGraph
    root: Xml.Element
    tracks: dict[str, str]
    notices: tuple[str, ...]


def read_project(archive: ZipFile) -> Project:
    """The mixer of a DAWproject.

    Raises:
        FileError: it is no project, has no track, or a number that is none.
        GraphError: channels that feed each other in a loop.
    """
    name = str(archive.filename)
    root = parse_xml(read_member(archive, "project.xml", MOST_XML), f"{name}: project.xml")
    if root.tag != "Project":
        raise FileError(f"{name}: project.xml holds <{root.tag}>, and a DAWproject <Project>.")
    return _Reader(archive, root).project()


class _Reader:
    def __init__(self, archive: ZipFile, root: Xml.Element) -> None:
        self.archive, self.root = archive, root
        self.file = str(archive.filename)
        application = root.find("Application")
        self.is_own = application is not None and application.get("name") == "graphmix"
        self.notices: list[str] = []
        self.channels: dict[str, Found] = {}
        self.lanes = {lanes.get("track", ""): lanes for lanes in root.iter("Lanes") if lanes.get("track")}
        rates = [int(_number(audio, "sampleRate", self.file)) for audio in root.iter("Audio")]
        if not rates:
            raise FileError(f"{self.file}: there is no audio clip in it; graphmix reads projects with audio tracks.")
        self.sample_rate = max(set(rates), key=rates.count)

    def project(self) -> Project:
        for track in self.root.iter("Track"):
            channel = track.find("Channel")
            if channel is not None and channel.get("id"):
                found = Found(track.get("name") or channel.get("name") or "", channel, track.get("id", ""))
                self.channels[str(channel.get("id"))] = found
        masters = [key for key, found in self.channels.items() if found.element.get("role") == "master"]
        for found in self.channels.values():
            self._fill(found)
        tell_apart([f.nodes[0] for f in self.channels.values() if f.nodes and f.nodes[0].kind == "in"])
        out = self._output(masters)
        links = [link for key, found in self.channels.items() for link in self._links(key, found, masters, out)]
        nodes: list[FoundNode] = []
        seen: set[int] = set()
        inside = (found.nodes for found in self.channels.values())
        for node in [*(node for chain in inside for node in chain), *(n for link in links for n in link[:2]), out]:
            if id(node) not in seen:
                seen.add(id(node))
                nodes.append(node)
        tracks = {f.track_id: f.nodes[0].name for f in self.channels.values() if f.nodes and f.nodes[0].kind == "in"}
        if not tracks:
            raise FileError(f"{self.file}: no audio clip lies on a track with a channel.")
        graph = rebuild(nodes, _once_into_crossovers(links), self.sample_rate)
        return Project(graph, self.root, tracks, tuple(self.notices))

    # --- nodes

    def _fill(self, found: Found) -> None:
        """The nodes of one channel."""
        element = found.element
        number, _ = _place(element) if self.is_own else (None, None)
        devices = [self._device(device, found) for device in element.findall("Devices/*")]
        placed = [(place, node) for place, node in devices if node is not None]
        placed += self._levels(found)
        sends = [s for s in self.root.iter("Send") if s.get("destination") == element.get("id")]
        if self.is_own:
            for send in sends:
                if _place(send)[0] is not None:
                    found.send = FoundNode(
                        "send", _own_name(send, "send"), _gains(send, self.file), number=_place(send)[0]
                    )
                    placed.append((0, found.send))
                    break
        placed.sort(key=lambda pair: pair[0])
        nodes = [node for _, node in placed]
        name = (element.get("name") or "") if self.is_own else found.name
        lanes = self.lanes.get(found.track_id)
        if lanes is not None and lanes.find(".//Audio") is not None:
            nodes.insert(0, FoundNode("in", name, number=number))
        elif element.get("role") != "master" and not any(number is not None and n.number == number for n in nodes):
            nodes.insert(0, FoundNode("mix", name, number=number))
        elif element.get("role") == "master" and nodes:
            nodes.insert(0, FoundNode("mix", name))
        found.nodes = nodes

    def _device(self, device: Xml.Element, found: Found) -> tuple[int, FoundNode | None]:
        number, place = _place(device) if self.is_own else (None, None)
        order = list(found.element.find("Devices") or []).index(device) if place is None else place
        name = device.get("name") or ""
        kind = (device.get("deviceID") or "").removeprefix(ID)
        is_graphmix = (device.get("deviceID") or "").startswith(ID)
        if is_graphmix and device.tag in ("Device", "Equalizer") and device.find("State") is not None:
            node = self._stated(device, found, kind, name)
        elif device.tag == "Equalizer":
            bands, gain_db = read_bands(device, lambda element: _number(element, "value", self.file))
            curve = equalizer_curve(bands, gain_db, self.sample_rate)
            enabled = device.find("Enabled")
            wet = 0.0 if enabled is not None and enabled.get("value") == "false" else 1.0
            node = FoundNode("equalizer", name, {"gain_db": curve}, wet)
        elif device.tag in ("Compressor", "NoiseGate", "Limiter"):
            node = self._native(device, kind if is_graphmix else "", name)
        else:
            label = name or device.get("deviceName") or device.tag
            self.notices.append(f"{found.name}: the device {label!r} has no counterpart and is bypassed.")
            node = FoundNode("gain", f"{label} (bypassed)", wet=0.0)
        node.number = number
        known = next(
            (n for f in self.channels.values() for n in f.nodes if number is not None and n.number == number), None
        )
        return order, known or node

    def _stated(self, device: Xml.Element, found: Found, kind: str, name: str) -> FoundNode:
        """A processor of graphmix from its state file."""
        state = device.find("State")
        path = "" if state is None else state.get("path", "")
        try:
            values = json.loads(read_member(self.archive, path, MOST_STATE))
            found.outlet = max(found.outlet, int(values["outlet"]))
            settings = {str(key): [float(x) for x in value] for key, value in values["values"].items()}
            return FoundNode(kind, name, settings, float(values["wet"]), base_rate=int(values["base_rate"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, FileError):
                raise
            raise FileError(f"{self.file}: {path!r} does not hold the settings of a {kind} ({error}).") from None

    def _native(self, device: Xml.Element, kind: str, name: str) -> FoundNode:
        """A built-in device; of graphmix's own with the parameters that the format lacks."""
        values: dict[str, list[float]] = {}
        named = {"Attack": "attack_ms", "Release": "release_ms", "Threshold": "threshold_db", "Ratio": "ratio"}
        if device.tag == "Limiter":
            named |= {"Attack": "lookahead_ms", "Threshold": "ceiling_db"}
        for tag, key in named.items():
            element = device.find(tag)
            if element is None or element.get("value") is None or (tag == "Ratio" and device.tag == "Limiter"):
                continue
            value = _number(element, "value", self.file)
            if tag == "Ratio" and (element.get("unit") == "percent" or value < 1):  # a share, in percent or of 1
                share = value / 100 if element.get("unit") == "percent" else value
                value = 1 / max(1e-9, 1 - share)
            values[key] = [1000 * value if key.endswith("_ms") else value]
        extra = {p.get("name"): _number(p, "value", self.file) for p in device.findall("Parameters/RealParameter")}
        if not kind:
            for tag in ("AutoMakeup", "InputGain", "OutputGain", "Range"):
                if device.find(tag) is not None:
                    self.notices.append(f"{device.tag} {name!r}: {tag} has no counterpart and is not read.")
            kind = {"Compressor": "ballistic_compressor", "NoiseGate": "ballistic_gate", "Limiter": "limiter"}[
                device.tag
            ]
            if device.tag != "Limiter":
                extra["knee_db"] = HARD_KNEE_DB
            enabled = device.find("Enabled")
            extra["wet"] = 0.0 if enabled is not None and enabled.get("value") == "false" else 1.0
        if "knee_db" in extra:
            values["knee_db"] = [extra["knee_db"]]
        if kind in ("compressor", "noisegate"):
            values["time_ms"] = values.pop("release_ms", [20.0])
            values.pop("attack_ms", None)
        return FoundNode(kind, name, values, extra.get("wet", 1.0))

    def _levels(self, found: Found) -> list[tuple[int, FoundNode]]:
        """The gain of volume and pan, and the ride of an automation of the volume."""
        volume = found.element.find("Volume")
        last = 1 << 30
        result: list[tuple[int, FoundNode]] = []
        if volume is None:
            return result
        level_db = 0.0
        number, place = _place(volume) if self.is_own else (None, None)
        gains = _gains(found.element, self.file)
        points = [p for p in self.root.iter("Points") if _target(p) == volume.get("id", "-")]
        if number is not None:
            level_db = max(gains["gain_db"])
            values, wet = _without_dry(gains["gain_db"], volume)
            gain = FoundNode("gain", volume.get("name") or "", {"gain_db": values}, wet, number)
            result.append((last if place is None else place, gain))
        elif not self.is_own:
            if points:
                top = max(gains["gain_db"])
                gains = {"gain_db": [gain - top for gain in gains["gain_db"]]}
            if any(gains["gain_db"]):
                result.append((last, FoundNode("gain", "", gains)))
        for element in points:
            ride = self._ride(element, level_db, found)
            if ride is not None:
                number, place = _place(element) if self.is_own else (None, None)
                ride.number = number
                result.append((last if place is None else place, ride))
        return result

    def _ride(self, points: Xml.Element, level_db: float, found: Found) -> FoundNode | None:
        pairs = []
        for point in points.findall("RealPoint"):
            value = _number(point, "value", self.file)
            decibels = value if points.get("unit") == "decibel" else _decibels(value)
            pairs.append((_number(point, "time", self.file), decibels - level_db))
        try:
            values = breakpoints(pairs)
        except GraphError:
            self.notices.append(
                f"{found.name}: its volume automation has {len(pairs)} points, and a ride has 1 to {BREAKPOINTS} that "
                "rise in time; it is not read."
            )
            return None
        return FoundNode("ride", points.get("name") or "", values)

    # --- connections

    def _output(self, masters: list[str]) -> FoundNode:
        if not masters:
            return FoundNode("out")
        element = self.channels[masters[0]].element
        number, _ = _place(element) if self.is_own else (None, None)
        return FoundNode("out", (element.get("name") or "") if self.is_own else "", number=number)

    def _links(self, key: str, found: Found, masters: list[str], out: FoundNode) -> list[Link]:
        """Edges inside of a channel, and from its end."""
        links: list[Link] = []
        for before, after in zip(found.nodes, found.nodes[1:], strict=False):
            links.append((before, after, found.outlet if before is found.nodes[0] else 0, 0))
        if key in masters:
            return [*links, (found.nodes[-1], out, 0, 0)] if found.nodes else []
        outlet = found.outlet if len(found.nodes) == 1 else 0
        element, end = found.element, found.nodes[-1]
        mute = element.find("Mute")
        if mute is not None and mute.get("value") == "true":
            return links
        main = element.get("destination") or (masters[0] if masters and not self.is_own else None)
        if main is not None:
            links.append((end, self._entry(main, out), outlet, 0))
        elif not masters:
            links.append((end, out, outlet, 0))
        for send in element.findall("Sends/Send"):
            target = send.get("destination", "")
            enable = send.find("Enable")
            is_open = enable is None or enable.get("value") != "false"
            entry = self._entry(target, out)
            if self.is_own:
                is_side = not is_open or self.channels[target].send is not None
                links.append((end, entry, outlet, 1 if is_side else 0))
            elif is_open:
                node = FoundNode("send", send.get("name") or "", _gains(send, self.file))
                links += [(end, node, outlet, 1), (node, entry, 0, 0)]
        return links

    def _entry(self, key: str, out: FoundNode) -> FoundNode:
        found = self.channels.get(key)
        if found is None:
            raise FileError(f"{self.file}: a channel goes to {key!r}, and there is no such channel.")
        return found.nodes[0] if found.nodes else out


def _once_into_crossovers(links: list[Link]) -> list[Link]:
    """Without what feeds a crossover a second time: each of its bands is a channel of its own."""
    seen: set[Link] = set()
    result = []
    for link in links:
        if link[1].kind != "crossover" or link not in seen:
            result.append(link)
        seen.add(link)
    return result


def _place(element: Xml.Element) -> tuple[int | None, int | None]:
    match = _NODE.fullmatch(element.get("comment") or "")
    if match is None:
        return None, None
    return int(match[1]), None if match[2] is None else int(match[2])


def _without_dry(gains_db: list[float], volume: Xml.Element) -> tuple[list[float], float]:
    """Gains of a node of ours and its dry/wet weight, which are together the volume; all wet where they cannot be."""
    match = _NODE.fullmatch(volume.get("comment") or "")
    wet = 1.0 if match is None or match[3] is None else float(match[3])
    factors = [(10 ** (gain / 20) - (1 - wet)) / wet for gain in gains_db] if 0 < wet < 1 else []
    if not factors or min(factors) <= 0:
        return gains_db, 1.0
    return [_decibels(factor) for factor in factors], wet


def _own_name(element: Xml.Element, default: str) -> str:
    name = element.get("name") or ""
    return "" if name == default else name


def _target(points: Xml.Element) -> str | None:
    target = points.find("Target")
    return None if target is None else target.get("parameter")


def _gains(element: Xml.Element, file: str) -> dict[str, list[float]]:
    """Left and right of a volume and a pan."""
    volume, pan = element.find("Volume"), element.find("Pan")
    level = 1.0 if volume is None or volume.get("value") is None else _number(volume, "value", file)
    if volume is not None and volume.get("unit") == "decibel":
        level = 10 ** (min(level, MOST_DB) / 20)
    place = 0.5 if pan is None or pan.get("value") is None else _number(pan, "value", file)
    if pan is not None and pan.get("unit") in ("linear", "percent"):  # -1 to 1
        place = (place / (100 if pan.get("unit") == "percent" else 1) + 1) / 2
    return {"gain_db": [_decibels(factor) for factor in left_and_right(level, min(1.0, max(0.0, place)))]}


def _decibels(factor: float) -> float:
    return min(MOST_DB, max(LEAST_DB, 20 * math.log10(factor))) if factor > 0 else LEAST_DB


def _number(element: Xml.Element, key: str, file: str) -> float:
    text = element.get(key)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FileError(f"{file}: {element.tag} has {key}={text!r}, and a number is expected.")
    return value
