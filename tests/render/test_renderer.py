"""The renderer: equal to the float64 reference on any graph, differentiable, and clear about its plan and errors."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.dsp.envelope import one_pole_scan, smooth
from graphmix.dsp.fft import parseval_weights
from graphmix.dsp.response import apply_by_tensors
from graphmix.errors import GraphError
from graphmix.graph import MixGraph, bypass_nodes, mixing_console, remove_nodes
from graphmix.processors import Gain, LTIProcessor, MatrixProcessor, Rack, Ride
from graphmix.processors.base import Processor
from graphmix.processors.filters import Crossover
from graphmix.render import METHODS, Renderer, schedule
from graphmix.render.reference import render_reference
from graphmix.render.sequence import SequenceMethod
from tests.random_parameters import random_parameters
from tests.render.random_consoles import NUM_INPUTS, random_console, random_sources

RATE = 30000
SMALL_RATE = 3000
"""Short filters, for finite differences and for long chains."""
SAMPLES = 3000
RACK = Rack.standard(RATE).with_processor(Ride(RATE))
SMALL_RACK = Rack.standard(SMALL_RATE)
RENDERER = Renderer(RACK)
ALL = (*RACK.names, "mix")
LINEAR = tuple(p.node_type.name for p in RACK if isinstance(p, LTIProcessor | MatrixProcessor))
LIGHT = tuple(name for name in ALL if name not in ("delay", "reverb"))
NO_FILTERS = ("gain", "imager", "compressor", "ballistic_gate", "sidechain_compressor", "mix")

seeds = st.integers(0, 10**6)
few = settings(max_examples=8, derandomize=True, deadline=None, database=None)


def relative_error(value: Tensor | np.ndarray, reference: Tensor | np.ndarray) -> float:
    value, reference = (np.asarray(x, dtype=np.float64) for x in (value, reference))
    assert value.shape == reference.shape
    return float(np.abs(value - reference).max(initial=0) / max(np.abs(reference).max(initial=0), 1e-9))


# --- laws


@pytest.mark.parametrize("examples", [8, pytest.param(25, marks=pytest.mark.slow)])
def test_any_graph_sounds_as_the_reference(examples: int) -> None:
    @settings(max_examples=examples, derandomize=True, deadline=None, database=None)
    @given(seeds, st.integers(3, 14), st.sampled_from([1, 100, SAMPLES]))
    def check(seed: int, num_nodes: int, samples: int) -> None:
        sounds_as_the_reference(seed, num_nodes, samples)

    check()


def sounds_as_the_reference(seed: int, num_nodes: int, samples: int) -> None:
    graph, sources = random_console(RACK, seed, ALL, num_nodes), random_sources(seed, samples)
    assert relative_error(RENDERER(graph, sources), render_reference(graph, sources.numpy())) < 1e-5


@few
@given(seeds)
def test_a_batch_is_its_graphs_one_by_one(seed: int) -> None:
    graphs = [random_console(RACK, seed + i, LIGHT, 3 + 4 * i) for i in range(3)]
    sources = [random_sources(seed + i, SAMPLES) for i in range(3)]
    separate = torch.cat([RENDERER(g, x) for g, x in zip(graphs, sources, strict=True)])
    together = RENDERER(Batch.from_data_list(graphs), torch.cat(sources))
    assert relative_error(together, separate) < 1e-5


@few
@given(seeds)
def test_the_order_of_edges_does_not_matter(seed: int) -> None:
    graph, sources = random_console(RACK, seed, LIGHT, 10), random_sources(seed, SAMPLES)
    shuffled = copy.copy(graph)
    order = torch.randperm(graph.num_edges, generator=torch.Generator().manual_seed(seed))
    shuffled.edge_index, shuffled.edge_port = graph.edge_index[:, order], graph.edge_port[order]
    assert relative_error(RENDERER(shuffled, sources), RENDERER(graph, sources)) < 1e-5


@few
@given(seeds)
@pytest.mark.parametrize(("kinds", "removed"), [(LIGHT, LINEAR), (NO_FILTERS, NO_FILTERS)])
def test_weight_zero_is_a_removed_node(kinds: tuple[str, ...], removed: tuple[str, ...], seed: int) -> None:
    """Compressors and gates cut what rings beyond the segment, bypassed or not; so filters are not among the latter."""
    graph, sources = random_console(RACK, seed, kinds, 10), random_sources(seed, SAMPLES)
    nodes = [
        node
        for node in range(graph.node_type.numel())
        if graph.type_of(node).can_be_bypassed and graph.type_of(node).name in removed and node % 2
    ]
    bypassed, without = RENDERER(bypass_nodes(graph, nodes), sources), RENDERER(remove_nodes(graph, nodes), sources)
    assert relative_error(without, bypassed) < 1e-5


@few
@given(seeds)
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_scheduling_method_gives_the_same_sound(method: SequenceMethod, seed: int) -> None:
    graphs = [random_console(RACK, seed + i, LIGHT, 8) for i in range(2)]
    batch, sources = Batch.from_data_list(graphs), torch.cat([random_sources(seed + i, SAMPLES) for i in range(2)])
    assert relative_error(Renderer(RACK, method)(batch, sources), RENDERER(batch, sources)) < 1e-5


@few
@given(seeds)
def test_every_stage_of_a_plan_follows_what_it_reads(seed: int) -> None:
    graph = random_console(RACK, seed, ALL, 14)
    plan = schedule(graph, RACK)
    nodes = torch.cat([stage.nodes for stage in plan.stages])
    assert nodes.sort().values.tolist() == list(range(graph.node_type.numel()))
    for i, stage in enumerate(plan.stages):
        assert all(edges.source < i for edges in stage.inputs)
    assert sum(len(c.rows) for stage in plan.stages for c in stage.inputs) == graph.num_edges


# --- gradients


def full_graph(rack: Rack) -> MixGraph:
    """One node of every type, each between an input and the output."""
    graph = MixGraph(rack.types, rack.sample_rate)
    voice, other, out = graph.add("in"), graph.add("in"), graph.add("out")
    for kind in rack.names:
        node = graph.add(kind, wet=0.7)
        graph.connect(voice, node)
        for inlet in range(1, len(graph.type_of(node).inlets)):
            graph.connect(other, node, inlet=inlet)
        for outlet in range(len(graph.type_of(node).outlets)):
            graph.connect(node, graph.add("out") if outlet else out, outlet)
    for t in rack.types:
        graph.params[t.name] = random_parameters(t, 1, torch.Generator().manual_seed(3))
    return graph


SIGNALS = {
    "noise": random_sources(0, SAMPLES, 2),
    "silence": torch.zeros(2, 2, SAMPLES),
    "DC": torch.full((2, 2, SAMPLES), 0.5),
    "full scale": torch.sign(torch.randn(2, 2, SAMPLES)),
}


@pytest.mark.parametrize("signal", SIGNALS)
def test_gradients_reach_parameters_weights_and_sources_and_are_finite(signal: str) -> None:
    graph, sources = full_graph(RACK), SIGNALS[signal].clone().requires_grad_()
    graph.wet.requires_grad_()
    for values in graph.params.values():
        values.requires_grad_()
    RENDERER(graph, sources).square().mean().backward()
    reached = {"sources": sources.grad, "wet": graph.wet.grad, **{k: v.grad for k, v in graph.params.items()}}
    for name, gradient in reached.items():
        assert gradient is not None, name
        assert torch.isfinite(gradient).all(), name
        assert signal != "noise" or gradient.any(), name
    if signal == "noise":
        moved = graph.wet.grad != 0
        expected = [graph.type_of(node).can_be_bypassed for node in range(graph.node_type.numel())]
        assert moved.tolist() == expected


def test_the_gradient_of_a_whole_graph_agrees_with_finite_differences() -> None:
    kinds = ("equalizer", "compressor", "gain", "imager", "noisegate", "sidechain_compressor")
    graph = MixGraph(SMALL_RACK.types, SMALL_RATE)
    one, two, mix, out = graph.add("in"), graph.add("in"), graph.add("mix"), graph.add("out")
    e, c, g, s, n, k = (graph.add(kind, wet=0.3 + 0.1 * i) for i, kind in enumerate(kinds))
    graph.chain(one, e, c, g, mix, s, n, k, out)
    graph.chain(two, e).chain(two, mix).chain(g, out).connect(two, k, inlet="sidechain")
    for t in SMALL_RACK.types:
        generator = torch.Generator().manual_seed(1)
        graph.params[t.name] = random_parameters(t, graph.params[t.name].size(0), generator).double()
    graph.wet = graph.wet.double()
    renderer = Renderer(SMALL_RACK)

    def render(sources: Tensor, wet: Tensor, *params: Tensor) -> Tensor:
        moved = copy.copy(graph)
        moved.wet, moved.params = wet, {**graph.params, **dict(zip(kinds, params, strict=True))}
        return renderer(moved, sources)

    inputs = (random_sources(5, 200, 2).double(), graph.wet, *(graph.params[kind] for kind in kinds))
    leaves = [x.clone().requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(render, leaves, fast_mode=True)


# --- by hand


def passing(kind: str | None = None, **parameters: float | list[float]) -> MixGraph:
    graph = MixGraph(RACK.types, RATE)
    start, between = graph.add("in"), [graph.add(kind, **parameters)] if kind else []
    return graph.chain(start, *between, graph.add("out"))


def test_an_input_at_an_output_passes_unchanged() -> None:
    sources = random_sources(0, SAMPLES, 1)
    assert torch.equal(RENDERER(passing(), sources), sources)


def test_an_empty_graph_is_refused() -> None:
    with pytest.raises(GraphError, match="the graph has no nodes; add inputs and an out node"):
        RENDERER(MixGraph(RACK.types, RATE), torch.zeros(0, 2, 100))


def test_a_graph_without_inputs_is_silent() -> None:
    graph = MixGraph(RACK.types, RATE)
    graph.chain(graph.add("equalizer"), graph.add("compressor"), graph.add("out"))
    assert not RENDERER(graph, torch.zeros(0, 2, 100)).any()


def test_two_nodes_with_two_channels_are_not_mixed_up() -> None:
    graph = MixGraph(RACK.types, RATE)
    for gains in ([20.0, 0.0], [0.0, 20.0]):
        graph.chain(graph.add("in"), graph.add("gain", gain_db=gains), graph.add("out"))
    result = RENDERER(graph, torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]]))
    torch.testing.assert_close(result, torch.tensor([[[10.0], [2.0]], [[3.0], [40.0]]]))


def test_two_edges_between_the_same_nodes_are_twice_the_signal() -> None:
    graph = passing()
    graph.connect(0, 1)
    torch.testing.assert_close(RENDERER(graph, torch.ones(1, 2, 5)), 2 * torch.ones(1, 2, 5))


def test_a_chain_of_200_nodes_renders_as_the_reference() -> None:
    graph = MixGraph(SMALL_RACK.types, SMALL_RATE)
    kinds = ["gain", "imager", "noisegate", "equalizer"]
    graph.chain(graph.add("in"), *(graph.add(kinds[i % 4], wet=0.5) for i in range(200)), graph.add("out"))
    for t in SMALL_RACK.types:
        values = random_parameters(t, graph.params[t.name].size(0), torch.Generator().manual_seed(0))
        graph.params[t.name] = t.neutral() + 0.1 * (values - t.neutral())
    sources = random_sources(0, 1000, 1)
    assert relative_error(Renderer(SMALL_RACK)(graph, sources), render_reference(graph, sources.numpy())) < 1e-5


def test_energies_of_gain_staged_nodes_are_those_of_their_signals() -> None:
    graph = passing("equalizer", gain_db=-6.0)
    sources = torch.zeros(1, 2, 8000)
    sources[..., 3000:5000] = random_sources(0, 2000, 1)
    rendered = RENDERER.render(graph, sources)
    torch.testing.assert_close(rendered.dry_energy, sources.mean(1).square().sum(1))
    torch.testing.assert_close(rendered.wet_energy, rendered.mix.mean(1).square().sum(1))


# --- what it refuses


@pytest.mark.parametrize("shape", [(1, 2, 100), (3, 2, 100), (2, 1, 100), (2, 100), (1, 2, 2, 100)])
def test_sources_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    graph = mixing_console(RACK, {"bus": ["voice", "guitar"]}, "g")
    with pytest.raises(GraphError, match=r"expected \[2, 2, samples\]: one stereo signal for each of the graph's 2"):
        RENDERER(graph, torch.zeros(shape))


def test_sources_without_samples_are_refused() -> None:
    with pytest.raises(GraphError, match="the sources have no samples"):
        RENDERER(passing(), torch.zeros(1, 2, 0))


def test_a_rack_of_another_rate_is_refused() -> None:
    with pytest.raises(GraphError, match="made for 30000 Hz and the rack for 44100 Hz; build both at one rate"):
        Renderer(Rack.console("g", 44100))(passing("gain"), torch.zeros(1, 2, 10))


def test_a_rack_that_lacks_a_type_is_refused() -> None:
    with pytest.raises(GraphError, match="this rack has no 'reverb'; it has: gain"):
        Renderer(Rack.console("g", RATE))(passing("reverb"), torch.zeros(1, 2, 10))


def test_a_rack_with_other_ports_is_refused() -> None:
    graph = MixGraph([Crossover(RATE, bands=3).node_type], RATE)
    graph.chain(graph.add("in"), graph.add("crossover"), graph.add("out"))
    with pytest.raises(GraphError, match=r"outlets low, mid, high; .*and the rack's has .*outlets low, high; "):
        Renderer(Rack([Crossover(RATE, bands=2)]))(graph, torch.zeros(1, 2, 10))


def test_parameters_from_before_an_edit_are_refused_even_if_the_graph_was_rendered_before() -> None:
    graph = passing("gain")
    RENDERER(graph, torch.zeros(1, 2, 10))
    graph.params["gain"] = torch.zeros(3, 2)
    with pytest.raises(GraphError, match=r"expected \[1, 2\].*Are these the parameters from before pruning"):
        RENDERER(graph, torch.zeros(1, 2, 10))


def test_an_invalid_graph_is_refused() -> None:
    graph = passing("gain")
    graph.connect(1, 1)
    with pytest.raises(GraphError, match="the graph has a cycle: gain 1 -> gain 1"):
        RENDERER(graph, torch.zeros(1, 2, 10))


class _Stereo(Gain):
    """A matrix with two inlets, which cannot be."""

    def __init__(self, inlets: tuple[str, ...], outlets: tuple[str, ...], gain_staged: bool = False) -> None:
        super().__init__(RATE)
        kind = self.node_type
        self.node_type = type(kind)("odd", "O", kind.parameters, inlets=inlets, outlets=outlets)
        self.gain_staged = gain_staged


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (_Stereo(("a", "b"), ("out",)), "'odd' is linear and has the inlets .*derive it from Processor"),
        (_Stereo(("in",), ("a", "b")), "'odd' is a matrix and has the outlets"),
        (_Stereo(("in",), ("out",), gain_staged=True), "'odd' cannot be gain-staged"),
    ],
)
def test_a_rack_refuses_linear_processors_that_it_cannot_render(processor: Processor, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        Rack([processor])


# --- the plan


def test_a_plan_prints_stages_domains_and_transforms() -> None:
    graph = mixing_console(RACK, {"drums": ["kick", "snare"], "band": ["bass"]}, "ecg")
    plan = schedule(graph, RACK)
    text = str(plan).splitlines()
    assert text[0].split() == ["stage", "type", "nodes", "domain", "transforms", "MB"]
    rows = [line.split() for line in text[1:-1]]
    chain = ["equalizer", "compressor", "gain"]
    assert [row[1] for row in rows] == ["in", *chain, "mix", *chain, "out"]
    assert [row[3] for row in rows].count("spectrum") == 2
    assert text[-1].startswith("9 stages (optimal), 20 transforms, ")


def test_a_plan_is_kept_as_long_as_the_structure_stays() -> None:
    renderer, graph = Renderer(RACK), passing("gain")
    plan = renderer.plan(graph)
    graph.params["gain"] = graph.params["gain"] + 3
    assert renderer.plan(graph) is plan
    graph.connect(0, 1)
    assert renderer.plan(graph) is not plan


def test_a_track_changes_its_domain_three_times() -> None:
    """To the spectrum for the equalizer, out of it for the compressor, and back for delay and reverb."""
    graph = mixing_console(RACK, {"bus": ["voice"]}, "ecnsgdr")
    plan = schedule(graph, RACK)
    kinds = [stage.kind for stage in plan.stages]
    spectral = [stage.kind for stage in plan.stages[: kinds.index("mix")] if stage.fft_group is not None]
    assert spectral == ["equalizer", "delay", "reverb"]


def test_what_a_gpu_computes_is_what_the_cpu_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The branches for other devices, taken here on the CPU."""
    graph, sources = full_graph(RACK), random_sources(0, SAMPLES, 2)
    expected = RENDERER.render(graph, sources)

    def by_tensors(u: Tensor, h: Tensor, wet: Tensor, n_fft: int) -> tuple[Tensor, Tensor]:
        return apply_by_tensors(u, h, wet, parseval_weights(n_fft).to(wet))

    def by_scan(energy: Tensor, attack: Tensor, release: Tensor | None = None) -> Tensor:
        return one_pole_scan(energy, attack) if release is None else smooth(energy, attack, release)

    monkeypatch.setattr("graphmix.render.renderer.apply_response", by_tensors)
    monkeypatch.setattr("graphmix.processors.dynamics.smooth", by_scan)
    monkeypatch.setattr("graphmix.processors.dynamics.KneeDynamics.compiles", lambda self, audio: False)
    for mine, other in zip(RENDERER.render(graph, sources), expected, strict=True):
        assert relative_error(mine, other) < 1e-4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_renders_what_the_cpu_renders() -> None:
    graph = full_graph(RACK)
    sources = random_sources(0, 2 * SAMPLES, 2)
    expected = RENDERER(graph, sources)
    console = mixing_console(RACK, {"a": ["1", "2"], "b": ["3"]})
    tracks = random_sources(0, 2 * SAMPLES, NUM_INPUTS)
    expected_console = RENDERER(console, tracks)
    on_gpu = Renderer(copy.deepcopy(RACK)).cuda()
    assert relative_error(on_gpu(graph.clone().cuda(), sources.cuda()).cpu(), expected) < 1e-4
    assert relative_error(on_gpu(console.clone().cuda(), tracks.cuda()).cpu(), expected_console) < 1e-4


# --- what sources may be


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sources_in_half_precision_are_rendered_in_float32(dtype: torch.dtype) -> None:
    graph = mixing_console(RACK, {"bus": ["a"]}, "ecnsgdr")
    sources = random_sources(0, SAMPLES, 1).to(dtype)
    mix = RENDERER(graph, sources)
    assert mix.dtype == torch.float32
    assert torch.equal(mix, RENDERER(graph, sources.float()))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_are_taken_as_sources(dtype: type) -> None:
    graph = mixing_console(RACK, {"bus": ["a"]}, "ecn")
    sources = random_sources(0, SAMPLES, 1).numpy().astype(dtype)
    mix = RENDERER(graph, sources[..., ::-1])
    expected = torch.from_numpy(sources[..., ::-1].copy())
    assert torch.equal(mix, RENDERER(graph, expected.float() if dtype is np.float16 else expected))


def test_sources_need_not_be_contiguous() -> None:
    graph = mixing_console(RACK, {"bus": ["a", "b"]}, "ecnsgdr")
    sources = random_sources(0, SAMPLES, 2)
    strided = sources.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert not strided.is_contiguous()
    assert torch.equal(RENDERER(graph, strided), RENDERER(graph, sources))


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (
            torch.ones(1, 2, 8, dtype=torch.int16),
            r"sources: int16 found; audio .* divide 16-bit samples by",
        ),
        (torch.ones(1, 2, 8, dtype=torch.bool), "sources: bool found; audio is float32"),
        (torch.ones(1, 2, 8, dtype=torch.complex64), "sources: complex numbers found; audio is real"),
        (torch.ones(1, 2, 8, device="meta"), "sources: found on meta, but the graph is on cpu; move one of them"),
        (np.ones((1, 2, 8), dtype=np.int32), "sources: int32 found; audio is float32"),
        (np.ones((1, 2, 8), dtype=np.uint16), "sources: uint16 found; audio is float32"),
        (np.full((1, 2, 8), "a"), "sources: <U1 found; audio is float32"),
        ([[[0.0] * 8] * 2], "sources: list found; give a tensor or a NumPy array"),
    ],
)
def test_what_is_no_audio_is_refused(sources: object, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        RENDERER(passing(), sources)


def test_parameters_in_half_precision_are_refused() -> None:
    graph = mixing_console(RACK, {"bus": ["a"]}, "g")
    RENDERER(graph, random_sources(0, SAMPLES, 1))  # whose plan is not used again
    graph.params["gain"] = graph.params["gain"].half()
    with pytest.raises(GraphError, match=r"params\['gain'\] is torch.float16; parameters are torch.float32"):
        RENDERER(graph, random_sources(0, SAMPLES, 1))


def test_another_rate_is_named_before_its_consequences() -> None:
    for chain in ("g", "ecnsgdr"):
        graph = mixing_console(Rack.console("ecnsgdr", 44100), {"bus": ["a"]}, chain)
        with pytest.raises(GraphError, match="made for 44100 Hz and the rack for 30000 Hz; build both at one rate"):
            Renderer(Rack.console("ecnsgdr"))(graph, torch.zeros(1, 2, 100))
