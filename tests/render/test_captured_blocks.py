"""Captured effects in a song that is rendered block by block, and in one pass for all of their nodes."""

import pytest
import torch
from torch import Tensor

from graphmix.graph import MixGraph
from graphmix.models.effects import CapturedEffect
from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.render.blocks import BlockRenderer
from tests.models.effects.test_effect_laws import TINY, a_model

CAPTURE_RATE = 8000


def rack_of(name: str, rate: int) -> Rack:
    effect = CapturedEffect(a_model(name, controls=name in ("lstm", "grey_box")), "amp", "a", rate)
    return Rack.console("gc", rate).with_processor(effect)


def two_in_series(rack: Rack) -> MixGraph:
    """A compressor between two of them, one of them half dry, and a third beside them."""
    graph = MixGraph(rack.types, rack.sample_rate)
    slow = {"threshold_db": -30.0, "ratio": 3.0, "time_ms": 300.0}
    first, second = graph.add("in"), graph.add("in")
    graph.chain(first, graph.add("amp"), graph.add("compressor", **slow), graph.add("amp", wet=0.5), graph.add("out"))
    graph.chain(second, graph.add("amp", wet=0.8), graph.add("out"))
    return graph


def in_blocks(rack: Rack, graph: MixGraph, stems: Tensor, seconds: float) -> Tensor:
    """As :func:`graphmix.render.blocks.render_song` does it, with short blocks."""
    renderer = BlockRenderer(rack, graph)
    block = -(-max(round(seconds * rack.sample_rate), renderer.warmup) // renderer.period) * renderer.period
    length, parts = stems.size(-1), []
    padded = torch.nn.functional.pad(stems, (0, renderer.ahead))
    for begin in range(0, length, block):
        end = min(begin + block, length)
        start = max(0, begin - renderer.warmup)
        part = renderer.render_block(padded[..., start : end + renderer.ahead], start, max(0, end - renderer.warmup))
        parts.append(part[..., begin - start : end - start])
    return torch.cat(parts, dim=-1)


@pytest.mark.parametrize("rate", [8000, 7350, 5000], ids=["its rate", "44.1 for 48 kHz", "30 for 48 kHz"])
@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_blocks_equal_the_whole(name: str, rate: int):
    rack = rack_of(name, rate)
    graph = two_in_series(rack)
    stems = 0.3 * torch.randn(2, 2, 3 * rate + 17, generator=torch.Generator().manual_seed(0))
    stems[1, 1] = stems[1, 0]  # mono
    followed = torch.nn.functional.pad(stems, (0, BlockRenderer(rack, graph).ahead))  # blocks look on into silence
    whole = Renderer(rack)(graph, followed)[..., : stems.size(-1)]
    peak = max(1.0, float(whole.abs().max()))
    torch.testing.assert_close(in_blocks(rack, graph, stems, 0.4), whole, rtol=1e-4, atol=1e-5 * peak)


def test_the_state_of_a_network_needs_no_warmup():
    rack = rack_of("lstm", CAPTURE_RATE)
    renderer = BlockRenderer(rack, two_in_series(rack))
    assert (renderer.warmup, renderer.ahead) == (0, 0)


@torch.no_grad()
def test_all_nodes_of_one_capture_pass_through_it_together():
    rack = rack_of("lstm", CAPTURE_RATE)
    graph = MixGraph(rack.types, CAPTURE_RATE)
    out = graph.add("out")
    for drive in range(5):
        graph.chain(graph.add("in"), graph.add("amp", drive=2.0 * drive), out)
    shapes: list[torch.Size] = []
    hook = rack["amp"].register_forward_pre_hook(lambda _, args: shapes.append(args[0].shape))
    Renderer(rack)(graph, torch.randn(5, 2, 100))
    hook.remove()
    assert shapes == [(5, 2, 100)]


@torch.no_grad()
def test_a_mono_track_passes_through_the_network_once_and_gives_the_same_on_both_sides():
    effect = CapturedEffect(a_model("lstm", controls=True), "amp", "a", CAPTURE_RATE)
    audio = 0.3 * torch.randn(2, 1, 200).expand(-1, 2, -1)
    controls = torch.tensor([[2.0, 0.9], [7.5, 0.1]])
    expected = effect.model(audio.flatten(0, 1), controls.repeat_interleave(2, dim=0)).view(2, 2, -1)
    torch.testing.assert_close(effect(audio, controls), expected)
