"""Where the fit of a grey box starts: what can be solved is solved, what can be tried is tried.

Descent from neutral parameters takes long to find a filter, and may never find a drive of 40 dB. But given everything
before it the last filter of a grey box is a linear least-squares problem, and so is the curve of its gain computer
given the times of its envelope. So: the best filter alone; the best gain computer over a grid of attacks and releases;
the best waveshaper over a grid of drives and of tones before it, each with its own best last filter; and of several
branches the best crossovers between bands. The best of these is where descent begins.
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
TONES = (("highpass", 150.0), ("highpass", 800.0), ("lowpass", 800.0), ("lowpass", 3000.0))
"""Filters before a waveshaper, of first order."""
BAND_DRIVES = (4.0, 8.0, 16.0)
TURNS = (1, 0, -1)
"""Which way neighbouring bands differ by 90 degrees, if they do."""
CROSSOVERS_HZ = (100.0, 6000.0)
"""The lowest and the highest of equal ratios between them, before they are moved."""
CROSSOVER_ORDER = 3
CROSSOVER_MOVES = (1.6, 1.25)
BIASES = (-0.4, 0.4)
SMALLEST_GAIN = 1e-3
RIDGE, BAND_RIDGE = 1e-8, 1e-3
"""Relative to the mean diagonal of normal equations; bands have filters for frequencies that hardly reach them."""
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
        Error-to-signal ratios of what was tried, on what was looked at: ``filter``, ``gain computer``, ``bands``,
        ``waveshaper``.
    """
    excerpts = _excerpts(pairs, model.config.sample_rate)
    tried = {"filter": _set_last_filters(model, excerpts, 1)}
    tones = _tones(model)
    if model.config.dynamics:
        tried["gain computer"], dynamics = _best_dynamics(model, excerpts)
    if model.config.shapers:
        if model.config.branches > 1:
            tried["bands"], bands = _best_bands(model, excerpts)
        tried["waveshaper"], shaper = _best_shaper(model, excerpts, tones)
    best = min(tried, key=lambda name: tried[name])
    if best == "bands":
        tried[best] = _set_bands(model, excerpts, bands)
    elif best == "waveshaper":
        _set_shaper(model, shaper, excerpts, 0, tones)
        _set_last_filters(model, excerpts, 1)
        for _ in range(ALTERNATIONS):
            model.curves[_last_shaper(model, 0)] = _last_curve(model, excerpts)
            tried[best] = _set_last_filters(model, excerpts, 1)
    elif best == "gain computer":
        for _ in range(ALTERNATIONS):
            _set_dynamics(model, *dynamics)
            _set_last_filters(model, [(x, y / _gain(model, x)) for x, y in excerpts], 1)
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


def _last_filter(model: GreyBoxEffect, branch: int) -> int:
    return model.branches()[branch][0][-1]


def _last_shaper(model: GreyBoxEffect, branch: int) -> int:
    return model.branches()[branch][1][-1]


def _before_last(model: GreyBoxEffect, audio: Tensor, branch: int) -> Tensor:
    """What comes into the last filter of a branch."""
    if not model.config.shapers:
        return audio
    last = _last_shaper(model, branch)
    return model.shape(_before_last_curve(model, audio, branch), model.curves[last : last + 1])[0]


def _before_last_curve(model: GreyBoxEffect, audio: Tensor, branch: int) -> Tensor:
    """What comes into the last waveshaper of a branch, [1, samples]."""
    responses = model.settings(audio.new_zeros(1, len(model.config.controls)))[0]
    (first, *filters), shapers = model.branches()[branch]
    signal = _convolve(audio[None], responses[:, first])
    for i, shaper in zip(filters[:-1], shapers, strict=False):
        signal = _convolve(model.shape(signal, model.curves[shaper : shaper + 1]), responses[:, i])
    return signal


def _convolve(signal: Tensor, response: Tensor) -> Tensor:
    n_fft = good_length(signal.size(-1) + response.size(-1))
    spectrum = torch.fft.rfft(signal, n_fft) * torch.fft.rfft(response, n_fft)
    return torch.fft.irfft(spectrum, n_fft)[..., : signal.size(-1)]


def _set_last_filters(model: GreyBoxEffect, excerpts: Excerpts, branches: int) -> float:
    """Set the last filters of the first branches, by least squares given what is before them.

    Returns:
        Their error-to-signal ratio.
    """
    basis, taps = model.basis.double(), model.config.taps
    size = len(basis)
    normal, energy = torch.zeros(branches * size, branches * size).double(), 0.0
    right = list(torch.zeros(branches, size).double())
    responses = torch.fft.rfft(basis, 2 * taps)
    for dry, wet in excerpts:
        n_fft = good_length(wet.numel() + taps)
        target = torch.fft.rfft(wet.double(), n_fft)
        spectra = [torch.fft.rfft(_before_last(model, dry, i).double(), n_fft) for i in range(branches)]
        for i, a in enumerate(spectra):
            right[i] = right[i] + basis @ torch.fft.irfft(a.conj() * target, n_fft)[:taps]
            for j, b in enumerate(spectra[: i + 1]):
                cross = torch.fft.irfft(a.conj() * b, n_fft)
                circle = torch.cat([cross[:taps], cross[:1] * 0, cross[n_fft - taps + 1 :]])
                coloured = torch.fft.irfft(responses * torch.fft.rfft(circle), 2 * taps)[:, :taps]
                block = basis @ coloured.t()
                normal[i * size : (i + 1) * size, j * size : (j + 1) * size] += block
                if j < i:
                    normal[j * size : (j + 1) * size, i * size : (i + 1) * size] += block.t()
        energy += float(wet.double().square().sum())
    ridge = RIDGE if branches == 1 else BAND_RIDGE
    normal += ridge * normal.diagonal().mean() * torch.eye(len(normal)).double()
    products = torch.cat(right)
    weights = torch.linalg.solve(normal, products)
    for i, part in enumerate(weights.split(size)):
        last = _last_filter(model, i)
        model.filters[last] = (part / model.gains[last].double().exp()).float()
    error = (energy - 2 * weights @ products + weights @ normal @ weights) / max(energy, 1e-20)
    return float(error.clamp(min=0))


# --- gain computer


def _gain(model: GreyBoxEffect, audio: Tensor) -> Tensor:
    start = torch.zeros(1, 1, dtype=audio.dtype)
    curve, times = model.level_curve[None], model.times[None]
    return model.dynamic_gains(audio[None], start, curve, times)[0][0]


Dynamics = tuple[tuple[float, float], NDArray[np.float64]]
"""Attack and release in ms, gains at the levels of the curve's points."""


def _set_dynamics(model: GreyBoxEffect, times: tuple[float, float], gains: NDArray[np.float64]) -> None:
    model.times.copy_(torch.tensor(times).log())
    model.level_curve.copy_(torch.from_numpy(gains).clamp(min=SMALLEST_GAIN).log())


def _best_dynamics(
    model: GreyBoxEffect, excerpts: Excerpts, near: tuple[float, float] | None = None
) -> tuple[float, Dynamics]:
    """The gain computer, given the last filter, and its error; its times are searched near given ones, or anywhere."""
    response = model.settings(torch.zeros(1, len(model.config.controls)))[0][:, _last_filter(model, 0)]
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

Shaper = tuple[int, float, float]
"""Number of the filter before it, drive, bias."""
Tones = list[NDArray[np.float64]]
"""Impulse responses of filters before a waveshaper, tried in turn."""


def _tones(model: GreyBoxEffect) -> Tones:
    """No filter, and filters of first order."""
    impulse = np.zeros(model.config.taps)
    impulse[0] = 1
    return [impulse, *(lfilter(*butter(1, hz, kind, fs=model.config.sample_rate), impulse) for kind, hz in TONES)]


def _best_shaper(model: GreyBoxEffect, excerpts: Excerpts, tones: Tones) -> tuple[float, Shaper]:
    """The last waveshaper of the first branch, and its error with the best filter after it."""
    kept = model.filters.clone(), model.gains.clone(), model.curves.clone()
    tried: dict[Shaper, float] = {}

    def attempt(shaper: Shaper) -> None:
        _set_shaper(model, shaper, excerpts, 0, tones)
        tried[shaper] = _set_last_filters(model, excerpts, 1)

    for tone in range(len(tones)):
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
    """Least-squares points of the first branch's last waveshaper given its input and the filter after it, [points]."""
    points = model.config.points
    normal, right = torch.zeros(points, points).double(), torch.zeros(points).double()
    response = model.settings(torch.zeros(1, len(model.config.controls)))[0][:, _last_filter(model, 0)]
    for dry, wet in excerpts:
        signal = _before_last_curve(model, dry, 0)
        pulses = _convolve(model.shape(signal.expand(points, -1), torch.eye(points)), response).double()
        normal += pulses @ pulses.t()
        right += pulses @ wet.double()
    bend = torch.diff(torch.eye(points).double(), 2, dim=0)
    normal += CURVE_SMOOTHNESS * normal.diagonal().mean() * bend.t() @ bend
    normal += RIDGE * normal.diagonal().mean() * torch.eye(points).double()
    return torch.linalg.solve(normal, right).float()


def _set_shaper(model: GreyBoxEffect, shaper: Shaper, excerpts: Excerpts, branch: int, tones: Tones) -> None:
    """A filter and a hyperbolic tangent in the place of a branch's first filter and last waveshaper.

    Whatever comes out of the filter has its peak at 1, where the points of the curve end.
    """
    tone, drive, bias = shaper
    basis = model.basis.double()
    coefficients = torch.linalg.lstsq(basis.t(), torch.from_numpy(tones[tone])[:, None]).solution[:, 0]
    first = model.branches()[branch][0][0]
    model.filters[first] = coefficients.float()
    response = (coefficients @ basis).float()[None]
    peak = max(float(_convolve(x[None], response).abs().max()) for x, _ in excerpts)
    model.gains[first] = -float(np.log(max(peak, 1e-6)))
    curve = torch.tanh(drive * model.axis + bias) - float(np.tanh(bias))
    model.curves[_last_shaper(model, branch)] = curve / float(curve.abs().max())


# --- waveshapers in bands

Bands = tuple[tuple[float, ...], int, float]
"""Crossover frequencies in Hz, which way neighbours differ by 90 degrees, drive."""


def _best_bands(model: GreyBoxEffect, excerpts: Excerpts) -> tuple[float, Bands]:
    """A waveshaper for each band of the best linear filter, and their error with the best filters after them."""
    kept = model.filters.clone(), model.gains.clone(), model.curves.clone()
    tried: dict[Bands, float] = {}

    def attempt(bands: Bands) -> None:
        if bands not in tried:
            for parameter, value in zip((model.filters, model.gains, model.curves), kept, strict=True):
                parameter.copy_(value)
            tried[bands] = _set_bands(model, excerpts, bands)

    def best() -> Bands:
        return min(tried, key=lambda bands: tried[bands])

    start = tuple(float(hz) for hz in np.geomspace(*CROSSOVERS_HZ, model.config.branches - 1))
    for turn in TURNS:
        attempt((start, turn, BAND_DRIVES[1]))
    for drive in BAND_DRIVES:
        attempt((start, best()[1], drive))
    for factor in CROSSOVER_MOVES:
        for i in range(len(start)):
            crossovers, turn, drive = best()
            for hz in (crossovers[i] * factor, crossovers[i] / factor):
                moved = (*crossovers[:i], hz, *crossovers[i + 1 :])
                if sorted(moved) == list(moved):
                    attempt((moved, turn, drive))
    for parameter, value in zip((model.filters, model.gains, model.curves), kept, strict=True):
        parameter.copy_(value)
    return tried[best()], best()


def _set_bands(model: GreyBoxEffect, excerpts: Excerpts, bands: Bands) -> float:
    """Bands of the first branch's last filter before the branches' waveshapers, which all bend at one level.

    The best linear approximation of a device is like all of its filters in series (Pintelon & Schoukens 2012), so that
    it has the phase of the sum of all bands. Those of crossovers of odd order differ by 90 degrees from it.

    Returns:
        The error-to-signal ratio with the best filters after the waveshapers.
    """
    crossovers, turn, drive = bands
    taps = model.config.taps
    linear = (model.filters[_last_filter(model, 0)] @ model.basis).double().numpy()
    spectrum = np.fft.rfft(np.concatenate([np.zeros(taps), linear]), 8 * taps)
    hz = np.fft.rfftfreq(8 * taps, 1 / model.config.sample_rate)
    rest, tones = np.ones_like(spectrum), []
    for crossover in crossovers:
        share = 1 / (1 + (hz / crossover) ** (2 * CROSSOVER_ORDER))
        low = share + 1j * turn * np.sqrt(share * (1 - share))
        tones.append(rest * low)
        rest = rest * (1 - low)
    responses = [np.fft.irfft(spectrum * band)[taps : 2 * taps] for band in (*tones, rest)]
    for i, response in enumerate(responses):
        weight = torch.from_numpy(response).float()[None]
        peak = max(float(_convolve(dry[None], weight).abs().max()) for dry, _ in excerpts)
        _set_shaper(model, (i, drive * peak, 0.0), excerpts, i, responses)
    return _set_last_filters(model, excerpts, len(responses))
