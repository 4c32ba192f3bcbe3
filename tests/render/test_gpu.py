"""On a real GPU: the numbers of the CPU, and no step that waits. Skipped where there is none."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from graphmix.audio import Song
from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.search import Judge, Objective, SearchSettings, Training
from graphmix.search.rounds import prunable_nodes
from tests.random_parameters import random_parameters
from tests.render.random_consoles import random_console, random_sources
from tests.small_song import RATE

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
CHAIN = "ecnsgdr"
SAMPLES = 20000
RACK = Rack.standard(RATE)


@contextmanager
def no_waiting() -> Iterator[None]:
    """PyTorch raises where the host would wait for the GPU."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def relative_error(value: Tensor, expected: Tensor) -> float:
    value, expected = value.detach().cpu().double(), expected.detach().double()
    return float((value - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


def rendered_and_gradients(rack: Rack, graph: MixGraph, sources: Tensor) -> dict[str, Tensor]:
    """The mix, and the gradients of its energy."""
    leaves = {"wet": graph.wet, "sources": sources, **{n: v for n, v in graph.params.items() if v.numel()}}
    leaves = {name: value.detach().clone().requires_grad_() for name, value in leaves.items()}
    graph = copy.copy(graph)
    graph.wet, graph.params = leaves["wet"], {**graph.params, **{n: leaves[n] for n in graph.params if n in leaves}}
    mix = Renderer(rack)(graph, leaves["sources"])
    mix.square().mean().backward()
    return {"mix": mix, **{name: leaf.grad for name, leaf in leaves.items()}}


@pytest.mark.parametrize("name", [name for name in RACK.names if name not in ("crossover", "sidechain_compressor")])
def test_every_type_renders_there_what_it_renders_on_the_cpu(name: str) -> None:
    graph = MixGraph(RACK.types, RATE)
    graph.chain(graph.add("in"), graph.add(name, wet=0.7), graph.add("out"))
    graph.params[name] = random_parameters(RACK[name].node_type, 1, torch.Generator().manual_seed(3))
    assert_same(graph, random_sources(0, SAMPLES, 1))


@pytest.mark.parametrize("seed", range(4))
def test_any_graph_renders_there_what_it_renders_on_the_cpu(seed: int) -> None:
    assert_same(random_console(RACK, seed, (*RACK.names, "mix"), 12), random_sources(seed, SAMPLES))


def assert_same(graph: MixGraph, sources: Tensor) -> None:
    expected = rendered_and_gradients(RACK, graph, sources)
    found = rendered_and_gradients(copy.deepcopy(RACK).cuda(), graph.clone().cuda(), sources.cuda())
    for name, value in expected.items():
        assert relative_error(found[name], value) < 1e-3, name


def a_training(song: Song, rack: Rack, console: MixGraph, device: str) -> Training:
    settings = SearchSettings(chain=CHAIN, steps=0, ramp_steps=1, evaluate_every=100)
    return Training(Objective(song, rack, device), console, settings, 0, 50)


def test_a_training_step_there_is_one_on_the_cpu(song: Song, rack: Rack, console: MixGraph) -> None:
    here, there = (a_training(song, rack, console, device) for device in ("cpu", "cuda"))
    assert float(there.best_loss.total) == pytest.approx(float(here.best_loss.total), rel=1e-4)
    for training in (here, there):
        training.advance()
    for name, parameter in here.raw.named_parameters():
        other = dict(there.raw.named_parameters())[name]
        assert relative_error(other.grad, parameter.grad) < 1e-2, name


def test_training_steps_never_wait(song: Song, rack: Rack, console: MixGraph) -> None:
    training = a_training(song, rack, console, "cuda")
    training.advance()  # reads the graph, plans FFTs
    with no_waiting():
        for _ in range(3):
            training.advance()


def test_a_step_without_a_number_is_left_out(song: Song, rack: Rack, console: MixGraph) -> None:
    training = a_training(song, rack, console, "cuda")
    training.advance()
    before = {name: value.detach().clone() for name, value in training.raw.tensors().items()}
    training.raw.weights.register_hook(lambda gradient: gradient * float("nan"))
    with no_waiting():
        training.advance()
    assert training.skipped == 1
    assert all(torch.equal(value, before[name]) for name, value in training.raw.tensors().items())


def test_trials_there_are_those_on_the_cpu(song: Song, rack: Rack, console: MixGraph) -> None:
    nodes = prunable_nodes(console)[::3]
    verdicts = []
    for device in ("cpu", "cuda"):
        objective = Objective(song, rack, device)
        judge = Judge(objective, console, objective.segments)
        one = judge.judge(nodes[:2])
        judge.remove(nodes[:2])
        verdicts.append([judge.loss(), one.loss, *judge.leave_one_out(nodes[2:]).tolist()])
    assert verdicts[1] == pytest.approx(verdicts[0], rel=1e-3, abs=1e-4)
