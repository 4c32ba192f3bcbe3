"""MedleyDB's description of a song, a YAML file: artist, genre, bleed, and which raw tracks make which stem.

All values are texts (:mod:`graphmix.audio.yaml_documents`). The file is bounded in size, in nesting and in the number
of tracks, and nothing that may be a chain of aliases is ever expanded.

Source: Bittner et al., "MedleyDB: A Multitrack Dataset for Annotation-Intensive MIR Research", ISMIR 2014, and
the files in the annotations' repository.
"""

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from graphmix.audio.yaml_documents import read_yaml
from graphmix.errors import SongError

SUFFIX = "_METADATA.yaml"
MAX_BYTES = 1 << 20
"""Real files have at most some 20 kB."""
MAX_TRACKS = 2000
_YES_OR_NO = {"yes": True, "true": True, "no": False, "false": False}


@dataclass(frozen=True)
class Stem:
    """A processed stem: its key (S01), instrument, file, and the files of the raw tracks that it was made from."""

    key: str
    instrument: str
    filename: str
    raw: tuple[str, ...]


@dataclass(frozen=True)
class Metadata:
    """What the file says; texts are None where it says nothing."""

    title: str | None
    artist: str | None
    genre: str | None
    has_bleed: bool | None
    mix_filename: str | None
    stem_dir: str | None
    raw_dir: str | None
    stems: tuple[Stem, ...]


def read_metadata(path: Path) -> Metadata:
    """Read a metadata file.

    Raises:
        SongError: it cannot be read, is too large or too deep, is not YAML, lists no stems, or names a file that
            lies elsewhere.
    """
    content = read_yaml(path, MAX_BYTES, unique=False)
    stems = content.get("stems") if isinstance(content, dict) else None
    if not isinstance(stems, dict) or not stems:
        raise SongError(f"{path} lists no stems: it is no MedleyDB metadata, or cut off. Copy it again.")
    read: list[Stem] = []
    for key in sorted(stems):
        read.append(_stem(key, stems[key], path))
        if sum(1 + len(stem.raw) for stem in read) > MAX_TRACKS:
            raise SongError(f"{path} lists more than {MAX_TRACKS} tracks: it is no MedleyDB metadata.")
    return Metadata(
        title=_text(content.get("title")) or None,
        artist=_text(content.get("artist")) or None,
        genre=_text(content.get("genre")) or None,
        has_bleed=_YES_OR_NO.get(_text(content.get("has_bleed")).casefold()),
        mix_filename=_file_name(content.get("mix_filename"), path),
        stem_dir=_file_name(content.get("stem_dir"), path),
        raw_dir=_file_name(content.get("raw_dir"), path),
        stems=tuple(read),
    )


def _stem(key: Any, value: Any, path: Path) -> Stem:
    value = value if isinstance(value, dict) else {}
    raws = value.get("raw")
    entries = list(raws.items())[:MAX_TRACKS] if isinstance(raws, dict) else []
    files = [_file_name(raw.get("filename") if isinstance(raw, dict) else None, path) for _, raw in sorted(entries)]
    filename = _file_name(value.get("filename"), path)
    if filename is None or None in files:
        raise SongError(f"{path}: stem {_text(key)} or one of its raw tracks has no filename. Copy the file again.")
    return Stem(_text(key), _text(value.get("instrument")), filename, tuple(name for name in files if name))


def _text(value: Any) -> str:
    """A text, or a short list of texts joined; nothing else is looked into."""
    if isinstance(value, list):
        return "/".join(item.strip() for item in value[:8] if isinstance(item, str))
    return value.strip() if isinstance(value, str) else ""


def _file_name(value: Any, path: Path) -> str | None:
    """The name of a file or folder, which must be a bare name."""
    name = _text(value)
    if name and (PurePath(name).name != name or "\\" in name or name == ".."):
        raise SongError(f"{path} names {name[:80]!r}, which leads out of the song's folder: that is no MedleyDB.")
    return name or None
