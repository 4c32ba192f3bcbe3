"""What the policies propose, given verdicts: section 3.2 and algorithm 3 of the pruning paper, by hand."""

from collections.abc import Callable

import pytest

from graphmix.search.policies import POLICIES, BruteForce, Candidate, DryWet, Hybrid, Policy

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
        assert policy.propose() == nodes, "a proposal stands until its verdict is heard"
        trials.append((nodes, verdict(nodes)))
        policy.hear(trials[-1][1])
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


def test_dry_wet_goes_on_with_a_type_after_a_single_success():
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


# --- all


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
    for heard in range(0, len(trials), 4):
        policy = POLICIES[name]()
        policy.begin(candidates, round_index, 5)
        for nodes, kept in trials[:heard]:
            assert policy.propose() == nodes
            policy.hear(kept)
        rest = []
        while nodes := policy.propose():
            rest.append(nodes)
            policy.hear(sum(nodes) % 3 > 0)
        assert rest == [nodes for nodes, _ in trials[heard:]]


@pytest.mark.parametrize("name", POLICIES)
def test_what_was_removed_is_not_proposed_again(name):
    removed: set[int] = set()

    def verdict(nodes: tuple[int, ...]) -> bool:
        assert not removed & set(nodes)
        if sum(nodes) % 2:
            removed.update(nodes)
        return bool(sum(nodes) % 2)

    play(POLICIES[name](), of_kind("gain", 25) + of_kind("reverb", 25, first=25), verdict, round_index=3)
