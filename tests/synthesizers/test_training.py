"""Training a network on patches: resumed, deterministic, used by a program."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from graphmix.audio import write_audio
from graphmix.cli.app import app
from graphmix.errors import GraphmixError
from graphmix.synthesizers import FM, SUBTRACTIVE
from graphmix.synthesizers.images import mel_images, patch_images
from graphmix.synthesizers.patch_set import PatchSet, write_patches
from graphmix.synthesizers.program_run import DRAWS, ProgramSettings, program_sound, propose_patches
from graphmix.synthesizers.sounds import Sound
from graphmix.synthesizers.training import (
    CHECKPOINT,
    ProgrammerTraining,
    limit_gradients,
    read_training,
    train_programmer,
)
from tests.interrupting import Interrupted, Interrupting

TINY = ProgrammerTraining(
    "joint_encoder", latent=4, steps=6, batch=8, validate_every=3, hidden=(8,), mels=16, frames=12
)


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patches(tmp_path_factory.mktemp("patches") / "p", [SUBTRACTIVE, FM], 20)


def test_images_do_not_depend_on_level_and_lie_between_0_and_1():
    audio = torch.randn(2, 44100, generator=torch.Generator().manual_seed(0)) * 0.01
    images = mel_images(audio, 32, 24)
    assert images.shape == (2, 32, 24)
    assert float(images.max()) == 1
    assert float(images.min()) >= 0
    torch.testing.assert_close(mel_images(audio * 10, 32, 24), images, rtol=1e-3, atol=1e-3)
    assert mel_images(torch.zeros(1, 44100), 32, 24).isfinite().all()


def test_sounds_are_rendered_once(patches: Path):
    training = PatchSet(patches, "train")
    sounds = patch_images(training, 16, 12)
    assert sounds.images.shape == (32, 16, 12)
    assert sounds.which.tolist() == [0] * 16 + [1] * 16
    assert torch.equal(patch_images(training, 16, 12).images, sounds.images)
    audio = training.audio(20)
    torch.testing.assert_close(mel_images(audio[None], 16, 12)[0], sounds.images[20])
    torch.testing.assert_close(sounds.vectors[20], FM.vector(FM.read(training[20])))


def test_an_interrupted_training_ends_in_the_same_numbers(
    patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("graphmix.synthesizers.training.SAVE_EVERY", 2)
    whole = train_programmer(patches, tmp_path / "whole", TINY)

    with pytest.raises(Interrupted):
        train_programmer(patches, tmp_path / "cut", TINY, listener=Interrupting(step=5))
    assert (tmp_path / "cut" / CHECKPOINT).exists()
    resumed = train_programmer(patches, tmp_path / "cut", TINY)
    assert not (tmp_path / "cut" / CHECKPOINT).exists()
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value)
    assert read_training(tmp_path / "cut")["history"] == read_training(tmp_path / "whole")["history"]
    with pytest.raises(GraphmixError, match="a training with latent = 4, not 5"):
        train_programmer(patches, tmp_path / "cut", ProgrammerTraining(**{**vars(TINY), "latent": 5}))


def test_it_proposes_patches_of_each_synthesizer(patches: Path, tmp_path: Path):
    model = train_programmer(patches, tmp_path / "m", TINY)
    audio = PatchSet(patches, "test").audio(0, 1.0)
    sound = Sound(audio, 44100, 60.0, 300.0)
    proposals = propose_patches(sound, model)
    assert {name: len(patches) for name, patches in proposals.items()} == {"subtractive": DRAWS, "fm": DRAWS}
    for values in proposals["fm"]:
        FM.patch(values)
    assert proposals["subtractive"][-1].keys() == SUBTRACTIVE.defaults().keys()
    assert propose_patches(sound, model) == proposals
    assert propose_patches(sound, model, seed=1)["fm"][1:] != proposals["fm"][1:]
    for name, (guess,) in propose_patches(sound, model, 1, seed=1).items():
        assert guess == pytest.approx(proposals[name][0])


def test_commands_train_and_use_it(patches: Path, tmp_path: Path):
    out = str(tmp_path / "programmer")
    result = CliRunner().invoke(app, ["train-programmer", str(patches), "-o", out, "--steps", "2", "--latent", "3"])
    assert result.exit_code == 0, result.output
    assert "weights for subtractive, fm" in result.output
    write_audio(tmp_path / "note.wav", PatchSet(patches, "test").audio(0, 0.5).expand(2, -1), 44100)
    command = ["program", str(tmp_path / "note.wav"), "-o", str(tmp_path / "patch"), "--synth", "fm", "--steps", "0"]
    result = CliRunner().invoke(app, [*command, "--candidates", "1", "--model", out, "--no-plots", "--no-report"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(app, ["train-programmer", str(patches), "-o", out, "--design", "odd"])
    assert result.exit_code != 0


def test_too_few_patches_are_refused(tmp_path: Path):
    folder = write_patches(tmp_path / "p", [FM], 3)
    with pytest.raises(GraphmixError, match="has no patches in the validation split"):
        train_programmer(folder, tmp_path / "m", TINY)


def test_a_damaged_checkpoint_and_impossible_settings_are_refused(patches: Path, tmp_path: Path):
    with pytest.raises(GraphmixError, match="latent"):
        train_programmer(patches, tmp_path / "m", ProgrammerTraining(**{**vars(TINY), "latent": 5000}))
    with pytest.raises(GraphmixError, match="steps, batch, validate_every"):
        train_programmer(patches, tmp_path / "m", ProgrammerTraining(**{**vars(TINY), "steps": 0}))
    assert not (tmp_path / "m").exists()

    with pytest.raises(Interrupted):
        train_programmer(patches, tmp_path / "m", TINY, listener=Interrupting(phase="training"))
    (tmp_path / "m" / CHECKPOINT).write_bytes(b"\0" * 100)
    with pytest.raises(GraphmixError, match=r"checkpoint\.safetensors is damaged .*delete it to begin again"):
        train_programmer(patches, tmp_path / "m", TINY)


def test_a_network_for_other_parameters_is_refused_before_anything_is_written(patches: Path, tmp_path: Path):
    from graphmix.models.synthesizers import Programmer, ProgrammerConfig, save_programmer

    write_audio(tmp_path / "note.wav", PatchSet(patches, "test").audio(0, 0.5).expand(2, -1), 44100)
    small = Programmer(ProgrammerConfig(sizes={"fm": (1, 3)}, mels=16, frames=12, hidden=(4,)))
    cases = {
        save_programmer(small, tmp_path / "small.safetensors"): "trained for another 'fm' than this graphmix has",
        tmp_path / "missing.safetensors": "is not a file: check the name",
    }
    for model, message in cases.items():
        with pytest.raises(GraphmixError, match=message):
            program_sound(tmp_path / "note.wav", tmp_path / "out", ProgramSettings("fm", 1, 0), model=model)
    model = train_programmer(patches, tmp_path / "m", TINY, ["fm"])
    assert model.names == ("fm",)
    with pytest.raises(GraphmixError, match="knows fm, and none of: subtractive"):
        program_sound(
            tmp_path / "note.wav", tmp_path / "out", ProgramSettings("subtractive", 1, 0), model=tmp_path / "m"
        )
    for settings, message in (
        (ProgramSettings(pitch=200.0), "MIDI note"),
        (ProgramSettings(length_ms=1e9), "down for"),
    ):
        with pytest.raises(GraphmixError, match=message):
            program_sound(tmp_path / "note.wav", tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_a_training_on_sounds_learns_from_them(patches: Path, tmp_path: Path):
    with_sound = ProgrammerTraining(**{**vars(TINY), "audio_steps": 2, "audio_batch": 2, "audio_seconds": 0.2})
    model = train_programmer(patches, tmp_path / "sound", with_sound)
    plain = train_programmer(patches, tmp_path / "plain", TINY)
    weights = zip(model.state_dict().values(), plain.state_dict().values(), strict=True)
    assert any(not torch.equal(a, b) for a, b in weights)
    assert all(value.isfinite().all() for value in model.state_dict().values())
    with pytest.raises(GraphmixError, match="audio_steps is 9; it is from 0 to the 6 steps"):
        train_programmer(patches, tmp_path / "m", ProgrammerTraining(**{**vars(TINY), "audio_steps": 9}))


def test_values_that_many_patches_share_are_learned_as_such(patches: Path, tmp_path: Path):
    model = train_programmer(patches, tmp_path / "m", TINY)
    numbers = [p.name for p in FM.parameters]
    common = dict(zip(numbers, model.config.common["fm"], strict=True))
    assert 0.0 in common["op1.feedback"]
    assert common["algorithm"] == ()
    plain = train_programmer(patches, tmp_path / "plain", ProgrammerTraining(**{**vars(TINY), "common": 0.0}))
    assert plain.config.common == {}
    assert sum(p.numel() for p in plain.parameters()) < sum(p.numel() for p in model.parameters())
    with pytest.raises(GraphmixError, match=r"common is 2\.0; it is a share, from 0 to 1"):
        train_programmer(patches, tmp_path / "refused", ProgrammerTraining(**{**vars(TINY), "common": 2.0}))


def test_gradients_of_a_sound_are_shortened_and_left_out_where_they_are_no_numbers():
    gradients = torch.tensor([[3.0, 4.0], [0.3, 0.4], [torch.nan, 1.0], [0.0, 0.0]])
    limited = limit_gradients(gradients, 1.0)
    torch.testing.assert_close(limited, torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0], [0.0, 0.0]]))
