"""Muted stretches: found where the tracks go on and the mix does not, and nowhere else."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphmix.audio import load_song
from graphmix.search.mutes import BLOCK, Mutes, find_mutes
from tests.small_song import RATE, dry_tracks, write_song


def mutes_of(folder: Path, gain: Tensor) -> Mutes:
    """Mutes of the small song, whose mix is the sum times a gain over time."""
    tracks = dry_tracks()
    return find_mutes(load_song(write_song(folder, tracks, 0.5 * sum(tracks.values()) * gain), RATE))


@pytest.fixture
def samples() -> int:
    return dry_tracks()["1_drum.wav"].size(1)


def test_a_mute_is_found_to_the_block(tmp_path, samples):
    gain = torch.ones(samples)
    first, last = 20 * BLOCK, 60 * BLOCK
    gain[first:last] = 0
    muted = mutes_of(tmp_path / "song", gain).muted
    assert muted is not None
    assert muted[20:60].all()
    assert not muted[:12].any()
    assert not muted[68:].any()


def test_a_fade_counts_from_where_it_is_half_as_loud(tmp_path, samples):
    gain = (2 - 2.2 * torch.arange(samples) / samples).clamp(0, 1)
    muted = mutes_of(tmp_path / "song", gain).muted
    assert muted is not None
    begins = int(muted.nonzero()[0]) * BLOCK / samples
    assert begins == pytest.approx(1.5 / 2.2, abs=0.1)
    assert muted[-4:].all()


def test_a_steady_mix_has_no_mutes_and_masks_nothing(tmp_path, samples):
    mutes = mutes_of(tmp_path / "song", torch.full((samples,), 0.3))
    assert mutes.muted is None
    assert mutes.sounding(0, 1000) is None
    assert mutes.sounding_frames(0, 5000, 2048, 512, centered=True) is None


def test_frames_that_touch_a_muted_sample_are_left_out():
    mutes = Mutes(1.0, torch.tensor([False, False, True, False, False, False]))
    sounding = mutes.sounding(0, 6 * BLOCK)
    assert sounding is not None
    assert sounding.view(6, BLOCK).all(1).tolist() == [True, True, False, True, True, True]
    assert mutes.sounding(3 * BLOCK, 2 * BLOCK) is None
    frames = mutes.sounding_frames(0, 6 * BLOCK, 2 * BLOCK, BLOCK, centered=False)
    assert frames is not None
    assert frames.tolist() == [True, False, False, True, True]
    spectrogram = torch.stft(
        torch.zeros(6 * BLOCK), 2 * BLOCK, BLOCK, window=torch.ones(2 * BLOCK), return_complex=True
    )
    centered = mutes.sounding_frames(0, 6 * BLOCK, 2 * BLOCK, BLOCK, centered=True)
    assert centered is not None
    assert centered.numel() == spectrogram.size(-1)
