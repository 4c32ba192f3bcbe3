"""No command replaces a file that it did not write itself, unless ``--force`` is given."""

import json
import os
from pathlib import Path

import pytest
import soundfile

from graphmix.graph.storage import save_graph
from graphmix.mining.mine_collection import mine_all
from graphmix.songbook.demo import write_demo_song
from graphmix.training.prediction import predict
from tests.cli.conftest import Program, a_graph
from tests.driver_processes import HERE, TINY, write_collection
from tests.small_song import RATE, TRACKS, write_tiny_song

TRACK = TRACKS[1]


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("output", ["song/mix.wav", f"song/dry/{TRACK}", "link.wav", "hard.wav", "other.wav"])
def test_render_replaces_neither_its_inputs_nor_other_files(
    program: Program, song_folder: Path, graph_file: Path, tmp_path: Path, output: str
) -> None:
    (tmp_path / "link.wav").symlink_to(song_folder / "mix.wav")
    os.link(song_folder / "dry" / TRACK, tmp_path / "hard.wav")
    (tmp_path / "other.wav").write_bytes(b"a take of yesterday")
    before = bytes_below(tmp_path)
    outcome = program("render", graph_file, song_folder, "-o", tmp_path / output)
    assert (outcome.status, len(outcome.err.splitlines())) == (2, 1)
    assert str(tmp_path / output) in outcome.err
    assert "--force" in outcome.err
    assert ("is a file that this command reads" in outcome.err) == (output != "other.wav")
    assert bytes_below(tmp_path) == before
    assert program("render", graph_file, song_folder, "-o", tmp_path / output, "--force").status == 0
    assert soundfile.info(tmp_path / output).samplerate == RATE
    assert not (tmp_path / output).is_symlink()


def test_render_needs_force_to_render_again(program: Program, song_folder: Path, graph_file: Path) -> None:
    output = graph_file.with_name("new.wav")
    assert program("render", graph_file, song_folder, "-o", output).status == 0
    assert program("render", graph_file, song_folder, "-o", output).status == 2
    assert program("render", graph_file, song_folder, "-o", output, "--force").status == 0


@pytest.mark.parametrize("device", ["/dev/null", "/dev/full"])
def test_no_command_replaces_what_is_no_file(program: Program, graph_file: Path, tmp_path: Path, device: str) -> None:
    output = tmp_path / "device.svg"
    output.symlink_to(device)
    outcome = program("plot", graph_file, "-o", output, "--force")
    assert outcome.status == 2
    assert "is no regular file" in outcome.err
    assert output.is_symlink()


def test_plot_replaces_a_picture_only_by_force(program: Program, graph_file: Path, tmp_path: Path) -> None:
    picture = tmp_path / "holiday.png"
    picture.write_bytes(b"the sea")
    outcome = program("plot", graph_file, "-o", picture)
    assert outcome.status == 2
    assert "holiday.png exists already" in outcome.err
    assert picture.read_bytes() == b"the sea"
    assert program("plot", graph_file, "-o", picture, "--force").status == 0
    assert picture.read_bytes() != b"the sea"


def test_evaluate_replaces_a_table_only_by_force_and_asks_before_the_work(
    program: Program, song_folder: Path, tmp_path: Path
) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("my own")
    outcome = program("evaluate", "sum", "--songs", tmp_path / "nowhere", "--out", table)
    assert "scores.csv exists already" in outcome.err
    assert program("evaluate", "sum", "--songs", song_folder, "--out", table, "--device", "cpu").status == 2
    assert table.read_text() == "my own"
    assert program("evaluate", "sum", "--songs", song_folder, "--out", table, "--device", "cpu", "--force").status == 0
    assert "sum" in table.read_text()


@pytest.mark.parametrize("as_json", [False, True])
def test_songs_says_that_it_wrote_subgroups_and_does_not_replace_corrected_ones(
    program: Program, tmp_path: Path, as_json: bool
) -> None:
    write_tiny_song(tmp_path / "songs" / "one")
    table = tmp_path / "buses.csv"
    options = ["--json"] if as_json else []
    first = program("songs", tmp_path / "songs", "--write-subgroups", table, *options)
    assert first.status == 0
    assert f"{table}: the subgroups of 1 songs" in (first.err if as_json else first.out)
    if as_json:
        assert json.loads(first.out)["songs"]
    table.write_text(table.read_text().replace("lead", "vocals"))
    corrected = table.read_text()
    again = program("songs", tmp_path / "songs", "--subgroups", table, "--write-subgroups", table)
    assert again.status == 2
    assert "is a file that this command reads" in again.err
    assert table.read_text() == corrected
    assert program("songs", tmp_path / "songs", "--write-subgroups", table, "--force").status == 0
    assert table.read_text() != corrected


def test_predict_replaces_its_own_prediction_and_nothing_else(
    program: Program, song_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mixes"
    out.mkdir()
    (out / "mix.wav").write_bytes(b"the mix of the record")
    arguments = ["predict", song_folder / "dry", "-o", out, "--model", "sum", "--device", "cpu"]
    outcome = program(*arguments)
    assert outcome.status == 2
    assert "holds something else ('mix.wav')" in outcome.err
    assert bytes_below(out) == {"mix.wav": b"the mix of the record"}
    assert program(*arguments, "--force").status == 0
    assert (out / "mix.wav").read_bytes() != b"the mix of the record"
    assert program(*arguments).status == 0, "a prediction replaces an earlier one"
    (out / "metrics.json").unlink()
    assert program(*arguments).status == 0, "and one that was interrupted"


def test_predict_does_not_take_a_mined_song_for_a_prediction(song_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    save_graph(a_graph(), out / "graph.safetensors")
    (out / "metrics.json").write_text('{"song": "x", "audio_loss": 0.1}')
    with pytest.raises(ValueError, match="holds something else"):
        predict(song_folder / "dry", "sum", out, device="cpu")


def test_stats_replaces_earlier_statistics_and_nothing_else(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine_all(write_collection(tmp_path / "songs", 1), tmp_path / "mined", TINY, **HERE)
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "counts.png").write_bytes(b"figure 3")
    outcome = program("stats", tmp_path / "mined", "--out", out)
    assert outcome.status == 2
    assert "counts.png exists already" in outcome.err
    assert bytes_below(out) == {"counts.png": b"figure 3"}
    assert program("stats", tmp_path / "mined", "--out", out, "--force").status == 0
    assert program("stats", tmp_path / "mined", "--out", out).status == 0
    assert (out / "counts.png").read_bytes() != b"figure 3"


def test_mine_all_leaves_a_collection_alone_when_it_is_named_as_the_output(program: Program, tmp_path: Path) -> None:
    songs = write_collection(tmp_path / "songs", 2)
    before = bytes_below(songs)
    for out in (songs, songs / "song 0"):
        outcome = program("mine-all", songs, "--out", out, "--workers", 0, "--device", "cpu")
        assert outcome.status == 2
        assert "holds something else" in outcome.err
    assert bytes_below(songs) == before


def test_mine_all_goes_into_a_folder_of_songs_that_were_mined_one_by_one(tmp_path: Path) -> None:
    songs = write_collection(tmp_path / "songs", 2)
    (tmp_path / "out" / "another").mkdir(parents=True)
    (tmp_path / "out" / "another" / "run.json").write_text("{}")
    assert len(mine_all(songs, tmp_path / "out", TINY, **HERE).mined) == 2


def test_a_folder_of_another_command_is_not_called_damaged(program: Program, song_folder: Path, tmp_path: Path) -> None:
    """A message that says to remove it would cost the work of hours."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text(json.dumps({"of": "another kind"}))
    outcome = program("mine", song_folder, "--out", out, "--device", "cpu")
    assert outcome.status == 2
    assert "describes a run of another kind" in outcome.err
    assert "Remove" not in outcome.err


def test_the_demo_does_not_write_into_a_folder_with_files(tmp_path: Path) -> None:
    folder = tmp_path / "demo" / "song"
    (folder / "dry").mkdir(parents=True)
    (folder / "mix.wav").write_bytes(b"my song")
    with pytest.raises(ValueError, match="holds something else than the demo song"):
        write_demo_song(folder)
    assert bytes_below(tmp_path) == {"demo/song/mix.wav": b"my song"}
