"""``graphmix capture``, and captured effects in ``mine`` and ``render``."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from graphmix.cli.progress import ProgressListener
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import save_graph
from graphmix.models.effects import build_effect, captured_effect, load_effect, save_effect
from graphmix.processors.rack import Rack
from tests.capture.devices import RATE, lowpass, saturate, write_pair
from tests.cli.conftest import Program
from tests.report.pages import check_page
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
    given = ("--model", "lstm", *QUICK)
    outcome = program(
        "capture", *take, "-o", tmp_path / "amp", *given, "--gear-type", "pedal", "--name", "Box", "--report"
    )
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
    page = check_page(tmp_path / "amp" / "report.html", "device", "model", "dry")
    assert {"Transfer curve", "Harmonics of a sine of 440 Hz"} <= {chart["title"] for chart in page["charts"]}
    again = program("capture", *take, "-o", tmp_path / "amp", *given)
    assert "finished already" in again.out
    other = program("capture", *take, "-o", tmp_path / "amp", "--model", "lstm", "--steps", 7)
    assert other.status == 2
    assert "this capture with minutes = 0.5, not 9.0" in other.err or "steps = 6, not 7" in other.err


def test_without_a_model_the_best_of_a_trial_is_trained(program: Program, tmp_path: Path):
    dry, wet = write_pair(tmp_path / "filter", lowpass)
    outcome = program("capture", dry, wet, "-o", tmp_path / "amp", *QUICK)
    assert outcome.status == 0, outcome.err
    assert "note: linear is trained on, the closest to the device after a trial" in outcome.out
    assert json.loads((tmp_path / "amp" / "metrics.json").read_text())["model"] == "linear"
    assert "finished already" in program("capture", dry, wet, "-o", tmp_path / "amp", *QUICK).out


def test_several_settings_make_a_model_with_controls(program: Program, tmp_path: Path):
    texts = []
    for gain in (0.5, 2.0):
        dry, wet = write_pair(tmp_path / f"gain {gain}", lambda x, gain=gain: saturate(gain * x))
        texts += ["--pair", f"{dry},{wet},drive={gain}"]
    outcome = program("capture", *texts, "-o", tmp_path / "amp", "--model", "lstm", *QUICK)
    assert outcome.status == 0, outcome.err
    assert "no .nam file: a .nam file has no controls" in outcome.out
    assert load_effect(tmp_path / "amp" / "effect.safetensors")[0].config.controls[0].name == "drive"


def test_the_test_signal_is_written_and_replaces_nothing(program: Program, tmp_path: Path):
    path = tmp_path / "signal.wav"
    assert "180 s at 22050 Hz" in program("capture", "--signal", path, "--sample-rate", 22050).out
    refused = program("capture", "--signal", path, "--sample-rate", 22050)
    assert refused.status == 2
    assert "--force" in refused.err


BAD_RECORDINGS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "silence": (np.zeros_like, "wet.wav is silent (peak 0): was the device switched on and recorded?"),
    "much longer": (lambda x: np.pad(x, (0, 11 * RATE)), "is 11.0 s longer than"),
    "another take": (lambda x: 0.1 * np.random.default_rng(9).standard_normal(len(x)), "have nothing in common"),
    "stereo": (lambda x: np.stack([saturate(x), x]), "a stereo effect, and a model has one channel in"),
}


@pytest.mark.parametrize("case", BAD_RECORDINGS)
def test_bad_recordings_end_in_one_line_and_leave_nothing(program: Program, tmp_path: Path, case: str):
    device, message = BAD_RECORDINGS[case]
    pair = write_pair(tmp_path / "take", lambda x: device(x).astype(np.float32))
    outcome = program("capture", *pair, "-o", tmp_path / "out", *QUICK)
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "capture needs a dry file, a wet file and --out FOLDER"),
        (("dry.wav",), "a recording is a dry and a wet file"),
        (("--control", "drive=3", "--pair", "a.wav,b.wav"), "a recording is a dry and a wet file; --control"),
        (("nowhere.wav", "wet.wav"), "cannot read nowhere.wav: No such file or directory"),
    ],
)
def test_missing_recordings_end_in_one_line(program: Program, tmp_path: Path, arguments: tuple, message: str):
    outcome = program("capture", *arguments, *(("-o", tmp_path / "out") if arguments else ()))
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(program: Program, take: tuple[Path, Path], tmp_path: Path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").write_text("x")
    outcome = program("capture", *take, "-o", folder, *QUICK)
    assert outcome.status == 2
    assert f"output folder {folder} holds something else ('cat.jpg')" in outcome.err
    assert [path.name for path in folder.iterdir()] == ["cat.jpg"]


def test_the_folder_of_another_capture_is_left_alone(program: Program, tmp_path: Path):
    takes = [write_pair(tmp_path / name, device) for name, device in (("a", saturate), ("b", lowpass))]
    out, small = tmp_path / "out", ("--model", "grey_box", *QUICK)
    assert program("capture", *takes[0], "-o", out, *small).status == 0
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    other = program("capture", *takes[1], "-o", out, *small)
    assert other.status == 2
    assert "holds a capture of other recordings. Choose another --out." in other.err
    assert before == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    (out / "metrics.json").write_text("{")
    damaged = program("capture", *takes[0], "-o", out, *small)
    assert damaged.status == 2
    assert "metrics.json is not JSON" in damaged.err


def test_files_whose_names_have_commas_are_a_recording(program: Program, tmp_path: Path):
    take = write_pair(tmp_path / "take 1, loud=yes", saturate)
    outcome = program("capture", *take, "-o", tmp_path / "amp", "--model", "grey_box", *QUICK)
    assert outcome.status == 0, outcome.err


def test_what_was_found_in_recordings_is_said_before_the_training(program: Program, tmp_path: Path):
    take = write_pair(tmp_path / "take", lambda x: -saturate(x))
    outcome = program("capture", *take, "-o", tmp_path / "amp", "--model", "grey_box", *QUICK)
    assert outcome.out.index("note: the device inverts the polarity") < outcome.out.index("training")


def test_an_interrupted_capture_is_resumed(
    program: Program, take: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Ctrl-C comes as the checkpoint after the third step has been written."""
    arguments = ("capture", *take, "-o", tmp_path / "amp", "--model", "grey_box", "--steps", 5)
    done_steps: list[int] = []

    class Stopping(ProgressListener):
        def progress(self, done: int, total: int | None = None, **numbers: float) -> None:
            done_steps.append(done)
            if done_steps.count(4) == 1 and done == 4:
                raise KeyboardInterrupt
            super().progress(done, total, **numbers)

    monkeypatch.setattr("graphmix.capture.fit.SAVE_EVERY_SECONDS", -1.0)
    monkeypatch.setattr("graphmix.cli.capture_command.ProgressListener", Stopping)
    stopped = program(*arguments)
    assert stopped.status == 130
    assert "interrupted; the same command resumes the work." in stopped.err
    assert (tmp_path / "amp" / "checkpoint.safetensors").exists()
    resumed = program(*arguments)
    assert resumed.status == 0, resumed.err
    assert done_steps[done_steps.index(4) + 1] == 4  # and not the first step again
    assert json.loads((tmp_path / "amp" / "metrics.json").read_text())["steps"] == 5
    assert not (tmp_path / "amp" / "checkpoint.safetensors").exists()


def test_a_damaged_checkpoint_is_named(program: Program, take: tuple[Path, Path], tmp_path: Path):
    arguments = ("capture", *take, "-o", tmp_path / "amp", "--model", "grey_box", *QUICK)
    assert program(*arguments).status == 0
    (tmp_path / "amp" / "metrics.json").unlink()
    (tmp_path / "amp" / "checkpoint.safetensors").write_bytes(b"x" * 100)
    outcome = program(*arguments)
    assert outcome.status == 2
    assert "checkpoint.safetensors is damaged" in outcome.err
    assert "delete it to begin again" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "banjo"), "--model is 'banjo'; the networks are: auto, lstm, gru"),
        (("--preset", "huge"), "--preset is 'huge'; the presets are: draft, full"),
        (("--control", "drive=loud"), "control 'drive' is set to 'loud'; give a number"),
        (("--control", "drive=nan"), "control 'drive' is set to 'nan'; give a number"),
        (("--control", "=3"), "a setting of a control is given as name=value, not as '=3'"),
        (("--control", "drive=1", "--control", "drive=2"), "control 'drive' is set twice for"),
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


def test_a_graph_refuses_another_capture_of_the_name(program: Program, song_folder: Path, amp: Path, tmp_path: Path):
    effect = captured_effect(amp, "a", SONG_RATE)
    graph = MixGraph(Rack([effect]).types, SONG_RATE)
    graph.chain(graph.add("in", name=TRACKS[1]), graph.add("amp"), graph.add("out"))
    path = save_graph(graph, tmp_path / "graph.safetensors")
    torch.manual_seed(1)
    save_effect(build_effect({"model": "lstm", "hidden": 4, "sample_rate": SONG_RATE}), amp)
    outcome = program("render", path, song_folder, "-o", tmp_path / "again.wav", "--effect", f"a={amp}")
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert effect.node_type.source in outcome.err
    assert not (tmp_path / "again.wav").exists()
