"""Which node does the work of which: consoles whose answer the eye can see."""

import pytest
import torch

from graphmix.graph.consoles import mixing_console
from graphmix.graph.editing import bypass_nodes, remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import find_strips
from graphmix.processors.rack import Rack
from graphmix.training.matching import (
    carry_over,
    console_target,
    find_subgroups,
    match_nodes,
    unmatched,
)

SUBGROUPS = {"drums": ("kick", "snare"), "rest": ("voice",)}


@pytest.fixture
def rack() -> Rack:
    return Rack.console("ecg")


@pytest.fixture
def console(rack: Rack) -> MixGraph:
    return mixing_console(rack, SUBGROUPS, "ecg")


def test_a_console_matches_itself_node_by_node(console: MixGraph) -> None:
    match = match_nodes(console, console)
    processors = console.processors
    assert torch.equal(match[processors], processors)
    others = [node for node in range(console.num_nodes) if node not in processors.tolist()]
    assert (match[others] == -1).all()


def test_what_pruning_removed_has_no_match(console: MixGraph) -> None:
    removed = [int(console.nodes_of("compressor")[0]), int(console.nodes_of("gain")[-1])]
    sparse = remove_nodes(console, removed)
    target = console_target(sparse, console)
    expected = torch.zeros(console.num_nodes, dtype=torch.bool)
    expected[console.processors] = True
    expected[removed] = False
    assert torch.equal(target.keep, expected)
    assert target.lost == 0


def test_a_bypassed_processor_is_not_kept(console: MixGraph) -> None:
    node = int(console.nodes_of("gain")[0])
    target = console_target(bypass_nodes(console, [node]), console)
    assert not target.keep[node]
    assert target.wet[node] == 0


def test_matched_nodes_bring_their_parameters(console: MixGraph) -> None:
    true = console.clone()
    true.params["gain"] = torch.arange(10.0).reshape(5, 2)
    sparse = remove_nodes(true, [int(true.nodes_of("gain")[1])])
    target = console_target(sparse, console)
    assert target.params["gain"].tolist() == [[0, 1], [0, 0], [4, 5], [6, 7], [8, 9]]


def test_the_order_of_the_tracks_does_not_matter(rack: Rack, console: MixGraph) -> None:
    true = console.clone()
    true.params["gain"] = torch.arange(10.0).reshape(5, 2)
    turned = mixing_console(rack, {"rest": ("voice",), "drums": ("snare", "kick")}, "ecg")
    values = carry_over(true, turned).params["gain"]
    # tracks in the order voice, snare, kick; then the buses rest, drums
    assert values.tolist() == [[4, 5], [2, 3], [0, 1], [8, 9], [6, 7]]


def test_buses_of_other_names_are_matched_by_their_tracks(rack: Rack, console: MixGraph) -> None:
    renamed = mixing_console(rack, {"percussion": ("kick", "snare"), "voices": ("voice",)}, "ecg")
    assert (match_nodes(renamed, console)[console.processors] >= 0).all()


def test_buses_that_share_too_few_tracks_are_not_matched(rack: Rack) -> None:
    one = mixing_console(rack, {"x": ("a", "b", "c")}, "g")
    other = mixing_console(rack, {"y": ("a",), "z": ("b",), "w": ("c",)}, "g")
    on_buses = one.nodes_of("gain")[3:]
    assert (match_nodes(other, one)[on_buses] == -1).all()


def test_of_two_of_a_type_the_first_is_the_first(rack: Rack) -> None:
    twice = MixGraph(rack.types)
    nodes = [twice.add("in", name="voice"), twice.add("gain", gain_db=1.0), twice.add("gain", gain_db=2.0)]
    twice.chain(*nodes, twice.add("out"))
    console = mixing_console(rack, {"bus": ("voice",)}, "gg")
    first, second = console.nodes_of("gain")[:2].tolist()
    assert match_nodes(twice, console)[[first, second]].tolist() == nodes[1:]


def test_what_stands_behind_a_branch_is_lost(rack: Rack) -> None:
    graph = MixGraph(rack.types)
    voice, level, send = graph.add("in", name="voice"), graph.add("gain"), graph.add("equalizer")
    bus, out = graph.add("mix", name="bus"), graph.add("out")
    graph.chain(voice, level, bus, out).chain(level, send, out)
    console = mixing_console(rack, {"bus": ("voice",)}, "eg")
    assert find_strips(graph).tracks == {"voice": (level,)}
    assert unmatched(graph, match_nodes(graph, console)) == [send]
    assert console_target(graph, console).lost == 1


def test_carrying_over_leaves_unmatched_nodes_as_they_are(rack: Rack, console: MixGraph) -> None:
    start = console.clone()
    start.wet = torch.full_like(start.wet, 0.25)
    source = mixing_console(rack, {"drums": ("kick",)}, "g")
    result = carry_over(source, start)
    kick = int(console.nodes_of("gain")[0])
    assert result.wet[kick] == 1
    assert result.wet[int(console.nodes_of("compressor")[0])] == 0.25
    assert start.wet[kick] == 0.25  # the given graph is not changed


def test_subgroups_are_read_off_a_console(console: MixGraph) -> None:
    assert find_subgroups(console) == SUBGROUPS


def test_tracks_that_go_straight_to_the_output_are_ungrouped(rack: Rack) -> None:
    graph = mixing_console(rack, {"band": ("a",)}, "g")
    out = int(graph.nodes_of("out")[0])
    graph.connect(graph.add("in", name="b"), out)
    assert find_subgroups(graph) == {"band": ("a",), "ungrouped": ("b",)}


def test_a_graph_without_sums_has_no_subgroups(rack: Rack) -> None:
    graph = MixGraph(rack.types)
    out = graph.add("out")
    for name in "ab":
        graph.chain(graph.add("in", name=name), out)
    assert find_subgroups(graph) == {"mix bus": ("a", "b")}
