"""Checkpoints: everything comes back to the last bit, and damage is told from the beginning."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from graphmix.errors import SearchError
from graphmix.processors.rack import Rack
from graphmix.search.search_state import SearchState
from tests.small_song import hidden_graph, same_graph

RUN = {"song": {"name": "small"}, "settings": {"steps": 3}}


def a_state() -> SearchState:
    graph = hidden_graph()
    return SearchState(
        phase="trials",
        round=2,
        step=17,
        graphs={"current": graph, "best": graph, "simple": hidden_graph(equalized=False)},
        tensors={"raw.weights": torch.rand(7), "adam.step.weights": torch.tensor(3.0)},
        training={"step": 17},
        verdicts=[{"candidates": [3], "loss": 0.1 + 0.2, "kept": True}],
        losses={"best": [1 / 3, 0.1, 0.2, 0.3], "minimum": 0.7, "simple": {"plain sum": 2.5}},
        counts={"gain": 5},
        seconds={"console": 1.5},
        trace=[{"event": "train", "step": 1, "loss": 0.30000000000000004}],
    )


def test_a_state_comes_back_to_the_last_bit(tmp_path, rack):
    state = a_state()
    state.save(tmp_path / "state", RUN)
    back, run = SearchState.load(tmp_path / "state", rack)
    assert run == RUN
    assert all(getattr(back, name) == getattr(state, name) for name in SearchState._JSON)
    assert back.tensors.keys() == state.tensors.keys()
    assert all(torch.equal(back.tensors[name], state.tensors[name]) for name in state.tensors)
    assert back.graphs.keys() == state.graphs.keys()
    assert all(same_graph(back.graphs[name], state.graphs[name]) for name in state.graphs)


def test_saving_again_replaces_the_file_and_leaves_nothing_else(tmp_path, rack):
    state = a_state()
    state.save(tmp_path / "state", RUN)
    state.step = 18
    state.save(tmp_path / "state", RUN)
    assert SearchState.load(tmp_path / "state", rack)[0].step == 18
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "cut off":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("once upon a time")
    elif how == "other tensors":
        save_file({"a": torch.zeros(3)}, path)
    else:
        tensors = load_file(path)
        head = {"run": RUN, "names": {"current": []}, **{n: getattr(a_state(), n) for n in SearchState._JSON}}
        if how == "no head":
            save_file(tensors, path, {"graphmix_search": "[1, 2"})
        elif how == "head of another kind":
            save_file(tensors, path, {"graphmix_search": "[1, 2]"})
        elif how == "head lacks a field":
            del head["trace"]
            save_file(tensors, path, {"graphmix_search": json.dumps(head)})
        elif how == "tensor missing":
            del tensors["graph.current.wet"]
            save_file(tensors, path, {"graphmix_search": json.dumps(head)})


@pytest.mark.parametrize(
    "how",
    [
        "cut off",
        "empty",
        "text",
        "other tensors",
        "no head",
        "head of another kind",
        "head lacks a field",
        "tensor missing",
    ],
)
def test_a_damaged_checkpoint_is_told(tmp_path, rack: Rack, how):
    path = tmp_path / "checkpoint.safetensors"
    a_state().save(path, RUN)
    damage(path, how)
    with pytest.raises(SearchError, match=r"checkpoint.safetensors is no checkpoint of a search, or damaged .*delete"):
        SearchState.load(path, rack)
