"""Mix-Wave-U-Net: its inputs are fixed in number and order, and it makes sound, not graphs."""

import pytest
import torch
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.models.mixing.stems import Stems
from graphmix.models.mixing.waveunet import MixWaveUNet, MixWaveUNetConfig

SMALL = MixWaveUNetConfig(tracks=3, levels=3, width=4, down_taps=5, up_taps=3)


def stems(tracks: int, samples: int = 3000, sample_rate: int = 30000, seed: int = 1) -> Stems:
    audio = 0.3 * torch.randn(tracks, 2, samples, generator=torch.Generator().manual_seed(seed))
    return Stems(audio, tuple(f"track {i}" for i in range(tracks)), sample_rate)


def trained(config: MixWaveUNetConfig = SMALL) -> MixWaveUNet:
    """Random weights everywhere."""
    model = MixWaveUNet(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))
    return model.eval()


@pytest.mark.parametrize("tracks", [1, 2, 3])
def test_untrained_it_is_the_sum_of_its_inputs(tracks: int) -> None:
    song = stems(tracks)
    torch.testing.assert_close(MixWaveUNet(SMALL).mix(song), song.audio.sum(0))


def test_missing_tracks_are_silence() -> None:
    model, song = trained(), stems(2)
    full = Stems(torch.cat([song.audio, torch.zeros(1, 2, 3000)]), ("a", "b", "c"), 30000)
    torch.testing.assert_close(model.mix(song), model.mix(full))


def test_further_tracks_are_cut_or_summed() -> None:
    song = stems(5)
    torch.testing.assert_close(MixWaveUNet(SMALL).mix(song), song.audio[:3].sum(0))
    summing = MixWaveUNet(SMALL.model_copy(update={"excess": "sum"}))
    torch.testing.assert_close(summing.mix(song), song.audio.sum(0))


def test_the_order_of_the_tracks_matters() -> None:
    model, song = trained(), stems(3)
    assert not torch.allclose(model.mix(song), model.mix(song.permuted([1, 0, 2])), atol=1e-3)


@pytest.mark.parametrize("samples", [1, 7, 8, 1001])
def test_any_length_is_kept(samples: int) -> None:
    mix = trained().mix(stems(3, samples))
    assert mix.shape == (2, samples)
    assert torch.isfinite(mix).all()


@torch.no_grad()
@pytest.mark.parametrize("samples", [2000, 2003])
def test_blocks_are_the_whole(samples: int) -> None:
    model = trained(SMALL.model_copy(update={"block_seconds": 0.01}))
    song = stems(3, samples)
    by_blocks = model.mix(song)
    whole: Tensor = model.transform(model.inputs(song.audio)[None])[0]
    torch.testing.assert_close(by_blocks, whole, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_nothing_beyond_its_reach_matters() -> None:
    model = trained()
    audio = torch.zeros(1, 3, 2, 4000)
    other = audio.clone()
    other[..., 2000] = 1.0
    changed = (model.transform(audio) != model.transform(other)).any(1)[0].nonzero().flatten()
    assert changed.numel() > 0
    assert 2000 - model.reach <= int(changed.min())
    assert int(changed.max()) <= 2000 + model.reach


def test_gradients_reach_all_weights_once_the_last_layer_has_some() -> None:
    model, song = trained().train(), stems(3)
    model.mix(song).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_gradient_descent_finds_a_gain() -> None:
    torch.manual_seed(0)
    model, song = MixWaveUNet(SMALL), stems(3, 2048)
    target = (song.audio * torch.tensor([0.5, 1.5, 0.1])[:, None, None]).sum(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(100):
        loss = (model.mix(song) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]


def test_stems_of_another_rate_are_resampled() -> None:
    assert trained().mix(stems(2, 4800, 48000)).shape == (2, 3000)


def test_it_proposes_no_graph() -> None:
    model = MixWaveUNet(SMALL)
    with pytest.raises(GraphmixError, match="the model 'waveunet' proposes no graph; call its method mix"):
        model(stems(2))
    with pytest.raises(GraphmixError, match="has no heads"):
        model.outputs([stems(2)])
