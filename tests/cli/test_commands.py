"""The commands on good input: what they print and what they leave."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
import torch
from typer.testing import CliRunner

from graphmix import __version__
from graphmix.audio import load_stems, read_audio
from graphmix.cli.app import app
from graphmix.cli.mine_command import sampled, si_sdr
from graphmix.graph.storage import load_graph, save_graph
from graphmix.render.blocks import render_song
from graphmix.search import Search
from tests.small_song import RATE, TRACKS, same_graph

ALONE = ["--align", "off", "--rides", "off", "--ducking", "off"]
TINY = ["--device", "cpu", *ALONE, "--chain", "g", "--steps", "2", "--rounds", "1"]
COMMANDS = ["demo", "mine", "render", "plot", "show", "check", "train", "predict", "evaluate"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_the_command_does_with_an_example(command):
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    assert f"Example: graphmix {command}" in result.output


def test_help_lists_the_commands():
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    assert all(command in result.output for command in COMMANDS)


def test_version_is_printed_by_itself(program):
    outcome = program("--version")
    assert (outcome.status, outcome.out, outcome.err) == (0, f"graphmix {__version__}\n", "")


# --- check


def test_check_tells_what_a_song_holds(program, song_folder):
    outcome = program("check", song_folder)
    assert (outcome.status, outcome.err) == (0, "")
    assert "tiny: 2 tracks, 1.0 s, mix: mix.wav, subgroups: rhythm (1), lead (1)" in outcome.out
    assert outcome.out.endswith("no errors\n")


def test_check_tells_what_a_graph_holds(program, graph_file):
    outcome = program("check", graph_file)
    assert (outcome.status, outcome.err) == (0, "")
    assert "6 nodes (2 in, 1 mix, 1 out, 1 gain, 1 compressor), 5 edges, 30000 Hz" in outcome.out
    assert "rendering stages" in outcome.out


# --- show and plot


def test_show_prints_tracks_and_settings_in_physical_units(program, graph_file):
    outcome = program("show", graph_file)
    assert (outcome.status, outcome.err) == (0, "")
    for text in (*TRACKS[1:], "dB", "gain", "compressor"):
        assert text in outcome.out
    assert outcome.out.count("6 nodes") == 1, "one headline"


@pytest.mark.parametrize("name", ["graph.svg", "graph.png", "graph.pdf"])
def test_plot_draws_the_graph(program, graph_file, tmp_path, name):
    outcome = program("plot", graph_file, "-o", tmp_path / name)
    assert (outcome.status, outcome.err) == (0, "")
    assert (tmp_path / name).stat().st_size > 1000
    assert "6 nodes, 5 edges" in outcome.out


# --- render


@pytest.mark.parametrize("stems", ["song/dry", "song"])
@pytest.mark.parametrize("name", ["new.wav", "new.flac", "new.ogg"])
def test_render_writes_what_the_graph_makes_of_the_stems(program, song_folder, graph_file, tmp_path, stems, name):
    outcome = program("render", graph_file, tmp_path / stems, "-o", tmp_path / name)
    assert (outcome.status, outcome.err) == (0, "")
    assert "1.0 s at 30000 Hz" in outcome.out
    expected = render_song(load_graph(graph_file), load_stems(song_folder / "dry", RATE))
    if not name.endswith("ogg"):
        assert torch.allclose(read_audio(tmp_path / name), expected, atol=1e-6)
    assert soundfile.info(tmp_path / name).samplerate == RATE


def test_render_passes_the_notices_on(program, song_folder, graph_file, tmp_path):
    track = song_folder / "dry" / TRACKS[1]
    soundfile.write(track, soundfile.read(track)[0][:20_000], RATE, subtype="FLOAT")
    outcome = program("render", graph_file, song_folder, "-o", tmp_path / "new.wav")
    assert outcome.status == 0
    assert "note: 1 of 2 tracks are shorter than the song" in outcome.out


# --- mine


def test_mine_prints_a_summary_and_a_second_call_does_nothing(program, song_folder, tmp_path):
    out = tmp_path / "out"
    first = program("mine", song_folder, "--out", out, *TINY)
    assert (first.status, first.err) == (0, "")
    metrics = json.loads((out / "metrics.json").read_text())
    for text in ("plain sum", "full console", "mined graph", "pruning ratio", "SI-SDR", f"{metrics['audio_loss']:.4f}"):
        assert text in " ".join(first.out.split())
    assert "fitting the console" in first.out
    assert "finished already" not in first.out
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    second = program("mine", song_folder, "--out", out, *TINY)
    assert (second.status, second.err) == (0, "")
    assert "is finished already; nothing to do" in second.out
    assert "fitting the console" not in second.out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == times
    assert (metrics["settings"]["chain"], metrics["settings"]["steps"], metrics["settings"]["rounds"]) == ("g", 2, 1)
    # what was mined is what the other commands read
    assert program("show", out / "graph.safetensors").status == 0
    assert program("check", out / "graph.json").status == 0
    assert program("plot", out / "graph.json", "-o", tmp_path / "again.svg").status == 0
    rendered = program("render", out / "graph.safetensors", song_folder / "dry", "-o", tmp_path / "again.wav")
    assert rendered.status == 0
    assert torch.allclose(read_audio(tmp_path / "again.wav"), read_audio(out / "mix.wav"), atol=1e-6)
    other = program("mine", song_folder, "--out", out, *TINY, "--seed", 5)
    assert other.status == 2
    assert "mined with seed = 0, not 5" in other.err


def test_mine_passes_its_options_on(program, song_folder, tmp_path, monkeypatch):
    seen = {}

    def stop(song, out, settings, *, device, listener, start, plots, effects, residual, full_band, **look_for):
        assert not effects
        assert full_band
        assert look_for.pop("memory").budget == 2 * 10**9
        assert look_for == {"align": False, "rides": False, "ducking": True, "sends": ""}
        seen.update(
            plots=plots, settings=settings, device=device, rate=song.sample_rate, start=start, residual=residual
        )
        raise KeyboardInterrupt

    monkeypatch.setattr("graphmix.search.mine", stop)
    options = "--preset paper --chain egr --policy dry-wet --tolerance 0.1 --sample-rate 44100 --seed 3 --device cpu"
    options += " --objective loudness"
    steps = "--steps", 40, "--rounds", 2, "--residual", "--align", "off", "--rides", "off", "--memory", "2GB"
    outcome = program("mine", song_folder, "--out", tmp_path / "out", *options.split(), *steps)
    assert outcome.status == 130
    assert seen["residual"]
    settings = seen["settings"]
    assert (settings.chain, settings.policy, settings.tolerance) == ("egr", "dry-wet", 0.1)
    assert (settings.sample_rate, settings.seed, settings.steps, settings.rounds) == (44100, 3, 40, 2)
    assert settings.objective == "loudness"
    assert settings.round_steps == 20
    assert (seen["device"], seen["rate"], seen["start"], seen["plots"]) == ("cpu", 44100, None, True)


def test_mine_takes_another_mix_and_an_offset(program, song_folder, tmp_path, monkeypatch):
    seen = []

    def stop(song, *_, **__):
        seen.append(song)
        raise KeyboardInterrupt

    monkeypatch.setattr("graphmix.search.mine", stop)
    other = tmp_path / "radio edit.wav"
    (song_folder / "mix.wav").rename(other)
    outcome = program("mine", song_folder, "--out", tmp_path / "out", "--mix", other, "--offset", "-100 ms")
    assert outcome.status == 130, outcome.err
    assert (seen[0].mix.path, seen[0].offset) == (other, -RATE // 10)
    assert "0.1000 s" in outcome.out, "the offset is stated"


def test_a_song_whose_names_are_no_utf8_is_mined_and_its_graph_read(program, song_folder, tmp_path):
    (song_folder / "song.json").unlink()
    strange, out = tmp_path / os.fsdecode(b"S\xe9ance"), tmp_path / os.fsdecode(b"out \xff")
    try:
        (song_folder / "dry" / TRACKS[1]).rename(song_folder / "dry" / os.fsdecode(b"caf\xe9.wav"))
        song_folder.rename(strange)
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    outcome = program("mine", strange, "--out", out, "--chain", "g", "--steps", 0, "--rounds", 0, "--no-plots")
    assert (outcome.status, outcome.err) == (0, "")
    assert json.loads((out / "metrics.json").read_text())["song"] == r"S\xe9ance"
    shown = program("show", out)
    assert shown.status == 0, shown.err
    assert r"caf\xe9.wav" in shown.out


def test_a_gpu_is_asked_for_by_the_name_gpu(program, song_folder, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU, which would mine the song")
    outcome = program("mine", song_folder, "--out", tmp_path / "out", "--device", "gpu")
    assert outcome.status == 2
    assert len(outcome.err.splitlines()) == 1
    assert "Expected one of" not in outcome.err, "torch knows no device of this name, and lists those that it knows"
    assert "--device cpu" in outcome.err


@pytest.mark.parametrize(
    ("si_sdr_db", "exact", "text"),
    [(12.34, False, "12.3 dB"), (None, True, "infinite (an exact match)"), (None, False, "no match")],
)
def test_the_summary_of_a_complete_mismatch_calls_it_no_match(si_sdr_db, exact, text):
    metrics = {"si_sdr_db": si_sdr_db, "exact_match": exact, "audio_loss": 0.0 if exact else 20.0}
    assert text in si_sdr(metrics)
    assert text in si_sdr({name: metrics[name] for name in ("si_sdr_db", "audio_loss")}), "of an older version"


@pytest.mark.parametrize(("within", "text"), [(0.0031, "known to ±0.0031 (95 %)"), (None, "an estimate")])
def test_a_sampled_search_says_on_how_much_of_the_song(within, text):
    found = {"segments": 16, "of": 86, "audio_loss_of_segments": 0.1, "console_loss_within": within}
    (sentence,) = sampled({"sampled": found})
    assert "16 of the song's 86 segments" in sentence
    assert text in sentence
    assert sampled({"audio_loss": 0.1}) == []


def test_mine_without_pictures_draws_none(program, song_folder, tmp_path):
    outcome = program("mine", song_folder, "--out", tmp_path / "out", *TINY, "--no-plots")
    assert outcome.status == 0
    assert "graph, mix, metrics:" in outcome.out
    assert load_graph(tmp_path / "out" / "graph.safetensors").num_nodes
    assert not list((tmp_path / "out").rglob("*.png"))


def test_ctrl_c_ends_with_130_and_one_line(program, song_folder, tmp_path, monkeypatch):
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("graphmix.search.mine", interrupt)
    outcome = program("mine", song_folder, "--out", tmp_path / "out", *TINY)
    assert outcome.status == 130
    assert len(outcome.err.splitlines()) == 1
    assert "same command" in outcome.err


def test_ctrl_c_in_a_real_run_leaves_a_folder_to_go_on_with(program, song_folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    budget = [*TINY[:-4], "--steps", "100000", "--rounds", "1"]
    command = [sys.executable, "-m", "graphmix", "mine", str(song_folder), "--out", str(out), *budget, "--no-report"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (out / "trace.jsonl").exists():  # written after the checkpoint
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert len(err.splitlines()) == 1, err
    assert {path.name for path in out.iterdir()} == {"run.json", "checkpoint.safetensors", "trace.jsonl"}

    def interrupt(self: Search) -> None:
        raise KeyboardInterrupt

    def begin(*args: object) -> None:
        pytest.fail("it began again")

    monkeypatch.setattr(Search, "run", interrupt)
    monkeypatch.setattr(importlib.import_module("graphmix.search.mine_song"), "begin_search", begin)
    assert program("mine", song_folder, "--out", out, *budget).status == 130


@pytest.mark.slow  # as what the process says of a bad path, in test_bad_input.py, which is quicker
def test_python_m_graphmix_is_the_same_program(graph_file):
    done = subprocess.run(
        [sys.executable, "-m", "graphmix", "show", str(graph_file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "compressor" in done.stdout


def test_a_graph_comes_through_both_formats_unchanged(graph_file, tmp_path):
    compact = save_graph(load_graph(graph_file), tmp_path / "graph.safetensors")
    assert same_graph(load_graph(compact), load_graph(graph_file))


# --- demo


@pytest.mark.slow
def test_demo_mines_its_song_and_says_what_came_out(program, tmp_path):
    first = program("demo", "--out", tmp_path)
    assert (first.status, first.err) == (0, "")
    metrics = json.loads((tmp_path / "mined" / "metrics.json").read_text())
    words = " ".join(first.out.split())
    assert f"has an audio loss L_a of {metrics['baselines']['plain sum']:.3f}" in words
    assert f"{metrics['processors_before']} processors comes to {metrics['console_loss']:.3f}" in words
    assert f"needs {metrics['processors_left']} of them" in words
    assert metrics["audio_loss"] < metrics["baselines"]["plain sum"]
    for name in ("mined/mix.wav", "song/mix.wav", "mined/graph.safetensors", "mined/plots/graph.png"):
        assert (tmp_path / name).exists()
        assert Path(name).name in words
    second = program("demo", "--out", tmp_path)
    assert second.status == 0
    assert "Already mined." in second.out
