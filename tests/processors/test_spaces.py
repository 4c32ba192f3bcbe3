"""Echoes and rooms: closed forms, decays that are measured, and geometry by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfilt
from torch import Tensor

from graphmix.dsp.feedback_network import hadamard, line_responses, sampled_responses
from graphmix.errors import GraphError
from graphmix.processors.spaces import (
    LISTENER,
    SOUND_M_PER_S,
    SOURCE,
    Convolution,
    EarlyReflections,
    FeedbackDelay,
    FeedbackNetwork,
    VelvetReverb,
    velvet_noise,
)
from tests.random_parameters import params

RATE = 30000


def impulse(left: float, right: float, samples: int) -> Tensor:
    audio = torch.zeros(1, 2, samples, dtype=torch.float64)
    audio[0, :, 0] = torch.tensor([left, right])
    return audio


def test_echoes_come_after_multiples_of_the_time_and_sum_to_the_feedback() -> None:
    """The loop's filters pass their sum: the gain of all of them at 0 Hz, which the low cut takes away."""
    delay = FeedbackDelay(RATE)
    output = delay(impulse(1, 0.5, 2000), params(delay, time_ms=[5.0, 10.0], feedback=0.5))[0]
    assert output[0].nonzero()[0] == 150
    assert output[1].nonzero()[0] == 300
    assert float(output[0, 150]) == pytest.approx(1)
    pole = math.exp(-2 * math.pi * 8000 / RATE)
    low = 1 - math.exp(-2 * math.pi * 20 / RATE)
    assert float(output[0, 300]) == pytest.approx(0.5 * (1 - pole) * (1 - low), rel=1e-9)


def test_ping_pong_alternates_between_left_and_right() -> None:
    delay = FeedbackDelay(RATE)
    output = delay(impulse(1, 1, 1000), params(delay, time_ms=5.0, feedback=0.6, cross=1.0))[0]
    energy = output.square()[:, 100:700].unflatten(1, (4, 150)).sum(-1)  # around 150, 300, 450 and 600
    left = energy[0] > energy[1]
    assert left.tolist() == [True, False, True, False]
    assert float(energy.amin()) < 1e-12


# --- network


def network(lengths: list[int], low: float, high: float) -> tuple[Tensor, ...]:
    m = torch.tensor(lengths)
    gains = low ** m.double(), high ** m.double()
    filters = torch.stack([(gains[0] + gains[1]) / 2, (gains[0] - gains[1]) / 2, 0 * gains[0]], -1)[None]
    return filters, torch.full((len(m),), 0.5, dtype=torch.float64), hadamard(len(m)), m


def test_the_recursion_is_the_transfer_function_sampled_in_frequency() -> None:
    given = network([7, 11, 13, 17], 0.97, 0.9)
    n_fft = 4000  # 0.97 ** 4000 is nothing
    expected = sampled_responses(*given, n_fft)
    torch.testing.assert_close(torch.fft.rfft(line_responses(*given, n_fft)), expected, atol=1e-10, rtol=0)


def test_gradients_of_the_recursion_agree_with_finite_differences() -> None:
    filters, *fixed = network([3, 4, 5, 7], 0.95, 0.9)
    filters = (filters + torch.tensor([0.0, 0.0, -0.2])).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: line_responses(f, *fixed, 40), (filters,))


def test_sampling_in_frequency_is_aliasing_in_time_as_loud_as_the_decay_says() -> None:
    """At a decay of 1.5 s a second of FFT aliases at -40 dB, and two seconds at -80 dB."""
    reverb = FeedbackNetwork(3000)
    values = params(reverb, decay_s=1.5, crossover_hz=1000.0)
    for seconds in (1, 2):
        n_fft = 3000 * seconds
        circle = torch.fft.irfft(reverb.sampled(values, n_fft), n_fft)
        exact = reverb._taps(values)[..., :n_fft]
        error = 10 * math.log10(float((circle - exact).square().sum() / exact.square().sum()))
        assert error == pytest.approx(-40 * seconds, abs=6)


def slope_db_per_s(taps: Tensor, rate: int) -> float:
    """Of the energy that is still to come (Schroeder 1965), from 0.1 to 0.6 s."""
    left = taps.square().sum(0).flip(0).cumsum(0).flip(0).log10() * 10
    return float(left[round(0.6 * rate)] - left[round(0.1 * rate)]) / 0.5


def band(taps: Tensor, low: float, high: float) -> Tensor:
    sections = butter(4, [low, high], "bandpass", fs=RATE, output="sos")
    return torch.from_numpy(sosfilt(sections, taps.numpy()))


@pytest.mark.parametrize("kind", [FeedbackNetwork, VelvetReverb])
def test_lows_and_highs_decay_in_the_times_that_are_set(kind: type[FeedbackNetwork | VelvetReverb]) -> None:
    reverb = kind(RATE)
    taps = reverb.impulse_response(params(reverb, decay_s=[1.2, 0.5], crossover_hz=1500.0))[0]
    assert slope_db_per_s(band(taps, 50, 300), RATE) == pytest.approx(-60 / 1.2, rel=0.12)
    assert slope_db_per_s(band(taps, 9000, 14000), RATE) == pytest.approx(-60 / 0.5, rel=0.12)


def test_velvet_noise_has_one_impulse_a_slot() -> None:
    noise = velvet_noise(44100)
    assert set(np.unique(noise)) == {-1.0, 0.0, 1.0}
    counts = np.abs(noise).sum(1)
    assert (np.abs(counts - 4410) <= 1).all()
    assert abs(noise.sum(1)).max() < 4 * math.sqrt(4410)


# --- early reflections


def test_the_first_reflection_of_a_room_comes_from_its_nearest_wall() -> None:
    reflections = EarlyReflections(RATE)
    size = np.array([7.0, 9.0, 3.0])
    taps = reflections.impulse_response(params(reflections, size_m=size, reflection=0.8))[0]
    source, listener = (np.array(place) * size for place in (SOURCE, LISTENER))
    mirrored = []
    for axis in range(3):
        for wall in (0, size[axis]):
            image = source.copy()
            image[axis] = 2 * wall - image[axis]
            mirrored.append(np.linalg.norm(image - listener))
    late = (min(mirrored) - np.linalg.norm(source - listener)) / SOUND_M_PER_S
    begin, end = reflections.extent
    assert taps.size(1) == begin + 1 + end
    loud = (taps.abs() > 0.5 * taps.abs().max()).any(0).nonzero().flatten()
    assert (int(loud[0]) - begin) / RATE == pytest.approx(late, abs=2 / RATE)


def test_the_gradient_finds_the_size_of_a_room() -> None:
    reflections = EarlyReflections(3000)
    target = reflections.response(params(reflections, size_m=[6.3, 8.0, 3.1]), 1280)
    weight = torch.exp(-torch.arange(target.size(-1)) / 60)  # from the lowest frequencies up, where phases do not wrap
    size = torch.tensor([[5.9, 8.4, 3.0]], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([size], lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        values = torch.cat([size, torch.full((1, 1), 0.7, dtype=torch.float64)], 1)
        (weight * (reflections.response(values, 1280) - target).abs().square()).sum().backward()
        optimizer.step()
    assert size.detach()[0].tolist() == pytest.approx([6.3, 8.0, 3.1], abs=0.05)


# --- the user's response


def test_a_response_of_the_users_is_convolved() -> None:
    taps = torch.randn(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    room = Convolution(taps, "hall", sample_rate=RATE)
    audio = torch.randn(1, 2, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = np.stack([np.convolve(a, t)[:200] for a, t in zip(audio[0].numpy(), taps.numpy(), strict=True)])
    found = room(audio, params(room, gain_db=6.0206))[0].numpy()
    np.testing.assert_allclose(found, 2 * expected, rtol=1e-4)


def test_a_response_at_another_rate_keeps_its_frequency_response() -> None:
    seconds = torch.arange(2048, dtype=torch.float64) / 48000
    taps = (torch.exp(-200 * seconds) * torch.sin(2 * math.pi * 700 * seconds))[None]
    own, other = Convolution(taps, "ring", sample_rate=48000), Convolution(taps, "ring", "", RATE, 48000)
    at = [round(700 * n / rate) for n, rate in ((48000, 48000), (30000, RATE))]
    first = own.response(params(own), 48000)[0, 0, at[0]]
    second = other.response(params(other), 30000)[0, 0, at[1]]
    assert abs(complex(second)) == pytest.approx(abs(complex(first)), rel=1e-3)
    assert torch.equal(other.at_rate(48000).taps, own.taps)


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        (torch.zeros(2, 0), r"'hall\.wav 1' has no samples; give one that has"),
        (torch.zeros(1, 9), r"'hall\.wav 1' is silent or not finite"),
        (torch.full((1, 9), torch.nan), "silent or not finite"),
        (torch.zeros(3, 9), r"an impulse response is \[1 or 2 channels, samples\]; this one is \[3, 9\]"),
    ],
)
def test_what_is_no_impulse_response_is_refused(taps: Tensor, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        Convolution(taps, "hall", source="hall.wav 1")
