"""Time-frequency representations in which masks are estimated: Fourier, mel on top of it, and constant-Q.

Each turns audio into complex coefficients and back without error (1e-5 of full scale), for any length. *Features* are
what a network receives: amplitudes, scaled so that a sine at full scale reaches 1 (a mel band holds the mean of its
bins, so less). *expand* maps masks of the features' bins to masks of the coefficients; it differs from the identity for
mel bands alone.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphmix.dsp.fft import good_length
from graphmix.errors import GraphmixError
from graphmix.models.masks.config import AnyRepresentation, ConstantQConfig, MelConfig, STFTConfig
from graphmix.models.masks.constant_q import Bands, constant_q_bands
from graphmix.models.masks.mel_bands import mel_triangles

_KEPT = 8
"""Lengths whose constant-Q bands are kept."""


class Representation(nn.Module, ABC):
    """Complex coefficients of audio, and back.

    Shape:
        encode: audio [N, channels, samples] -> coefficients [N, channels, bins, frames];
        decode: [N, channels, bins, frames] -> [N, channels, samples].
    """

    bins: int
    """Bins of the coefficients."""
    feature_bins: int
    """Bins of the features, and of the masks that a network estimates."""

    @abstractmethod
    def encode(self, audio: Tensor) -> Tensor:
        """Coefficients of audio."""

    @abstractmethod
    def decode(self, coefficients: Tensor, length: int) -> Tensor:
        """The first `length` samples of the audio that has these coefficients."""

    @abstractmethod
    def features(self, coefficients: Tensor) -> Tensor:
        """Amplitudes, [N, channels, bins, frames] -> [N, channels, feature bins, frames]."""

    @abstractmethod
    def frequencies(self, sample_rate: float) -> Tensor:
        """Center of each bin of the coefficients in Hz, [bins]."""

    def expand(self, masks: Tensor) -> Tensor:
        """Masks of the features -> masks of the coefficients, [..., feature bins, frames] -> [..., bins, frames]."""
        return masks

    def reduce(self, values: Tensor) -> Tensor:
        """The adjoint of :meth:`expand`: [..., bins, frames] -> [..., feature bins, frames].

        So that the sum of expand(m) * values is that of m * reduce(values), for all masks m.
        """
        return values

    def reduce_squares(self, values: Tensor) -> tuple[Tensor, Tensor | None]:
        """What squared masks are weighted with, [..., bins, frames] -> two of [..., feature bins, frames].

        So that the sum of expand(m)^2 * values is that of m^2 * first + 2 * m * (m of the next bin) * second; the
        second is None where masks are not expanded, and its last bin is zero.
        """
        return values, None


class STFT(Representation):
    """Short-time Fourier transform with a Hann window, frames centered on multiples of the hop.

    Args:
        n_fft: samples of a frame.
        hop: samples from one frame to the next, at most half a frame.

    Shape:
        bins = n_fft / 2 + 1, frames = 1 + ceil(samples / hop).

    Example:
        >>> STFT(64, 16).encode(torch.zeros(1, 2, 100)).shape
        torch.Size([1, 2, 33, 8])
    """

    window: Tensor

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.bins = self.feature_bins = n_fft // 2 + 1
        window = torch.hann_window(n_fft)
        self.amplitude = 2 / max(float(n_fft // 2), 1.0)  # the sum of a periodic Hann window is n_fft / 2
        self.register_buffer("window", window, persistent=False)

    def encode(self, audio: Tensor) -> Tensor:
        """Coefficients; the end is padded to a whole hop, so that every sample lies in as many frames as others."""
        padded = nn.functional.pad(audio, (0, -audio.size(-1) % self.hop))
        rows = torch.stft(
            padded.flatten(0, 1),
            self.n_fft,
            self.hop,
            window=self.window.to(audio.dtype),
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        return rows.unflatten(0, audio.shape[:2])

    def decode(self, coefficients: Tensor, length: int) -> Tensor:
        """Overlap-add, divided by the sum of squared windows."""
        if length == 0:
            return coefficients.real.new_zeros(*coefficients.shape[:2], 0)
        window = self.window.to(coefficients.real.dtype)
        rows = torch.istft(coefficients.flatten(0, 1), self.n_fft, self.hop, window=window, center=True, length=length)
        return rows.unflatten(0, coefficients.shape[:2])

    def features(self, coefficients: Tensor) -> Tensor:
        """Amplitudes of sines."""
        return coefficients.abs() * self.amplitude

    def frequencies(self, sample_rate: float) -> Tensor:
        """Multiples of the rate over the length of a frame."""
        return torch.arange(self.bins) * (sample_rate / self.n_fft)


class Mel(STFT):
    """Mel bands for analysis, Fourier coefficients for the masks.

    Bands are triangles from the center of one neighbor to that of the other, equally spaced on the mel scale but at
    least one bin apart, from 0 Hz to half the rate. A feature is the weighted mean of amplitudes; a mask between two
    centers is interpolated between theirs.

    Args:
        n_fft, hop: as of :class:`STFT`.
        bands: how many.
        sample_rate: in Hz.

    Raises:
        GraphmixError: more bands than bins.
    """

    weights: Tensor
    below: Tensor
    share: Tensor

    def __init__(self, n_fft: int, hop: int, bands: int, sample_rate: float) -> None:
        super().__init__(n_fft, hop)
        if bands > self.bins:
            raise GraphmixError(f"{bands} mel bands do not fit into {self.bins} bins; use fewer, or a larger n_fft.")
        self.feature_bins = bands
        weights, below, share = mel_triangles(self.bins, bands, sample_rate)
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("below", below, persistent=False)
        self.register_buffer("share", share, persistent=False)

    def features(self, coefficients: Tensor) -> Tensor:
        """Weighted means of amplitudes."""
        amplitude = super().features(coefficients)
        return self.weights.to(amplitude.dtype) @ amplitude

    def reduce(self, values: Tensor) -> Tensor:
        """Sums, weighted as in the interpolation."""
        return self._interpolation().to(values.dtype) @ values

    def reduce_squares(self, values: Tensor) -> tuple[Tensor, Tensor | None]:
        """Sums, weighted by the squares and the products of the interpolation's weights."""
        weights = self._interpolation().to(values.dtype)
        products = torch.cat((weights[:-1] * weights[1:], weights.new_zeros(1, self.bins)))
        return weights.square() @ values, products @ values

    def _interpolation(self) -> Tensor:
        """How much a band's mask weighs in each bin, [bands, bins]."""
        weights = self.share.new_zeros(self.feature_bins, self.bins)
        bins = torch.arange(self.bins, device=weights.device)
        weights[self.below, bins] = 1 - self.share
        weights[self.below + 1, bins] = self.share
        return weights

    def expand(self, masks: Tensor) -> Tensor:
        """Interpolation between the centers of bands."""
        share = self.share.to(masks.real.dtype)[:, None]
        return masks.index_select(-2, self.below) * (1 - share) + masks.index_select(-2, self.below + 1) * share


class ConstantQ(Representation):
    r"""Invertible constant-Q transform: a nonstationary Gabor frame (Velasco et al. 2011), made tight.

    The whole signal's spectrum is cut into bands whose centers are equally spaced in the logarithm of frequency, one
    below the lowest center and one up to half the rate; neighbors cross over by a sine and a cosine, so that

    .. math:: \sum_k g_k[j]^2 = 1 \text{ for each bin } j

    and the transform is inverted by its adjoint. All bands are sampled at one rate, the bandwidth of the widest, so
    that their coefficients fill a rectangle.

    Args:
        sample_rate: in Hz.
        low_hz: center of the lowest band.
        bins_per_octave: bands of an octave.

    Shape:
        frames = ceil(samples / hop) + 2 * margin, hop = sample_rate / widest band.

    Raises:
        GraphmixError: the lowest band is not below half the rate.
    """

    def __init__(self, sample_rate: float, low_hz: float = 32.703, bins_per_octave: int = 24) -> None:
        super().__init__()
        if not low_hz * 2 ** (1 / bins_per_octave) < sample_rate / 2:
            raise GraphmixError(
                f"the lowest band at {low_hz:g} Hz is not below half of {sample_rate:g} Hz; lower low_hz."
            )
        self.sample_rate, self.low_hz, self.bins_per_octave = sample_rate, low_hz, bins_per_octave
        self.centers = Bands.centers_of(sample_rate, low_hz, bins_per_octave)
        self.bins = self.feature_bins = len(self.centers)
        self.hop = Bands.hop_of(self.centers, sample_rate)
        self._plans: dict[tuple[int, torch.device, torch.dtype], _Plan] = {}

    def encode(self, audio: Tensor) -> Tensor:
        """Coefficients; silence is added at the end, so that it does not wrap around to the beginning."""
        plan = self._plan(audio.size(-1), audio)
        spectrum = torch.fft.rfft(audio, plan.samples) * plan.scale
        return torch.fft.ifft(spectrum[..., plan.bins] * plan.weight, norm="forward")

    def decode(self, coefficients: Tensor, length: int) -> Tensor:
        """The adjoint."""
        plan = self._plan(length, coefficients.real)
        if coefficients.size(-1) != plan.bins.size(-1):
            raise GraphmixError(
                f"coefficients have {coefficients.size(-1)} frames, a signal of {length} samples has "
                f"{plan.bins.size(-1)}."
            )
        parts = torch.fft.fft(coefficients, norm="forward") * plan.weight
        spectrum = parts.new_zeros(*parts.shape[:-2], plan.samples // 2 + 1)
        spectrum = spectrum.index_add(-1, plan.bins.flatten(), parts.flatten(-2))
        return torch.fft.irfft(spectrum / plan.scale, plan.samples)[..., :length]

    def features(self, coefficients: Tensor) -> Tensor:
        """Amplitudes of sines."""
        return coefficients.abs()

    def frequencies(self, sample_rate: float) -> Tensor:
        """Centers of the bands; they belong to the rate that the transform was made for."""
        return torch.as_tensor(self.centers, dtype=torch.get_default_dtype())

    def _plan(self, length: int, like: Tensor) -> "_Plan":
        key = (length, like.device, like.dtype)
        if key not in self._plans:
            frames = good_length(-(-length // self.hop) + 2)
            index, weight = constant_q_bands(self.centers, self.sample_rate, frames, self.hop)
            samples = frames * self.hop
            if len(self._plans) >= _KEPT:
                self._plans.pop(next(iter(self._plans)))
            plan = _Plan(samples, index.to(like.device), weight.to(like.device, like.dtype), 2 / samples)
            self._plans[key] = plan
        return self._plans[key]


class _Plan(NamedTuple):
    """Constant-Q bands for one length: padded samples, bins and weights [bands, frames], scale of amplitudes."""

    samples: int
    bins: Tensor
    weight: Tensor
    scale: float


def build_representation(config: AnyRepresentation, sample_rate: float) -> Representation:
    """The representation that a configuration describes."""
    if isinstance(config, ConstantQConfig):
        return ConstantQ(sample_rate, config.low_hz, config.bins_per_octave)
    if isinstance(config, MelConfig):
        return Mel(config.n_fft, config.hop, config.bands, sample_rate)
    assert isinstance(config, STFTConfig), "there are three kinds"
    return STFT(config.n_fft, config.hop)
