"""The demo song: what its tracks promise, and the instruments against closed forms."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from graphmix.errors import SongError
from graphmix.songbook import synth
from graphmix.songbook.demo_stems import BEATS_PER_MINUTE, DEMO_SUBGROUPS, demo_stems

NAMES = [name for names in DEMO_SUBGROUPS.values() for name in names]
RATE = 44100
Stems = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def stems() -> Stems:
    return demo_stems()


@pytest.fixture(scope="module")
def stems_30k() -> Stems:
    return demo_stems(30000)


def _power(track: NDArray[np.float32], rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies and power below 12 kHz, the band that all tested rates share."""
    mono = track.mean(0, dtype=np.float64)
    hz = np.fft.rfftfreq(mono.size, 1 / rate)
    shared = (hz > 20) & (hz < 12000)
    power = np.abs(np.fft.rfft(mono)[shared]) ** 2
    return np.asarray(hz[shared], dtype=np.float64), np.asarray(power, dtype=np.float64)


def _levels_db(track: NDArray[np.float32], seconds: float = 0.02) -> NDArray[np.float64]:
    """Energy of successive frames in dB."""
    frame = round(seconds * RATE)
    mono = track.mean(0, dtype=np.float64)
    frames = mono[: mono.size // frame * frame].reshape(-1, frame)
    return np.asarray(10 * np.log10((frames**2).mean(1) + 1e-12))


def _pitch_hz(audio: NDArray[np.float64], around_hz: float) -> float:
    """Strongest frequency within a third of an octave, from a zero-padded transform."""
    size = 1 << 20
    hz = np.fft.rfftfreq(size, 1 / RATE)
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(audio.size), size))
    near = np.abs(np.log2(np.maximum(hz, 1) / around_hz)) < 1 / 3
    return float(hz[near][spectrum[near].argmax()])


def test_the_tracks_are_ten_in_the_order_of_three_subgroups(stems: Stems) -> None:
    assert list(stems) == NAMES == sorted(NAMES)
    assert list(DEMO_SUBGROUPS) == ["drums", "harmony", "lead"]
    assert len(stems) == 10


@pytest.mark.parametrize(("rate", "seconds"), [(44100, 1.0), (48000, 1.37), (22050, 2.41), (44101, 1.5)])
def test_the_length_is_exact_and_the_peak_below_minus_one_decibel(rate: int, seconds: float) -> None:
    for track in demo_stems(rate, seed=3, seconds=seconds).values():
        assert track.shape == (2, round(seconds * rate))
        assert track.dtype == np.float32
        assert np.isfinite(track).all()
        assert 10 ** (-24 / 20) < np.abs(track).max() <= 10 ** (-1 / 20)


@pytest.mark.parametrize("rate", [30000, 48000, 96000])
def test_no_rate_pushes_a_peak_over_minus_one_decibel(rate: int) -> None:
    peaks = [np.abs(track).max() for track in demo_stems(rate, seed=1, seconds=4.0).values()]
    assert max(peaks) <= 10 ** (-1 / 20)


@pytest.mark.parametrize("name", NAMES)
def test_each_track_is_finite_audible_and_without_offset(stems: Stems, name: str) -> None:
    track = stems[name]
    assert track.shape == (2, 12 * RATE)
    assert np.isfinite(track).all()
    assert 10 ** (-24 / 20) < np.abs(track).max() <= 10 ** (-1 / 20)
    assert np.sqrt((track.astype(np.float64) ** 2).mean()) > 10 ** (-50 / 20)
    assert abs(track.mean(dtype=np.float64)) < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_each_track_sounds_in_each_bar(stems: Stems, name: str) -> None:
    bars = stems[name].reshape(2, 5, -1)
    assert (np.abs(bars).max((0, 2)) > 0.2 * np.abs(bars).max()).all()


def test_the_same_seed_gives_the_same_samples_and_another_seed_others() -> None:
    first, again, other = (demo_stems(seed=seed, seconds=1.5) for seed in (5, 5, 6))
    for name in NAMES:
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.allclose(first[name], other[name], atol=1e-3)


def test_a_longer_song_begins_like_a_shorter_one_at_another_level(stems: Stems) -> None:
    # Levels are set by the peak of the whole track, and noise is drawn in one go: drums and bass compare.
    short, long = demo_stems(seconds=2.4), stems
    for name in ("02_snare.wav", "05_bass.wav", "08_arpeggio.wav"):
        a, b = short[name][0, : 2 * RATE], long[name][0, : 2 * RATE]
        assert np.corrcoef(a, b)[0, 1] > 0.99
    assert np.abs(long["01_kick.wav"][0, -2 * RATE :]).max() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_a_track_has_the_same_content_at_30_and_44_kilohertz(stems: Stems, stems_30k: Stems, name: str) -> None:
    centroids = [
        (hz * power).sum() / power.sum() for hz, power in (_power(stems[name], RATE), _power(stems_30k[name], 30000))
    ]
    assert centroids[0] == pytest.approx(centroids[1], rel=1e-3)
    # An independent, windowed resampler agrees sample by sample where the band below 12 kHz is concerned.
    lowpass = signal.firwin(301, 11000, fs=30000)
    expected = signal.resample_poly(stems[name][0].astype(np.float64), 100, 147)
    difference = signal.fftconvolve(expected - stems_30k[name][0], lowpass, "same")
    assert np.sqrt((difference**2).mean()) < 2e-3 * np.sqrt((expected**2).mean())


def test_no_two_tracks_share_a_spectrum(stems: Stems) -> None:
    edges = 25 * 2 ** (np.arange(28) / 3)  # third octaves from 25 Hz to 12 kHz
    shapes = []
    for track in stems.values():
        hz, power = _power(track, RATE)
        bands = np.sqrt(np.histogram(hz, edges, weights=power)[0])
        shapes.append(bands / np.linalg.norm(bands))
    likeness = np.array(shapes) @ np.array(shapes).T - np.eye(len(shapes))
    assert likeness.max() < 0.95


def test_only_the_pad_has_a_side_and_a_small_one(stems: Stems) -> None:
    for name, (left, right) in stems.items():
        ratio = np.std(left - right) / np.std(left + right)
        assert (0.05 < ratio < 0.3) if name == "07_pad.wav" else ratio == 0, name


def test_the_kick_falls_on_the_first_beat_of_each_bar(stems: Stems) -> None:
    bar = round(4 * 60 / BEATS_PER_MINUTE * RATE)
    energy = stems["01_kick.wav"][0].astype(np.float64) ** 2
    for start in range(bar, 5 * bar, bar):
        before, after = energy[start - 2000 : start - 600], energy[start : start + 2000]
        assert after.mean() > 10 * before.mean()


def test_the_lead_begins_on_e_and_ends_on_a(stems: Stems) -> None:
    lead = stems["09_lead.wav"][0].astype(np.float64)
    first = _pitch_hz(lead[round(0.05 * RATE) : round(0.25 * RATE)], 659.26)
    last = _pitch_hz(lead[round(10.5 * RATE) : round(11.3 * RATE)], 440.0)
    assert first == pytest.approx(659.26, rel=0.01)
    assert last == pytest.approx(440.0, rel=0.015)  # its vibrato is 0.22 semitones deep


def test_the_bass_is_uneven_enough_for_a_compressor(stems: Stems) -> None:
    levels = _levels_db(stems["05_bass.wav"], 0.1)
    sounding = levels[levels > levels.max() - 35]
    assert np.percentile(sounding, 95) - np.percentile(sounding, 10) > 12


def test_the_pluck_alone_keeps_a_floor_of_noise_for_a_gate(stems: Stems) -> None:
    start = stems["10_pluck.wav"][:, : round(0.25 * RATE)]  # before its first note
    floor, peak = np.std(start), np.abs(stems["10_pluck.wav"]).max()
    assert -46 < 20 * np.log10(floor / peak) < -34
    assert np.abs(stems["04_congas.wav"][:, : round(0.25 * RATE)]).max() == 0


def test_the_hats_are_louder_than_the_lead(stems: Stems) -> None:
    assert np.std(stems["03_hats.wav"]) > 1.2 * np.std(stems["09_lead.wav"])


@pytest.mark.parametrize("pitch", [45, 57, 62, 69, 74.5, 81])
def test_the_plucked_string_is_in_tune(pitch: float) -> None:
    sound = synth.plucked_string(pitch, 1.0, 0.9, np.random.default_rng(0))
    cents = 1200 * math.log2(_pitch_hz(sound, synth.frequency_hz(pitch)) / synth.frequency_hz(pitch))
    assert abs(cents) < 3


def test_a_boost_raises_the_middle_of_its_band_by_its_gain_and_leaves_the_rest() -> None:
    impulse = np.zeros(1 << 16)
    impulse[0] = 1
    response = np.abs(np.fft.rfft(synth.boost(impulse, 150, 400, 10)))
    hz = np.fft.rfftfreq(impulse.size, 1 / RATE)
    at = {f: 20 * np.log10(response[np.abs(hz - f).argmin()]) for f in (5, 245, 18000)}
    assert at[245] == pytest.approx(10, abs=0.05)
    assert abs(at[5]) < 0.1
    assert abs(at[18000]) < 0.1


@pytest.mark.parametrize("pitch", [33, 57, 84, 100])
def test_a_blend_of_harmonics_has_no_partials_between_them(pitch: float) -> None:
    sound = synth.lead(pitch, 0.5, 1.0)[round(0.16 * RATE) : round(0.22 * RATE) * 2]
    spectrum = np.abs(np.fft.rfft(sound * np.blackman(sound.size))) ** 2
    hz = np.fft.rfftfreq(sound.size, 1 / RATE)
    ranks = hz / synth.frequency_hz(pitch)
    near = (np.abs(ranks - np.round(ranks)) * synth.frequency_hz(pitch) < 30 + 0.02 * hz) & (ranks > 0.5)
    assert spectrum[~near].sum() < 1e-3 * spectrum.sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_rate": 8000}, "22050 Hz or more, not 8000"),
        ({"seed": -1}, "seed of the demo song is -1"),
        ({"seconds": 0.5}, "cannot last 0.5 seconds"),
        ({"seconds": math.inf}, "cannot last inf seconds"),
        ({"seconds": math.nan}, "cannot last nan seconds"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(SongError, match=message):
        demo_stems(**arguments)  # type: ignore[arg-type]
