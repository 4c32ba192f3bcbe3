"""Records: what is found below a folder, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphmix.audio.offset import Offset
from graphmix.datasets.records import MAX_DESCRIPTION_BYTES, find_record_folders, find_records, read_record
from graphmix.errors import GraphError, GraphmixError, SongError
from graphmix.graph.storage import save_graph
from tests.mining.mined_folders import (
    RATE,
    small_graph,
    write_audio_of,
    write_collection,
    write_mined,
    write_songbook_song,
)


def test_mined_songs_are_found_with_their_audio_in_the_order_of_their_folders(tmp_path: Path) -> None:
    records = find_records(write_collection(tmp_path, songs=4))
    assert [r.song_id for r in records] == ["song000", "song001", "song002", "song003"]
    third = records[2]
    assert (third.artist, third.collection, third.sample_rate) == ("Artist 2", "tiny", RATE)
    assert third.graph_path == tmp_path / "mined/song002/graph.safetensors"
    assert third.mix == tmp_path / "audio/song002/mix.wav"
    assert third.tracks == {f"{i}.wav": tmp_path / f"audio/song002/dry/{i}.wav" for i in range(3)}
    assert third.metrics["audio_loss"] == 0.5


def test_the_offset_of_a_mined_song_stays_with_its_record(tmp_path: Path) -> None:
    write_collection(tmp_path, songs=2)
    path = tmp_path / "mined/song001/metrics.json"
    metrics = json.loads(path.read_text())
    metrics["source"]["offset"] = 0.35
    path.write_text(json.dumps(metrics))
    assert [record.offset for record in find_records(tmp_path)] == [Offset(), Offset(0.35)]
    metrics["source"]["offset"] = "soon"
    path.write_text(json.dumps(metrics))
    with pytest.raises(SongError, match="offset is 'soon'"):
        find_records(tmp_path)


def test_a_songbook_song_is_a_record_without_metrics(tmp_path: Path) -> None:
    write_songbook_song(tmp_path / "book" / "0001")
    (record,) = find_records(tmp_path / "book")
    assert (record.song_id, record.artist, record.collection) == ("0001", "The Chance", None)
    assert record.mix == tmp_path / "book/0001/mix.wav"
    assert list(record.tracks) == ["0.wav", "1.wav"]
    assert record.metrics == {}
    assert record.sample_rate == RATE


def test_one_song_folder_is_itself_a_root(tmp_path: Path) -> None:
    (record,) = find_records(write_songbook_song(tmp_path / "Tune"))
    assert record.song_id == "Tune"


def test_unfinished_folders_hidden_ones_and_other_files_are_no_records(tmp_path: Path) -> None:
    root = write_collection(tmp_path, songs=2, with_audio=False)
    save_graph(small_graph(), tmp_path / "alone.safetensors")
    (root / "unfinished").mkdir()
    save_graph(small_graph(), root / "unfinished" / "graph.safetensors")
    (root / "failed").mkdir()
    (root / "failed" / "failure.json").write_text("{}")
    write_mined(root / ".hidden" / "x", small_graph(), "x")
    (root / "again").symlink_to(root, target_is_directory=True)
    assert [f.name for f in find_record_folders(root)] == ["song000", "song001"]


def test_songs_at_any_depth_are_called_by_their_path(tmp_path: Path) -> None:
    write_mined(tmp_path / "a" / "b", small_graph(), "x")
    metrics = tmp_path / "a/b/metrics.json"
    metrics.write_text(json.dumps({"audio_loss": 1}))  # mined before there was a source
    (record,) = find_records(tmp_path)
    assert (record.song_id, record.mix, dict(record.tracks)) == ("a/b", None, {})


def test_relative_audio_lies_in_the_folder_of_the_record(tmp_path: Path) -> None:
    folder = write_mined(tmp_path / "x", small_graph(), "x", mix=Path("audio/mix.wav"), tracks={"0.wav": Path("0.wav")})
    record = read_record(folder)
    assert (record.mix, record.tracks["0.wav"]) == (folder / "audio/mix.wav", folder / "0.wav")


def test_a_root_that_is_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="nowhere is not a folder: give the output of mine-all, or a songbook"):
        find_records(tmp_path / "nowhere")


def _source(**changes: Any) -> Callable[[dict], None]:
    return lambda metrics: metrics["source"].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_source(mix="../../../etc/passwd"), "'../../../etc/passwd', which leads out of its folder"),
        (_source(mix="/music/../etc/passwd"), "'/music/../etc/passwd', which climbs by '..'"),
        (_source(mix="C:\\mix.wav"), "which leads out of its folder"),
        (_source(mix=""), "'', which leads out of its folder"),
        (_source(tracks={"0.wav": "..\\x.wav"}), "which leads out of its folder"),
        (_source(tracks={"0.wav": "a\0b"}), "which leads out of its folder"),
        (_source(tracks={"0.wav": 3}), "has a int as the path of an audio file"),
        (_source(tracks=["0.wav"]), "has a list under 'tracks', expected an object"),
        (_source(song_id="../up"), "the song id '../up', which is no name"),
        (_source(song_id="/abs"), "the song id '/abs', which is no name"),
        (_source(song_id="a\nb"), "which is no name"),
        (_source(song_id=7), "has a int under 'song_id', expected text"),
        (_source(artist=["x"]), "has a list under 'artist', expected text or null"),
        (lambda m: m.update(source="x"), "has a str under 'source', expected an object"),
    ],
)
def test_a_source_that_is_wrong(tmp_path: Path, change: Callable[[dict], None], message: str) -> None:
    mix, tracks = write_audio_of(tmp_path / "audio", 2)
    path = write_mined(tmp_path / "x", small_graph(), "x", None, mix, tracks) / "metrics.json"
    metrics = json.loads(path.read_text())
    change(metrics)
    path.write_text(json.dumps(metrics))
    with pytest.raises(SongError) as caught:
        find_records(tmp_path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"\xff\xfe", b"{", b"[" * 100_000, b'{"a": 1e}'])
def test_a_description_that_is_no_json_object(tmp_path: Path, content: bytes) -> None:
    folder = write_mined(tmp_path / "x", small_graph(), "x")
    (folder / "metrics.json").write_bytes(content)
    with pytest.raises(SongError, match=r"metrics\.json (is not JSON|holds a)"):
        read_record(folder)


def test_a_description_that_is_huge_or_no_file_is_not_read(tmp_path: Path) -> None:
    folder = write_mined(tmp_path / "x", small_graph(), "x")
    with open(folder / "metrics.json", "wb") as file:
        file.truncate(MAX_DESCRIPTION_BYTES + 1)
    with pytest.raises(SongError, match=r"metrics\.json has \d+ bytes or is no regular file"):
        read_record(folder)


@pytest.mark.parametrize("graph", ["../other/graph.safetensors", "/etc/graph.safetensors", "graph.json"])
def test_a_songbook_song_does_not_name_a_graph_outside_or_of_another_kind(tmp_path: Path, graph: str) -> None:
    folder = write_songbook_song(tmp_path / "book" / "1")
    text = json.loads((folder / "song.json").read_text())
    (folder / "song.json").write_text(json.dumps({**text, "graph": graph}))
    with pytest.raises(GraphmixError):
        read_record(folder)


@pytest.mark.parametrize(
    ("key", "name", "message"),
    [("mix", "\ud800", "surrogates not allowed"), ("stems", "x" * 5000, "has a name of 5000 characters")],
)
def test_a_songbook_song_names_files_that_can_be(tmp_path: Path, key: str, name: str, message: str) -> None:
    folder = write_songbook_song(tmp_path / "1")
    text = json.loads((folder / "song.json").read_text())
    (folder / "song.json").write_text(json.dumps({**text, key: name}))
    with pytest.raises(SongError, match=message):
        read_record(folder)


def test_a_damaged_graph_is_named(tmp_path: Path) -> None:
    root = write_collection(tmp_path, songs=2, with_audio=False)
    (root / "song001/graph.safetensors").write_bytes(b"no graph")
    with pytest.raises(GraphError, match=r"cannot load .*song001.graph\.safetensors: the file is damaged"):
        find_records(root)
