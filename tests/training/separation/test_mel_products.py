"""Sums over mel bands in one pass equal those of arrays that are written out."""

import pytest
import torch

from graphmix.training.separation.config import SeparationLoss
from graphmix.training.separation.mel_products import mel_products
from graphmix.training.separation.quadratic import QuadraticForm, mean_magnitude
from graphmix.training.separation.remix import COLOR_KNOTS, Mixtures, color_curves, color_frequencies
from graphmix.training.separation.step import SeparationStep
from tests.models.masks.small_separators import small_separator


def colored_mixtures(count: int = 3, samples: int = 2000) -> Mixtures:
    generator = torch.Generator().manual_seed(0)
    stems = 0.1 * torch.randn(count, 2, 2, samples, generator=generator)
    stems[0, 1] = 0
    color = 12 * torch.rand(count, 2, COLOR_KNOTS, generator=generator) - 6
    return Mixtures(stems.sum(dim=1), stems, color)


def test_all_sums_are_those_of_colored_coefficients_that_are_written_out() -> None:
    model, batch = small_separator("mask_inference", "mel"), colored_mixtures()
    bands = model.representation
    stems = bands.encode(batch.stems.flatten(0, 1)).unflatten(0, (3, 2))
    gains = color_curves(batch.color_db, bands.frequencies(model.sample_rate).float())
    found = mel_products(bands, stems, gains)  # type: ignore[arg-type]
    colored = stems.to(torch.complex128) * gains[:, :, None, :, None].double()
    mixture = colored.sum(dim=1)
    form = QuadraticForm.of(bands, mixture, colored)
    for name in ("square", "neighbor", "cross", "magnitude_cross", "energy", "mixture_energy", "scale"):
        expected = getattr(form, name).float()
        tolerance = 2e-6 * float(expected.abs().max())
        torch.testing.assert_close(getattr(found, name), expected, atol=tolerance, rtol=2e-5, msg=name)
    torch.testing.assert_close(found.features, bands.features(mixture).float(), atol=1e-7, rtol=2e-5)
    torch.testing.assert_close(found.scale, mean_magnitude(mixture).flatten(1).float())


@pytest.mark.parametrize("representation", ["mel", "stft", "constant_q"])
def test_colors_change_stems_and_mixture_alike_on_every_way(representation: str) -> None:
    model, batch = small_separator("mask_inference", representation), colored_mixtures()
    results = []
    for way in ("one pass", "quadratic", "plain"):
        step = SeparationStep(model, SeparationLoss(magnitude_l1=0, spectral_snr=1.0, magnitude_mse=0.5))
        step.in_bands = step.in_bands and way == "one pass"
        step.is_quadratic = way != "plain"
        model.zero_grad()
        terms = step(batch)
        terms["total"].backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        results.append({**{name: value.detach() for name, value in terms.items()}, "gradient": gradient})
    for other in results[:2]:
        for name, value in results[2].items():
            torch.testing.assert_close(other[name], value, atol=2e-5, rtol=2e-3)
    plain = SeparationStep(model, SeparationLoss(magnitude_l1=0, spectral_snr=1.0))
    level = plain(batch._replace(color_db=torch.full_like(batch.color_db, 6.0)))["total"]
    torch.testing.assert_close(plain(batch._replace(color_db=torch.zeros(0)))["total"], level, atol=0.05, rtol=0)


def test_a_signal_to_noise_ratio_of_audio_sees_the_colored_stems() -> None:
    model, batch = small_separator("mask_inference"), colored_mixtures(2)
    quiet = batch._replace(color_db=torch.full_like(batch.color_db, -6.0))
    step = SeparationStep(model, SeparationLoss(magnitude_l1=0, si_sdr=1.0))
    scaled = Mixtures(10**-0.3 * batch.mixture, 10**-0.3 * batch.stems)
    torch.testing.assert_close(step(quiet)["total"], step(scaled)["total"], atol=1e-4, rtol=1e-4)


def test_curves_pass_through_their_gains_and_stay_level_beyond_them() -> None:
    color = torch.tensor([[0.0, 6.0, -6.0, 3.0, 1.0, 2.0, 0.5, -4.0]])
    hertz = color_frequencies(COLOR_KNOTS)
    torch.testing.assert_close(20 * color_curves(color, hertz.float()).log10(), color, atol=1e-3, rtol=0)
    between = (hertz[1] * hertz[2]).sqrt().float()[None]
    found = 20 * color_curves(color, torch.cat((torch.tensor([0.0, 1.0]), between, torch.tensor([22050.0])))).log10()
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0, 0.0, -4.0]]), atol=1e-3, rtol=0)


def test_silence_has_no_undefined_number() -> None:
    model = small_separator("mask_inference", "mel").train()
    batch = Mixtures(torch.zeros(2, 2, 1000), torch.zeros(2, 2, 2, 1000), torch.zeros(2, 2, COLOR_KNOTS))
    terms = SeparationStep(model, SeparationLoss(magnitude_l1=0, spectral_snr=1.0, magnitude_mse=1.0))(batch)
    terms["total"].backward()
    assert terms["total"].abs() < 1e-3
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
