"""Tables of mined songs, from folders whose numbers are chosen so that the means can be done in the head."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from graphmix.errors import SearchError
from graphmix.evaluation.runs import Run, places, read_runs
from graphmix.evaluation.statistics import (
    main_runs,
    pruning_table,
    sizes_table,
    tables,
    tradeoff_table,
    types_of,
    variation_table,
    write_statistics,
)
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import save_graph
from tests.small_song import hidden_graph


def write_run(
    folder: Path,
    song: str,
    collection: str | None = "box",
    ratio: float = 0.5,
    graph: MixGraph | None = None,
    **changes: Any,
) -> None:
    settings = {"policy": "hybrid", "tolerance": 0.01, "seed": 0, "steps": 200}
    settings |= {key: changes.pop(key) for key in list(changes) if key in settings}
    metrics = {
        "song": song,
        "audio_loss": 0.5,
        "console_loss": 0.48,
        "tracks": 4,
        "subgroups": 2,
        "processors_before": 12,
        "processors_left": round(12 * (1 - ratio)),
        "left_by_type": {"gain": 4},
        "pruning_ratio": {"equalizer": 1.0, "gain": ratio / 2, "all": ratio},
        "seconds": {"start": 1.0, "console": 2.0},
        "settings": settings,
        "source": {"song_id": song, "collection": collection, "artist": None},
        **changes,
    }
    (folder / "plots").mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "run.json").write_text("{}")
    trace = [
        {"event": "train", "step": 0, "loss": 1.0, "wet": {"gain": 1.0, "equalizer": 0.5}},
        {"event": "trial", "step": 200, "round": 1},
        {"event": "round", "step": 200, "round": 1, "ratio": metrics["pruning_ratio"], "loss": 0.5},
        {"event": "train", "step": 250, "loss": 0.5, "wet": {"gain": 0.9, "equalizer": None}},
    ]
    (folder / "trace.jsonl").write_text("".join(json.dumps(record) + "\n" for record in trace))
    (folder / "plots" / "importance.csv").write_text("type,weight,loss_increase\ngain,0.9,0.2\nequalizer,0.1,-0.001\n")
    if graph is not None:
        save_graph(graph, folder / "graph.safetensors")


@pytest.fixture
def mined(tmp_path: Path) -> Path:
    """Two collections; another tolerance for one of the songs, and two more seeds for another."""
    write_run(tmp_path / "a" / "one", "one", ratio=0.5)
    write_run(tmp_path / "a" / "two", "two", ratio=0.75, audio_loss=0.7)
    write_run(tmp_path / "a" / "three", "three", "chest", ratio=0.25, tracks=10)
    return tmp_path / "a"


def rows_of(table: Any) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_means_are_those_of_the_songs(mined):
    runs, notices = read_runs([mined])
    assert notices == []
    box, chest, every = sorted(
        rows_of(pruning_table(runs)), key=lambda row: (row["collection"] == "all", row["collection"])
    )
    assert (box["collection"], box["songs"], box["ρ"], box["L_a"]) == ("box", 2, 0.625, 0.6)
    assert (box["ρ gain"], box["ρ equalizer"], box["L_a console"]) == (0.3125, 1.0, 0.48)
    assert (chest["collection"], chest["songs"], chest["ρ"]) == ("chest", 1, 0.25)
    assert (every["collection"], every["songs"], every["ρ"]) == ("all", 3, 0.5)
    assert every["settings"] == "hybrid, τ 0.01"


def test_repeated_runs_of_a_song_count_as_one(mined, tmp_path):
    for seed in (1, 2, 3):
        write_run(tmp_path / f"s{seed}" / "one", "one", ratio=0.5, seed=seed)
    runs, _ = read_runs([mined, *tmp_path.glob("s?")])
    (box,) = [row for row in rows_of(pruning_table(runs)) if row["collection"] == "box"]
    assert (box["songs"], box["ρ"]) == (2, 0.625)


def test_types_stand_in_the_papers_order():
    run = Run(Path(), {"pruning_ratio": dict.fromkeys(["delay", "zither", "gain", "equalizer", "all"], 0.0)})
    assert types_of([run]) == ["gain", "equalizer", "delay", "zither"]


def test_sizes_count_tracks_subgroups_and_the_output_as_nodes(mined):
    chest = next(row for row in rows_of(sizes_table(read_runs([mined])[0])) if row["collection"] == "chest")
    assert (chest["tracks"], chest["processors before"], chest["nodes before"]) == (10, 12, 12 + 10 + 2 + 1)
    assert (chest["processors left"], chest["nodes left"], chest["nodes left max"]) == (9, 22, 22)


def test_settings_are_named_by_what_differs(mined, tmp_path):
    write_run(tmp_path / "b" / "one", "one", ratio=0.9, tolerance=0.1)
    write_run(tmp_path / "c" / "one", "one", ratio=0.8, policy="dry-wet", steps=400)
    runs, _ = read_runs([mined, tmp_path / "b", tmp_path / "c"])
    names = {run.settings_name for run in runs}
    assert names == {"hybrid, τ 0.01, steps 200", "hybrid, τ 0.1, steps 200", "dry-wet, τ 0.01, steps 400"}
    assert {run.settings_name for run in main_runs(runs)} == {"hybrid, τ 0.01, steps 200"}
    assert len(main_runs(runs)) == 3


def test_a_folder_given_twice_counts_once(mined):
    assert len(read_runs([mined, mined, mined / "one"])[0]) == 3


def test_tradeoff_is_the_increase_over_the_console_by_settings(mined, tmp_path):
    write_run(tmp_path / "b" / "one", "one", ratio=0.9, tolerance=0.1, audio_loss=0.6)
    runs, _ = read_runs([mined, tmp_path / "b"])
    rows = {(row["song_id"], row["tolerance"]): row for row in rows_of(tradeoff_table(runs))}
    assert rows["one", 0.01]["loss increase"] == pytest.approx(0.02)
    assert rows["one", 0.1]["loss increase"] == pytest.approx(0.12)
    assert rows["one", 0.1]["remaining"] == pytest.approx(0.1)
    assert "tradeoff" in {table.name for table in tables(runs)}
    assert "tradeoff" not in {table.name for table in tables(read_runs([mined])[0])}


def test_places_name_track_type_and_rank():
    graph = hidden_graph()
    assert places(graph) == {
        ("1_drum.wav", "equalizer", 0),
        ("1_drum.wav", "gain", 0),
        ("2_bass.wav", "gain", 0),
        ("3_voice.wav", "gain", 0),
        ("lead", "equalizer", 0),
    }
    assert places(hidden_graph(equalized=False)) == {
        (track, "gain", 0) for track in ("1_drum.wav", "2_bass.wav", "3_voice.wav")
    }


def test_variation_compares_the_graphs_of_repeated_runs(tmp_path):
    graph = hidden_graph()
    for seed, removed in enumerate([[], [int(graph.nodes_of("equalizer")[0])], [int(graph.nodes_of("gain")[2])]]):
        left = remove_nodes(graph, removed) if removed else graph
        write_run(tmp_path / str(seed) / "one", "one", graph=left, seed=seed, processors_left=5 - len(removed))
    write_run(tmp_path / "0" / "two", "two")
    (row,) = rows_of(variation_table(read_runs([tmp_path])[0]))
    assert (row["song_id"], row["runs"], row["least"], row["most"]) == ("one", 3, 4, 5)
    assert row["processors left"] == pytest.approx(13 / 3, abs=1e-5)
    assert row["agreement"] == pytest.approx((4 / 5 + 4 / 5 + 3 / 5) / 3, abs=1e-5)


def test_everything_is_written_as_csv_and_pictures(mined, tmp_path):
    for seed in (1, 2):
        write_run(tmp_path / f"s{seed}" / "one", "one", graph=hidden_graph(), seed=seed)
    write_run(tmp_path / "b" / "one", "one", ratio=0.9, tolerance=0.1, audio_loss=0.6)
    runs, _ = read_runs([mined, *tmp_path.glob("s?"), tmp_path / "b"])
    written = write_statistics(runs, tmp_path / "out" / "statistics")
    assert {path.name for path in written} == {
        "pruning.csv", "sizes.csv", "variation.csv", "runs.csv", "tradeoff.csv",
        "counts.png", "ratios.png", "histories.png", "importance.png", "tradeoff.png", "repeats_1.png",
    }  # fmt: skip
    assert all(path.stat().st_size > 50 for path in written)
    with open(tmp_path / "out" / "statistics" / "runs.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert {row["song_id"] for row in rows} == {"one", "two", "three"}
    assert {row["pruning_ratio_equalizer"] for row in rows} == {"1.0"}


def test_one_song_by_plain_mine_has_statistics_too(tmp_path):
    write_run(tmp_path / "alone", "alone", None)
    (tmp_path / "alone" / "trace.jsonl").write_text("")
    (tmp_path / "alone" / "plots" / "importance.csv").unlink()
    runs, _ = read_runs([tmp_path / "alone"])
    assert runs[0].collection == "(none)"
    names = {path.name for path in write_statistics(runs, tmp_path / "out")}
    assert names == {"pruning.csv", "sizes.csv", "runs.csv", "counts.png", "ratios.png"}


def test_damaged_and_foreign_metrics_are_left_out_with_a_notice(mined):
    (mined / "one" / "metrics.json").write_text("{")
    (mined / "two" / "metrics.json").write_text("[]")
    (mined / "foreign").mkdir()
    (mined / "foreign" / "metrics.json").write_text('{"accuracy": 1}')
    runs, notices = read_runs([mined])
    assert [run.song_id for run in runs] == ["three"]
    assert len(notices) == 2


def test_a_folder_without_songs_is_an_error(tmp_path):
    with pytest.raises(SearchError, match="there is no mined song in"):
        read_runs([tmp_path])
    with pytest.raises(SearchError, match="is no folder"):
        read_runs([tmp_path / "nowhere"])


def test_songs_without_processors_and_numbers_that_are_not_finite(tmp_path, recwarn):
    """A graph that lost all its processors is a song like others; metrics with NaN are left out."""
    bare = MixGraph(hidden_graph().types, 30000)
    bare.chain(bare.add("in", name="a.wav"), bare.add("mix"), bare.add("out"))
    for seed in (0, 1):
        write_run(tmp_path / f"bare {seed}", "bare", ratio=1.0, graph=bare, seed=seed, left_by_type={})
    nothing = {"processors_before": 0, "processors_left": 0, "pruning_ratio": {"all": 0.0}}
    write_run(tmp_path / "none", "none", **nothing, audio_loss=0.0, console_loss=0.0, si_sdr_db=None)
    write_run(tmp_path / "nan", "nan", audio_loss=float("nan"))
    runs, notices = read_runs([tmp_path])
    assert [run.song_id for run in runs] == ["bare", "bare", "none"]
    assert len(notices) == 1
    (row,) = rows_of(variation_table(runs))
    assert row["agreement"] == 1.0
    written = write_statistics(runs, tmp_path / "out")
    for path in written:
        if path.suffix == ".csv":
            assert "nan" not in path.read_text(encoding="utf-8").lower()
    assert "repeats_1.png" in {path.name for path in written}
    assert not [warning for warning in recwarn if "graphmix" in str(warning.filename)]


def test_names_that_are_not_utf8_are_written_escaped(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    write_run(folder / "one", os.fsdecode(b"s\xf6ng"))
    runs, _ = read_runs([folder])
    write_statistics(runs, folder / "statistics")
    (row,) = csv.DictReader(io.StringIO((folder / "statistics" / "runs.csv").read_text(encoding="utf-8")))
    assert row["song_id"] == r"s\xf6ng"
    assert row["folder"].endswith(r"caf\xe9/one")


def test_losses_belong_to_the_runs_whose_graphs_can_be_read(tmp_path):
    for seed in range(3):
        graph = hidden_graph() if seed != 1 else None
        write_run(tmp_path / str(seed), "one", graph=graph, seed=seed, audio_loss=0.1 * (seed + 1))
    written = write_statistics(read_runs([tmp_path])[0], tmp_path / "out")
    assert "repeats_1.png" in {path.name for path in written}
