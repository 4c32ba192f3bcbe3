"""What two graphs of one record have in common."""

import pytest

from graphmix.evaluation.records import compare_records
from graphmix.graph import MixGraph, mixing_console, validate
from graphmix.graph.editing import insert_after, insert_before, remove_nodes, retype
from graphmix.processors import Rack
from graphmix.processors.align import Align
from graphmix.spec import STRUCTURAL, TypeTable

TRACKS = {"drums": ["kick"], "band": ["bass", "voice"]}


def record(rate: int = 30000) -> MixGraph:
    rack = Rack.standard(rate)
    graph = mixing_console(rack, TRACKS, "g", master="cl", sends="r")
    graph.wet[graph.nodes_of("send")[1:]] = 1.0  # bass and voice
    return retype(graph, TypeTable((*STRUCTURAL, *rack.types, Align(rate).node_type)))


def ducked(graph: MixGraph) -> MixGraph:
    """The bass, keyed by the kick."""
    names = graph.input_names
    kick, bass = (int(graph.nodes_of("in")[names.index(name)]) for name in ("kick", "bass"))
    graph = insert_after(graph, bass, "sidechain_compressor", ratio=4.0)
    return validate(graph.connect(kick, graph.num_nodes - 1, inlet=1))


def test_a_graph_agrees_with_itself() -> None:
    graph = ducked(record())
    graph = insert_after(graph, int(graph.nodes_of("in")[0]), "align", delay_ms=2.0, polarity=-1.0)
    graph = insert_before(graph, int(graph.nodes_of("out")[0]), "align", delay_ms=20.0)
    scores = compare_records(graph, graph)
    assert {name: (s.true, s.found, s.matched) for name, s in scores.items()} == {
        "sends": (2, 2, 2),
        "ducking": (1, 1, 1),
        "master": (2, 2, 2),
        "alignment": (2, 2, 2),
    }


def test_what_is_missing_or_elsewhere_does_not_match() -> None:
    true, found = ducked(record()), record()
    found = remove_nodes(found, [int(found.nodes_of("send")[1]), int(found.nodes_of("limiter")[0])])
    scores = compare_records(true, found)
    assert (scores["sends"].true, scores["sends"].found, scores["sends"].matched) == (2, 1, 1)
    assert (scores["ducking"].true, scores["ducking"].found) == (1, 0)
    assert scores["master"].f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize(("delay_ms", "matched"), [(2.0, 1), (2.01, 1), (2.1, 0)])
def test_a_delay_has_to_agree_to_half_a_sample(delay_ms: float, matched: int) -> None:
    graphs = [insert_after(record(), 0, "align", delay_ms=delay) for delay in (2.0, delay_ms)]
    assert compare_records(*graphs)["alignment"].matched == matched


def test_a_console_has_none_of_it() -> None:
    graph = mixing_console(Rack.console("eg"), TRACKS, "eg")
    assert all(score.true == score.found == 0 for score in compare_records(graph, graph).values())
