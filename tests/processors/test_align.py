"""The delay and polarity of a track: against shifted sines, finite differences, and its own inverse."""

import math

import pytest
import torch
from torch import Tensor

from graphmix.audio.song import load_song
from graphmix.graph.editing import insert_after, insert_before, remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph, save_graph
from graphmix.processors.align import HALF, Align
from graphmix.processors.rack import Rack
from graphmix.render import Renderer, render_song
from graphmix.render.reference import render_reference
from graphmix.search.parametrization import RawGraph
from tests.small_song import dry_tracks, write_song

RATE = 30000
ALIGN = Align(RATE)


def params(samples: float, polarity: float = 1.0) -> Tensor:
    return torch.tensor([[1000 * samples / RATE, polarity]], dtype=torch.float64)


def sines(delay: float = 0.0, samples: int = 3000) -> Tensor:
    """Sines up to 0.45 of the sample rate, [1, 2, samples]."""
    time = torch.arange(samples, dtype=torch.float64) - delay
    waves = [torch.sin(2 * math.pi * f * time + f * 40) for f in (0.003, 0.11, 0.31, 0.45)]
    return torch.stack([waves[0] + waves[1], waves[2] - waves[3]])[None]


@pytest.mark.parametrize("delay", [0.0, 17.0, -17.0, 0.5, -0.25, 101.37, -12.5])
def test_signals_come_so_much_later(delay: float) -> None:
    inside = slice(200, -200)
    out = ALIGN(sines(), params(delay))
    tolerance = 0 if delay == round(delay) else 2e-4
    torch.testing.assert_close(out[..., inside], sines(delay)[..., inside], atol=tolerance + 1e-9, rtol=0)


def test_whole_samples_and_polarity_are_exact_and_silence_comes_in() -> None:
    audio = torch.randn(2, 2, 500)
    out = ALIGN(audio, torch.cat([params(7), params(-3, -1.0)]).float())
    assert torch.equal(out[0, :, 7:], audio[0, :, :-7])
    assert torch.equal(out[1, :, :-3], -audio[1, :, 3:])
    assert not out[0, :, :7].any()
    assert not out[1, :, -3:].any()
    assert not ALIGN(audio, params(60_000).float().expand(2, -1)).any()


@pytest.mark.parametrize("samples", [41_100.0, 900_001.0, -60_417.0])
def test_long_delays_of_whole_samples_stay_whole_in_float32(samples: float) -> None:
    values = torch.tensor([[1000 * samples / RATE, 1.0]])
    assert ALIGN.memory(values) == (max(0, int(samples)), max(0, -int(samples)))


def test_memory_is_what_the_output_depends_on() -> None:
    assert ALIGN.memory(params(0)) == (0, 0)
    assert ALIGN.memory(params(10.5)) == (10 + HALF, HALF - 10)
    assert ALIGN.memory(torch.cat([params(100), params(-50)])) == (100, 50)


def test_gradients_agree_with_finite_differences() -> None:
    audio = torch.randn(2, 2, 40, dtype=torch.float64, requires_grad=True)
    delay = torch.tensor([[0.11], [-0.077]], dtype=torch.float64, requires_grad=True)
    polarity = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x, d: ALIGN(x, torch.cat([d, polarity], 1)), (audio, delay))


def test_the_gradient_finds_a_delay() -> None:
    delay = torch.tensor([[0.0]], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([delay], lr=2e-3)
    for _ in range(200):
        optimizer.zero_grad()
        out = ALIGN(sines()[:, :1].expand(-1, 2, -1), torch.cat([delay, torch.ones(1, 1)], 1))
        (out - sines(1.4)[:, :1]).square()[..., 200:-200].mean().backward()
        optimizer.step()
    assert float(delay) == pytest.approx(1400 / RATE, abs=1e-4)


def console() -> MixGraph:
    graph = MixGraph((*Rack.console("er", RATE).types, ALIGN.node_type), RATE)
    out = graph.add("out", name="mix")
    for row, name in enumerate(dry_tracks()):
        values = [{"delay_ms": 3.01}, {"delay_ms": -1.0, "polarity": -1.0}, {"delay_ms": 0.5}][row]
        graph.chain(graph.add("in", name=name), graph.add("align", **values), graph.add("equalizer"), out)
    return insert_before(graph, out, "align", delay_ms=2.345)


def test_the_renderer_agrees_with_the_reference() -> None:
    sources = torch.stack([x[:, :4000] for x in dry_tracks().values()])
    graph = console()
    expected = torch.from_numpy(render_reference(graph, sources.numpy()))
    rendered = Renderer(Rack.for_types(graph.types.types, RATE))(graph, sources)
    torch.testing.assert_close(rendered.double(), expected, atol=2e-6, rtol=0)


def test_blocks_are_the_whole(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks = dry_tracks()
    song = load_song(write_song(tmp_path / "song", tracks, sum(tracks.values())), RATE)
    graph = console()
    whole = Renderer(Rack.for_types(graph.types.types, RATE))(graph, song.read(0, song.num_samples).stems)[0]
    monkeypatch.setattr("graphmix.render.blocks.BLOCK_SECONDS", 0.3)
    torch.testing.assert_close(render_song(graph, song), whole, atol=1e-6, rtol=0)


def test_files_keep_it_and_searches_take_it_as_given(tmp_path) -> None:
    graph = console()
    aligned = graph.nodes_of("align").tolist()
    assert not graph.prunable[aligned].any()
    for ending in (".safetensors", ".json"):
        loaded = load_graph(save_graph(graph, tmp_path / f"graph{ending}"))
        assert loaded.types == graph.types
        torch.testing.assert_close(loaded.params["align"], graph.params["align"])
    raw = RawGraph(graph, Rack.for_types(graph.types.types, RATE))
    assert raw.weights.numel() == 3  # the equalizers
    torch.testing.assert_close(raw.snapshot().params["align"], graph.params["align"])


def test_a_node_is_inserted_where_the_edges_were() -> None:
    graph = MixGraph((*Rack.console("g", RATE).types, ALIGN.node_type), RATE)
    track, mix, out = graph.add("in", name="a"), graph.add("mix"), graph.add("out")
    graph.chain(track, mix, out)
    graph.connect(track, out)
    after = insert_after(graph, track, "align", delay_ms=1.0)
    assert {tuple(edge)[:2] for edge in after.edges()} == {(3, 1), (1, 2), (3, 2), (0, 3)}
    before = insert_before(graph, out, "align", name="late")
    assert {tuple(edge)[:2] for edge in before.edges()} == {(0, 1), (1, 3), (0, 3), (3, 2)}
    assert before.names[3] == "late"
    assert graph.node_type.numel() == 3
    assert [tuple(e) for e in remove_nodes(after, [3]).edges()] == [tuple(e) for e in graph.edges()]
