"""Signals at taps, against graphs that end where the tap is."""

import pytest
import torch

from graphmix.graph import bypass_nodes, keep_nodes, mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import neighbours, reachable
from graphmix.processors.rack import Rack
from graphmix.render.render_cache import TrialRenderer
from graphmix.render.renderer import Renderer
from graphmix.render.taps import Tap, TapReader

RATE, SAMPLES = 30000, 6000


@pytest.fixture(scope="module")
def rack() -> Rack:
    return Rack.console("ecg", RATE)


@pytest.fixture(scope="module")
def graph(rack: Rack) -> MixGraph:
    """Two buses of two tracks and a master chain, in which all does something."""
    graph = mixing_console(rack, {"one": ["a", "b"], "two": ["c", "d"]}, "ecg", "eg")
    generator = torch.Generator().manual_seed(5)
    for name in ("equalizer", "gain"):
        graph.params[name] = 6 * torch.randn(graph.params[name].shape, generator=generator).clamp(-1, 1)
    threshold = rack["compressor"].node_type.columns("threshold_db")
    graph.params["compressor"][:, threshold] = -35.0
    return graph


@pytest.fixture(scope="module")
def sources() -> torch.Tensor:
    return 0.1 * torch.randn(4, 2, SAMPLES, generator=torch.Generator().manual_seed(6))


def cut_at(graph: MixGraph, tap: Tap) -> MixGraph:
    """The graph whose output is the tap: what leads there, and an output in its place."""
    before, _ = neighbours(graph.num_nodes, graph.edges())
    ends = sorted(set(before[tap.node])) if tap.incoming else [tap.node]
    kept = sorted(reachable(before, ends) | set(graph.nodes_of("in").tolist()))
    cut = keep_nodes(graph, [node for node in kept if graph.type_of(node).name != "out"])
    out = cut.add("out")
    for end in ends:
        cut.connect(kept.index(end), out)
    return cut


def all_taps(graph: MixGraph) -> list[Tap]:
    nodes = [node for node in range(graph.num_nodes) if graph.type_of(node).name != "out"]
    inner = [node for node in nodes if graph.type_of(node).name != "in"]
    return [*(Tap(node) for node in nodes), *(Tap(node, incoming=True) for node in inner)]


def test_a_reader_gets_what_a_graph_that_ends_there_renders(rack, graph, sources):
    renderer = Renderer(rack)
    plan, taps = renderer.plan(graph), all_taps(graph)
    reader = TapReader(plan, taps, SAMPLES)
    with torch.no_grad():
        renderer.run(plan, graph, sources, reader)
        assert reader.signals.keys() == set(taps)
        for tap in taps:
            expected = renderer(cut_at(graph, tap), sources)[0]
            assert torch.allclose(reader.signals[tap], expected, atol=2e-5), tap


def test_a_cache_gives_the_signals_with_and_without_nodes(rack, graph, sources):
    trials = TrialRenderer(Renderer(rack), graph)
    cache, taps = trials.render(sources), all_taps(graph)
    gone: list[int] = []
    for nodes in ([5, 9], [14]):
        tried = cache.signals(taps, nodes)
        reader = TapReader(trials.plan, taps, SAMPLES)
        edited = bypass_nodes(graph, [*gone, *nodes])
        with torch.no_grad():
            trials.renderer.run(trials.plan, edited, sources, reader)
        now = {**cache.signals(taps), **tried}
        assert 0 < len(tried) < len(taps), "only what the nodes change"
        for tap in taps:
            assert torch.allclose(now[tap], reader.signals[tap], atol=2e-5), tap
        trials.remove(nodes, [cache])
        gone += nodes
        assert all(torch.equal(now[tap], signal) for tap, signal in cache.signals(taps).items())
