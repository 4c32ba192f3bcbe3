"""Remixed mixtures: sums of their stems, the same at every call, dry or wet."""

from pathlib import Path

import numpy as np
import pytest
import torch

from graphmix.songbook.effects import studio
from graphmix.training.separation.config import RemixConfig
from graphmix.training.separation.remix import COLOR_KNOTS, Remixer, change_speed
from graphmix.training.separation.sources import SOURCES, find_source_songs
from graphmix.training.separation.stems import StemStore
from tests.training.separation.small_songs import write_songs

RATE = 16000
NEUTRAL = {"swap": 0.0, "gain_db": 0.0, "flip": 0.0, "mute": 0.0}


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_songs(tmp_path_factory.mktemp("songs"), 3, rate=RATE)


def remixer(songs: Path, seed: int = 0, **config: object) -> Remixer:
    found = find_source_songs([songs])
    return Remixer(found, StemStore(None, list(SOURCES), RATE), RemixConfig.model_validate(config), 0.5, seed)


@pytest.mark.parametrize("effects", [0.0, 0.6])
def test_mixtures_are_the_sums_of_their_wet_stems_and_depend_on_the_step_alone(songs: Path, effects: float) -> None:
    one, other = remixer(songs, effects=effects), remixer(songs, effects=effects)
    batch = one.draw(4, 3)
    assert batch.mixture.shape == (3, 2, RATE // 2)
    assert batch.stems.shape == (3, 4, 2, RATE // 2)
    torch.testing.assert_close(batch.stems.sum(dim=1), batch.mixture, atol=1e-5, rtol=0)
    other.draw(3, 3)
    assert torch.equal(other.draw(4, 3).stems, batch.stems)
    assert not torch.equal(one.draw(5, 3).stems, batch.stems)
    assert not torch.equal(remixer(songs, seed=1, effects=effects).draw(4, 3).stems, batch.stems)


def test_without_augmentation_a_mixture_is_a_stretch_of_a_song(songs: Path) -> None:
    drawing = remixer(songs, **NEUTRAL)
    stems = drawing.draw(0, 1).stems[0]
    wholes = [drawing.store.whole(song) for song in drawing.songs]
    places = [
        (n, start)
        for n, whole in enumerate(wholes)
        for start in range(whole.size(-1) - RATE // 2 + 1)
        if torch.equal(whole[3, 0, start : start + 20], stems[3, 0, :20])
    ]
    assert len(places) == 1
    ((song, start),) = places
    torch.testing.assert_close(wholes[song][..., start : start + RATE // 2], stems)


def test_gains_and_swaps_change_levels_and_songs(songs: Path) -> None:
    plain, louder = (
        remixer(songs, **NEUTRAL).draw(0, 8).stems,
        remixer(songs, **{**NEUTRAL, "gain_db": 12.0}).draw(0, 8).stems,
    )
    change_db = 20 * torch.log10(louder.flatten(2).norm(dim=2) / plain.flatten(2).norm(dim=2))
    change_db = change_db[change_db.isfinite()]
    assert change_db.abs().max() <= 12.01
    assert change_db.std() > 3
    assert remixer(songs, **{**NEUTRAL, "mute": 1.0}).draw(0, 2).mixture.abs().max() == 0
    swapped = remixer(songs, **{**NEUTRAL, "flip": 1.0}).draw(0, 8).stems
    torch.testing.assert_close(swapped.flip(2), plain)


def test_speed_changes_pitch_and_songs_keep_together(songs: Path) -> None:
    time = torch.arange(RATE) / RATE
    tone = torch.sin(2 * torch.pi * 400 * time).expand(2, -1)
    faster = change_speed(tone[:, :12000], 8000)  # 3 samples for 2
    spectrum = torch.fft.rfft(faster[0] * torch.hann_window(8000)).abs()
    assert int(spectrum.argmax()) * RATE / 8000 == pytest.approx(600, abs=2)
    torch.testing.assert_close(faster[:, [0, -1]], tone[:, [0, 11999]])
    plain, changed = (remixer(songs, **{**NEUTRAL, "speed_semitones": semis}) for semis in (0.0, 12.0))
    batch = changed.draw(0, 6)
    assert batch.stems.shape == plain.draw(0, 6).stems.shape
    assert not torch.allclose(batch.stems, plain.draw(0, 6).stems)
    torch.testing.assert_close(batch.stems.sum(dim=1), batch.mixture)
    rates = [changed._rate(np.random.default_rng(i)) for i in range(200)]
    assert 0.5 <= min(rates) < 0.55
    assert 1.8 < max(rates) <= 2
    assert plain._rate(np.random.default_rng(0)) == 1


def test_colors_are_drawn_within_their_limits_after_all_else(songs: Path) -> None:
    plain, colored = remixer(songs).draw(2, 5), remixer(songs, color_db=6.0).draw(2, 5)
    assert plain.color_db.shape == (5, 4, 0)
    assert colored.color_db.shape == (5, 4, COLOR_KNOTS)
    assert 5 < colored.color_db.abs().max() <= 6
    assert torch.equal(plain.stems, colored.stems)


def test_dry_targets_are_what_went_into_the_effects(songs: Path) -> None:
    dry = remixer(songs, **NEUTRAL, effects=1.0, target="dry").draw(0, 2)
    wet = remixer(songs, **NEUTRAL, effects=1.0, target="wet").draw(0, 2)
    torch.testing.assert_close(dry.mixture, wet.mixture)
    torch.testing.assert_close(dry.stems, remixer(songs, **NEUTRAL).draw(0, 2).stems)
    assert not torch.allclose(dry.stems.sum(dim=1), dry.mixture, atol=1e-3)


def test_the_graph_of_a_mixture_gives_the_stems_one_by_one(songs: Path) -> None:
    drawing = remixer(songs, **NEUTRAL, effects=0.7)
    graph = drawing._graph(np.random.default_rng(3), 4)
    inputs = 0.1 * torch.randn(4, 2, 4000, generator=torch.Generator().manual_seed(0))
    outs = studio(RATE)(graph, inputs)
    for source in range(4):
        alone = torch.zeros_like(inputs)
        alone[source] = inputs[source]
        torch.testing.assert_close(studio(RATE)(graph, alone)[0], outs[1 + source], atol=1e-5, rtol=0)
