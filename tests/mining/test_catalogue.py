import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from graphmix.errors import GraphmixError
from graphmix.mining.catalogue import (
    Catalogue,
    failed_row,
    mined_row,
    read_catalogue,
    read_events,
    rebuild_catalogue,
    settings_digest,
)

METRICS: dict[str, Any] = {
    "song": "Title",
    "audio_loss": 0.5,
    "console_loss": 0.49,
    "tracks": 4,
    "subgroups": 2,
    "processors_before": 42,
    "processors_left": 12,
    "left_by_type": {"gain": 6, "equalizer": 6},
    "pruning_ratio": {"gain": 0.0, "equalizer": 0.5, "all": 0.7143},
    "baselines": {"plain sum": 2.0},
    "seconds": {"start": 1.5, "console": 20.25},
    "steps": 400,
    "seed": 3,
    "settings": {"tolerance": 0.01, "seed": 3},
    "versions": {"torch": "2.14.1"},
    "device": "cpu",
    "si_sdr_db": None,
    "source": {"song_id": "band/title", "collection": "box", "artist": "Band"},
}


def write_song(folder: Path, metrics: dict[str, Any] | None = None, failure: dict[str, Any] | None = None) -> None:
    folder.mkdir(parents=True)
    for name, content in (("metrics.json", metrics), ("failure.json", failure)):
        if content is not None:
            (folder / name).write_text(json.dumps(content))


def test_a_row_comes_back_as_it_was_written(tmp_path: Path) -> None:
    with closing(Catalogue(tmp_path)) as catalogue:
        catalogue.record(mined_row("band/title", "band/title", METRICS), "mined", "worker 1")
    (row,) = read_catalogue(tmp_path)
    assert (row["song_id"], row["collection"], row["artist"], row["name"]) == ("band/title", "box", "Band", "Title")
    assert (row["status"], row["reason"], row["path"]) == ("mined", None, "band/title")
    assert (row["pruning_ratio"], row["pruning_ratio_by_type"]) == (0.7143, {"gain": 0.0, "equalizer": 0.5})
    assert (row["seconds"], row["steps"], row["seed"], row["si_sdr_db"]) == (21.75, 400, 3, None)
    assert row["settings"] == METRICS["settings"]
    assert row["versions"] == {"torch": "2.14.1"}
    (event,) = read_events(tmp_path)
    assert (event["song_id"], event["event"], event["worker"]) == ("band/title", "mined", "worker 1")


def test_a_song_has_one_row_whatever_happens_to_it(tmp_path: Path) -> None:
    with closing(Catalogue(tmp_path)) as catalogue:
        catalogue.record(failed_row("a", "a", {"reason": "no mix", "settings": {"seed": 1}}), "failed")
        catalogue.record(mined_row("a", "a", METRICS), "mined")
        assert catalogue.statuses() == {"a": "mined"}
    assert [event["event"] for event in read_events(tmp_path)] == ["failed", "mined"]


def test_digests_tell_settings_apart_and_not_their_order() -> None:
    assert settings_digest({"a": 1, "b": 2}) == settings_digest({"b": 2, "a": 1})
    assert settings_digest({"a": 1}) != settings_digest({"a": 2})
    assert len(settings_digest({})) == 12


def test_rebuilding_finds_mined_and_failed_songs_and_forgets_others(tmp_path: Path) -> None:
    write_song(tmp_path / "band" / "title", METRICS)
    write_song(tmp_path / "failed", failure={"song_id": "failed", "reason": "silent", "settings": {}})
    write_song(tmp_path / "both", METRICS | {"source": None}, failure={"reason": "before"})
    write_song(tmp_path / "damaged")
    (tmp_path / "damaged" / "metrics.json").write_text("{")
    with closing(Catalogue(tmp_path)) as catalogue:
        catalogue.record(mined_row("gone", "gone", METRICS))
    assert rebuild_catalogue(tmp_path) == 3
    rows = {row["song_id"]: row for row in read_catalogue(tmp_path)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "band/title": "mined",
        "failed": "failed",
        "both": "mined",
    }
    assert rows["failed"]["reason"] == "silent"


def test_an_interrupted_change_leaves_what_was_there(tmp_path: Path) -> None:
    with closing(Catalogue(tmp_path)) as catalogue:
        catalogue.record(mined_row("a", "a", METRICS))
        with pytest.raises(sqlite3.Error):
            catalogue.record({"song_id": "a", "path": None, "status": "mined"})
        assert catalogue.statuses() == {"a": "mined"}
        catalogue.record(mined_row("b", "b", METRICS))
    assert [row["song_id"] for row in read_catalogue(tmp_path)] == ["a", "b"]


def test_two_writers_wait_for_each_other(tmp_path: Path) -> None:
    def write(name: str) -> None:
        with closing(Catalogue(tmp_path)) as catalogue:
            for i in range(20):
                catalogue.record(mined_row(f"{name}{i}", "x", METRICS), "mined")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_catalogue(tmp_path)) == 60
    assert len(read_events(tmp_path)) == 60


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be one" * 50, b"SQLite format 3\0" * 400])
def test_a_damaged_file_is_put_aside_and_made_again(tmp_path: Path, content: bytes) -> None:
    write_song(tmp_path / "band" / "title", METRICS)
    (tmp_path / "catalogue.sqlite").write_bytes(content)
    Catalogue(tmp_path).close()
    assert [row["song_id"] for row in read_catalogue(tmp_path)] == ["band/title"]
    (aside,) = tmp_path.glob("catalogue.damaged-*.sqlite")
    assert aside.read_bytes() == content


def test_what_cannot_be_read_or_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GraphmixError, match=r"has no catalogue.sqlite; is it an output folder of mine-all"):
        read_catalogue(tmp_path)
    with pytest.raises(GraphmixError, match="cannot open"):
        Catalogue(tmp_path / "nowhere")
    (tmp_path / "catalogue.sqlite").write_bytes(b"no database at all, but long enough to be one" * 50)
    with pytest.raises(GraphmixError, match="rebuild_catalogue"):
        read_catalogue(tmp_path)


def write_old_catalogue(path: Path) -> None:
    """As a version wrote it that had other columns."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE songs (song_id TEXT PRIMARY KEY, path TEXT, status TEXT, simple_answers TEXT)")
        db.execute("CREATE TABLE events (number INTEGER PRIMARY KEY, time TEXT, song_id TEXT, event TEXT, worker TEXT,"
                   " seconds REAL, reason TEXT)")  # fmt: skip
        db.execute("""INSERT INTO songs VALUES ('band/title', 'band/title', 'mined', '{"plain sum": 2.0}')""")
        db.execute("INSERT INTO events (song_id, event) VALUES ('band/title', 'mined')")
        db.commit()


def test_a_catalogue_of_an_older_version_is_read_and_brought_up_to_date(tmp_path: Path) -> None:
    old = {key: value for key, value in METRICS.items() if key != "baselines"} | {"simple_answers": {"plain sum": 2.0}}
    write_song(tmp_path / "band" / "title", old)
    write_old_catalogue(tmp_path / "catalogue.sqlite")
    (row,) = read_catalogue(tmp_path)
    assert (row["status"], row["baselines"]) == ("mined", {"plain sum": 2.0})
    Catalogue(tmp_path).close()
    (row,) = read_catalogue(tmp_path)
    assert (row["tracks"], row["baselines"]) == (4, {"plain sum": 2.0})
    assert [event["event"] for event in read_events(tmp_path)] == ["mined"]


def test_numbers_that_are_not_finite_are_stored_as_null(tmp_path: Path) -> None:
    metrics = METRICS | {"si_sdr_db": float("nan"), "baselines": {"plain sum": float("inf")}}
    with closing(Catalogue(tmp_path)) as catalogue:
        catalogue.record(mined_row("a", "a", metrics))
    (row,) = read_catalogue(tmp_path)
    assert (row["si_sdr_db"], row["baselines"]) == (None, {"plain sum": None})


def test_texts_that_are_no_unicode_are_stored_escaped(tmp_path: Path) -> None:
    with closing(Catalogue(tmp_path)) as catalogue:
        catalogue.record(failed_row("a", "a", {"reason": "caf\udce9", "artist": "\ud800"}), "failed")
    (row,) = read_catalogue(tmp_path)
    assert row["reason"] == read_events(tmp_path)[0]["reason"] == r"caf\xe9"
