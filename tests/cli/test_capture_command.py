"""``graphmix capture``, and captured effects in ``mine`` and ``render``."""

import json
from pathlib import Path

import pytest
import torch

from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import save_graph
from graphmix.models.effects import build_effect, captured_effect, load_effect, save_effect
from graphmix.processors.rack import Rack
from tests.capture.devices import RATE, saturate, write_pair
from tests.cli.conftest import Program
from tests.small_song import RATE as SONG_RATE
from tests.small_song import TRACKS

QUICK = ("--steps", 6, "--minutes", 0.5)


@pytest.fixture
def take(tmp_path: Path) -> tuple[Path, Path]:
    return write_pair(tmp_path / "take", saturate)


@pytest.fixture
def amp(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = build_effect({"model": "lstm", "hidden": 4, "sample_rate": SONG_RATE})
    return save_effect(model, tmp_path / "amp.safetensors")


def test_a_device_is_captured_measured_and_drawn(program: Program, take: tuple[Path, Path], tmp_path: Path):
    outcome = program("capture", *take, "-o", tmp_path / "amp", *QUICK, "--gear-type", "pedal", "--name", "Box")
    assert outcome.status == 0, outcome.err
    metrics = json.loads((tmp_path / "amp" / "metrics.json").read_text())
    assert f"{metrics['esr']:.5f}" in outcome.out
    assert metrics["grade"] in outcome.out
    model, about = load_effect(tmp_path / "amp" / "effect.safetensors")
    assert model.config.sample_rate == RATE
    assert about["gear"] == {"name": "Box", "gear_type": "pedal"}
    assert json.loads((tmp_path / "amp" / "effect.nam").read_text())["metadata"]["gear_type"] == "pedal"
    pictures = {path.stem for path in (tmp_path / "amp" / "plots").glob("*.png")}
    assert pictures == {
        "transfer_curve", "harmonics", "step_response", "waveforms", "error", "learning_curve", "error_by_level",
    }  # fmt: skip
    again = program("capture", *take, "-o", tmp_path / "amp", *QUICK)
    assert "finished already" in again.out
    other = program("capture", *take, "-o", tmp_path / "amp", "--steps", 7)
    assert other.status == 2
    assert "this capture with minutes = 0.5, not 9.0" in other.err or "steps = 6, not 7" in other.err


def test_several_settings_make_a_model_with_controls(program: Program, tmp_path: Path):
    texts = []
    for gain in (0.5, 2.0):
        dry, wet = write_pair(tmp_path / f"gain {gain}", lambda x, gain=gain: saturate(gain * x))
        texts += ["--pair", f"{dry},{wet},drive={gain}"]
    outcome = program("capture", *texts, "-o", tmp_path / "amp", *QUICK)
    assert outcome.status == 0, outcome.err
    assert "no .nam file: a .nam file has no controls" in outcome.out
    assert load_effect(tmp_path / "amp" / "effect.safetensors")[0].config.controls[0].name == "drive"


def test_the_test_signal_is_written_and_replaces_nothing(program: Program, tmp_path: Path):
    path = tmp_path / "signal.wav"
    assert "180 s at 22050 Hz" in program("capture", "--signal", path, "--sample-rate", 22050).out
    refused = program("capture", "--signal", path, "--sample-rate", 22050)
    assert refused.status == 2
    assert "--force" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "banjo"), "--model is 'banjo'; the networks are: lstm, gru"),
        (("--preset", "huge"), "--preset is 'huge'; the presets are: draft, full"),
        (("--control", "drive=loud"), "control 'drive' is set to 'loud'; give a number"),
        (("--control", "drive=3"), "control 'drive' has one setting in all pairs"),
        (("--pair", "only.wav"), "a recording is given as dry.wav,wet.wav,control=value"),
        (("--gear-type", "kazoo"), "gear_type is 'kazoo'; the format knows"),
    ],
)
def test_wrong_options_end_in_one_line(
    program: Program, take: tuple[Path, Path], tmp_path: Path, arguments: tuple[str, ...], message: str
):
    outcome = program("capture", *take, "-o", tmp_path / "out", *QUICK, *arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_capture_is_a_letter_of_the_chain(program: Program, song_folder: Path, amp: Path, tmp_path: Path):
    chain = ("--chain", "ag", "--effect", f"a={amp}", "--sample-rate", SONG_RATE, "--steps", 2, "--rounds", 0)
    outcome = program("mine", song_folder, "--out", tmp_path / "mined", *chain)
    assert outcome.status == 0, outcome.err
    run = json.loads((tmp_path / "mined" / "run.json").read_text())
    assert run["effects"]["a"].startswith("amp.safetensors ")
    assert (
        json.loads((tmp_path / "mined" / "metrics.json").read_text())["processors_before"] == 8
    )  # two letters on two tracks and two buses
    other = program("mine", song_folder, "--out", tmp_path / "mined", "--chain", "g", *chain[4:])
    assert "mined with chain = ag, not g" in other.err


def test_a_graph_with_a_capture_renders_with_it_alone(program: Program, song_folder: Path, amp: Path, tmp_path: Path):
    effect = captured_effect(amp, "a", SONG_RATE)
    graph = MixGraph(Rack([effect]).types, SONG_RATE)
    out = graph.add("out")
    for track in TRACKS[1:]:
        graph.chain(graph.add("in", name=track), graph.add("amp"), out)
    path = save_graph(graph, tmp_path / "graph.safetensors")
    rendered = program("render", path, song_folder, "-o", tmp_path / "again.wav", "--effect", f"a={amp}")
    assert rendered.status == 0, rendered.err
    without = program("render", path, song_folder, "-o", tmp_path / "not.wav")
    assert "captured effect 'amp', from amp.safetensors" in without.err


def test_letters_of_effects_are_distinct(program: Program, song_folder: Path, amp: Path, tmp_path: Path):
    chain = ("--chain", "ag", "--effect", f"a={amp}")
    twice = program("mine", song_folder, "--out", tmp_path / "x", *chain, "--effect", f"a={amp}")
    assert "letter 'a' stands for" in twice.err
    taken = program("mine", song_folder, "--out", tmp_path / "x", "--chain", "g", "--effect", f"g={amp}")
    assert "letter 'g' of amp is that of gain" in taken.err
