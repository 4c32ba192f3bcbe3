"""A page: what it shows, and the one HTML file that it becomes.

:class:`Content` is all that a page may show; a run fills what it has. :func:`build` codes the sound within the limits,
and puts everything, style and scripts included, into one text. Templates are Jinja2 in ``templates/``, style and
scripts lie in ``static/``.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from graphmix import __version__
from graphmix.errors import GraphmixError
from graphmix.io import finite
from graphmix.report.chart import Chart
from graphmix.report.course import Course
from graphmix.report.drawing import Drawing
from graphmix.report.error_map import FLOOR_DB, HIGHEST_HZ, LOWEST_HZ, Maps
from graphmix.report.losses import TERMS, WEIGHTS, Losses
from graphmix.report.sound import Sound, common_loudness, encode_all, matched_db, plain_db

SCRIPTS = ("sounds.js", "deck.js", "chart.js", "timeline.js", "player.js", "graph.js", "course.js", "page.js")
"""In the order in which they run."""
_RESERVE = 1_400_000
"""Bytes of a page without its sound that are planned for."""
_BASE64 = 3 / 4
_MOST_PIECES = 0.45
"""Share of the sound that may belong to tracks and nodes."""
_PIECE_KBPS = (64, 48, 40, 32, 24)
_VERSION_KBPS = (64, 128)
_PIECE_SECONDS = (8.0, 6.0, 4.0, 2.0)


@dataclass(frozen=True)
class Limits:
    """How large a page may become.

    Attributes:
        size: bytes of the file at most.
        seconds: of the song that it plays at most; None: as much as fits.
    """

    size: int = 12_000_000
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.size < 3_000_000:
            raise GraphmixError(f"a report of {self.size} bytes has no room for sound; give it 3,000,000 or more.")
        if self.seconds is not None and not self.seconds >= 1:
            raise GraphmixError(f"a report plays 1 s of the song or more, not {self.seconds}.")

    @property
    def sound_bytes(self) -> float:
        """Of coded sound."""
        return (self.size - _RESERVE) * _BASE64

    def pieces(self, count: int) -> tuple[float, float]:
        """Length in seconds and bit rate of so many pieces of tracks and nodes."""
        room = _MOST_PIECES * self.sound_bytes
        for seconds in _PIECE_SECONDS:
            for kbps in _PIECE_KBPS:
                if count * seconds * kbps * 125 <= room:
                    return seconds, kbps
        return _PIECE_SECONDS[-1], _PIECE_KBPS[-1]

    def stretch(self, versions: int, pieces: int, song_seconds: float) -> float:
        """How many seconds of the song so many versions have room for."""
        seconds, kbps = self.pieces(pieces)
        left = self.sound_bytes - pieces * seconds * kbps * 125
        fits = left / (max(1, versions) * _VERSION_KBPS[0] * 125)
        return min(song_seconds, fits, math.inf if self.seconds is None else self.seconds)


@dataclass(frozen=True)
class Version:
    """One of the sounds between which the page switches."""

    name: str
    sound: Sound
    note: str = ""


@dataclass(frozen=True)
class TrackPart:
    """A track that can be heard alone: pieces by their keys, as they lie on disk and as they leave their chain."""

    name: str
    dry: str
    chain: str | None
    settings: str = ""


@dataclass(frozen=True)
class NodePart:
    """A node of the graph that can be looked into."""

    node: int
    title: str
    kind: str
    place: str
    settings: str
    wet: float
    folded: bool
    values: Sequence[tuple[str, str]] = ()
    charts: Sequence[Chart] = ()
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True)
class GraphPart:
    """The graph, its nodes, and what leads to which."""

    drawing: Drawing
    nodes: Sequence[NodePart]
    caption: str


@dataclass(frozen=True)
class Table:
    """A table of text; the first column heads its rows."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Content:
    """What a page shows.

    Attributes:
        title: name of the song, sound or device.
        kind: what was done, such as ``"mined"``.
        lead: a sentence or two.
        facts: names and values at its top.
        versions: sounds in sync, the one that the others are compared with first.
        song_seconds: length of the song.
        pieces: sounds of tracks and nodes, by key.
        tracks: in the order of the song.
        graph: the graph.
        course: of the search.
        console: picture of the console that the course goes through.
        maps: spectrograms of the versions.
        has_target: whether the first version is what the others should be, so that what differs is their error.
        losses: of the versions.
        charts: of the whole, such as a device's curves.
        tables: others.
        notices: sentences on what is missing or was assumed.
    """

    title: str
    kind: str
    lead: str
    facts: Sequence[tuple[str, str]]
    versions: Sequence[Version]
    song_seconds: float
    pieces: Mapping[str, Sound] = field(default_factory=dict)
    tracks: Sequence[TrackPart] = ()
    graph: GraphPart | None = None
    course: Course | None = None
    console: Drawing | None = None
    console_names: Sequence[str] = ()
    maps: Maps | None = None
    has_target: bool = True
    losses: Losses | None = None
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    notices: Sequence[str] = ()


def build(content: Content, limits: Limits | None = None) -> str:
    """The page as HTML.

    Raises:
        GraphmixError: it does not get small enough.
    """
    limits = limits or Limits()
    shell = _Shell(content)
    empty = len(shell.render({}, "").encode())
    room = (limits.size - empty) * _BASE64 * 0.985
    keys = list(content.pieces)
    _, kbps = limits.pieces(len(keys))
    for _ in range(4):
        coded = dict(zip(keys, encode_all([content.pieces[k] for k in keys], [kbps] * len(keys)), strict=True))
        used = sum(map(len, coded.values()))
        if used <= _MOST_PIECES * 1.15 * room or kbps <= _PIECE_KBPS[-1]:
            break
        kbps *= 0.75
    seconds = sum(v.sound.seconds for v in content.versions)
    best = (room - used) / (max(seconds, 1e-3) * 125)
    rate = min(max(best, 16.0), _VERSION_KBPS[1])
    for _ in range(4):
        versions = encode_all([v.sound for v in content.versions], [rate] * len(content.versions))
        coded |= {f"version-{i}": data for i, data in enumerate(versions)}
        html = shell.render(coded, _sizes(content, rate, kbps))
        if len(html.encode()) <= limits.size:
            return html
        rate *= 0.85
    raise GraphmixError(
        f"the report has {len(html.encode())} bytes, and may have {limits.size}: allow more, or give it fewer seconds."
    )


def _sizes(content: Content, rate: float, kbps: float) -> str:
    """What was coded how, in a sentence."""
    if not content.versions:
        return ""
    first = content.versions[0].sound
    whole = first.seconds > content.song_seconds - 0.1
    part = "all of it" if whole else (
        f"{clock(first.start)} to {clock(first.start + first.seconds)} of {clock(content.song_seconds)}, the loudest "
        "stretch that there is room for"
    )  # fmt: skip
    text = f"The page plays {part}, as Ogg Opus at {rate:.0f} kbit/s"
    return f"{text}; tracks and nodes at {kbps:.0f} kbit/s." if content.pieces else f"{text}."


class _Shell:
    """A page without its sound."""

    def __init__(self, content: Content) -> None:
        self.content = content
        environment = Environment(
            loader=PackageLoader("graphmix.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        environment.filters["clock"] = clock
        self.template = environment.get_template("page.html.j2")
        self.style = Markup(static("page.css"))
        self.scripts = [Markup(static(name)) for name in SCRIPTS]

    def render(self, coded: Mapping[str, bytes], sizes: str) -> str:
        """The text of the page."""
        return self.template.render(
            content=self.content,
            style=self.style,
            scripts=self.scripts,
            sounds={key: Markup(base64.b64encode(data).decode()) for key, data in coded.items()},
            data=Markup(script_json(_data(self.content))),
            sizes=sizes,
            terms=list(zip(TERMS, WEIGHTS, strict=True)),
            version=__version__,
        )


def static(name: str) -> str:
    """A file of style or script."""
    return (files("graphmix.report") / "static" / name).read_text(encoding="utf-8")


def script_json(value: Any) -> str:
    """JSON that can stand in a script element: no ``<`` ends it, and no NaN."""
    text = json.dumps(finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(75.26)
    '1:15.3'
    """
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


# --- what the scripts read


def _data(content: Content) -> dict[str, Any]:
    versions = [v.sound for v in content.versions]
    return {
        "rate": 48000,
        "song": content.song_seconds,
        "versions": [
            {"key": f"version-{i}", "name": v.name} | entry
            for i, (v, entry) in enumerate(zip(content.versions, _levels(versions), strict=True))
        ],
        "pieces": _pieces(content),
        "tracks": [asdict(track) for track in content.tracks],
        "nodes": [] if content.graph is None else [_node(node) for node in content.graph.nodes],
        "wires": [] if content.graph is None else [[w.source, w.target] for w in content.graph.drawing.wires],
        "course": None if content.course is None else _course(content.course, content.console_names),
        "maps": _maps(content.maps, content.has_target),
        "losses": None if content.losses is None else asdict(content.losses),
        "charts": [asdict(chart) for chart in content.charts],
    }


def _levels(sounds: Sequence[Sound]) -> list[dict[str, float]]:
    """Gains of sounds that are compared: one that restores the level, one that matches loudness, one as it is."""
    common, plain = common_loudness(sounds), plain_db(sounds)
    return [
        {
            "start": round(s.start, 4),
            "seconds": round(s.seconds, 6),
            "restore": s.restore,
            "matched": round(matched_db(s, common), 2),
            "plain": round(plain, 2),
            "lufs": round(s.loudness, 1),
        }
        for s in sounds
    ]


def _pieces(content: Content) -> dict[str, dict[str, float]]:
    """By key; the page makes the gains of those pieces that it compares, see ``pairLevels`` in ``player.js``."""
    return {
        key: {"start": round(s.start, 4), "seconds": round(s.seconds, 6), "restore": s.restore,
              "lufs": round(s.loudness, 2), "peak": round(s.peak, 6)}
        for key, s in content.pieces.items()
    }  # fmt: skip


def _node(node: NodePart) -> dict[str, Any]:
    return {key: value for key, value in asdict(node).items() if key != "values"}


def _maps(maps: Maps | None, has_target: bool) -> dict[str, Any] | None:
    if maps is None:
        return None
    return {
        "columns": maps.columns,
        "bands": maps.bands,
        "low": LOWEST_HZ,
        "high": HIGHEST_HZ,
        "floor": FLOOR_DB,
        "levels": [base64.b64encode(level).decode() for level in maps.levels],
        "error": list(maps.mean_error_db),
        "target": has_target,
    }


def _course(course: Course, names: Sequence[str]) -> dict[str, Any]:
    rounds = []
    for r in course.rounds:
        trials = [asdict(replace(t, names=tuple(_named(t.nodes, t.names, names)))) for t in r.trials]
        rounds.append(asdict(replace(r, trials=())) | {"trials": trials})
    return {
        "rounds": rounds,
        "history": list(course.history),
        "training": thinned(course.training, 600),
        "baselines": dict(course.baselines),
    }


def _named(nodes: Sequence[int], names: Sequence[str], known: Sequence[str]) -> list[str]:
    return [known[v] if v < len(known) else name for v, name in zip(nodes, names, strict=True)] if known else [*names]


def thinned(points: Sequence[tuple[int, float]], most: int) -> list[tuple[int, float]]:
    """At most so many points, evenly spread, the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]
