"""Transforms against torch.fft, gradients against finite differences, lengths against brute force."""

import pytest
import torch

from graphmix.dsp.fft import good_length, irfft, parseval_weights, place, rfft

LENGTHS = [8, 9, 30, 45]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def spectrum(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex128, requires_grad=True)


@pytest.mark.parametrize("n_fft", LENGTHS)
@pytest.mark.parametrize("padding", [0, 3])
def test_rfft_is_torchs_in_value_and_gradient(n_fft: int, padding: int) -> None:
    signal, weights = noise(2, 3, n_fft - padding), spectrum(2, 3, n_fft // 2 + 1).detach()
    mine, theirs = rfft(signal, n_fft), torch.fft.rfft(signal, n=n_fft)
    torch.testing.assert_close(mine, theirs)
    gradients = [torch.autograd.grad((y * weights).abs().square().sum(), signal)[0] for y in (mine, theirs)]
    torch.testing.assert_close(*gradients)
    assert torch.autograd.gradcheck(lambda x: rfft(x, n_fft), signal)


@pytest.mark.parametrize("n_fft", LENGTHS)
@pytest.mark.parametrize("cut", [0, 3])
def test_irfft_is_torchs_in_value_and_gradient(n_fft: int, cut: int) -> None:
    bins, length = spectrum(2, n_fft // 2 + 1), n_fft - cut
    mine, theirs = irfft(bins, n_fft, length), torch.fft.irfft(bins, n=n_fft)[..., :length]
    torch.testing.assert_close(mine, theirs)
    weights = torch.randn(2, length, dtype=torch.float64)
    gradients = [torch.autograd.grad((y * weights).square().sum(), bins)[0] for y in (mine, theirs)]
    inner = slice(1, (n_fft + 1) // 2)
    torch.testing.assert_close(gradients[0][:, inner], gradients[1][:, inner])
    torch.testing.assert_close(gradients[0].real, gradients[1].real)


@pytest.mark.parametrize("n_fft", LENGTHS)
def test_there_and_back_is_the_identity_with_the_gradient_of_the_identity(n_fft: int) -> None:
    signal = noise(2, n_fft - 2)
    back = irfft(rfft(signal, n_fft), n_fft, n_fft - 2)
    torch.testing.assert_close(back, signal)
    assert torch.autograd.gradcheck(lambda x: irfft(rfft(x, n_fft), n_fft, n_fft - 2), signal)


def test_a_signal_longer_than_the_transform_is_refused() -> None:
    with pytest.raises(ValueError, match="has 9 samples, more than n_fft = 8"):
        rfft(torch.zeros(9), 8)


def test_good_length_is_the_smallest_5_smooth_number_that_is_even_and_a_multiple_of_64_where_long() -> None:
    smooth = sorted(2**a * 3**b * 5**c for a in range(1, 14) for b in range(9) for c in range(6))
    for minimum in range(1, 5500):
        multiple = 64 if minimum > 4096 else 2
        assert good_length(minimum) == next(n for n in smooth if n >= minimum and n % multiple == 0)


@pytest.mark.parametrize("n_fft", LENGTHS)
def test_energies_of_spectra_are_energies_of_signals(n_fft: int) -> None:
    signal = noise(4, n_fft).detach()
    energy = (parseval_weights(n_fft) * rfft(signal, n_fft).abs().square()).sum(-1)
    torch.testing.assert_close(energy, signal.square().sum(-1))


def test_a_placed_response_convolves_around_its_center() -> None:
    taps = torch.tensor([1.0, 2.0, 3.0])  # at times -1, 0, 1
    assert place(taps, 1, 6).tolist() == [2, 3, 0, 0, 0, 1]
    impulse = torch.tensor([0.0, 0, 1, 0])
    result = irfft(rfft(impulse, 6) * rfft(place(taps, 1, 6), 6), 6, 4)
    torch.testing.assert_close(result, torch.tensor([0.0, 1, 2, 3]))


def test_a_response_longer_than_the_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="7 taps do not fit into n_fft = 6"):
        place(torch.zeros(7), 0, 6)


@pytest.mark.parametrize("n_fft", LENGTHS)
@pytest.mark.parametrize("start", [1, 2, 3])
def test_what_lies_before_time_zero_is_the_end_of_the_circle(n_fft: int, start: int) -> None:
    signal, length = noise(2, n_fft - 1), n_fft - 1
    circle = torch.nn.functional.pad(signal, (0, 1)).roll(-start, -1)
    mine = rfft(signal, n_fft, start)
    torch.testing.assert_close(mine, torch.fft.rfft(circle))
    torch.testing.assert_close(irfft(mine, n_fft, length, start), signal)
    assert torch.autograd.gradcheck(lambda x: rfft(x, n_fft, start), signal)
    assert torch.autograd.gradcheck(lambda x: irfft(rfft(x, n_fft, 1), n_fft, length - 2, start), signal)


@pytest.mark.parametrize("start", [0, 2])
def test_the_gradient_of_irfft_is_the_same_wherever_its_samples_start(start: int) -> None:
    bins, weights = spectrum(2, 6), torch.randn(2, 7, dtype=torch.float64)
    (mine,) = torch.autograd.grad((irfft(bins, 10, 7, start) * weights).square().sum(), bins)
    theirs = torch.fft.irfft(bins, n=10).roll(start, -1)[..., :7]
    (expected,) = torch.autograd.grad((theirs * weights).square().sum(), bins)
    torch.testing.assert_close(mine[:, 1:5], expected[:, 1:5])
    torch.testing.assert_close(mine.real, expected.real)
