"""The separator that comes with graphmix."""

from pathlib import Path

import torch

from graphmix.models.masks import load_separator
from graphmix.models.masks.files import DEFAULT, PRETRAINED
from graphmix.songbook import SongbookSettings, write_songbook
from graphmix.training.separation.scores import improvement, score_song
from graphmix.training.separation.sources import find_source_songs
from graphmix.training.separation.stems import load_stems_of


def test_it_is_small_and_says_how_it_was_trained() -> None:
    assert (PRETRAINED / f"{DEFAULT}.safetensors").stat().st_size <= 10_000_000
    separator, record = load_separator(DEFAULT)
    assert separator.sources == ("drums", "bass", "vocals", "other")
    assert (separator.sample_rate, separator.channels) == (44100.0, 2)
    assert record["config"]["model"]["model"] == separator.config.model == "unet"
    assert record["songs"]["train"] > 100


def test_it_separates_songs_that_it_has_not_seen(tmp_path: Path) -> None:
    separator, _ = load_separator(DEFAULT)
    settings = SongbookSettings(seed=977, min_tracks=5, max_tracks=7, seconds=(5.0, 5.0), sample_rate=44100)
    write_songbook(tmp_path, 2, settings)
    rows = [
        score_song(separator, load_stems_of(song, separator.sources, 44100)) for song in find_source_songs([tmp_path])
    ]
    scores = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    assert improvement(scores) > 3
    assert improvement(scores, "ideal") > improvement(scores)
