"""From a graph to what an optimizer moves, and back, for every processor of graphmix."""

import pytest
import torch

from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.validation import validate
from graphmix.processors.rack import Rack
from graphmix.search.parametrization import MIN_WEIGHT, RawGraph
from tests.random_parameters import random_parameters

RATE = 30000


@pytest.fixture(scope="module")
def rack() -> Rack:
    return Rack.standard(RATE)


@pytest.fixture(params=[False, True], ids=["equal rates", "own rates"])
def own_rates(request: pytest.FixtureRequest) -> bool:
    return request.param


def everything(rack: Rack) -> MixGraph:
    """Two nodes of each type in a row, with random settings and weights."""
    generator = torch.Generator().manual_seed(3)
    graph = MixGraph(rack.types, RATE)
    nodes = [graph.add("in", name="track")]
    for processor in rack:
        nodes += [graph.add(processor.node_type.name) for _ in range(2)]
    graph.chain(*nodes, graph.add("out"))
    for processor in rack:
        graph.params[processor.node_type.name] = random_parameters(processor.node_type, 2, generator)
    graph.wet = 0.1 + 0.8 * torch.rand(graph.num_nodes, generator=generator)
    return graph


def test_the_graph_of_the_raw_numbers_is_the_one_that_was_given(rack, own_rates):
    graph = everything(rack)
    back = RawGraph(graph, rack, own_rates).graph()
    for name, values in graph.params.items():
        low, high = rack[name].node_type.bounds()
        span = torch.where((high - low).isfinite(), high - low, 1.0)
        assert ((back.params[name] - values).abs() / span).max() < 1e-5, name
    torch.testing.assert_close(back.wet, graph.wet)
    assert torch.equal(back.edge_index, graph.edge_index)
    assert back.names == graph.names


def test_only_processors_that_can_be_bypassed_have_a_weight_to_move(rack):
    graph = everything(rack)
    raw = RawGraph(graph, rack)
    kinds = [graph.type_of(node).name for node in raw.prunable.tolist()]
    assert {"in", "out", "crossover"}.isdisjoint(kinds)
    assert len(kinds) == 2 * (len(rack.types) - 1)
    assert raw.weights.shape == (len(kinds),)


def test_types_without_a_node_have_nothing_to_move(rack):
    graph = MixGraph(rack.types, RATE)
    graph.chain(graph.add("in", name="track"), graph.add("gain"), graph.add("out"))
    raw = RawGraph(graph, rack)
    assert list(raw.params) == ["gain"]
    assert set(raw.tensors()) == {"weights", "params.gain"}


def test_gradients_reach_every_raw_number_from_the_graph(rack):
    raw = RawGraph(everything(rack), rack)
    graph = raw.graph()
    (sum(values.sum() for values in graph.params.values()) + graph.wet.sum()).backward()
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in raw.tensors().values())
    assert torch.equal(raw.weights.grad, torch.ones_like(raw.weights))


def test_the_given_graph_is_not_touched(rack):
    graph = everything(rack)
    before = {name: values.clone() for name, values in graph.params.items()}
    raw = RawGraph(graph, rack)
    with torch.no_grad():
        for tensor in raw.tensors().values():
            tensor += 1
    assert all(torch.equal(graph.params[name], values) for name, values in before.items())
    assert not graph.wet.requires_grad


@pytest.mark.parametrize("push", [-1e3, 1e3])
def test_projection_brings_everything_back_into_its_range(rack, push, own_rates):
    raw = RawGraph(everything(rack), rack, own_rates)
    with torch.no_grad():
        for tensor in raw.tensors().values():
            tensor += push
    raw.project()
    snapshot = raw.snapshot()
    validate(snapshot)
    assert torch.allclose(raw.wet(), torch.full_like(raw.wet(), MIN_WEIGHT if push < 0 else 1.0))
    assert (snapshot.wet[raw.prunable] == (0.0 if push < 0 else 1.0)).all()  # at the floor a node is bypassed
    for name, values in snapshot.params.items():
        low, high = rack[name].node_type.bounds()
        assert ((values >= low) & (values <= high)).all(), name


def test_projection_leaves_alone_what_is_in_its_range(rack, own_rates):
    raw = RawGraph(everything(rack), rack, own_rates)
    before = {name: tensor.detach().clone() for name, tensor in raw.tensors().items()}
    raw.project()
    assert all(torch.allclose(tensor, before[name], rtol=1e-5) for name, tensor in raw.tensors().items())


def test_a_snapshot_does_not_follow_what_comes_after(rack, own_rates):
    raw = RawGraph(everything(rack), rack, own_rates)
    snapshot = raw.snapshot()
    kept = snapshot.clone()
    with torch.no_grad():
        for tensor in raw.tensors().values():
            tensor.mul_(0.9)
    assert all(torch.equal(snapshot.params[name], kept.params[name]) for name in kept.params)
    assert torch.equal(snapshot.wet, kept.wet)
    assert not any(values.requires_grad for values in snapshot.params.values())


def test_at_its_floor_a_weight_is_zero_at_every_rate(rack, own_rates):
    graph = everything(rack)
    graph.wet = torch.zeros_like(graph.wet)
    raw = RawGraph(graph, rack, own_rates)
    assert (raw.snapshot().wet == 0).all()
    raw.project()
    assert (raw.snapshot().wet == 0).all()


def test_a_step_moves_each_raw_number_by_its_rate(rack):
    graph = everything(rack)
    raw, equal = RawGraph(graph, rack, own_rates=True), RawGraph(graph, rack)
    with torch.no_grad():
        for tensor in raw.tensors().values():
            tensor -= 0.01
    moved = RawGraph(raw.graph(), rack)
    for name in ("gain", "equalizer", "compressor", "reverb"):
        step = (equal.params[name] - moved.params[name]).detach()
        wanted = (0.01 * rack[name].rates()).expand_as(step)
        torch.testing.assert_close(step, wanted, rtol=1e-3, atol=3e-5)
    rates = torch.tensor([rack[graph.type_of(node).name].wet_rate for node in raw.prunable.tolist()])
    torch.testing.assert_close(equal.weights - moved.weights, 0.01 * rates)
