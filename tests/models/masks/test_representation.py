"""Representations against closed forms: sines, perfect reconstruction, adjoints."""

import math

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.errors import GraphmixError
from graphmix.models.masks import STFT, ConstantQ, Mel, Representation
from graphmix.models.masks.mel_bands import mel_centers

RATE = 8000


def representations() -> list[Representation]:
    return [STFT(128, 32), STFT(64, 32), Mel(256, 64, 20, RATE), ConstantQ(RATE, 55.0, 12), ConstantQ(RATE, 200.0, 3)]


@given(length=st.integers(1, 3000), which=st.integers(0, 4), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_decoding_what_was_encoded_gives_the_audio_back(length: int, which: int, seed: int) -> None:
    representation = representations()[which]
    audio = torch.randn(2, 2, length, generator=torch.Generator().manual_seed(seed)).clamp(-1, 1)
    coefficients = representation.encode(audio)
    assert coefficients.is_complex()
    assert coefficients.shape[:3] == (2, 2, representation.bins)
    assert (representation.decode(coefficients, length) - audio).abs().max() < 1e-5


@pytest.mark.parametrize("representation", representations(), ids=lambda r: type(r).__name__)
def test_transforms_are_linear_and_keep_silence(representation: Representation) -> None:
    a, b = torch.randn(2, 1, 2, 1000, generator=torch.Generator().manual_seed(1))
    together = representation.encode(2 * a - b)
    torch.testing.assert_close(together, 2 * representation.encode(a) - representation.encode(b), atol=1e-4, rtol=1e-4)
    assert representation.encode(torch.zeros(1, 2, 500)).abs().max() == 0
    assert representation.features(representation.encode(torch.zeros(1, 2, 500))).abs().max() == 0


def test_frames_are_those_of_scipy() -> None:
    audio = np.random.default_rng(0).standard_normal(640)
    ours = STFT(64, 16).double().encode(torch.from_numpy(audio)[None, None])[0, 0].numpy()
    window = scipy.signal.get_window("hann", 64)
    theirs = scipy.signal.ShortTimeFFT(window, 16, 1.0, mfft=64, phase_shift=None).stft(audio, p0=0, p1=41)
    # SciPy's frames begin at their window's left edge: the phases of bins turn, magnitudes are the same.
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs[:, :41]), atol=1e-6)


@pytest.mark.parametrize("representation", [STFT(128, 32), ConstantQ(RATE, 62.5, 12)], ids=["stft", "constant_q"])
def test_a_sine_at_full_scale_has_an_amplitude_of_one(representation: Representation) -> None:
    sine = torch.sin(2 * math.pi * 1000.0 * torch.arange(RATE) / RATE)[None, None]  # on a bin, and on a center
    features = representation.features(representation.encode(sine))[0, 0]
    middle = features[:, features.size(-1) // 4 : features.size(-1) // 2]
    torch.testing.assert_close(middle.amax(dim=0), torch.ones(middle.size(-1)), atol=0.02, rtol=0)


def test_a_mel_feature_is_the_weighted_mean_of_its_amplitudes() -> None:
    mel, stft = Mel(256, 64, 20, RATE), STFT(256, 64)
    audio = torch.randn(1, 1, 2000, generator=torch.Generator().manual_seed(0))
    amplitude = stft.features(stft.encode(audio))[0, 0]
    features = mel.features(mel.encode(audio))[0, 0]
    centers = mel_centers(129, 20, RATE)
    for band in (0, 7, 18):
        left, center, right = (centers[max(0, min(19, band + k))] for k in (-1, 0, 1))
        triangle = np.interp(np.arange(129), [left, center, right], [1.0 if band == 0 else 0.0, 1.0, 0.0])
        expected = np.average(amplitude.numpy(), axis=0, weights=triangle)
        np.testing.assert_allclose(features[band].numpy(), expected, rtol=1e-4)


def test_a_sine_lies_in_the_constant_q_band_of_its_frequency() -> None:
    representation = ConstantQ(RATE, 55.0, 12)
    for octave, hertz in enumerate((55.0, 110.0, 220.0, 440.0, 880.0, 1760.0)):
        sine = torch.sin(2 * math.pi * hertz * torch.arange(2 * RATE) / RATE)[None, None]
        energy = representation.encode(sine).abs().square().sum(dim=-1)[0, 0]
        assert int(energy.argmax()) == 1 + 12 * octave


def test_constant_q_is_a_tight_frame_whose_inverse_is_its_adjoint() -> None:
    representation = ConstantQ(RATE, 55.0, 12)
    audio = torch.randn(1, 1, 4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    coefficients = representation.encode(audio)
    noise = torch.randn(coefficients.shape, generator=torch.Generator().manual_seed(1), dtype=torch.complex128)
    other = coefficients + coefficients.abs().mean() * noise
    inner = (coefficients.conj() * other).real.sum()
    decoded = (audio * representation.decode(other, 4000)).sum()
    # Bins at 0 Hz and at half the rate stand for themselves, the others for their mirror images as well.
    assert float(inner / decoded) == pytest.approx(2 / representation.hop, rel=0.01)


def test_mel_centers_rise_by_a_bin_or_more_and_span_everything() -> None:
    centers = mel_centers(2049, 160, 44100)
    assert centers[0] == 0
    assert centers[-1] == pytest.approx(2048)
    assert np.diff(centers).min() >= 1 - 1e-9


def test_expanded_masks_of_ones_are_ones_and_lie_between_their_neighbors() -> None:
    mel = Mel(256, 64, 20, RATE)
    torch.testing.assert_close(mel.expand(torch.ones(2, 20, 3)), torch.ones(2, 129, 3))
    masks = torch.rand(20, 7, generator=torch.Generator().manual_seed(0))
    expanded = mel.expand(masks)
    lower, upper = masks[mel.below], masks[mel.below + 1]
    assert (expanded >= torch.minimum(lower, upper) - 1e-6).all()
    assert (expanded <= torch.maximum(lower, upper) + 1e-6).all()


@pytest.mark.parametrize("representation", representations(), ids=lambda r: type(r).__name__)
def test_reducing_is_the_adjoint_of_expanding(representation: Representation) -> None:
    representation = representation.double()
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(representation.feature_bins, 5, generator=generator, dtype=torch.float64)
    values = torch.rand(representation.bins, 5, generator=generator, dtype=torch.float64)
    expanded = representation.expand(masks)
    torch.testing.assert_close((expanded * values).sum(), (masks * representation.reduce(values)).sum())
    square, neighbor = representation.reduce_squares(values)
    quadratic = (masks.square() * square).sum()
    if neighbor is not None:
        assert neighbor[-1].abs().max() == 0
        quadratic = quadratic + 2 * (masks[:-1] * masks[1:] * neighbor[:-1]).sum()
    torch.testing.assert_close((expanded.square() * values).sum(), quadratic)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(GraphmixError, match="do not fit into 65 bins"):
        Mel(128, 32, 66, RATE)
    with pytest.raises(GraphmixError, match="not below half"):
        ConstantQ(RATE, 4000.0, 12)
    constant_q = ConstantQ(RATE, 100.0, 6)
    with pytest.raises(GraphmixError, match="frames"):
        constant_q.decode(constant_q.encode(torch.zeros(1, 1, 4000)), 400)
