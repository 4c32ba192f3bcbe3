"""Ardour sessions, exact: rendered by Ardour they are graphmix's render.

``FOLDER/NAME.ardour`` with ``interchange/NAME/audiofiles`` (the tracks) and ``plugins`` (impulse responses). Needs
Ardour 7 and, where filters, delays or reverbs are in the graph, Debian's ``x42-plugins``; dynamics and levels need no
plugin. See :mod:`graphmix.sessions.ardour_plan` for what becomes what.
"""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import soundfile
from torch import Tensor

from graphmix.audio.files import write_audio
from graphmix.errors import GraphError
from graphmix.sessions.ardour_plan import Convolver, Plan, plan_routes
from graphmix.sessions.ardour_xml import STATE, TICKS, Ids, Strip, add, add_region, add_route, add_source, state_of, time
from graphmix.processors.ride import Ride
from graphmix.sessions.session import Device, Role, Session
from graphmix.spec import DB_PER_NEPER

RATES = (44100, 48000, 88200, 96000)
"""Sample rates of sessions, in Hz."""


def write_ardour(session: Session, stems: Tensor, folder: Path, num_samples: int) -> None:
    """Write a session into a folder that exists and is empty.

    Args:
        session: what :func:`graphmix.sessions.describe_session` says.
        stems: audio of its tracks in their order, [tracks, 2, samples].
        folder: the session's.
        num_samples: what its range covers, from the beginning of the song.

    Raises:
        GraphError: a processor that the session cannot hold, or a rate that Ardour has not.
    """
    if session.sample_rate not in RATES:
        raise GraphError(
            f"the graph is at {session.sample_rate} Hz, and Ardour works at {', '.join(map(str, RATES))} Hz; "
            "bring the graph to one of them first."
        )
    plan = plan_routes(session)
    begin = session.sample_rate * (1 + math.ceil(plan.longest_latency() / session.sample_rate))
    files = [f"{name}.wav" for name in safe_names(route.name for route in plan.routes)]
    audio = folder / "interchange" / session.name / "audiofiles"
    audio.mkdir(parents=True)
    lengths: list[int] = []
    unused = iter(stems)
    for file, route in zip(files, plan.routes, strict=True):
        signal = _gain_of(route.ride, session.sample_rate, num_samples) if route.ride else None
        if route.track is not None:
            signal = next(unused)
        lengths.append(0 if signal is None else signal.shape[1])
        if signal is not None:
            write_audio(audio / file, signal, session.sample_rate)
    root, convolvers = _session(session, plan, (files, lengths), begin, num_samples)
    for number, convolver in convolvers.items():
        _write_state(folder / "plugins" / number / STATE, convolver, session.sample_rate)
    Xml.indent(root)
    Xml.ElementTree(root).write(folder / f"{session.name}.ardour", encoding="UTF-8", xml_declaration=True)


def _gain_of(ride: Device, sample_rate: int, num_samples: int) -> Tensor:
    """The factors of a ride with its dry/wet over the song, [2, samples]."""
    processor = Ride(sample_rate)
    decibels = processor.curve(ride.params[None], num_samples)
    factors = ride.wet * (decibels / DB_PER_NEPER).exp() + 1 - ride.wet
    return factors.expand(2, -1).float()


def safe_names(names: Iterable[str]) -> list[str]:
    """Names of routes and files: without slashes, colons and control characters, and no two alike in any case."""
    result: list[str] = []
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name).strip(" .") or "_"
        unique, number = plain, 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{plain} {number}"
        taken.add(unique.casefold())
        result.append(unique)
    return result


def _session(
    session: Session, plan: Plan, audio: tuple[list[str], list[int]], begin: int, num_samples: int
) -> tuple[Xml.Element, dict[str, Convolver]]:
    """The session's XML, and its convolvers by number."""
    ids, rate = Ids(), session.sample_rate
    root = Xml.Element("Session", {"version": "7002", "name": session.name, "sample-rate": str(rate)})
    root.set("session-range-is-free", "1")
    config = add(root, "Config")
    for name, value in (("native-file-data-format", "FormatFloat"), ("native-file-header-format", "WAVE")):
        add(config, "Option", name=name, value=value)
    sources, regions = add(root, "Sources"), add(root, "Regions")
    locations, routes, playlists = add(root, "Locations"), add(root, "Routes"), add(root, "Playlists")
    add(
        locations, "Location", id=ids(), name="session", start=time(begin, rate), end=time(begin + num_samples, rate),
        flags="IsSessionRange", locked=0,
    )  # fmt: skip
    names = safe_names(route.name for route in plan.routes)
    convolvers: dict[str, Convolver] = {}
    for index, route in enumerate(plan.routes):
        file, length = audio[0][index], audio[1][index]
        playlist = ids() if length else None
        enters: list[list[str]] = [[] for _ in range(route.inputs)]
        for c in plan.connections:
            if c.target == index:
                for side in range(2):
                    enters[2 * c.inlet + side].append(f"{names[c.source]}/audio_out {side + 1}")
        leaves: list[list[str]] = [[], []]
        for side in range(2):
            for c in plan.connections:
                if c.source == index:
                    leaves[side].append(f"{names[c.target]}/audio_in {2 * c.inlet + side + 1}")
            if route.role is Role.master:
                leaves[side].append(f"system:playback_{side + 1}")
        strip = Strip(route, names[index], enters, leaves, playlist, index)
        number, own = add_route(routes, ids, strip)
        convolvers |= own
        if playlist is not None:
            span = time(length, rate), time(begin, rate)
            channels = add_source(sources, ids, file)
            add_region(regions, ids, names[index], channels, span, whole=True)
            element = add(playlists, "Playlist", id=playlist, name=names[index], type="audio", orig_track_id=number)
            add_region(element, ids, names[index], channels, span, whole=False)
    _add_tempo(root)
    for tag in ("Bundles", "VCAManager", "UnusedPlaylists", "RouteGroups"):  # Ardour asks for them, empty or not
        add(root, tag)
    root.set("id-counter", ids())
    return root, convolvers


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


def _write_state(folder: Path, convolver: Convolver, sample_rate: int) -> None:
    """The state of a convolver: its response as left to left, left to right, right to left, right to right."""
    folder.mkdir(parents=True)
    for name, text in state_of(convolver).items():
        (folder / name).write_text(text, "utf-8")
    lead = max(0, convolver.response.start)
    taps = np.pad(convolver.response.taps, ((0, 0), (0, 0), (lead, 0)))
    paths = [taps[output, source] for source in range(2) for output in range(2)]
    soundfile.write(folder / "ir.wav", np.stack(paths, 1), sample_rate, "FLOAT")
