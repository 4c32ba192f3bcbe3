"""Every bad input: exit status 2, one line on standard error that says what and how to mend it, nothing written."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from graphmix.graph.storage import load_graph, save_graph
from tests.full_disk import files_of_at_most
from tests.small_song import RATE, TRACKS, write_tiny_song

FIRST, SECOND = TRACKS[1:]


def assert_one_clear_line(outcome: Any, *parts: str) -> None:
    assert outcome.status == 2, outcome
    lines = outcome.err.splitlines()
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("graphmix: ")
    assert "Traceback" not in outcome.out + outcome.err
    for part in parts:
        assert part in lines[0]


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# --- songs

Spoil = Callable[[Path], object]


def noise(channels: int = 2, samples: int = RATE) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((samples, channels)).astype(np.float32)


def spoiled(value: float) -> np.ndarray:
    samples = noise()
    samples[5000, 1] = value
    return samples


def describe(folder: Path, **changes: Any) -> None:
    path = folder / "song.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def write(folder: Path, name: str, samples: np.ndarray) -> None:
    soundfile.write(folder / name, samples, RATE, subtype="FLOAT")


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50_000])


BAD_SONGS: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "no mix": (lambda f: (f / "mix.wav").unlink(), ("mix.wav",)),
    "no mix and no description": (
        lambda f: ((f / "mix.wav").unlink(), (f / "song.json").unlink()),
        ("has no mix", "put mix.wav"),
    ),
    "no tracks": (lambda f: [p.unlink() for p in (f / "dry").iterdir()], ("has no tracks",)),
    "no track folder": (lambda f: shutil.rmtree(f / "dry"), ("dry", "is not a folder")),
    "no audio": (lambda f: (f / "dry" / FIRST).write_text("once upon a time"), (FIRST, "cannot be decoded")),
    "truncated track": (lambda f: cut_off(f / "dry" / FIRST), (FIRST, "cut off")),
    "truncated mix": (lambda f: cut_off(f / "mix.wav"), ("mix.wav", "cut off")),
    "NaN": (lambda f: write(f / "dry", FIRST, spoiled(np.nan)), (FIRST, "nan", "sample 5000")),
    "infinite": (lambda f: write(f, "mix.wav", spoiled(np.inf)), ("mix.wav", "inf", "sample 5000")),
    "zero length": (lambda f: write(f / "dry", FIRST, noise(samples=0)), (FIRST, "0 samples")),
    "silent mix": (lambda f: write(f, "mix.wav", 0 * noise()), ("mix.wav", "silent")),
    "silent tracks": (lambda f: [write(f / "dry", name, 0 * noise()) for name in (FIRST, SECOND)], ("silent",)),
    "five channels": (lambda f: write(f / "dry", FIRST, noise(channels=5)), (FIRST, "5 channels")),
    "too short": (lambda f: write(f, "mix.wav", noise(samples=800)), ("mix.wav", "too short")),
    "subgroup without its track": (
        lambda f: describe(f, subgroups={"all": [FIRST, SECOND, "kazoo.wav"]}),
        ("kazoo.wav", "'all'"),
    ),
    "track in two subgroups": (
        lambda f: describe(f, subgroups={"one": [FIRST, SECOND], "two": [FIRST]}),
        (FIRST, "'one'", "'two'"),
    ),
    "description is no JSON": (lambda f: (f / "song.json").write_text("{"), ("song.json", "is not JSON")),
    "mix elsewhere": (lambda f: describe(f, mix="../mix.wav"), ("../mix.wav",)),
    "no folder": (shutil.rmtree, ()),
}


@pytest.mark.parametrize("how", BAD_SONGS)
def test_a_bad_song_is_told_by_check_and_mine(program, song_folder, tmp_path, how):
    spoil, parts = BAD_SONGS[how]
    spoil(song_folder)
    before = files_below(tmp_path)
    assert_one_clear_line(program("check", song_folder), *parts)
    assert_one_clear_line(program("mine", song_folder, "--out", tmp_path / "out", "--device", "cpu"), *parts)
    assert files_below(tmp_path) == before


def test_one_silent_track_is_a_notice(program, song_folder):
    write(song_folder / "dry", FIRST, 0 * noise())
    outcome = program("check", song_folder)
    assert outcome.status == 0
    assert f"note: 1 of 2 tracks are silent: {FIRST}" in outcome.out


# --- graphs

Document = dict[str, Any]


def set_parameter(node: int, name: str, value: Any) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        document["nodes"][node]["parameters"][name] = value

    return change


def add_edge(**edge: Any) -> Callable[[Document], None]:
    return lambda document: document["edges"].append(edge)


BAD_GRAPHS: dict[str, tuple[Callable[[Document], object], tuple[str, ...]]] = {
    "cycle": (add_edge(**{"from": 4, "to": 2}), ("cycle", "gain 2")),
    "edge into an input": (add_edge(**{"from": 2, "to": 0}), ("edge 5", "inputs take no edges")),
    "edge out of an output": (add_edge(**{"from": 5, "to": 2}), ("edge 5", "outputs send nothing on")),
    "node that reaches no output": (
        lambda d: d["nodes"].append({"id": 6, "type": "gain"}),
        ("gain 6", "reaches no output"),
    ),
    "wrong inlet": (add_edge(**{"from": 2, "to": 3, "inlet": "sidechain"}), ("edge 5", "sidechain")),
    "wrong outlet": (add_edge(**{"from": 2, "to": 4, "outlet": 3}), ("edge 5", "outlet 3")),
    "edge to nowhere": (add_edge(**{"from": 2, "to": 99}), ("edge 5", "99")),
    "wrong shape": (set_parameter(2, "gain_db", [1.0, 2.0, 3.0]), ("gain_db has 3 values", "takes 2")),
    "NaN": (set_parameter(3, "threshold_db", float("nan")), ("compressor 3", "threshold_db is nan")),
    "infinite": (set_parameter(3, "ratio", float("inf")), ("compressor 3", "ratio is inf")),
    "out of range": (set_parameter(3, "ratio", 0.1), ("compressor 3", "ratio is 0.1")),
    "text for a number": (set_parameter(3, "ratio", "much"), ("ratio is 'much'",)),
    "unknown parameter": (set_parameter(3, "colour", 1), ("no parameter 'colour'",)),
    "unknown type": (lambda d: d["nodes"][3].update(type="fuzz"), ("'fuzz'",)),
    "wet above 1": (lambda d: d["nodes"][3].update(wet=1.5), ("compressor 3", "wet 1.5")),
    "newer schema": (lambda d: d.update(schema_version=999), ("schema 999", "upgrade graphmix")),
    "foreign": (lambda d: d.pop("format"), ("no graphmix graph",)),
    "no nodes": (lambda d: d.pop("nodes"), ("'nodes' is missing",)),
}


@pytest.mark.parametrize("how", BAD_GRAPHS)
@pytest.mark.parametrize("command", ["check", "show", "plot", "render"])
def test_a_bad_graph_is_told_by_every_command(program, song_folder, graph_file, tmp_path, how, command):
    change, parts = BAD_GRAPHS[how]
    document = json.loads(graph_file.read_text())
    change(document)
    graph_file.write_text(json.dumps(document))
    before = files_below(tmp_path)
    outcome = program(command, *arguments_of(command, graph_file, song_folder, tmp_path))
    assert_one_clear_line(outcome, str(graph_file), *parts)
    assert files_below(tmp_path) == before


def arguments_of(command: str, graph: Path, song: Path, out: Path) -> list[Any]:
    more = {"plot": ["-o", out / "graph.svg"], "render": [song / "dry", "-o", out / "new.wav"]}
    return [graph, *more.get(command, [])]


def corrupt(path: Path, how: str) -> Path:
    if how == "missing":
        return path.with_name("nothing.safetensors")
    if how == "another ending":
        return Path(shutil.copy(path, path.with_name("graph.yaml")))
    compact = save_graph(load_graph(path), path.with_suffix(".safetensors"))
    if how == "cut off":
        compact.write_bytes(compact.read_bytes()[:-40])
    elif how == "empty":
        compact.write_bytes(b"")
    elif how == "pickle":
        torch.save({"node_type": torch.zeros(3)}, compact)
    elif how == "other tensors":
        save_file({"weight": torch.zeros(3)}, compact)
    elif how == "cut off text":
        path.write_text(path.read_text()[:-40])
        return path
    elif how == "no text":
        path.write_bytes(bytes(range(256)))
        return path
    elif how == "folder":
        compact.unlink()
        compact.mkdir()
    return compact


@pytest.mark.parametrize(
    "how",
    ["missing", "another ending", "cut off", "empty", "pickle", "other tensors", "cut off text", "no text", "folder"],
)
@pytest.mark.parametrize("command", ["show", "plot", "render"])
def test_a_file_that_is_no_graph_is_told_by_every_command(program, song_folder, graph_file, tmp_path, how, command):
    path = corrupt(graph_file, how)
    before = files_below(tmp_path)
    outcome = program(command, *arguments_of(command, path, song_folder, tmp_path))
    assert_one_clear_line(outcome, path.name)
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("name", ["nothing", "nothing.json", "x" * 300, "graph.json/below", "\x00".join("ab")])
def test_a_path_that_leads_nowhere_is_told_by_check(program, graph_file, name):
    if "\0" in name:
        name = "a\nb"  # no argument of a program holds a zero byte; a line break it may hold
    assert_one_clear_line(program("check", graph_file.parent / name))


# --- stems that do not fit


def test_a_missing_track_is_told_when_rendering(program, song_folder, graph_file, tmp_path):
    (song_folder / "dry" / FIRST).unlink()
    (song_folder / "song.json").unlink()
    outcome = program("render", graph_file, song_folder / "dry", "-o", tmp_path / "new.wav")
    assert_one_clear_line(outcome, f"first {FIRST!r}", SECOND)
    assert not (tmp_path / "new.wav").exists()


def test_a_track_too_many_is_told_when_rendering(program, song_folder, graph_file, tmp_path):
    write(song_folder / "dry", "kazoo.wav", noise())
    outcome = program("render", graph_file, song_folder / "dry", "-o", tmp_path / "new.wav")
    assert_one_clear_line(outcome, "no input for 'kazoo.wav'")
    assert not (tmp_path / "new.wav").exists()


@pytest.mark.parametrize("stems", ["nothing", "graph.json", "empty"])
def test_a_folder_without_stems_is_told_when_rendering(program, graph_file, tmp_path, stems):
    (tmp_path / "empty").mkdir()
    outcome = program("render", graph_file, tmp_path / stems, "-o", tmp_path / "new.wav")
    assert_one_clear_line(outcome, stems)


# --- outputs


@pytest.mark.parametrize("output", ["new.mp3", "new", "nowhere/new.wav", "graph.json/new.wav", "folder.wav"])
def test_sound_that_cannot_be_written_is_told(program, song_folder, graph_file, tmp_path, output):
    (tmp_path / "folder.wav").mkdir()
    before = files_below(tmp_path)
    outcome = program("render", graph_file, song_folder / "dry", "-o", tmp_path / output)
    assert_one_clear_line(outcome, output)
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("output", ["new.bmp", "new", "nowhere/new.svg", "graph.json/new.svg", "folder.svg"])
def test_a_picture_that_cannot_be_written_is_told(program, graph_file, tmp_path, output):
    (tmp_path / "folder.svg").mkdir()
    before = files_below(tmp_path)
    assert_one_clear_line(program("plot", graph_file, "-o", tmp_path / output), output)
    assert files_below(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--chain", "exg"], ("'x'", "'exg'")),
        (["--chain", "e g"], ("' '",)),
        (["--device", "abacus"], ("'abacus'", "--device cpu")),
        (["--tolerance", "inf"], ("tolerance is inf",)),
        (["--memory", "4"], ("memory is '4'", "4GB")),
        (["--memory", "10MB"], ("memory is '10MB'", "250MB")),
        (["--seed", str(10**30)], ("seed is",)),
        (["--out", "file"], ("file",)),
        (["--out", "file/below"], ("file/below",)),
        (["--out", "thesis"], ("chapter.txt",)),
        (["--out", "x" * 300], ("x" * 300,)),
    ],
    ids=str,
)
def test_mine_tells_what_it_cannot_use(program, song_folder, tmp_path, monkeypatch, arguments, parts):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("content")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    before = files_below(tmp_path)
    given = ["mine", song_folder, "--out", "out", "--device", "cpu", *arguments]
    assert_one_clear_line(program(*given), *parts)
    assert files_below(tmp_path) == before


def test_demo_tells_a_folder_that_it_cannot_use(program, tmp_path):
    (tmp_path / "file").write_text("content")
    assert_one_clear_line(program("demo", "--out", tmp_path / "file"), "cannot write")
    song = write_tiny_song(tmp_path / "out" / "song")
    assert_one_clear_line(program("demo", "--out", song.parent), "something else than the demo song")


# --- usage: typer's own messages, in more than one line


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["mine"],
        ["mine", "song"],
        ["mine", "song", "--out", "out", "--steps", "-1"],
        ["mine", "song", "--out", "out", "--rounds", "few"],
        ["mine", "song", "--out", "out", "--policy", "random"],
        ["mine", "song", "--out", "out", "--objective", "beauty"],
        ["mine-all", "songs", "--out", "out", "--objective", "beauty"],
        ["mine", "song", "--out", "out", "--preset", "quick"],
        ["mine", "song", "--out", "out", "--sample-rate", "100"],
        ["mine", "song", "--out", "out", "--seed", "-1"],
        ["mine", "song", "--out", "out", "--tolerance", "-0.1"],
        ["mine", "song", "--out", "out", "--tolerance", "nan"],
        ["mine", "song", "--out", "out", "--wet"],
        ["render", "graph.json", "stems"],
        ["plot", "graph.json"],
        ["show"],
        ["check"],
        ["demo", "--seed", "-1"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_status_2(program, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = program(*arguments)
    assert outcome.status == 2
    assert "Traceback" not in outcome.err
    assert list(tmp_path.iterdir()) == []


# --- the program as a process


def run_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "graphmix", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)


def test_the_process_tells_one_line_as_well(tmp_path):
    done = run_process("check", tmp_path / "nothing")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"graphmix: {tmp_path / 'nothing'} does not exist; give a song's folder or a graph file."
    ]


@pytest.mark.parametrize("limit", [pytest.param(100, marks=pytest.mark.slow), 100_000])
def test_a_full_disk_is_told_in_one_line_and_leaves_nothing_half_written(program, song_folder, tmp_path, limit):
    """No file may grow beyond a limit: at 100 bytes it is the first one that fails, at 100 kB the mix."""
    arguments = ["--device", "cpu", "--chain", "g", "--steps", 1, "--rounds", 0, "--no-report"]
    with files_of_at_most(limit):
        outcome = program("mine", song_folder, "--out", tmp_path / "out", *arguments)
    assert outcome.status == 2
    assert len(outcome.err.splitlines()) == 1, outcome.err
    assert "cannot" in outcome.err
    left = files_below(tmp_path / "out")
    assert not [name for name in left if name.endswith(".part")]
    assert not {"metrics.json", "mix.wav"} & left
