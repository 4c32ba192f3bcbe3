"""Separating from file to folder: stems that add up, any length and rate, resuming, and bad input."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from graphmix.audio import load_song, write_audio
from graphmix.audio.files import write_audio_blocks
from graphmix.errors import GraphmixError, RunError, SongError
from graphmix.progress import Silent
from graphmix.separation import find_mix, separate
from tests.small_separators import RATE, small_separator


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two seconds, a half of them shared, two of them at once."""
    monkeypatch.setattr("graphmix.models.masks.block_separation.HOP_SECONDS", 1)
    monkeypatch.setattr("graphmix.separation.run.AT_ONCE", 2)


def write_mix(path: Path, samples: int = 3 * RATE, rate: int = RATE, channels: int = 2, level: float = 0.1) -> Path:
    noise = torch.randn(channels, samples, generator=torch.Generator().manual_seed(0))
    write_audio(path, level * noise, rate)
    return path


def samples_of(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def stem_files(folder: Path) -> dict[str, bytes]:
    """Samples of the stems; the files themselves hold the time at which they were written."""
    return {path.name: samples_of(path).tobytes() for path in sorted((folder / "stems").iterdir())}


@pytest.mark.parametrize(
    ("samples", "rate", "channels", "level"),
    [
        (800, 8000, 2, 0.1),
        (1, 8000, 2, 0.1),
        (5 * 8000 + 17, 8000, 1, 0.1),
        (7 * 11025, 11025, 2, 3.0),
        (3 * 6000 + 1, 6000, 2, 1e-4),
        (2 * 44100 + 5, 44100, 2, 0.1),
    ],
)
@pytest.mark.parametrize("iterations", [0, 2])
def test_written_stems_add_up_to_the_mix(
    samples: int, rate: int, channels: int, level: float, iterations: int, tmp_path: Path
):
    mix = write_mix(tmp_path / "mix.wav", samples, rate, channels, level)
    separated = separate(mix, tmp_path / "out", small_separator(), iterations=iterations)
    assert list(separated.about["stems"]) == ["vocals", "drums", "rest"]
    original = samples_of(mix)
    np.testing.assert_array_equal(samples_of(tmp_path / "out" / "mix.wav"), original)
    stems = [samples_of(tmp_path / "out" / stem["file"]) for stem in separated.about["stems"].values()]
    assert all(stem.shape == original.shape for stem in stems)
    error = np.sqrt(np.mean(np.square(np.sum(stems, axis=0) - original)))  # in float32, as a mixer adds
    assert error <= 1e-6 * np.sqrt(np.mean(np.square(original)))
    assert float(np.abs(stems[0]).max()) > 0


def test_files_too_long_for_wav_are_written_as_rf64_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("graphmix.audio.files.LARGEST_WAV", 1000)
    mix = write_mix(tmp_path / "mix.wav")
    assert soundfile.info(mix).format == "RF64"
    separated = separate(mix, tmp_path / "out", small_separator())
    files = [tmp_path / "out" / stem["file"] for stem in separated.about["stems"].values()]
    assert {soundfile.info(file).format for file in files} == {"RF64"}
    np.testing.assert_allclose(sum(samples_of(file) for file in files), samples_of(mix), atol=1e-6)
    assert load_song(tmp_path / "out", RATE).num_samples == 3 * RATE


@pytest.mark.slow
def test_133_minutes_are_separated_in_the_memory_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()  # blocks of usual length
    count, block, generator = 133 * 60 * RATE, 1 << 20, torch.Generator().manual_seed(0)
    parts = [min(block, count - begin) for begin in range(0, count, block)]
    noise = (0.1 * torch.randn(1, part, generator=generator) for part in parts)
    write_audio_blocks(tmp_path / "mix.wav", noise, RATE, 1, count)
    status = Path("/proc/self/status")
    before = resident_megabytes(status)
    separated = separate(tmp_path / "mix.wav", tmp_path / "out", small_separator())
    assert resident_megabytes(status) < before + 250, "the mix alone has 255 MB"
    files = [tmp_path / "out" / stem["file"] for stem in separated.about["stems"].values()]
    for begin in (0, count // 2 - 7, count - 100_000):
        parts = [soundfile.read(file, 100_000, begin, dtype="float32")[0] for file in files]
        mix = soundfile.read(tmp_path / "mix.wav", 100_000, begin, dtype="float32")[0]
        assert np.sqrt(np.mean(np.square(sum(parts) - mix))) < 1e-7


def resident_megabytes(status: Path) -> float:
    """Largest resident set so far; 0 where the system does not say."""
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def test_the_output_is_a_song_that_mining_takes(tmp_path: Path):
    separate(write_mix(tmp_path / "song.wav"), tmp_path / "out", small_separator())
    song = load_song(tmp_path / "out", RATE)
    assert song.name == "song"
    assert sorted(song.track_names) == ["drums.wav", "rest.wav", "vocals.wav"]
    assert set(song.subgroups) == {"vocals", "drums", "rest"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "mix.wav", "run.json", "separation.json", "song.json", "stems",
    ]  # fmt: skip


def test_chosen_sources_become_stems_and_all_else_the_rest(tmp_path: Path):
    mix = write_mix(tmp_path / "mix.wav")
    every = separate(mix, tmp_path / "every", small_separator())
    one = separate(mix, tmp_path / "one", small_separator(), sources=["drums"])
    assert list(one.about["stems"]) == ["drums", "rest"]
    found = {name: samples_of(every.folder / stem["file"]) for name, stem in every.about["stems"].items()}
    np.testing.assert_allclose(samples_of(one.folder / "stems/drums.wav"), found["drums"])
    np.testing.assert_allclose(
        samples_of(one.folder / "stems/rest.wav"), found["vocals"] + found["rest"], rtol=1e-4, atol=1e-6
    )


class Interrupting(Silent):
    """Stops a run as Ctrl-C does, after so many reports."""

    def __init__(self, after: int) -> None:
        self.left = after

    def progress(self, done: int, total: int | None = None, **numbers: float) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [0, 1, 2, 4])
@pytest.mark.parametrize("rate", [RATE, 11025])
def test_an_interrupted_separation_resumes_to_the_same_files(
    after: int, rate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("graphmix.separation.run.SAVE_EVERY_SECONDS", -1.0)
    mix, model = write_mix(tmp_path / "mix.wav", 9 * rate + 3, rate), small_separator()
    separate(mix, tmp_path / "whole", model)
    with pytest.raises(KeyboardInterrupt):
        separate(mix, tmp_path / "out", model, listener=Interrupting(after))
    assert not (tmp_path / "out" / "separation.json").exists()
    assert not separate(mix, tmp_path / "out", model).already_done
    assert stem_files(tmp_path / "out") == stem_files(tmp_path / "whole")
    assert separate(mix, tmp_path / "out", model).already_done


def test_a_damaged_checkpoint_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("graphmix.separation.run.SAVE_EVERY_SECONDS", -1.0)
    mix, model = write_mix(tmp_path / "mix.wav", 9 * RATE), small_separator()
    separate(mix, tmp_path / "whole", model)
    with pytest.raises(KeyboardInterrupt):
        separate(mix, tmp_path / "out", model, listener=Interrupting(2))
    (tmp_path / "out" / "unfinished" / "checkpoint.safetensors").write_bytes(b"damaged")
    separate(mix, tmp_path / "out", model)
    assert stem_files(tmp_path / "out") == stem_files(tmp_path / "whole")


def test_other_settings_and_foreign_folders_need_force(tmp_path: Path):
    mix, model = write_mix(tmp_path / "mix.wav"), small_separator()
    separate(mix, tmp_path / "out", model)
    with pytest.raises(RunError, match="iterations = 0, not 2"):
        separate(mix, tmp_path / "out", model, iterations=2)
    with pytest.raises(RunError, match="model = "):
        separate(mix, tmp_path / "out", small_separator(seed=1))
    with pytest.raises(RunError, match="another mix"):
        separate(write_mix(tmp_path / "other.wav", RATE), tmp_path / "out", model)
    assert not separate(mix, tmp_path / "out", model, sources=["drums"], force=True).already_done
    assert sorted(path.name for path in (tmp_path / "out" / "stems").iterdir()) == ["drums.wav", "rest.wav"]
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "letter.txt").write_text("mine")
    with pytest.raises(RunError, match="holds something else"):
        separate(mix, foreign, model)
    separate(mix, foreign, model, force=True)
    assert (foreign / "letter.txt").read_text() == "mine"


def test_the_mix_is_never_replaced_by_its_copy(tmp_path: Path):
    mix = write_mix(tmp_path / "mix.wav")
    before = mix.read_bytes()
    with pytest.raises(RunError, match="choose another output folder"):
        separate(mix, tmp_path, small_separator(), force=True)
    assert mix.read_bytes() == before


def test_bad_input_is_one_clear_line(tmp_path: Path):
    mix, model, out = write_mix(tmp_path / "mix.wav"), small_separator(), tmp_path / "out"
    with pytest.raises(GraphmixError, match="no source 'piano'; this separator has: vocals, drums"):
        separate(mix, out, model, sources=["piano"])
    with pytest.raises(GraphmixError, match="iterations is -1"):
        separate(mix, out, model, iterations=-1)
    with pytest.raises(GraphmixError, match="no separator 'nothing'"):
        separate(mix, out, "nothing")
    with pytest.raises(SongError, match="does not exist"):
        separate(tmp_path / "none.wav", out, model)
    write_audio(tmp_path / "silent.wav", torch.zeros(2, RATE), RATE)
    with pytest.raises(SongError, match="is silent"):
        separate(tmp_path / "silent.wav", out, model)
    assert not any(out.iterdir())
    nan = np.full((RATE, 2), np.nan, dtype=np.float32)
    soundfile.write(tmp_path / "nan.wav", nan, RATE, subtype="FLOAT")
    with pytest.raises(SongError, match="not finite numbers"):
        separate(tmp_path / "nan.wav", out, model)


def test_what_is_done_to_other_rates_and_channels_is_said(tmp_path: Path):
    stereo = separate(write_mix(tmp_path / "a.wav", rate=11025), tmp_path / "a", small_separator())
    assert "11025 Hz" in stereo.about["notices"][0]
    assert "above 4 kHz stays in the rest" in stereo.about["notices"][0]
    mono = separate(write_mix(tmp_path / "b.wav", channels=1), tmp_path / "b", small_separator())
    assert mono.about["notices"] == [
        "The mix is mono and the separator was trained on stereo: it is given two equal channels."
    ]
    sides = separate(write_mix(tmp_path / "c.wav"), tmp_path / "c", small_separator(channels=1))
    assert "left and right are separated each for itself" in sides.about["notices"][0]


def test_what_lies_above_the_band_is_in_the_rest(tmp_path: Path):
    rate = 32000
    time = torch.arange(2 * rate) / rate
    tone = 0.1 * torch.sin(2 * torch.pi * 9000 * time).expand(2, -1)
    write_audio(tmp_path / "tone.wav", tone, rate)
    about = separate(tmp_path / "tone.wav", tmp_path / "out", small_separator()).about
    assert about["stems"]["rest"]["share_of_energy"] == pytest.approx(1, abs=1e-3)


def test_a_mix_is_found_in_a_song_and_in_a_folder_with_one_file(tmp_path: Path):
    (tmp_path / "alone").mkdir()
    write_mix(tmp_path / "alone" / "take.wav")
    assert find_mix(tmp_path / "alone")[0].path.name == "take.wav"
    separate(tmp_path / "alone", tmp_path / "out", small_separator())
    info, name = find_mix(tmp_path / "out")
    assert (info.path.name, name) == ("mix.wav", "alone")
    write_mix(tmp_path / "alone" / "second.wav")
    with pytest.raises(SongError, match="name the file itself"):
        find_mix(tmp_path / "alone")
