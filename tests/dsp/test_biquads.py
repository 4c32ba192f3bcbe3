"""Second-order sections against SciPy's, whatever their number, length and precision."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt, sosfreqz
from torch import Tensor

from graphmix.dsp.biquad_design import SHAPES, design_bands, design_passes
from graphmix.dsp.biquad_response import section_response
from graphmix.dsp.biquads import check_stable, filter_sections, pole_radius, ring_samples

RATE = 30000


def some_sections(nodes: int, count: int) -> Tensor:
    """Bands of random shapes."""
    generator = torch.Generator().manual_seed(3)
    shape = torch.randint(len(SHAPES), (nodes, count), generator=generator)
    frequency, gain, q = torch.rand(3, nodes, count, generator=generator, dtype=torch.float64)
    return design_bands(shape, 40 * 300**frequency, 24 * gain - 12, 0.3 + 5 * q, RATE)


def as_scipy(sections: Tensor) -> NDArray[np.float64]:
    return np.insert(sections.detach().numpy(), 3, 1.0, axis=-1)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(("count", "samples"), [(1, 0), (1, 1), (3, 511), (8, 512), (2, 513), (31, 1700)])
def test_sections_are_those_of_scipy(count: int, samples: int) -> None:
    sections, audio = some_sections(2, count), noise(2, 2, samples)
    found = filter_sections(audio, sections)[0]
    assert found.shape == audio.shape
    for node in range(2 if samples else 0):  # SciPy takes no empty signal
        expected = sosfilt(as_scipy(sections[node]), audio[node].numpy(), axis=1)
        np.testing.assert_allclose(found[node].numpy(), expected, rtol=0, atol=1e-10)
    single = filter_sections(audio.float(), sections)[0]
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), found, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cut", [0, 1, 300, 512, 1000, 1300])
def test_a_signal_in_two_parts_is_the_signal_at_once(cut: int) -> None:
    sections, audio = some_sections(2, 4), noise(2, 2, 1300)
    whole, behind = filter_sections(audio, sections)
    first, state = filter_sections(audio[..., :cut], sections)
    second, end = filter_sections(audio[..., cut:], sections, state)
    torch.testing.assert_close(torch.cat([first, second], dim=-1), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(end, behind, rtol=0, atol=1e-12)


def test_gradients_of_signals_and_sections_agree_with_finite_differences() -> None:
    audio, sections = noise(2, 2, 1100).requires_grad_(), some_sections(2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, c: filter_sections(x, c)[0], (audio, sections), fast_mode=True)


@pytest.mark.parametrize("n_fft", [2, 900, 4096])
def test_the_response_is_that_of_scipy_at_the_bins(n_fft: int) -> None:
    sections = some_sections(3, 9)
    at = 2 * math.pi * np.arange(n_fft // 2 + 1) / n_fft
    for node, found in enumerate(section_response(sections, n_fft)):
        expected = sosfreqz(as_scipy(sections[node]), worN=at)[1]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-9)


def test_gradients_of_a_response_agree_with_finite_differences() -> None:
    sections = some_sections(2, 4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda c: torch.view_as_real(section_response(c, 700)), (sections,), fast_mode=True, atol=1e-4
    )


def test_a_response_with_zeros_on_the_circle_has_finite_gradients() -> None:
    """A low pass is 0 at half the sample rate, a notch at its center: nothing is divided by them."""
    shape = torch.tensor([[SHAPES.index("low_pass"), SHAPES.index("notch")]])
    sections = design_bands(shape, torch.tensor([[1000.0, 3000.0]]), torch.zeros(1, 2), torch.ones(1, 2), RATE)
    sections.requires_grad_()
    section_response(sections, 1000).abs().square().sum().backward()
    assert sections.grad is not None
    assert torch.isfinite(sections.grad).all()


@pytest.mark.parametrize("kind", ["lowpass", "highpass"])
@pytest.mark.parametrize("order", range(1, 9))
def test_passes_are_butterworths(order: int, kind: str) -> None:
    high, corner = torch.tensor([kind == "highpass"]), torch.tensor([700.0])
    sections = design_passes(high, corner, torch.tensor([math.sqrt(0.5)]), torch.tensor([order]), RATE)
    at = np.geomspace(20, 14000, 50)
    found = sosfreqz(as_scipy(sections[0]), at, fs=RATE)[1]
    expected = sosfreqz(butter(order, 700, kind, fs=RATE, output="sos"), at, fs=RATE)[1]
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_a_pole_outside_of_the_circle_is_named() -> None:
    stable, growing = some_sections(1, 2), some_sections(1, 2)
    check_stable(stable, RATE)
    angle, radius = 2 * math.pi * 1000 / RATE, 1.01
    growing[0, 1, 3:] = torch.tensor([-2 * radius * math.cos(angle), radius**2])
    with pytest.raises(ValueError, match=r"section 1 of node 0 has a pole of radius 1\.01 at 1000 Hz"):
        check_stable(growing, RATE)
    growing[0, 1, 3:] = torch.tensor([-2.5, 1.0])  # two real poles: 2 and 0.5
    with pytest.raises(ValueError, match="pole of radius 2 at 0 Hz"):
        check_stable(growing, RATE)


def test_a_ring_is_as_long_as_its_slowest_pole_takes() -> None:
    sections = some_sections(1, 1)
    sections[0, 0, 3:] = torch.tensor([-1.98 * math.cos(0.2), 0.99**2])
    assert float(pole_radius(sections)) == pytest.approx(0.99)
    impulse = torch.zeros(1, 2, 3000, dtype=torch.float64)
    impulse[..., 0] = 1
    ring = filter_sections(impulse, sections)[0].abs()
    samples = ring_samples(sections, -120.0)
    assert float(ring[..., samples:].max()) < 2e-5 * float(ring.max())
    assert float(ring[..., samples // 2 :].max()) > 1e-4 * float(ring.max())
