"""Plugins of an Ardour session as nodes: Ardour's own where they have a counterpart, graphmix's, and all others."""

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as Xml

import numpy as np
from numpy.typing import NDArray

from graphmix.processors.filters import EQUALIZER_RANGE_DB, Equalizer
from graphmix.rewrite.parametric import Band, response_db
from graphmix.sessions.ardour_dynamics import KNEE_STEP_DB, LEAST_KNEE_DB, SINE_DB
from graphmix.sessions.ardour_equalizer import URI as EQUALIZER
from graphmix.sessions.ardour_equalizer import bands_of
from graphmix.sessions.rebuild import FoundNode

COMPRESSORS = ("urn:ardour:a-comp", "urn:ardour:a-comp#stereo")
GATES = ("urn:ardour:a-exp", "urn:ardour:a-exp#stereo")
_OWN = "graphmix "
_DYNAMICS = {"Threshold": "threshold_db", "Ratio": "ratio", "Knee": "knee_db"}
_LIMITER = {"Ceiling": "ceiling_db", "Look-ahead": "lookahead_ms", "Release": "release_ms"}


def plugin_nodes(processor: Xml.Element, route: str, sample_rate: int, notices: list[str]) -> list[FoundNode]:
    """Nodes of a plugin: its counterpart, or a bypassed gain of its name."""
    name = processor.get("name") or processor.get("unique-id") or "plugin"
    wet = 0.0 if processor.get("active", "1") == "0" else 1.0
    uri = processor.get("unique-id") or ""
    values = controls_of(processor)
    nodes: list[FoundNode] | None = None
    if values.get("enable", 1.0) <= 0:
        wet = 0.0
    if uri == EQUALIZER:
        nodes = [FoundNode("equalizer", "", {"gain_db": equalizer_curve(*bands_of(values, sample_rate), sample_rate)})]
    elif uri in COMPRESSORS + GATES and values.get("sidech", 0.0) <= 0:
        nodes = _dynamics(values, uri in GATES, wet)
    elif processor.get("type") == "luaproc" and name.startswith(_OWN):
        nodes = _own(name.removeprefix(_OWN), values)
    if nodes is None:
        why = "its sidechain is not read" if uri in COMPRESSORS + GATES else "it has no counterpart"
        notices.append(f"{route}: the plugin {name!r} is bypassed: {why}.")
        return [FoundNode("gain", f"{name} (bypassed)", wet=0.0)]
    for node in nodes:
        node.wet *= wet
    return nodes


def controls_of(processor: Xml.Element) -> dict[str, float]:
    """Values of a plugin by symbol (LV2) or name (Lua); those that are no numbers are left out."""
    values: dict[str, float] = {}
    for port in processor.findall("lv2/Port"):
        _note(values, port.get("symbol"), port.get("value"))
    if processor.get("type") == "luaproc":
        numbers = {port.get("id"): port.get("value") for port in processor.findall("luaproc/Port")}
        for control in processor.findall("Controllable"):
            _note(values, control.get("name"), numbers.get(control.get("parameter"), control.get("value")))
    return values


def _note(values: dict[str, float], key: str | None, text: str | None) -> None:
    try:
        number = float(text or "")
    except ValueError:
        return
    if key and np.isfinite(number):
        values[key] = number


def equalizer_grid(sample_rate: int) -> NDArray[np.float64]:
    """Frequencies in Hz of the gains of an equalizer."""
    equalizer = Equalizer(sample_rate)
    return np.arange(equalizer.node_type.width) * sample_rate / equalizer.taps


def equalizer_curve(bands: Sequence[Band], gain_db: float, sample_rate: int) -> list[float]:
    """Gains of an equalizer whose curve is that of bands."""
    curve = response_db(bands, equalizer_grid(sample_rate), sample_rate) + gain_db
    return [float(value) for value in np.clip(curve, *EQUALIZER_RANGE_DB)]


def _dynamics(values: Mapping[str, float], is_gate: bool, wet: float) -> list[FoundNode]:
    """A compressor or gate: the threshold lower by what a sine's energy lies below its peak."""
    attack, release, ratio, threshold = (0.1, 500.0, 4.0, -30.0) if is_gate else (10.0, 80.0, 4.0, 0.0)
    settings = {
        "threshold_db": [values.get("thr", threshold) - SINE_DB],
        "ratio": [values.get("rat", ratio)],
        "knee_db": [max(0.1, KNEE_STEP_DB * values.get("kn", 0.0) + LEAST_KNEE_DB)],
        "attack_ms": [values.get("att", attack)],
        "release_ms": [values.get("rel", release)],
    }
    nodes = [FoundNode("ballistic_gate" if is_gate else "ballistic_compressor", "", settings)]
    if values.get("mak", 0.0):
        nodes.append(FoundNode("gain", "makeup", {"gain_db": [values["mak"]] * 2}, wet))
    return nodes


def _own(kind: str, values: Mapping[str, float]) -> list[FoundNode] | None:
    """A processor of graphmix from the knobs of its plugin; a delay for equal latencies is nothing."""
    wet = values.get("Wet", 1.0)
    if kind == "latency":
        return []
    if kind in ("gain", "send") and {"Left", "Right"} <= set(values):
        return [FoundNode(kind, "", {"gain_db": [values["Left"], values["Right"]]})]
    if kind == "imager" and "Side" in values:
        return [FoundNode(kind, "", {"side_db": [values["Side"]]})]
    if kind == "limiter" and set(_LIMITER) <= set(values):
        return [FoundNode(kind, "", {key: [values[knob]] for knob, key in _LIMITER.items()}, wet)]
    kinds = ("compressor", "noisegate", "ballistic_compressor", "ballistic_gate", "sidechain_compressor")
    if kind in kinds and {*_DYNAMICS, "Attack", "Release"} <= set(values):
        settings = {key: [values[knob]] for knob, key in _DYNAMICS.items()}
        if kind.startswith("ballistic"):
            settings |= {"attack_ms": [values["Attack"]], "release_ms": [values["Release"]]}
        else:
            settings["time_ms"] = [values["Release"]]
        return [FoundNode(kind, "", settings, wet)]
    return None
