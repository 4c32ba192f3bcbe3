"""A songbook (a synthetic dataset) on disk: one folder a song, complete or absent, and ``songbook.json`` for all.

===================== ================================================================================================
``song.json``         name, artist, genre, mix, stems, subgroups, as any song's; and seed, index, roles, style, facts
``dry/``              dry tracks, 24-bit FLAC (or WAV), mono where both channels are equal
``mix.flac``          the mix
``graph.safetensors`` the true graph; its inputs are named after the files in ``dry/``
===================== ================================================================================================

A folder is written under a hidden name, locked by its writer, and renamed when it is complete.
"""

import fcntl
import json
import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from graphmix.audio.files import write_audio
from graphmix.audio.song import load_song
from graphmix.errors import GraphmixError, SongError
from graphmix.graph.storage import save_graph
from graphmix.io import decode_text, write_json
from graphmix.processors.base import Processor
from graphmix.processors.rack import sources_of
from graphmix.songbook.book_song import BookSong, in_24_bits
from graphmix.songbook.effects import Setting
from graphmix.songbook.loops import LoopLibrary
from graphmix.songbook.material import RealMaterial
from graphmix.songbook.session import MixingStyle, Session
from graphmix.songbook.settings import SongbookSettings

BOOK_FILE = "songbook.json"
SONG_FILE = "song.json"
GRAPH_FILE = "graph.safetensors"
FORMAT = "graphmix songbook"
_PART = re.compile(r"\.song_\d+\.(?P<host>.*)\.[0-9a-f]+\.part")


@dataclass(frozen=True)
class StoredSong:
    """What a song's folder says beside its audio: enough to mix it again.

    Args:
        session: dry tracks, roles, subgroups.
        style: of the artist's engineer.
        chance: of its mix.
        seed: of that chance.
        gain_only: whether it is a mix of gain and panning alone.
        path: its folder.
    """

    session: Session
    style: MixingStyle
    chance: float
    seed: tuple[int, ...]
    gain_only: bool
    path: Path


def open_book(
    out: Path,
    settings: SongbookSettings,
    loops: LoopLibrary | None,
    effects: Sequence[Processor] = (),
    material: RealMaterial | None = None,
) -> None:
    """Make the folder of a songbook, or make sure that it is this one's; clear what killed processes have left.

    Raises:
        SongError: the folder holds something else or cannot be written.
    """
    content: dict[str, Any] = {
        "format": FORMAT,
        "settings": settings.to_dict(),
        "loops": loops.names() if loops else None,
    }
    if effects:
        content["effects"] = sources_of(effects)
    if material is not None:
        content["material"] = material.to_dict()
    path = out / BOOK_FILE
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            names = (p.name for p in sorted(out.iterdir()))
            foreign = next((name for name in names if name != BOOK_FILE and not name.startswith(".")), None)
            if foreign is not None:
                raise SongError(f"{out} holds something else ({foreign!r}): choose an empty folder for the songbook.")
            write_json(path, content)
        _clear_leftovers(out)
        found = json.loads(decode_text(path.read_bytes(), str(path), SongError))
    except GraphmixError:
        raise
    except (ValueError, RecursionError) as error:
        raise SongError(f"{path} is damaged ({error}): choose another folder.") from None
    except OSError as error:
        raise SongError(f"{out} cannot be used ({error.strerror or error}): choose another folder.") from None
    if not isinstance(found, dict):
        raise SongError(f"{path} is damaged (it holds no object): choose another folder.")
    if isinstance(theirs := found.get("settings"), dict):
        if "habits" in theirs:  # its name in older songbooks
            theirs["style_spread"] = theirs.pop("habits")
        theirs.setdefault("effect_share", settings.effect_share)  # older ones have no captured effects
    if found != content:
        theirs, ours = (
            {**(c.get("settings") or {}), **{key: c.get(key) for key in ("effects", "loops", "material")}}
            for c in (found, content)
        )
        other = next((name for name in ours if theirs.get(name) != ours[name]), "loops")
        raise SongError(
            f"{out} holds a songbook with another {other} ({theirs.get(other)!r}, not {ours.get(other)!r}): choose "
            "another folder, or the same settings to continue."
        )


def is_written(out: Path, name: str) -> bool:
    """Whether a song is there, complete."""
    return (out / name / SONG_FILE).is_file()


def write_song(song: BookSong, settings: SongbookSettings, out: Path) -> Path:
    """Write one song; where it is there already, nothing happens.

    Raises:
        SongError, FileError: the folder cannot be written, or the disk is full; the song is then absent.
    """
    folder = out / song.name
    if is_written(out, song.name):
        return folder
    ending = "." + settings.audio_format
    with _beside(folder) as part:
        (part / "dry").mkdir()
        for track, stem in song.session.stems.items():
            write_audio(part / "dry" / track, stem, settings.sample_rate)
        mix = in_24_bits(song.mixed.mix.double().numpy())
        write_audio(part / f"mix{ending}", mix, settings.sample_rate)
        save_graph(song.mixed.graph, part / GRAPH_FILE)
        write_json(part / SONG_FILE, _description(song, settings))
    return folder


def _description(song: BookSong, settings: SongbookSettings) -> dict[str, Any]:
    return {
        "name": song.name,
        "artist": f"artist_{settings.seed}_{song.artist:05d}",
        "genre": song.genre,
        "mix": f"mix.{settings.audio_format}",
        "stems": "dry",
        "subgroups": {bus: list(members) for bus, members in song.session.subgroups.items()},
        "seed": settings.seed,
        "graph": GRAPH_FILE,
        "songbook": {
            "index": song.index,
            "mode": settings.mode,
            "chance": settings.chance,
            "sample_rate": settings.sample_rate,
            "roles": dict(song.session.roles),
            "style": song.style.to_dict(),
            "facts": dict(song.facts),
            **_gear_of(song.session),
        },
    }


def _gear_of(session: Session) -> dict[str, Any]:
    """Captured effects and who passes through them; nothing where there are none."""
    if not session.effects:
        return {}
    return {
        "effects": {effect.node_type.name: effect.node_type.source for effect in session.effects},
        "gear": {track: list(setting) for track, setting in session.gear.items()},
    }


def read_stored(folder: str | Path, effects: Sequence[Processor] = ()) -> StoredSong:
    """Read a song's folder, audio included.

    Args:
        folder: of the song.
        effects: the captured effects that its tracks pass through.

    Raises:
        SongError: it is no song of a songbook, its audio cannot be read, or it has other effects.
    """
    folder = Path(folder)
    values = _stored(folder)
    if values["mode"] == "random-order":
        raise SongError(
            f"{folder} is a song of random chains, which follow from chance alone: it cannot be mixed again."
        )
    gear = _check_gear(folder, values, effects)
    song = load_song(folder, values["sample_rate"])
    stems = song.read(0, song.num_samples).stems
    settings = SongbookSettings(seed=values["seed"])
    return StoredSong(
        session=Session(
            stems=dict(zip(song.track_names, stems, strict=True)),
            roles={track: values["roles"][track] for track in song.track_names},
            subgroups=song.subgroups,
            sample_rate=song.sample_rate,
            gear=gear,
            effects=tuple(effects) if gear else (),
        ),
        style=MixingStyle.from_dict(values["style"]),
        chance=float(values["chance"]),
        seed=settings.stream("chance", values["index"]),
        gain_only=values["mode"] == "gain",
        path=folder,
    )


def read_facts(folder: Path) -> dict[str, Any]:
    """What a song's record says about what it was made of, without its audio.

    Raises:
        SongError: it is no song of a songbook.
    """
    facts = _stored(folder).get("facts")
    return facts if isinstance(facts, dict) else {}


def _check_gear(folder: Path, values: Mapping[str, Any], effects: Sequence[Processor]) -> dict[str, Setting]:
    """The captured effect of each track that has one, if those given are the song's own."""
    given = {effect.node_type.name: effect.node_type.source for effect in effects}
    for name, source in (values.get("effects") or {}).items():
        if name not in given:
            raise SongError(f"{folder}: its tracks use the captured effect {name!r}, from {source}; give its file.")
        if given[name] != source:
            raise SongError(f"{folder}: its {name!r} is from {source}, not {given[name]}: another capture.")
    try:
        return {track: (str(kind), float(wet), dict(s)) for track, (kind, wet, s) in (values.get("gear") or {}).items()}
    except (TypeError, ValueError, AttributeError):
        raise SongError(f"{folder / SONG_FILE} is damaged under 'gear': write the song again.") from None


def _stored(folder: Path) -> dict[str, Any]:
    path = folder / SONG_FILE
    try:
        description = json.loads(decode_text(path.read_bytes(), str(path), SongError))
        values = {**description["songbook"], "seed": description["seed"]}
        values.setdefault("style", values.pop("taste", None))  # its name in older songbooks
        kinds = {"sample_rate": int, "roles": dict, "style": dict, "index": int, "mode": str, "seed": int}
        wrong = next((key for key, kind in kinds.items() if not isinstance(values[key], kind)), None)
    except SongError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SongError(f"{path} does not describe a song of a songbook ({error!r}).") from None
    if wrong is not None:
        raise SongError(f"{path} has {values[wrong]!r} under {wrong!r}: it is damaged.")
    return values


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A hidden folder that becomes `folder` at the end, unless something fails or another was faster."""
    try:
        part, lock = _begin_part(folder)
        try:
            yield part
            os.rename(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
            os.close(lock)
    except OSError as error:
        if (folder / SONG_FILE).is_file():  # another process wrote the same song
            return
        reason = error.strerror or error
        raise SongError(f"{folder} cannot be written ({reason}): check room and permissions.") from None


def _begin_part(folder: Path) -> tuple[Path, int]:
    """A new hidden folder, and the lock on it that says that its writer lives."""
    while True:
        part = folder.with_name(f".{folder.name}.{_host()}.{uuid.uuid4().hex}.part")
        part.mkdir()
        with suppress(FileNotFoundError):  # taken for a leftover in the moment before it was locked
            lock = os.open(part, os.O_RDONLY)
            if _is_locked_by_us(lock) and part.exists():
                return part, lock
            os.close(lock)


def _clear_leftovers(out: Path) -> None:
    """Remove what dead processes of this machine had begun to write.

    A lock ends with its process, even while that is a zombie, which still has its number.
    """
    for path in out.glob(".song_*.part"):
        found = _PART.fullmatch(path.name)
        if found is None or found["host"] != _host():
            continue
        with suppress(FileNotFoundError):  # it was just finished
            lock = os.open(path, os.O_RDONLY)
            if _is_locked_by_us(lock):
                shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _is_locked_by_us(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) or "host"


def mix_of(folder: Path, sample_rate: int) -> torch.Tensor:
    """The written mix of a song, [2, samples]."""
    song = load_song(folder, sample_rate)
    mix = song.read(0, song.num_samples).mix
    assert mix is not None, "a song of a songbook has a mix"
    return mix
