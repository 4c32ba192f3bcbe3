"""Estimated gradients against closed forms and autograd."""

import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.processors.perturbation import Perturbation, Perturbed, RenderRow, directions

SAMPLES = 400


def noise(rows: int = 1, seed: int = 0) -> Tensor:
    return 0.3 * torch.randn(rows, 2, SAMPLES, generator=torch.Generator().manual_seed(seed))


def as_row(effect) -> RenderRow:
    """An effect of tensors as one of arrays."""
    return lambda wave, place: effect(torch.from_numpy(wave), torch.from_numpy(place)).float().numpy()


def waveshaper(audio: Tensor, place: Tensor) -> Tensor:
    return torch.tanh((1 + 3 * place[0]) * audio) * place[1] + place[2] * audio**2


def mixer(audio: Tensor, place: Tensor) -> Tensor:
    """Linear in its parameters."""
    return sum(p * audio.roll(i, -1) for i, p in enumerate(place))


TAPS = torch.randn(2, 2, 60, generator=torch.Generator().manual_seed(3))
"""From each channel to each other one, all different."""


def room(audio: Tensor, place: Tensor) -> Tensor:
    padded = torch.nn.functional.pad(audio.double()[None], (TAPS.size(-1) - 1, 0))
    return torch.nn.functional.conv1d(padded, TAPS.double().flip(-1))[0]


def exact(effect, audio: Tensor, place: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    audio, place = audio.double().requires_grad_(), place.double().requires_grad_()
    out = torch.stack([effect(a, p) for a, p in zip(audio, place, strict=True)])
    return torch.autograd.grad((out * weight).sum(), (audio, place), allow_unused=True)


def estimated(effect, audio: Tensor, place: Tensor, weight: Tensor, coupled=False, **how) -> tuple[Tensor, Tensor]:
    audio, place = audio.clone().requires_grad_(), place.clone().requires_grad_()
    row = as_row(effect)
    perturbed = Perturbed(row, coupled, how=Perturbation(**how))

    def render() -> Tensor:
        pairs = zip(audio.detach(), place.detach(), strict=True)
        return torch.stack([torch.from_numpy(row(a.numpy(), p.double().numpy())) for a, p in pairs])

    out = perturbed(audio, place, render)
    return torch.autograd.grad((out * weight).sum(), (audio, place))


def test_the_mean_of_many_draws_is_the_gradient():
    audio, place, weight = noise(), torch.tensor([[0.3, 0.6, 0.5]]), noise(seed=1)
    wanted = exact(waveshaper, audio, place, weight)[1]
    draws = torch.stack([estimated(waveshaper, audio, place, weight, seed=s)[1] for s in range(400)])
    error = (draws.mean(0) - wanted).abs()
    assert (error < 4 * draws.std(0) / 20 + 1e-3 * wanted.abs()).all()


def test_as_many_draws_as_parameters_leave_no_noise():
    audio, place, weight = noise(), torch.tensor([[0.1, 0.9, 0.4, 0.5, 0.7]]), noise(seed=1)
    wanted = exact(mixer, audio, place, weight)[1]
    found = estimated(mixer, audio, place, weight, draws=8)[1]
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-3)


def test_steps_at_the_end_of_a_range_stay_within_it():
    def effect(audio: Tensor, place: Tensor) -> Tensor:
        assert ((place >= 0) & (place <= 1)).all()
        return place[0] * audio + (1 - place[1]) * audio

    audio, weight = noise(), noise(seed=1)
    place = torch.tensor([[0.0, 1.0]])
    found = estimated(effect, audio, place, weight, draws=2, size=0.2)[1]
    torch.testing.assert_close(found.double(), exact(effect, audio, place, weight)[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("effect", "coupled"), [(waveshaper, False), (room, True)])
def test_time_reversal_gives_the_gradient_of_the_audio(effect, coupled: bool):
    audio, place, weight = noise(), torch.tensor([[0.3, 0.6, 0.5]]), noise(seed=1)
    wanted = exact(effect, audio, place, weight)[0]
    found = estimated(effect, audio, place, weight, coupled, audio_size=1e-3)[0]
    assert (found - wanted).norm() < 1e-3 * wanted.norm()


def test_an_estimate_depends_on_nothing_but_its_own_row():
    audio, place, weight = noise(3), torch.rand(3, 3, generator=torch.Generator().manual_seed(2)), noise(3, seed=1)
    together = estimated(waveshaper, audio, place, weight)
    for i in (2, 0, 1):
        row = slice(i, i + 1)
        alone = estimated(waveshaper, audio[row], place[row], weight[row])
        assert torch.equal(alone[0], together[0][row])
        assert torch.equal(alone[1], together[1][row])


def test_no_gradient_at_the_output_is_none_at_the_input():
    found = estimated(waveshaper, noise(), torch.tensor([[0.3, 0.6, 0.5]]), torch.zeros(1, 2, SAMPLES))
    assert not found[0].any()
    assert not found[1].any()


def test_what_varies_by_itself_passes_no_gradient_to_its_audio():
    audio, place = noise().requires_grad_(), torch.full((1, 3), 0.5, requires_grad=True)
    perturbed = Perturbed(as_row(waveshaper), varies=True)
    perturbed(audio, place, lambda: audio.detach().clone()).sum().backward()
    assert audio.grad is None
    assert place.grad is not None


@pytest.mark.parametrize(("width", "draws"), [(1, 3), (3, 4), (4, 4), (6, 20)])
def test_directions_are_signs_in_orthogonal_sets(width: int, draws: int):
    signs = directions(width, draws, np.random.default_rng(0))
    assert signs.shape == (draws, width)
    assert set(signs.flatten()) <= {-1.0, 1.0}
    order = 1 << (width - 1).bit_length()
    for begin in range(0, draws - order + 1, order):
        part = signs[begin : begin + order]
        assert np.array_equal(part.T @ part, order * np.eye(width))


WRONG = [
    ({"size": 0.5}, r"size of a perturbation is 0\.5; it is a share of a range"),
    ({"audio_size": 0.0}, r"audio_size of a perturbation is 0\.0"),
    ({"draws": 0}, r"a perturbation has 0 draws"),
]


@pytest.mark.parametrize(("how", "message"), WRONG, ids=[str(how) for how, _ in WRONG])
def test_impossible_steps_are_refused(how: dict, message: str):
    with pytest.raises(GraphmixError, match=message):
        Perturbation(**how)
