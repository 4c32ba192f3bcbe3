"""The static mix of four numbers, against calculations by hand and songs that were mixed by it."""

import math
from dataclasses import replace

import pytest
import torch

from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.baselines import LoudnessSum, LoudnessSumConfig
from graphmix.models.mixing.static_mix import StaticMix, StaticMixConfig
from graphmix.models.mixing.stems import Stems
from tests.models.small_stems import RATE, gains_by_track, gains_graph, make_stems, tone

LEVEL = StaticMixConfig(kept=0, tilt_db=0, width=0)


def gains(config: StaticMixConfig, stems: Stems) -> dict[str, list[float]]:
    graph = StaticMix(config).eval()(stems)
    assert isinstance(graph, MixGraph)
    return gains_by_track(graph)


def stems_of(*tracks: torch.Tensor) -> Stems:
    return Stems(torch.stack(tracks), tuple("abcdef"[: len(tracks)]), RATE)


def test_without_its_numbers_it_is_the_sum_at_equal_loudness() -> None:
    stems = make_stems(5)
    wanted = LoudnessSum(LoudnessSumConfig(mix_lufs=LEVEL.mix_lufs)).eval()(stems)
    assert isinstance(wanted, MixGraph)
    for track, gain in gains_by_track(wanted).items():
        assert gains(LEVEL, stems)[track] == pytest.approx(gain, abs=1e-4)


def test_bright_tracks_are_softer_by_so_many_db_an_octave() -> None:
    stems = stems_of(tone(500), tone(2000))
    equal, tilted = gains(LEVEL, stems), gains(StaticMixConfig(kept=0, tilt_db=-1.5, width=0), stems)
    changes = {track: tilted[track][0] - equal[track][0] for track in "ab"}
    assert changes["b"] - changes["a"] == pytest.approx(-3.0, abs=0.02)  # two octaves
    assert sum(10 ** (change / 10) for change in changes.values()) == pytest.approx(2.0, abs=0.01)  # as loud in sum


def test_a_share_of_the_differences_of_level_is_kept() -> None:
    stems = stems_of(tone(997, 0.1), tone(997, 0.025))  # 12 dB apart
    found = gains(StaticMixConfig(kept=0.25, tilt_db=0, width=0), stems)
    assert found["b"][0] - found["a"][0] == pytest.approx(12.04 * 0.75, abs=0.02)


def test_mono_tracks_are_placed_alternately_and_low_ones_in_the_middle() -> None:
    stems = stems_of(tone(2000), tone(60), tone(500), tone(4000))
    found = gains(StaticMixConfig(kept=0, tilt_db=0, width=0.5), stems)
    left_over_right = {track: left - right for track, (left, right) in found.items()}
    place = 20 * math.log10(math.cos(math.pi / 8) / math.cos(3 * math.pi / 8))  # half of the way to a side
    wanted = {"b": 0.0, "c": place, "a": -place, "d": place}
    assert left_over_right == pytest.approx(wanted, abs=1e-3)
    powers = {track: sum(10 ** (gain / 10) for gain in pair) for track, pair in found.items()}
    middle = {track: sum(10 ** (gain / 10) for gain in pair) for track, pair in gains(LEVEL, stems).items()}
    assert powers == pytest.approx(middle, rel=1e-4), "constant power"


def test_a_song_with_a_side_channel_keeps_its_places_and_a_single_track_the_middle() -> None:
    wide = tone(500)
    wide[1] *= 0.5
    config = StaticMixConfig(width=0.5)
    for stems in (stems_of(tone(2000), wide, tone(700)), stems_of(tone(2000)), stems_of(tone(50), tone(1000))):
        for left, right in gains(config, stems).values():
            assert left == right


def song(seed: int, config: StaticMixConfig) -> Stems:
    """Six mono tones with noise at random levels, mixed by the static mix of a configuration; 8 s."""
    generator = torch.Generator().manual_seed(seed)
    frequencies = 60 * 2.5 ** torch.arange(6)
    levels = 0.2 * 10 ** (-torch.rand(6, generator=generator) * 24 / 20)
    noise = torch.randn(6, 1, 8 * RATE, generator=generator).expand(-1, 2, -1)
    tones = [tone(float(hz), float(level), 8.0) for hz, level in zip(frequencies, levels, strict=True)]
    audio = torch.stack(tones) + 0.01 * levels[:, None, None] * noise
    stems = Stems(audio, tuple("abcdef"), RATE)
    return replace(stems, mix=StaticMix(config).eval().mix(stems))


def test_it_finds_the_numbers_that_songs_were_mixed_by() -> None:
    wanted = StaticMixConfig(mix_lufs=-20.0, kept=0.3, tilt_db=-2.0, width=0.3)
    model = StaticMix(LEVEL)
    unused = replace(make_stems(2), mix=None)
    model.fit_songs((stems, gains_graph({})) for stems in (song(0, wanted), unused, song(1, wanted)))
    assert model.balance[1:].tolist() == [0.3, -2.0, 0.3]
    assert float(model.balance[0]) == pytest.approx(-20.0, abs=1.0)


def test_without_a_mix_to_learn_from_nothing_changes() -> None:
    model = StaticMix(StaticMixConfig())
    before = model.balance.clone()
    model.fit_songs([(replace(make_stems(2), mix=torch.zeros(2, RATE)), gains_graph({}))])
    assert torch.equal(model.balance, before)


def test_blocks_give_the_balance_of_the_whole() -> None:
    stems = song(3, LEVEL)
    half = stems.audio.size(2) // 2
    blocks = [replace(stems, audio=part, mix=None) for part in stems.audio.split(half, dim=2)]
    model = StaticMix(StaticMixConfig(width=0.4)).eval()
    whole, joined = gains_by_track(model(stems)), gains_by_track(model.forward_blocks(blocks))
    for track, pair in whole.items():
        assert joined[track] == pytest.approx(pair, abs=0.05)
