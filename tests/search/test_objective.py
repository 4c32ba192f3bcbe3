"""The objective against a direct computation, its errors, and what it must not depend on."""

import pytest
import torch

from graphmix.audio import Song, load_song, load_stems, training_start
from graphmix.errors import SearchError
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.search import MixLoss, Objective, gain_staging, song_level
from tests.small_song import RATE, hidden_graph, write_song


def plain_sum(song: Song, rack: Rack) -> MixGraph:
    return mixing_console(rack, song.subgroups, "")


def test_the_true_graph_has_no_loss(objective):
    assert float(objective.evaluate(hidden_graph()).total) < 1e-3


def test_the_loss_over_a_song_is_the_weighted_mean_over_its_segments(song, rack, objective):
    """3.4 s are a segment whose scored part is 2.8 s, and one of 0.6 s; each is preceded by a second of warm-up."""
    audio = song.read(0, song.num_samples)
    stems = audio.stems
    second, segment = RATE, round(3.8 * RATE)
    padded = torch.nn.functional.pad(stems, (second, 0))
    loss, render = MixLoss(RATE), Renderer(rack)
    graph = plain_sum(song, rack)
    first = render(graph, padded[:, :, :segment])[:, :, second:]
    last_new = song.num_samples - (segment - second)
    last = render(graph, stems[:, :, -segment:])[:, :, -last_new:]
    expected = (segment - second) * torch.stack(
        loss(prediction=first, target=audio.mix[None, :, : segment - second])
    ) + last_new * torch.stack(loss(prediction=last, target=audio.mix[None, :, -last_new:]))
    result = torch.stack(objective.evaluate(graph))
    assert torch.allclose(result, (expected / song.num_samples).double(), rtol=1e-5)


def test_a_graph_whose_inputs_stand_in_another_order_has_the_same_loss(song, rack, objective):
    reordered = {bus: tracks[::-1] for bus, tracks in reversed(song.subgroups.items())}
    other = mixing_console(rack, reordered, "")
    assert other.names[:3] != plain_sum(song, rack).names[:3]
    for one, two in zip(objective.evaluate(plain_sum(song, rack)), objective.evaluate(other), strict=True):
        assert float(one) == pytest.approx(float(two), rel=1e-5)


def test_evaluation_does_not_depend_on_preloading(song, song_folder, rack, objective):
    streamed = load_song(song_folder, RATE, preload_bytes=0)
    assert song.is_preloaded
    assert not streamed.is_preloaded
    graph = plain_sum(song, rack)
    other = Objective(streamed, rack)
    assert objective.evaluate(graph) == other.evaluate(graph)
    assert objective.step_loss(graph, 0, 3) == other.step_loss(graph, 0, 3)


def test_evaluating_twice_gives_the_same_although_targets_are_kept(objective, song, rack):
    graph = plain_sum(song, rack)
    fresh = Objective(song, rack)
    assert fresh.evaluate(graph) == fresh.evaluate(graph) == objective.evaluate(graph)


def test_some_segments_count_by_their_weight(song, rack, objective):
    graph = plain_sum(song, rack)
    each = [float(objective.evaluate(graph, [segment]).total) for segment in objective.segments]
    weights = [segment.weight for segment in objective.segments]
    mean = sum(x * w for x, w in zip(each, weights, strict=True)) / sum(weights)
    assert float(objective.evaluate(graph).total) == pytest.approx(mean, rel=1e-6)


def test_a_training_step_scores_what_comes_after_its_warm_up(rack, objective, song):
    graph = plain_sum(song, rack)
    losses = [objective.step_loss(graph, 0, step) for step in range(16)]
    assert all(loss.staging == 0 for loss in losses), "no gain-staged processor"
    assert len({float(loss.audio) for loss in losses}) > 1
    start = training_start(0, 2, song.num_samples, objective.length, objective.warmup)
    audio = song.read(start, objective.length)
    target = audio.mix[None, :, objective.warmup :]
    prediction = audio.stems.sum(0, keepdim=True)[:, :, objective.warmup :]
    expected = MixLoss(RATE)(prediction=prediction, target=target).total
    assert float(losses[2].audio) == pytest.approx(float(expected), rel=1e-5)


def test_gain_staging_is_counted_in_a_training_step(song):
    rack = Rack.console("e", RATE)
    graph = mixing_console(rack, song.subgroups, "e")
    graph.params["equalizer"][:] = 6.0
    objective = Objective(song, rack)
    wet, dry = torch.tensor([10 ** (6.0 / 10)]), torch.tensor([1.0])
    each = float(gain_staging(wet, dry))
    assert float(objective.step_loss(graph, 0, 0).staging) == pytest.approx(5 * each, rel=1e-3)


def test_evaluating_leaves_the_graph_alone(objective, song, rack):
    graph = plain_sum(song, rack)
    tensors = [graph.wet, graph.node_type, *graph.params.values()]
    objective.evaluate(graph)
    assert all(a is b for a, b in zip(tensors, [graph.wet, graph.node_type, *graph.params.values()], strict=True))


def weighted(objective: Objective) -> MixGraph:
    """Processors that do something, at several weights; the first has none."""
    graph = hidden_graph()
    nodes = graph.processors.tolist()
    graph.wet[nodes] = torch.linspace(0.0, 0.9, len(nodes))
    return graph


def test_first_order_importance_is_weight_times_slope(objective):
    """Central differences of the loss in each weight; in float32, so loosely."""
    graph, step = weighted(objective), 0.02
    importance = objective.first_order_importance(graph)
    assert importance.shape == (graph.num_nodes,)
    assert importance.dtype == torch.float64
    for node in graph.processors.tolist():
        losses = []
        for sign in (-1, 1):
            moved = graph.clone()
            moved.wet[node] += sign * step
            losses.append(float(objective.evaluate(moved).total))
        slope = (losses[1] - losses[0]) / (2 * step)
        assert float(importance[node]) == pytest.approx(abs(float(graph.wet[node]) * slope), rel=0.05, abs=1e-4)
    assert float(importance.max()) > 0.01


def test_what_has_no_weight_has_no_first_order_importance(objective):
    graph = weighted(objective)
    importance = objective.first_order_importance(graph)
    first, *others = graph.processors.tolist()
    assert float(importance[first]) == 0
    assert all(float(importance[node]) > 0 for node in others)
    assert not graph.wet.requires_grad
    plain = [node for node in range(graph.num_nodes) if node not in graph.processors.tolist()]
    assert importance[plain].tolist() == [0.0] * len(plain)


def test_slopes_of_segments_may_cancel_in_first_order_importance(objective):
    graph = weighted(objective)
    segments = objective.segments
    assert len(segments) == 2
    over_all = objective.first_order_importance(graph)
    each = [objective.first_order_importance(graph, [segment]) for segment in segments]
    bound = sum(s.weight * x for s, x in zip(segments, each, strict=True)) / sum(s.weight for s in segments)
    assert bool((over_all <= bound + 1e-9).all()), "the size is taken of the mean slope"


def test_known_responses_change_nothing(objective):
    graph, responses = hidden_graph(), {}
    losses = [objective.evaluate(graph, None, responses) for _ in range(2)]
    assert responses
    assert losses[0] == losses[1] == objective.evaluate(graph)


def test_a_graph_that_takes_a_track_which_the_song_lacks_is_refused(objective, rack):
    graph = mixing_console(rack, {"bus": ["1_drum.wav", "kazoo.wav"]}, "")
    with pytest.raises(SearchError, match=r"takes track 'kazoo.wav', which 'small' lacks; it has: 1_drum.wav"):
        objective.evaluate(graph)


def test_a_song_without_mix_is_refused(song_folder, rack):
    with pytest.raises(SearchError, match="no mix"):
        Objective(load_stems(song_folder / "dry", RATE), rack)


def test_the_rates_of_song_rack_and_graph_must_agree(song, rack, objective):
    with pytest.raises(SearchError, match="'small' is loaded at 30000 Hz and the rack is made for 44100 Hz"):
        Objective(song, Rack.console("g", 44100))
    other = mixing_console(Rack.console("g", 44100), song.subgroups, "g")
    for measure in (objective.evaluate, objective.first_order_importance, lambda g: objective.step_loss(g, 0, 0)):
        with pytest.raises(SearchError, match="the graph is made for 44100 Hz, the song and the rack are at 30000 Hz"):
            measure(other)


def test_first_order_importance_of_a_graph_without_processors_is_zero(objective, song, rack):
    graph = plain_sum(song, rack)
    assert objective.first_order_importance(graph).tolist() == [0.0] * graph.num_nodes


def test_a_songs_level_is_that_of_its_mix(objective, song):
    torch.testing.assert_close(song_level(song.read_mix(0, song.num_samples), RATE), objective.song_level)


def test_a_song_shorter_than_a_segment_can_be_scored(tmp_path, rack):
    tracks = {"1_drum.wav": 0.1 * torch.randn(2, RATE // 2)}
    song = load_song(write_song(tmp_path / "short", tracks, tracks["1_drum.wav"]), RATE)
    objective = Objective(song, rack)
    graph = plain_sum(song, rack)
    assert float(objective.evaluate(graph).total) == pytest.approx(0, abs=1e-6)
    assert float(objective.step_loss(graph, 0, 0).audio) == pytest.approx(0, abs=1e-6)
