"""Mining a collection with a captured effect: it is part of what a run is known by, and travels to the workers."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graphmix.errors import GraphError, SearchError
from graphmix.graph.storage import load_graph
from graphmix.mining.mine_collection import mine_all
from graphmix.mining.song_task import SongTask, is_finished
from graphmix.models.effects import captured_effect
from graphmix.songs.collection import open_collection
from tests.driver_processes import TINY
from tests.small_effects import write_amp
from tests.small_song import write_tiny_song

SETTINGS = replace(TINY, chain="ag", steps=1, rounds=0)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collection")
    write_tiny_song(folder / "one", "one")
    return folder


def test_a_run_is_known_by_its_effect(songs: Path, tmp_path: Path):
    amp = captured_effect(write_amp(tmp_path), "a")
    standing = mine_all(songs, tmp_path / "out", SETTINGS, workers=0, device="cpu", plots=False, effects=[amp])
    assert standing.mined == ["one"]
    graph = load_graph(tmp_path / "out" / "one" / "graph.safetensors")
    assert graph.types.by_letter("a") == amp.node_type
    for name in ("mine_all.json", "one/run.json"):
        assert json.loads((tmp_path / "out" / name).read_text())["effects"] == {"a": amp.node_type.source}
    again = mine_all(songs, tmp_path / "out", SETTINGS, workers=0, device="cpu", effects=[amp])
    assert again.already == ["one"]
    other = captured_effect(write_amp(tmp_path / "other", drive=3.0), "a")
    with pytest.raises(SearchError, match=r"holds songs mined with effects = \{'a': 'amp\.safetensors \w+'\}, not .*"):
        mine_all(songs, tmp_path / "out", SETTINGS, workers=0, device="cpu", effects=[other])
    (song,) = open_collection(songs)
    folder = tmp_path / "out" / "one"
    assert is_finished(SongTask(song, folder, SETTINGS, effects=(amp,)))
    assert not is_finished(SongTask(song, folder, SETTINGS, effects=(other,)))
    assert not is_finished(SongTask(song, folder, SETTINGS))


def test_an_effect_that_is_not_in_the_chain_is_an_error(songs: Path, tmp_path: Path):
    amp = captured_effect(write_amp(tmp_path), "a")
    with pytest.raises(GraphError, match="chain 'g' has no letter 'a' for amp"):
        mine_all(songs, tmp_path / "out", replace(SETTINGS, chain="g"), effects=[amp])
    assert not (tmp_path / "out").exists()


def test_an_effect_travels_to_another_process(tmp_path: Path):
    amp = captured_effect(write_amp(tmp_path), "a")
    there = pickle.loads(pickle.dumps(amp))
    audio = torch.randn(1, 2, 2000, generator=torch.Generator().manual_seed(0))
    assert there.node_type == amp.node_type
    assert torch.equal(there(audio, torch.zeros(1, 0)), amp(audio, torch.zeros(1, 0)))
