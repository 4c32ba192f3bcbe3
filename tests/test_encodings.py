"""Text files in the encodings that editors write: read by their byte order mark, or refused in one sentence.

The sentence names the file and the likely encoding.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphmix.audio.files import write_audio
from graphmix.datasets.records import read_record
from graphmix.errors import GraphmixError
from graphmix.evaluation.runs import read_runs
from graphmix.graph.storage import load_graph, save_graph
from graphmix.models.config import model_config
from graphmix.models.mixing.estimator import build_estimator
from graphmix.runs import RunFolder
from graphmix.search.metrics import read_metrics
from graphmix.songbook import SongbookSettings, find_loops, make_song
from graphmix.songbook.files import open_book, read_stored, write_song
from graphmix.training.checkpoint import read_description, save_estimator
from graphmix.training.config import find_config, load_config
from graphmix.training.folder import RESULT, read_result
from tests.evaluation.test_statistics import write_run
from tests.mining.mined_folders import ramp, small_graph, write_mined

TextFile = tuple[Path, Callable[[], Any]]
"""A file, and what reads it."""


def graph_file(folder: Path) -> TextFile:
    path = save_graph(small_graph(), folder / "graph.json")
    return path, lambda: load_graph(path)


def training_configuration(folder: Path) -> TextFile:
    path = folder / "own.toml"
    path.write_bytes(find_config("dmc").read_bytes())
    return path, lambda: load_config(path)


def metrics(folder: Path) -> TextFile:
    write_mined(folder / "song", small_graph(), "song")
    return folder / "song" / "metrics.json", lambda: read_metrics(folder / "song")


def record(folder: Path) -> TextFile:
    write_mined(folder / "song", small_graph(), "song")
    return folder / "song" / "metrics.json", lambda: read_record(folder / "song")


def statistics(folder: Path) -> TextFile:
    write_run(folder / "others", "another")
    write_run(folder / "song", "song")

    def read() -> None:
        runs, notices = read_runs([folder])
        if notices:
            assert len(runs) == 1
            raise GraphmixError(*notices)

    return folder / "song" / "metrics.json", read


def run_description(folder: Path) -> TextFile:
    run = RunFolder(folder / "out", {"seed": 0}, "result.json", lambda found, ours: None)
    run.begin()
    return folder / "out" / "run.json", run.status


def training_result(folder: Path) -> TextFile:
    (folder / RESULT).write_text('{"steps": 1}')
    return folder / RESULT, lambda: read_result(folder)


def model_description(folder: Path) -> TextFile:
    save_estimator(build_estimator(model_config({"name": "loudness_sum"})), folder / "model")
    return folder / "model.json", lambda: read_description(folder / "model.json")


def songbook_description(folder: Path) -> TextFile:
    settings = SongbookSettings()
    open_book(folder / "book", settings, None)
    return folder / "book" / "songbook.json", lambda: open_book(folder / "book", settings, None)


def songbook_song(folder: Path) -> TextFile:
    settings = SongbookSettings(max_tracks=2, seconds=(2.0, 2.0))
    song = write_song(make_song(settings, 0), settings, folder)
    return song / "song.json", lambda: read_stored(song)


def mapping_of_loops(folder: Path) -> TextFile:
    write_audio(folder / "kick.wav", ramp(1), 30000)
    (folder / "loops.json").write_text('{"kick": ["kick.wav"]}')
    return folder / "loops.json", lambda: find_loops(folder, folder / "loops.json")


FILES = (
    graph_file, training_configuration, metrics, record, statistics, run_description, training_result,
    model_description, songbook_description, songbook_song, mapping_of_loops,
)  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.__name__)
def test_a_byte_order_mark_says_how_a_text_file_is_read(tmp_path: Path, file: Any, encoding: str) -> None:
    path, read = file(tmp_path)
    path.write_text(path.read_text(), encoding=encoding)
    read()


@pytest.mark.parametrize(
    ("encoding", "message"),
    [("latin-1", "is not UTF-8 text; it may be Latin-1"), ("utf-16-le", "it looks like UTF-16 without a byte order")],
)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.__name__)
def test_text_in_another_encoding_is_named(tmp_path: Path, file: Any, encoding: str, message: str) -> None:
    path, read = file(tmp_path)
    text = path.read_text()
    text = text + "# é\n" if path.suffix == ".toml" else text.replace('"', '"é', 1)
    path.write_text(text, encoding=encoding)
    with pytest.raises(GraphmixError, match=f"{path.name}.*{message}") as caught:
        read()
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(path.name) == 1
