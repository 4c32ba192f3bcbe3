"""The graphs that estimators set."""

from dataclasses import replace

import torch

from graphmix.graph.validation import validate
from graphmix.models.mixing.estimator import build_estimator
from graphmix.models.mixing.graph_estimator import GraphEstimatorConfig
from graphmix.models.mixing.neural import RENDERED_FROM, NeuralEstimator
from graphmix.models.mixing.wiring import centered, console_places, flat_console, full_console, set_console, with_silent
from graphmix.processors import Rack
from tests.models.small_stems import TINY_GRAPH, make_stems

RACK = Rack.console("eg")
BUSES = {"x": ("a", "b"), "y": ("c",)}


def test_places_are_those_of_the_console() -> None:
    console = full_console(RACK.types, BUSES, "ege", 30000)
    role, place = console_places(3, 2, 3)
    assert role.numel() == console.num_nodes
    letters = [console.type_of(node).letter for node in range(console.num_nodes)]
    assert [letter for letter, own in zip(letters, role.tolist(), strict=True) if own >= 0] == ["e", "g", "e"] * 5
    for letter, own in zip(letters, place.tolist(), strict=True):
        assert letter == "ege"[own] if own >= 0 else letter in "imo"
    mixes = console.nodes_of("mix").tolist()
    assert [node for node in range(console.num_nodes) if role[node] == 1] == [m + i for m in mixes for i in (1, 2, 3)]


def test_a_flat_console_has_a_channel_for_each_track() -> None:
    graph = validate(flat_console(RACK.types, ("a", "b"), "eg", 30000))
    assert [graph.type_of(node).letter for node in range(graph.num_nodes)] == list("iegiego")
    assert graph.edge_index.t().tolist() == [[0, 1], [1, 2], [3, 4], [4, 5], [2, 6], [5, 6]]


def test_silent_tracks_come_last_and_change_no_number() -> None:
    console = full_console(RACK.types, BUSES, "eg", 30000)
    more = validate(with_silent(console, ("z", "q")))
    count = console.num_nodes
    assert torch.equal(more.node_type[:count], console.node_type)
    assert more.names[count:] == ["z", "q"]
    out = int(console.nodes_of("out")[0])
    assert more.edge_index[:, -2:].tolist() == [[count, count + 1], [out, out]]
    assert console.num_nodes == count


def test_without_tracks_there_is_an_output() -> None:
    console = full_console(RACK.types, {"x": ()}, "eg", 30000)
    assert console.num_nodes == 1
    assert validate(with_silent(console, ("z",))).num_edges == 1
    role, _ = console_places(0, 0, 2)
    assert role.tolist() == [-1]


def test_a_soft_console_is_weighted_and_a_sparse_one_pruned() -> None:
    console = flat_console(RACK.types, ("a",), "eg", 30000)  # in 0, equalizer 1, gain 2, out 3
    wet = torch.tensor([0.1, 0.8, 0.6, 0.1], requires_grad=True)
    keep = torch.tensor([0.2, 0.25, 0.75, 0.2])
    params = {"gain": torch.tensor([[-3.0, -6.0]], requires_grad=True)}
    soft = set_console(console, ("z",), params, wet, keep, soft=True, model="test", keep_from=0.0)
    assert torch.allclose(soft.wet, torch.tensor([1.0, 0.2, 0.45, 1.0, 1.0]))
    sparse = validate(set_console(console, ("z",), params, wet, keep, soft=False, model="test"))
    assert [sparse.type_of(node).name for node in range(sparse.num_nodes)] == ["in", "gain", "out", "in"]
    assert torch.allclose(sparse.wet, torch.tensor([1.0, 0.6, 1.0, 1.0]))
    assert sparse.params["gain"].tolist() == [[-3.0, -6.0]]
    assert sparse.provenance == {"model": "test"}
    (sparse.wet.sum() + sparse.params["gain"].sum() + soft.wet.sum()).backward()
    assert wet.grad is not None
    assert wet.grad.tolist() == [0.0, 0.25, 1.75, 0.0]


def test_what_is_nearly_in_the_middle_is_put_there() -> None:
    gains = torch.tensor([[-3.0, -4.0], [0.0, 2.0], [1.0, 1.5]], requires_grad=True)
    middle = centered(gains, 2.0)
    assert middle.tolist() == [[-3.5, -3.5], [0.0, 2.0], [1.25, 1.25]]
    assert torch.equal(centered(gains, 0.0), gains)
    middle[:, 0].sum().backward()
    assert gains.grad is not None
    assert gains.grad.tolist() == [[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]]
    console = flat_console(RACK.types, ("a",), "g", 30000)
    settings = {"gain": torch.tensor([[-3.0, -4.0]])}
    ones = torch.ones(3)
    for center_db, expected in ((0.0, [-3.0, -4.0]), (2.0, [-3.5, -3.5])):
        for soft in (True, False):
            graph = set_console(console, (), settings, ones, ones, soft=soft, model="test", center_db=center_db)
            assert graph.params["gain"].tolist() == [expected]


def test_a_console_for_training_lacks_what_is_surely_dropped_and_is_in_the_middle() -> None:
    torch.manual_seed(0)
    model = build_estimator(GraphEstimatorConfig(chain="eg", gnn="gine", **TINY_GRAPH)).eval()
    assert isinstance(model, NeuralEstimator)
    outputs = model.outputs([make_stems(2)])
    keep_logit = torch.full_like(outputs.keep_logit, 0.1 * RENDERED_FROM).logit()
    keep_logit[outputs.consoles[0].nodes_of("gain")] = 0.0
    gains = outputs.coefficients["gain"] + torch.tensor([0.01, 0.0])
    outputs = replace(outputs, keep_logit=keep_logit, coefficients={**outputs.coefficients, "gain": gains})
    whole, rendered = (model.graphs_from(outputs, soft=True, in_training=on)[0] for on in (False, True))
    assert whole.num_nodes == outputs.consoles[0].num_nodes
    assert rendered.params["equalizer"].size(0) == 0
    assert torch.allclose(rendered.wet[rendered.nodes_of("gain")], whole.wet[whole.nodes_of("gain")])
    assert not torch.equal(whole.params["gain"][:, 0], whole.params["gain"][:, 1])
    assert torch.equal(rendered.params["gain"][:, 0], rendered.params["gain"][:, 1])


def test_what_is_uncertain_may_be_turned_down() -> None:
    torch.manual_seed(0)
    config = GraphEstimatorConfig(chain="eg", gnn="gine", keep_from=0.75, soften_from=0.3, **TINY_GRAPH)
    model = build_estimator(config).eval()
    assert isinstance(model, NeuralEstimator)
    outputs = model.outputs([make_stems(2)])
    console = outputs.consoles[0]
    keep = torch.full_like(outputs.keep_logit, 0.6)
    keep[console.nodes_of("equalizer")[0]] = 0.2
    outputs = replace(outputs, keep_logit=keep.logit())
    proposal = model.graphs_from(outputs, soft=False)[0]
    assert proposal.nodes_of("gain").numel() == 0  # 0.6 is not enough
    equalizers = console.nodes_of("equalizer")[1:]
    assert proposal.nodes_of("equalizer").numel() == equalizers.numel()
    expected = 0.6 * outputs.wet_logit.sigmoid()[equalizers]
    assert torch.allclose(proposal.wet[proposal.nodes_of("equalizer")], expected)
