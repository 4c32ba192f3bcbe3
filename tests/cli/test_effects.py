"""Captured effects on the command line: every command, and graphs that have one."""

import json
from pathlib import Path

import pytest

from graphmix.cli.effects import load_effects
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph, save_graph
from graphmix.models.effects import captured_effect
from graphmix.processors.rack import Rack
from tests.cli.conftest import Program
from tests.small_effects import write_amp, write_pedal
from tests.small_song import RATE, TRACKS

MINED = ("--sample-rate", RATE, "--steps", 1, "--rounds", 1, "--no-plots")


@pytest.fixture
def amp(tmp_path: Path) -> Path:
    return write_amp(tmp_path)


@pytest.fixture
def graph_file(tmp_path: Path, amp: Path) -> Path:
    """An amp and a pedal, whose capture has another rate than the graph."""
    rack = Rack.console("g", RATE).with_effect("a", amp).with_effect("p", write_pedal(tmp_path, rate=24000))
    graph = MixGraph(rack.types, RATE)
    out = graph.add("out", name="mix")
    chain = [graph.add("amp", wet=0.5), graph.add("pedal", drive_db=6, tone=2)]
    graph.chain(graph.add("in", name=TRACKS[1]), *chain, out)
    graph.chain(graph.add("in", name=TRACKS[2]), graph.add("gain", gain_db=-3), out)
    return save_graph(graph, tmp_path / "graph.safetensors")


def test_show_names_file_and_digest_and_shows_controls_with_units(program: Program, graph_file: Path):
    outcome = program("show", graph_file)
    assert outcome.status == 0, outcome.err
    assert "a amp: captured effect, amp.safetensors " in outcome.out
    assert "drive 6 dB" in outcome.out
    assert "50 %" in outcome.out


def test_check_does_without_the_file_and_says_so(program: Program, graph_file: Path, tmp_path: Path):
    outcome = program("check", graph_file)
    assert outcome.status == 0, outcome.err
    assert "check it with --effect p=FILE" in outcome.out
    assert "no errors; 2 notes" in outcome.out
    one = program("check", graph_file, "--effect", f"a={tmp_path / 'amp.safetensors'}")
    assert one.status == 2
    assert "the captured effect 'pedal', from pedal.safetensors" in one.err
    given = ("--effect", f"a={tmp_path / 'amp.safetensors'}", "--effect", f"p={tmp_path / 'pedal.safetensors'}")
    both = program("check", graph_file, *given)
    assert both.out.rstrip().endswith("no errors")


def test_plot_draws_letters_that_graphmix_does_not_have(program: Program, graph_file: Path, tmp_path: Path):
    assert program("plot", graph_file, "-o", tmp_path / "graph.svg").status == 0
    text = (tmp_path / "graph.svg").read_text()
    assert "amp × 1" in text
    assert "pedal × 1" in text


def test_render_finds_moved_files_and_refuses_others(
    program: Program, graph_file: Path, song_folder: Path, tmp_path: Path
):
    pedal = ("--effect", f"p={tmp_path / 'pedal.safetensors'}")
    moved = (tmp_path / "amp.safetensors").rename(tmp_path / "elsewhere.safetensors")
    missing = program("render", graph_file, song_folder, "-o", tmp_path / "mix.wav", *pedal)
    assert missing.status == 2
    assert "the captured effect 'amp', from amp.safetensors" in missing.err
    assert "--effect a=FILE" in missing.err
    found = program("render", graph_file, song_folder, "-o", tmp_path / "mix.wav", *pedal, "--effect", f"a={moved}")
    assert found.status == 0, found.err
    other = write_amp(tmp_path / "other", drive=3.0)
    refused = program("render", graph_file, song_folder, "-o", tmp_path / "x.wav", *pedal, "--effect", f"a={other}")
    assert "another capture sounds otherwise" in refused.err
    needless = ("--effect", f"a={moved}", "--effect", f"z={other}")
    unused = program("render", graph_file, song_folder, "-o", tmp_path / "x.wav", *pedal, *needless)
    assert "--effect z: the graph does not use amp.safetensors" in unused.err
    for outcome in (missing, refused, unused):
        assert outcome.err.count("\n") == 1


def test_a_collection_is_mined_with_an_effect_and_has_statistics(
    program: Program, song_folder: Path, amp: Path, tmp_path: Path
):
    (tmp_path / "songs").mkdir()
    song_folder.rename(tmp_path / "songs" / "one")
    mined = tmp_path / "mined"
    options = ("--chain", "ag", "--effect", f"a={amp}", "--workers", 0, *MINED)
    outcome = program("mine-all", tmp_path / "songs", "--out", mined, *options)
    assert outcome.status == 0, outcome.err
    stats = program("stats", mined)
    assert stats.status == 0, stats.err
    assert "amp" in (mined / "statistics" / "runs.csv").read_text()
    other = ("--chain", "ag", "--effect", f"a={write_amp(tmp_path / 'other', drive=3.0)}", "--workers", 0, *MINED)
    refused = program("mine-all", tmp_path / "songs", "--out", mined, *other)
    assert refused.status == 2
    assert "songs mined with effects = {'a': 'amp.safetensors " in refused.err
    assert refused.err.count("\n") == 1


def test_a_songbook_has_an_effect_and_an_estimator_learns_from_it(program: Program, amp: Path, tmp_path: Path):
    book = tmp_path / "book"
    small = ("--min-tracks", 2, "--max-tracks", 2, "--seconds", 2, 2, "--songs-per-artist", 1, "--sample-rate", 16000)
    options = ("--songs", 2, *small, "--effect", f"a={amp}", "--effect-share", 1)
    outcome = program("songbook", "--out", book, *options)
    assert outcome.status == 0, outcome.err
    assert json.loads((book / "songbook.json").read_text())["effects"] == {
        "a": captured_effect(amp, "a").node_type.source
    }
    graph = load_graph(book / "song_00000" / "graph.safetensors")
    assert graph.nodes_of("amp").numel() == 2
    config = tmp_path / "config.toml"
    config.write_text(
        '[model]\nname = "mean_parameters"\nsample_rate = 16000\n[data]\nvalidation = 0\n[training]\nsteps = 0\n'
        '[device]\naccelerator = "cpu"\n'
    )
    learnt = ("--songs", book, "--chain", "aecnsgdr", "--effect", f"a={amp}")
    trained = program("train", config, "--out", tmp_path / "trained", *learnt)
    assert trained.status == 0, trained.err
    amp.unlink()
    predicted = program("predict", book / "song_00000" / "dry", "--model", tmp_path / "trained", "-o", tmp_path / "new")
    assert predicted.status == 0, predicted.err
    assert load_graph(tmp_path / "new" / "graph.safetensors").types.by_letter("a").source.startswith("amp.safetensors")
    scored = program("evaluate", tmp_path / "trained", "--songs", book, "--device", "cpu")
    assert scored.status == 0, scored.err


def test_names_that_are_taken_get_the_letter(tmp_path: Path, amp: Path):
    other, gain = write_amp(tmp_path / "other", drive=3.0), write_amp(tmp_path, "gain")
    effects = load_effects([f"a={amp}", f"b={other}", f"w={gain}"], RATE)
    assert [effect.node_type.name for effect in effects] == ["amp", "amp_b", "gain_w"]
    assert Rack.console("awbg", RATE, effects).names == ("amp", "gain_w", "amp_b", "gain")
