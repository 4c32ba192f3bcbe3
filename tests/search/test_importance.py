"""Importance of processors: exact loss increases, and their file."""

import csv

import pytest

from graphmix.graph import remove_nodes
from graphmix.graph.consoles import mixing_console
from graphmix.search.importance import Importance, measure_importance
from graphmix.search.rounds import prunable_nodes
from tests.small_song import hidden_graph


def test_importance_is_the_loss_increase_without_each_processor(objective):
    graph = hidden_graph()
    importance = measure_importance(objective, graph)
    before = float(objective.evaluate(graph).total)
    nodes = prunable_nodes(graph)
    assert importance.types == [graph.type_of(node).name for node in nodes]
    for node, increase in zip(nodes, importance.loss_increases, strict=True):
        after = float(objective.evaluate(remove_nodes(graph, [node])).total)
        assert increase == pytest.approx(after - before, abs=1e-3)


def test_a_graph_without_processors_has_nothing_important(objective, song, rack):
    assert measure_importance(objective, mixing_console(rack, song.subgroups, "")) == Importance([], [], [])


def test_the_file_has_a_row_for_each_processor(tmp_path):
    Importance(["gain", "reverb"], [1.0, 0.25], [0.5, -1e-9]).write(tmp_path / "importance.csv")
    rows = list(csv.reader((tmp_path / "importance.csv").open()))
    assert rows == [["type", "weight", "loss_increase"], ["gain", "1", "0.5"], ["reverb", "0.25", "-1e-09"]]
