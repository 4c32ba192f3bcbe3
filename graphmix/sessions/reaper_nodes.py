"""The nodes of a track of a REAPER project: its effects, its fader, its volume envelope."""

import base64
import binascii
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from graphmix.errors import FileError
from graphmix.processors.ride import BREAKPOINTS, breakpoints
from graphmix.sessions.reaper import EFFECTS
from graphmix.sessions.reaper_project import Node
from graphmix.sessions.reaper_state import Envelope, Fader, Track
from graphmix.sessions.reaper_text import envelope_points, fader_of, pan_gains, plain, thinned
from graphmix.sessions.rebuild import FoundNode, own_type
from graphmix.spec import NodeType

LEAST_DB, MOST_DB = -120.0, 60.0
PLUGINS = ("JS", "VST", "VST3", "AU", "DX", "LV2", "CLAP", "VIDEO_EFFECT", "CONTAINER")
ON_FADER, SQUARE = 1, 1
"""``VOLTYPE`` of an envelope on the fader's scale; shape of a point that holds its value."""
_OURS = re.compile(r"(?:.*[/\\])?graphmix[/\\](\w+)\.jsfx")
_COMMENT = re.compile(r"graphmix node (\d+): (.*)", re.S)
_EDITED = 1e-6
"""Relative difference from which a fader or an envelope counts as moved."""
RATES = range(8000, 384001)
"""At which responses are made."""
_BETWEEN = 32
"""Points that stand for a line in the factor."""


@dataclass(eq=False)
class Found:
    """A track or the master: its nodes in the order of the signal.

    Args:
        name: for messages.
        node: its block.
        state: what graphmix wrote for itself; None in projects of others.
        nodes: from where signals come in to where they leave.
        source: the input node, where it has audio.
        fader: how many of the nodes lie before the fader.
        outlet: of the first node, where it has several.
        parent: the folder, by index; None for the master.
        is_mute: whether it is.
        sends: whether it feeds its folder or the master.
    """

    name: str
    node: Node
    state: Track | None = None
    nodes: list[FoundNode] = field(default_factory=list)
    source: FoundNode | None = None
    fader: int = 0
    outlet: int = 0
    parent: int | None = None
    is_mute: bool = False
    sends: bool = True


class NodeReader:
    """Nodes from the blocks of tracks.

    Args:
        sample_rate: of the graph.
        law: of the project's panner.
        notices: where sentences for the user are added.
    """

    def __init__(self, sample_rate: int, law: float, notices: list[str]) -> None:
        self.sample_rate, self.law, self.notices = sample_rate, law, notices
        self.crossovers: dict[int, FoundNode] = {}

    # --- effects

    def effects(self, chain: Node | None, found: Found, is_on: bool) -> list[FoundNode]:
        """The nodes of an effect chain."""
        result: list[FoundNode] = []
        is_off = False
        parts: list[tuple[Node, bool, dict[str, Node]]] = []
        for part in [] if chain is None else chain.content:
            if isinstance(part, list):
                if part[0] == "BYPASS":  # bypassed, offline
                    is_off = "1" in part[1:3]
            elif part.tag in PLUGINS:
                parts.append((part, is_off or not is_on, {}))
            elif parts:
                parts[-1][2].setdefault(part.tag, part)
        for block, is_bypassed, more in parts:
            node = self._effect(block, more, found)
            if is_bypassed:
                node.wet = 0.0
            if "PARMENV" in more:
                self.notices.append(f"{found.name}: the automation of {node.name or node.kind!r} is not read.")
            result.append(node)
        return result

    def _effect(self, block: Node, more: dict[str, Node], found: Found) -> FoundNode:
        words = [*block.words, *[""] * 4]
        ours = _OURS.fullmatch(words[0]) if block.tag == "JS" else None
        if ours is None or ours[1] not in EFFECTS:
            shown = {"JS": words[1], "VST": words[3], "VST3": words[3]}.get(block.tag) or words[0] or block.tag
            self.notices.append(f"{found.name}: the plugin {shown!r} has no counterpart and is bypassed.")
            return FoundNode("gain", f"{shown} (bypassed)", wet=0.0)
        node = self._of_graphmix(ours[1], block, more.get("JS_SER"), found)
        comment = _COMMENT.fullmatch(_bytes(more.get("COMMENT")).decode("utf-8", "replace"))
        node.name = words[1]
        if comment is not None:
            node.number = int(comment[1])
            node.name = comment[2] if plain(comment[2]) == words[1] else words[1]
        if node.kind == "crossover" and node.number is not None:
            return self.crossovers.setdefault(node.number, node)
        return node

    def _of_graphmix(self, kind: str, block: Node, state: Node | None, found: Found) -> FoundNode:
        """A processor from the sliders of its effect, or from what its convolution serialized."""
        effect = EFFECTS[kind]
        words = [word for line in block.content if isinstance(line, list) for word in line]
        values: dict[str, list[float]] = {}
        for index, (name, _) in enumerate(effect.sliders):
            values.setdefault(name, []).append(block.as_number(words[index] if index < len(words) else "", "value"))
        wet = values.pop("wet", [1.0])[0]
        if not effect.is_convolution:
            return FoundNode(kind, "", values, wet)
        settings = _settings(_bytes(state))
        node_type = None if settings is None else own_type(kind, settings.base_rate, self.sample_rate)
        if settings is None or node_type is None or not settings.fit(node_type):
            raise FileError(f"{block.file}: {found.name}: the state of the effect {kind} is damaged.")
        found.outlet = max(found.outlet, settings.outlet)
        own = {p.name: settings.values[node_type.columns(p.name)].tolist() for p in node_type.parameters}
        return FoundNode(kind, "", own, wet, base_rate=settings.base_rate)

    # --- levels

    def levels(self, found: Found, fader: str, mode: str, envelope: Node | None) -> list[FoundNode]:
        """The gain of the fader and the ride of the envelope, in their order.

        Args:
            found: the track.
            fader: the line with its volume and pan.
            mode: the line with its automation mode.
            envelope: of its volume.
        """
        state = found.state
        own = state.envelope if state else None
        rides = self.ride(envelope, found, own)
        volume, pan, law = (found.node.number(fader, k, default) for k, default in ((0, 1.0), (1, 0.0), (2, -1.0)))
        if own and rides:
            volume /= envelope_points(own.points, own.wet)[0]
        elif rides and found.node.number(mode):
            volume = 1.0  # the envelope moves the fader, and does not add to it
        gain = self.gain(volume, pan, law, state.fader if state else None)
        gains = [] if gain is None else [gain]
        return [*gains, *rides] if state and state.is_fader_first else [*rides, *gains]

    def gain(self, volume: float, pan: float, law: float, state: Fader | None) -> FoundNode | None:
        """The gain of a volume and a pan; none where they do nothing and graphmix wrote none."""
        factors = [volume * factor for factor in pan_gains(pan, self.law if law < 0 else law)]
        values = [_decibels(factor) for factor in factors]
        if state is None:
            is_nothing = all(abs(factor - 1) < 1e-9 for factor in factors)
            return None if is_nothing else FoundNode("gain", "", {"gain_db": values})
        then, side = fader_of(10 ** (state.gain_db[0] / 20), 10 ** (state.gain_db[1] / 20))
        if abs(volume - then) <= _EDITED * then + 1e-9 and abs(pan - side) <= _EDITED:
            values = list(state.gain_db)
        return FoundNode("gain", state.name, {"gain_db": values}, number=state.node)

    def ride(self, envelope: Node | None, found: Found, state: Envelope | None) -> list[FoundNode]:
        """The ride of a volume envelope that is switched on."""
        if envelope is None or not envelope.number("ACT", default=1.0):
            return []
        points = [[envelope.as_number(x, "PT") for x in line[:3]] for line in envelope.lines("PT") if len(line) > 1]
        if not points:
            return []
        if state is not None:
            _, then = envelope_points(state.points, state.wet)
            if len(then) == len(points) and np.allclose([p[:2] for p in points], then, rtol=_EDITED, atol=1e-8):
                own = breakpoints(list(state.points))
                return [FoundNode("ride", state.name, own, state.wet, number=state.node)]
        is_on_fader = envelope.number("VOLTYPE") == ON_FADER
        kept, error = thinned(_in_decibels(points, is_on_fader), BREAKPOINTS)
        what = f"{found.name}: its volume envelope"
        if is_on_fader or any(len(point) > 2 and point[2] > SQUARE for point in points):
            self.notices.append(f"{what} has curved segments, which are read as straight in dB.")
        if error > 0.1:
            self.notices.append(
                f"{what} has {len(points)} points; a ride of {BREAKPOINTS} differs by up to {error:.1f} dB."
            )
        name, number = (state.name, state.node) if state else ("", None)
        return [FoundNode("ride", name, breakpoints(kept), number=number)]


@dataclass(frozen=True, eq=False)
class _Settings:
    """What the effect of a convolution serializes."""

    base_rate: int
    outlet: int
    values: NDArray[np.float64]

    def fit(self, node_type: NodeType) -> bool:
        """Whether a type has so many values and outlets."""
        return len(self.values) == node_type.width and 0 <= self.outlet < len(node_type.outlets)


def _settings(content: bytes) -> _Settings | None:
    """Settings from a state; None where it is damaged."""
    if len(content) % 4 or len(content) < 12:
        return None
    count, base_rate, outlet, *values = np.frombuffer(content, "<f4").astype(float).tolist()
    is_whole = count == len(values) + 2 and (base_rate == 0 or base_rate in RATES) and outlet.is_integer()
    return _Settings(int(base_rate), int(outlet), np.array(values)) if is_whole and np.isfinite(values).all() else None


def _in_decibels(points: Sequence[Sequence[float]], is_on_fader: bool) -> list[tuple[float, float]]:
    """Points of an envelope of factors, at rising times, such that lines in dB between them are close to it."""
    result: list[tuple[float, float]] = []
    for index, (time, factor, *_) in enumerate(points):
        if index:
            before, level, *shape = points[index - 1]
            if shape and shape[0] == SQUARE:
                result.append((time - 1e-3, _decibels(level)))
            elif not is_on_fader and abs(_decibels(level) - _decibels(factor)) > 1:
                shares = np.arange(1, _BETWEEN) / _BETWEEN
                result += [
                    (before + (time - before) * x, _decibels(level + (factor - level) * x)) for x in shares.tolist()
                ]
        result.append((time, _decibels(factor)))
    rising: list[tuple[float, float]] = []
    for time, gain in result:
        if rising and time <= rising[-1][0] + 1e-6:
            rising[-1] = (rising[-1][0], gain)
        else:
            rising.append((max(0.0, time), gain))
    return rising


def _decibels(factor: float) -> float:
    return min(MOST_DB, max(LEAST_DB, 20 * math.log10(factor))) if factor > 0 else LEAST_DB


def _bytes(block: Node | None) -> bytes:
    """What a block holds in base64; nothing where it is damaged."""
    try:
        return b"" if block is None else base64.b64decode(block.text(), validate=True)
    except (binascii.Error, ValueError):
        return b""
