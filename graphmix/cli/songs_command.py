"""``graphmix songs``: what a collection holds, and what is wrong with it."""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graphmix.cli.files import check_file
from graphmix.cli.terminal import say
from graphmix.errors import GraphmixError
from graphmix.songs.collection import AUTO, Collection, SongFiles, open_collection

PIPED_COLUMNS = 200
"""Width of the table where the output is no terminal: one song a line, for grep."""


def run_songs(
    path: Path,
    kind: str = AUTO,
    as_json: bool = False,
    tracks: str = "raw",
    subgroups: Path | None = None,
    metadata: Path | None = None,
    write_subgroups: Path | None = None,
    force: bool = False,
) -> None:
    """List the songs of a collection: tracks, subgroups, minutes, problems.

    `write_subgroups` is a .csv file that receives the subgroup of every track, to be corrected and given back as
    `subgroups`; a file that exists is replaced only with `force`.

    Raises:
        FileError: `write_subgroups` exists already or cannot be written.
        GraphmixError: no song can be used; what was found has been printed all the same.
        SongError: as :func:`graphmix.songs.collection.open_collection`.
    """
    if write_subgroups is not None:
        check_file(write_subgroups, (".csv",), [] if subgroups is None else [subgroups], force)
    collection = open_collection(path, kind, tracks=tracks, subgroups=subgroups, metadata=metadata)
    if as_json:
        json.dump(as_plain(collection), sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        _print(collection)
    if write_subgroups is not None:
        from graphmix.audio.subgroups import write_correspondence

        write_correspondence(write_subgroups, {song.id: song.layout.subgroups for song in collection})
        console = Console(highlight=False, stderr=as_json)  # standard output is JSON and nothing else
        say(console, f"{write_subgroups}: the subgroups of {len(collection)} songs")
    if not collection.usable:
        raise GraphmixError(f"none of the {len(collection)} songs of {path} can be mined: see their problems.")


def as_plain(collection: Collection) -> dict[str, Any]:
    """A collection as JSON has it: texts, numbers, lists, objects."""
    return {
        "name": collection.name,
        "kind": collection.kind,
        "root": str(collection.root),
        "evidence": collection.evidence,
        "notices": list(collection.notices),
        "absent": list(collection.absent),
        "songs": [_plain_song(song) for song in collection],
    }


def _plain_song(song: SongFiles) -> dict[str, Any]:
    layout = song.layout
    return {
        "id": song.id,
        "name": layout.name,
        "artist": song.artist,
        "genre": song.genre,
        "split": song.split,
        "has_bleed": song.has_bleed,
        "folder": str(song.folder),
        "mix": None if layout.mix is None else str(layout.mix),
        "offset": str(layout.offset) if layout.offset else None,
        "tracks": {name: str(path) for name, path in layout.tracks.items()},
        "subgroups": {bus: list(names) for bus, names in layout.subgroups.items()},
        "seconds": round(song.seconds, 3),
        "size_bytes": song.size_bytes,
        "problems": list(song.problems),
        "notices": list(layout.notices),
    }


def _print(collection: Collection) -> None:
    """The table, then problems and notices, then the sum."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, PIPED_COLUMNS)

    say(console, f"layout: {collection.kind} ({collection.evidence})")
    console.print(_table(collection))
    for song in collection:
        for problem in song.problems:
            say(console, f"problem: {song.id}: {problem}")
    for song in collection:
        for notice in song.layout.notices:
            say(console, f"note: {song.id}: {notice}")
    for notice in collection.notices:
        say(console, f"note: {notice}")
    usable = collection.usable
    minutes = sum(song.seconds for song in usable) / 60
    tracks = sum(len(song.layout.tracks) for song in usable)
    say(
        console,
        f"{len(usable)} of {len(collection)} songs can be mined: {tracks} tracks, {minutes:.1f} minutes, "
        f"{sum(song.size_bytes for song in usable) / 1e9:.2f} GB.",
    )


def _table(collection: Collection) -> Table:
    table = Table(show_header=True)
    table.add_column("song", overflow="fold")
    table.add_column("tracks", justify="right")
    table.add_column("subgroups", overflow="fold")
    table.add_column("minutes", justify="right")
    table.add_column("problems", justify="right")
    for song in collection:
        buses = ", ".join(f"{bus} ({len(names)})" for bus, names in song.layout.subgroups.items())
        table.add_row(
            Text(song.id),
            str(len(song.layout.tracks)),
            Text(buses),
            f"{song.seconds / 60:.1f}",
            Text(str(len(song.problems)), style="red") if song.problems else "",
        )
    return table
