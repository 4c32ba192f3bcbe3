"""What the policies propose, given verdicts: section 3.2 and algorithm 3 of the pruning paper, by hand."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.search.policies import POLICIES, BruteForce, Candidate, DryWet, FirstOrder, Hybrid, LeaveOneOut, Policy

Verdict = Callable[[tuple[int, ...]], bool]


def never(nodes: tuple[int, ...]) -> bool:
    return False


def always(nodes: tuple[int, ...]) -> bool:
    return True


def of_kind(kind: str, count: int, first: int = 0) -> list[Candidate]:
    """Weights fall with the node number, so that the last node has the least."""
    return [Candidate(first + i, kind, 1 - i / count) for i in range(count)]


def play(policy: Policy, candidates: list[Candidate], verdict: Verdict, round_index: int = 0, seed: int = 0):
    """Proposals and verdicts until the round is over."""
    policy.begin(candidates, round_index, seed)
    trials = []
    while nodes := policy.propose():
        assert policy.propose() == nodes, "a proposal stands until the policy is updated"
        trials.append((nodes, verdict(nodes)))
        policy.update(trials[-1][1])
        assert len(trials) < 10_000, "the round does not end"
    return trials


# --- brute force


@pytest.mark.parametrize("verdict", [never, always, lambda nodes: nodes[0] % 3 == 0])
def test_brute_force_tries_each_processor_once_and_alone(verdict):
    candidates = of_kind("gain", 7) + of_kind("reverb", 5, first=7)
    trials = play(BruteForce(), candidates, verdict)
    assert sorted(nodes for nodes, _ in trials) == [(node,) for node in range(12)]


def test_brute_force_goes_in_an_order_that_follows_from_seed_and_round():
    candidates = of_kind("gain", 20)
    order = {
        (seed, round_index): tuple(play(BruteForce(), candidates, never, round_index, seed))
        for seed in (0, 1)
        for round_index in (0, 1)
    }
    assert len(set(order.values())) == 4
    assert tuple(play(BruteForce(), candidates, never, 1, 1)) == order[1, 1]


# --- dry/wet


def test_dry_wet_starts_with_a_tenth_of_a_type_the_least_weights_first():
    trials = play(DryWet(), of_kind("gain", 43), always)
    assert [len(nodes) for nodes, _ in trials] == [4] * 10 + [3]
    assert [node for nodes, _ in trials for node in nodes] == list(range(42, -1, -1))


@pytest.mark.parametrize(("count", "first"), [(1, 1), (9, 1), (10, 1), (19, 1), (20, 2), (70, 7), (99, 9)])
def test_dry_wet_rounds_the_tenth_down_but_tries_one_at_least(count, first):
    assert len(play(DryWet(), of_kind("gain", count), never)[0][0]) == first


def test_dry_wet_halves_after_a_failure_and_ends_the_type_when_a_single_one_fails():
    trials = play(DryWet(), of_kind("gain", 90), never)
    assert [len(nodes) for nodes, _ in trials] == [9, 4, 2, 1]
    assert all(nodes == tuple(range(89, 89 - len(nodes), -1)) for nodes, _ in trials)


def test_dry_wet_keeps_its_number_after_a_success():
    verdicts = iter([False, True, True, False, True, False])  # 4 fails, 2, 2, 2 fails, 1, 1 fails
    trials = play(DryWet(), of_kind("gain", 40), lambda nodes: next(verdicts))
    assert [nodes for nodes, _ in trials] == [(39, 38, 37, 36), (39, 38), (37, 36), (35, 34), (35,), (34,)]


def test_dry_wet_continues_with_a_type_after_a_single_success():
    trials = play(DryWet(), of_kind("gain", 5), lambda nodes: nodes[0] > 1)
    assert [nodes for nodes, _ in trials] == [(4,), (3,), (2,), (1,)]


def test_dry_wet_proposes_one_type_at_a_time_and_types_do_not_affect_each_other():
    candidates = of_kind("gain", 20) + of_kind("reverb", 30, first=20)
    trials = play(DryWet(), candidates, lambda nodes: nodes[0] >= 20)
    gains = [nodes for nodes, _ in trials if nodes[0] < 20]
    reverbs = [nodes for nodes, _ in trials if nodes[0] >= 20]
    assert gains == [(19, 18), (19,)]
    assert sorted(node for nodes in reverbs for node in nodes) == list(range(20, 50))
    assert all(all(node >= 20 for node in nodes) for nodes in reverbs)


def test_dry_wet_takes_types_in_random_order():
    candidates = [c for i, kind in enumerate("abcdef") for c in of_kind(kind, 3, first=3 * i)]
    firsts = {play(DryWet(), candidates, never, seed=seed)[0][0][0] // 3 for seed in range(30)}
    assert len(firsts) > 3


def test_dry_wet_breaks_ties_of_weight_by_node():
    candidates = [Candidate(node, "gain", 0.5) for node in (3, 1, 2)]
    assert [nodes for nodes, _ in play(DryWet(), candidates, always)] == [(1,), (2,), (3,)]


# --- hybrid


def test_hybrid_is_brute_force_in_every_fourth_round_and_dry_wet_in_the_others():
    candidates = of_kind("gain", 40)
    for round_index in range(12):
        peer = BruteForce() if round_index in (3, 7, 11) else DryWet()
        trials = play(Hybrid(), candidates, never, round_index)
        assert trials == play(peer, candidates, never, round_index)
        assert (len(trials) == 40) == (round_index in (3, 7, 11))


# --- leave-one-out and first-order


def ranked(count: int) -> list[Candidate]:
    """Importance rises with the node number."""
    return [Candidate(node, "gain", 1.0, importance=node / 100) for node in range(count)]


def sizes(trials: list[tuple[tuple[int, ...], bool]]) -> list[int]:
    return [len(nodes) for nodes, _ in trials]


def span(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


def test_first_order_does_the_same_with_another_importance():
    assert (LeaveOneOut.needs, FirstOrder.needs) == ("leave-one-out", "gradient")
    assert all(POLICIES[name].needs == "nothing" for name in ("brute-force", "dry-wet", "hybrid"))
    candidates, verdict = ranked(40), lambda nodes: sum(nodes) % 3 > 0
    assert play(FirstOrder(), candidates, verdict) == play(LeaveOneOut(), candidates, verdict)


def test_leave_one_out_tries_the_least_important_first_whatever_the_order_and_the_weights():
    candidates = [Candidate(node, "gain", weight=node / 9, importance=-node) for node in (3, 1, 4, 0, 2)]
    assert [node for nodes, _ in play(LeaveOneOut(), candidates, always) for node in nodes] == [4, 3, 2, 1, 0]


def test_leave_one_out_breaks_ties_by_weight_then_node():
    candidates = [Candidate(2, "gain", 0.5), Candidate(1, "gain", 0.5), Candidate(3, "gain", 0.1)]
    assert play(LeaveOneOut(), candidates, always)[0][0] == (3, 1, 2)


def test_leave_one_out_doubles_its_batch_as_long_as_it_succeeds():
    assert sizes(play(LeaveOneOut(), ranked(100), always)) == [4, 8, 16, 32, 40]


def test_leave_one_out_tries_all_alone_where_nothing_can_go():
    """Bisection ends at the first one, which is tried alone; the batch is half of that before."""
    trials = play(LeaveOneOut(), ranked(8), never)
    assert [nodes for nodes, _ in trials] == [span(0, 3), (0, 1), (0,), (1, 2), (1,), *[(node,) for node in span(2, 7)]]


def test_leave_one_out_finds_the_one_that_has_to_stay():
    """Of 0 to 7 the half 4 to 7 is left, of that 6 and 7, of that 7: it is never tried alone, and 8 comes next."""
    trials = play(LeaveOneOut(), ranked(14), lambda nodes: 11 not in nodes)
    assert trials == [
        (span(0, 3), True),
        (span(4, 11), False),
        (span(4, 7), True),
        (span(8, 9), True),
        ((10,), True),
        (span(12, 13), True),
    ]


def test_leave_one_out_takes_up_again_what_it_cannot_tell_of():
    """(0, 1) fails because of 0, so that nothing is known of 2 and 3: they wait again, with a smaller batch."""
    trials = play(LeaveOneOut(), ranked(10), lambda nodes: 0 not in nodes)
    assert trials == [
        (span(0, 3), False),
        (span(0, 1), False),
        ((0,), False),
        (span(1, 2), True),
        (span(3, 6), True),
        (span(7, 9), True),
    ]


counts = st.integers(1, 150)
fixed = settings(max_examples=80, derandomize=True, deadline=None, database=None)


@st.composite
def rounds(draw: st.DrawFn) -> tuple[list[Candidate], set[int]]:
    """Candidates of any importance, and which of them the song needs."""
    values = draw(st.lists(st.integers(-5, 5), min_size=1, max_size=120))
    candidates = [Candidate(node, "gain", 1.0, importance=float(value)) for node, value in enumerate(values)]
    return candidates, draw(st.sets(st.integers(0, len(values) - 1), max_size=12))


@fixed
@given(rounds())
def test_leave_one_out_removes_exactly_what_is_not_needed_in_few_trials(played) -> None:
    """For each needed one a bisection, and batches that grow back: of the order of r log n."""
    candidates, needed = played
    trials = play(LeaveOneOut(), candidates, lambda nodes: not needed & set(nodes))
    removed = [node for nodes, kept in trials if kept for node in nodes]
    assert len(removed) == len(set(removed))
    assert set(removed) == {c.node for c in candidates} - needed
    assert len(trials) <= (len(needed) + 1) * (2 * math.log2(len(candidates) + 1) + 2)


@fixed
@given(counts, st.integers(1, 10**9))
def test_leave_one_out_proposes_each_and_none_again_that_was_decided(count: int, salt: int) -> None:
    """Whatever the verdicts are: what failed alone, or went, does not come back, and the round ends soon."""
    decided: set[int] = set()
    proposed: set[int] = set()

    def verdict(nodes: tuple[int, ...]) -> bool:
        kept = hash((nodes, salt)) % 3 == 0
        assert nodes
        assert not decided & set(nodes)
        proposed.update(nodes)
        decided.update(nodes if kept or len(nodes) == 1 else ())
        return kept

    trials = play(LeaveOneOut(), ranked(count), verdict)
    assert proposed == set(range(count))
    assert len(trials) <= count * (math.log2(count) + 2)


@fixed
@given(counts, st.integers(1, 10**9))
def test_leave_one_out_never_tries_what_it_knows_to_fail(count: int, salt: int) -> None:
    """All that was removed, and the proposal: no such set is judged twice."""
    removed: set[int] = set()
    judged: set[frozenset[int]] = set()

    def verdict(nodes: tuple[int, ...]) -> bool:
        assert frozenset(removed | set(nodes)) not in judged
        judged.add(frozenset(removed | set(nodes)))
        kept = hash((nodes, salt)) % 2 == 0
        removed.update(nodes if kept else ())
        return kept

    play(LeaveOneOut(), ranked(count), verdict)


# --- all


@pytest.mark.parametrize("name", POLICIES)
def test_what_remains_is_exact_where_all_succeed_and_positive_until_the_end(name):
    candidates = ranked(50)
    for verdict in (always, never, lambda nodes: sum(nodes) % 3 > 0):
        policy, left = POLICIES[name](), []
        policy.begin(candidates, 0, 0)
        while nodes := policy.propose():
            left.append(policy.remaining())
            policy.update(verdict(nodes))
        assert min(left) >= 1
        assert policy.remaining() == 0
        if verdict is always and name not in ("leave-one-out", "first-order"):
            assert left == list(range(len(left), 0, -1))


@pytest.mark.parametrize("name", POLICIES)
def test_no_candidates_no_proposal(name):
    policy = POLICIES[name]()
    policy.begin([], 0, 0)
    assert policy.propose() == ()


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("round_index", [0, 3])
def test_the_same_seed_gives_the_same_proposals(name, round_index):
    candidates = of_kind("gain", 31) + of_kind("reverb", 25, first=31)
    one, other = (
        play(POLICIES[name](), candidates, lambda nodes: sum(nodes) % 3 > 0, round_index, seed=5) for _ in range(2)
    )
    assert one == other


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("round_index", [0, 3])
def test_hearing_the_same_verdicts_again_leads_to_the_same_place(name, round_index):
    candidates = of_kind("gain", 31) + of_kind("reverb", 25, first=31) + of_kind("delay", 9, first=56)
    trials = play(POLICIES[name](), candidates, lambda nodes: sum(nodes) % 3 > 0, round_index, seed=5)
    for done in range(0, len(trials), 4):
        policy = POLICIES[name]()
        policy.begin(candidates, round_index, 5)
        for nodes, kept in trials[:done]:
            assert policy.propose() == nodes
            policy.update(kept)
        rest = []
        while nodes := policy.propose():
            rest.append(nodes)
            policy.update(sum(nodes) % 3 > 0)
        assert rest == [nodes for nodes, _ in trials[done:]]


@pytest.mark.parametrize("name", POLICIES)
def test_what_was_removed_is_not_proposed_again(name):
    removed: set[int] = set()

    def verdict(nodes: tuple[int, ...]) -> bool:
        assert not removed & set(nodes)
        if sum(nodes) % 2:
            removed.update(nodes)
        return bool(sum(nodes) % 2)

    play(POLICIES[name](), of_kind("gain", 25) + of_kind("reverb", 25, first=25), verdict, round_index=3)
