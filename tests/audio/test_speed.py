"""A mix at another speed than its tracks: files read at another rate, clocks that drift apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly
from torch import Tensor

from graphmix.audio import load_song
from graphmix.audio.alignment import find_faults
from graphmix.audio.lags import find_lags
from graphmix.audio.speed import find_drift, find_rate_mixup
from graphmix.errors import SearchError
from graphmix.search.alignment import find_alignment
from tests.small_song import RATE, write_song

SECONDS = 24.0


def tracks() -> dict[str, Tensor]:
    """Noise in bursts, and noise that swells: unlike each other at any lag."""
    generator = torch.Generator().manual_seed(3)
    samples = round(SECONDS * RATE)
    time = torch.arange(samples) / RATE
    noise = 0.2 * torch.randn(3, 1, samples, generator=generator)
    shapes = (torch.exp(-6 * (time % 0.5)), 0.5 + 0.5 * torch.sin(2 * time), (time % 3 < 1).float())
    return {f"{i}.wav": (noise[i] * shape).expand(2, -1) for i, shape in enumerate(shapes)}


def late_by(audio: Tensor, ppm: float) -> Tensor:
    """Played by a clock that is slower by so many millionths."""
    place = np.arange(audio.size(-1))
    stretched = [np.interp(place / (1 + 1e-6 * ppm), place, row) for row in audio.numpy()]
    return torch.from_numpy(np.stack(stretched)).float()


@pytest.mark.parametrize("ppm", [60.0, -200.0])
def test_clocks_that_drift_apart_are_measured(ppm: float) -> None:
    dry = tracks()
    mix = late_by(torch.stack(list(dry.values())).sum(0), ppm)
    low = [audio[0, ::4].numpy() for audio in dry.values()]
    assert find_drift(np.stack(low), mix[0, ::4].numpy(), RATE / 4) == pytest.approx(ppm, rel=0.25)


def test_a_mix_at_the_speed_of_its_tracks_is_nothing_to_speak_of(tmp_path: Path) -> None:
    dry = tracks()
    song = load_song(write_song(tmp_path / "song", dry, torch.stack(list(dry.values())).sum(0)), RATE)
    assert find_lags(song).drift_ppm == 0
    assert find_faults(song) == []


def test_drift_is_said_by_check_and_by_a_search(tmp_path: Path) -> None:
    dry = tracks()
    mix = late_by(torch.stack(list(dry.values())).sum(0), 100.0)
    song = load_song(write_song(tmp_path / "song", dry, mix), RATE)
    (finding,) = (finding for finding in find_faults(song) if finding.kind == "speed")
    assert "millionths longer" in finding.text
    assert find_alignment(song).describe()["drift_ppm"] == pytest.approx(100, rel=0.25)


@pytest.mark.parametrize(("own", "read_as"), [(44100, 48000), (48000, 44100)])
def test_a_file_read_at_another_rate_is_recognized(tmp_path: Path, own: int, read_as: int) -> None:
    dry = tracks()
    mix = torch.stack(list(dry.values())).sum(0)
    stretched = resample_poly(mix.numpy(), read_as, own, axis=1)[:, : mix.size(1)]
    stretched = np.pad(stretched, ((0, 0), (0, mix.size(1) - stretched.shape[1])))
    song = load_song(write_song(tmp_path / "song", dry, torch.from_numpy(stretched).float()), RATE)
    (finding,) = find_faults(song)
    assert finding.kind == "speed"
    assert "differ by a factor" in finding.text
    with pytest.raises(SearchError, match="differ by a factor of"):
        find_alignment(song)


def test_unrelated_sounds_are_no_mixup() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 3, 20000)).astype(np.float32)
    assert find_rate_mixup(one, other[0]) is None
    assert find_drift(one, other[0], 1000.0) == 0
