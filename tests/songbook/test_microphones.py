"""A drum set before microphones, recordings with rooms and noise, and the checks of a song."""

import numpy as np
import pytest
import torch
from scipy import signal

from graphmix.songbook.checks import flat_tops, most_alike, why_rejected
from graphmix.songbook.microphones import (
    MOST_MICROPHONES,
    Setup,
    draw_setup,
    place_strokes,
    plan_microphones,
    record_drums,
    room_response,
)
from graphmix.songbook.recording import Recording, draw_recording, record, tilted
from graphmix.songbook.roles import ROLES, find_role
from graphmix.songbook.soundfont import PlayedNote
from graphmix.songbook.synth import SYNTH_RATE
from graphmix.songbook.topology import PlannedTrack

SECOND = SYNTH_RATE
NOTHING = Recording(0.0, None, 0.3, None, None, 50.0, None, 0)


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * SECOND)) / SECOND)


def level_at(audio: np.ndarray, hz: float) -> float:
    """Level of a sine in a second of audio, in dB."""
    spectrum = np.abs(np.fft.rfft(audio[:SECOND] * np.hanning(SECOND))) / (SECOND / 4)
    return float(20 * np.log10(spectrum[round(hz) - 2 : round(hz) + 3].max() + 1e-12))


def planned(count: int) -> list[PlannedTrack]:
    return plan_microphones([PlannedTrack(f"{k + 1:02d}_x", "kick", k) for k in range(count)])


def test_microphones_are_put_up_in_the_usual_order() -> None:
    assert [t.role for t in planned(1)] == ["overheads"]
    assert [t.name for t in planned(3)] == ["01_kick", "02_snare", "03_overheads"]
    assert {t.role for t in planned(6)} == {"kick", "snare", "hats", "toms", "overheads", "room"}
    many = planned(20)
    assert len({t.name for t in many}) == 20
    assert [t.name.endswith("_sample") for t in many] == [k >= MOST_MICROPHONES for k in range(20)]


def test_a_microphone_has_its_own_drum_and_less_of_the_others() -> None:
    pieces = {"kick": tone(60), "snare": tone(200), "hats": tone(3000), "crash": tone(4000)}
    tracks = planned(7)
    setup = Setup(isolation_db=0.0, room_s=0.3, room_delay_s=0.01, width=1.0)
    audio = dict(
        zip((t.name for t in tracks), record_drums(pieces, tracks, setup, np.random.default_rng(0)), strict=True)
    )
    snare = next(a for name, a in audio.items() if name.endswith("_snare"))[0]
    kick = next(a for name, a in audio.items() if name.endswith("_kick"))[0]
    assert level_at(snare, 200) == pytest.approx(0, abs=0.5)
    assert level_at(kick, 60) == pytest.approx(0, abs=0.5)
    assert -34 < level_at(snare, 3000) < -12
    assert -45 < level_at(kick, 200) < -20
    left, right = next(a for name, a in audio.items() if "overheads" in name)
    assert level_at(right, 3000) - level_at(left, 3000) == pytest.approx(20 * np.log10(1.275 / 0.725), abs=0.1)
    assert level_at(left, 60) == pytest.approx(level_at(right, 60), abs=0.1)


def test_the_underside_of_a_snare_is_inverted_and_isolation_moves_bleed() -> None:
    pieces = {"snare": tone(3000), "kick": tone(60)}
    top, bottom = (PlannedTrack("a", "snare", 0), PlannedTrack("b", "snare", 1))
    near, far = (
        record_drums(pieces, [top, bottom], Setup(db, 0.3, 0.01, 1.0), np.random.default_rng(0)) for db in (0.0, -12.0)
    )
    assert np.corrcoef(near[0][0], near[1][0])[0, 1] < -0.9
    assert level_at(near[0][0], 60) - level_at(far[0][0], 60) == pytest.approx(12, abs=0.1)


@pytest.mark.parametrize("seconds", [0.3, 0.8])
def test_a_room_falls_by_sixty_decibels_in_its_time(seconds: float) -> None:
    response = room_response(seconds, np.random.default_rng(0))
    assert np.mean(np.sum(np.square(response), axis=1)) == pytest.approx(1)
    dark = signal.sosfilt(signal.butter(2, 1500, fs=SYNTH_RATE, output="sos"), response[0])
    energy = np.cumsum(np.square(dark)[::-1])[::-1]  # Schroeder's backward integration
    fall = 10 * np.log10(energy / energy[0])
    early, late = (int(np.argmax(fall < db)) for db in (-10, -30))
    assert 3 * (late - early) / SYNTH_RATE == pytest.approx(seconds, rel=0.2)


def test_a_hat_ends_the_one_before_and_strokes_keep_their_times() -> None:
    long = np.ones(SECOND)
    strokes = [(PlayedNote(0.1, 0.1, 42, 1.0), long), (PlayedNote(0.5, 0.1, 46, 1.0), 2 * long)]
    hats = place_strokes(strokes, SECOND, is_hat=True)
    plain = place_strokes(strokes, SECOND)
    at = round(0.6 * SECOND)
    assert (hats[at], plain[at]) == (2, 3)
    assert hats[round(0.1 * SECOND) - 1] == 0
    assert hats[round(0.1 * SECOND)] == 1


# --- recordings


def test_a_recording_without_anything_is_the_part_itself() -> None:
    audio = np.stack([tone(300), tone(500)])
    assert np.allclose(record(audio, NOTHING, np.random.default_rng(0)), audio, atol=1e-12)


def test_a_tilt_is_half_above_and_half_below() -> None:
    for tilt in (-6.0, 4.0):
        low, high = (level_at(tilted(tone(hz, 2)[None], tilt)[0][SECOND // 2 :], hz) for hz in (20, 18000))
        assert high - low == pytest.approx(tilt, abs=0.2)
        assert high == pytest.approx(tilt / 2, abs=0.2)


def test_noise_hum_offset_and_clicks_have_their_levels() -> None:
    audio, rng = tone(1000)[None], np.random.default_rng(0)
    rms_db = -3.0103
    noise = record(audio, Recording(0, None, 0.3, -50.0, None, 50, None, 0), rng) - audio
    assert 10 * np.log10(np.mean(np.square(noise))) == pytest.approx(rms_db - 50, abs=0.2)
    hum = record(audio, Recording(0, None, 0.3, None, -40.0, 60, None, 0), rng) - audio
    assert level_at(hum[0], 60) == pytest.approx(rms_db - 40, abs=0.2)
    offset = record(audio, Recording(0, None, 0.3, None, None, 50, -30.0, 0), rng) - audio
    assert 20 * np.log10(np.abs(offset).mean()) == pytest.approx(rms_db - 30, abs=0.1)
    clicks = record(audio, Recording(0, None, 0.3, None, None, 50, None, 3), rng) - audio
    assert 1 <= np.sum(np.diff(np.flatnonzero(np.abs(clicks[0]) > 0.1), prepend=-99) > 8) <= 3


def test_what_is_drawn_suits_the_role() -> None:
    rng = np.random.default_rng(0)
    drawn = {role: [draw_recording(find_role(role), rng) for _ in range(400)] for role in ("kick", "pad", "room")}
    assert not any(r.room_db or r.hum_db for r in drawn["kick"])
    assert 0.25 < np.mean([r.room_db is not None for r in drawn["pad"]]) < 0.45
    assert "room" not in ROLES  # no song without microphones has it
    assert 0.2 < draw_setup(rng).room_s < 1.1


# --- checks


def song(**tracks: np.ndarray) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.atleast_2d(audio)).float() for name, audio in tracks.items()}


def test_good_songs_pass_and_bad_ones_say_why() -> None:
    a, b = 0.5 * tone(300, 4), 0.3 * tone(440, 4)
    mix = torch.from_numpy(np.stack([a + b, a + b])).float()
    assert why_rejected(song(a=a, b=b), mix, SYNTH_RATE) is None
    assert why_rejected(song(a=a, b=0 * b), mix, SYNTH_RATE) == "silent: b"
    assert why_rejected(song(a=a, b=2e-4 * b), mix, SYNTH_RATE) == "silent: b"  # 80 dB of gain would be needed
    assert why_rejected(song(a=a, b=b), 0 * mix, SYNTH_RATE) == "silent"
    quiet = mix.clone()
    quiet[:, SECOND:] = 0
    assert why_rejected(song(a=a, b=b), quiet, SYNTH_RATE) == "silent"
    assert why_rejected(song(a=np.clip(2 * a, -0.6, 0.6), b=b), mix, SYNTH_RATE) == "clipped: a"
    assert why_rejected(song(a=a, b=b, c=-0.2 * a), mix, SYNTH_RATE) == "alike: a and c"


def test_flat_tops_and_likeness_by_hand() -> None:
    assert flat_tops(np.array([[0, 1, 1, 1, 1, 0, 1, 1, 0]], dtype=np.float32)) == 1
    assert flat_tops(np.zeros((2, 10), dtype=np.float32)) == 0
    rng = np.random.default_rng(0)
    tracks = [rng.standard_normal(4000) for _ in range(3)]
    assert most_alike(tracks) is None
    assert most_alike([*tracks, 3 * tracks[1]]) == (1, 3)
