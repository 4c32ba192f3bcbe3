"""A graph and its tracks as the session of a digital audio workstation, whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from graphmix.audio.files import read_audio
from graphmix.audio.song import Song
from graphmix.errors import FileError, GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.render.signals import Signals
from graphmix.rewrite.rates import at_rate
from graphmix.sessions import ardour, dawproject, reaper
from graphmix.sessions.names import safe_names
from graphmix.sessions.printing import print_lacking
from graphmix.sessions.session import Device, Session, describe_session

ReadNode = Callable[[int], Tensor]
"""Audio [2, samples] by the number of a node."""
Writer = Callable[[Session, ReadNode, Path, int], None]
EditableWriter = Callable[[Session, ReadNode, Path, int, ReadNode], list[str]]


@dataclass(frozen=True)
class SessionFormat:
    """A format.

    Args:
        check: refuses a session that it cannot hold.
        write: writes one, given the tracks, a folder and the length.
        lacking: devices that the format, or other programs that read it, lack, given whether the session is editable.
        editable: writes one of the program's own devices, given what comes into each node as well, and says how near
            they are; None where there is one way only.
    """

    check: Callable[[Session], None]
    write: Writer
    lacking: Callable[[Session, bool], list[Device]]
    editable: EditableWriter | None = None


HOW = ("exact", "editable")
FORMATS: Mapping[str, SessionFormat] = {
    "ardour": SessionFormat(ardour.check_ardour, ardour.write_ardour, ardour.lacking, ardour.write_editable),
    "dawproject": SessionFormat(
        dawproject.check_dawproject,
        dawproject.write_dawproject,
        dawproject.lacking,
        dawproject.write_editable_dawproject,
    ),
    "reaper": SessionFormat(reaper.check_reaper, reaper.write_reaper, reaper.lacking),
}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        folder: of the session.
        session: what it holds.
        num_samples: length of its range.
        notices: sentences for the user.
        graph: at the session's rate.
        approximations: how near the devices of an editable session are, one sentence each.
    """

    folder: Path
    session: Session
    num_samples: int
    notices: tuple[str, ...]
    graph: MixGraph
    approximations: tuple[str, ...] = ()


def export_session(
    graph: MixGraph,
    song: Song,
    folder: str | os.PathLike[str],
    to: str = "ardour",
    num_samples: int | None = None,
    how: str = "exact",
    prints: bool = False,
) -> Exported:
    """Write a graph and its tracks as a session.

    Args:
        graph: its input nodes are named after the song's tracks; at another rate than the song's it is brought there.
        song: the tracks, at the session's rate.
        folder: of the session, new or empty; the session is called after it.
        to: the format, one of :data:`FORMATS`.
        num_samples: length of the session; the song's by default.
        how: ``exact``, or ``editable`` with the program's own devices where it has some.

        prints: render what the format or other programs lack into the clips (:mod:`graphmix.sessions.printing`).

    Raises:
        FileError: a folder that holds something, or cannot be written.
        GraphError: an unknown format or way, a processor that it cannot hold, tracks that do not fit the graph.
    """
    if to not in FORMATS:
        raise GraphError(f"there is no session format {to!r}; choose {', '.join(FORMATS)}.")
    editable = FORMATS[to].editable if how == "editable" else None
    if how not in HOW or (how == "editable" and editable is None):
        ways = HOW if FORMATS[to].editable else HOW[:1]
        raise GraphError(f"a session for {to} is not written as {how!r}; choose {' or '.join(ways)}.")
    folder = Path(folder)
    check_folder(folder)
    notices = _rate_notices(graph, song.sample_rate)
    graph = at_rate(graph, song.sample_rate)
    rows = _rows(graph, song)
    length = song.num_samples if num_samples is None else num_samples
    name = safe_names([folder.resolve().name])[0]
    if not prints:
        FORMATS[to].check(describe_session(graph, name))
    audio: Mapping[str, Tensor] = {}
    if prints:
        printed = print_lacking(graph, song, length, lambda found: FORMATS[to].lacking(found, editable is not None))
        graph, audio = printed.graph, printed.audio
        notices = (*notices, f"printed into the clips: {', '.join(printed.labels) or 'nothing'}.")
    session = describe_session(graph, name)
    FORMATS[to].check(session)
    missing = [device.label for device in FORMATS[to].lacking(session, editable is not None)]
    if missing:
        notices = (*notices, f"left out in other programs, which lack them: {', '.join(missing)}.")

    def read_track(node: int) -> Tensor:
        track = graph.names[node]
        if track in audio:
            return audio[track]
        return read_audio(song.tracks[rows[track]].info, -song.offset, song.num_samples, song.sample_rate)

    approximations: list[str] = []
    with whole_folder(folder) as partial:
        if editable:
            into = Signals(graph, song, length).into
            approximations = editable(session, read_track, partial, length, into)
        else:
            FORMATS[to].write(session, read_track, partial, length)
    return Exported(folder, session, length, notices, graph, tuple(approximations))


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder that becomes ``folder``, new or empty, at the end, unless something fails.

    Raises:
        FileError: it cannot be written.
    """
    partial = folder.parent / f".{uuid.uuid4().hex}.part"
    try:
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            folder.rmdir()
        os.replace(partial, folder)
    except OSError as error:
        reason = error.strerror or error
        raise FileError(f"{folder} cannot be written: {reason}. Check space and permissions.") from None
    finally:
        with suppress(OSError):
            shutil.rmtree(partial)


def check_folder(folder: Path) -> None:
    """Refuse an output folder that holds something.

    Raises:
        FileError: it does, or it cannot be read.
    """
    try:
        taken = folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir())))
    except OSError as error:
        raise FileError(f"cannot write {folder}: {error.strerror or error}.") from None
    if taken:
        raise FileError(f"{folder} exists and is no empty folder; choose another name for the output folder.")


def _rows(graph: MixGraph, song: Song) -> dict[str, int]:
    """For the name of each input the row of its track.

    Raises:
        GraphError: a track that the song lacks.
    """
    have = {name: row for row, name in enumerate(song.track_names)}
    missing = [name for name in graph.input_names if name not in have]
    if missing:
        raise GraphError(
            f"the graph takes {len(graph.input_names)} tracks and {len(missing)} are missing, first {missing[0]!r}; "
            f"the stems are: {', '.join(song.track_names[:6])}{' …' if len(have) > 6 else ''}."
        )
    return {name: have[name] for name in graph.input_names}


def _rate_notices(graph: MixGraph, sample_rate: int) -> tuple[str, ...]:
    """What is true of a graph that is brought to a higher rate."""
    if sample_rate <= graph.sample_rate:
        return ()
    top = graph.sample_rate / 2000
    return (
        f"the graph was made at {graph.sample_rate} Hz and knows nothing above {top:g} kHz: there tracks pass, "
        "equalizers go on with their highest gain, delays and reverbs give nothing, and detectors of dynamics receive "
        "what lies there as well.",
    )
