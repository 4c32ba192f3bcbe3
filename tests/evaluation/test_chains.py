"""Consoles taken apart into chains."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.errors import GraphError
from graphmix.evaluation.chains import Piece, canonical, take_apart
from graphmix.graph.consoles import mixing_console
from graphmix.graph.editing import bypass_nodes, insert_after
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors import Rack
from tests.evaluation.small_consoles import GAIN, RACK, RATE, ROOM, console


def test_no_console_is_refused() -> None:
    graph = MixGraph(RACK.types, RATE)
    voice, gain, out = graph.add("in", name="voice"), graph.add("gain", gain_db=3.0), graph.add("out")
    graph.chain(voice, gain, out).connect(voice, out)
    with pytest.raises(GraphError, match="leads to 2 nodes: this graph is no console"):
        take_apart(graph)


def test_bypassed_nodes_are_absent() -> None:
    graph = console([GAIN, ROOM], [], [])
    silent = bypass_nodes(graph, graph.nodes_of("reverb"))
    assert take_apart(silent).kinds("track kick.wav") == ("gain",)


pieces = st.sampled_from(
    [
        Piece("gain", 1.0, {"gain_db": torch.tensor([-6.0, -3.0]).double()}),
        Piece("gain", 0.5, {"gain_db": torch.tensor([4.0, 4.0]).double()}),
        Piece("imager", 1.0, {"side_db": torch.tensor([6.0]).double()}),
        Piece("compressor", 1.0, {"ratio": torch.tensor([4.0]).double()}),
        Piece("reverb", 0.2, {}),
        Piece("delay", 0.0, {}),
    ]
)


@given(st.lists(pieces, max_size=8))
@settings(max_examples=60, deadline=None)
def test_the_canonical_form_is_canonical(chain: list[Piece]) -> None:
    once = canonical(chain)
    twice = canonical(once)
    assert [piece.kind for piece in once] == [piece.kind for piece in twice]
    assert all(torch.equal(a.values[k], b.values[k]) for a, b in zip(once, twice, strict=True) for k in a.values)
    assert all(piece.wet > 0 for piece in once)
    assert len(once) <= len(chain)


def test_what_sound_cannot_tell_apart_is_heard_as_one() -> None:
    rack = Rack.full(RATE)
    graph = mixing_console(rack, {"band": ["bass", "voice"]}, "[parametric_eq]g[tanh]e")
    graph.params["gain"][:] = torch.tensor([3.0, -3.0])
    graph.params["equalizer"][:, 0] = 9.0
    apart = take_apart(graph)
    assert apart.kinds("track bass") == ("parametric_eq", "gain", "tanh", "equalizer")
    assert apart.audible_kinds("track bass") == ("equalizer", "gain", "tanh", "equalizer")
    graph.params["gain"][:] = 3.0  # the drive takes it up
    assert take_apart(graph).kinds("track bass") == ("parametric_eq", "gain", "tanh", "equalizer")
    assert take_apart(graph).audible_kinds("track bass") == ("equalizer", "tanh", "equalizer", "gain")
    row = take_apart(mixing_console(rack, {"band": ["bass", "voice"]}, "[parametric_eq][tanh][biquad][parametric_eq]"))
    assert row.audible_kinds("track bass") == ("equalizer", "tanh", "equalizer")


def test_the_chain_behind_the_sum_is_a_place_and_what_a_search_adds_is_left_out() -> None:
    rack = Rack.standard(RATE)
    buses = {"drums": ["kick", "snare"], "band": ["bass"]}
    plain = take_apart(mixing_console(rack, buses, "g"))
    graph = mixing_console(rack, buses, "g", master="cg", sends="r")
    graph.params["compressor"][:, 1] = 4.0
    graph.params["gain"][-1] = 3.0
    graph = insert_after(graph, 0, "sidechain_compressor", ratio=4.0)
    graph.connect(1, graph.num_nodes - 1, inlet=1)
    apart = take_apart(graph)
    assert apart.kinds("master") == ("compressor", "gain")
    assert apart.skeleton == plain.skeleton
    assert {place for place, pieces in apart.by_place.items() if pieces} == {"master"}
