"""graphmix check: songs as songs and mine find them, what is not used, graphs and mined folders."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from graphmix.graph.storage import load_graph, save_graph
from tests.cli.conftest import Program
from tests.small_song import RATE, TRACKS, write_tiny_song

FIRST, SECOND = TRACKS[1:]


def noise(seconds: float = 0.5) -> np.ndarray:
    return 0.1 * np.random.default_rng(1).standard_normal((round(seconds * RATE), 2)).astype(np.float32)


def test_a_song_without_faults_is_described(program: Program, song_folder: Path) -> None:
    outcome = program("check", song_folder)
    assert outcome.status == 0
    assert "2 tracks" in outcome.out
    assert "mix: mix.wav" in outcome.out
    assert outcome.out.splitlines()[-1] == "no errors"


@pytest.mark.parametrize("name", ["Stems", "DRY", "Audio Files", "Multitracks", "tracks", "Raw Tracks", "anything"])
def test_folders_of_tracks_are_found_whatever_they_are_called(program: Program, tmp_path: Path, name: str) -> None:
    folder = write_tiny_song(tmp_path / "song")
    (folder / "song.json").unlink()
    (folder / "dry").rename(folder / name)
    for command in ("check", "songs"):
        outcome = program(command, folder)
        assert outcome.status == 0, outcome.err
        assert "2 tracks" in outcome.out


def test_a_collection_points_to_the_commands_for_one(program: Program, tmp_path: Path) -> None:
    for name in ("A", "B"):
        write_tiny_song(tmp_path / "songs" / name)
    for command in (["check"], ["mine", "--out", tmp_path / "out"]):
        outcome = program(*command, tmp_path / "songs")
        assert outcome.status == 2
        assert len(outcome.err.splitlines()) == 1
        assert "is a collection of 2 songs (A, B), not one song" in outcome.err
        assert f"graphmix songs {tmp_path}/songs" in outcome.err
        assert f"graphmix mine-all {tmp_path}/songs" in outcome.err


def test_what_is_not_used_is_named(program: Program, song_folder: Path) -> None:
    (song_folder / "dry" / "alternatives").mkdir()
    shutil.copy(song_folder / "dry" / FIRST, song_folder / "dry" / "alternatives" / "take 2.wav")
    (song_folder / "rough.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    shutil.copy(song_folder / "mix.wav", song_folder / "master.wav")
    description = json.loads((song_folder / "song.json").read_text())
    description["sub_groups"] = description.pop("subgroups", {})
    (song_folder / "song.json").write_text(json.dumps(description))
    outcome = program("check", song_folder)
    assert outcome.status == 0
    assert "note: audio in the folders alternatives was left out." in outcome.out
    assert "note: rough.m4a in" in outcome.out
    assert "note: master.wav left out" in outcome.out
    assert 'has the key "sub_groups", which is not read: "subgroups" is meant?' in outcome.out
    assert "no errors; 4 notes" in outcome.out


def test_a_name_that_is_no_utf8_is_no_error(program: Program, song_folder: Path) -> None:
    (song_folder / "song.json").unlink()
    strange = os.fsencode(song_folder / "dry") + b"/caf\xe9.wav"
    try:
        os.rename(song_folder / "dry" / FIRST, strange)
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    outcome = program("check", song_folder)
    assert outcome.status == 0, outcome.err
    for command in (["songs"], ["songs", "--json"]):
        outcome = program(*command, song_folder)
        assert outcome.status == 0, outcome.err
    assert "caf\\\\xe9.wav" in outcome.out


def test_a_mix_and_an_offset_may_be_given(program: Program, song_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "radio edit.wav"
    soundfile.write(other, noise(), RATE, subtype="FLOAT")
    outcome = program("check", song_folder, "--mix", other, "--offset", "-100 ms")
    assert outcome.status == 0
    assert "mix: radio edit.wav" in outcome.out
    assert "-0.1000 s behind the tracks" in outcome.out
    outcome = program("check", song_folder, "--offset", "soon")
    assert outcome.status == 2
    assert "the offset is 'soon': give seconds" in outcome.err


def test_a_mix_that_does_not_belong_to_its_tracks_is_a_warning(program: Program, song_folder: Path) -> None:
    mix, rate = soundfile.read(song_folder / "mix.wav", dtype="float32")
    late = np.concatenate([np.zeros((3000, 2), np.float32), mix])
    soundfile.write(song_folder / "mix.wav", late, rate, subtype="FLOAT")
    outcome = program("check", song_folder)
    assert outcome.status == 0
    assert "warning: the mix lies 0.1" in outcome.out
    assert "no errors; 1 warning" in outcome.out
    assert "warning" not in program("check", song_folder, "--quick").out
    assert "warning" not in program("check", song_folder, "--offset", "3000 samples").out


def test_a_mined_folder_stands_for_its_graph(program: Program, graph_file: Path, tmp_path: Path) -> None:
    mined = tmp_path / "mined"
    mined.mkdir()
    save_graph(load_graph(graph_file), mined / "graph.safetensors")
    (mined / "run.json").write_text("{}")
    for command in ("check", "show"):
        outcome = program(command, mined)
        assert outcome.status == 0, outcome.err
        assert "6 nodes" in outcome.out
    outcome = program("mine", mined, "--out", tmp_path / "out")
    assert outcome.status == 2
    assert "is the output of a search, not a song" in outcome.err
    (mined / "graph.safetensors").unlink()
    assert "without graph.safetensors" in program("show", mined).err
