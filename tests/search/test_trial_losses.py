"""Losses of trials against whole evaluations of the edited graph, racing, and what is not rendered again."""

import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch

from graphmix.audio import EvalSegment, load_song
from graphmix.graph import bypass_nodes, mixing_console, remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.render_cache import RenderCache
from graphmix.search import Judge, Objective
from graphmix.search.rounds import prunable_nodes
from graphmix.search.trial_losses import HOPELESS, NOISE, Verdict, hopeless_above
from tests.small_song import RATE, SUBGROUPS, dry_tracks, hidden_graph, mixed, same_graph, write_song

CHAIN = "ecg"
NOTHING, EVERYTHING = 0, 2**40


@pytest.fixture(scope="module")
def objective(tmp_path_factory: pytest.TempPathFactory) -> Objective:
    """A song of three segments, the last of them short, with a compressor in the rack."""
    tracks = {name: audio.repeat(1, 2)[:, : round(6.1 * RATE)] for name, audio in dry_tracks().items()}
    folder = write_song(tmp_path_factory.mktemp("songs") / "long", tracks, mixed(hidden_graph(), tracks))
    return Objective(load_song(folder, RATE), Rack.console(CHAIN, RATE))


@pytest.fixture(scope="module")
def graph(objective: Objective) -> MixGraph:
    """A console whose processors all do something; one has no weight, one half."""
    console = mixing_console(objective.rack, SUBGROUPS, CHAIN)
    generator = torch.Generator().manual_seed(1)
    for name, spread in (("equalizer", 6.0), ("gain", 6.0)):
        console.params[name] = spread * (torch.rand(console.params[name].shape, generator=generator) - 0.7)
    compressor = objective.rack["compressor"].node_type
    console.params["compressor"][:, compressor.columns("threshold_db")] = -30.0
    console.params["compressor"][:, compressor.columns("ratio")] = 4.0
    console.wet[console.nodes_of("equalizer")[0]] = 0.0
    console.wet[console.nodes_of("compressor")[1]] = 0.5
    return console


@pytest.fixture(scope="module")
def bytes_of_a_cache(objective: Objective, graph: MixGraph) -> int:
    return next(iter(Judge(objective, graph, objective.segments[:1]).caches.values())).num_bytes


@pytest.fixture(params=["all caches", "one cache", "no cache"])
def kept_bytes(request: pytest.FixtureRequest, bytes_of_a_cache: int) -> int:
    return {"all caches": EVERYTHING, "one cache": bytes_of_a_cache, "no cache": NOTHING}[request.param]


@pytest.fixture
def judge(objective: Objective, graph: MixGraph, kept_bytes: int) -> Judge:
    return Judge(objective, graph, objective.segments, kept_bytes)


def whole(objective: Objective, graph: MixGraph) -> float:
    return float(objective.evaluate(graph).total)


@pytest.fixture(scope="module")
def without(objective: Objective, graph: MixGraph) -> Callable[..., float]:
    """The loss of a whole evaluation without some nodes; computed once, whatever the judge keeps."""

    @cache
    def loss(*nodes: int, edit: Callable[..., MixGraph] = remove_nodes) -> float:
        return whole(objective, edit(graph, list(nodes)))

    return loss


def close(loss: float) -> Any:
    return pytest.approx(loss, rel=1e-4)


def test_as_many_takes_are_kept_as_fit(objective, graph):
    assert len(objective.segments) == 3
    one = Judge(objective, graph, objective.segments[:1]).caches[objective.segments[0]].num_bytes
    for count in range(4):
        judge = Judge(objective, graph, objective.segments, kept_bytes=count * one)
        assert list(judge.caches) == objective.segments[:count]
        assert sum(cache.num_bytes for cache in judge.caches.values()) <= count * one


def test_the_loss_before_any_trial_is_that_of_an_evaluation(judge, objective, graph):
    assert judge.loss() == whole(objective, graph)


def test_trials_are_judged_as_by_whole_evaluations_also_after_removals(judge, graph, without):
    rng, nodes, gone = random.Random(3), prunable_nodes(graph), list[int]()
    for step in range(4):
        left = [node for node in nodes if node not in gone]
        tried = rng.sample(left, rng.choice([1, 1, 2, 4]))
        verdict = judge.judge(tried)
        assert verdict.is_whole
        edit = bypass_nodes if step % 2 else remove_nodes
        assert verdict.loss == close(without(*gone, *tried, edit=edit))
        if step:
            chosen = tried if step < 3 else left[:1]  # also what was not judged last
            judge.remove(chosen)
            gone += chosen
    assert judge.loss() == close(without(*gone))
    assert judge.trials.removed == set(gone)


def test_leave_one_out_losses_are_those_of_evaluations_one_by_one(judge, graph, without):
    nodes, gone = prunable_nodes(graph), list[int]()
    for some in (nodes[::2], nodes[9:12]):
        before = without(*gone)
        one_by_one = [without(*gone, node) - before for node in some]
        increases = judge.leave_one_out(some)
        assert increases.dtype == torch.float64
        assert increases.tolist() == pytest.approx(one_by_one, abs=1e-4 * before)
        assert max(map(abs, one_by_one)) > 0.01
        gone = [nodes[3], nodes[7]]
        judge.remove(gone)


def test_a_processor_without_weight_may_go_for_free(judge, graph):
    idle = int((graph.wet == 0).nonzero()[0])
    assert float(judge.leave_one_out([idle])[0]) == pytest.approx(0, abs=1e-6)
    assert judge.judge([idle]).loss == pytest.approx(judge.loss(), abs=1e-6)


def test_the_given_graph_is_not_changed(objective, graph):
    before = graph.clone()
    judge = Judge(objective, graph, objective.segments[:1])
    judge.remove(prunable_nodes(graph)[:3])
    judge.loss()
    assert same_graph(graph, before)


def test_what_was_kept_does_not_depend_on_whether_it_was_judged(objective, graph, kept_bytes):
    """As when a search is resumed: the kept trials are removed again, to the same bits, and nothing is judged."""
    nodes = prunable_nodes(graph)
    judged, resumed = (Judge(objective, graph, objective.segments, kept_bytes) for _ in range(2))
    for batch in (nodes[:2], nodes[9:10], nodes[4:7]):
        judged.judge(batch)
        judged.remove(batch)
        judged.judge(nodes[12:])
        resumed.remove(batch)
    assert judged.losses == resumed.losses
    assert judged.judge(nodes[10:12]) == resumed.judge(nodes[10:12])


# --- racing


def limits(loss: float) -> Iterator[float]:
    return (loss + step for step in (-0.1, 0.0, 1e-3, 0.03, 1.0))


@pytest.mark.parametrize("loss", [0.0, 0.3, 5.0])
def test_hopeless_is_never_below_the_limit(loss):
    for limit in limits(loss):
        assert hopeless_above(loss, limit) >= limit
    assert hopeless_above(1.0, 1.5) == pytest.approx(1 + HOPELESS * 0.5)
    assert hopeless_above(1.0, 1.0) == pytest.approx(1 + NOISE)


def test_no_race_is_won_that_would_be_lost_in_the_end(objective, graph):
    judge = Judge(objective, graph, objective.segments)
    fewer = 0
    for node in prunable_nodes(graph)[::3]:
        full = judge.judge([node])
        for limit in limits(judge.loss()):
            raced = judge.judge([node], limit)
            if raced.is_whole:
                assert raced == full
            else:
                assert raced.loss >= limit
                fewer += 1
    assert fewer


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Trials that are rendered, one for each segment."""
    trials: list[tuple[int, ...]] = []
    spread: Callable[..., Any] = RenderCache.spread

    def counted(self: RenderCache, wanted: Any, *rest: Any, **more: Any) -> Any:
        trials.extend(tuple(nodes) for nodes in wanted)
        return spread(self, wanted, *rest, **more)

    monkeypatch.setattr(RenderCache, "spread", counted)
    return trials


def by_importance(judge: Judge, graph: MixGraph) -> list[int]:
    nodes = prunable_nodes(graph)
    return [nodes[i] for i in judge.leave_one_out(nodes).argsort().tolist()]


def test_a_hopeless_trial_renders_fewer_segments_and_a_good_one_all(objective, graph, rendered):
    judge = Judge(objective, graph, objective.segments)
    *_, worst = by_importance(judge, graph)
    idle = int((graph.wet == 0).nonzero()[0])
    limit = judge.loss() + 0.01
    rendered.clear()
    verdict = judge.judge([worst], limit)
    assert verdict == Verdict(verdict.loss, segments=1, of=3)
    assert rendered == [(worst,)]
    rendered.clear()
    assert judge.judge([idle], limit).is_whole
    assert rendered == 3 * [(idle,)]


def test_a_trial_without_limit_is_judged_on_all_segments(objective, graph):
    judge = Judge(objective, graph, objective.segments)
    *_, worst = by_importance(judge, graph)
    assert judge.judge([worst]).segments == 3


def test_a_limit_below_the_loss_still_lets_an_improvement_through(objective, graph):
    """It has no increase to compare with; noise on the first segment does not end a trial."""
    judge = Judge(objective, graph, objective.segments)
    best, *_ = by_importance(judge, graph)
    full = judge.judge([best])
    assert full.loss < judge.loss()
    limit = (full.loss + judge.loss()) / 2
    assert judge.judge([best], limit) == full


# --- not rendered again


def test_what_was_judged_last_is_removed_without_a_rendering(objective, graph, rendered):
    judge = Judge(objective, graph, objective.segments)
    nodes = prunable_nodes(graph)
    loss = judge.judge(nodes[:3]).loss
    rendered.clear()
    judge.remove(nodes[:3])
    assert judge.loss() == loss
    assert rendered == []


def test_what_was_not_judged_last_is_rendered_to_be_removed(objective, graph, rendered):
    judge = Judge(objective, graph, objective.segments)
    nodes = prunable_nodes(graph)
    judge.judge(nodes[:3])
    judge.judge(nodes[3:5])
    rendered.clear()
    judge.remove(nodes[:3])
    assert rendered == 3 * [tuple(nodes[:3])]
    assert judge.loss() == close(whole(objective, remove_nodes(graph, nodes[:3])))


def test_the_loss_after_a_broken_off_trial_is_measured_again(objective, graph):
    judge = Judge(objective, graph, objective.segments)
    *_, worst = by_importance(judge, graph)
    assert not judge.judge([worst], judge.loss()).is_whole
    judge.remove([worst])
    assert judge.loss() == close(whole(objective, remove_nodes(graph, [worst])))


def test_losses_are_weighted_by_what_segments_score(objective, graph):
    judge = Judge(objective, graph, objective.segments)
    segments: list[EvalSegment] = objective.segments
    assert segments[-1].weight < segments[0].weight
    mean = sum(s.weight * judge.losses[s] for s in segments) / sum(s.weight for s in segments)
    assert judge.loss() == pytest.approx(mean, rel=1e-12)
