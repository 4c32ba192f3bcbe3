"""The console of section 2.2: its shape, its order and what it refuses."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.errors import GraphError
from graphmix.graph import CONSOLE_CHAIN, MASTER_CHAIN, MixGraph, mixing_console, validate
from graphmix.graph.editing import remove_nodes
from graphmix.graph.strips import find_strips
from graphmix.processors import Rack
from graphmix.spec import NodeTypes
from tests.graph.random_mixgraphs import TYPES

CHAINS = st.text("abp", max_size=5)


def reached_by(graph: MixGraph, node: int) -> list[str]:
    """Letters of the nodes from one to an output, where each has one edge."""
    letters = []
    while True:
        letters.append(graph.type_of(node).letter)
        targets = graph.edge_index[1][graph.edge_index[0] == node].tolist()
        if not targets:
            return letters
        (node,) = targets


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=5).filter(any), CHAINS)
def test_the_counts_of_section_2_2(sizes: list[int], chain: str) -> None:
    groups = {f"bus {b}": [f"track {b}.{t}" for t in range(size)] for b, size in enumerate(sizes)}
    graph = validate(mixing_console(NodeTypes(TYPES), groups, chain))
    tracks, buses, length = sum(sizes), sum(size > 0 for size in sizes), len(chain)
    assert graph.processors.numel() == length * (tracks + buses)
    assert graph.num_nodes == length * (tracks + buses) + tracks + buses + 1
    assert graph.num_edges == (length + 1) * (tracks + buses)
    assert not graph.edge_port.any()
    assert [graph.names[node] for node in graph.nodes_of("in").tolist()] == [t for g in groups.values() for t in g]
    assert [graph.names[node] for node in graph.nodes_of("mix").tolist()] == [b for b, g in groups.items() if g]
    assert graph.nodes_of("out").numel() == 1


def test_each_track_passes_its_chain_its_bus_and_the_bus_chain() -> None:
    graph = mixing_console(Rack.console(), {"drums": ["kick", "snare"], "band": ["bass"]})
    for node in graph.nodes_of("in").tolist():
        assert "".join(reached_by(graph, node)) == f"i{CONSOLE_CHAIN}m{CONSOLE_CHAIN}o"


def test_a_master_chain_sums_the_buses_and_goes_to_the_output() -> None:
    buses = {"drums": ["kick", "snare"], "band": ["bass"]}
    rack = Rack.console(CONSOLE_CHAIN + MASTER_CHAIN)
    graph = validate(mixing_console(rack, buses, "g", MASTER_CHAIN))
    for node in graph.nodes_of("in").tolist():
        assert "".join(reached_by(graph, node)) == f"igmg{MASTER_CHAIN}o"
    without = remove_nodes(graph, range(graph.num_nodes - 1 - len(MASTER_CHAIN), graph.num_nodes - 1))
    plain = mixing_console(rack, buses, "g")
    assert (without.node_type == plain.node_type).all()
    assert (without.edge_index == plain.edge_index).all()
    assert find_strips(graph).buses.keys() == set(graph.nodes_of("mix").tolist())
    assert [len(strip) for strip in find_strips(graph).buses.values()] == [1, 1]


@pytest.mark.parametrize(("chain", "master", "message"), [("g", "gz", "'z' at place 2 of master chain 'gz'")])
def test_letters_that_make_no_master_chain(chain: str, master: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        mixing_console(Rack.console("g"), {"band": ["bass"]}, chain, master)


def test_a_console_begins_neutral_at_its_sample_rate() -> None:
    rack = Rack.console("eg", 44100)
    graph = mixing_console(rack, {"band": ["bass"]}, "ge")
    assert graph.sample_rate == 44100
    assert (graph.wet == 1).all()
    assert graph.params["gain"].tolist() == [[0, 0], [0, 0]]
    assert graph.params["equalizer"].shape == (2, rack["equalizer"].node_type.width)


def test_a_letter_may_come_twice() -> None:
    graph = mixing_console(NodeTypes(TYPES), {"band": ["bass"]}, "apa")
    assert graph.nodes_of("amp").numel() == 4


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("az", "letter 'z' at place 2 of chain 'az' is none of: a amp, b batch_index_face, p plain, u unused"),
        ("am", "letter 'm' at place 2"),
        ("ad", "letter 'd' at place 2"),  # two inlets
        ("sa", "letter 's' at place 1"),  # two outlets
    ],
)
def test_letters_that_make_no_chain(chain: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        mixing_console(NodeTypes(TYPES), {"band": ["bass"]}, chain)


def test_a_console_needs_tracks_and_each_once() -> None:
    with pytest.raises(GraphError, match="a console needs at least one track; all subgroups are empty"):
        mixing_console(NodeTypes(TYPES), {"band": []}, "a")
    with pytest.raises(GraphError, match="track 'bass' is in two subgroups; give it to one"):
        mixing_console(NodeTypes(TYPES), {"band": ["bass"], "low": ["kick", "bass"]}, "a")
    with pytest.raises(GraphError, match="the tracks of subgroup 'band' are the text 'bass'; give a list"):
        mixing_console(NodeTypes(TYPES), {"band": "bass"}, "a")


def test_real_sessions_make_consoles(shared_consoles: Path) -> None:
    rack = Rack.console("eg")
    songs = json.loads((shared_consoles / "consoles.json").read_text())
    for song in songs[::60]:
        graph = validate(mixing_console(rack, song["subgroups"], "g"))
        grouped = sum(len(tracks) for tracks in song["subgroups"].values())
        assert graph.nodes_of("in").numel() == grouped
