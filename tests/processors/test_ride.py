"""Gain that moves over the time of a song: against NumPy's interpolation and finite differences, and in graphs."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.audio.song import load_song
from graphmix.errors import GraphError
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph, save_graph
from graphmix.graph.tables import describe_graph
from graphmix.graph.validation import validate
from graphmix.processors.rack import Rack
from graphmix.processors.ride import BREAKPOINTS, Ride, breakpoints, used_points
from graphmix.render import Renderer, render_song
from graphmix.render.reference import render_reference
from graphmix.render.render_cache import TrialRenderer
from tests.small_song import dry_tracks, write_song

RATE = 30000
RIDE = Ride(RATE)
POINTS = [(0.02, -3.0), (0.05, 4.0), (0.0502, -40.0), (0.09, 0.0)]


def params(points: list[tuple[float, float]]) -> Tensor:
    values = breakpoints(points)
    return torch.tensor([[*values["time_s"], *values["gain_db"]]], dtype=torch.float64)


@pytest.mark.parametrize("begin", [0.0, 0.04, 1.0, -0.5])
def test_gains_are_linear_in_db_between_breakpoints_and_constant_outside(begin: float) -> None:
    times, gains = zip(*POINTS, strict=True)
    now = begin + np.arange(3000) / RATE
    seen = RIDE.placed(params(POINTS), torch.tensor([begin], dtype=torch.float64))
    out = RIDE(torch.ones(1, 2, 3000, dtype=torch.float64), seen)
    expected = torch.from_numpy(10 ** (np.interp(now, times, gains) / 20)).expand(1, 2, -1)
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=0)


def test_an_unused_breakpoint_counts_for_nothing_whatever_its_gain() -> None:
    values = params(POINTS)
    values[0, BREAKPOINTS + len(POINTS) :] = 17.0
    audio = torch.randn(1, 2, 4000, dtype=torch.float64)
    assert torch.equal(RIDE(audio, values), RIDE(audio, params(POINTS)))
    assert used_points(values[0]) == POINTS


def test_gradients_agree_with_finite_differences() -> None:
    audio = torch.randn(2, 2, 60, dtype=torch.float64, requires_grad=True)
    time = params([(0.0001, 0), (0.0008, 0), (0.001, 0), (0.0017, 0)])[:, :BREAKPOINTS].expand(2, -1)
    gain = (6 * torch.randn(2, BREAKPOINTS, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, g: RIDE(x, torch.cat([time, g], 1)), (audio, gain))


def test_times_have_no_gradient() -> None:
    values = params(POINTS).requires_grad_()
    RIDE(torch.ones(1, 2, 3000, dtype=torch.float64), values).sum().backward()
    assert values.grad is not None
    assert not values.grad[0, :BREAKPOINTS].any()
    assert bool(values.grad[0, BREAKPOINTS : BREAKPOINTS + len(POINTS)].all())


def test_the_gradient_finds_a_fade() -> None:
    audio = torch.randn(1, 2, 3000, dtype=torch.float64)
    times, target = params(POINTS)[:, :BREAKPOINTS], RIDE(audio, params(POINTS))
    gain = torch.zeros(1, BREAKPOINTS, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([gain], lr=0.5)
    for _ in range(300):
        optimizer.zero_grad()
        out = RIDE(audio, torch.cat([times, gain], 1))
        (out.square().clamp(min=1e-12).log() - target.square().clamp(min=1e-12).log()).square().mean().backward()
        optimizer.step()
    expected = torch.tensor([g for _, g in POINTS], dtype=torch.float64)
    torch.testing.assert_close(gain.detach()[0, : len(POINTS)], expected, atol=0.05, rtol=0)


def test_breakpoints_out_of_order_too_many_or_none_are_refused() -> None:
    with pytest.raises(GraphError, match=r"breakpoints of a ride: 2 s comes after 3 s; sort them by time"):
        breakpoints([(1.0, 0.0), (3.0, 0.0), (2.0, 0.0)])
    with pytest.raises(GraphError, match="a ride has 1 to 32 breakpoints, not 0"):
        breakpoints([])
    with pytest.raises(GraphError, match="not 33"):
        breakpoints([(float(k), 0.0) for k in range(33)])


# --- in graphs


def console(points: list[tuple[float, float]] = POINTS) -> MixGraph:
    graph = MixGraph((*Rack.console("ecr", RATE).types, RIDE.node_type), RATE)
    out = graph.add("out", name="mix")
    last = graph.add("ride", name="master", **breakpoints([(0.1, 0.0), (0.2, -20.0)]))
    graph.connect(last, out)
    for row, name in enumerate(dry_tracks()):
        moved = [(time * (row + 1), gain) for time, gain in points]
        chain = graph.add("equalizer"), graph.add("ride", **breakpoints(moved)), graph.add("compressor", ratio=3)
        graph.chain(graph.add("in", name=name), *chain, last)
    return graph


def rack(graph: MixGraph) -> Rack:
    return Rack.for_types(graph.types.types, RATE)


def segment(start: int, length: int) -> Tensor:
    return torch.stack([x[:, start : start + length] for x in dry_tracks().values()])


@pytest.mark.parametrize("position", [0, 1234, -600])
def test_the_renderer_agrees_with_the_reference_anywhere_in_the_song(position: int) -> None:
    graph, sources = console(), segment(1000, 4000)
    expected = torch.from_numpy(render_reference(graph, sources.numpy(), position=position))
    rendered = Renderer(rack(graph))(graph, sources, position)
    torch.testing.assert_close(rendered.double(), expected, atol=2e-6, rtol=0)


def test_graphs_of_a_batch_have_positions_of_their_own() -> None:
    graphs = [console(), console([(0.01, 1.0), (0.3, -9.0)])]
    sources, places = [segment(0, 3000), segment(500, 3000)], [700, 4100]
    renderer = Renderer(rack(graphs[0]))
    together = renderer(Batch.from_data_list(graphs), torch.cat(sources), torch.tensor(places))
    alone = [renderer(*each) for each in zip(graphs, sources, places, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=0)
    with pytest.raises(GraphError, match="position has 3 entries and there are 2 graphs"):
        renderer(Batch.from_data_list(graphs), torch.cat(sources), torch.tensor([1, 2, 3]))


def test_blocks_are_the_whole(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks, graph = dry_tracks(), console([(0.2, -3.0), (0.25, 3.0), (0.3, -30.0)])
    song = load_song(write_song(tmp_path / "song", tracks, sum(tracks.values())), RATE)
    whole = Renderer(rack(graph))(graph, song.read(0, song.num_samples).stems)[0]
    monkeypatch.setattr("graphmix.render.blocks.BLOCK_SECONDS", 0.3)
    torch.testing.assert_close(render_song(graph, song), whole, atol=1e-6, rtol=0)


def test_trials_are_the_edited_graph_wherever_the_segment_lies() -> None:
    graph, sources, position = console(), segment(1000, 4000), 900
    renderer, rides = Renderer(rack(graph)), graph.nodes_of("ride").tolist()
    cache = TrialRenderer(renderer, graph).render(sources, position)
    compressor = int(graph.nodes_of("compressor")[0])
    for trial in ([rides[0]], [rides[1]], [compressor], [rides[2], compressor]):
        expected = renderer(remove_nodes(graph, trial), sources, position)
        torch.testing.assert_close(cache.without([trial])[0], expected, atol=2e-6, rtol=0)


def test_files_keep_it_and_the_table_shows_its_breakpoints(tmp_path) -> None:
    graph = console()
    for ending in (".safetensors", ".json"):
        loaded = load_graph(save_graph(graph, tmp_path / f"graph{ending}"))
        assert loaded.types == graph.types
        assert torch.equal(loaded.params["ride"], graph.params["ride"])
    settings = [row.settings for chain in describe_graph(graph) for row in chain.processors if row.type.name == "ride"]
    assert "+0.0 dB to 0.10 s, -20.0 dB from 0.20 s" in settings


def test_breakpoints_out_of_order_or_behind_the_end_of_the_song_are_errors_of_the_graph(tmp_path) -> None:
    graph = console()
    graph.params["ride"][1, 1] = 0.01
    with pytest.raises(GraphError, match=r"ride 3: time_s goes back from 0\.02 to 0\.01 s at entry 1; sort"):
        validate(graph)
    tracks = dry_tracks()
    song = load_song(write_song(tmp_path / "song", tracks, sum(tracks.values())), RATE)
    late = console([(0.1, 0.0), (500.0, -3.0)])
    with pytest.raises(GraphError, match=r"ride 3 has a breakpoint at 500\.000 s, and the song ends at"):
        render_song(late, song)
