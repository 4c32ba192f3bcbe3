"""Where the fit of a grey box starts: what can be solved is solved, what can be tried is tried.

Descent from neutral parameters takes long to find a filter, and may never find a drive of 40 dB. But given everything
before it the last filter of a grey box is a linear least-squares problem, and so is the curve of its gain computer
given the times of its envelope. So: the best filter alone; the best gain computer over a grid of attacks and releases;
the best waveshaper over a grid of drives and of tones before it, each with its own best last filter. The best of the
three is where descent begins.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import butter, lfilter
from torch import Tensor

from graphmix.dsp.envelope import coefficient, smooth
from graphmix.dsp.fft import good_length
from graphmix.models.effects.grey_box import LEVEL_POINTS, GreyBoxEffect

EXCERPTS, EXCERPT_SECONDS = 5, 3.0
"""Of all recordings together that are looked at."""
LOUDER_SHARE = 0.7
"""Of all stretches, the louder ones, from which excerpts are taken."""
SETTLING_SHARE = 0.3
"""Of an excerpt, in which an envelope settles."""
ATTACKS_MS = (0.3, 1.0, 3.0, 10.0, 30.0)
RELEASES_MS = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
REFINEMENTS = (1.8, 1.3, 1.1, 1.04)
"""Factors by which the best times are moved, one after the other."""
ALTERNATIONS = 2
"""Between the last filter and the gain computer or the last curve."""
DRIVES = (0.5, 2.0, 8.0, 32.0, 128.0)
TONES: tuple[tuple[str, float] | None, ...] = (
    None, ("highpass", 150.0), ("highpass", 800.0), ("lowpass", 800.0), ("lowpass", 3000.0),
)  # fmt: skip
"""Filters before a waveshaper, of first order."""
BIASES = (-0.4, 0.4)
SMALLEST_GAIN = 1e-3
RIDGE = 1e-8
CURVE_SMOOTHNESS = 1e-5
"""Weight of the second differences of a curve's points."""
_EVERY = 4
"""Samples between those that the gain computer's curve is fitted to."""

Excerpts = list[tuple[Tensor, Tensor]]
"""Dry and wet [samples] each."""


@torch.no_grad()
def start_grey_box(model: GreyBoxEffect, pairs: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Set the parameters of a grey box from recordings.

    Args:
        model: changed in place.
        pairs: dry and wet [channels, samples] each, aligned.

    Returns:
        Error-to-signal ratios of what was tried, on what was looked at: ``filter``, ``gain computer``, ``waveshaper``.
    """
    excerpts = _excerpts(pairs, model.config.sample_rate)
    weights, error = _last_filter(model, excerpts)
    model.filters[-1] = weights
    tried = {"filter": error}
    if model.config.dynamics:
        tried["gain computer"], dynamics = _best_dynamics(model, excerpts)
    if model.config.shapers:
        tried["waveshaper"], shaper = _best_shaper(model, excerpts)
    best = min(tried, key=lambda name: tried[name])
    if best == "waveshaper":
        _set_shaper(model, *shaper, excerpts)
        model.filters[-1] = _last_filter(model, excerpts)[0]
        for _ in range(ALTERNATIONS):
            model.curves[-1] = _last_curve(model, excerpts)
            model.filters[-1], tried["waveshaper"] = _last_filter(model, excerpts)
    elif best == "gain computer":
        for _ in range(ALTERNATIONS):
            _set_dynamics(model, *dynamics)
            model.filters[-1] = _last_filter(model, [(x, y / _gain(model, x)) for x, y in excerpts])[0]
            tried["gain computer"], dynamics = _best_dynamics(model, excerpts, dynamics[0])
        _set_dynamics(model, *dynamics)
    return tried


def _excerpts(pairs: Sequence[tuple[Tensor, Tensor]], sample_rate: int) -> Excerpts:
    """Of each recording a few stretches of various levels, none of them quiet."""
    found = []
    each = -(-EXCERPTS // len(pairs))
    for dry, wet in pairs:
        length = min(dry.size(-1), round(EXCERPT_SECONDS * sample_rate))
        energies = wet[0, : wet.size(-1) // length * length].view(-1, length).square().mean(-1)
        order = energies.argsort(descending=True)[: max(1, round(LOUDER_SHARE * len(energies)))]
        for rank in torch.linspace(0, len(order) - 1, min(each, len(order))).round().long():
            start = int(order[rank]) * length
            found.append((dry[0, start : start + length], wet[0, start : start + length]))
    return found


def _before_last(model: GreyBoxEffect, audio: Tensor) -> Tensor:
    """What comes into the last filter."""
    if not model.config.shapers:
        return audio
    return model.shape(_before_last_curve(model, audio), model.curves[-1:])[0]


def _before_last_curve(model: GreyBoxEffect, audio: Tensor) -> Tensor:
    """What comes into the last waveshaper, [1, samples]."""
    responses = model.settings(audio.new_zeros(1, len(model.config.controls)))[0]
    signal = _convolve(audio[None], responses[:, 0])
    for i in range(1, model.config.shapers):
        signal = _convolve(model.shape(signal, model.curves[i - 1 : i]), responses[:, i])
    return signal


def _convolve(signal: Tensor, response: Tensor) -> Tensor:
    n_fft = good_length(signal.size(-1) + response.size(-1))
    spectrum = torch.fft.rfft(signal, n_fft) * torch.fft.rfft(response, n_fft)
    return torch.fft.irfft(spectrum, n_fft)[..., : signal.size(-1)]


def _last_filter(model: GreyBoxEffect, excerpts: Excerpts) -> tuple[Tensor, float]:
    """Least-squares coefficients of the last filter given what is before it, and their error-to-signal ratio."""
    basis, taps = model.basis.double(), model.config.taps
    normal, right, energy = torch.zeros(len(basis), len(basis)).double(), torch.zeros(len(basis)).double(), 0.0
    for dry, wet in excerpts:
        signal, wet = _before_last(model, dry).double(), wet.double()
        n_fft = good_length(signal.numel() + taps)
        spectrum, target = torch.fft.rfft(signal, n_fft), torch.fft.rfft(wet, n_fft)
        own = torch.fft.irfft(spectrum.abs().square(), n_fft)[:taps]
        circle = torch.cat([own, own[:1] * 0, own[1:].flip(0)])
        coloured = torch.fft.irfft(torch.fft.rfft(basis, 2 * taps) * torch.fft.rfft(circle), 2 * taps)[:, :taps]
        normal += coloured @ basis.t()
        right += basis @ torch.fft.irfft(spectrum.conj() * target, n_fft)[:taps]
        energy += float(wet.square().sum())
    normal += RIDGE * normal.diagonal().mean() * torch.eye(len(basis)).double()
    weights = torch.linalg.solve(normal, right)
    error = (energy - 2 * weights @ right + weights @ normal @ weights) / max(energy, 1e-20)
    gain = model.gains[-1].double().exp()
    return (weights / gain).float(), float(error.clamp(min=0))


# --- gain computer


def _gain(model: GreyBoxEffect, audio: Tensor) -> Tensor:
    start = torch.zeros(1, 1, dtype=audio.dtype)
    curve, times = model.level_curve[None], model.times[None]
    return model._gains(audio[None], start, curve, times)[0][0]


Dynamics = tuple[tuple[float, float], NDArray[np.float64]]
"""Attack and release in ms, gains at the levels of the curve's points."""


def _set_dynamics(model: GreyBoxEffect, times: tuple[float, float], gains: NDArray[np.float64]) -> None:
    model.times.copy_(torch.tensor(times).log())
    model.level_curve.copy_(torch.from_numpy(gains).clamp(min=SMALLEST_GAIN).log())


def _best_dynamics(
    model: GreyBoxEffect, excerpts: Excerpts, near: tuple[float, float] | None = None
) -> tuple[float, Dynamics]:
    """The gain computer, given the last filter, and its error; its times are searched near given ones, or anywhere."""
    response = model.settings(torch.zeros(1, len(model.config.controls)))[0][:, -1]
    filtered = []
    for x, y in excerpts:
        settled = slice(round(SETTLING_SHARE * len(x)), None, _EVERY)
        signal, target = (t[settled].double().numpy() for t in (_convolve(x[None], response)[0], y))
        filtered.append((x, signal, target, settled))

    def attempt(attack: float, release: float) -> tuple[float, NDArray[np.float64]]:
        return _fit_gains(model, filtered, attack, release)

    starts = [(a, r) for a in ATTACKS_MS for r in RELEASES_MS] if near is None else [near]
    tried = {times: attempt(*times)[0] for times in starts}
    best = min(tried, key=lambda times: tried[times])
    for factor in REFINEMENTS:
        for _ in range(2):
            a, r = best
            around = [(a * factor, r), (a / factor, r), (a, r * factor), (a, r / factor)]
            tried.update({times: attempt(*times)[0] for times in around if times not in tried})
            best = min(tried, key=lambda times: tried[times])
    error, gains = attempt(*best)
    return error, (best, gains)


def _fit_gains(
    model: GreyBoxEffect, filtered: list[tuple[Tensor, np.ndarray, np.ndarray, slice]], attack: float, release: float
) -> tuple[float, NDArray[np.float64]]:
    """Gains at the points of the curve, straight between them, by least squares; and their error."""
    normal, right, energy = np.zeros((LEVEL_POINTS, LEVEL_POINTS)), np.zeros(LEVEL_POINTS), 0.0
    for dry, signal, wet, settled in filtered:
        rates = (coefficient(torch.tensor([time]), model.config.sample_rate) for time in (attack, release))
        envelope = smooth(dry.square()[None], *rates)[0, settled]
        place = model.level(envelope).double().numpy().clip(0, LEVEL_POINTS - 1 - 1e-9)
        index = place.astype(np.int64)
        upper = place - index
        parts = ((index, (1 - upper) * signal), (index + 1, upper * signal))
        for i, a in parts:
            right += np.bincount(i, a * wet, LEVEL_POINTS)
            for j, b in parts:
                flat = np.bincount(i * LEVEL_POINTS + j, a * b, LEVEL_POINTS**2)
                normal += flat.reshape(LEVEL_POINTS, LEVEL_POINTS)
        energy += float(np.square(wet).sum())
    bend = np.diff(np.eye(LEVEL_POINTS), 2, axis=0)
    smoothed = normal + 1e-5 * np.trace(normal) / LEVEL_POINTS * bend.T @ bend
    gains = np.linalg.solve(smoothed + 1e-12 * np.trace(normal) * np.eye(LEVEL_POINTS), right)
    error = (energy - 2 * gains @ right + gains @ normal @ gains) / max(energy, 1e-20)
    return max(0.0, float(error)), gains


# --- waveshaper

Shaper = tuple[tuple[str, float] | None, float, float]
"""Tone before it, drive, bias."""


def _best_shaper(model: GreyBoxEffect, excerpts: Excerpts) -> tuple[float, Shaper]:
    """The last waveshaper, and its error with the best filter after it."""
    kept = model.filters.clone(), model.gains.clone(), model.curves.clone()
    tried: dict[Shaper, float] = {}

    def attempt(shaper: Shaper) -> None:
        _set_shaper(model, *shaper, excerpts)
        tried[shaper] = _last_filter(model, excerpts)[1]

    for tone in TONES:
        for drive in DRIVES:
            attempt((tone, drive, 0.0))
    tone, drive, _ = min(tried, key=lambda shaper: tried[shaper])
    for bias in BIASES:
        for factor in (0.5, 1.0, 2.0):
            attempt((tone, drive * factor, bias))
    for parameter, value in zip((model.filters, model.gains, model.curves), kept, strict=True):
        parameter.copy_(value)
    best = min(tried, key=lambda shaper: tried[shaper])
    return tried[best], best


def _last_curve(model: GreyBoxEffect, excerpts: Excerpts) -> Tensor:
    """Least-squares points of the last waveshaper's curve given its input and the filter after it, [points]."""
    points = model.config.points
    normal, right = torch.zeros(points, points).double(), torch.zeros(points).double()
    response = model.settings(torch.zeros(1, len(model.config.controls)))[0][:, -1]
    for dry, wet in excerpts:
        signal = _before_last_curve(model, dry)
        pulses = _convolve(model.shape(signal.expand(points, -1), torch.eye(points)), response).double()
        normal += pulses @ pulses.t()
        right += pulses @ wet.double()
    bend = torch.diff(torch.eye(points).double(), 2, dim=0)
    normal += CURVE_SMOOTHNESS * normal.diagonal().mean() * bend.t() @ bend
    normal += RIDGE * normal.diagonal().mean() * torch.eye(points).double()
    return torch.linalg.solve(normal, right).float()


def _set_shaper(
    model: GreyBoxEffect, tone: tuple[str, float] | None, drive: float, bias: float, excerpts: Excerpts
) -> None:
    """A filter of first order and a hyperbolic tangent in the place of the first filter and the last waveshaper.

    Whatever comes out of the filter has its peak at 1, where the points of the curve end.
    """
    impulse = np.zeros(model.config.taps)
    impulse[0] = 1
    if tone is not None:
        kind, hz = tone
        impulse = lfilter(*butter(1, hz, kind, fs=model.config.sample_rate), impulse)
    coefficients = torch.linalg.lstsq(model.basis.double().t(), torch.from_numpy(impulse)[:, None]).solution[:, 0]
    model.filters[0] = coefficients.float()
    response = (coefficients @ model.basis.double()).float()[None]
    peak = max(float(_convolve(x[None], response).abs().max()) for x, _ in excerpts)
    model.gains[0] = -float(np.log(max(peak, 1e-6)))
    curve = torch.tanh(drive * model.axis + bias) - float(np.tanh(bias))
    model.curves[-1] = curve / float(curve.abs().max())
