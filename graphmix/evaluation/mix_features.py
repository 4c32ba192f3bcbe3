r"""Numbers that describe a mix by itself, so that mixes can be compared without being aligned: the field's measures.

Conventions: audio is [2, samples] in full scale. Every number is on a scale on which equal steps sound about equal, so
that an absolute difference of two mixes is an error, and a distance of two sets of mixes has a unit.

* loudness (integrated) in LUFS, loudness range in LU: ITU-R BS.1770-4, EBU Tech 3342;
* stereo width, crest factor, dynamic range in dB: :mod:`graphmix.search.mix_measures`;
* spectral centroid and roll-off (85 % of the power) of left plus right in octaves re 1 kHz, flatness in dB, means over
  frames that are at most 40 dB softer than the loudest;
* panning: root mean square over bins of the panning index of Tzanetakis, Jones and McNally, "Stereo panning features
  for classifying recording production style" (2007), mean over the same frames, over all bins and in three bands:

.. math:: \psi = \frac{2 |L R^*|}{|L|^2 + |R|^2}, \quad P = (1 - \psi)\, \mathrm{sign}(|R| - |L|)
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from graphmix.audio.loudness import loudness_range
from graphmix.search.mix_measures import describe_mix

FEATURES: Mapping[str, str] = {
    "loudness_lu": "loudness, LUFS",
    "range_lu": "loudness range, LU",
    "crest_db": "crest factor, dB",
    "dynamics_db": "dynamic range, dB",
    "width_db": "stereo width, dB",
    "centroid_oct": "spectral centroid, octaves",
    "rolloff_oct": "spectral roll-off, octaves",
    "flatness_db": "spectral flatness, dB",
    "pan_rms": "panning RMS",
    "pan_low": "panning RMS below 250 Hz",
    "pan_mid": "panning RMS, 250 Hz to 2.5 kHz",
    "pan_high": "panning RMS above 2.5 kHz",
}
"""The numbers of a mix in the order of tables, with their names for readers."""
PAN_EDGES_HZ = (250.0, 2500.0)
ROLLOFF_SHARE = 0.85
FRAME_GATE_DB = 40.0
_FFT = 2048
_SECONDS_AT_ONCE = 30
_TINY = 1e-20


@torch.no_grad()
def mix_features(mix: Tensor, sample_rate: int) -> dict[str, float]:
    """All :data:`FEATURES` of one mix, [2, samples]; of silence those that frames have are 0."""
    features = describe_mix(mix, sample_rate)
    features["range_lu"] = loudness_range(mix, sample_rate)
    frames = torch.cat(list(_frames(mix, sample_rate)))
    power = frames[:, 0]
    loud = power > power.max() * 10 ** (-FRAME_GATE_DB / 10)
    means = frames[loud & (power > _TINY), 1:].double().mean(0) if bool((power > _TINY).any()) else frames[0, 1:] * 0
    names = ("centroid_oct", "rolloff_oct", "flatness_db", "pan_rms", "pan_low", "pan_mid", "pan_high")
    features |= dict(zip(names, means.tolist(), strict=True))
    return {name: features[name] for name in FEATURES}


def _frames(mix: Tensor, sample_rate: int) -> Iterator[Tensor]:
    """Power, and the features of each frame, [frames, 8]; part by part."""
    window = torch.hann_window(_FFT, dtype=mix.dtype, device=mix.device)
    hz = torch.fft.rfftfreq(_FFT, 1 / sample_rate, dtype=mix.dtype, device=mix.device)
    size = _SECONDS_AT_ONCE * sample_rate
    for begin in range(0, mix.size(1), size):
        part = mix[:, begin : begin + size]
        part = torch.nn.functional.pad(part, (0, max(0, _FFT - part.size(1))))
        spectra = torch.fft.rfft(part.unfold(1, _FFT, _FFT // 2) * window)[..., 1:]
        of_sum = spectra.sum(0).abs().square()
        yield torch.cat(
            [spectra.abs().square().sum((0, 2))[:, None], *_shape(of_sum, hz[1:]), *_panning(spectra, hz[1:])], 1
        )


def _shape(power: Tensor, hz: Tensor) -> list[Tensor]:
    """Centroid, roll-off and flatness of spectra [frames, bins], [frames, 1] each."""
    power = power + _TINY
    total = power.sum(1, keepdim=True)
    centroid = (power * hz).sum(1, keepdim=True) / total
    rolloff = hz[(power.cumsum(1) < ROLLOFF_SHARE * total).sum(1).clamp(max=len(hz) - 1)][:, None]
    flatness = 10 * (power.log10().mean(1, keepdim=True) - (total / len(hz)).log10())
    return [(centroid / 1000).log2(), (rolloff / 1000).log2(), flatness]


def _panning(spectra: Tensor, hz: Tensor) -> list[Tensor]:
    """Root mean square of the panning index over all bins and in each band, [frames, 1] each."""
    left, right = spectra.abs()
    index = 1 - (2 * left * right + _TINY) / (left.square() + right.square() + _TINY)  # the sign is squared away
    low, high = PAN_EDGES_HZ
    bands = [hz > 0, hz < low, (hz >= low) & (hz < high), hz >= high]
    return [index[:, band].square().mean(1, keepdim=True).sqrt() for band in bands]
