"""The Wiener filter against the norbert package, and what it has to keep."""

import pytest
import torch
from torch import Tensor

from graphmix.dsp.wiener import certainty, expectation_maximization, wiener_filter


def spectra(sources: int, channels: int, bins: int = 9, frames: int = 30, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Panned sources with powers that change from frame to frame, and disturbed estimates of them; [1, ...] each."""
    generator = torch.Generator().manual_seed(seed)
    shape = (1, sources, channels, bins, frames)
    power = torch.randn(1, sources, 1, bins, frames, generator=generator, dtype=torch.float64).exp()
    pan = torch.rand(1, sources, channels, 1, 1, generator=generator, dtype=torch.float64)
    tone = torch.randn(1, sources, 1, bins, frames, generator=generator, dtype=torch.complex128)
    return tone * power * pan, 0.3 * torch.randn(shape, generator=generator, dtype=torch.complex128)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("iterations", [1, 3])
def test_iterations_are_those_of_norbert(channels: int, iterations: int) -> None:
    norbert = pytest.importorskip("norbert")
    true, error = spectra(3, channels)
    mixture = true.sum(1)
    ours = expectation_maximization(true + error, mixture, iterations)
    y = (true + error)[0].permute(3, 2, 1, 0).numpy().copy()
    theirs, _, _ = norbert.expectation_maximization(y, mixture[0].permute(2, 1, 0).numpy().copy(), iterations)
    torch.testing.assert_close(ours[0].permute(3, 2, 1, 0), torch.from_numpy(theirs), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_gain_is_the_matrix_of_the_formula(channels: int) -> None:
    true, error = spectra(2, channels, bins=2, frames=5)
    y, x = true + error, true.sum(1)
    found = expectation_maximization(y, x, 1, epsilon=1e-12)
    for f in range(2):
        v = y[0, :, :, f].abs().square().mean(1)
        matrix = [y[0, j, :, f] @ y[0, j, :, f].mH / v[j].sum() for j in range(2)]
        for t in range(5):
            whole = sum(v[j, t] * matrix[j] for j in range(2)) + 1e-6 * torch.eye(channels)
            for j in range(2):
                expected = v[j, t] * matrix[j] @ torch.linalg.solve(whole, x[0, :, f, t])
                torch.testing.assert_close(found[0, j, :, f, t], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("level", [1e-4, 1.0, 1e3])
def test_estimates_add_up_to_the_mixture_at_any_level_and_even_if_both_channels_are_equal(
    channels: int, level: float
) -> None:
    true, error = spectra(3, 1)
    true, error = (part.expand(-1, -1, channels, -1, -1).to(torch.complex64) * level for part in (true, error))
    mixture = true.sum(1)
    found = wiener_filter(true + error, mixture, 2)
    assert found.dtype == torch.complex64
    difference = (found.sum(1) - mixture).abs().square().mean() / mixture.abs().square().mean()
    assert float(difference) < 1e-8


def test_it_brings_masked_estimates_of_panned_sources_closer() -> None:
    true, _ = spectra(3, 2, bins=40, frames=200)
    mixture = true.sum(1)
    masked = true.abs() / true.abs().sum(1, keepdim=True) * mixture[:, None]
    before, after = (
        float((found - true).abs().square().sum()) for found in (masked, wiener_filter(masked, mixture, 2))
    )
    assert after < 0.8 * before


def test_certainty_is_the_mean_of_masks_and_one_for_all_or_nothing() -> None:
    true, _ = spectra(2, 2)
    mixture = true.sum(1)
    masks = torch.stack([torch.full(mixture.shape, 0.4), torch.zeros(mixture.shape)], dim=1).double()
    torch.testing.assert_close(
        certainty(masks * mixture[:, None], mixture).flatten(), torch.tensor([0.4, 0.0]).double()
    )
    binary = (torch.rand(true.shape, generator=torch.Generator().manual_seed(0)) < 0.3) * mixture[:, None]
    torch.testing.assert_close(certainty(binary, mixture).flatten(), torch.ones(2).double())


def test_a_batch_is_its_items_and_groups_of_bins_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [spectra(2, 2, seed=seed) for seed in (1, 2)]
    estimates = torch.cat([true + error for true, error in items])
    mixture = torch.cat([true.sum(1) for true, _ in items])
    whole = wiener_filter(estimates, mixture, 2)
    monkeypatch.setattr("graphmix.dsp.wiener._VALUES_AT_ONCE", 200)
    for item in range(2):
        alone = wiener_filter(estimates[item : item + 1], mixture[item : item + 1], 2)
        torch.testing.assert_close(whole[item : item + 1], alone)


def test_silence_stays_silent_and_no_iteration_changes_nothing() -> None:
    silent = torch.zeros(1, 3, 2, 4, 5, dtype=torch.complex64)
    assert not wiener_filter(silent, silent.sum(1), 2).any()
    true, error = spectra(2, 2)
    assert torch.equal(wiener_filter(true + error, true.sum(1), 0), true + error)


def test_more_channels_than_two_are_refused() -> None:
    with pytest.raises(ValueError, match="3 channels"):
        expectation_maximization(torch.zeros(1, 1, 3, 2, 2).cfloat(), torch.zeros(1, 3, 2, 2).cfloat(), 1)
