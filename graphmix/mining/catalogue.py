"""The catalogue of an output folder: one SQLite file with a row for each song.

====================  ==================================================================================================
table ``songs``       one row for each song: origin, settings, losses, ratios, seconds, path, or the reason of its
                      failure; derived from the songs' folders, from which it can be rebuilt at any time
table ``events``      the history of each song (submitted, mined, failed, died), in order; not derived
====================  ==================================================================================================

Only drivers write, each change in one transaction. SQLite keeps a rollback journal, which needs nothing of the file
system but locks, and writers wait for one another. A catalogue with other columns (an older version of graphmix wrote
it) is rebuilt when a driver opens it.
"""

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from graphmix.errors import GraphmixError
from graphmix.io import finite, name_as_text, to_json
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
    "audio_loss_paper": "REAL",
    "left_right_loss": "REAL",
    "mid_loss": "REAL",
    "side_loss": "REAL",
    "console_loss": "REAL",
    "baselines": "TEXT",
    "si_sdr_db": "REAL",
    "sdr_db": "REAL",
    "seconds": "REAL",
    "steps": "INTEGER",
}
"""The columns of table ``songs``. ``path`` is relative to the catalogue's folder; dictionaries are JSON."""
_PLAIN = (
    "seed", "device", "tracks", "subgroups", "processors_before", "processors_left", "audio_loss", "audio_loss_paper",
    "left_right_loss", "mid_loss", "side_loss", "console_loss", "si_sdr_db", "sdr_db", "steps",
)  # fmt: skip
_EVENTS = "number INTEGER PRIMARY KEY, time TEXT, song_id TEXT, event TEXT, worker TEXT, seconds REAL, reason TEXT"


class Catalogue:
    """The catalogue of an output folder, made or repaired if need be.

    Args:
        folder: the output folder, which exists.

    Raises:
        GraphmixError: it cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / FILE
        try:
            self._db = self._open()
        except sqlite3.OperationalError as error:
            raise GraphmixError(f"cannot open {self.path}: {error}. Is the folder writable?") from None
        except sqlite3.DatabaseError:  # after a power cut, or no database at all
            aside = self.path.with_name(f"catalogue.damaged-{time.strftime('%Y%m%d-%H%M%S')}.sqlite")
            os.replace(self.path, aside)
            self._db = self._open()
            self.rebuild()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            db.row_factory = sqlite3.Row
            with _transaction(db):
                names = [row["name"] for row in db.execute("PRAGMA table_info(songs)")]
                is_older = bool(names) and names != list(_COLUMNS)
                if is_older:
                    db.execute("DROP TABLE songs")
                columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
                db.execute(f"CREATE TABLE IF NOT EXISTS songs ({columns})")
                db.execute(f"CREATE TABLE IF NOT EXISTS events ({_EVENTS})")
                if is_older:
                    _put(db, _rows(self.folder))
            if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("damaged")
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def record(self, row: Mapping[str, Any], event: str | None = None, worker: str = "") -> None:
        """Replace a song's row, and add an event to the history.

        Raises:
            sqlite3.Error: it cannot be written; it is then as it was.
        """
        with _transaction(self._db):
            _put(self._db, [row])
            if event is not None:
                self._note(row["song_id"], event, worker, row.get("seconds"), row.get("reason") or "")

    def note(self, song_id: str, event: str, worker: str = "", seconds: float | None = None, reason: str = "") -> None:
        """Add an event to the history alone.

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
            _put(self._db, rows)
        return len(rows)

    def _note(self, song_id: str, event: str, worker: str, seconds: float | None, reason: str) -> None:
        values = (time.strftime("%Y-%m-%dT%H:%M:%S%z"), song_id, event, worker, seconds, name_as_text(reason))
        self._db.execute(
            "INSERT INTO events (time, song_id, event, worker, seconds, reason) VALUES (?, ?, ?, ?, ?, ?)", values
        )


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; waits for other writers when it begins, not in the middle."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        yield


def _put(db: sqlite3.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert or replace rows of songs; texts become valid Unicode, which SQLite insists on."""
    marks = ", ".join(f":{name}" for name in _COLUMNS)
    for row in rows:
        texts = {name: name_as_text(value) for name, value in row.items() if isinstance(value, str)}
        db.execute(f"INSERT OR REPLACE INTO songs VALUES ({marks})", dict.fromkeys(_COLUMNS) | dict(row) | texts)


def read_catalogue(folder: str | Path) -> list[dict[str, Any]]:
    """The rows of an output folder of :func:`mine_all`, in the order of song ids, as dictionaries.

    Raises:
        GraphmixError: there is no catalogue, or it is damaged.
    """
    return _read(Path(folder), "SELECT * FROM songs ORDER BY song_id")


def read_events(folder: str | Path) -> list[dict[str, Any]]:
    """The history of an output folder, in order, as dictionaries.

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
        raise GraphmixError(f"cannot read {path}: {error}. Rebuild it by rebuild_catalogue.") from None


def _parsed(row: dict[str, Any]) -> dict[str, Any]:
    if "simple_answers" in row:  # the column's name in catalogues of older versions
        row["baselines"] = row.pop("simple_answers")
    for name in ("settings", "versions", "left_by_type", "pruning_ratio_by_type", "baselines"):
        if row.get(name):
            row[name] = json.loads(row[name])
    return row


def rebuild_catalogue(folder: str | Path) -> int:
    """Make the catalogue of a folder again from its songs' folders -> number of songs.

    Raises:
        GraphmixError: it cannot be written.
    """
    try:
        with closing(Catalogue(Path(folder))) as catalogue:
            return catalogue.rebuild()
    except sqlite3.Error as error:
        raise GraphmixError(f"cannot write {Path(folder) / FILE}: {error}.") from None


# --- rows


def _json(value: Any) -> str:
    """JSON in which what is not finite (older metrics may hold it) is null."""
    return to_json(finite(value))


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Twelve characters that identify settings, whatever their order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def mined_row(song_id: str, path: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a mined song, from its ``metrics.json`` of any version."""
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
        "settings": _json(settings),
        "versions": _json(metrics.get("versions")),
        "left_by_type": _json(metrics.get("left_by_type")),
        "pruning_ratio": ratios.pop("all", None),
        "pruning_ratio_by_type": _json(ratios),
        "baselines": _json(metrics.get("baselines")),
        "seconds": round(sum((metrics.get("seconds") or {}).values()), 2),
    }


def failed_row(song_id: str, path: str, failure: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a failed song, from its ``failure.json``."""
    settings = failure.get("settings") or {}
    return {
        "song_id": song_id,
        "collection": failure.get("collection"),
        "artist": failure.get("artist"),
        "path": path,
        "status": "failed",
        "reason": failure.get("reason"),
        "settings_digest": settings_digest(settings),
        "settings": _json(settings),
        "seed": settings.get("seed"),
    }


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of all songs below a folder; a song that is mined is no failure."""
    for path in sorted({path.parent for name in (METRICS, FAILURE) for path in folder.rglob(name)}):
        where = path.relative_to(folder).as_posix()
        if (metrics := read_metrics(path)) is not None:
            yield mined_row((metrics.get("source") or {}).get("song_id") or where, where, metrics)
        elif (failure := read_failure(path)) is not None:
            yield failed_row(failure.get("song_id") or where, where, failure)
