"""What an engineer has moved in an Ardour session that graphmix wrote, as changes of the graph that it keeps.

Faders, balance, automation of faders, knobs and bypass switches of plugins, and mutes become changes of the nodes for
which they stand; what was not moved stays what it was to the last bit. A session whose routes, plugins or connections
are others than those that were written is not read so: see :func:`what_changed`.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import torch

from graphmix.graph.editing import insert_after, insert_before
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.levels import LEVEL_RANGE_DB
from graphmix.processors.ride import breakpoints
from graphmix.rewrite.parametric import response_db
from graphmix.sessions.ardour_equalizer import URI as EQUALIZER
from graphmix.sessions.ardour_equalizer import bands_of
from graphmix.sessions.ardour_levels import RouteLevels, decibels, pan_matrix, simplified
from graphmix.sessions.ardour_plugins import controls_of, equalizer_grid
from graphmix.sessions.ardour_regions import Clock, events_of

UNMOVED = 1e-5
"""Relative difference of values that were only written and read again."""
KNOBS = {
    "Threshold": ("threshold_db",),
    "Ratio": ("ratio",),
    "Knee": ("knee_db",),
    "Attack": ("attack_ms", "time_ms"),
    "Release": ("release_ms", "time_ms"),
    "Ceiling": ("ceiling_db",),
    "Look-ahead": ("lookahead_ms",),
    "Side": ("side_db",),
}
"""Knobs of graphmix's plugins -> the parameter that each of them is, the first that the node's type has."""
STEPS = {"thr": ("threshold_db",), "rat": ("ratio",), "kn": ("knee_db",)}
TIMES = {"att": ("attack_ms", "time_ms"), "rel": ("release_ms", "time_ms")}
"""Knobs of Ardour's compressor and gate, whose moves are read as differences and, of times, as factors."""
Marks = Mapping[str, Any]


def what_changed(marks: Marks, routes: Mapping[str, Xml.Element], links: Sequence[tuple[str, str, int]]) -> str:
    """What of a session is not as it was written, in words; empty where nothing but values was changed.

    Args:
        marks: the table that graphmix keeps.
        routes: of the session as it is, by number.
        links: its connections: numbers of routes, inlet.
    """
    kept = marks["routes"]
    if set(routes) != set(kept):
        return f"{len(set(routes) - set(kept))} routes are new and {len(set(kept) - set(routes))} are gone"
    for number, route in routes.items():
        plugins = [str(p.get("id")) for p in route.findall("Processor") if p.find("ConfiguredInput") is not None]
        if plugins != list(kept[number]["plugins"]):
            return f"the plugins of {route.get('name')!r} are others"
        if route.find("Processor[@type='intsend'][@role='Aux']") is not None:
            return f"{route.get('name')!r} has sends"
    if {(source, target, inlet) for source, target, inlet in marks["connections"]} != set(links):
        return "routes are connected in another way"
    return ""


class Moves:
    """Reads the values of a session and changes the graph where they were moved.

    Args:
        graph: that graphmix keeps in the session; it is changed.
        clock: units of the session's times.
        begin: first sample of the song on the timeline.
    """

    def __init__(self, graph: MixGraph, clock: Clock, begin: int) -> None:
        self.graph, self.clock, self.begin = graph, clock, begin
        self.notices: list[str] = []

    def apply(self, marks: Marks, routes: Mapping[str, Xml.Element]) -> MixGraph:
        """The graph with all moves."""
        silent = []
        for number, route in routes.items():
            mark = marks["routes"][number]
            levels = RouteLevels(route, self.clock, self.begin)
            for processor in route.findall("Processor"):
                kept = mark["plugins"].get(str(processor.get("id")))
                if kept is not None:
                    self._plugin(processor, kept, levels.name)
            self._levels(mark, levels)
            if levels.value("mute") or route.get("active", "1") == "0":
                silent.append(mark)
        for mark in silent:
            self._silence(mark)
        return self.graph

    # --- levels

    def _levels(self, mark: Marks, levels: RouteLevels) -> None:
        fader = levels.element.find("Processor[@type='amp']")
        control = None if fader is None else fader.find("Controllable[@name='gaincontrol']")
        factor = mark["fader"] if control is None else levels.number(control, "value", 1.0)
        change = [0.0, 0.0]
        if mark["automated"] is not None and fader is not None:
            self._automation(mark, fader, levels)
        elif _moved(factor, mark["fader"]):
            change = [decibels(factor) - decibels(mark["fader"])] * 2
        main = levels.element.find("Processor[@type='main-outs']")
        matrix = None if main is None or mark["pan"] is None else pan_matrix(levels, main, 2)
        if matrix is not None:
            before = (min(1.0, 2 * (1 - mark["pan"])), min(1.0, 2 * mark["pan"]))
            for side, old in enumerate(before):
                new = float(matrix[side, side])
                if _moved(new, old):
                    change[side] += decibels(new) - decibels(old)
        if any(change):
            self._gain(mark, change)

    def _gain(self, mark: Marks, change: Sequence[float]) -> None:
        """More or less of left and right at a fader: its gain's, or a new one's at the route's end."""
        node = mark["fader_node"]
        if node is not None:
            self._shift_gain(node, change)
        elif mark["end"] is not None:
            end, _ = mark["end"]
            if self.graph.type_of(end).name == "out":
                self.graph = insert_before(self.graph, end, "gain", gain_db=list(change))
            else:
                self.graph = self._behind(mark["end"], change)
        else:
            self.notices.append("the master's fader was moved, and this graph has several outputs: it is not read.")

    def _behind(self, end: Sequence[int], change: Sequence[float]) -> MixGraph:
        """The graph with a gain behind an outlet."""
        node, outlet = end
        if outlet == 0:
            return insert_after(self.graph, node, "gain", gain_db=list(change))
        graph = self.graph.clone()
        new = graph.add("gain", gain_db=list(change))
        moved = (graph.edge_index[0] == node) & (graph.edge_port[:, 0] == outlet)
        graph.edge_index, graph.edge_port = graph.edge_index.clone(), graph.edge_port.clone()
        graph.edge_index[0, moved], graph.edge_port[moved, 0] = new, 0
        return graph.connect(node, new, outlet)

    def _shift_gain(self, node: int, change: Sequence[float]) -> None:
        """A gain in dB more on left and right, its dry/wet folded in."""
        wet = float(self.graph.wet[node])
        values = self.graph.parameter(node, "gain_db").double().tolist()
        mixed = [decibels(wet * 10 ** (value / 20) + 1 - wet) for value in values]
        self._set(node, "gain_db", [old + more for old, more in zip(mixed, change, strict=True)])
        self.graph.wet[node] = 1.0

    def _automation(self, mark: Marks, fader: Xml.Element, levels: RouteLevels) -> None:
        """A ride whose points at the fader were moved."""
        now = self._moved_points(fader, "gain", mark["automation"], levels.name)
        if now:
            level = decibels(mark["fader"])
            self._ride(mark["automated"], [(seconds, decibels(factor) - level) for seconds, factor in now])
            self.graph.wet[mark["automated"]] = 1.0

    def _moved_points(
        self, holder: Xml.Element, control: str, kept: Sequence[Sequence[float]], route: str
    ) -> list[tuple[float, float]]:
        """Points of an automation in seconds of the song; none where they are those that were written, or are gone."""
        points = events_of(holder.find(f"Automation/AutomationList[@automation-id='{control}']"), self.clock)
        rate = self.clock.sample_rate
        now = [((place - self.begin) / rate, value) for place, value in points]
        if len(now) == len(kept) and all(
            abs(t - s) < 2 / rate and not _moved(f, g) for (t, f), (s, g) in zip(now, kept, strict=True)
        ):
            return []
        if not now:
            self.notices.append(f"{route}: the automation is gone; its ride stays.")
        return now

    def _ride(self, node: int, points: Sequence[tuple[float, float]]) -> None:
        """New breakpoints, in seconds and dB."""
        found, _ = simplified(points)
        for name, values in breakpoints(found).items():
            self._set(node, name, values)

    def _silence(self, mark: Marks) -> None:
        """Nothing leaves a muted route."""
        end = mark["end"]
        if end is None or self.graph.type_of(end[0]).name == "out":
            self.notices.append("the master is muted, which is not read.")
            return
        kept = ~((self.graph.edge_index[0] == end[0]) & (self.graph.edge_port[:, 0] == end[1]))
        self.graph.edge_index, self.graph.edge_port = self.graph.edge_index[:, kept], self.graph.edge_port[kept]
        self.notices.append(f"{mark['name']}: it is muted or switched off and feeds nothing.")

    # --- plugins

    def _plugin(self, processor: Xml.Element, kept: Marks, route: str) -> None:
        nodes: list[int] = kept["nodes"]
        old, new = kept["controls"], controls_of(processor)
        off = processor.get("active", "1") == "0" or new.get("enable", 1.0) <= 0
        if not nodes:
            return
        if kept["automation"]:
            points = self._moved_points(processor, "parameter-0", kept["automation"], route)
            if points:
                self._ride(nodes[0], points)
        kind = self.graph.type_of(nodes[0]).name
        if {"Left", "Right"} <= set(old):
            sides = [0.0 if off else new.get(side, old[side]) for side in ("Left", "Right")]
            change = [now - before for now, before in zip(sides, (old["Left"], old["Right"]), strict=True)]
            if any(_moved(now, old[side]) for now, side in zip(sides, ("Left", "Right"), strict=True)):
                self._sides(nodes[0], kind, sides, change, off)
            return
        if off:
            for node in nodes:
                if self.graph.type_of(node).can_be_bypassed:
                    self.graph.wet[node] = 0.0
                else:
                    self.notices.append(f"{route}: {self.graph.describe(node)} was switched off, which is not read.")
            return
        moved = {name for name, value in old.items() if name in new and _moved(new[name], value)}
        if not moved:
            return
        if processor.get("unique-id") == EQUALIZER:
            self._equalizer(nodes[0], old, {**old, **new})
        elif moved & {*STEPS, *TIMES}:
            self._dynamics(nodes[0], old, new, moved)
        else:
            self._knobs(nodes[0], new, moved)

    def _sides(self, node: int, kind: str, sides: Sequence[float], change: Sequence[float], off: bool) -> None:
        """The knobs of a gain or a send."""
        if kind == "gain":
            self._shift_gain(node, change)
        elif kind == "send":
            self._set(node, "gain_db", [LEVEL_RANGE_DB[0]] * 2 if off else sides)
            self.graph.wet[node] = 1.0
        else:
            self.notices.append(f"{self.graph.describe(node)}: the gain beside its fader was moved, which is not read.")

    def _knobs(self, node: int, new: Mapping[str, float], moved: set[str]) -> None:
        """graphmix's own plugins: a knob is a parameter."""
        for knob in moved:
            if knob == "Wet":
                self.graph.wet[node] = min(1.0, max(0.0, new[knob]))
                continue
            name = self._parameter(node, KNOBS.get(knob, ()))
            if name is None:
                continue
            self._set(node, name, [new[knob]])
            if name == "side_db":
                self.graph.wet[node] = 1.0  # the knob has the dry/wet in it
            if name == "time_ms" and _moved(new["Attack"], new["Release"]):
                self.notices.append(
                    f"{self.graph.describe(node)}: it has one time, and attack and release differ now; it is the "
                    "one that was moved."
                )

    def _dynamics(self, node: int, old: Mapping[str, float], new: Mapping[str, float], moved: set[str]) -> None:
        """Ardour's compressor and gate: moves of their knobs."""
        changes: list[tuple[str | None, Callable[[float, float], float], float]] = []
        for knob in moved & set(STEPS):
            difference = (new[knob] - old[knob]) * (6.0 if knob == "kn" else 1.0)
            factor = new["rat"] / old["rat"]
            name = self._parameter(node, STEPS[knob])
            by: tuple[Callable[[float, float], float], float] = (
                (operator.mul, factor) if knob == "rat" else (operator.add, difference)
            )
            changes.append((name, *by))
        for knob in moved & set(TIMES):
            factor = new[knob] / old[knob]
            if self._parameter(node, TIMES[knob][:1]) is None:
                factor = math.sqrt(factor)  # attack and release are one time there
            changes.append((self._parameter(node, TIMES[knob]), operator.mul, factor))
        for name, change, amount in changes:
            if name is not None:
                self._set(node, name, [change(float(self.graph.parameter(node, name)), amount)])
        if "mak" in moved:
            self.notices.append(f"{self.graph.describe(node)}: its makeup gain was moved, which is not read.")

    def _equalizer(self, node: int, old: Mapping[str, float], new: Mapping[str, float]) -> None:
        """The curve with what the bands have more than before."""
        rate = self.graph.sample_rate
        hz = equalizer_grid(rate)
        (before, gain), (after, gain_now) = bands_of(old, rate), bands_of(new, rate)
        change = response_db(after, hz, rate) + gain_now - response_db(before, hz, rate) - gain
        wet = float(self.graph.wet[node])
        curve = self.graph.parameter(node, "gain_db").double().numpy()
        mixed = 20 * np.log10(wet * 10 ** (curve / 20) + 1 - wet)
        self._set(node, "gain_db", (mixed + change).tolist())
        self.graph.wet[node] = 1.0

    # --- values

    def _parameter(self, node: int, names: Sequence[str]) -> str | None:
        have = {parameter.name for parameter in self.graph.type_of(node).parameters}
        return next((name for name in names if name in have), None)

    def _set(self, node: int, name: str, values: Sequence[float]) -> None:
        """Values of a parameter, within its range."""
        kind = self.graph.type_of(node)
        spec = next(parameter for parameter in kind.parameters if parameter.name == name)
        row = int(self.graph.rows()[node])
        table = self.graph.params[kind.name]
        table[row, kind.columns(name)] = torch.tensor(values).clamp(spec.low, spec.high).to(table)


def _moved(value: float, before: float) -> bool:
    return abs(value - before) > UNMOVED * max(1.0, abs(before))
