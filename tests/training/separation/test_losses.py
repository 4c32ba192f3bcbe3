"""Losses against closed forms, established libraries and slow versions."""

from itertools import permutations

import fast_bss_eval
import pytest
import torch
from torch import Tensor

from graphmix.training.separation.losses import (
    deep_clustering,
    dominant_source,
    is_audible,
    magnitude_loss,
    permutation_invariant,
    si_sdr,
    snr_of_products,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_si_sdr_is_that_of_fast_bss_eval() -> None:
    target, noise = draw(5, 4000), draw(5, 4000, seed=1)
    estimate = 0.3 * target + torch.tensor([0.001, 0.1, 1.0, 5.0, 30.0], dtype=torch.float64)[:, None] * noise
    theirs = fast_bss_eval.si_sdr(target[:, None], estimate[:, None], zero_mean=False, clamp_db=200)
    torch.testing.assert_close(si_sdr(estimate, target, eps=0.0), theirs[:, 0], atol=1e-4, rtol=1e-4)


def test_si_sdr_has_its_closed_form_and_no_scale() -> None:
    target = torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    error = torch.tensor([[0.0, 0.1, 0.0, 0.0]], dtype=torch.float64)
    assert float(si_sdr(target + error, target)) == pytest.approx(20.0, abs=1e-4)
    assert float(si_sdr(-7 * (target + error), target)) == pytest.approx(20.0, abs=1e-4)
    assert float(si_sdr(target, target, eps=1e-3)) == pytest.approx(30.0, abs=0.01)


def test_si_sdr_of_complex_numbers_is_that_of_their_parts() -> None:
    a, b = torch.complex(draw(3, 50), draw(3, 50, seed=1)), torch.complex(draw(3, 50, seed=2), draw(3, 50, seed=3))
    parts = si_sdr(torch.view_as_real(a).flatten(1), torch.view_as_real(b).flatten(1))
    torch.testing.assert_close(si_sdr(a, b), parts)


def test_losses_of_a_batch_are_those_of_its_items_and_zero_for_what_is_right() -> None:
    a, b = torch.complex(draw(3, 2, 50), draw(3, 2, 50, seed=1)), torch.complex(draw(3, 2, 50, seed=2), draw(3, 2, 50))
    for power in (1, 2):
        each = torch.cat([magnitude_loss(x[None], y[None], power) for x, y in zip(a, b, strict=True)])
        torch.testing.assert_close(magnitude_loss(a, b, power), each)
        error = (a.abs() - b.abs()).abs() ** power
        torch.testing.assert_close(magnitude_loss(a, b, power), error.mean(dim=(1, 2)))
        assert magnitude_loss(a, a, power).max() < 1e-9


def test_gradients_are_finite_for_silence() -> None:
    for loss in (magnitude_loss, si_sdr):
        estimate = torch.zeros(2, 30, dtype=torch.complex128, requires_grad=True)
        loss(estimate, torch.zeros(2, 30, dtype=torch.complex128)).sum().backward()
        assert estimate.grad is not None
        assert torch.view_as_real(estimate.grad).isfinite().all()


def test_gradients_are_those_of_finite_differences() -> None:
    target = draw(2, 3, 8, seed=1)
    assert torch.autograd.gradcheck(lambda x: si_sdr(x, target, eps=1e-3), draw(2, 3, 8).requires_grad_())
    assert torch.autograd.gradcheck(lambda x: magnitude_loss(x, target, 2), draw(2, 3, 8).requires_grad_())
    labels = torch.nn.functional.one_hot(torch.arange(12) % 3, 3).double().expand(2, 12, 3)
    assert torch.autograd.gradcheck(lambda v: deep_clustering(v, labels), draw(2, 12, 4).requires_grad_())


def test_signal_to_noise_ratio_counts_levels_and_silent_targets() -> None:
    def ratio(estimate: Tensor, target: Tensor, floor: float) -> float:
        products = (x.sum() for x in (estimate * estimate, estimate * target, target * target))
        return float(snr_of_products(*products, torch.tensor(floor)))

    s, n = draw(500), draw(500, seed=1)
    expected = 10 * torch.log10(s.square().sum() / (0.5 * s + n - s).square().sum())
    assert ratio(0.5 * s + n, s, 0.0) == pytest.approx(float(expected))
    assert ratio(s, s, float(s.square().sum()) / 999) == pytest.approx(30.0)
    assert ratio(torch.zeros(500).double(), torch.zeros(500).double(), 1.0) == 0
    assert ratio(n, 0 * s, float(n.square().sum()) / 99) == pytest.approx(-20.0)


def test_only_what_sounds_is_audible() -> None:
    assert is_audible(torch.stack((torch.zeros(100), torch.full((100,), 1e-4), torch.full((100,), 1e-3)))).tolist() == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("sources", [1, 2, 3, 4])
def test_permutation_invariance_finds_the_order_that_a_loop_finds(sources: int) -> None:
    targets = draw(3, sources, 20)
    order = torch.stack([torch.randperm(sources, generator=torch.Generator().manual_seed(i)) for i in range(3)])
    estimates = torch.stack([t[o] for t, o in zip(targets, order, strict=True)]) + 0.1 * draw(3, sources, 20, seed=5)
    loss, found = permutation_invariant(magnitude_loss, estimates, targets)
    for n in range(3):
        slow = min(
            sum(float(magnitude_loss(estimates[n, p[j]][None], targets[n, j][None])) for j in range(sources)) / sources
            for p in permutations(range(sources))
        )
        assert float(loss[n]) == pytest.approx(slow)
        torch.testing.assert_close(order[n][found[n]], torch.arange(sources))


def test_deep_clustering_is_the_distance_of_the_affinity_matrices() -> None:
    v = torch.nn.functional.normalize(draw(2, 30, 5), dim=-1)
    y = torch.nn.functional.one_hot(torch.arange(30) % 3, 3).double().expand(2, 30, 3)
    slow = (v @ v.mT - y @ y.mT).square().sum(dim=(1, 2)) / 30**2
    torch.testing.assert_close(deep_clustering(v, y), slow)
    w = draw(2, 30, seed=3).abs()
    root = w.sqrt()[..., None]
    slow = ((v * root) @ (v * root).mT - (y * root) @ (y * root).mT).square().sum(dim=(1, 2)) / w.sum(dim=1) ** 2
    torch.testing.assert_close(deep_clustering(v, y, w), slow)
    assert deep_clustering(y.clone(), y).abs().max() < 1e-12


def test_the_loudest_source_stands_in_the_order_of_embeddings() -> None:
    magnitudes = torch.rand(2, 3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    best, weights = dominant_source(magnitudes)
    assert best.shape == (2, 5 * 2 * 4, 3)
    for n, frame, channel, b in ((0, 0, 0, 0), (1, 3, 1, 2), (0, 4, 1, 3)):
        row = frame * 8 + channel * 4 + b
        assert int(best[n, row].argmax()) == int(magnitudes[n, :, channel, b, frame].argmax())
        share = magnitudes[n, :, channel, b, frame].sum() / magnitudes[n].sum()
        assert float(weights[n, row]) == pytest.approx(float(share), rel=1e-5)
