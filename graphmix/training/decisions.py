"""Decisions of the user that a proposal leaves as they are: a track's fader, its place, or that it is off.

A decision is written ``TRACK=SETTING``, several settings of a track with commas between them:

* ``fader:-3``: the level of its fader in dB, the mean power of left and right;
* ``pan:L30``, ``pan:R100``, ``pan:C``: its place in percent, by the constant-power law of
  :class:`graphmix.processors.stereo.Pan`, 0 dB in the middle;
* ``off``: muted.

A track is called by the name of its file, with or without what is behind the dot. Its fader is the first gain that the
track alone passes, and is made where a model left none; what follows, such as its subgroup, stays as proposed.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import torch

from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import find_strips
from graphmix.processors.levels import LEVEL_RANGE_DB
from graphmix.training.rules import own_fader

_PLACE = re.compile(r"(?:(?P<side>[LR])(?P<percent>\d+(?:\.\d+)?))|C|0", re.IGNORECASE)
FADER_DB = (-120.0, 40.0)
KNOWN = "fader:-3 (dB), pan:L30, pan:R30, pan:C (percent), off"


@dataclass(frozen=True)
class Decision:
    """What is decided of one track; None where nothing is.

    Args:
        fader_db: of its fader.
        place: from -1 (left) to 1 (right).
        off: whether it is muted.
    """

    fader_db: float | None = None
    place: float | None = None
    off: bool = False


def read_decisions(texts: Iterable[str], tracks: Sequence[str]) -> dict[str, Decision]:
    """Track -> what is decided of it.

    Args:
        texts: ``TRACK=SETTING`` each.
        tracks: names of the song's tracks.

    Raises:
        GraphmixError: no ``=``, a track that is unknown or not clear, a setting that is unknown or given twice.

    Example:
        >>> read_decisions(["voice=fader:-3,pan:L30"], ["voice.wav"])
        {'voice.wav': Decision(fader_db=-3.0, place=-0.3, off=False)}
    """
    found: dict[str, Decision] = {}
    for text in texts:
        name, separator, settings = text.rpartition("=")
        if not separator:
            raise GraphmixError(f"--keep {text!r} has no '='; write TRACK=SETTING, with one of: {KNOWN}.")
        track = _track(name, tracks)
        for setting in settings.split(","):
            found[track] = _with(found.get(track, Decision()), setting.strip(), text)
    return found


def _track(name: str, tracks: Sequence[str]) -> str:
    if name in tracks:
        return name
    plain = [track for track in tracks if name.casefold() in (track.casefold(), PurePath(track).stem.casefold())]
    if len(plain) == 1:
        return plain[0]
    shown = ", ".join(tracks[:8]) + (" …" if len(tracks) > 8 else "")
    what = "is none of the tracks" if not plain else f"could be {' or '.join(plain)}"
    raise GraphmixError(f"--keep: {name!r} {what}; the tracks are: {shown}.")


def _with(decision: Decision, setting: str, text: str) -> Decision:
    """A decision and one more setting."""
    kind, _, value = setting.partition(":")
    if kind == "off" and not value:
        return replace(decision, off=True)
    if kind == "fader":
        try:
            level = float(value)
        except ValueError:
            level = math.nan
        if not FADER_DB[0] <= level <= FADER_DB[1]:
            raise GraphmixError(f"--keep {text!r}: the fader is {value!r}; give dB from {FADER_DB[0]:g} to 40.")
        return replace(_fresh(decision, decision.fader_db, "fader", text), fader_db=level)
    if kind == "pan":
        match = _PLACE.fullmatch(value)
        percent = float(match["percent"] or 0) if match else math.nan
        if not percent <= 100:
            raise GraphmixError(f"--keep {text!r}: the place is {value!r}; give L0 to L100, C, or R0 to R100.")
        sign = -1 if match is not None and (match["side"] or "").upper() == "L" else 1
        return replace(_fresh(decision, decision.place, "place", text), place=sign * percent / 100)
    raise GraphmixError(f"--keep {text!r}: {setting!r} is no setting; give one of: {KNOWN}.")


def _fresh(decision: Decision, known: float | None, what: str, text: str) -> Decision:
    if known is not None:
        raise GraphmixError(f"--keep {text!r}: the {what} of this track is given twice; give it once.")
    return decision


def hold(graph: MixGraph, decisions: Mapping[str, Decision]) -> MixGraph:
    """A graph in which the faders of some tracks are as decided; the given one is not changed.

    Args:
        graph: on the CPU; its inputs are named after the tracks.
        decisions: by track.
    """
    for track, decision in decisions.items():
        graph, node, row = own_fader(graph, track)
        graph = graph.clone()
        now = graph.params["gain"][row]
        if decision.fader_db is not None or decision.place is not None:
            strip = find_strips(graph).tracks[track]
            others = [other for other in strip if other != node and graph.type_of(other).name == "gain"]
            graph.wet[others] = 0.0  # one fader a track: what is decided is what it has
        power = 10 ** (now / 10)
        level = float(10 * power.mean().log10()) if decision.fader_db is None else decision.fader_db
        if decision.place is None:
            sides = now - 10 * power.mean().log10()
        else:
            angle = torch.tensor((decision.place + 1) * math.pi / 4)
            sides = 20 * (math.sqrt(2) * torch.stack([angle.cos(), angle.sin()])).clamp(min=1e-5).log10()
        gain_db = torch.full_like(now, LEVEL_RANGE_DB[0]) if decision.off else (level + sides).to(now)
        graph.params["gain"][row] = gain_db.clamp(*LEVEL_RANGE_DB)
        graph.wet[node] = 1.0
    return graph


def describe(decisions: Mapping[str, Decision]) -> dict[str, dict[str, float | bool]]:
    """JSON values: track -> what is decided."""
    return {
        track: {name: value for name, value in vars(decision).items() if value is not None and value is not False}
        for track, decision in decisions.items()
    }
