"""Sessions as graphs describe them, and linear stretches against the reference renderer."""

import numpy as np
import pytest

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.reference import render_reference
from graphmix.sessions import describe_session
from graphmix.sessions.ardour_plan import plan_routes
from graphmix.sessions.stretches import response_of
from tests.sessions.random_sessions import RandomGraph

RATE = 44100


def a_graph():
    """Track a parts into the master and a send; track b is ducked by a."""
    graph = MixGraph(Rack.standard(RATE).types, RATE)
    a, b, out = graph.add("in", name="a"), graph.add("in", name="b"), graph.add("out")
    gain, send, room = graph.add("gain"), graph.add("send", gain_db=-6.0), graph.add("reverb")
    duck = graph.add("sidechain_compressor")
    graph.chain(a, gain, out)
    graph.connect(gain, send, inlet="send").chain(send, room, out)
    graph.connect(b, duck).connect(gain, duck, inlet="sidechain").connect(duck, out)
    return graph


def test_channels_begin_where_signals_part_and_meet():
    session = describe_session(a_graph(), "song")
    found = {c.name: [d.kind for d in c.devices] for c in session.channels}
    assert found == {
        "a": ["gain"],
        "b": [],
        "send 4": ["send", "reverb"],
        "sidechain_compressor 6": ["sidechain_compressor"],
        "Master": [],
    }
    names = [c.name for c in session.channels]
    links = {(names[c.source], names[c.target], c.inlet) for c in session.connections}
    assert ("a", "send 4", 1) in links
    assert ("a", "sidechain_compressor 6", 1) in links
    assert ("b", "sidechain_compressor 6", 0) in links
    assert all(c.source < c.target for c in session.connections)


def test_names_are_unique():
    graph = MixGraph(Rack.standard(RATE).types, RATE)
    out = graph.add("out")
    for _ in range(3):
        graph.chain(graph.add("mix", name="Master"), out)
    for mix in graph.nodes_of("mix").tolist():
        graph.connect(graph.add("in", name=f"t{mix}"), mix)
    names = [channel.name for channel in describe_session(graph, "song").channels]
    assert len(set(names)) == len(names)


def test_a_batch_is_refused():
    from torch_geometric.data import Batch

    batch = Batch.from_data_list([a_graph(), a_graph()])
    with pytest.raises(GraphError, match="made from one graph"):
        describe_session(batch, "song")


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_stretch_is_its_impulse_response(seed):
    random = RandomGraph(RATE, seed, linear=True, tracks=1)
    graph = MixGraph(random.rack.types, RATE)
    random.graph = graph
    begin, out = graph.add("in", name="a"), graph.add("out")
    graph.connect(random.chain(begin, 3), out)
    (channel, _) = describe_session(graph, "song").channels
    response = response_of(channel.devices, RATE)
    length = 2 * len(response.taps[0, 0])
    place = length // 2
    for source in range(2):
        impulse = np.zeros((1, 2, length))
        impulse[0, source, place] = 1
        got = render_reference(graph, impulse)[0]
        expected = np.zeros((2, length))
        begin_at = place + response.start
        stop = min(length, begin_at + response.taps.shape[2])
        expected[:, begin_at:stop] = response.taps[:, source, : stop - begin_at]
        assert np.abs(got - expected).max() < 1e-6 * np.abs(got).max()


def test_ways_from_one_route_have_one_latency():
    graph = a_graph()
    tilt = np.linspace(2, -8, graph.types[graph.types.index("equalizer")].width).tolist()
    filtered = graph.add("equalizer", gain_db=tilt)
    out = int(graph.nodes_of("out"))
    graph.connect(0, filtered).connect(filtered, out)
    plan = plan_routes(describe_session(graph, "song"))
    ahead = {}
    for index in reversed(range(len(plan.routes))):
        behind = {ahead[c.target] for c in plan.connections if c.source == index}
        assert len(behind) <= 1, plan.routes[index].name
        ahead[index] = plan.routes[index].latency + max(behind, default=0)
    assert any("samples" in route.name for route in plan.routes)
