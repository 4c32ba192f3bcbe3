"""Separating and mining without stems on the command line."""

import json
from pathlib import Path

import pytest
import torch

from graphmix.audio import write_audio
from tests.cli.conftest import Program
from tests.report.pages import check_page
from tests.small_separators import write_separator

RATE = 16000
MINED = ("--sample-rate", RATE, "--steps", 1, "--rounds", 1, "--chain", "g", "--no-plots", "--device", "cpu")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_separator(tmp_path / "models", sample_rate=RATE)


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    audio = 0.1 * torch.randn(2, 2 * RATE, generator=torch.Generator().manual_seed(0))
    write_audio(tmp_path / "take.wav", audio, RATE)
    return tmp_path / "take.wav"


def test_a_separated_mix_is_a_song_that_check_takes(program: Program, model: Path, mix: Path, tmp_path: Path):
    outcome = program("separate", mix, "-o", tmp_path / "stems", "--model", model, "--iterations", 0, "--report")
    assert outcome.status == 0, outcome.err
    assert "vocals" in outcome.out
    assert "rest" in outcome.out
    again = program("separate", mix, "-o", tmp_path / "stems", "--model", model, "--iterations", 0)
    assert "is finished already" in again.out
    stems = json.loads((tmp_path / "stems" / "separation.json").read_text())["stems"]
    page = tmp_path / "stems" / "report.html"
    assert check_page(page, "mix", *stems)["maps"]["target"] is False
    assert ">Difference</button>" in page.read_text("utf-8"), "a stem need not be the mix"
    checked = program("check", tmp_path / "stems", "--sample-rate", RATE)
    assert checked.status == 0, checked.err
    assert "take: 3 tracks" in checked.out


def test_bad_input_is_one_line(program: Program, model: Path, mix: Path, tmp_path: Path):
    out = ("-o", tmp_path / "out")
    wrong_file = tmp_path / "wrong.safetensors"
    wrong_file.write_bytes(b"no tensors")
    for arguments, text in (
        ((mix, *out, "--model", model, "--source", "piano"), "no source 'piano'"),
        ((mix, *out, "--model", tmp_path / "nothing.safetensors"), "no such file"),
        ((mix, *out, "--model", wrong_file), "wrong.safetensors"),
        ((tmp_path / "none.wav", *out, "--model", model), "does not exist"),
    ):
        outcome = program("separate", *arguments)
        assert outcome.status == 2
        assert text in outcome.err
        assert outcome.err.count("\n") == 1


def test_a_mix_is_mined_without_stems_against_another(program: Program, model: Path, mix: Path, tmp_path: Path):
    other = tmp_path / "remaster.wav"
    write_audio(other, 0.05 * torch.randn(2, 2 * RATE, generator=torch.Generator().manual_seed(0)), RATE)
    mined = tmp_path / "mined"
    options = ("--separate", "--model", model, "--mix", other, "--out", mined, *MINED)
    outcome = program("mine", mix, *options)
    assert outcome.status == 0, outcome.err
    assert "separated into vocals" in outcome.out
    assert "separated without remaster.wav" in " ".join(outcome.out.split()), "another level says nothing of sources"
    assert "of the mix's energy" in outcome.out
    metrics = json.loads((mined / "metrics.json").read_text())
    assert metrics["source"]["mix"] == str(other)
    assert sorted(metrics["source"]["tracks"]) == ["drums.wav", "rest.wav", "vocals.wav"]
    assert metrics["audio_loss"] < 0.05, "the remaster is the mix at half its level"
    again = program("mine", mix, *options)
    assert "is finished already; nothing to do" in again.out
    graph = program("check", mined)
    assert "no errors" in graph.out, graph.err
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "letter.txt").write_text("mine")
    refused = program("mine", mix, "--separate", "--model", model, "--out", foreign, *MINED)
    assert refused.status == 2
    assert "holds something else" in refused.err
    assert [path.name for path in foreign.iterdir()] == ["letter.txt"]


def test_a_residual_track_is_said_and_rendered_again(program: Program, song_folder: Path, tmp_path: Path):
    mined = tmp_path / "mined"
    outcome = program("mine", song_folder, "--residual", "--out", mined, *MINED)
    assert outcome.status == 0, outcome.err
    assert "it is the track residual.wav" in outcome.out
    rendered = program("render", mined, song_folder, "-o", tmp_path / "again.wav")
    assert rendered.status == 0, rendered.err


def test_a_graph_of_a_separator_takes_its_file(program: Program, model: Path, mix: Path, tmp_path: Path):
    from graphmix.graph import MixGraph, save_graph
    from graphmix.processors import Rack

    rack = Rack.console("g", RATE).with_separator("v", model)
    graph = MixGraph(rack.types, RATE)
    split, gain, out = graph.add("pair"), graph.add("gain", gain_db=[6.0, 6.0]), graph.add("out", name="mix")
    graph.connect(graph.add("in", name="take.wav"), split)
    graph.connect(split, gain, outlet="vocals")
    graph.connect(gain, out)
    for outlet in ("drums", "rest"):
        graph.connect(split, out, outlet=outlet)
    file = save_graph(graph, tmp_path / "louder.json")
    (tmp_path / "tracks").mkdir()
    mix.rename(tmp_path / "tracks" / "take.wav")
    command = ("render", file, tmp_path / "tracks", "-o", tmp_path / "louder.wav")
    assert "--effect v=FILE" in program(*command).err
    outcome = program(*command, "--effect", f"v={model}")
    assert outcome.status == 0, outcome.err
    assert "pair" in program("show", file).out
