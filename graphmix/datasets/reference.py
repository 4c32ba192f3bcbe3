"""Audio by reference: the files that a graph belongs to, and the section of them.

A reference is the attribute ``audio`` of a graph of a dataset. It is no tensor and no sequence, so that PyG keeps it as
it is: a batch has a list of them.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from graphmix.datasets.records import Record
from graphmix.errors import SongError

AudioRoot = str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]]
"""A folder, or one for each collection."""


@dataclass(frozen=True)
class AudioReference:
    """The song of a graph.

    Args:
        song_id: of the song.
        artist: None where unknown.
        collection: None where unknown.
        root: the folder in which the songs of the collection lie, absolute, as it was when the dataset was built.
        folder: the song's, relative to ``root``.
        mix: the mix, relative to ``folder``; None if there is none.
        tracks: the dry tracks by the names of the graph's inputs, relative to ``folder``.
        start: first sample of the section, at the graph's sample rate.
        length: its samples; None is up to the end of the mix, or of the longest track.
    """

    song_id: str
    artist: str | None = None
    collection: str | None = None
    root: str = ""
    folder: str = "."
    mix: str | None = None
    tracks: Mapping[str, str] = field(default_factory=dict)
    start: int = 0
    length: int | None = None

    def __repr__(self) -> str:
        return f"({self.song_id!r}, {len(self.tracks)} tracks{'' if self.mix else ', no mix'})"

    def path(self, name: str, audio_root: AudioRoot | None = None) -> Path:
        """Where a file is.

        Args:
            name: a value of ``tracks``, or ``mix``.
            audio_root: stands for ``root``, wherever the audio is now: a folder, or one for each collection.

        Raises:
            SongError: a path that leads out of the root, or a collection that ``audio_root`` does not know.
        """
        pure = PurePosixPath(self.folder) / name
        if pure.is_absolute() or ".." in pure.parts or "\0" in str(pure):
            raise SongError(
                f"song {self.song_id} names the file {str(pure)[:80]!r}, which leads out of its collection."
            )
        return self._root(audio_root) / pure

    def _root(self, audio_root: AudioRoot | None) -> Path:
        if audio_root is None:
            return Path(self.root)
        if not isinstance(audio_root, Mapping):
            return Path(audio_root)
        name = self.collection or ""
        if name not in audio_root:
            known = ", ".join(repr(key) for key in audio_root)
            raise SongError(
                f"audio_root has no folder for the collection {name!r} of song {self.song_id}; it has: {known}."
            )
        return Path(audio_root[name])


def refer(record: Record, length: int | None) -> AudioReference:
    """The reference of a record; its root is the folder that the song's folder lies in, until others are known."""
    files = [*record.tracks.values(), *([record.mix] if record.mix else [])]
    paths = [os.path.abspath(path) for path in files]
    if not paths:
        return AudioReference(record.song_id, record.artist, record.collection, length=length)
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    relative = [path[len(folder) :].lstrip(os.sep).replace(os.sep, "/") for path in paths]
    return AudioReference(
        song_id=record.song_id,
        artist=record.artist,
        collection=record.collection,
        root=os.path.dirname(folder),
        folder=os.path.basename(folder) or ".",
        mix=relative[-1] if record.mix else None,
        tracks=dict(zip(record.tracks, relative, strict=False)),
        length=length,
    )


def under(reference: AudioReference, root: str) -> AudioReference:
    """The same files, seen from a folder further up."""
    if not reference.root or reference.root == root:
        return reference
    folder = (Path(reference.root).relative_to(root) / reference.folder).as_posix()
    return replace(reference, root=root, folder=folder)


def to_plain(reference: AudioReference) -> dict[str, Any]:
    """As JSON values; what is a default is left out, and a track whose file is called like it is null."""
    tracks = {name: None if path == name else path for name, path in reference.tracks.items()}
    values = {**vars(reference), "tracks": tracks}
    return {key: value for key, value in values.items() if value not in (None, {}, ".", "")}


def from_plain(entry: Mapping[str, Any]) -> AudioReference:
    """The inverse of :func:`to_plain`.

    Raises:
        TypeError, ValueError: an entry that is not of this form.
    """
    texts = {key: entry[key] for key in ("artist", "collection", "root", "folder", "mix") if key in entry}
    numbers = {key: entry[key] for key in ("start", "length") if key in entry}
    tracks = {name: name if path is None else path for name, path in dict(entry.get("tracks", {})).items()}
    if not all(isinstance(text, str) for text in (entry.get("song_id"), *texts.values(), *tracks.values())):
        raise TypeError("a reference to audio has an entry that is no text")
    if not all(type(number) is int for number in numbers.values()):
        raise TypeError("a reference to audio has an entry that is no whole number")
    return AudioReference(entry["song_id"], tracks=tracks, **texts, **numbers)
