"""Laws that all separators obey, on all representations."""

import pytest
import torch

from graphmix.errors import GraphmixError
from graphmix.models.masks import build_separator
from graphmix.models.masks.heads import activate_masks
from tests.models.masks.small_separators import NETWORKS, RATE, REPRESENTATIONS, small_separator

EVERY = [(model, representation) for model in NETWORKS for representation in REPRESENTATIONS]
MASKED = [name for name in NETWORKS if name != "open_unmix"]


def noise(samples: int, mixtures: int = 2, channels: int = 2) -> torch.Tensor:
    return 0.1 * torch.randn(mixtures, channels, samples, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("model", "representation"), EVERY)
def test_shapes_and_ranges(model: str, representation: str) -> None:
    separator = small_separator(model, representation)
    for samples in (1, 500, 1777):
        audio = noise(samples)
        output = separator(audio)
        frames, bins = output.mixture.size(-1), separator.representation.bins
        assert output.mixture.shape == (2, 2, bins, frames)
        assert output.masks.shape == (2, 2, 2, bins, frames)
        assert output.masks.min() >= 0
        assert output.masks.max() <= 1
        assert output.estimates.shape == output.masks.shape
        assert separator.separate(audio).shape == (2, 2, 2, samples)
    if model == "chimera":
        assert output.embedding is not None
        assert output.embedding.shape == (2, frames * 2 * separator.representation.feature_bins, 4)
        torch.testing.assert_close(output.embedding.norm(dim=-1), torch.ones(output.embedding.shape[:2]))
    else:
        assert output.embedding is None


@pytest.mark.parametrize(("model", "representation"), EVERY)
def test_a_batch_equals_a_loop_over_its_mixtures(model: str, representation: str) -> None:
    separator, audio = small_separator(model, representation), noise(900, mixtures=3)
    alone = torch.cat([separator.separate(row[None]) for row in audio])
    torch.testing.assert_close(separator.separate(audio), alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("model", NETWORKS)
def test_silence_stays_silent_with_finite_gradients(model: str) -> None:
    for separator in (small_separator(model), small_separator(model).train()):
        audio = torch.zeros(2, 2, 800, requires_grad=True)
        stems = separator.separate(audio)
        assert stems.abs().max() == 0
        stems.square().sum().backward()
        assert audio.grad is not None
        assert audio.grad.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in separator.parameters())


@pytest.mark.parametrize("model", MASKED)
def test_softmax_masks_add_up_to_one_so_that_sources_add_up_to_the_mixture(model: str) -> None:
    separator, audio = small_separator(model, mask="softmax"), noise(1000)
    torch.testing.assert_close(separator(audio).masks.sum(dim=1), torch.ones(2, 2, 65, 33), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(separator.separate(audio).sum(dim=1), audio, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("model", MASKED)
def test_complex_masks_have_parts_between_minus_one_and_one(model: str) -> None:
    masks = small_separator(model, mask="tanh_complex")(noise(700)).masks
    assert masks.is_complex()
    assert torch.view_as_real(masks).abs().max() <= 1


def test_activations_are_their_closed_forms() -> None:
    values = torch.randn(2, 4, 1, 3, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(activate_masks(values, "sigmoid"), 1 / (1 + (-values).exp()))
    torch.testing.assert_close(activate_masks(values, "softmax"), values.exp() / values.exp().sum(dim=1, keepdim=True))
    complex_masks = activate_masks(values, "tanh_complex")
    torch.testing.assert_close(complex_masks, torch.complex(values[:, :2].tanh(), values[:, 2:].tanh()))


@pytest.mark.parametrize("model", NETWORKS)
def test_every_weight_gets_a_gradient(model: str) -> None:
    separator = small_separator(model).train()
    output = separator(noise(2000))
    loss = output.estimates.abs().square().sum()
    if output.embedding is not None:
        loss = loss + (output.embedding[:, ::2] * output.embedding[:, 1::2]).sum()
    loss.backward()
    assert [name for name, p in separator.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("model", NETWORKS)
def test_mono(model: str) -> None:
    assert small_separator(model, channels=1).separate(noise(600, channels=1)).shape == (2, 2, 1, 600)


def test_instance_norm_makes_masks_independent_of_the_level() -> None:
    separator, audio = small_separator("mask_inference", normalization="instance"), noise(3000)
    torch.testing.assert_close(separator(audio).masks, separator(3 * audio).masks, atol=2e-3, rtol=0)


def test_one_direction_does_not_look_ahead() -> None:
    recurrent = {"hidden": 6, "layers": 2, "bidirectional": False}
    separator, audio = small_separator("mask_inference", recurrent=recurrent), noise(2048)
    changed = audio.clone()
    changed[..., 1500:] = 0
    frames = (1500 - 64) // 32  # whose window ends before the change
    torch.testing.assert_close(separator(changed).masks[..., :frames], separator(audio).masks[..., :frames])
    assert not torch.equal(separator(changed).masks, separator(audio).masks)


def test_bins_above_the_bandwidth_are_not_looked_at() -> None:
    separator, audio = small_separator("open_unmix"), noise(2048)
    high = 0.1 * torch.sin(2 * torch.pi * 3800 / RATE * torch.arange(2048))
    low = 0.1 * torch.sin(2 * torch.pi * 1000 / RATE * torch.arange(2048))
    inside = slice(4, -4)  # away from the ends, where the sine begins and spreads
    moved = (separator(audio + high).masks - separator(audio).masks)[..., inside].abs().mean()
    assert moved < 0.02 * (separator(audio + low).masks - separator(audio).masks)[..., inside].abs().mean()


def test_bad_configurations_and_audio_are_said() -> None:
    with pytest.raises(GraphmixError, match=r"expected \[mixtures, 2, samples\]"):
        small_separator("unet")(torch.zeros(1, 1, 100))
    with pytest.raises(GraphmixError, match="there is no separator 'magic'"):
        build_separator({"model": "magic"})
    with pytest.raises(GraphmixError, match="two sources are called 'a'"):
        build_separator({"model": "unet", "sources": ["a", "a"]})
    with pytest.raises(GraphmixError, match="overlap by half"):
        build_separator({"model": "unet", "representation": {"kind": "stft", "n_fft": 64, "hop": 64}})
    with pytest.raises(GraphmixError, match="100 bands do not fit into 65 bins"):
        small_separator("band_split", bands=100)
    with pytest.raises(GraphmixError, match="'depth' is unknown"):
        build_separator({"model": "unet", "depth": 3})
