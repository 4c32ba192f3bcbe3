"""Encoders: seconds, means over time, frozen statistics."""

import pytest
import torch
from torch import Tensor

from graphmix.models.config import EncoderConfig
from graphmix.models.encoders import Encoder, ResidualEncoder, StatisticsEncoder, VGGish, build_encoder, split_seconds
from graphmix.models.features import LEVELS, SILENCE

ENCODERS = {"vggish": VGGish, "residual": ResidualEncoder}
MELS = 32


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return build_encoder(EncoderConfig(kind=request.param, width=2, embedding=5), MELS).eval()


def features(tracks: int, frames: int, seed: int = 0) -> Tensor:
    return torch.randn(tracks, 2, frames, MELS, generator=torch.Generator().manual_seed(seed))


def test_the_kind_is_what_was_asked_for() -> None:
    for kind, expected in {**ENCODERS, "statistics": StatisticsEncoder}.items():
        assert type(build_encoder(EncoderConfig(kind=kind), 64)) is expected


@pytest.mark.parametrize(("frames", "seconds"), [(1, 1), (101, 1), (149, 1), (151, 2), (381, 4)])
def test_a_spectrogram_is_cut_into_seconds(frames: int, seconds: int) -> None:
    spectrogram = features(3, frames)
    parts = split_seconds(spectrogram)
    assert parts.shape == (3, seconds, 2, 100, MELS)
    kept = min(frames, 100 * seconds)
    whole = parts.transpose(1, 2).flatten(2, 3)
    assert torch.equal(whole[:, :, :kept], spectrogram[:, :, :kept])
    assert (whole[:, :, kept:] == SILENCE).all()


def test_an_embedding_is_the_mean_over_the_seconds(encoder: Encoder) -> None:
    spectrogram = features(2, 300)
    apart = torch.stack([encoder(second) for second in spectrogram.split(100, dim=2)]).mean(0)
    assert torch.allclose(encoder(spectrogram), apart, atol=1e-5)


def test_songs_of_any_length_share_a_pass(encoder: Encoder) -> None:
    songs = [features(2, 100), features(0, 100), features(1, 250)]
    together = encoder.encode(songs)
    assert [own.shape for own in together] == [(2, 5), (0, 5), (1, 5)]
    for own, song in zip(together, songs, strict=True):
        assert torch.allclose(own, encoder(song), atol=1e-5)


def test_statistics_learn_in_training_and_stay_in_evaluation(encoder: Encoder) -> None:
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder(features(4, 100))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    encoder.train()(features(4, 100))
    assert any(not torch.equal(v, before[n]) for n, v in encoder.state_dict().items() if "running_mean" in n)


def test_gradients_reach_every_weight(encoder: Encoder) -> None:
    encoder.train()(features(4, 200)).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in encoder.parameters())
    assert all(bool((p.grad != 0).any()) for p in encoder.parameters() if p.grad is not None and p.dim() == 4)


def test_where_in_the_spectrum_something_lies_is_seen(encoder: Encoder) -> None:
    low, high = torch.full((2, 1, 2, 100, MELS), SILENCE)
    low[..., 4], high[..., 24] = 1.0, 1.0
    assert not torch.allclose(encoder(low), encoder(high), atol=1e-4)


def test_an_excerpt_has_one_embedding_of_its_levels() -> None:
    encoder = build_encoder(EncoderConfig(kind="statistics", width=2, embedding=5), MELS)
    songs = [torch.randn(2, 2, LEVELS, MELS + 1), torch.randn(0, 2, LEVELS, MELS + 1)]
    together = encoder.encode(songs)
    assert [own.shape for own in together] == [(2, 5), (0, 5)]
    assert torch.allclose(together[0][1:], encoder(songs[0][1:]), atol=1e-6)
    assert encoder.encode([]) == []
    together[0].sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in encoder.parameters())
