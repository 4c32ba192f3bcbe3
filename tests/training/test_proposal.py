"""Proposals in memory: the model as it was, the song in blocks."""

from pathlib import Path

import pytest
import torch

from graphmix.audio import load_song, load_stems
from graphmix.errors import GraphmixError
from graphmix.models.config import model_config
from graphmix.models.mixing.estimator import Estimator, build_estimator
from graphmix.training.checkpoint import load_estimator
from graphmix.training.proposal import blocks_of, propose
from tests.small_song import RATE, dry_tracks, write_song, write_tiny_song
from tests.training.tiny_songbook import GRAPH


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    return build_estimator(model_config(GRAPH)).eval()


@pytest.fixture
def song_folder(tmp_path: Path) -> Path:
    return write_tiny_song(tmp_path / "song")


def test_proposing_leaves_the_mode_of_the_model_alone(estimator: Estimator, song_folder: Path) -> None:
    song = load_song(song_folder, RATE)
    estimator.train()
    before = {name: value.clone() for name, value in estimator.state_dict().items()}
    propose(estimator, song)
    assert estimator.training
    assert all(torch.equal(before[name], value) for name, value in estimator.state_dict().items())
    estimator.eval()


def test_inputs_are_in_the_order_of_the_song(estimator: Estimator, tmp_path: Path) -> None:
    song = load_song(write_song(tmp_path / "s", dry_tracks(), next(iter(dry_tracks().values()))), RATE)
    for model in (estimator, load_estimator("loudness_sum")):
        graph = propose(model, song).graph
        assert graph is not None
        assert graph.input_names == list(song.track_names)


def test_blocks_cover_a_song_once(tmp_path: Path) -> None:
    song = load_stems(write_song(tmp_path / "s", dry_tracks(), next(iter(dry_tracks().values()))), RATE)
    blocks = list(blocks_of(song, seconds=1))
    assert len(blocks) > 1
    assert torch.equal(torch.cat([block.audio for block in blocks], dim=2), song.read(0, song.num_samples).stems)


def test_a_short_song_is_one_block(song_folder: Path) -> None:
    song = load_song(song_folder, RATE)
    (block,) = blocks_of(song)
    assert block.audio.size(2) == song.num_samples


def test_a_song_at_another_rate_is_refused(estimator: Estimator, song_folder: Path) -> None:
    with pytest.raises(GraphmixError, match="at 44100 Hz and the model at 30000 Hz"):
        propose(estimator, load_song(song_folder, 44100))
