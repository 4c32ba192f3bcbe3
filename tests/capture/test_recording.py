"""Recordings: what is wrong with them is found and said; what can be put right is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from graphmix.capture.recording import CaptureError, check_controls, load_pair
from graphmix.capture.signal import LOWEST_RATE, capture_signal
from tests.capture.devices import RATE, lowpass, music, saturate, write_pair


def late(samples: int, device: Callable[[np.ndarray], np.ndarray] = saturate) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.concatenate([np.zeros(samples, np.float32), device(x)])[: len(x)]


def notices_of(folder: Path, device: Callable[[np.ndarray], np.ndarray], dry: np.ndarray | None = None) -> str:
    return " ".join(load_pair(*write_pair(folder, device, dry)).notices)


@pytest.mark.parametrize("device", [saturate, lowpass, lambda x: -0.1 * x], ids=["saturation", "filter", "inverter"])
@pytest.mark.parametrize("samples", [0, 1, 37, 5000])
def test_the_latency_is_found_to_the_sample(device: Callable[..., np.ndarray], samples: int, tmp_path: Path):
    recording = load_pair(*write_pair(tmp_path, late(samples, device)))
    assert abs(recording.latency - samples) <= (2 if device is lowpass else 0)  # a filter begins softly
    assert recording.dry.shape == recording.wet.shape


def test_after_alignment_the_device_is_itself(tmp_path: Path):
    recording = load_pair(*write_pair(tmp_path, late(700)))
    assert np.allclose(saturate(recording.dry.numpy()), recording.wet.numpy(), atol=1e-6)


def test_a_recording_that_began_long_before_the_signal_is_aligned_and_keeps_all_of_it(tmp_path: Path):
    early = np.zeros(3 * RATE, np.float32)
    dry = music()
    recording = load_pair(*write_pair(tmp_path, lambda x: np.concatenate([early, saturate(x), early[:RATE]]), dry))
    assert recording.latency == 3 * RATE
    assert recording.dry.shape[-1] == len(dry)
    assert "48000 samples (3000.0 ms) behind" in " ".join(recording.notices)


def test_a_linear_phase_device_lies_ahead(tmp_path: Path):
    ahead = load_pair(*write_pair(tmp_path, lambda x: np.concatenate([saturate(x)[5:], np.zeros(5, np.float32)])))
    assert ahead.latency == -5
    assert "lies 5 samples (0.3 ms) ahead" in " ".join(ahead.notices)


def test_inverted_polarity_is_a_fact_about_the_device(tmp_path: Path):
    recording = load_pair(*write_pair(tmp_path, lambda x: -saturate(x)))
    assert recording.inverted
    assert "the device inverts the polarity" in " ".join(recording.notices)


def test_a_tail_is_cut_and_said(tmp_path: Path):
    longer = notices_of(tmp_path / "a", lambda x: np.concatenate([saturate(x), np.zeros(RATE, np.float32)]))
    assert "the wet recording is 1.000 s longer; its tail is left out" in longer
    shorter = notices_of(tmp_path / "b", lambda x: saturate(x)[: -RATE // 2])
    assert "0.500 s shorter" in shorter


def test_two_equal_channels_are_one(tmp_path: Path):
    assert load_pair(*write_pair(tmp_path, lambda x: np.stack([saturate(x)] * 2))).wet.shape[0] == 1


def test_clipping_and_dropouts_are_found(tmp_path: Path):
    assert "is clipped in" in notices_of(tmp_path / "a", lambda x: np.clip(3 * x, -1, 1))

    def gaps(x: np.ndarray) -> np.ndarray:
        y = saturate(x)
        y[RATE : RATE + 100] = 0
        return y

    assert "drops out in 1 places, the first at 1.00 s" in notices_of(tmp_path / "b", gaps)
    assert not notices_of(tmp_path / "c", saturate)


def test_no_effect_at_all_is_said(tmp_path: Path):
    assert "there is no effect in it" in notices_of(tmp_path / "a", lambda x: x)
    rounded = notices_of(tmp_path / "b", lambda x: np.round(x * 32768).astype(np.float32) / 32768)
    assert "there is no effect in it" in rounded


@pytest.mark.parametrize("latency", [10**7, -(10**7), 6 * RATE - 100])
def test_a_latency_beyond_the_recordings_is_refused(tmp_path: Path, latency: int):
    with pytest.raises(CaptureError, match=rf"at a latency of {latency} samples .* s in common; give --latency"):
        load_pair(*write_pair(tmp_path, saturate), latency=latency)


def test_a_given_latency_is_taken_for_what_it_is(tmp_path: Path):
    """Nothing is said of a polarity that recordings without anything in common cannot show."""
    recording = load_pair(*write_pair(tmp_path, unrelated), latency=0)
    assert recording.latency == 0
    assert not any("polarity" in notice for notice in recording.notices)


def unrelated(x: np.ndarray) -> np.ndarray:
    return (0.1 * np.random.default_rng(3).standard_normal(len(x))).astype(np.float32)


def cut_ahead(x: np.ndarray) -> np.ndarray:
    return np.concatenate([saturate(x)[4000:], np.zeros(4000, np.float32)])


WRONG: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "silence": (np.zeros_like, r"wet\.wav is silent \(peak 0\)"),
    "another take": (unrelated, "have nothing in common at any latency"),
    "wrong order": (cut_ahead, "are they in the wrong"),
    "much longer": (lambda x: np.concatenate([x, np.zeros(11 * RATE, np.float32)]), r"is 11\.0 s longer than"),
    "stereo": (lambda x: np.stack([saturate(x), lowpass(x)]), "two channels that differ .* one by --channel"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_used_is_refused_in_one_sentence(case: str, tmp_path: Path):
    device, message = WRONG[case]
    paths = write_pair(tmp_path, device)
    with pytest.raises(CaptureError, match=message) as error:
        load_pair(*paths)
    assert str(tmp_path) in str(error.value)


def test_one_channel_of_a_stereo_effect_is_chosen(tmp_path: Path):
    paths = write_pair(tmp_path, lambda x: np.stack([saturate(x), lowpass(x)]))
    first, second = (load_pair(*paths, channel=channel).wet.numpy() for channel in (1, 2))
    assert np.allclose(first[0], saturate(music()), atol=1e-6)
    assert np.allclose(second[0, -1000:], lowpass(music())[-1000:], atol=1e-6)
    with pytest.raises(CaptureError, match=r"channel is 3; .*dry\.wav has the channels 1 to 2"):
        load_pair(*paths, channel=3)


def test_ringing_ahead_of_a_click_belongs_to_the_device(tmp_path: Path):
    rate = 22050
    ringing = np.sinc(np.arange(-40, 41) / 2.0) * np.hanning(81)
    late = load_pair(*write_pair(tmp_path, lambda x: np.convolve(x, ringing)[: len(x)], capture_signal(rate), rate))
    assert late.latency < 32  # the peak lies 40 samples behind


def test_unequal_rates_and_short_files_are_refused(tmp_path: Path):
    dry, _ = write_pair(tmp_path / "a", saturate)
    _, wet = write_pair(tmp_path / "b", saturate, rate=22050)
    with pytest.raises(CaptureError, match=r"16000 Hz and .*22050 Hz: record both at one rate"):
        load_pair(dry, wet)
    with pytest.raises(CaptureError, match=r"is shorter than 0\.5 s"):
        load_pair(*write_pair(tmp_path / "c", saturate, music(0.4)))


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    """The test signal at the lowest rate that it has."""
    return capture_signal(LOWEST_RATE)


def test_our_signal_in_the_place_of_the_wet_file_is_in_the_wrong_order(tmp_path: Path, signal: np.ndarray):
    wet, dry = write_pair(tmp_path, saturate, signal, LOWEST_RATE)
    with pytest.raises(CaptureError, match=r"dry\.wav is the test signal itself: dry comes first, then wet"):
        load_pair(dry, wet)


def test_the_device_against_itself_is_measured_where_our_signal_was_played(tmp_path: Path, signal: np.ndarray):
    rng = np.random.default_rng(1)
    rate, dry = LOWEST_RATE, signal
    noise = 0.003 * rng.standard_normal(len(dry)).astype(np.float32)
    noisy = load_pair(*write_pair(tmp_path, lambda x: x + noise, dry, rate))
    power = float(np.mean(np.square(dry[2 * rate : 12 * rate])))
    assert noisy.self_esr == pytest.approx(2 * 0.003**2 / power, rel=0.05)
    filtered = load_pair(*write_pair(tmp_path, late(2, lambda x: 0.5 * x), dry, rate))
    assert filtered.self_esr is not None
    assert filtered.self_esr < 1e-6
    assert load_pair(*write_pair(tmp_path, saturate)).self_esr is None


def test_pairs_of_one_device_have_the_same_controls(tmp_path: Path):
    paths = write_pair(tmp_path, saturate)
    one, two = load_pair(*paths, {"drive": 1.0}), load_pair(*paths, {"drive": 2.0})
    assert check_controls([one, two]) == ("drive",)
    with pytest.raises(CaptureError, match="one pair has the controls drive and another none"):
        check_controls([one, load_pair(*paths)])
    with pytest.raises(CaptureError, match="control 'drive' has one setting in all pairs"):
        check_controls([one, one])
