"""Loudness: a closed form, an independent computation in float64, and one gate over the whole of a stream."""

import math

import numpy as np
import pytest
import torch
from scipy import signal

from graphmix.audio.loudness import LOWEST_LUFS, LoudnessMeter, gated_loudness, loudness, window_powers
from graphmix.errors import SongError

# ITU-R BS.1770-4, tables 1 and 2: coefficients at 48 kHz
SHELF = ([1.53512485958697, -2.69169618940638, 1.19839281085285], [1.0, -1.69065929318241, 0.73248077421585])
LOW_CUT = ([1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621])


def reference(audio: np.ndarray) -> float:
    """The standard, step by step, of [channels, samples] at 48 kHz."""
    weighted = signal.lfilter(*LOW_CUT, signal.lfilter(*SHELF, audio))
    starts = range(0, audio.shape[1] - 19200 + 1, 4800)
    power = np.array([np.square(weighted[:, start : start + 19200]).mean(1).sum() for start in starts])
    power = power[-0.691 + 10 * np.log10(power + 1e-30) > -70]
    return float(-0.691 + 10 * np.log10(power[power > power.mean() / 10].mean()))


def sine(rate: int, seconds: float = 3.0, hz: float = 997.0) -> torch.Tensor:
    return torch.sin(2 * math.pi * hz * torch.arange(round(seconds * rate), dtype=torch.float64) / rate)[None]


def noise(seconds: float, rate: int = 48000, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, round(seconds * rate), generator=generator) * 0.1


@pytest.mark.parametrize("rate", [22050, 30000, 44100, 48000, 96000])
def test_a_sine_at_full_scale_on_one_channel_is_at_minus_three(rate):
    assert loudness(sine(rate), rate) == pytest.approx(-3.01, abs=0.03)
    assert loudness(sine(rate).expand(2, -1), rate) == pytest.approx(0.0, abs=0.03)
    assert loudness(0.01 * sine(rate), rate) == pytest.approx(-43.01, abs=0.03)


def test_music_with_pauses_equals_an_independent_computation():
    audio = noise(12.3)
    audio[:, 100_000:200_000] *= 1e-4  # a pause of hiss
    audio[:, 250_000:300_000] *= 0.2
    audio[0] *= 0.5
    assert loudness(audio, 48000) == pytest.approx(reference(audio.double().numpy()), abs=1e-9)


@pytest.mark.parametrize("sizes", [[1], [7, 4799, 4801, 19200], [30_000], [200_000, 3]])
def test_a_stream_of_blocks_equals_the_whole(sizes):
    audio = noise(6.02)
    meter, start, turn = LoudnessMeter(48000), 0, 0
    if sizes == [1]:
        audio = audio[:, :2000]
    while start < audio.size(1):
        size = sizes[turn % len(sizes)]
        meter.add(audio[:, start : start + size])
        start, turn = start + size, turn + 1
    torch.testing.assert_close(meter.loudness().item(), loudness(audio, 48000), atol=1e-9, rtol=0)


def test_hiss_between_the_parts_of_a_track_does_not_count():
    part = noise(4.0, seed=1)
    hiss = noise(26.0, seed=2) * 1e-3  # 80 dB below full scale
    whole = torch.cat([part, hiss, hiss], 1)
    assert loudness(whole, 48000) == pytest.approx(loudness(part, 48000), abs=0.3)
    blocks = [window_powers(block, 48000) for block in (torch.cat([part, hiss], 1), hiss, hiss)]
    assert float(gated_loudness(torch.cat(blocks, -1))) == pytest.approx(loudness(part, 48000), abs=0.3)


def test_tracks_are_measured_at_once_along_leading_axes():
    audio = torch.stack([noise(2.0), 0.1 * noise(2.0, seed=3), torch.zeros(2, 96000)])
    meter = LoudnessMeter(48000)
    for block in audio.split(10_000, dim=-1):
        meter.add(block)
    expected = torch.tensor([loudness(track, 48000) for track in audio], dtype=torch.float64)
    torch.testing.assert_close(meter.loudness(), expected, atol=1e-9, rtol=0)
    assert expected[2] == LOWEST_LUFS


@pytest.mark.parametrize("samples", [0, 1, 3000, 4800, 19199])
def test_silence_and_what_is_shorter_than_a_window_have_a_loudness(samples):
    assert loudness(torch.zeros(2, samples), 48000) == LOWEST_LUFS
    short = loudness(0.5 * torch.ones(2, samples), 48000)
    assert math.isfinite(short)
    if samples:
        window = torch.nn.functional.pad(sine(48000)[:, :samples], (0, 19200 - samples))
        assert loudness(sine(48000)[:, :samples], 48000) == pytest.approx(loudness(window, 48000), abs=1.5)


def test_no_block_at_all_is_silence():
    assert LoudnessMeter(48000).loudness() == LOWEST_LUFS
    assert gated_loudness(torch.zeros(3, 0)).tolist() == [LOWEST_LUFS] * 3


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(SongError, match="at 4000 Hz or more, not at 0"):
        LoudnessMeter(0)
    with pytest.raises(SongError, match=r"has shape \[5\], expected"):
        loudness(torch.zeros(5), 48000)
    meter = LoudnessMeter(48000)
    meter.add(torch.zeros(2, 10))
    with pytest.raises(SongError, match=r"shape \[1, 10\] after blocks of \[2\] channels"):
        meter.add(torch.zeros(1, 10))
