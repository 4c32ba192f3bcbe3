"""Finished graphs on disk, with the audio that they belong to: what a dataset of graphs is built from.

A record is a folder with ``graph.safetensors`` and one of two descriptions:

* ``metrics.json``, as mining writes it. Its entry ``source`` names the song, its artist and collection, and the audio
  files. They are absolute paths, or paths inside the record's folder. Without the entry (or with null) the graph has
  no audio.
* ``song.json``, as a song of the songbook has it, with ``"graph": "graph.safetensors"``. The audio lies in the folder.

A folder may come from anybody: descriptions are small, and no path in them may climb (``..``). An absolute path is
taken at its word; a loader reads it as audio and as nothing else, and only from below a folder of your choice if you
give it one.
"""

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from graphmix.audio.offset import NO_OFFSET, Offset, parse_offset
from graphmix.audio.song_description import DESCRIPTION
from graphmix.audio.song_folder import find_layout
from graphmix.errors import GraphError, SongError
from graphmix.graph.storage import read_header
from graphmix.io import decode_text

GRAPH = "graph.safetensors"
METRICS = "metrics.json"
MAX_DESCRIPTION_BYTES = 1 << 24
_LONGEST_MESSAGE = 1000
_PRINTABLE = re.compile(r"[^\x00-\x1f]+")


@dataclass(frozen=True)
class Record:
    """One finished graph.

    Args:
        song_id: of the song; a relative path without ``..``.
        artist: None where unknown.
        collection: None where unknown.
        graph_path: the graph file.
        sample_rate: of the graph, in Hz.
        mix: path of the mix, or None.
        tracks: paths of the dry tracks by the names of the graph's inputs; empty where unknown.
        metrics: what mining measured; empty for a true graph.
        offset: how far the mix lies behind the tracks.
    """

    song_id: str
    artist: str | None
    collection: str | None
    graph_path: Path
    sample_rate: int
    mix: Path | None
    tracks: Mapping[str, Path]
    metrics: Mapping[str, Any]
    offset: Offset = NO_OFFSET


def find_record_folders(root: str | os.PathLike[str]) -> list[Path]:
    """Folders of finished graphs below ``root`` (itself included), sorted by their relative path.

    Nothing is opened. Hidden folders are skipped, and links to folders are not followed.

    Raises:
        GraphError: there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise GraphError(f"{root} is not a folder: give the output of mine-all, or a songbook.")
    found = list[str]()
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if GRAPH in files and (METRICS in files or DESCRIPTION in files):
            found.append(place)
    return [Path(place) for place in sorted(found, key=lambda place: place.split(os.sep))]


def find_records(root: str | os.PathLike[str]) -> list[Record]:
    """All records below ``root``, sorted by folder.

    Raises:
        GraphError: a graph file whose header cannot be read, or no such folder.
        SongError: a description that cannot be used.
    """
    return list(iterate_records(root))


def iterate_records(root: str | os.PathLike[str]) -> Iterator[Record]:
    """As :func:`find_records`, one after the other."""
    for folder in find_record_folders(root):
        yield read_record(folder, root)


def read_record(folder: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> Record:
    """The record in one folder.

    Args:
        folder: with a graph and its description; with both descriptions, ``metrics.json`` is read.
        root: where its collection begins: a song without an id is called by its path from there.

    Raises:
        GraphError: the header of its graph cannot be read.
        SongError: its description is damaged, too large, or names a path that climbs.
    """
    folder = Path(folder)
    default_id = folder.relative_to(root).as_posix() if root is not None else ""
    default_id = folder.resolve().name if default_id in ("", ".") else default_id
    read = _mined if (folder / METRICS).exists() else _songbook
    try:
        return read(folder, default_id)
    except (GraphError, SongError) as error:
        raise type(error)(str(error)[:_LONGEST_MESSAGE]) from None
    except (UnicodeEncodeError, OSError) as error:  # from a name that is too long, or of no characters
        reason = error.strerror if isinstance(error, OSError) else error.reason
        raise SongError(f"a description in {folder} names a file that cannot be ({reason}): correct it.") from None


def _mined(folder: Path, default_id: str) -> Record:
    path = folder / METRICS
    metrics = _read_json(path)
    source = _typed(metrics, "source", dict, path) or {}
    tracks = _typed(source, "tracks", dict, path) or {}
    mix = _typed(source, "mix", str, path)
    return Record(
        song_id=_safe_id(_typed(source, "song_id", str, path) or default_id, path),
        artist=_typed(source, "artist", str, path),
        collection=_typed(source, "collection", str, path),
        graph_path=folder / GRAPH,
        sample_rate=_sample_rate(folder / GRAPH),
        mix=None if mix is None else _audio_path(folder, mix, path),
        tracks={name: _audio_path(folder, track, path) for name, track in tracks.items()},
        metrics=metrics,
        offset=parse_offset(source.get("offset", 0), f"{path}: source.offset"),
    )


def _songbook(folder: Path, default_id: str) -> Record:
    path = folder / DESCRIPTION
    text = _read_json(path)
    graph = _typed(text, "graph", str, path) or GRAPH
    graph_path = folder / _inside(graph, path)
    layout = find_layout(folder, need_mix=False)
    return Record(
        song_id=_safe_id(_typed(text, "song_id", str, path) or default_id, path),
        artist=_typed(text, "artist", str, path),
        collection=_typed(text, "collection", str, path),
        graph_path=graph_path,
        sample_rate=_sample_rate(graph_path),
        mix=layout.mix,
        tracks=dict(layout.tracks),
        metrics={},
        offset=layout.offset,
    )


def _sample_rate(graph: Path) -> int:
    rate = read_header(graph).get("sample_rate")
    if not isinstance(rate, int) or isinstance(rate, bool):
        raise GraphError(f"cannot load {graph}: its header has no sample rate.")
    return rate


def _read_json(path: Path) -> dict[str, Any]:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_DESCRIPTION_BYTES:
            raise SongError(f"{path} has {status.st_size} bytes or is no regular file: a description is a small file.")
        text = json.loads(decode_text(path.read_bytes(), str(path), SongError))
    except SongError:
        raise
    except (ValueError, RecursionError) as error:
        raise SongError(
            f"{path} is not JSON ({str(error)[:200]}): mine the song again, or remove its folder."
        ) from None
    except OSError as error:
        raise SongError(f"{path} cannot be read ({error.strerror or error}): check its permissions.") from None
    if not isinstance(text, dict):
        raise SongError(f"{path} holds a {type(text).__name__}, expected an object {{...}}.")
    return text


def _typed(text: Mapping[str, Any], key: str, kind: type, path: Path) -> Any:
    value = text.get(key)
    if value is not None and not isinstance(value, kind):
        expected = "text" if kind is str else "an object"
        raise SongError(f"{path} has a {type(value).__name__} under {key!r}, expected {expected} or null.")
    return value


def _safe_id(song_id: str, path: Path) -> str:
    pure = PurePosixPath(song_id)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or not _PRINTABLE.fullmatch(song_id):
        raise SongError(f"{path} has the song id {song_id[:80]!r}, which is no name for a folder: correct it.")
    return song_id


def _inside(name: str, path: Path) -> PurePosixPath:
    """A relative path that stays in its folder."""
    pure = PurePosixPath(name.replace("\\", "/"))
    climbs = ".." in pure.parts or "\0" in name
    if pure.is_absolute() or not pure.parts or climbs or re.match("[A-Za-z]:", name):
        raise SongError(f"{path} names {name[:80]!r}, which leads out of its folder: correct the path.")
    return pure


def _audio_path(folder: Path, name: Any, path: Path) -> Path:
    """An absolute path as it is, or a relative one in the folder; neither climbs."""
    if not isinstance(name, str):
        raise SongError(f"{path} has a {type(name).__name__} as the path of an audio file, expected text.")
    if os.path.isabs(name):
        if ".." in name.split("/") or "\0" in name:
            raise SongError(f"{path} names {name[:80]!r}, which climbs by '..': correct the path.")
        return Path(name)
    return folder / _inside(name, path)
