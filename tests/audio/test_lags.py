"""Where mix and tracks lie: songs whose faults are known, to a part of a sample, and songs without any."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphmix.audio.lags import Lags, find_lags
from graphmix.audio.song import Song, load_song
from graphmix.processors.align import Align
from tests.small_song import RATE, write_song

SECONDS = 8.0
GAINS = torch.tensor([[0.7, 0.4], [0.5, 0.5], [-0.0, 0.6], [0.3, 0.2]])


def recorded(seed: int = 0) -> dict[str, Tensor]:
    """Four tracks with spectra of their own, of which the last is silent most of the time."""
    generator = torch.Generator().manual_seed(seed)
    samples = round(SECONDS * RATE)
    tracks = {}
    for row, (low, high) in enumerate([(40, 14000), (50, 900), (300, 8000), (100, 12000)]):
        spectrum = torch.fft.rfft(torch.randn(2, samples, generator=generator))
        hz = torch.fft.rfftfreq(samples, 1 / RATE)
        spectrum *= ((hz > low) & (hz < high)) / (1 + hz / 500)
        audio = torch.fft.irfft(spectrum, samples)
        if row == 3:
            audio[:, round(0.5 * RATE) :] *= 1e-4
        tracks[f"{row}.wav"] = 0.1 * audio / audio.std()
    return tracks


def moved(audio: Tensor, samples: float, polarity: float = 1.0) -> Tensor:
    values = torch.tensor([[1000 * samples / RATE, polarity]], dtype=torch.float64)
    return Align(RATE)(audio[None].double(), values)[0].float()


def song_with(
    folder: Path, late: float = 0.0, tracks: dict[int, tuple[float, float]] | None = None, noise: float = 0.0
) -> Song:
    """A mix by gains and panning of tracks that are moved, all of it late."""
    dry = recorded()
    mix = torch.zeros(2, round(SECONDS * RATE))
    for row, audio in enumerate(dry.values()):
        mix += GAINS[row][:, None] * moved(audio, *(tracks or {}).get(row, (0.0, 1.0)))
    mix = moved(mix, late) + noise * torch.randn(mix.shape, generator=torch.Generator().manual_seed(9))
    return load_song(write_song(folder, dry, mix), RATE)


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("late", [0.0, 220.0, -35.0, 12.5, 8000.3])
def test_the_whole_mix_is_late(tmp_path: Path, late: float, noise: float) -> None:
    found = find_lags(song_with(tmp_path / "song", late, noise=noise))
    assert found.mix == pytest.approx(late, abs=0.02 if noise else 2e-3)
    assert not found.tracks
    assert bool(found) == bool(late)


def test_single_tracks_lie_elsewhere_or_are_inverted(tmp_path: Path) -> None:
    found = find_lags(song_with(tmp_path / "song", 220.0, {0: (-57.25, 1.0), 2: (900.0, -1.0), 3: (0.0, -1.0)}))
    assert found.mix == pytest.approx(220, abs=2e-3)
    assert set(found.tracks) == {"0.wav", "2.wav", "3.wav"}
    assert found.tracks["0.wav"].samples == pytest.approx(-57.25, abs=0.01)
    assert found.tracks["2.wav"].samples == pytest.approx(900, abs=0.01)
    assert found.tracks["3.wav"].samples == 0
    assert [found.tracks[name].inverted for name in ("0.wav", "2.wav", "3.wav")] == [False, True, True]


def test_a_track_that_was_moved_far_is_found(tmp_path: Path) -> None:
    found = find_lags(song_with(tmp_path / "song", tracks={2: (0.8 * RATE, 1.0)}))
    assert set(found.tracks) == {"2.wav"}
    assert found.tracks["2.wav"].samples == pytest.approx(0.8 * RATE, abs=0.01)


def test_two_microphones_of_one_source_stay_where_they_are(tmp_path: Path) -> None:
    dry = recorded()
    dry["4.wav"] = moved(dry["0.wav"], 23.0) + 0.001 * torch.randn(2, round(SECONDS * RATE))
    mix = 0.5 * dry["0.wav"] + 0.4 * dry["4.wav"] + 0.5 * dry["1.wav"]
    assert not find_lags(load_song(write_song(tmp_path / "song", dry, mix), RATE))


def test_tracks_of_another_song_are_unrelated(tmp_path: Path) -> None:
    other = recorded(5)
    song = load_song(write_song(tmp_path / "song", recorded(), sum(other.values())), RATE)  # type: ignore[arg-type]
    assert find_lags(song) == Lags(related=False)


def test_silence_moves_nothing(tmp_path: Path) -> None:
    dry = recorded()
    one = {"a.wav": torch.zeros(2, round(SECONDS * RATE)), "b.wav": dry["0.wav"]}
    assert not find_lags(load_song(write_song(tmp_path / "track", one, 0.5 * dry["0.wav"]), RATE))


@pytest.mark.parametrize("name", ["reggae_try", "dr8v2", *(
    pytest.param(n, marks=pytest.mark.slow) for n in ("final_step", "inner_recreation", "pp_trip", "skiessi_c64")
)])  # fmt: skip
def test_real_songs_stay_where_they_are(shared_audio: Path, name: str) -> None:
    assert not find_lags(load_song(shared_audio / name, RATE))
