"""Collections of songs, in whatever layout they lie on the disk: one interface, audio read only when it is asked for::

    collection = open_collection("MedleyDB")          # recognises the layout and says how
    for song in collection.usable:
        song.load(sample_rate=30000)                  # graphmix.audio.Song, as load_song gives it

Opening a collection reads names, descriptions and the headers of audio files; no sample is decoded. A song from
which something is missing is listed with its problems and cannot be loaded. Layouts are in
:mod:`graphmix.songs.layouts`.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from graphmix.audio.files import AudioInfo, read_info
from graphmix.audio.listing import some_names, subfolders
from graphmix.audio.song import PRELOAD_BYTES, Song, load_layout
from graphmix.audio.song_folder import Layout
from graphmix.audio.subgroups import Correspondence, group, read_correspondence
from graphmix.errors import SongError
from graphmix.songs.ids import safe_id, unique_ids
from graphmix.songs.layouts import KINDS, CollectionKind, FoundCollection, FoundSong, ReadOptions
from graphmix.text import name_as_text

AUTO = "auto"
READERS = 8
"""Threads that read headers: they wait for the disk, or for a network's."""
LENGTHS_DIFFER = 0.1
"""A mix whose length differs by more than this part from that of the longest track is pointed out."""


@dataclass(frozen=True)
class SongFiles:
    """A song of a collection: where its files are, and what is known without decoding them.

    `id` is unique in the collection and safe as a relative folder name. `problems` are sentences; a song that has
    any is listed, and not mined. `size_bytes` is that of its audio files, `seconds` the length of its mix (without
    one, of its longest track; 0 if no header can be read). `has_bleed` and `split` are None where the
    collection does not say.
    """

    id: str
    layout: Layout
    folder: Path
    artist: str | None
    collection: str
    genre: str | None
    problems: tuple[str, ...]
    size_bytes: int
    seconds: float
    has_bleed: bool | None = None
    split: str | None = None

    @property
    def is_usable(self) -> bool:
        """Whether nothing is missing."""
        return not self.problems

    def load(
        self, sample_rate: int = 30000, *, preload_bytes: int = PRELOAD_BYTES, store_in: str | Path | None = None
    ) -> Song:
        """Read and check the audio, as :func:`graphmix.load_song` does.

        Raises:
            SongError: the song has problems, or a file cannot be decoded.
        """
        if self.problems:
            raise SongError(f"song {self.id} cannot be loaded: {' '.join(self.problems)}")
        return load_layout(self.layout, self.folder, sample_rate, preload_bytes=preload_bytes, store_in=store_in)


@dataclass(frozen=True)
class Collection:
    """Songs sorted by id; `kind` is their layout and `evidence` how it was recognised.

    `notices` are sentences about the whole. `absent` are songs that the collection's metadata describes and that
    have no audio here.
    """

    name: str
    root: Path
    kind: str
    songs: list[SongFiles]
    evidence: str = ""
    notices: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def usable(self) -> list[SongFiles]:
        """The songs without problems."""
        return [song for song in self.songs if song.is_usable]

    def __len__(self) -> int:
        return len(self.songs)

    def __iter__(self) -> Iterator[SongFiles]:
        return iter(self.songs)

    def __getitem__(self, song_id: str) -> SongFiles:
        """The song of that id.

        Raises:
            SongError: there is none.
        """
        for song in self.songs:
            if song.id == song_id:
                return song
        raise SongError(f"{self.root} has no song {song_id!r}; it has {some_names([s.id for s in self.songs])}.")

    def __contains__(self, song_id: object) -> bool:
        return any(song.id == song_id for song in self.songs)


def open_collection(
    path: str | Path,
    kind: str = AUTO,
    *,
    name: str | None = None,
    tracks: str = "raw",
    subgroups: str | Path | None = None,
    metadata: str | Path | None = None,
) -> Collection:
    """Find the songs in a folder.

    Args:
        path: the collection's folder, or that of one song.
        kind: a layout, one of "folder", "medleydb", "musdb18-hq", "mixing-secrets", "daw"; "auto" recognises it.
        name: what the collection is called; by default its layout, or for one's own songs its folder.
        tracks: for MedleyDB, "raw" takes the raw tracks and groups them by stem, "stems" takes the stems.
        subgroups: a file track -> subgroup (:mod:`graphmix.audio.subgroups`) that overrides
            what the songs themselves say, for those songs that it names.
        metadata: for MedleyDB, the folder of its _METADATA.yaml files, if it is somewhere else.

    Raises:
        SongError: the folder cannot be read, is of no known layout or holds no song; `kind` or an option is none;
            a file about the whole collection cannot be used.
    """
    root = Path(path)
    subfolders(root)
    given = read_correspondence(Path(subgroups)) if subgroups is not None else None
    chosen, evidence = _recognised(root) if kind == AUTO else (_named(kind), "the layout was given")
    found = chosen.find(root, ReadOptions(tracks, None if metadata is None else Path(metadata)))
    if not found.songs:
        raise SongError(f"{root} holds no song of the layout '{chosen.name}': expected {chosen.expects}.")
    called = name or (safe_id([root.resolve().name]) if chosen.of_its_own else chosen.name)
    songs = _songs(found, root, called, given)
    return Collection(called, root, chosen.name, songs, evidence, found.notices, found.absent)


def _named(kind: str) -> CollectionKind:
    if kind not in KINDS:
        raise SongError(f"there is no layout {kind!r}: give {AUTO} or one of {', '.join(KINDS)}.")
    return KINDS[kind]


def _recognised(root: Path) -> tuple[CollectionKind, str]:
    """The first layout that a folder has, and why."""
    for kind in KINDS.values():
        evidence = kind.recognise(root)
        if evidence:
            return kind, evidence
    known = "; ".join(f"{kind.name}: {kind.expects}" for kind in KINDS.values())
    raise SongError(f"{root} is no collection of a known layout. Expected one of: {known}.")


def _songs(found: FoundCollection, root: Path, collection: str, given: Correspondence | None) -> list[SongFiles]:
    """Give ids, read headers, sort."""
    ordered = sorted(found.songs, key=lambda song: (song.parts, str(song.folder)))
    ids = unique_ids(song.parts for song in ordered)
    ordered = [_regrouped(song, root, song_id, given) for song, song_id in zip(ordered, ids, strict=True)]
    with ThreadPoolExecutor(READERS) as pool:
        songs = list(pool.map(lambda song, song_id: _with_headers(song, song_id, collection), ordered, ids))
    return sorted(_same_folders(songs), key=lambda song: song.id)


def _regrouped(song: FoundSong, root: Path, song_id: str, given: Correspondence | None) -> FoundSong:
    """Put the user's subgroups in place of the song's own; else say what was guessed."""
    folder = song.folder
    below = folder.relative_to(root).as_posix()
    try:
        entry = given.of(song_id, "/".join(song.parts), below, folder.name, song.layout.name) if given else None
    except SongError as error:
        return replace(song, problems=(*song.problems, str(error)))
    if given is None or entry is None:
        notices = (*song.layout.notices, song.guess) if song.guess else song.layout.notices
        return replace(song, layout=replace(song.layout, notices=notices))
    grouping = group(song.layout.tracks, entry, given.source.name)
    notices = (*song.layout.notices, *grouping.notices)
    offset = entry.offset or song.layout.offset
    layout = replace(song.layout, subgroups=grouping.subgroups, notices=notices, offset=offset)
    return replace(song, layout=layout, problems=(*song.problems, *grouping.problems))


def _with_headers(song: FoundSong, song_id: str, collection: str) -> SongFiles:
    """Read the headers of a song's audio: its length and size, files that cannot be used, rates that differ."""
    layout = song.layout
    infos: dict[Path, AudioInfo] = {}
    problems = list(song.problems)
    size = 0
    for path in [*layout.tracks.values(), *([layout.mix] if layout.mix else [])]:
        try:
            infos[path] = read_info(path)
            size += os.path.getsize(path)
        except SongError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{path} cannot be read ({error.strerror}): check its permissions.")
    mix = infos.get(layout.mix) if layout.mix else None
    lengths = [info.seconds for path, info in infos.items() if path != layout.mix]
    seconds = mix.seconds if mix else max(lengths, default=0.0)
    notices = (*layout.notices, *_notices(list(infos.values()), seconds if mix else None, max(lengths, default=None)))
    return SongFiles(
        id=song_id,
        layout=replace(layout, notices=tuple(map(name_as_text, notices))),
        folder=song.folder,
        artist=song.artist,
        collection=collection,
        genre=song.genre,
        problems=tuple(map(name_as_text, problems)),
        size_bytes=size,
        seconds=seconds,
        has_bleed=song.has_bleed,
        split=song.split,
    )


def _notices(infos: list[AudioInfo], mix_seconds: float | None, longest: float | None) -> Iterator[str]:
    """What the headers show that is no fault: rates that differ, a mix of quite another length."""
    rates = sorted({info.sample_rate for info in infos})
    if len(rates) > 1:
        yield f"The files have {len(rates)} sample rates ({', '.join(map(str, rates))} Hz) and are resampled."
    if mix_seconds and longest and abs(longest - mix_seconds) > LENGTHS_DIFFER * max(longest, mix_seconds):
        yield f"The mix lasts {mix_seconds:.1f} s and the longest track {longest:.1f} s: is it the mix of these tracks?"


def _same_folders(songs: list[SongFiles]) -> Iterator[SongFiles]:
    """Two names for one folder would put one song into a data set twice: the second becomes a problem."""
    first: dict[Path, str] = {}
    for song in songs:
        known = first.setdefault(song.folder.resolve(), song.id)
        if known != song.id:
            twice = f"it is the same folder as {known}: remove one of the links."
            song = replace(song, problems=(*song.problems, twice))
        yield song
