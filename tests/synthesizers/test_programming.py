"""From a sound to a patch."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from graphmix.audio import write_audio
from graphmix.cli.app import app
from graphmix.errors import GraphmixError
from graphmix.graph.storage import save_graph
from graphmix.processors import Rack
from graphmix.progress import Silent
from graphmix.render import Renderer
from graphmix.synthesizers import FM, SUBTRACTIVE
from graphmix.synthesizers.candidates import play, random_patches, try_patches
from graphmix.synthesizers.program_run import ProgramSettings, load_patch, program_sound
from graphmix.synthesizers.programming import program, prune_patch, refine
from graphmix.synthesizers.sounds import Sound, estimate_pitch, fundamental_db, load_sound, log_spectral_distance
from graphmix.synthesizers.sysex import read_bank
from tests.report.pages import check_page

RATE = 44100


def sound_of(values: dict[str, float | str], pitch: float = 57.0, seconds: float = 0.5) -> Sound:
    render = Renderer(Rack.generators(RATE))
    audio = play([SUBTRACTIVE.patch(values, RATE, pitch=pitch, length_ms=300.0)], round(seconds * RATE), render)[0]
    return Sound(audio, RATE, pitch, 300.0)


def a_file(folder: Path, values: dict[str, float | str] | None = None) -> Path:
    wave = {"oscillator_1.wave": "saw", "filter.cutoff_hz": 2000.0, "oscillator_1.level_db": -12.0}
    path = folder / "note.wav"
    write_audio(path, sound_of(values or wave).audio.expand(2, -1), RATE)
    return path


# --- sounds


@pytest.mark.parametrize("note", [28.0, 45.3, 60.0, 76.5, 93.0])
@pytest.mark.parametrize("wave", ["sine", "saw", "pulse"])
def test_a_pitch_is_found_to_a_few_cents(note: float, wave: str):
    sound = sound_of({"oscillator_1.wave": wave}, note, 0.4)
    found, certainty = estimate_pitch(sound.audio, RATE)
    assert found == pytest.approx(note, abs=0.15)
    assert certainty > 0.8


def test_noise_has_no_clear_pitch():
    assert estimate_pitch(torch.randn(20000, generator=torch.Generator().manual_seed(0)), RATE)[1] < 0.5


def test_the_distance_is_that_of_its_formula():
    torch.manual_seed(0)
    target, found = torch.randn(9000), 2 * torch.randn(2, 9000)
    assert float(log_spectral_distance(target[None], target)[0]) == 0
    frames = [np.fft.rfft(np.pad(x.numpy(), 1024)[i : i + 2048] * np.hanning(2049)[:-1])
              for x in (target, found[1]) for i in range(0, 9000 + 1, 512)]  # fmt: skip
    power = np.abs(np.array(frames).reshape(2, -1, 1025)) ** 2
    floor = power[0].max() * 1e-8
    ratio = 10 * np.log10((power[1] + floor) / (power[0] + floor))
    expected = np.sqrt((ratio**2).mean(1)).mean()
    assert float(log_spectral_distance(found, target)[1]) == pytest.approx(expected, rel=1e-4)
    assert log_spectral_distance(torch.zeros(1, 9000), target).isfinite().all()


def test_what_is_before_and_behind_a_sound_is_cut_off(tmp_path: Path):
    tone = 0.5 * torch.sin(2 * math.pi * 220 * torch.arange(20000) / RATE)
    write_audio(tmp_path / "late.wav", torch.cat([torch.zeros(9000), tone, torch.zeros(30000)]).expand(2, -1), RATE)
    sound = load_sound(tmp_path / "late.wav", RATE)
    assert len(sound.audio) == pytest.approx(20000, abs=900)
    assert sound.pitch == pytest.approx(57.0, abs=0.1)
    assert sound.length_ms == pytest.approx(20000 / 44.1, abs=25)
    assert sound.notices == ()


def a_tone(hz: float, seconds: float, rate: int = RATE) -> torch.Tensor:
    return torch.sin(2 * math.pi * hz * torch.arange(round(seconds * rate)) / rate)


def test_odd_sounds_are_handled_or_refused(tmp_path: Path):
    noise = torch.randn(2, 20000, generator=torch.Generator().manual_seed(1))
    tone = a_tone(330, 20000 / RATE)
    chord = sum(sound_of({"oscillator_1.wave": "saw"}, note).audio for note in (60.0, 64.0, 67.0))
    cases = {
        "short": (0.3 * noise[:, :2205], "no clear pitch"),
        "long": (0.3 * a_tone(220, 133, 8000).expand(2, -1), "lasts 133 s; its first 10 s are taken"),
        "clipped": (tone.mul(5).clamp(-1, 1).expand(2, -1), "clipped"),
        "stereo": (0.3 * noise, "stereo"),
        "opposite": (torch.stack([tone, -tone]), "cancel each other; its left channel"),
        "chord": (0.3 * chord.expand(2, -1), "it may be several notes"),
        "noisy": (0.2 * (tone + 0.45 * noise[0]).expand(2, -1), "the sound is noisy"),
    }
    for name, (audio, notice) in cases.items():
        write_audio(tmp_path / f"{name}.wav", audio, 8000 if name == "long" else RATE)
        sound = load_sound(tmp_path / f"{name}.wav", RATE)
        assert any(notice in text for text in sound.notices), (name, sound.notices)
        assert len(sound.audio) >= 8192
        assert 0 <= sound.pitch <= 127
    given = load_sound(tmp_path / "chord.wav", RATE, pitch=60.0)
    assert not any("several" in text for text in given.notices)
    write_audio(tmp_path / "silent.wav", torch.zeros(2, 9000), RATE)
    with pytest.raises(GraphmixError, match=r"silent\.wav is silent: there is nothing to imitate"):
        load_sound(tmp_path / "silent.wav", RATE)


@pytest.mark.parametrize("hz", [55.0, 220.0, 1200.0])
def test_the_fundamental_is_found_or_missing(hz: float):
    pitch = 69 + 12 * math.log2(hz / 440)
    tone = a_tone(hz, 0.5)
    assert fundamental_db(tone, RATE, pitch) == pytest.approx(0, abs=0.5)
    assert fundamental_db(tone + 10 * a_tone(3 * hz, 0.5), RATE, pitch) == pytest.approx(
        -20, abs=1.5
    )  # bins of a Hann window
    assert fundamental_db(a_tone(2 * hz, 0.5), RATE, pitch) < -60


# --- patches


def test_the_true_patch_is_the_nearest_one_at_any_level():
    truth = random_patches(SUBTRACTIVE, 1, 5)[0]
    sound = sound_of(truth)
    louder = Sound(sound.audio * 3, RATE, sound.pitch, sound.length_ms)
    tried = try_patches(louder, SUBTRACTIVE, [*random_patches(SUBTRACTIVE, 10, 6), truth])
    assert tried[0].distance < 0.05
    assert tried[0].distance < 0.1 * tried[1].distance
    assert [c.distance for c in tried] == sorted(c.distance for c in tried)


def test_refining_comes_nearer_and_leaves_choices_alone():
    truth = {"oscillator_1.wave": "saw", "filter.cutoff_hz": 900.0, "amplitude_envelope.decay_ms": 90.0}
    sound = sound_of(truth)
    start = truth | {"filter.cutoff_hz": 2500.0, "amplitude_envelope.decay_ms": 250.0}
    candidate = try_patches(sound, SUBTRACTIVE, [SUBTRACTIVE.defaults() | start])
    result = refine(sound, SUBTRACTIVE, candidate, 60, trials=False)
    assert result.distance < 0.6 * candidate[0].distance
    assert result.values["oscillator_1.wave"] == "saw"
    assert result.values["amplifier.level_db"] != 0
    note = result.graph.params["note"][0]
    torch.testing.assert_close(note, torch.tensor([57.0, 0.0, 300.0, 0.8]))
    played = play([result.graph], len(sound.audio), Renderer(Rack.generators(RATE)))
    assert float(log_spectral_distance(played, sound.audio)[0]) == pytest.approx(result.distance, rel=1e-4)


def test_of_random_patches_and_all_that_a_model_proposes_the_nearest_is_refined():
    truth = random_patches(SUBTRACTIVE, 1, 5)[0]
    proposals = {"subtractive": [*random_patches(SUBTRACTIVE, 2, 7), truth, SUBTRACTIVE.defaults()]}
    found = program(sound_of(truth), [SUBTRACTIVE, FM], candidates=2, steps=0, proposals=proposals)
    assert [result.synthesizer for result in found] == ["subtractive", "fm"]
    assert found[0].proposed == found[0].distance < 0.05
    assert found[0].values == pytest.approx(truth | {"amplifier.level_db": found[0].values["amplifier.level_db"]})


@pytest.mark.parametrize("level", [-60.0, -45.0])
def test_pruning_leaves_the_operators_that_matter(level: float):
    render = Renderer(Rack.generators(RATE))
    for algorithm, true in (("5", "12"), ("1", "34"), ("32", "126"), ("16", "156")):
        values = {"algorithm": algorithm} | {f"op{op}.level_db": -20.0 if op in true else level for op in "123456"}
        values |= {f"op{true[0]}.level_db": -6.0, "op2.ratio": 2.0, "op6.ratio": 3.0, "op5.ratio": 4.0}
        only = values | {f"op{op}.level_db": -96.0 for op in "123456" if op not in true}
        audio = play([FM.patch(only, RATE, pitch=50.0, length_ms=300.0)], RATE // 2, render)[0]
        sound = Sound(audio, RATE, 50.0, 300.0)
        graph = prune_patch(sound, FM, FM.patch(values, RATE, pitch=50.0, length_ms=300.0))
        assert {name for name in graph.names if name.startswith("op")} == {f"op{op}" for op in true}
        again = FM.read(graph)
        assert again["op1.level_db" if "1" in true else "op3.level_db"] > -30
        left = play([FM.patch(again, RATE, pitch=50.0, length_ms=300.0)], RATE // 2, render)
        assert float(log_spectral_distance(left, audio)[0]) < 1


def test_the_same_seed_gives_the_same_patch():
    sound = sound_of({"oscillator_1.wave": "pulse"}, seconds=0.3)
    a, b = (program(sound, [FM], candidates=6, steps=4, seed=3)[0] for _ in range(2))
    assert a.distance == b.distance
    assert a.values == b.values
    assert a.distance <= a.proposed


def test_a_folder_holds_patch_sound_and_pictures(tmp_path: Path):
    out = tmp_path / "out"
    command = [
        "program",
        str(a_file(tmp_path)),
        "-o",
        str(out),
        "--synth",
        "fm",
        "--candidates",
        "6",
        "--steps",
        "4",
        "--prune",
    ]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    metrics = json.loads((out / "metrics.json").read_text())
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files >= {"patch.safetensors", "patch.json", "match.wav", "voice.syx", "plots/match.png", "plots/patch.png"}
    page = check_page(out / "report.html", "sound", "patch")
    assert all(node["after"] for node in page["nodes"] if node["kind"] != "note"), (
        "what leaves each module can be heard"
    )
    synthesizer, values, note = load_patch(out / "patch.safetensors")
    assert synthesizer is FM
    assert values == metrics["values"]
    assert "amplifier" in metrics["modules"] or any(name.startswith("op") for name in metrics["modules"])
    assert float(note[0]) == pytest.approx(57.0, abs=0.2)
    assert read_bank(out / "voice.syx").voices[0].name == "NOTE"
    before = (out / "metrics.json").stat().st_mtime_ns
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0
    assert (out / "metrics.json").stat().st_mtime_ns == before


def test_odd_sounds_are_programmed_from_the_command_line(tmp_path: Path):
    tone = a_tone(330, 0.05)
    cases = {
        "short": (0.3 * tone.expand(2, -1), None),
        "clipped": (tone.mul(5).clamp(-1, 1).expand(2, -1), "note: the sound is clipped"),
        "stereo": (torch.stack([tone, 0.5 * tone.flip(0)]), "note: the sound is stereo"),
        "noise": (0.3 * torch.randn(2, 9000, generator=torch.Generator().manual_seed(0)), "no clear pitch"),
    }
    for name, (audio, notice) in cases.items():
        path, out = tmp_path / f"{name}.wav", tmp_path / name
        write_audio(path, audio, RATE)
        arguments = ["--synth", "subtractive", "--candidates", "2", "--steps", "3", "--no-plots", "--no-report"]
        result = CliRunner().invoke(app, ["program", str(path), "-o", str(out), *arguments])
        assert result.exit_code == 0, result.output
        metrics = json.loads((out / "metrics.json").read_text())
        assert math.isfinite(metrics["distance_db"])
        assert notice is None or notice in " ".join(result.output.split())
    write_audio(tmp_path / "silent.wav", torch.zeros(2, 9000), RATE)
    for arguments, message in (
        ([str(tmp_path / "silent.wav")], "silent.wav is silent: there is nothing to imitate."),
        ([str(tmp_path / "none.wav")], "none.wav is not a file: check the name."),
        ([str(tmp_path / "short.wav"), "--synth", "moog"], "there is no synthesizer 'moog'"),
        ([str(tmp_path / "short.wav"), "--model", str(tmp_path / "no")], "no is not a file: check the name."),
    ):
        result = CliRunner().invoke(app, ["program", *arguments, "-o", str(tmp_path / "refused")])
        assert result.exit_code != 0
        said = str(result.exception) if isinstance(result.exception, GraphmixError) else result.output
        assert message in " ".join(said.split()), said
        assert not (tmp_path / "refused").exists()


def test_a_finished_folder_answers_without_the_sound_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, settings = a_file(tmp_path), ProgramSettings("subtractive", 2, 0)
    first = program_sound(path, tmp_path / "out", settings, plots=False)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the sound or the model was read")

    monkeypatch.setattr("graphmix.synthesizers.program_run.load_sound", fail)
    monkeypatch.setattr("graphmix.synthesizers.program_run.load_programmer", fail)
    assert program_sound(path, tmp_path / "out", settings, plots=False)["values"] == first["values"]


class Stops(Silent):
    """Interrupts the refinement."""

    def __init__(self, step: int) -> None:
        self.step, self.refining = step, False

    def phase(self, name: str, total: int | None, done: int = 0) -> None:
        self.refining = name.endswith("refining")

    def progress(self, done: int, total: int | None = None, **numbers: float) -> None:
        if self.refining and done >= self.step:
            raise KeyboardInterrupt


def test_a_run_that_was_stopped_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, settings = a_file(tmp_path), ProgramSettings("wavetable", 3, 10)
    whole = program_sound(path, tmp_path / "whole", settings, plots=False)
    assert not (tmp_path / "whole" / "unfinished.json").exists()
    with pytest.raises(KeyboardInterrupt):
        program_sound(path, tmp_path / "out", settings, plots=False, listener=Stops(6))
    assert json.loads((tmp_path / "out" / "unfinished.json").read_text())["wavetable"]["stage"] == 1
    damaged = (tmp_path / "out" / "unfinished.json").read_text()
    (tmp_path / "out" / "unfinished.json").write_text('{"wavetable": {"stage": 1}}')
    with pytest.raises(GraphmixError, match=r"unfinished\.json is damaged \(.*\): delete it to begin again"):
        program_sound(path, tmp_path / "out", settings, plots=False)
    (tmp_path / "out" / "unfinished.json").write_text(damaged)
    monkeypatch.setattr("graphmix.synthesizers.programming.random_patches", None)  # candidates are not tried again
    resumed = program_sound(path, tmp_path / "out", settings, plots=False)
    assert resumed == whole
    assert not (tmp_path / "out" / "unfinished.json").exists()


def test_a_patch_of_another_version_or_synthesizer_is_refused(tmp_path: Path):
    graph = SUBTRACTIVE.patch({}, RATE)
    for change, message in (
        ({"version": 0}, "the patch was made by version 0 of 'subtractive', and this is 1"),
        ({"synthesizer": "moog"}, "is no patch of a synthesizer of graphmix"),
    ):
        other = graph.clone()
        other.info = replace(graph.info, provenance={**graph.provenance, **change})
        save_graph(other, tmp_path / "patch.json")
        with pytest.raises(GraphmixError, match=message):
            load_patch(tmp_path / "patch.json")


def test_another_sound_or_setting_does_not_go_into_a_folder(tmp_path: Path):
    settings = ProgramSettings("subtractive", 2, 0)
    program_sound(a_file(tmp_path), tmp_path / "out", settings, plots=False)
    with pytest.raises(GraphmixError, match="steps = 0, not 5"):
        program_sound(tmp_path / "note.wav", tmp_path / "out", ProgramSettings("subtractive", 2, 5), plots=False)
    a_file(tmp_path, {"oscillator_1.wave": "sine"})
    with pytest.raises(GraphmixError, match="the patch of another sound"):
        program_sound(tmp_path / "note.wav", tmp_path / "out", settings, plots=False)


def test_wrong_names_are_refused_in_one_sentence(tmp_path: Path):
    path = a_file(tmp_path)
    with pytest.raises(GraphmixError, match="no synthesizer 'moog'; the synthesizers are: auto, subtractive, fm"):
        program_sound(path, tmp_path / "out", ProgramSettings("moog"))
    with pytest.raises(GraphmixError):
        program_sound(tmp_path / "none.wav", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_distance_is_that_of_the_patch_also_where_it_cannot_be_as_loud():
    sound = sound_of({"oscillator_1.wave": "saw"})
    quiet = SUBTRACTIVE.defaults() | {"oscillator_1.wave": "saw", "oscillator_1.level_db": -60.0}
    candidates = try_patches(sound, SUBTRACTIVE, [quiet])
    result = refine(sound, SUBTRACTIVE, candidates, 0)
    played = play([result.graph], len(sound.audio), Renderer(Rack.generators(RATE)))
    assert float(log_spectral_distance(played, sound.audio)[0]) == pytest.approx(result.distance, rel=1e-3)
    assert result.distance > 5
    with pytest.raises(GraphmixError, match="no patch of 'subtractive' that was tried made a sound"):
        refine(sound, SUBTRACTIVE, [], 0)
