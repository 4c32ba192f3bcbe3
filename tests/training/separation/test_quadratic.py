"""Losses in the features' bins equal those of estimates that are written out."""

import pytest
import torch

from graphmix.models.masks import MaskEstimator
from graphmix.training.separation.config import SeparationLoss
from graphmix.training.separation.quadratic import QuadraticForm
from graphmix.training.separation.remix import Mixtures
from graphmix.training.separation.step import SeparationStep, spectral_snr
from tests.models.masks.small_separators import REPRESENTATIONS, small_separator


def mixtures(count: int = 3, samples: int = 2000) -> Mixtures:
    stems = 0.1 * torch.randn(count, 2, 2, samples, generator=torch.Generator().manual_seed(0))
    stems[0, 1] = 0
    return Mixtures(stems.sum(dim=1), stems)


def both(model: MaskEstimator, **weights: float) -> list[dict[str, torch.Tensor]]:
    results = []
    for quadratic in (True, False):
        step = SeparationStep(model, SeparationLoss(**{"magnitude_l1": 0.0, **weights}))
        assert step.is_quadratic
        step.is_quadratic = quadratic
        model.zero_grad()
        terms = step(mixtures())
        terms["total"].backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        results.append({**{k: v.detach() for k, v in terms.items()}, "gradient": gradient})
    return results


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("mask", ["sigmoid", "softmax"])
def test_terms_and_gradients_are_those_of_written_out_estimates(representation: str, mask: str) -> None:
    model = small_separator("mask_inference", representation, mask=mask)
    fast, plain = both(model, spectral_snr=1.0, magnitude_mse=0.5)
    for name, value in plain.items():
        torch.testing.assert_close(fast[name], value, atol=2e-5, rtol=2e-3)


def test_the_snr_of_a_mask_of_one_half_is_known() -> None:
    model = small_separator("mask_inference")
    batch = mixtures()
    x = model.representation.encode(batch.mixture)
    s = model.representation.encode(batch.stems.flatten(0, 1)).unflatten(0, (3, 2))
    form = QuadraticForm.of(model.representation, x, s)
    masks = torch.full(s.shape, 0.5)
    expected = spectral_snr(0.5 * x.unsqueeze(1).expand_as(s), s, x, 1e-3)
    torch.testing.assert_close(form.snr(masks, 1e-3), expected, atol=1e-3, rtol=1e-3)
    # Of the first mixture one source is all there is and the other silent: half of it is missed, or wrongly there.
    loud = 10 * torch.log10(torch.tensor([1.001 / 0.251, 0.001 / 0.251]))
    torch.testing.assert_close(form.snr(masks, 1e-3)[0], loud, atol=1e-2, rtol=0)


def test_other_losses_take_the_plain_way() -> None:
    for weights in ({"magnitude_l1": 1.0}, {"si_sdr": 1.0}, {"spectral_snr": 1.0, "permutation_invariant": True}):
        assert not SeparationStep(small_separator("unet"), SeparationLoss.model_validate(weights)).is_quadratic
    complex_masks = small_separator("unet", mask="tanh_complex")
    step = SeparationStep(complex_masks, SeparationLoss(magnitude_l1=0, spectral_snr=1, si_sdr=1))
    assert not step.is_quadratic
    terms = step(mixtures())
    terms["total"].backward()
    assert all(bool(p.grad.isfinite().all()) for p in complex_masks.parameters() if p.grad is not None)


def test_sources_without_names_are_found_in_any_order() -> None:
    model, batch = small_separator("mask_inference"), mixtures()
    step = SeparationStep(model, SeparationLoss(permutation_invariant=True))
    other = Mixtures(batch.mixture, batch.stems.flip(1))
    torch.testing.assert_close(step(batch)["total"], step(other)["total"])


def test_deep_clustering_needs_and_trains_the_embedding() -> None:
    model = small_separator("chimera").train()
    step = SeparationStep(model, SeparationLoss(magnitude_l1=0, deep_clustering=1.0))
    step(mixtures())["total"].backward()
    assert model.clustering.linear.weight.grad.abs().sum() > 0  # type: ignore[union-attr]
    assert model.masks.linear.weight.grad is None or model.masks.linear.weight.grad.abs().sum() == 0  # type: ignore[union-attr]


def test_silent_mixtures_have_finite_losses_and_gradients() -> None:
    model = small_separator("mask_inference").train()
    silence = Mixtures(torch.zeros(2, 2, 1000), torch.zeros(2, 2, 2, 1000))
    for weights in ({"spectral_snr": 1.0}, {"magnitude_mse": 1.0}, {"magnitude_l1": 1.0}, {"si_sdr": 1.0}):
        terms = SeparationStep(model, SeparationLoss(**{"magnitude_l1": 0.0, **weights}))(silence)
        terms["total"].backward()
        assert terms["total"].abs() < 1e-3
        assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
