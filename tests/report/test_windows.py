"""The seconds that a page plays of a track or node are those in which it is loudest."""

import numpy as np

from graphmix.audio import load_song
from graphmix.report.windows import BLOCK_SECONDS, choose_windows, loudest, survey
from tests.small_song import RATE, TRACKS


def test_the_loudest_stretch_holds_the_most_energy() -> None:
    energy = np.array([1.0, 0, 0, 3, 4, 0, 5, 0])
    assert loudest(energy, 2) == (3, 7.0)
    assert loudest(energy, 100) == (0, 13.0)


def test_a_track_that_is_silent_elsewhere_gets_a_stretch_of_its_own() -> None:
    energies = np.full((2, 80), 1e-6)
    energies[0, 8:16], energies[1, 60:68] = 5.0, 1.0
    starts = choose_windows(energies, {0: [0], 1: [1], 2: [0, 1]}, 8 * BLOCK_SECONDS, 80 * BLOCK_SECONDS)
    assert starts == {0: 8 * BLOCK_SECONDS, 1: 60 * BLOCK_SECONDS, 2: 8 * BLOCK_SECONDS}


def test_tracks_that_sound_together_share_a_stretch() -> None:
    energies = np.ones((3, 60))
    energies[0, 20:28] = 2.0
    starts = choose_windows(energies, {v: [v] for v in range(3)}, 2.0, 15.0)
    assert set(starts.values()) == {5.0}


def test_no_stretch_goes_beyond_the_end() -> None:
    energies = np.zeros((1, 9))
    energies[0, -1] = 1.0
    assert choose_windows(energies, {0: [0]}, 1.0, 2.1)[0] <= 2.1 - 1.0


def test_a_survey_has_the_energies_and_the_sum_of_the_tracks(song_folder) -> None:
    song = load_song(song_folder, RATE)
    found = survey(song)
    stems = song.read(0, song.num_samples).stems
    assert found.energies.shape == (len(TRACKS), -(-song.num_samples // round(BLOCK_SECONDS * RATE)))
    np.testing.assert_allclose(found.energies.sum(1), stems.double().square().sum((1, 2)).numpy(), rtol=1e-5)
    np.testing.assert_allclose(found.total.numpy(), stems.sum(0).numpy(), atol=1e-6)
