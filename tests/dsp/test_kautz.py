"""Kautz functions against their definition, and what their combinations can be."""

import numpy as np
import pytest
from scipy import signal

from graphmix.dsp.kautz import filter_basis, kautz, resonances

RATE = 48000


def test_they_are_orthonormal():
    functions = kautz(resonances(12, RATE), 1 << 16)
    assert np.allclose(functions @ functions.T, np.eye(24), atol=1e-6)


def test_poles_are_stable_and_span_the_audible_range():
    poles = resonances(24, RATE)
    hz = np.angle(poles) * RATE / (2 * np.pi)
    assert (np.abs(poles) < 1).all()
    assert hz[0] == pytest.approx(12.0)
    assert np.ptp(np.diff(np.log(hz))) < 1e-9


def test_without_room_for_resonances_all_taps_are_free():
    basis = filter_basis(5, 8, 3, RATE)
    assert np.linalg.matrix_rank(basis) == 5


@pytest.mark.parametrize(("hz", "q", "gain_db"), [(60, 0.7, 6), (400, 1.0, 9.5), (3000, 1.0, -10), (9000, 0.7, 6)])
def test_bells_of_an_equalizer_are_combinations(hz: float, q: float, gain_db: float):
    a, w = 10 ** (gain_db / 40), 2 * np.pi * hz / RATE  # Bristow-Johnson's cookbook
    alpha = np.sin(w) / (2 * q)
    b = [1 + alpha * a, -2 * np.cos(w), 1 - alpha * a]
    impulse = np.eye(1, 4096)[0]
    response = signal.lfilter(b, [1 + alpha / a, -2 * np.cos(w), 1 - alpha / a], impulse)
    basis = filter_basis(4096, 32, 24, RATE)
    weights = np.linalg.lstsq(basis.T, response, rcond=None)[0]
    assert np.square(weights @ basis - response).sum() < 1e-4 * np.square(response).sum()


def test_the_basis_stays_what_files_of_grey_boxes_were_written_with():
    """They hold coefficients: with another basis, each of them would sound otherwise."""
    basis = filter_basis(64, 4, 3, RATE)
    found = basis[[0, 4, 6, 9], [3, 10, 20, 60]]
    assert found == pytest.approx([0.0, 0.0951206011417425, 0.02669705160507965, 0.012894435202527381], rel=1e-9)


@pytest.mark.parametrize("taps", [1, 2, 33, 40, 64, 100, 300, 1000])
@pytest.mark.parametrize("rate", [8000, 48000, 192000])
def test_few_taps_have_a_basis_too(taps: int, rate: int):
    basis = filter_basis(taps, 32, 24, rate)
    assert np.isfinite(basis).all()
    impulse = np.linalg.lstsq(basis.T, np.eye(taps, 1)[:, 0], rcond=None)[0] @ basis
    assert impulse == pytest.approx(np.eye(taps, 1)[:, 0], abs=1e-6)
