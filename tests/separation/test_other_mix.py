"""Separating with another mix of the song: where it lies, when it is used, and that stems add up as ever."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from graphmix.audio import write_audio
from graphmix.audio.files import read_info
from graphmix.separation import separate
from graphmix.separation.other_mix import place_other_mix
from tests.separation.test_run import Interrupting, samples_of, stem_files
from tests.small_separators import RATE, small_separator


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphmix.models.masks.block_separation.HOP_SECONDS", 1)


def sources(seconds: float = 3) -> Tensor:
    """Two sounds of bursts that seldom meet, [2, 2, samples]."""
    generator = torch.Generator().manual_seed(0)
    length = round(seconds * RATE)
    noise = torch.randn(2, 1, length, generator=generator)
    time = torch.arange(length) / RATE
    bursts = torch.stack([(time * 3.1 % 1 < 0.5).float(), (time * 4.3 % 1 > 0.6).float()])[:, None]
    return 0.1 * noise * bursts * torch.tensor([[[1.0], [0.6]], [[0.5], [1.0]]])


def write(path: Path, stems: Tensor, gains: list[list[float]] | None = None, late: int = 0) -> Path:
    changed = stems if gains is None else stems * torch.tensor(gains)[..., None]
    write_audio(path, torch.nn.functional.pad(changed.sum(0), (late, 0)), RATE)
    return path


CHANGE = [[0.5, 0.8], [1.6, 1.1]]


@pytest.mark.parametrize("late", [0, 300, -17])
def test_another_mix_is_used_wherever_it_lies(late: int, tmp_path: Path):
    stems = sources()
    mix, other = tmp_path / "mix.wav", tmp_path / "other.wav"
    write(mix, stems, late=max(0, -late))
    write(other, stems, CHANGE, late=max(0, late))
    placed = place_other_mix(read_info(mix), read_info(other))
    assert placed.is_related
    assert placed.lag == late
    about = separate(mix, tmp_path / "out", small_separator(), other=other).about
    assert about["two_mixes"]["used"] == about["two_mixes"]["blocks"] > 0
    assert about["two_mixes"]["after_db"] < about["two_mixes"]["before_db"] - 6
    assert "other.wav was used as well" in about["notices"][-1]
    files = [samples_of(tmp_path / "out" / stem["file"]) for stem in about["stems"].values()]
    whole = samples_of(mix)
    assert np.sqrt(np.mean(np.square(np.sum(files, axis=0) - whole))) <= 1e-6 * np.sqrt(np.mean(np.square(whole)))


@pytest.mark.parametrize("kind", ["the same", "louder", "unrelated", "silent"])
def test_a_mix_that_says_nothing_changes_nothing(kind: str, tmp_path: Path):
    stems, mix, other = sources(), tmp_path / "mix.wav", tmp_path / "other.wav"
    write(mix, stems)
    noise = 0.1 * torch.randn(2, 3 * RATE, generator=torch.Generator().manual_seed(8))
    sound = {"the same": stems.sum(0), "louder": 2 * stems.sum(0), "unrelated": noise, "silent": 0 * noise}[kind]
    write_audio(other, sound, RATE)
    separate(mix, tmp_path / "alone", small_separator())
    about = separate(mix, tmp_path / "both", small_separator(), other=other).about
    assert stem_files(tmp_path / "both") == stem_files(tmp_path / "alone")
    assert "separated without" in about["notices"][-1]


def test_mono_and_other_rates_work(tmp_path: Path):
    stems, other = sources()[:, :1], tmp_path / "other.wav"
    soundfile.write(tmp_path / "mono.wav", stems.sum(0)[0].numpy(), RATE, subtype="FLOAT")
    soundfile.write(other, (stems * torch.tensor([[[0.5]], [[1.6]]])).sum(0)[0].numpy(), RATE, subtype="FLOAT")
    about = separate(tmp_path / "mono.wav", tmp_path / "out", small_separator(), other=other).about
    assert about["two_mixes"]["used"] > 0
    high = torch.nn.functional.interpolate(sources().sum(0)[None], scale_factor=2, mode="linear")[0]
    write_audio(tmp_path / "high.wav", high, 2 * RATE)
    write(tmp_path / "mix.wav", sources())
    separate(tmp_path / "mix.wav", tmp_path / "high", small_separator(channels=1), other=tmp_path / "high.wav")


def test_an_interrupted_separation_by_two_mixes_resumes_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("graphmix.separation.run.SAVE_EVERY_SECONDS", -1.0)
    monkeypatch.setattr("graphmix.separation.run.AT_ONCE", 2)
    stems, model = sources(7), small_separator()
    mix, other = write(tmp_path / "mix.wav", stems), write(tmp_path / "other.wav", stems, CHANGE)
    whole = separate(mix, tmp_path / "whole", model, other=other)
    with pytest.raises(KeyboardInterrupt):
        separate(mix, tmp_path / "out", model, other=other, listener=Interrupting(2))
    resumed = separate(mix, tmp_path / "out", model, other=other)
    assert stem_files(tmp_path / "out") == stem_files(tmp_path / "whole")
    assert resumed.about["two_mixes"] == pytest.approx(whole.about["two_mixes"])
