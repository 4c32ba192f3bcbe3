"""Checkpoints: everything comes back to the last bit, and damage is found before anything is used."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from graphmix.errors import SearchError
from graphmix.processors.rack import Rack
from graphmix.search.losses import LossTerms
from graphmix.search.search_state import ScoredGraph, SearchState
from tests.small_song import hidden_graph, same_graph

RUN = {"song": {"name": "small"}, "settings": {"steps": 3}}


def a_state() -> SearchState:
    graph = hidden_graph()
    loss = LossTerms.from_list([1 / 3, 0.1, 0.2, 0.3])
    return SearchState(
        ScoredGraph(graph),
        phase="trials",
        round=2,
        step=17,
        best=ScoredGraph(graph, loss),
        baseline=ScoredGraph(hidden_graph(equalized=False), LossTerms.from_list([2.5, 2.5, 2.5, 2.5])),
        baseline_losses={"plain sum": 2.5},
        minimum=0.7,
        tensors={"raw.weights": torch.rand(7), "adam.step.weights": torch.tensor(3.0)},
        training={"step": 17},
        verdicts=[{"candidates": [3], "loss": 0.1 + 0.2, "kept": True}],
        counts={"gain": 5},
        seconds={"console": 1.5},
        trace=[{"event": "train", "step": 1, "loss": 0.30000000000000004}],
    )


JSON_FIELDS = ("phase", "round", "step", "training", "verdicts", "counts", "seconds", "trace")
NUMBERS = (*JSON_FIELDS, "baseline_losses", "minimum", "whole_minimum")


def assert_same_state(one: SearchState, other: SearchState) -> None:
    assert all(getattr(one, name) == getattr(other, name) for name in NUMBERS)
    assert one.tensors.keys() == other.tensors.keys()
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in other.tensors)
    for name in ("current", "best", "console", "baseline"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None)
        if first is not None:
            assert same_graph(first.graph, second.graph)
            assert first.loss == second.loss


def test_a_state_comes_back_to_the_last_bit(tmp_path, rack):
    state = a_state()
    state.save(tmp_path / "state", RUN)
    back, run = SearchState.load(tmp_path / "state", rack)
    assert run == RUN
    assert_same_state(back, state)


def test_a_checkpoint_of_an_older_version_is_read(tmp_path, rack):
    """It calls the best baseline "simple", and keeps numbers and graphs in two tables by name."""
    path, state = tmp_path / "state", a_state()
    state.save(path, RUN)
    with safe_open(path, framework="pt") as file:
        head = json.loads(file.metadata()["graphmix_search"])
    tensors = {name.replace("graph.baseline.", "graph.simple."): x for name, x in load_file(path).items()}
    head["names"]["simple"] = head["names"].pop("baseline")
    best, minimum = head["losses"]["best"], head["losses"]["minimum"]
    baseline, baselines = head["losses"]["baseline"], head["losses"]["baselines"]
    head["losses"] = {"simple": baselines, "simple_best": baseline, "best": best, "minimum": minimum}
    save_file(tensors, path, {"graphmix_search": json.dumps(head)})
    assert_same_state(SearchState.load(path, rack)[0], state)


def test_a_checkpoint_holds_no_number_that_json_lacks(tmp_path, rack):
    state = a_state()
    state.trace.append({"event": "train", "train_loss": math.nan})
    state.save(tmp_path / "state", RUN)
    assert SearchState.load(tmp_path / "state", rack)[0].trace[-1] == {"event": "train", "train_loss": None}


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
        head = {"run": RUN, "names": {"current": []}, "losses": {}}
        head |= {name: getattr(a_state(), name) for name in JSON_FIELDS}
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
def test_a_damaged_checkpoint_is_refused(tmp_path, rack: Rack, how):
    path = tmp_path / "checkpoint.safetensors"
    a_state().save(path, RUN)
    damage(path, how)
    with pytest.raises(SearchError, match=r"checkpoint.safetensors is no checkpoint of a search, or damaged .*delete"):
        SearchState.load(path, rack)
