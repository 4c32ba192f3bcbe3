"""Edit distance of chains: by hand, laws, and networkx on the whole graph."""

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.evaluation.chains import CONSOLE_ORDER
from graphmix.evaluation.edit_distance import chain_bound, chain_distance, change_cost, path_graph


def test_a_node_more_costs_itself_and_its_edges() -> None:
    assert chain_distance((), ("gain",), 1.0) == (4.0, True)


kinds = st.lists(st.sampled_from(CONSOLE_ORDER[:4]), max_size=4).map(tuple)


@given(kinds, kinds)
@settings(max_examples=40, deadline=None)
def test_edit_distance_is_symmetric_and_below_its_bound(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    there, back = chain_distance(one, other, 10.0), chain_distance(other, one, 10.0)
    assert there[0] == back[0] <= chain_bound(one, other)
    assert (there[0] == 0) == (one == other)


def test_chain_by_chain_is_the_distance_of_the_whole_graph() -> None:
    """Against networkx on the disjoint union of two chains, places in the labels."""
    true, found = [("gain", "reverb"), ("compressor",)], [("gain",), ("equalizer", "compressor")]
    whole = []
    for chains in (true, found):
        union = nx.DiGraph()
        for place, chain in enumerate(chains):
            part = nx.relabel_nodes(path_graph(chain), lambda node, place=place: (place, node))
            nx.set_node_attributes(part, place, "place")
            union = nx.union(union, part)
        whole.append(union)

    def cost(one: dict, other: dict) -> float:
        return change_cost(one, other) if one["place"] == other["place"] else 1000.0

    expected = nx.graph_edit_distance(*whole, node_subst_cost=cost)
    assert expected == sum(chain_distance(a, b, 10.0)[0] for a, b in zip(true, found, strict=True))
