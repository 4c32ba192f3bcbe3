"""The catalogue of an output folder: one SQLite file that says what is in it.

====================  ==================================================================================================
table ``songs``       one row for each song: where it comes from, its settings, losses, ratios, seconds, path, or why
                      it failed; derived from the songs' folders, from which it can be made again at any time
table ``events``      what happened to which song when, in order: a history for those who wonder; not derived
====================  ==================================================================================================

Only drivers write, each change in one transaction. SQLite keeps a rollback journal, which needs nothing of the file
system but locks, and writers wait for one another.
"""

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from graphmix.errors import GraphmixError
from graphmix.io import to_json
from graphmix.mining.song_task import METRICS, read_failure, read_metrics
from graphmix.search.metrics import translate_metrics
from graphmix.search.mine_song import FAILURE

FILE = "catalogue.sqlite"
_BUSY_SECONDS = 60.0
_COLUMNS = {
    "song_id": "TEXT PRIMARY KEY",
    "collection": "TEXT",
    "artist": "TEXT",
    "name": "TEXT",
    "path": "TEXT NOT NULL",
    "status": "TEXT NOT NULL",
    "reason": "TEXT",
    "settings_digest": "TEXT",
    "settings": "TEXT",
    "seed": "INTEGER",
    "versions": "TEXT",
    "device": "TEXT",
    "tracks": "INTEGER",
    "subgroups": "INTEGER",
    "processors_before": "INTEGER",
    "processors_left": "INTEGER",
    "left_by_type": "TEXT",
    "pruning_ratio": "REAL",
    "pruning_ratio_by_type": "TEXT",
    "audio_loss": "REAL",
    "left_right_loss": "REAL",
    "mid_loss": "REAL",
    "side_loss": "REAL",
    "console_loss": "REAL",
    "simple_answers": "TEXT",
    "si_sdr_db": "REAL",
    "sdr_db": "REAL",
    "seconds": "REAL",
    "steps": "INTEGER",
}
"""Of the table ``songs``. ``path`` is relative to the catalogue's folder; dictionaries are JSON."""
_PLAIN = (
    "seed", "device", "tracks", "subgroups", "processors_before", "processors_left", "audio_loss", "left_right_loss",
    "mid_loss", "side_loss", "console_loss", "si_sdr_db", "sdr_db", "steps",
)  # fmt: skip
_EVENTS = "number INTEGER PRIMARY KEY, time TEXT, song_id TEXT, event TEXT, worker TEXT, seconds REAL, reason TEXT"


class Catalogue:
    """The catalogue of an output folder, made or mended if need be.

    Raises:
        GraphmixError: it cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / FILE
        try:
            self._db = self._open()
        except sqlite3.OperationalError as error:
            raise GraphmixError(f"cannot open {self.path}: {error}. Is the folder writable?") from None
        except sqlite3.DatabaseError:  # a power cut on a disk that lies, or no database at all
            aside = self.path.with_name(f"catalogue.damaged-{time.strftime('%Y%m%d-%H%M%S')}.sqlite")
            os.replace(self.path, aside)
            self._db = self._open()
            self.rebuild()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            db.row_factory = sqlite3.Row
            columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
            with _transaction(db):
                db.execute(f"CREATE TABLE IF NOT EXISTS songs ({columns})")
                db.execute(f"CREATE TABLE IF NOT EXISTS events ({_EVENTS})")
            if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("damaged")
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Done with it."""
        self._db.close()

    def record(self, row: Mapping[str, Any], event: str | None = None, worker: str = "") -> None:
        """Put a song's row in place of the one before, and what happened into the history.

        Raises:
            sqlite3.Error: it cannot be written; it is then as it was.
        """
        with _transaction(self._db):
            self._put(row)
            if event is not None:
                self._note(row["song_id"], event, worker, row.get("seconds"), row.get("reason") or "")

    def note(self, song_id: str, event: str, worker: str = "", seconds: float | None = None, reason: str = "") -> None:
        """Add to the history alone.

        Raises:
            sqlite3.Error: it cannot be written; it is then as it was.
        """
        with _transaction(self._db):
            self._note(song_id, event, worker, seconds, reason)

    def statuses(self) -> dict[str, str]:
        """Song id -> ``"mined"`` or ``"failed"``."""
        return {row["song_id"]: row["status"] for row in self._db.execute("SELECT song_id, status FROM songs")}

    def rebuild(self) -> int:
        """Make the table of songs again from the folders -> number of songs."""
        rows = list(_rows(self.folder))
        with _transaction(self._db):
            self._db.execute("DELETE FROM songs")
            for row in rows:
                self._put(row)
        return len(rows)

    def _put(self, row: Mapping[str, Any]) -> None:
        marks = ", ".join(f":{name}" for name in _COLUMNS)
        self._db.execute(f"INSERT OR REPLACE INTO songs VALUES ({marks})", dict.fromkeys(_COLUMNS) | dict(row))

    def _note(self, song_id: str, event: str, worker: str, seconds: float | None, reason: str) -> None:
        values = (time.strftime("%Y-%m-%dT%H:%M:%S%z"), song_id, event, worker, seconds, reason)
        self._db.execute(
            "INSERT INTO events (time, song_id, event, worker, seconds, reason) VALUES (?, ?, ?, ?, ?, ?)", values
        )


class _transaction:
    """All or nothing; waits for other writers when it begins, not in the middle."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def __enter__(self) -> None:
        self.db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            self.db.execute("COMMIT")
        else:
            with suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")


def read_catalogue(folder: str | Path) -> list[dict[str, Any]]:
    """The songs of an output folder of :func:`mine_all`, by song id, as dictionaries.

    Raises:
        GraphmixError: there is no catalogue, or it is damaged.
    """
    return _read(Path(folder), "SELECT * FROM songs ORDER BY song_id")


def read_events(folder: str | Path) -> list[dict[str, Any]]:
    """What happened in an output folder, in order.

    Raises:
        GraphmixError: as :func:`read_catalogue`.
    """
    return _read(Path(folder), "SELECT * FROM events ORDER BY number")


def _read(folder: Path, query: str) -> list[dict[str, Any]]:
    path = folder / FILE
    if not path.is_file():
        raise GraphmixError(f"{folder} has no {FILE}; is it an output folder of mine-all?")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS)) as db:
            db.row_factory = sqlite3.Row
            return [_parsed(dict(row)) for row in db.execute(query)]
    except sqlite3.Error as error:
        raise GraphmixError(f"cannot read {path}: {error}. Call rebuild_catalogue to make it again.") from None


def _parsed(row: dict[str, Any]) -> dict[str, Any]:
    for name in ("settings", "versions", "left_by_type", "pruning_ratio_by_type", "simple_answers"):
        if row.get(name):
            row[name] = json.loads(row[name])
    return row


def rebuild_catalogue(folder: str | Path) -> int:
    """Make the catalogue of a folder again from what is in its songs' folders -> number of songs.

    Raises:
        GraphmixError: it cannot be written.
    """
    try:
        with closing(Catalogue(Path(folder))) as catalogue:
            return catalogue.rebuild()
    except sqlite3.Error as error:
        raise GraphmixError(f"cannot write {Path(folder) / FILE}: {error}.") from None


# --- rows


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Twelve characters that tell settings apart, whatever their order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def mined_row(song_id: str, path: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """A row from ``metrics.json``."""
    metrics = translate_metrics(metrics)
    source, settings = metrics.get("source") or {}, metrics.get("settings") or {}
    ratios = dict(metrics.get("pruning_ratio") or {})
    return {
        **{name: metrics.get(name) for name in _PLAIN},
        "song_id": song_id,
        "collection": source.get("collection"),
        "artist": source.get("artist"),
        "name": metrics.get("song"),
        "path": path,
        "status": "mined",
        "settings_digest": settings_digest(settings),
        "settings": to_json(settings),
        "versions": to_json(metrics.get("versions")),
        "left_by_type": to_json(metrics.get("left_by_type")),
        "pruning_ratio": ratios.pop("all", None),
        "pruning_ratio_by_type": to_json(ratios),
        "simple_answers": to_json(metrics.get("baselines")),
        "seconds": round(sum((metrics.get("seconds") or {}).values()), 2),
    }


def failed_row(song_id: str, path: str, failure: Mapping[str, Any]) -> dict[str, Any]:
    """A row from ``failure.json``."""
    settings = failure.get("settings") or {}
    return {
        "song_id": song_id,
        "collection": failure.get("collection"),
        "artist": failure.get("artist"),
        "path": path,
        "status": "failed",
        "reason": failure.get("reason"),
        "settings_digest": settings_digest(settings),
        "settings": to_json(settings),
        "seed": settings.get("seed"),
    }


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Of all songs below a folder; a mined one is no failure."""
    for path in sorted({path.parent for name in (METRICS, FAILURE) for path in folder.rglob(name)}):
        where = path.relative_to(folder).as_posix()
        if (metrics := read_metrics(path)) is not None:
            yield mined_row((metrics.get("source") or {}).get("song_id") or where, where, metrics)
        elif (failure := read_failure(path)) is not None:
            yield failed_row(failure.get("song_id") or where, where, failure)
