"""Saturation, stereo, delay, convolution and network against the peers that compute the same equation.

graphmix without antialiasing where a peer has none. Each peer is skipped where it is not installed: pedalboard comes
with the extra ``plugins``, GRAFX and dasp-pytorch with ``bench``, flamo with none.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.dsp.feedback_network import hadamard, sampled_responses
from graphmix.processors.base import Processor
from graphmix.processors.modulation import Flanger
from graphmix.processors.saturation import BitCrusher, Clipper, Tanh
from graphmix.processors.spaces import Convolution, FeedbackDelay
from graphmix.processors.stereo import MidSideDecoder, MidSideEncoder, Pan, Polarity

RATE = 44100


def params(processor: Processor, **values: object) -> Tensor:
    row = processor.node_type.neutral()
    for name, value in values.items():
        row[processor.node_type.columns(name)] = torch.as_tensor(value, dtype=torch.float32)
    return row[None]


def noise(samples: int = 4000) -> Tensor:
    return 0.4 * torch.randn(1, 2, samples, generator=torch.Generator().manual_seed(0))


def by_pedalboard(name: str, audio: Tensor, **settings: Any) -> Tensor:
    peer = pytest.importorskip("pedalboard", reason="comes with the extra `plugins`")
    return torch.from_numpy(getattr(peer, name)(**settings)(audio[0].numpy(), RATE))[None]


@pytest.mark.parametrize("drive_db", [-6.0, 12.0, 25.0])
def test_pedalboards_distortion_is_tanh_times_its_drive(drive_db: float) -> None:
    processor, audio = Tanh(RATE, antialiased=False), noise()
    output = processor(audio, params(processor, drive_db=drive_db)) * 10 ** (drive_db / 20)
    torch.testing.assert_close(output, by_pedalboard("Distortion", audio, drive_db=drive_db), atol=2e-5, rtol=0)


def test_pedalboards_clipping_is_the_hardest_clipper() -> None:
    processor, audio = Clipper(RATE, antialiased=False), noise()
    output = processor(audio, params(processor, ceiling_db=-6.0, hardness=0.99))
    torch.testing.assert_close(output, by_pedalboard("Clipping", audio, threshold_db=-6.0), atol=6e-3, rtol=0)


def test_pedalboards_bit_crusher_has_the_steps_of_one_bit_more() -> None:
    """Its bits are those of a magnitude; here they are a converter's, with the sign."""
    processor, audio = BitCrusher(RATE), noise()
    output = processor(audio, params(processor, bits=7.0))
    torch.testing.assert_close(output, by_pedalboard("Bitcrush", audio, bit_depth=6), atol=1e-6, rtol=0)


def test_pedalboards_invert_is_a_polarity() -> None:
    audio = noise()
    output = Polarity(RATE)(audio, params(Polarity(RATE), polarity=-1.0))
    torch.testing.assert_close(output, by_pedalboard("Invert", audio))


def test_pedalboards_delay_is_a_comb_without_filters() -> None:
    """A still flanger, and the feedback delay up to what its loop filters take away."""
    audio = noise(6000)
    settings = {"delay_seconds": 0.01, "feedback": 0.5, "mix": 1.0}  # 441 samples, of which it makes 440
    expected = by_pedalboard("Delay", audio, **settings)
    flanger = Flanger(RATE)
    output = flanger(audio, params(flanger, center_ms=440 / 44.1, feedback=0.5))
    torch.testing.assert_close(output, expected, atol=1e-4, rtol=0)
    delay = FeedbackDelay(RATE)
    filtered = delay(audio, params(delay, time_ms=440 / 44.1, feedback=0.5, low_cut_hz=10.0, high_cut_hz=0.45 * RATE))
    torch.testing.assert_close(filtered[..., :880], expected[..., :880], atol=1e-4, rtol=0)  # the first echo


def test_pedalboards_convolution_is_the_same_but_for_its_level(tmp_path) -> None:
    """It scales a response to an energy of its own choice."""
    peer = pytest.importorskip("pedalboard", reason="comes with the extra `plugins`")
    taps = (
        torch.randn(1, 200, generator=torch.Generator().manual_seed(1)) * torch.exp(-torch.arange(200) / 40)
    ).numpy()
    audio, room = noise(), Convolution(torch.from_numpy(taps), "room", sample_rate=RATE)
    expected = peer.Convolution(taps.astype(np.float32), 1.0, RATE)(audio[0].numpy(), RATE)
    output = room(audio, params(room))[0].numpy()
    scale = float((output * expected).sum() / (output**2).sum())
    np.testing.assert_allclose(scale * output, expected, atol=1e-3 * np.abs(expected).max())


def test_dasps_distortion_is_tanh_times_its_drive() -> None:
    peer = pytest.importorskip("dasp_pytorch", reason="comes with the extra `bench`")
    processor, audio = Tanh(RATE, antialiased=False), noise()
    drives = torch.tensor([[15.0, 15.0]])
    output = processor(audio, params(processor, drive_db=15.0)) * 10 ** (15 / 20)
    expected = peer.functional.distortion(audio, RATE, drives[..., None])
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)


def test_dasps_panner_is_between_ours_and_a_straight_line() -> None:
    """Its gains are the geometric mean of the constant-power law and of a linear one, 4.5 dB down in the middle."""
    peer = pytest.importorskip("dasp_pytorch", reason="comes with the extra `bench`")
    for place in (0.0, 0.3, 0.5, 0.9, 1.0):
        gains = Pan(RATE).matrix(params(Pan(RATE), position=2 * place - 1))[0].diagonal() / math.sqrt(2)
        linear = torch.tensor([1 - place, place])
        expected = peer.functional.stereo_panner(torch.ones(1, 1, 1), RATE, torch.tensor([[place]])).flatten()
        torch.testing.assert_close((gains.clamp(min=0) * linear).sqrt(), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("bias", [0.0, 0.7])
def test_grafxs_tanh_distortion_is_ours_without_the_scale_of_its_slope(bias: float) -> None:
    pytest.importorskip("grafx", reason="comes with the extra `bench`")
    from grafx.processors import TanhDistortion

    processor, audio, drive_db = Tanh(RATE, antialiased=False), noise(), 9.0
    output = processor(audio, params(processor, drive_db=drive_db, asymmetry=math.tanh(bias)))
    log_gain = torch.full((1, 1), drive_db / 20 * math.log(10))
    expected = TanhDistortion(use_bias=True)(audio, log_pre_gain=log_gain, bias=torch.full((1, 1), bias))
    torch.testing.assert_close(output * (1 - math.tanh(bias) ** 2), expected, atol=1e-5, rtol=1e-4)


def test_grafxs_mid_and_side_are_ours_up_to_a_scale() -> None:
    pytest.importorskip("grafx", reason="comes with the extra `bench`")
    from grafx.processors import MidSideToStereo, StereoToMidSide

    audio, none = noise(), torch.zeros(1, 0)
    mid, side = StereoToMidSide()(audio)
    torch.testing.assert_close(MidSideEncoder(RATE)(audio, none) * math.sqrt(2), torch.cat([mid, side], 1))
    expected = MidSideToStereo()(mid, side)
    torch.testing.assert_close(MidSideDecoder(RATE)(torch.cat([mid, side], 1), none) / math.sqrt(2), expected)


def test_flamos_feedback_delay_network_has_our_transfer_function() -> None:
    pytest.importorskip("flamo", reason="comes with no extra; its requirements change other packages' versions")
    from flamo.processor import dsp, system

    lines, n_fft, gain = 4, 512, 0.9
    m = torch.tensor([7, 11, 13, 17])
    place = {"nfft": n_fft, "device": "cpu"}
    into = dsp.Gain(size=(lines, 1), **place)
    into.assign_value(torch.full((lines, 1), 0.5))
    delays = dsp.parallelDelay(size=(lines,), max_len=64, fs=RATE, isint=True, unit=1, **place)
    delays.assign_value(delays.sample2s(m.float()))
    back = dsp.Matrix(size=(lines, lines), matrix_type="random", **place)
    back.assign_value(gain * hadamard(lines).float())
    network = system.Series(into, system.Recursion(fF=delays, fB=back))
    found = network(torch.ones(1, n_fft // 2 + 1, 1, dtype=torch.complex64))[0].detach()
    filters = torch.tensor([gain, 0.0, 0.0], dtype=torch.float64).expand(1, lines, 3)
    ours = sampled_responses(filters, torch.full((lines,), 0.5, dtype=torch.float64), hadamard(lines), m, n_fft)[0]
    torch.testing.assert_close(found.T.to(ours.dtype), ours, atol=1e-4, rtol=1e-3)
