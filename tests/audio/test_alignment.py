"""Whether mix and tracks belong together: each fault is found with its number, and songs in order raise no alarm."""

from pathlib import Path

import numpy as np
import pytest
import torch

from graphmix.audio import Song, load_song, write_audio
from graphmix.audio import alignment as alignment_module
from graphmix.audio.alignment import find_faults
from graphmix.audio.correlation import common_lag, fit_tracks

RATE = 30000
SECONDS = 8


def dry_tracks() -> dict[str, np.ndarray]:
    """Hits of noise, a bass line, a chord with vibrato; [2, samples] each."""
    rng = np.random.default_rng(0)
    time = np.arange(SECONDS * RATE) / RATE
    hits = rng.standard_normal(time.size) * np.exp(-12 * (time % 0.41))
    line = 50 * 2 ** (rng.integers(0, 12, SECONDS * 4).repeat(RATE // 4) / 12)
    bass = np.sign(np.sin(2 * np.pi * np.cumsum(line) / RATE)) * (0.5 + 0.5 * np.sin(3 * time))
    chord = sum(np.sin(2 * np.pi * hz * time + 2 * np.sin(5 * time + hz)) for hz in (220, 277, 330))
    chord = np.stack([chord + 0.1 * rng.standard_normal(time.size) for _ in range(2)])
    tracks = {"1_hits.wav": 0.3 * hits, "2_bass.wav": 0.1 * bass, "3_chord.wav": 0.1 * chord}
    return {name: np.broadcast_to(audio, (2, time.size)).copy() for name, audio in tracks.items()}


def mix_of(tracks: dict[str, np.ndarray]) -> np.ndarray:
    """Gains, a short echo on the first track, soft clipping."""
    hits, bass, chord = tracks.values()
    return np.tanh(0.9 * hits + 0.3 * np.roll(hits, 3000, 1) + 0.7 * bass + 1.3 * chord)


def write(folder: Path, tracks: dict[str, np.ndarray], mix: np.ndarray | None, preload: int = 1 << 30) -> Song:
    (folder / "stems").mkdir(parents=True, exist_ok=True)
    for name, audio in tracks.items():
        write_audio(folder / "stems" / name, audio, RATE)
    if mix is not None:
        write_audio(folder / "mix.wav", mix, RATE)
    return load_song(folder, RATE, need_mix=False, preload_bytes=preload)


@pytest.mark.parametrize("preload", [0, 1 << 30])
def test_a_song_in_order_has_no_findings(tmp_path, preload):
    tracks = dry_tracks()
    assert find_faults(write(tmp_path, tracks, mix_of(tracks), preload)) == []


@pytest.mark.parametrize("samples", [-45000, -3001, 200, 12345, 60000])
def test_an_offset_is_found_to_the_millisecond(tmp_path, samples):
    tracks = dry_tracks()
    mix = mix_of(tracks)
    late = np.zeros_like(mix)
    if samples > 0:
        late[:, samples:] = mix[:, :-samples]
    else:
        late[:, :samples] = mix[:, -samples:]
    (finding,) = find_faults(write(tmp_path, tracks, late))
    assert (finding.kind, finding.track) == ("offset", None)
    assert finding.value == pytest.approx(samples / RATE, abs=1e-3)
    assert ("behind" if samples > 0 else "ahead of") in finding.text
    assert '"offset": ' in finding.text


def test_a_latency_of_a_few_samples_is_no_offset(tmp_path):
    tracks = dry_tracks()
    assert find_faults(write(tmp_path, tracks, np.roll(mix_of(tracks), 64, 1))) == []


@pytest.mark.parametrize("name", ["1_hits.wav", "2_bass.wav", "3_chord.wav"])
def test_an_inverted_track_is_named(tmp_path, name):
    tracks = dry_tracks()
    mix = mix_of(tracks)
    tracks[name] *= -1
    (finding,) = find_faults(write(tmp_path, tracks, mix))
    assert (finding.kind, finding.track) == ("polarity", name)
    assert finding.value < 0
    assert f"{name} seems to be inverted" in finding.text


def test_a_second_microphone_of_one_source_is_not_taken_for_inverted(tmp_path):
    tracks = dry_tracks()
    mix = mix_of(tracks)
    rattle = 0.02 * np.random.default_rng(5).standard_normal(mix.shape)
    tracks["4_below.wav"] = -0.5 * tracks["1_hits.wav"] + rattle  # in the mix for its rattle
    assert find_faults(write(tmp_path, tracks, mix + 0.4 * tracks["4_below.wav"])) == []


def test_integers_in_a_file_of_floats_are_named(tmp_path):
    tracks = dry_tracks()
    mix = mix_of(tracks)
    tracks["2_bass.wav"] *= 32768
    (finding,) = find_faults(write(tmp_path, tracks, mix))
    assert (finding.kind, finding.track) == ("scale", "2_bass.wav")
    assert finding.value == pytest.approx(3276.8, rel=0.05)
    assert "+70 dB re full scale" in finding.text
    assert "Divide them by 32768" in finding.text


@pytest.mark.parametrize("value", [-20.0, 25.0])
def test_a_single_huge_sample_is_located(tmp_path, value):
    tracks = dry_tracks()
    mix = mix_of(tracks)
    tracks["3_chord.wav"][0, 100_003] = value
    findings = find_faults(write(tmp_path, tracks, mix))
    assert [(finding.kind, finding.track) for finding in findings] == [("spike", "3_chord.wav")]
    assert findings[0].value == abs(value)
    assert f"at {100_003 / RATE:.3f} s" in findings[0].text


def test_a_single_stroke_is_no_click(tmp_path):
    tracks = dry_tracks()
    time = np.arange(RATE) / RATE
    stroke = np.zeros_like(tracks["1_hits.wav"])
    stroke[:, RATE : 2 * RATE] = np.exp(-200 * time) * np.sin(2 * np.pi * 800 * time)
    tracks["4_woodblock.wav"] = stroke
    assert find_faults(write(tmp_path, tracks, mix_of(dict(list(tracks.items())[:3])) + 0.5 * stroke)) == []


def test_a_constant_is_named(tmp_path):
    tracks = dry_tracks()
    mix = mix_of(tracks)
    tracks["4_empty.wav"] = np.full_like(mix, 0.01)
    (finding,) = find_faults(write(tmp_path, tracks, mix))
    assert (finding.kind, finding.track) == ("dc", "4_empty.wav")
    assert finding.value == pytest.approx(0.01, rel=1e-4)


def test_the_mix_of_another_song_is_unrelated(tmp_path):
    tracks = dry_tracks()
    rng = np.random.default_rng(9)
    time = np.arange(SECONDS * RATE) / RATE
    other = 0.1 * np.sin(2 * np.pi * 300 * time + 3 * np.sin(2 * time)) + 0.1 * rng.standard_normal((2, time.size))
    (finding,) = find_faults(write(tmp_path, tracks, other))
    assert (finding.kind, finding.track) == ("unrelated", None)
    assert finding.value < 0.02
    assert "mix of another song" in finding.text


def test_silent_tracks_and_a_missing_mix_raise_no_alarm(tmp_path):
    tracks = dry_tracks()
    mix = mix_of(tracks)
    tracks["4_silent.wav"] = np.zeros_like(mix)
    assert find_faults(write(tmp_path / "a", tracks, mix)) == []
    assert find_faults(write(tmp_path / "b", tracks, None)) == []


def test_silence_around_and_within_the_mix_raises_no_alarm(tmp_path):
    tracks = {name: np.pad(audio, ((0, 0), (RATE, RATE))) for name, audio in dry_tracks().items()}
    mix = mix_of(tracks)
    mix[:, 4 * RATE : 5 * RATE] = 0
    assert find_faults(write(tmp_path, tracks, mix)) == []


def test_a_song_too_short_for_a_verdict_does_not_fail(tmp_path):
    tracks = {name: audio[:, :8200] for name, audio in dry_tracks().items()}
    find_faults(write(tmp_path, tracks, sum(tracks.values())))


def test_a_song_too_large_for_the_memory_is_looked_at_more_coarsely(tmp_path, monkeypatch):
    monkeypatch.setattr(alignment_module, "LOW_BYTES", 4 * 4 * SECONDS * 2000)
    tracks = dry_tracks()
    song = write(tmp_path, tracks, np.roll(mix_of(tracks), 6000, 1))
    assert alignment_module.profile_song(song).rate <= 2000
    (finding,) = find_faults(song)
    assert finding.value == pytest.approx(0.2, abs=1e-3)


def test_the_lag_and_the_gains_of_a_sum_are_exact():
    rng = np.random.default_rng(1)
    tracks = rng.standard_normal((3, 20_000)).astype(np.float32)
    mix = np.roll(np.array([0.5, -1.0, 2.0], np.float32) @ tracks, 70)
    lag, power, best = common_lag(tracks, mix)
    assert (lag, [place for place, _ in best]) == (70, [70, 70, 70])
    assert power > 1000
    gains, share = fit_tracks(tracks, mix, 70)
    torch.testing.assert_close(torch.from_numpy(gains), torch.tensor([0.5, -1.0, 2.0]).double(), atol=0.02, rtol=0)
    assert share > 0.98


@pytest.mark.parametrize(
    "name",
    [
        "dr8v2",
        "inner_recreation",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("buzzer_beater", "krem_kaakkuja")),
    ],
)
def test_real_songs_raise_no_alarm(shared_audio, name):
    assert find_faults(load_song(shared_audio / name)) == []


def test_a_real_mix_of_another_song_is_unrelated(shared_audio):
    song = load_song(shared_audio / "dr8v2", mix=shared_audio / "final_step" / "mix.flac")
    assert [finding.kind for finding in find_faults(song)] == ["unrelated"]
