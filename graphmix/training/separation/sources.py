"""From songs to sources: which tracks of a song make its drums, its bass, its vocals and the rest.

Songs are those of any collection that :func:`graphmix.songs.open_collection` reads: a songbook, MUSDB18-HQ, a folder of
one's own. What is known of a track are its *labels*: its role and the role's family (songbook), its subgroup, and its
name without number and ending. A source names the labels that belong to it; ``"*"`` takes all that is left.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from graphmix.audio.song_description import DESCRIPTION
from graphmix.errors import GraphmixError, SongError
from graphmix.io import read_json
from graphmix.songbook.roles import ROLES
from graphmix.songs import open_collection
from graphmix.songs.collection import SongFiles

GRAPH = "graph.safetensors"
REST = "*"
SOURCES: dict[str, tuple[str, ...]] = {
    "drums": ("drums", "percussion"),
    "bass": ("bass",),
    "vocals": ("vocals", "vocal", "vox", "backing", "lead"),
    "other": (REST,),
}
"""The default: what carries the melody, sung or played, counts as vocals."""
_NUMBER = re.compile(r"^[\d\s._-]+|[\d\s._-]+$")


@dataclass(frozen=True)
class SourceSong:
    """The tracks of a song, by source.

    Args:
        id: in its collection.
        artist: None where unknown.
        collection: name of its collection.
        split: ``"train"`` or ``"test"`` where the collection says so.
        tracks: source -> name of track -> file; a source without tracks is silent in this song.
        graph: of its mix, where it is known; its inputs are the tracks.
        left_out: tracks that belong to no source.
    """

    id: str
    artist: str | None
    collection: str
    split: str | None
    tracks: Mapping[str, Mapping[str, Path]]
    graph: Path | None
    left_out: tuple[str, ...] = ()


def find_source_songs(
    folders: Sequence[str | Path], sources: Mapping[str, Sequence[str]] | None = None
) -> list[SourceSong]:
    """All songs below some folders with tracks of two sources or more.

    Args:
        folders: collections: songbooks, MUSDB18-HQ, folders of songs with subgroups.
        sources: source -> labels; :data:`SOURCES` if not given.

    Raises:
        GraphmixError: no folder, no song of use in one, or a description that is damaged.
    """
    sources = SOURCES if sources is None else sources
    if not folders:
        raise GraphmixError("there are no songs to learn from; name a folder by --songs or under data.songs.")
    found: list[SourceSong] = []
    for folder in folders:
        songs = [assign_tracks(song, sources) for song in open_collection(folder).usable]
        kept = [song for song in songs if len(song.tracks) > 1]
        if not kept:
            raise GraphmixError(
                f"{folder} holds no song with tracks of two sources ({', '.join(sources)}); tracks are assigned by "
                "role, subgroup or name: give subgroups in song.json, or other labels under [sources]."
            )
        found += kept
    return found


def assign_tracks(song: SongFiles, sources: Mapping[str, Sequence[str]]) -> SourceSong:
    """The sources of one song."""
    roles = _roles(song.folder)
    buses = {name: bus for bus, members in song.layout.subgroups.items() for name in members}
    tracks: dict[str, dict[str, Path]] = {}
    left_out = []
    for name, path in song.layout.tracks.items():
        source = _source_of(_labels(name, roles.get(name), buses.get(name)), sources)
        if source is None:
            left_out.append(name)
        else:
            tracks.setdefault(source, {})[name] = path
    graph = song.folder / GRAPH
    ordered = {source: tracks[source] for source in sources if source in tracks}
    known = graph if graph.is_file() else None
    return SourceSong(song.id, song.artist, song.collection, song.split, ordered, known, tuple(left_out))


def _roles(folder: Path) -> dict[str, str]:
    """Roles of the tracks of a songbook's song; of others, none."""
    path = folder / DESCRIPTION
    if not path.is_file():
        return {}
    described = read_json(path, error=SongError)
    songbook = described.get("songbook") if isinstance(described, dict) else None
    roles = songbook.get("roles") if isinstance(songbook, dict) else None
    return {str(k): str(v) for k, v in roles.items()} if isinstance(roles, dict) else {}


def _labels(name: str, role: str | None, bus: str | None) -> list[str]:
    """What is known of a track, the most telling first, without case."""
    labels = []
    if role is not None:
        labels += [role, ROLES[role].family] if role in ROLES else [role]
    if bus is not None:
        labels.append(_NUMBER.sub("", bus))
    labels.append(_NUMBER.sub("", Path(name).stem))
    return [label.casefold() for label in labels]


def _source_of(labels: Sequence[str], sources: Mapping[str, Sequence[str]]) -> str | None:
    """The source of the first label that one names; else the one that takes the rest."""
    for label in labels:
        for source, wanted in sources.items():
            if label in {text.casefold() for text in wanted} | {source.casefold()}:
                return source
    return next((source for source, wanted in sources.items() if REST in wanted), None)
