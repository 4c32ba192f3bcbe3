"""Decisions follow from what is measured: each fault brings its correction, and chance is all that the oracle lacks."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.errors import SongError
from graphmix.graph.mixgraph import MixGraph
from graphmix.render.renderer import Renderer
from graphmix.songbook import SongbookSettings
from graphmix.songbook.condition import Condition, at_level, spoil
from graphmix.songbook.effects import compression_change, equalizer, equalizer_curve, panned_gain, studio
from graphmix.songbook.engineer import Wish, decide_gain, decide_track
from graphmix.songbook.features import measure
from graphmix.songbook.mixing import MIX_LOUDNESS_DB, PEAK_CEILING_DB, mix_session
from graphmix.songbook.playing import Audio, play, resampled
from graphmix.songbook.roles import FAMILIES, FAMILY_SIZES, ROLES, find_role
from graphmix.songbook.score import GENRES, Form, draw_form, write_part
from graphmix.songbook.session import Luck, MixingStyle, Session, draw_style
from graphmix.songbook.voices import VOICES

RATE = 30000
FAIR = Condition(None, (), None, None, None, 0.0, 0.0)
NO_LUCK = Luck((0,), 0.0)


def a_form(seconds: float = 8.0, genre: int = 1) -> Form:
    return draw_form(np.random.default_rng(3), GENRES[genre], seconds)


def clean(role: str, seconds: float = 8.0) -> Audio:
    form = a_form(seconds)
    return play(role, write_part(role, form, np.random.default_rng(5)), form, np.random.default_rng(6), RATE)


def arrived(role: str, condition: Condition, others: tuple[Audio, ...] = ()) -> Audio:
    audio = spoil(clean(role), condition, find_role(role), others, np.random.default_rng(7), RATE)
    return at_level(audio, -6.0)


def kinds(role: str, condition: Condition, others: tuple[Audio, ...] = ()) -> list[str]:
    chain = decide_track(
        measure(arrived(role, condition, others), RATE), find_role(role), Wish(-20, 0.0), MixingStyle(), NO_LUCK, RATE
    )
    return [kind for kind, _, _ in chain]


def curve_of(role: str, condition: Condition) -> np.ndarray:
    chain = decide_track(
        measure(arrived(role, condition), RATE), find_role(role), Wish(-20, 0.0), MixingStyle(), NO_LUCK, RATE
    )
    gains = [values["gain_db"] for kind, _, values in chain if kind == "equalizer"]
    return np.asarray(gains[0] if gains else np.zeros(1024))


# --- parts


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_a_voice_that_sounds(role: str) -> None:
    audio = clean(role, 5.0)
    assert role in VOICES
    assert audio.shape[1] == 5 * RATE
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() > 0.05


def test_the_families_hold_every_role_once() -> None:
    assert sorted(role for roles in FAMILIES.values() for role in roles) == sorted(ROLES)
    assert FAMILIES.keys() == FAMILY_SIZES.keys()


def test_resampling_keeps_a_tone() -> None:
    time = np.arange(44100) / 44100
    ours = resampled(np.sin(2 * np.pi * 440 * time), 44100, RATE, RATE)
    expected = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert np.abs(ours - expected)[1000:-1000].max() < 1e-3


def test_a_role_that_there_is_not_is_refused() -> None:
    with pytest.raises(SongError, match="no role 'theremin'; choose one of: kick"):
        find_role("theremin")


# --- measuring


def test_loudness_of_a_tone_is_its_level() -> None:
    time = np.arange(5 * RATE) / RATE
    f = measure(0.1 * np.sin(2 * np.pi * 500 * time)[None], RATE)
    assert f.loudness_db == pytest.approx(-23.0, abs=0.6)
    assert f.peak_db == pytest.approx(-20.0, abs=0.1)
    assert f.sustain == 1.0


def test_width_is_side_over_mid() -> None:
    noise = np.random.default_rng(0).standard_normal((2, 2 * RATE))
    mid, side = noise[0], 0.1 * noise[1]
    assert measure(np.stack([mid + side, mid - side]), RATE).width_db == pytest.approx(-20, abs=0.3)
    assert measure(mid[None], RATE).width_db == -100.0
    assert measure(np.stack([mid, mid]), RATE).width_db == -100.0


def test_mono_measures_the_same_as_two_equal_channels() -> None:
    audio = clean("snare").astype(np.float32)
    one, two = measure(audio, RATE), measure(np.concatenate([audio, audio]), RATE)
    for name, value in vars(one).items():
        assert np.array_equal(value, getattr(two, name)), name


def test_the_pulse_of_a_beat_is_found() -> None:
    audio = np.zeros((1, 6 * RATE))
    for beat in range(12):
        audio[0, beat * RATE // 2 : beat * RATE // 2 + 3000] = np.random.default_rng(beat).standard_normal(3000)
    f = measure(audio, RATE)
    assert f.pulse_s == pytest.approx(0.5, abs=0.02)
    assert f.spread_db < 2


@given(st.floats(-20, 10))
@settings(max_examples=20, deadline=None)
def test_levels_follow_a_gain_and_all_else_stays(gain_db: float) -> None:
    audio = clean("snare", 5.0)
    one, two = measure(audio, RATE), measure(audio * 10 ** (gain_db / 20), RATE)
    assert two.loudness_db - one.loudness_db == pytest.approx(gain_db, abs=0.8)  # the gate at -70 dB moves
    assert two.bright_db == pytest.approx(one.bright_db, abs=0.3)
    assert two.pulse_s == one.pulse_s


# --- effects


def test_a_panned_gain_keeps_the_power_and_leans_to_its_side() -> None:
    for place in (-0.8, -0.3, 0.0, 0.5):
        left, right = panned_gain(-6.0, place)[2]["gain_db"]
        assert 10 * math.log10((10 ** (left / 10) + 10 ** (right / 10)) / 2) == pytest.approx(-6, abs=0.01)
        assert (left > right) == (place < 0)


def test_an_equalizer_has_the_curve_that_was_asked_for() -> None:
    settings = equalizer(RATE, 100.0, (1000.0, -8.0, 0.5), 4.0)
    rack = studio(RATE).rack
    graph = MixGraph(rack.types, RATE)
    graph.chain(graph.add("in"), graph.add(settings[0], **settings[2]), graph.add("out"))
    impulse = torch.zeros(1, 2, 1 << 14)
    impulse[..., 1 << 13] = 1
    response = Renderer(rack)(graph, impulse)[0, 0].double().numpy()
    magnitude = 20 * np.log10(np.abs(np.fft.rfft(response)))
    hz = np.fft.rfftfreq(1 << 14, 1 / RATE)
    for at in (200.0, 1000.0, 4000.0, 10000.0):
        wanted = equalizer_curve(np.array([at]), 100.0, (1000.0, -8.0, 0.5), 4.0)[0]
        assert np.interp(at, hz, magnitude) == pytest.approx(wanted, abs=0.5)
    assert np.interp(40.0, hz, magnitude) < -8


def test_the_estimated_compression_is_what_the_compressor_does() -> None:
    audio = torch.from_numpy(clean("bass").astype(np.float32)).expand(2, -1)
    rack = studio(RATE).rack
    graph = MixGraph(rack.types, RATE)
    values = {"threshold_db": -30.0, "ratio": 4.0, "knee_db": 6.0, "time_ms": 20.0}
    graph.chain(graph.add("in"), graph.add("compressor", **values), graph.add("out"))
    out = Renderer(rack)(graph, audio[None])[0]
    real = 10 * math.log10(float(out.square().mean() / audio.square().mean()))
    estimate = compression_change(measure(audio.numpy(), RATE).frames_db, -30.0, 4.0, 6.0)
    assert estimate == pytest.approx(real, abs=1.5)
    assert real < -3


# --- decisions


def test_rumble_brings_a_low_cut() -> None:
    curve = curve_of("lead", replace(FAIR, rumble_db=-8.0))
    assert curve[2] < -10
    assert curve_of("lead", FAIR)[2] > -8


def test_a_resonance_brings_a_cut_there() -> None:
    hz = 3500.0
    curve = curve_of("riser", replace(FAIR, resonances=((hz, 11.0),)))
    assert curve[round(hz / (RATE / 2) * curve.size)] < -3


def test_a_dull_track_brings_a_high_shelf() -> None:
    assert curve_of("snare", replace(FAIR, dull_hz=1200.0))[-100] > curve_of("snare", FAIR)[-100] + 3


def test_uneven_strokes_bring_a_compressor() -> None:
    assert "compressor" in kinds("bass", replace(FAIR, uneven_db=6.5))


def test_hiss_in_pauses_brings_a_gate() -> None:
    assert "noisegate" in kinds("snare", replace(FAIR, hiss_db=-36.0))
    assert "noisegate" not in kinds("snare", FAIR)
    assert "noisegate" not in kinds("organ", replace(FAIR, hiss_db=-36.0))


def test_a_narrow_pad_is_widened_and_a_mono_track_has_no_imager() -> None:
    mid = clean("pad")[:1] * 1.0
    narrow = np.concatenate([mid, mid]) + 0.02 * np.concatenate([np.roll(mid, 300, 1), -np.roll(mid, 300, 1)])
    chain = decide_track(measure(narrow, RATE), find_role("pad"), Wish(-20, 0.0), MixingStyle(), NO_LUCK, RATE)
    imagers = [values["side_db"] for kind, _, values in chain if kind == "imager"]
    assert imagers
    assert imagers[0] > 3
    assert "imager" not in kinds("lead", FAIR)


@pytest.mark.parametrize("level_db", [-3.0, -24.0])
def test_the_fader_brings_any_level_to_the_wish(level_db: float) -> None:
    audio = at_level(clean("electric piano"), level_db)
    f = measure(audio, RATE)
    (_, _, values) = decide_gain(f, Wish(-25.0, 0.0), NO_LUCK)[0]
    after = measure(audio * 10 ** (values["gain_db"][0] / 20), RATE)
    assert after.loudness_db == pytest.approx(-25.0, abs=0.2)


def test_processors_stand_in_the_consoles_order() -> None:
    order = ["equalizer", "compressor", "noisegate", "imager", "gain", "delay", "reverb"]
    condition = Condition(1300.0, ((300.0, 11.0),), -6.0, -36.0, None, 6.0, 0.0)
    for role in ("snare", "lead", "pluck", "arpeggio", "vocal"):
        places = [order.index(kind) for kind in kinds(role, condition)]
        assert places == sorted(places)


def test_without_chance_luck_is_nought_and_with_it_dice_are_kept() -> None:
    assert all(NO_LUCK(name) == 0 for name in ("level", "room"))
    assert Luck((3, 4), 1.0)("level") == 2 * Luck((3, 4), 0.5)("level") != 0


def test_without_spread_all_styles_are_equal() -> None:
    assert draw_style((1, 2), 0.0) == draw_style((5, 6), 0.0)
    neutral, style = draw_style((1, 2), 0.0), MixingStyle()
    assert (neutral.depth, neutral.bright_db, neutral.width) == (style.depth, style.bright_db, style.width)
    assert draw_style((1, 2), 1.0) != draw_style((1, 3), 1.0)
    assert MixingStyle.from_dict(draw_style((1, 2), 1.0).to_dict()) == draw_style((1, 2), 1.0)


# --- the mix


def a_session() -> Session:
    roles = {"1_kick.flac": "kick", "2_snare.flac": "snare", "3_bass.flac": "bass", "4_vocal.flac": "vocal"}
    stems = {
        name: torch.from_numpy(at_level(clean(role, 6.0), -6.0).astype(np.float32)) for name, role in roles.items()
    }
    groups = {"drums": ("1_kick.flac", "2_snare.flac"), "bass": ("3_bass.flac",), "vocals": ("4_vocal.flac",)}
    return Session(stems, roles, groups, RATE)


def test_the_graph_renders_to_the_mix_and_the_mix_is_as_loud_as_it_should_be() -> None:
    session = a_session()
    mixed = mix_session(session, MixingStyle(), 0.5, (1, 2))
    names = [mixed.graph.names[node] for node in mixed.graph.nodes_of("in").tolist()]
    sources = torch.stack([session.stems[name].expand(2, -1) for name in names])
    rendered = Renderer(studio(RATE).rack)(mixed.graph, sources)[0]
    assert (rendered - mixed.mix).abs().max() < 2e-6
    f = measure(mixed.mix.numpy(), RATE)
    assert f.peak_db <= PEAK_CEILING_DB
    assert f.loudness_db <= MIX_LOUDNESS_DB + 0.1
    assert f.loudness_db > MIX_LOUDNESS_DB - 8


def test_chance_moves_decisions_and_none_is_one_answer() -> None:
    session = a_session()
    still = [mix_session(session, MixingStyle(), 0.0, (seed,)).mix for seed in (1, 2)]
    moved = [mix_session(session, MixingStyle(), 0.8, (seed,)).mix for seed in (1, 2)]
    assert torch.equal(*still)
    assert not torch.equal(*moved)


def test_a_gain_only_mix_has_one_gain_on_each_track() -> None:
    graph = mix_session(a_session(), MixingStyle(), 0.3, (1,), gain_only=True).graph
    assert {name: len(values) for name, values in graph.params.items() if len(values)} == {"gain": 4}


def test_settings_that_cannot_be_are_refused() -> None:
    for changes, words in (
        ({"chance": 1.5}, "chance is 1.5"),
        ({"mode": "loud"}, "choose console or gain"),
        ({"min_tracks": 5, "max_tracks": 3}, "5 to 3 tracks"),
        ({"seconds": (9.0, 3.0)}, "9.0 to 3.0 seconds"),
        ({"seed": -1}, "seed is -1"),
        ({"sample_rate": 8000}, "8000 Hz"),
        ({"songs_per_artist": 0}, "songs_per_artist is 0"),
        ({"seed": "one"}, "seed is 'one'; it is a whole number"),
        ({"chance": float("nan")}, "chance is nan; it is a finite number"),
        ({"colour": 3}, "colour is 3; there is no such setting"),
    ):
        with pytest.raises(SongError, match=words):
            SongbookSettings(**changes)  # type: ignore[arg-type]


def test_settings_are_read_from_json_also_with_their_old_name() -> None:
    values = json.loads(json.dumps(SongbookSettings(seed=3, seconds=(3, 4)).to_dict()))
    assert SongbookSettings.from_dict(values) == SongbookSettings(seed=3, seconds=(3.0, 4.0))
    old = {("habits" if key == "style_spread" else key): value for key, value in values.items()}
    assert SongbookSettings.from_dict(old) == SongbookSettings.from_dict(values)
    for change in ({"seconds": None}, {"colour": 3}, {"seed": 0.5}):
        with pytest.raises(SongError):
            SongbookSettings.from_dict({**values, **change})
