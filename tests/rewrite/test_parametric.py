"""Bands against SciPy's filters, and fits of curves that few bands have made."""

import numpy as np
import pytest
from scipy.signal import butter, freqz, iirnotch, iirpeak

from graphmix.errors import GraphError
from graphmix.rewrite.parametric import FITTED_HZ, Band, Limits, Shape, fit_bands, response, response_db

RATE = 48000
HZ = np.geomspace(30, 16000, 200)


def of_scipy(b, a):
    return freqz(b, a, HZ, fs=RATE)[1]


def test_passes_of_a_butterworth_q_are_butterworth_filters():
    for shape, kind in ((Shape.high_pass, "highpass"), (Shape.low_pass, "lowpass")):
        expected = of_scipy(*butter(2, 700.0, kind, fs=RATE))
        assert np.allclose(response([Band(shape, 700.0)], HZ, RATE), expected, atol=1e-9)


def test_notch_and_band_pass_are_those_of_scipy_up_to_their_definition_of_width():
    # SciPy takes the bandwidth on the digital axis; far below half the rate both are the same
    hz = 200.0
    assert np.allclose(
        response([Band(Shape.notch, hz, q=3.0)], HZ, RATE), of_scipy(*iirnotch(hz, 3.0, RATE)), atol=1e-3
    )
    assert np.allclose(
        response([Band(Shape.band_pass, hz, q=3.0)], HZ, RATE), of_scipy(*iirpeak(hz, 3.0, RATE)), atol=1e-3
    )


def cookbook(shape, hz, gain_db, q):
    """Digital coefficients as mixers have them, written out."""
    a, w = 10 ** (gain_db / 40), 2 * np.pi * hz / RATE
    alpha, c, r = np.sin(w) / (2 * q), np.cos(w), 2 * np.sqrt(a) * np.sin(w) / (2 * q)
    if shape is Shape.bell:
        return [1 + alpha * a, -2 * c, 1 - alpha * a], [1 + alpha / a, -2 * c, 1 - alpha / a]
    s = 1 if shape is Shape.low_shelf else -1
    b = [a * (a + 1 - s * (a - 1) * c + r), s * 2 * a * (a - 1 - s * (a + 1) * c), a * (a + 1 - s * (a - 1) * c - r)]
    return b, [a + 1 + s * (a - 1) * c + r, -s * 2 * (a - 1 + s * (a + 1) * c), a + 1 + s * (a - 1) * c - r]


@pytest.mark.parametrize("shape", [Shape.bell, Shape.low_shelf, Shape.high_shelf])
@pytest.mark.parametrize(("hz", "gain_db", "q"), [(120.0, 9.0, 0.7), (3000.0, -14.0, 0.7), (9000.0, 4.0, 2.5)])
def test_bells_and_shelves_are_those_of_digital_coefficients(shape, hz, gain_db, q):
    expected = of_scipy(*cookbook(shape, hz, gain_db, q))
    assert np.allclose(response([Band(shape, hz, gain_db, q)], HZ, RATE), expected, atol=1e-9)


def test_a_curve_of_few_bands_is_found_again():
    bands = [Band(Shape.low_shelf, 110.0, 5.0), Band(Shape.bell, 400.0, -7.0, 1.2), Band(Shape.bell, 3000.0, 6.0, 2.0)]
    fitted = fit_bands(HZ, response_db(bands, HZ, RATE) - 2, RATE, tolerance_db=0.05)
    assert fitted.error_db < 0.05
    assert len(fitted.bands) == 3
    assert fitted.gain_db == pytest.approx(-2, abs=0.2)
    inside = HZ[(FITTED_HZ[0] < HZ) & (FITTED_HZ[1] > HZ)]
    difference = response_db(fitted.bands, inside, RATE) + fitted.gain_db - response_db(bands, inside, RATE) + 2
    assert np.abs(difference).max() < 0.3


def test_fewer_bands_do_where_more_error_is_allowed_and_limits_hold():
    rng = np.random.default_rng(0)
    curve = np.interp(np.log(HZ), np.log(np.geomspace(30, 16000, 12)), rng.uniform(-15, 12, 12))
    rough, fine = (fit_bands(HZ, curve, RATE, tolerance_db=tolerance) for tolerance in (4.0, 0.5))
    assert len(rough.bands) < len(fine.bands)
    assert fine.error_db < 1.0 < rough.error_db <= 4.0
    few = fit_bands(HZ, curve, RATE, Limits(bells=2, gain_db=6.0), tolerance_db=0.1)
    assert sum(band.shape is Shape.bell for band in few.bands) <= 2
    assert all(abs(band.gain_db) <= 6 for band in few.bands)


def test_a_flat_curve_is_a_gain_and_no_band():
    fitted = fit_bands(HZ, np.full(len(HZ), -3.0), RATE)
    assert fitted.bands == ()
    assert fitted.gain_db == pytest.approx(-3)


def test_a_curve_that_is_none_is_refused():
    with pytest.raises(GraphError, match="finite gains at rising frequencies"):
        fit_bands(HZ[::-1], np.zeros(len(HZ)), RATE)
