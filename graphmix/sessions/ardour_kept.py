"""What graphmix keeps in an Ardour session of its own: the graph, and which node is where.

It lies in the session's ``<Extra>``, which Ardour takes along when it saves: one element ``graphmix`` with the graph
file, packed, and a table from the numbers of routes and plugins to nodes, with the values that were written. A reader
compares them with what the session has by then (:mod:`graphmix.sessions.ardour_moves`).
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree as Xml

from graphmix.errors import FileError, GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph, save_graph
from graphmix.sessions.ardour_plan import Convolver, LuaPlugin, Plugin, Route

VERSION = 2
MOST_BYTES = 1 << 28
"""Of a graph, unpacked: far beyond any."""
NAME = "graph.safetensors"


def mark_of(route: Route, plugins: list[tuple[str, Plugin]]) -> dict[str, Any]:
    """The entry of a route.

    Args:
        route: as it was planned.
        plugins: with their numbers.
    """
    return {
        "name": route.name,
        "track": route.track,
        "fader": route.level,
        "fader_node": route.fader_node,
        "end": route.end,
        "pan": route.pan,
        "automation": [list(point) for point in route.automation],
        "automated": route.automated,
        "plugins": {number: _plugin(plugin) for number, plugin in plugins},
    }


def _plugin(plugin: Plugin) -> dict[str, Any]:
    return {
        "nodes": plugin.nodes,
        "controls": {} if isinstance(plugin, Convolver) else dict(plugin.controls),
        "automation": [list(point) for point in plugin.automation] if isinstance(plugin, LuaPlugin) else [],
    }


def add_kept(root: Xml.Element, graph: MixGraph, marks: Mapping[str, Any], how: str) -> None:
    """Keep a graph and a table of routes, by number, in a session."""
    with TemporaryDirectory() as scratch:
        content = save_graph(graph, Path(scratch) / NAME).read_bytes()
    kept = Xml.SubElement(Xml.SubElement(root, "Extra"), "graphmix", {"version": str(VERSION), "how": how})
    kept.set("marks", json.dumps(marks, separators=(",", ":")))
    Xml.SubElement(kept, "graph").text = base64.b64encode(zlib.compress(content, 9)).decode()


def read_kept(root: Xml.Element, file: str) -> tuple[MixGraph, Mapping[str, Any]] | None:
    """The graph and the table; None in sessions of others, and of later versions.

    Raises:
        FileError: they are damaged.
    """
    kept = root.find("Extra/graphmix")
    if kept is None or kept.get("version") != str(VERSION):
        return None
    try:
        marks = json.loads(kept.get("marks") or "")
        packed = base64.b64decode("".join((kept.findtext("graph") or "").split()), validate=True)
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(packed, MOST_BYTES)
        if unpacker.unconsumed_tail or not isinstance(marks, dict) or not isinstance(marks.get("routes"), dict):
            raise ValueError("it is no table, or too large")
        with TemporaryDirectory() as scratch:
            path = Path(scratch) / NAME
            path.write_bytes(content)
            return load_graph(path), marks
    except (ValueError, binascii.Error, zlib.error, RecursionError, GraphError) as error:
        raise FileError(f"{file}: what graphmix keeps in its sessions is damaged there ({error}).") from None
