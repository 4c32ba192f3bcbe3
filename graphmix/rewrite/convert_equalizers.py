r"""Zero-phase equalizers as parametric ones of few bands, and filters as zero-phase equalizers by their magnitude.

The error of both is the root mean square difference of the magnitudes in dB over 50 Hz to 12 kHz, in octaves,

.. math:: e^2 = \sum_f v_f \, (20 \log_{10} |H'(f)| - 20 \log_{10} |w H(f) + 1 - w|)^2 / \sum_f v_f

weighted by the amplitude that passes in a third of an octave (:func:`graphmix.rewrite.conversion.passing_weights`); all
frequencies count alike where no song is given. What lies more than 40 dB below the top of a curve counts as so deep.
The dry/wet weight becomes part of the curve, so that no dry signal meets one whose phase has changed.
"""

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d
from scipy.signal import welch

from graphmix.processors.base import LTIProcessor
from graphmix.processors.biquads import GAIN_RANGE_DB, LOWEST_HZ, Q_RANGE, frequency_spec
from graphmix.processors.filters import EQUALIZER_RANGE_DB, Equalizer
from graphmix.processors.recursive import RecursiveFilter
from graphmix.rewrite.conversion import (
    Array,
    Given,
    NewNode,
    Replacement,
    passing_weights,
    weighted_rms,
)
from graphmix.rewrite.parametric import (
    FITTED_HZ,
    Band,
    Fitted,
    Limits,
    Shape,
    fit_bands,
    fitted_grid,
    floored_db,
)

MOST_BANDS = 8
"""Of ``parametric_eq`` in graphmix's racks."""
CURVE_POINTS = 2000
"""Frequencies at which a curve is computed before it is fitted."""
FFT_SECONDS = 0.4
"""Of responses that are sampled; finer than any equalizer here."""
ROUNDS, STEP = 6, 0.7
"""Steps of the correction of what an equalizer's window smooths, and how much of the difference each takes."""
_LEAST = 1e-6


def passing_power(grid_hz: Array, signal: Array | None, gain_db: Array, sample_rate: int) -> Array | None:
    """Power per octave of a signal behind a curve, smoothed over a third of an octave, [grid]; None for silence.

    Args:
        grid_hz: equally spaced in octaves.
        signal: in front of the curve, [2, samples]; None where there is none.
        gain_db: the curve at the grid.
        sample_rate: in Hz.
    """
    if signal is None or not np.any(signal):
        return None
    hz, power = welch(signal, sample_rate, nperseg=min(1 << 13, signal.shape[1]))
    per_octave = np.interp(grid_hz, hz, power.sum(0)) * grid_hz * 10 ** (gain_db / 10)
    third = max(1, round((len(grid_hz) - 1) / np.log2(grid_hz[-1] / grid_hz[0]) / 3))
    return np.asarray(uniform_filter1d(per_octave, third, mode="nearest"))


def magnitude_db(processor: LTIProcessor, params: torch.Tensor, wet: float, frequency_hz: Array) -> Array:
    """Magnitude in dB of a filter that is the same on both channels, its dry/wet included, [frequencies].

    Args:
        processor: the filter, with one outlet.
        params: physical values, [1, width].
        wet: dry/wet weight.
        frequency_hz: where.
    """
    n_fft = 1 << int(np.ceil(np.log2(2 * FFT_SECONDS * processor.sample_rate)))
    with torch.no_grad():
        response = processor.response(params.double(), n_fft)[0, 0].numpy()
    magnitude = 20 * np.log10(np.maximum(np.abs(wet * response + 1 - wet), _LEAST))
    known = np.arange(len(magnitude)) * (processor.sample_rate / n_fft)
    return np.asarray(np.interp(frequency_hz, known, magnitude))


def curve_grid(sample_rate: int) -> Array:
    """Frequencies of a curve that is to be fitted, somewhat wider than the fit."""
    return np.geomspace(FITTED_HZ[0] / 2, min(1.5 * FITTED_HZ[1], 0.49 * sample_rate), CURVE_POINTS)


def fit_equalizer(
    processor: LTIProcessor,
    params: torch.Tensor,
    wet: float,
    limits: Limits,
    tolerance_db: float,
    signal: Array | None = None,
) -> Fitted:
    """The bands that stand for a filter with its dry/wet: the one fit for parametric nodes, sessions and DAWprojects.

    Args:
        processor: the filter, the same on both channels.
        params: physical values, [1, width].
        wet: dry/wet weight.
        limits: of the equalizer that is fitted.
        tolerance_db: error that is good enough.
        signal: what comes into it, [2, samples], whose spectrum weights the error.
    """
    frequency = curve_grid(processor.sample_rate)
    curve = magnitude_db(processor, params, wet, frequency)
    return fit_curve(frequency, curve, processor.sample_rate, limits, tolerance_db, signal)


def fit_curve(
    frequency_hz: Array,
    curve_db: Array,
    sample_rate: int,
    limits: Limits,
    tolerance_db: float,
    signal: Array | None = None,
) -> Fitted:
    """:func:`graphmix.rewrite.parametric.fit_bands`, weighted by the signal that passes where it is given."""
    grid = fitted_grid(sample_rate)
    power = passing_power(grid, signal, np.interp(grid, frequency_hz, curve_db), sample_rate)
    weights = passing_weights(grid, power)
    return fit_bands(frequency_hz, curve_db, sample_rate, limits, tolerance_db, weights)


def parametric_limits(sample_rate: int) -> Limits:
    """What a ``parametric_eq`` can be at a sample rate; it has no gain of all."""
    spec = frequency_spec(sample_rate)
    hz = LOWEST_HZ, spec.high
    return Limits(
        bells=MOST_BANDS,
        bands=MOST_BANDS,
        gain_db=GAIN_RANGE_DB[1],
        overall_db=0.0,
        bell_hz=hz,
        shelf_hz=hz,
        q=(Q_RANGE[0], 12.0),
        shelf_q=(0.3, 1.2),
    )


def bands_node(bands: tuple[Band, ...]) -> NewNode:
    """A ``parametric_eq`` of bands; those that it does not need are bells of 0 dB."""
    idle = MOST_BANDS - len(bands)
    every = [*sorted(bands, key=lambda band: band.frequency_hz), *[Band(Shape.bell, 1000.0)] * idle]
    return NewNode(
        "parametric_eq",
        {
            "shape": [band.shape.value for band in every],
            "frequency_hz": [band.frequency_hz for band in every],
            "gain_db": [band.gain_db for band in every],
            "q": [band.q for band in every],
        },
    )


def to_parametric(given: Given) -> Replacement:
    """A zero-phase equalizer as the smallest ``parametric_eq`` within a tolerance."""
    processor = given.processor
    assert isinstance(processor, Equalizer)
    limits = parametric_limits(given.sample_rate)
    fitted = fit_equalizer(processor, given.params, given.wet, limits, given.tolerance_db, given.signal)
    return Replacement((bands_node(fitted.bands),), fitted.error_db, count_of(fitted.bands))


def count_of(bands: tuple[Band, ...]) -> str:
    """``3 bands`` in words."""
    return f"{len(bands)} band{'s' if len(bands) != 1 else ''}"


def to_zero_phase(given: Given) -> Replacement:
    """A filter with phase as a zero-phase equalizer of the same magnitude.

    The equalizer's window smooths its values over neighbouring frequencies; they are corrected by what it loses.
    """
    processor, rate = given.processor, given.sample_rate
    assert isinstance(processor, RecursiveFilter)
    equalizer = Equalizer(rate)
    own = np.arange(equalizer.node_type.width, dtype=np.float64) * (rate / equalizer.taps)
    wanted = np.clip(magnitude_db(processor, given.params, given.wet, own), *EQUALIZER_RANGE_DB)
    values = wanted.copy()
    for _ in range(ROUNDS):
        found = magnitude_db(equalizer, torch.from_numpy(values)[None], 1.0, own)
        values = np.clip(values + STEP * (wanted - found), *EQUALIZER_RANGE_DB)
    grid = fitted_grid(rate)
    curve = magnitude_db(processor, given.params, given.wet, grid)
    weights = passing_weights(grid, passing_power(grid, given.signal, curve, rate))
    found = magnitude_db(equalizer, torch.from_numpy(values)[None], 1.0, grid)
    error = weighted_rms(floored_db(found) - floored_db(curve), weights)
    turn, delay_ms = _phase(processor, given, grid)
    words = f"phase lost: up to {turn:.0f}°, group delay up to {delay_ms:.1f} ms"
    return Replacement((NewNode("equalizer", {"gain_db": values.tolist()}),), error, words)


def _phase(processor: RecursiveFilter, given: Given, grid_hz: Array) -> tuple[float, float]:
    """Largest phase in degrees and largest group delay in ms over a grid, of the filter with its dry/wet."""
    n_fft = 1 << int(np.ceil(np.log2(2 * FFT_SECONDS * processor.sample_rate)))
    with torch.no_grad():
        response = processor.response(given.params, n_fft)[0, 0].numpy()
    phase = np.unwrap(np.angle(given.wet * response + 1 - given.wet))
    hz = np.arange(len(phase)) * (processor.sample_rate / n_fft)
    delay_ms = -1000 * np.gradient(phase, hz) / (2 * np.pi)
    inside = (hz >= grid_hz[0]) & (hz <= grid_hz[-1])
    return float(np.degrees(np.abs(phase[inside]).max())), float(np.abs(delay_ms[inside]).max())
