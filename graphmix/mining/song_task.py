"""One song of a collection as a task for a worker, and the outcome.

A task holds all that it needs: any process that can read the song and write the output folder can do it. Doing it twice
is the same as doing it once: a finished folder is found and left alone, an unfinished one is resumed.
"""

import json
import time
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from graphmix import __version__
from graphmix.errors import FolderBusyError, GraphmixError
from graphmix.io import decode_text, existing_folder, name_as_text, write_json
from graphmix.locks import is_locked
from graphmix.memory import Memory, usual_memory
from graphmix.processors.base import Processor
from graphmix.processors.rack import sources_of
from graphmix.progress import Listener
from graphmix.search.metrics import METRICS as METRICS
from graphmix.search.metrics import SongSource, translate_metrics
from graphmix.search.mine_song import FAILURE, digest_file, mine
from graphmix.search.settings import LookFor, SearchSettings
from graphmix.songs.collection import SongFiles


class Status(StrEnum):
    """How a task ended."""

    MINED = "mined"
    ALREADY = "already mined"
    FAILED = "failed"
    BUSY = "busy"
    DIED = "died"


@dataclass(frozen=True)
class SongTask:
    """A song, its output folder, how it is mined, and what may be kept at a time."""

    song: SongFiles
    folder: Path
    settings: SearchSettings
    device: str = "auto"
    plots: bool = True
    effects: tuple[Processor, ...] = ()
    look_for: LookFor = field(default_factory=LookFor)
    memory: Memory | None = None


@dataclass(frozen=True)
class Outcome:
    """The result of a task.

    Args:
        song_id: id of the song.
        status: ``BUSY`` if another process is mining the song, ``DIED`` if the worker ended without a result.
        reason: one sentence, if the song failed or the worker died.
        details: the traceback of an unexpected error.
        metrics: as in ``metrics.json``, if the song is mined.
        seconds: time in the worker.
        worker: name of the worker.
    """

    song_id: str
    status: Status
    reason: str = ""
    details: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    worker: str = ""


def do_task(task: SongTask, listener: Listener | None = None, worker: str = "") -> Outcome:
    """Mine the song; every error becomes an outcome."""
    started, song_id = time.perf_counter(), task.song.id

    def ended(status: Status, **more: Any) -> Outcome:
        return Outcome(song_id, status, seconds=time.perf_counter() - started, worker=worker, **more)

    if is_locked(task.folder):
        return ended(Status.BUSY)
    source = SongSource(song_id, task.song.collection, task.song.artist)
    try:
        memory = task.memory or usual_memory()
        room: dict[str, Any] = {"preload_bytes": memory.song, "store_in": existing_folder(task.folder)}
        song = task.song.load(task.settings.sample_rate, **room)
        options: dict[str, Any] = {"device": task.device, "listener": listener, "plots": task.plots, "memory": memory}
        options |= asdict(task.look_for)
        mined = mine(song, task.folder, task.settings, source=source, effects=task.effects, **options)
    except FolderBusyError:
        return ended(Status.BUSY)
    except GraphmixError as error:
        return ended(Status.FAILED, reason=" ".join(name_as_text(str(error)).split()))
    except Exception as error:  # an error of one song, whatever it is, stops no other
        lines = name_as_text(str(error)).strip().splitlines() or ["no message"]
        reason = f"{type(error).__name__}: {lines[0]}"
        return ended(Status.FAILED, reason=reason, details=name_as_text(traceback.format_exc()))
    return ended(Status.ALREADY if mined.already_done else Status.MINED, metrics=mined.metrics)


def is_finished(task: SongTask) -> bool:
    """Whether the folder holds this song, mined with these settings and effects.

    Names, subgroups and settings are compared, and the content of files that are newer than the metrics.
    """
    try:
        mined_at = (task.folder / METRICS).stat().st_mtime
        run = _read_object(task.folder / "run.json") or {}
        song, layout = run["song"], task.song.layout
        subgroups = {bus: list(members) for bus, members in layout.subgroups.items()}
        if "start" in run:  # by an estimator's proposal; mine-all takes the usual start
            return False
        if (run.get("effects") or {}) != sources_of(task.effects):
            return False
        if LookFor.of_run(run) != task.look_for:
            return False
        if run["settings"] != task.settings.to_dict() or song["name"] != layout.name or layout.mix is None:
            return False
        if set(song["tracks"]) != set(layout.tracks) or song["subgroups"] != subgroups:
            return False
        files = [(layout.mix, song["mix"]), *((path, song["tracks"][name]) for name, path in layout.tracks.items())]
        return all(path.stat().st_mtime <= mined_at or digest_file(path) == digest for path, digest in files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def tidy(folder: Path) -> None:
    """Remove from a finished folder what a process left there that was killed between its last two steps."""
    if (folder / METRICS).exists() and not is_locked(folder):
        for name in ("checkpoint.safetensors", FAILURE):
            with suppress(OSError):
                (folder / name).unlink()


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """``metrics.json`` of a folder with today's keys, or None where there is none that can be read."""
    values = _read_object(folder / METRICS)
    return None if values is None else translate_metrics(values)


def read_failure(folder: Path) -> dict[str, Any] | None:
    """``failure.json`` of a folder: ``song_id``, ``reason``, ``kind``, ...; None where there is none."""
    return _read_object(folder / FAILURE)


def _read_object(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(decode_text(path.read_bytes(), str(path)))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def write_failure(task: SongTask, reason: str, kind: str, details: str = "") -> str | None:
    """Record why a song was not mined; a finished folder is left as it is.

    Args:
        task: the song and its folder.
        reason: one sentence.
        kind: ``"problem"``: its files are incomplete; ``"error"``: mining failed; ``"died"``: the worker was killed.
        details: a traceback, if there is one.

    Returns:
        None, or why the file could not be written.
    """
    if (task.folder / METRICS).exists():
        return None
    record: dict[str, Any] = {
        "song_id": task.song.id,
        "collection": task.song.collection,
        "artist": task.song.artist,
        "reason": reason,
        "kind": kind,
        "details": details,
    }
    record = {key: name_as_text(text) if isinstance(text, str) else text for key, text in record.items()}
    record |= {"settings": task.settings.to_dict(), "graphmix": __version__}
    record["time"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    try:
        task.folder.mkdir(parents=True, exist_ok=True)
        write_json(task.folder / FAILURE, record)
    except (OSError, GraphmixError) as error:
        return str(error)
    return None
