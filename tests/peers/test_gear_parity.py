"""Filters and compressors against GRAFX 0.6, dasp-pytorch 0.0.1 and torchcomp, where they have the same equation."""

import math

import pytest
import torch
from torch import Tensor, nn

from graphmix.dsp.biquad_design import SHAPES, design_bands, design_state_variable
from graphmix.processors import Rack, RecursiveFilter
from graphmix.processors.compressors import SMOOTHING

RATE = 44100
RACK = Rack.full(RATE)


def noise(samples: int = 8000) -> Tensor:
    """Noise that goes on and off, in double precision."""
    audio = torch.randn(2, 2, samples, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return 0.3 * audio * (0.05 + 0.95 * (torch.arange(samples) // 700 % 2))


def row_of(name: str, **values: float | list[float]) -> Tensor:
    """One node's values, the same for two of them."""
    own = [values.get(p.name, p.neutral) for p in RACK[name].node_type.parameters]
    columns = [
        torch.as_tensor(value, dtype=torch.float64).expand(p.size)
        for value, p in zip(own, RACK[name].node_type.parameters, strict=True)
    ]
    return torch.cat(columns)[None].expand(2, -1)


GRAFX_FILTERS = {
    "low_pass": ("LowPassFilter", -1.0),  # inverted there
    "high_pass": ("HighPassFilter", 1.0),
    "band_pass": ("BandPassFilter", 1.0),
    "notch": ("BandRejectFilter", 1.0),
    "all_pass": ("AllPassFilter", 1.0),
    "bell": ("PeakingFilter", 1.0),
    "low_shelf": ("LowShelf", 1.0),
    "high_shelf": ("HighShelf", 1.0),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_sections_are_those_of_grafx(shape: str) -> None:
    filters = pytest.importorskip("grafx.processors.filter", reason="the peers come with the extra `bench`")
    name, sign = GRAFX_FILTERS[shape]
    kind = getattr(filters, name)
    frequency, q, gain = (torch.tensor([values], dtype=torch.float64) for values in ([90.0, 4000], [0.6, 3], [-7.0, 9]))
    angle = 2 * math.pi * frequency / RATE
    base = filters.BaseParametricFilter.compute_common_filter_parameters(angle, 1 / q)
    a = (10 ** (gain / 40),) if shape in ("bell", "low_shelf", "high_shelf") else ()
    numerator, denominator = kind.get_biquad_coefficients(*base, *a)
    ours = design_bands(torch.full((1, 2), SHAPES.index(shape)), frequency, gain, q, RATE)
    scale = denominator[..., :1]
    torch.testing.assert_close(ours[..., :3], sign * numerator / scale, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(ours[..., 3:], denominator[..., 1:] / scale, rtol=1e-9, atol=1e-12)


def test_the_state_variable_filter_is_that_of_grafx() -> None:
    """Its band pass has the gain Q at its center, ours 0 dB."""
    filters = pytest.importorskip("grafx.processors.filter", reason="the peers come with the extra `bench`")
    frequency, q, low, band, high = (torch.tensor([x], dtype=torch.float64) for x in (700.0, 2.5, 0.4, -1.2, 0.9))
    g = (math.pi * frequency / RATE).tan()
    numbers = filters.StateVariableFilter.get_biquad_coefficients(1 / q, g, high, band / q, low)
    ours = design_state_variable(frequency, q, low, band, high, RATE)
    theirs = torch.cat([numbers[0], numbers[1][..., 1:]], dim=-1) / numbers[1][..., :1]
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


class Sections(nn.Module):
    """In the place of a peer's recursion: what it is given."""

    def forward(self, audio: Tensor, numerator: Tensor, denominator: Tensor) -> Tensor:
        """Keep the numbers, and pass the signal."""
        self.numbers = numerator, denominator
        return audio


def test_gain_zeros_and_angles_of_poles_are_those_of_grafx() -> None:
    """It draws poles to the unit disk by tanh, but not the last number of the section: no stable filter."""
    filters = pytest.importorskip("grafx.processors.filter", reason="the peers come with the extra `bench`")
    hertz, widths = torch.tensor([300.0, 900, 3000, 7000]), torch.tensor([50.0, 200, 900, 2000])
    params = row_of("pole_zero", zero_hz=hertz.flip(0).tolist(), zero_bandwidth_hz=widths.flip(0).tolist(), gain_db=6.0,
                    pole_hz=hertz.tolist(), pole_bandwidth_hz=widths.tolist())  # fmt: skip
    processor = RACK["pole_zero"]
    assert isinstance(processor, RecursiveFilter)
    ours = processor.sections(params)[0]

    def points(own: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        return torch.exp(-math.pi * width.double() / RATE), 2 * math.pi * own.double() / RATE

    zero, pole = points(hertz.flip(0), widths.flip(0)), points(hertz, widths)
    raw = [torch.view_as_real(torch.polar(*own))[None] for own in ((pole[0].atanh(), pole[1]), zero)]
    peer = filters.PoleZeroFilter(4, backend="lfilter")
    peer.biquad = Sections()
    gain = peer(torch.ones(1, 1, 1, dtype=torch.float64), torch.tensor([[6 / 20 * math.log(10)]]).double(), *raw)
    numerator, denominator = (numbers[0] for numbers in peer.biquad.numbers)
    numerator[0] *= gain.flatten()
    torch.testing.assert_close(ours[:, :3], numerator, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(ours[:, 3], denominator[:, 1], rtol=1e-4, atol=1e-4)  # it divides by r + 1e-5
    torch.testing.assert_close(pole[0].atanh().square(), denominator[:, 2])


def test_the_parametric_equalizer_is_that_of_dasp() -> None:
    """Low shelf, four bells, high shelf; its response is sampled at twice the length."""
    dasp = pytest.importorskip("dasp_pytorch.functional", reason="the peers come with the extra `bench`")
    hertz, gains, qs = [100.0, 300, 900, 2500, 6000, 9000], [6.0, -4, 5, -8, 3, 7], [0.7, 1.5, 2, 1, 3, 0.7]
    shapes = ["low_shelf", *["bell"] * 4, "high_shelf"]
    params = row_of(
        "parametric_eq",
        shape=[*(float(SHAPES.index(s)) for s in shapes), 5.0, 5.0],
        frequency_hz=[*hertz, 1000.0, 1000.0],
        gain_db=[*gains, 0.0, 0.0],
        q=[*qs, 1.0, 1.0],
    )
    settings = [torch.full((4, 1, 1), float(x)) for own in zip(gains, hertz, qs, strict=True) for x in own]
    audio = noise()
    theirs = dasp.parametric_eq(audio.float().reshape(4, 1, -1), RATE, *settings).view_as(audio)
    error = (RACK["parametric_eq"](audio, params) - theirs).abs().max() / theirs.abs().max()
    assert float(error) < 1e-3  # single precision at 100 Hz


def test_the_compressor_is_that_of_dasp_with_one_time() -> None:
    """It smooths the gain in dB by its attack alone, each channel apart; a time there is that to 90 % from 10 %."""
    dasp = pytest.importorskip("dasp_pytorch.functional", reason="the peers come with the extra `bench`")
    audio, ms = noise(), 12.0
    given = [torch.full((4, 1, 1), x, dtype=torch.float64) for x in (-24.0, 4.0, ms, 100.0, 6.0, 3.0)]
    theirs = dasp.compressor(audio.reshape(4, 1, -1), RATE, *given).view_as(audio)
    params = row_of(
        "studio_compressor", threshold_db=-24.0, ratio=4.0, knee_db=6.0, makeup_db=3.0, listen=1.0,
        attack_ms=ms / math.log(9), release_ms=ms / math.log(9),
    )  # fmt: skip
    ours = RACK["studio_compressor"](audio, params)
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 2e-3  # a floor of 1e-8 in the energy or the level


def test_the_gain_of_a_compressor_is_that_of_torchcomp() -> None:
    """Attack and release on the gain as a factor; no knee there, the narrowest here."""
    torchcomp = pytest.importorskip("torchcomp", reason="the peers come with the extra `bench`")
    audio = noise()
    audio[:, 1] = audio[:, 0]
    level = audio[:, 0].abs().clamp(min=1e-6)
    attack, release = (1 - math.exp(-1000 / (ms * RATE)) for ms in (3.0, 60.0))
    theirs = torchcomp.compexp_gain(level, -24.0, 4.0, -200.0, 0.5, attack, release)
    params = row_of(
        "studio_compressor", threshold_db=-24.0, ratio=4.0, knee_db=0.1, attack_ms=3.0, release_ms=60.0,
        smoothing=float(SMOOTHING.index("gain")),
    )  # fmt: skip
    ones = RACK["studio_compressor"](audio, params)[:, 0] / audio[:, 0]
    torch.testing.assert_close(ones, theirs, rtol=2e-3, atol=2e-3)


def test_the_gain_of_an_expander_is_that_of_torchcomp() -> None:
    """Its attack is that of a falling gain, ours that of one that rises."""
    torchcomp = pytest.importorskip("torchcomp", reason="the peers come with the extra `bench`")
    audio = noise()
    audio[:, 1] = audio[:, 0]
    level = audio[:, 0].abs().clamp(min=1e-3)
    audio = torch.where(audio.abs() < 1e-3, 1e-3, audio)
    falls, rises = (1 - math.exp(-1000 / (ms * RATE)) for ms in (60.0, 3.0))
    theirs = torchcomp.compexp_gain(level, 0.0, 1.001, -30.0, 1 / 3, falls, rises)
    params = row_of(
        "expander", threshold_db=-30.0, ratio=3.0, knee_db=0.1, range_db=100.0, attack_ms=3.0, release_ms=60.0,
        smoothing=float(SMOOTHING.index("gain")),
    )  # fmt: skip
    ours = RACK["expander"](audio, params)[:, 0] / audio[:, 0]
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=5e-3)
