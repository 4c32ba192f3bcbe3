"""Algorithm 1: thresholds by a made-up objective, then real trials on the small song."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
import torch

from graphmix.audio import EvalSegment, evaluation_segments
from graphmix.audio.segments import spread_segments
from graphmix.errors import SearchError
from graphmix.graph import remove_nodes
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.validation import validate
from graphmix.processors.rack import Rack
from graphmix.search import POLICIES, BruteForce, LeaveOneOut, LossTerms, Objective, prune
from graphmix.search.policies import Candidate, Needs, Policy
from graphmix.search.rounds import PruningRound, count_processors, prunable_nodes, pruning_ratio, trial_segments
from graphmix.search.trial_losses import Judge, Verdict, hopeless_above
from tests.small_song import RATE, SETTINGS, hidden_graph, same_graph

SMALL = {"bus": ["a", "b", "c"]}


class FunctionObjective:
    """Loss by a function of the graph."""

    def __init__(self, loss: Callable[[MixGraph], float]) -> None:
        self.loss = loss
        self.segments = self.evaluated = evaluation_segments(10 * RATE, RATE, round(3.8 * RATE))

    def chosen(self, count: int) -> list[EvalSegment]:
        return spread_segments(self.segments, count)

    def evaluate(self, graph: MixGraph, segments: object = None) -> LossTerms:
        return LossTerms(*[torch.tensor(self.loss(validate(graph)), dtype=torch.float64)] * 4)


class FunctionJudge:
    """Loss by a function of what is left of a graph; counts how often it is asked. A limit ends a hopeless trial."""

    def __init__(self, loss: Callable[[MixGraph], float], graph: MixGraph) -> None:
        self.function, self.graph, self.asked = loss, graph, 0
        self.removed: list[int] = []

    def _without(self, nodes: Any) -> float:
        self.asked += 1
        return self.function(validate(remove_nodes(self.graph, [*self.removed, *nodes])))

    def loss(self) -> float:
        return self._without([])

    def judge(self, nodes: Any, limit: float | None = None) -> Verdict:
        loss = self._without(nodes)
        is_hopeless = limit is not None and loss > hopeless_above(self.loss(), limit)
        return Verdict(loss, 1 if is_hopeless else 4, 4)

    def remove(self, nodes: Any) -> None:
        self.removed += nodes

    def leave_one_out(self, nodes: Any) -> torch.Tensor:
        before = self._without([])
        return torch.tensor([self._without([node]) - before for node in nodes], dtype=torch.float64)


class InOrder(Policy):
    """Proposes each node once, in node order."""

    def begin(self, candidates: Any, round_index: int, seed: int) -> None:
        self.candidates: list[Candidate] = list(candidates)
        self.waiting = [c.node for c in candidates]
        self.outcomes: list[bool] = []

    def propose(self) -> tuple[int, ...]:
        return tuple(self.waiting[:1])

    def update(self, kept: bool) -> None:
        self.waiting.pop(0)
        self.outcomes.append(kept)


def a_console() -> MixGraph:
    """Gains a, b, c and the bus's, nodes 3, 4, 5 and 7."""
    graph = mixing_console(Rack.console("g", RATE), SMALL, "g")
    return graph


def gains(graph: MixGraph) -> int:
    return int(graph.nodes_of("gain").numel())


def begun(
    loss: Callable[[MixGraph], float],
    graph: MixGraph,
    policy: Policy,
    minimum: float,
    round_index: int = 0,
    **changes: Any,
) -> PruningRound:
    """A round at its first trial."""
    objective, judge = cast(Objective, FunctionObjective(loss)), cast(Judge, FunctionJudge(loss, graph))
    trials = PruningRound(objective, graph, policy, replace(SETTINGS, **changes), round_index, minimum, judge)
    trials.begin()
    return trials


def a_round(
    loss: Callable[[MixGraph], float], minimum: float, tolerance: float, policy: Policy | None = None, **changes: Any
):
    trials = begun(loss, a_console(), policy or InOrder(), minimum, tolerance=tolerance, **changes)
    records = []
    while (record := trials.advance()) is not None:
        records.append(record)
    return trials, records


def test_a_removal_stands_if_the_loss_stays_below_minimum_plus_tolerance():
    """Each removal costs 0.4; 1.0 allows two of them."""
    trials, records = a_round(lambda g: 1 + 0.4 * (4 - gains(g)), minimum=1.0, tolerance=1.0)
    assert [r["kept"] for r in records] == [True, True, False, False]
    assert [r["loss_after"] for r in records] == pytest.approx([1.4, 1.8, 2.2, 2.2])
    assert [r["loss_before"] for r in records] == pytest.approx([1.0, 1.4, 1.8, 1.8])
    assert all(r["threshold"] == pytest.approx(2.0) for r in records)
    assert gains(trials.result()) == 2
    assert trials.minimum == 1.0
    assert trials.policy.outcomes == [True, True, False, False]


def test_an_improvement_lowers_the_threshold_for_what_comes_next():
    """The first removal improves by 0.5, the others cost 0.3: allowed by the old threshold, not by the new one."""
    losses = iter([1.0, 0.5, 0.8, 0.8, 0.8])
    trials, records = a_round(lambda g: next(losses), minimum=1.0, tolerance=0.2)
    assert [r["kept"] for r in records] == [True, False, False, False]
    assert [r["threshold"] for r in records] == pytest.approx([1.2, 0.7, 0.7, 0.7])
    assert trials.minimum == 0.5


def test_a_failed_removal_never_moves_the_minimum():
    trials, _ = a_round(lambda g: 1.0, minimum=0.1, tolerance=0.5)
    assert trials.minimum == 0.1
    assert trials.removed == []


def test_the_threshold_itself_is_too_much():
    trials, _ = a_round(lambda g: 1.0, minimum=1.0, tolerance=0.0)
    assert trials.removed == []


def test_nothing_kept_leaves_the_graph_as_it_is():
    trials, _ = a_round(lambda g: 2.0, minimum=1.0, tolerance=0.0)
    assert trials.result() is trials.graph


def test_a_record_says_what_was_tried():
    graph = a_console()
    graph.wet[4] = 0.25
    trials = begun(lambda g: 1.0, graph, InOrder(), minimum=1.0, round_index=2)
    trials.advance()
    record = trials.advance()
    assert record is not None
    assert record["seconds"] >= 0
    expected = {"event": "trial", "round": 3, "candidates": [4], "type": "gain", "weights": [0.25], "kept": True}
    assert (expected | {"segments": [4, 4]}).items() <= record.items()


def test_several_types_in_one_trial_have_no_common_type():
    class Everything(InOrder):
        def propose(self) -> tuple[int, ...]:
            return tuple(self.waiting)

        def update(self, kept: bool) -> None:
            self.waiting = []

    graph = mixing_console(Rack.console("eg", RATE), SMALL, "eg")
    trials = begun(lambda g: 1.0, graph, Everything(), minimum=2.0)
    record = trials.advance()
    assert record is not None
    assert record["type"] is None
    assert len(record["weights"]) == 8
    assert count_processors(trials.result()) == {}


def test_candidates_are_all_processors_with_their_weights():
    policy = InOrder()
    graph = a_console()
    graph.wet[5] = 0.5
    begun(lambda g: 1.0, graph, policy, minimum=1.0)
    assert [(c.node, c.kind, c.weight) for c in policy.candidates] == [
        (3, "gain", 1.0),
        (4, "gain", 1.0),
        (5, "gain", 0.5),
        (7, "gain", 1.0),
    ]


# --- importance


COSTS = {3: 0.3, 4: 0.0, 5: 0.1, 7: -0.2}
"""What the loss rises by if a node of the console goes."""


def costing(graph: MixGraph) -> float:
    """The sum over the nodes that are gone, identified by their weights: see :func:`marked`."""
    left = graph.wet[graph.nodes_of("gain")].tolist()
    return 1 + sum(cost for node, cost in COSTS.items() if not any(abs(w - node / 10) < 1e-6 for w in left))


def marked() -> MixGraph:
    """The console, each gain with a tenth of its number as weight."""
    graph = a_console()
    for node in COSTS:
        graph.wet[node] = node / 10
    return graph


class Watching(InOrder):
    """Asks for importances."""

    def __init__(self, needs: Needs) -> None:
        self.needs = needs


def test_a_policy_gets_the_leave_one_out_losses_that_it_asks_for():
    policy = Watching("leave-one-out")
    begun(costing, marked(), policy, minimum=1.0, tolerance=1.0)
    assert {c.node: c.importance for c in policy.candidates} == pytest.approx(COSTS)


def test_a_policy_that_asks_for_nothing_gets_zeros_and_costs_one_loss():
    policy = Watching("nothing")
    trials = begun(costing, marked(), policy, minimum=1.0)
    assert [c.importance for c in policy.candidates] == [0, 0, 0, 0]
    assert cast(FunctionJudge, trials.judge).asked == 1


def test_a_policy_gets_the_first_order_importance_that_it_asks_for(console, objective):
    policy = Watching("gradient")
    PruningRound(objective, console, policy, SETTINGS, 0, 1.0).begin()
    nodes = prunable_nodes(console)
    expected = objective.first_order_importance(console)[nodes].tolist()
    assert {c.node: c.importance for c in policy.candidates} == dict(zip(nodes, expected, strict=True))


@pytest.mark.parametrize(
    ("minimum", "tolerance", "offered"),
    [
        (1.0, 0.2, [3, 4, 5, 7]),
        (1.0, 0.1, [4, 5, 7]),
        (1.0, 0.01, [4, 7]),
        (1.15, 0.01, [3, 4, 5, 7]),
        (0.5, 0.01, [4, 7]),
    ],
)
def test_what_alone_would_be_hopeless_is_not_offered(minimum, tolerance, offered):
    """Up to twice what may be added to the loss of 1.0, which may be above the smallest one by now, or below."""
    policy = Watching("leave-one-out")
    begun(costing, marked(), policy, minimum, tolerance=tolerance)
    assert [c.node for c in policy.candidates] == offered


def test_a_round_of_leave_one_out_by_hand():
    """All cost 0.2 of the 0.16 allowed; the better half goes; 5 goes too, and then 3 is what failed at first."""
    trials = begun(costing, marked(), LeaveOneOut(), minimum=1.0, tolerance=0.16)
    records = []
    while (record := trials.advance()) is not None:
        records.append((record["candidates"], record["kept"]))
    assert records == [([7, 4, 5, 3], False), ([7, 4], True), ([5], True)]
    assert trials.removed == [7, 4, 5]
    assert (trials.minimum, trials.loss) == pytest.approx((0.8, 0.9))


# --- racing


@pytest.mark.parametrize("race", [False, True])
def test_a_race_ends_hopeless_trials_and_changes_no_verdict(race):
    trials, records = a_round(lambda g: 1 + 0.4 * (4 - gains(g)) ** 2, minimum=1.0, tolerance=0.5, race=race)
    assert [r["kept"] for r in records] == [True, False, False, False]
    assert [r["segments"] for r in records] == ([[4, 4]] + 3 * [[1, 4]] if race else 4 * [[4, 4]])
    assert gains(trials.result()) == 3


def test_a_trial_that_was_ended_is_not_kept_whatever_its_loss():
    class Early(FunctionJudge):
        def judge(self, nodes: Any, limit: float | None = None) -> Verdict:
            return Verdict(0.0, 3, 4)

    graph = a_console()
    objective, judge = cast(Objective, FunctionObjective(lambda g: 1.0)), cast(Judge, Early(lambda g: 1.0, graph))
    trials = PruningRound(objective, graph, InOrder(), SETTINGS, 0, 1.0, judge)
    trials.begin()
    record = trials.advance()
    assert record is not None
    assert (record["kept"], trials.removed) == (False, [])


# --- the rest of a round


def test_what_cannot_be_bypassed_is_no_candidate():
    rack = Rack.standard(RATE)
    graph = MixGraph(rack.types, RATE)
    split, gain, out = graph.add("crossover"), graph.add("gain"), graph.add("out")
    graph.chain(graph.add("in", name="a"), split, gain, out)
    for band in range(1, len(graph.type_of(split).outlets)):
        graph.connect(split, out, outlet=band)
    assert prunable_nodes(graph) == [gain]


def test_replaying_verdicts_leads_to_the_same_state_without_a_trial():
    def loss(graph: MixGraph) -> float:
        return 1 + 0.4 * (4 - gains(graph)) - (0.7 if gains(graph) == 3 else 0)

    whole, _ = a_round(loss, minimum=1.0, tolerance=0.5, policy=BruteForce())
    for cut in range(5):
        first = begun(loss, a_console(), BruteForce(), minimum=1.0, tolerance=0.5)
        verdicts = []
        for _ in range(cut):
            first.advance()
            verdicts.append(first.verdict)
        second = begun(loss, a_console(), BruteForce(), minimum=1.0, tolerance=0.5)
        judge = cast(FunctionJudge, second.judge)
        asked = judge.asked
        second.replay(verdicts)
        assert judge.asked == asked
        assert judge.removed == second.removed
        assert (second.minimum, second.loss, second.removed) == (first.minimum, first.loss, first.removed)
        while second.advance() is not None:
            pass
        assert second.removed == whole.removed
        assert same_graph(second.result(), whole.result())


def test_verdicts_of_another_search_are_refused():
    trials = begun(lambda g: 1.0, a_console(), InOrder(), minimum=1.0)
    with pytest.raises(SearchError, match="do not follow from its settings"):
        trials.replay([{"candidates": [7], "loss": 1.0, "kept": True}])


def test_pruning_ratio_counts_by_type_and_over_all():
    rack = Rack.console("egr", RATE)
    full = mixing_console(rack, SMALL, "eg")
    counts = count_processors(full)
    assert counts == {"equalizer": 4, "gain": 4}
    left = mixing_console(rack, SMALL, "")
    node, out = left.add("gain"), left.nodes_of("out").tolist()[0]
    left.chain(left.nodes_of("in").tolist()[0], node, out)
    assert pruning_ratio(left, counts) == {"equalizer": 1.0, "gain": 0.75, "all": 0.875}
    assert pruning_ratio(full, counts) == {"equalizer": 0.0, "gain": 0.0, "all": 0.0}
    assert pruning_ratio(left, {}) == {"all": 0.0}


@pytest.mark.parametrize(
    ("count", "chosen"),
    [(0, [0, 1, 2, 3]), (1, [2]), (2, [0, 2]), (3, [0, 2, 3]), (4, [0, 1, 2, 3]), (9, [0, 1, 2, 3])],
)
def test_segments_may_be_spread_over_the_song(count, chosen):
    segments = FunctionObjective(lambda g: 1.0).segments
    assert len(segments) == 4
    assert [segments.index(segment) for segment in spread_segments(segments, count or 4)] == chosen


# --- the whole search, on sound


def test_pruning_the_true_graph_with_additions_keeps_what_matters(song, rack, objective):
    """Two gains of 0 dB in the true graph are found to do nothing; the processors of the mix stay."""
    graph = hidden_graph()
    for bus in graph.nodes_of("mix").tolist():
        edge = int((graph.edge_index[0] == bus).nonzero()[0])
        idle = graph.add("gain")
        target = int(graph.edge_index[1, edge])
        graph.edge_index[1, edge] = idle
        graph.connect(idle, target)
    settings = replace(SETTINGS, policy="brute-force", rounds=1, round_steps=0, tolerance=0.002)
    pruned = prune(validate(graph), song, rack, settings)
    assert count_processors(pruned.graph) == {"equalizer": 2, "gain": 3}
    assert float(pruned.loss.total) < 0.003


@pytest.mark.parametrize(
    ("policy", "race"), [("hybrid", False), ("brute-force", True), ("leave-one-out", True), ("first-order", False)]
)
def test_every_trial_is_recorded_and_kept_trials_reduce_the_processors(console, song, rack, objective, policy, race):
    console.params["equalizer"].zero_()  # what does nothing yet can go
    settings = replace(SETTINGS, tolerance=0.05, policy=policy, race=race)
    pruned = prune(console, song, rack, settings)
    trials = [r for r in pruned.trace if r["event"] == "trial"]
    rounds = [r for r in pruned.trace if r["event"] == "round"]
    assert [r["round"] for r in rounds] == [1, 2]
    left = len(prunable_nodes(console))
    for record in pruned.trace:
        if record["event"] == "trial":
            assert record["kept"] == (record["loss_after"] < record["threshold"])
            assert record["segments"] == [2, 2] or (race and record["segments"] == [1, 2] and not record["kept"])
            left -= len(record["candidates"]) if record["kept"] else 0
        elif record["event"] == "round":
            assert record["processors"] == left
            assert record["ratio"]["all"] == pytest.approx(1 - left / 10)
    assert trials
    assert sum(count_processors(validate(pruned.graph)).values()) == left < 10
    assert float(objective.evaluate(pruned.graph).total) == float(pruned.loss.total)


def test_a_huge_tolerance_removes_all_that_can_be_removed(console, song, rack):
    pruned = prune(console, song, rack, replace(SETTINGS, rounds=1, round_steps=1), tolerance=1e6)
    assert count_processors(validate(pruned.graph)) == {}
    assert sorted(pruned.graph.names[i] for i in pruned.graph.nodes_of("in").tolist()) == sorted(song.track_names)


def test_no_tolerance_never_makes_the_match_worse(console, song, rack, objective):
    settings = replace(SETTINGS, rounds=1, round_steps=0, policy="brute-force")
    pruned = prune(console, song, rack, settings, tolerance=0.0)
    assert float(pruned.loss.total) <= float(objective.evaluate(console).total)
    kept = [r["loss_after"] for r in pruned.trace if r["event"] == "trial" and r["kept"]]
    assert kept == sorted(kept, reverse=True), "each kept trial improved on all before"


def test_no_rounds_give_back_the_graph(console, song, rack, objective):
    pruned = prune(console, song, rack, replace(SETTINGS, rounds=0))
    assert same_graph(pruned.graph, console)
    assert pruned.trace == ()
    assert float(pruned.loss.total) == float(objective.evaluate(console).total)


def test_the_given_graph_is_not_changed(console, song, rack):
    before = console.clone()
    prune(console, song, rack, replace(SETTINGS, rounds=1, round_steps=1, tolerance=1.0))
    assert same_graph(console, before)


def test_ones_own_policy_takes_part(console, song, rack):
    policy = InOrder()
    pruned = prune(console, song, rack, replace(SETTINGS, rounds=1, round_steps=0), policy=policy)
    trials = [r for r in pruned.trace if r["event"] == "trial"]
    assert [t["candidates"] for t in trials] == [[console.describe(node)] for node in prunable_nodes(console)]


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_seed_gives_the_same_graph(console, song, rack, policy):
    settings = replace(SETTINGS, policy=policy, tolerance=0.05, rounds=1, trial_segments=1)
    one, other = (prune(console, song, rack, settings) for _ in range(2))
    assert same_graph(one.graph, other.graph)
    assert one.loss == other.loss


def test_trials_may_be_judged_on_a_part_of_the_song(console, song, rack, objective):
    settings = replace(SETTINGS, rounds=1, round_steps=0, trial_segments=1, policy="brute-force")
    pruned = prune(console, song, rack, settings)
    first = next(r for r in pruned.trace if r["event"] == "trial")
    some = trial_segments(objective, 1)
    assert first["loss_before"] == float(objective.evaluate(console, some).total)
