"""Ardour sessions: exact ones, which rendered by Ardour are graphmix's render, and editable ones.

``FOLDER/NAME.ardour`` with ``interchange/NAME/audiofiles`` (the tracks) and ``externals`` (impulse responses). Needs
Ardour 7 and no plugin beside its own. See :mod:`graphmix.sessions.ardour_plan` for what becomes what.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as Xml

import soundfile
from torch import Tensor

from graphmix.audio.files import write_audio
from graphmix.errors import GraphError
from graphmix.sessions import ardour_xml as layout
from graphmix.sessions.ardour_editable import plan_editable
from graphmix.sessions.ardour_kept import add_kept, mark_of
from graphmix.sessions.ardour_plan import Convolver, Plugin, RoutePlan, not_held, plan_routes
from graphmix.sessions.ardour_xml import TICKS, add, time
from graphmix.sessions.names import safe_names
from graphmix.sessions.printing import refuse
from graphmix.sessions.session import Device, Role, Session

RATES = (44100, 48000, 88200, 96000)
"""Sample rates of sessions, in Hz."""


def write_ardour(session: Session, read_track: Callable[[int], Tensor], folder: Path, num_samples: int) -> None:
    """Write an exact session into a folder that exists and is empty.

    Args:
        session: what :func:`graphmix.sessions.describe_session` says.
        read_track: audio [2, samples] of the track of an input node of the graph.
        folder: the session's.
        num_samples: what its range covers, from the beginning of the song.

    Raises:
        GraphError: a processor that the session cannot hold, or a rate that Ardour has not.
    """
    check_ardour(session)
    _write(session, plan_routes(session), read_track, folder, num_samples, "exact")


def write_editable(
    session: Session,
    read_track: Callable[[int], Tensor],
    folder: Path,
    num_samples: int,
    signal_into: Callable[[int], Tensor],
) -> list[str]:
    """Write an editable session, and say how well Ardour's plugins stand for graphmix's processors.

    Args:
        session: as for :func:`write_ardour`, as are the next three.
        read_track: tracks.
        folder: the session's.
        num_samples: its length.
        signal_into: renders what comes into a node, [2, samples].

    Raises:
        GraphError: as :func:`write_ardour`.
    """
    check_ardour(session)
    plan, found = plan_editable(session, lambda node: signal_into(node).double().numpy())
    _write(session, plan, read_track, folder, num_samples, "editable")
    return [str(approximation) for approximation in found]


def _write(
    session: Session, plan: RoutePlan, read_track: Callable[[int], Tensor], folder: Path, num_samples: int, how: str
) -> None:
    """Write what was planned."""
    begin = session.sample_rate * (1 + math.ceil(plan.longest_latency() / session.sample_rate))
    names = safe_names(route.name for route in plan.routes)
    audio = folder / "interchange" / session.name / "audiofiles"
    audio.mkdir(parents=True)
    files: list[AudioFile | None] = []
    for name, route in zip(names, plan.routes, strict=True):
        if route.track is None:
            files.append(None)
            continue
        signal = read_track(route.track)
        file = AudioFile(f"{name.removesuffix('.wav')} {len(files)}.wav", signal.shape[1])
        write_audio(audio / file.name, signal, session.sample_rate)
        files.append(file)
    root, plugins = _session(session, plan, names, files, (begin, begin + num_samples), how)
    for number, plugin in plugins:
        if isinstance(plugin, Convolver):
            response = folder / layout.response_file(number)
            response.parent.mkdir(exist_ok=True)
            soundfile.write(response, plugin.taps(), session.sample_rate, "FLOAT")
    Xml.indent(root)
    Xml.ElementTree(root).write(folder / f"{session.name}.ardour", encoding="UTF-8", xml_declaration=True)


def lacking(session: Session, editable: bool = False) -> list[Device]:
    """Devices that a session cannot hold."""
    return not_held(session)


def check_ardour(session: Session) -> None:
    """See that an exact session can hold all of a graph.

    Raises:
        GraphError: what it cannot hold, by name, or a rate that Ardour has not.
    """
    if session.sample_rate not in RATES:
        raise GraphError(
            f"the session is at {session.sample_rate} Hz, and Ardour works at {', '.join(map(str, RATES))} Hz; "
            "choose one of them as the sample rate."
        )
    refuse(lacking(session), "an Ardour session")


@dataclass(frozen=True)
class AudioFile:
    """A file of a track: its name and its samples."""

    name: str
    num_samples: int


def _session(
    session: Session, plan: RoutePlan, names: list[str], files: list[AudioFile | None], span: tuple[int, int], how: str
) -> tuple[Xml.Element, list[tuple[str, Plugin]]]:
    """The session's XML, and its plugins with their numbers.

    Args:
        session: name and rate.
        plan: its routes.
        names: of the routes among ports.
        files: what plays in each route.
        span: first sample of the song on the timeline, and the sample behind the last.
        how: exact or editable.
    """
    ids, rate = layout.Ids(), session.sample_rate
    root = Xml.Element("Session", {"version": "7002", "name": session.name, "sample-rate": str(rate)})
    root.set("session-range-is-free", "1")
    config = add(root, "Config")
    for name, value in (("native-file-data-format", "FormatFloat"), ("native-file-header-format", "WAVE")):
        add(config, "Option", name=name, value=value)
    sources, regions = add(root, "Sources"), add(root, "Regions")
    locations, routes, playlists = add(root, "Locations"), add(root, "Routes"), add(root, "Playlists")
    begin, end = (time(sample, rate) for sample in span)
    add(locations, "Location", id=ids(), name="session", start=begin, end=end, flags="IsSessionRange", locked=0)
    plugins: list[tuple[str, Plugin]] = []
    numbers, marks = [], {}
    for index, (route, name, file) in enumerate(zip(plan.routes, names, files, strict=True)):
        playlist = ids() if file else None
        strip = layout.Strip(route, name, *_ports(plan, names, index), playlist, index, span[0] * TICKS // rate)
        number, own = layout.add_route(routes, ids, strip)
        plugins += own
        numbers.append(number)
        marks[number] = mark_of(route, own)
        if file is not None:
            region = time(file.num_samples, rate), begin
            channels = layout.add_source(sources, ids, file.name)
            layout.add_region(regions, ids, name, channels, region, whole=True)
            element = add(playlists, "Playlist", id=playlist, name=name, type="audio", orig_track_id=number)
            layout.add_region(element, ids, name, channels, region, whole=False)
    _add_tempo(root)
    for tag in ("Bundles", "VCAManager", "UnusedPlaylists", "RouteGroups"):  # Ardour asks for them, empty or not
        add(root, tag)
    links = [[numbers[c.source], numbers[c.target], c.inlet] for c in plan.connections]
    add_kept(root, session.graph, {"routes": marks, "connections": links}, how)
    root.set("id-counter", ids())
    return root, plugins


def _ports(plan: RoutePlan, names: list[str], index: int) -> tuple[list[list[str]], list[list[str]]]:
    """What enters each input of a route, and where left and right go."""
    enters: list[list[str]] = [[] for _ in range(plan.routes[index].inputs)]
    leaves: list[list[str]] = [[], []]
    for c in plan.connections:
        for side in range(2):
            if c.target == index:
                enters[2 * c.inlet + side].append(f"{names[c.source]}/audio_out {side + 1}")
            if c.source == index:
                leaves[side].append(f"{names[c.target]}/audio_in {2 * c.inlet + side + 1}")
    if plan.routes[index].role is Role.master:
        for side in range(2):
            leaves[side].append(f"system:playback_{side + 1}")
    return enters, leaves


def _add_tempo(root: Xml.Element) -> None:
    """Any tempo: a session has one, and nothing here depends on it."""
    tempo_map = add(root, "TempoMap", superclocks_per_second=TICKS)
    begin = {"sclock": "0", "quarters": "0:0", "bbt": "1|1|0"}
    tempo = add(add(tempo_map, "Tempos"), "Tempo", npm=120, enpm=120, type="Tempo::Constant", active=1)
    meter = add(add(tempo_map, "Meters"), "Meter")
    for element in (tempo, meter):
        for key, value in begin.items():
            element.set(key, value)
    for key, value in (("note-type", "4"), ("locked-to-meter", "0"), ("continuing", "0"), ("omega", "0")):
        tempo.set(key, value)
    meter.set("note-value", "4")
    meter.set("divisions-per-bar", "4")
    add(tempo_map, "MusicTimes")
