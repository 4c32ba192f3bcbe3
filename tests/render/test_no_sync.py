"""A training step on a device that is not the CPU: the host never waits, and the numbers are the CPU's.

No GPU is needed: :mod:`pretend_device` computes on the CPU and notices what would make the host wait.
"""

import copy
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from graphmix.audio import Song, load_song
from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.processors.dynamics import BallisticCompressor, BallisticGate
from graphmix.processors.limiter import Limiter
from graphmix.render import Renderer
from graphmix.search import Judge, Objective, SearchSettings, Training
from graphmix.search.fit import LOOK_EVERY
from graphmix.search.losses import LossTerms
from graphmix.search.rounds import prunable_nodes
from tests.pretend_device import DEVICE, PretendDevice, on_device, on_host
from tests.random_parameters import random_parameters
from tests.render.random_consoles import random_console, random_sources
from tests.small_song import RATE

CHAIN = "ecnsgdr"
SAMPLES = 4000
RACK = Rack.standard(RATE)
ON_HOST = (BallisticCompressor, BallisticGate, Limiter)
"""Recursions that no scan computes run on the host; of a limiter the longest look-ahead is read."""
MOST_LAUNCHES = 3000
"""Of a training step, whatever the number of tracks: host and launches, not arithmetic, bound it on a large GPU."""
UNKNOWN = LossTerms(*torch.full((4,), torch.inf, dtype=torch.float64))


def fuse(patch: pytest.MonkeyPatch) -> None:
    """AdamW in one kernel exists where the device pretends to be."""
    patch.setattr(sys.modules["torch.optim.adam"], "_device_dtype_check_for_fused", lambda *args: None)


@pytest.fixture(autouse=True)
def _fused(monkeypatch: pytest.MonkeyPatch) -> None:
    fuse(monkeypatch)


@pytest.fixture
def device() -> Iterator[PretendDevice]:
    with PretendDevice() as pretended:
        yield pretended


def relative_error(value: Tensor, expected: Tensor) -> float:
    return float((on_host(value) - expected).detach().abs().max() / expected.detach().abs().max().clamp(min=1e-12))


def outputs_and_gradients(processor: Any, audio: Tensor, params: Tensor, wet: Tensor, weight: Tensor) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in (audio, params, wet)]
    if len(processor.node_type.outlets) > 1:
        signal = processor(*leaves[:2]) * leaves[2][:, None, None, None]
    else:
        signal, _ = processor.mix(*leaves)
    signal.backward(weight)
    return [signal, *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("name", RACK.names)
def test_processors_compute_there_what_they_compute_on_the_cpu_and_never_wait(name: str) -> None:
    processor = RACK[name]
    generator = torch.Generator().manual_seed(2)
    inlets, outlets = (len(ports) for ports in (processor.node_type.inlets, processor.node_type.outlets))
    audio = 0.3 * torch.randn(2, *[inlets][: inlets > 1], 2, SAMPLES, generator=generator)
    params, wet = random_parameters(processor.node_type, 2, generator), torch.tensor([0.3, 0.8])
    weight = torch.randn(2, *[outlets][: outlets > 1], 2, SAMPLES, generator=generator)
    expected = outputs_and_gradients(processor, audio, params, wet, weight)
    with PretendDevice() as device:
        there = copy.deepcopy(processor).to(DEVICE)
        device.waits.clear()
        found = outputs_and_gradients(there, *on_device(audio, params, wet, weight))
    for value, other in zip(found, expected, strict=True):
        assert relative_error(value, other) < 2e-4
    assert bool(device.waits) == isinstance(processor, ON_HOST), device.waits


@pytest.mark.parametrize("seed", range(3))
def test_any_graph_renders_there_as_on_the_cpu(seed: int, device: PretendDevice) -> None:
    graph, sources = random_console(RACK, seed, (*RACK.names, "mix"), 10), random_sources(seed, SAMPLES)
    renderer, (there,) = Renderer(copy.deepcopy(RACK).to(DEVICE)), on_device(sources)
    expected, found = Renderer(RACK).render(graph, sources), renderer.render(graph.clone().to(DEVICE), there)
    for value, other in zip(found, expected, strict=True):
        assert relative_error(value, other) < 1e-4


def a_training(song: Song, rack: Rack, console: MixGraph, where: torch.device | str) -> Training:
    settings = SearchSettings(chain=CHAIN, steps=0, ramp_steps=1, evaluate_every=100)
    return Training(Objective(song, rack, where), console, settings, 0, 50, UNKNOWN)


@pytest.fixture(scope="module")
def begun(song: Song, rack: Rack, console: MixGraph) -> Training:
    """A training there, after its first step."""
    with pytest.MonkeyPatch.context() as patch, PretendDevice():
        fuse(patch)
        training = a_training(song, rack, console, DEVICE)
        training.advance()
    return training


def test_training_steps_never_wait_and_do_as_on_the_cpu(song, rack, console, device):
    here, there = (a_training(song, rack, console, where) for where in ("cpu", DEVICE))
    for step in range(3):
        here.advance()
        device.waits.clear()
        device.launches.clear()
        there.advance()
        assert step == 0 or not device.waits, "\n".join(device.waits)  # the first step reads the graph
    for name, value in here.raw.tensors().items():
        assert relative_error(there.raw.tensors()[name], value) < 1e-3, name
    assert sum(device.launches.values()) < MOST_LAUNCHES


def test_a_look_at_the_loss_waits_and_a_checkpoint_does_not(begun, device):
    begun.state()
    assert not device.waits
    step, begun.step = begun.step, LOOK_EVERY - 1
    begun.advance()
    assert 0 < len(device.waits) <= 2
    begun.step = step


def test_a_step_without_a_number_is_left_out_without_waiting(begun, device):
    assert begun.skipped == 0
    before = {name: on_host(value).clone() for name, value in begun.raw.tensors().items()}
    hook = begun.raw.weights.register_hook(lambda gradient: gradient * float("nan"))
    device.waits.clear()
    begun.advance()
    hook.remove()
    assert not device.waits
    assert begun.skipped == 1
    assert all(torch.equal(on_host(value), before[name]) for name, value in begun.raw.tensors().items())


def test_an_evaluation_waits_as_often_for_many_segments_as_for_one(song, rack, console, device):
    objective, graph = Objective(song, rack, DEVICE), console.clone().to(DEVICE)
    assert len(objective.segments) == 2
    waits = []
    for segments in (objective.segments, objective.segments[:1], objective.segments):
        device.waits.clear()
        loss = objective.evaluate(graph, segments)
        waits.append(len(device.waits))
    assert waits[1] == waits[2]
    assert float(loss.total) == pytest.approx(float(Objective(song, rack).evaluate(console).total), rel=1e-5)


def test_trials_are_judged_as_on_the_cpu(song, rack, console, device):
    nodes = prunable_nodes(console)[::5]
    verdicts = []
    for where in ("cpu", DEVICE):
        objective = Objective(song, rack, where)
        judge = Judge(objective, console, objective.segments)
        one = judge.judge(nodes[:2])
        judge.remove(nodes[:2])
        verdicts.append([judge.loss(), one.loss, *judge.leave_one_out(nodes[2:]).tolist()])
    assert verdicts[1] == pytest.approx(verdicts[0], rel=1e-3, abs=1e-5)


def test_a_song_on_disk_gives_its_segments_to_the_device(song, rack, console, device):
    on_disk = load_song(song.folder, RATE, preload_bytes=0)
    assert on_disk.to(DEVICE) is on_disk
    losses = [Objective(one, rack, DEVICE).step_loss(console.clone().to(DEVICE), 0, 0).audio for one in (song, on_disk)]
    assert torch.equal(*(on_host(loss) for loss in losses))


WAITING = {
    "a number": lambda x: float(x.sum()),
    "a decision": lambda x: 1 if (x > 0).all() else 0,
    "a copy to the host": lambda x: x.cpu(),
    "a list": lambda x: x.tolist(),
    "a copy from the host": lambda x: x + torch.ones(3).to(x.device),
    "a tensor of numbers": lambda x: x * torch.tensor([1.0, 2.0, 3.0], device=x.device),
    "a mask": lambda x: x[x > 0],
    "indices of what is not zero": lambda x: x.nonzero(),
}


@pytest.mark.parametrize("what", WAITING)
def test_the_pretended_device_notices(what: str, device: PretendDevice) -> None:
    (x,) = on_device(torch.tensor([1.0, -2.0, 3.0]))
    WAITING[what](x)
    assert len(device.waits) == 1


def test_the_pretended_device_computes_with_gradients(device: PretendDevice) -> None:
    z = torch.randn(3, 4, dtype=torch.complex64)
    expected, x = z.clone().requires_grad_(), on_device(z)[0].detach().requires_grad_()
    for one in (expected, x):
        (one * one.conj().roll(1, 0)).imag.square().sum().backward()
    assert relative_error(x.grad, expected.grad) < 1e-6
    assert not device.waits


def test_the_pretended_device_refuses_to_mix(device: PretendDevice) -> None:
    with pytest.raises(AssertionError, match="tensors on two devices"):
        on_device(torch.ones(3))[0] + torch.ones(3)
