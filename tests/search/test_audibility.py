"""Trials judged track by track: levels in closed form, the caches against whole renderings, rounds and replays."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from graphmix.audio import load_song
from graphmix.graph import bypass_nodes, mixing_console, remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.search import DRAFT, PAPER, Judge, Objective, prune
from graphmix.search.audibility import Audibility, RoundAudibility, find_ways
from graphmix.search.policies import DryWet
from graphmix.search.rounds import PruningRound, prunable_nodes
from graphmix.search.trial_losses import Judge as TrialJudge
from graphmix.songbook.demo import DEMO_SETTINGS
from tests.small_song import RATE, SETTINGS, SUBGROUPS, TRACKS, dry_tracks, write_song

QUIET = TRACKS[2]


@pytest.fixture(scope="module")
def objective(tmp_path_factory: pytest.TempPathFactory) -> Objective:
    """Two loud tracks and one that is 26 dB softer, summed."""
    tracks = dry_tracks()
    tracks[QUIET] *= 0.05
    folder = write_song(tmp_path_factory.mktemp("songs") / "quiet", tracks, torch.stack(list(tracks.values())).sum(0))
    return Objective(load_song(folder, RATE), Rack.console("eg", RATE))


@pytest.fixture
def graph(objective: Objective) -> MixGraph:
    return mixing_console(objective.rack, SUBGROUPS, "g", "g")


def gain_of(graph: MixGraph, track: str) -> int:
    """The gain behind a track."""
    return find_ways(graph)[track].nodes[1]


def set_gain(graph: MixGraph, node: int, db: float) -> None:
    graph.params["gain"][graph.rows()[node]] = db


def changed(objective: Objective, before: MixGraph, after: MixGraph, kept_bytes: int = 0) -> dict[str, float]:
    segments = objective.segments
    audibility = Audibility(objective, before, segments, 1.0)
    judge = Judge(objective, after, segments, kept_bytes)
    return audibility.changes(find_ways(after), RoundAudibility(audibility, judge)._current())


def test_ways_lead_through_bus_and_master(graph):
    ways = find_ways(graph)
    assert list(ways) == TRACKS
    way = ways[TRACKS[0]]
    assert [graph.type_of(node).name for node in way.nodes] == ["in", "gain", "mix", "gain", "gain", "out"]
    assert [tap.incoming for tap in way.sums] == [True, True]
    assert len(way.ends) == 3


def test_sends_leave_the_way():
    rack = Rack.console("gdeu", RATE)
    graph = mixing_console(rack, SUBGROUPS, "g", sends="d")
    for way in find_ways(graph).values():
        kinds = [graph.type_of(node).name for node in way.nodes]
        assert kinds == ["in", "gain", "mix", "gain", "out"]


def test_nothing_changed_is_no_change(objective, graph):
    changes = changed(objective, graph, graph)
    assert changes.keys() == set(TRACKS), "the soft tone stands out of the others"
    assert max(changes.values()) == 0


def test_a_gain_changes_its_track_by_its_decibels_where_nothing_masks_it(objective, graph):
    """Alone and loud, a track is masked by nothing; only cells near the threshold in quiet change by less."""
    set_gain(graph, gain_of(graph, QUIET), 26.0)
    other = graph.clone()
    for track in TRACKS[:2]:
        for each in (graph, other):
            set_gain(each, gain_of(each, track), -150.0)
    set_gain(other, gain_of(other, QUIET), 30.0)
    changes = changed(objective, graph, other)
    assert changes.keys() == {QUIET}
    assert changes[QUIET] == pytest.approx(4.0, abs=0.1)


def test_a_gain_may_move_from_a_track_to_its_bus_or_the_master(objective, graph):
    set_gain(graph, gain_of(graph, QUIET), 3.0)
    for place in (3, 4):
        moved = graph.clone()
        set_gain(moved, gain_of(moved, QUIET), 0.0)
        set_gain(moved, find_ways(moved)[QUIET].nodes[place], 3.0)
        for track in TRACKS[:2] if place == 4 else ():
            set_gain(moved, gain_of(moved, track), -3.0)
        assert max(changed(objective, graph, moved).values()) < 1e-3


def test_a_masked_track_may_change_as_it_likes(objective, graph):
    set_gain(graph, gain_of(graph, QUIET), -60.0)
    softer = graph.clone()
    set_gain(softer, gain_of(softer, QUIET), -90.0)
    assert QUIET not in changed(objective, graph, softer)


def test_what_was_masked_and_stands_out_is_a_change(objective, graph):
    set_gain(graph, gain_of(graph, QUIET), -60.0)
    louder = graph.clone()
    set_gain(louder, gain_of(louder, QUIET), 0.0)
    assert changed(objective, graph, louder)[QUIET] > 3


@pytest.mark.parametrize("kept_bytes", [0, 2**40])
def test_trials_are_judged_as_by_whole_renderings_also_after_removals(objective, kept_bytes):
    graph = mixing_console(objective.rack, SUBGROUPS, "eg", "g")
    generator = torch.Generator().manual_seed(2)
    for name in ("equalizer", "gain"):
        graph.params[name] = 6 * (torch.rand(graph.params[name].shape, generator=generator) - 0.5)
    audibility = Audibility(objective, graph, objective.segments, 1.0)
    judge = Judge(objective, graph, objective.segments, kept_bytes)
    tracks = RoundAudibility(audibility, judge)
    nodes, gone = prunable_nodes(graph), list[int]()
    for tried in (nodes[:2], nodes[-3:-1], nodes[4:5]):
        verdict = tracks.try_without(tried)
        without = changed(objective, graph, bypass_nodes(graph, [*gone, *tried]))
        assert verdict.change_db == pytest.approx(max(without.values()), abs=1e-3)
        assert set(verdict.over) == {name for name, change in without.items() if change > 1.0}
        judge.remove(tried)
        tracks.remove(tried)
        gone += tried
    removed = changed(objective, graph, remove_nodes(graph, gone))
    assert tracks.try_without(nodes[2:3]).change_db >= max(removed.values()) - 6


# --- rounds


class Unconcerned(TrialJudge):
    """A loss that never changes, so that only the tracks decide."""

    def _judge_segment(self, nodes: Any, segment: Any) -> float:
        super()._judge_segment(nodes, segment)
        return 1.0


def quiet_round(objective: Objective, graph: MixGraph, limit: float = 1.0, **changes: Any) -> PruningRound:
    audibility = Audibility(objective, graph, objective.segments, limit)
    judge = Unconcerned(objective, graph, objective.segments)
    settings = replace(SETTINGS, **changes)
    trials = PruningRound(objective, graph, settings.new_policy(), settings, 0, 1.0, judge, audibility)
    trials.begin()
    return trials


def all_records(trials: PruningRound) -> Sequence[dict[str, Any]]:
    records = []
    while (record := trials.advance()) is not None:
        records.append(record)
    return records


@pytest.fixture
def faders(graph: MixGraph) -> MixGraph:
    """The quiet track is 6 dB softer than its file, another one by a tenth of a decibel."""
    set_gain(graph, gain_of(graph, QUIET), -6.0)
    set_gain(graph, gain_of(graph, TRACKS[0]), -0.1)
    return graph


@pytest.mark.parametrize("policy", ["brute-force", "dry-wet", "leave-one-out"])
def test_only_the_quiet_tracks_fader_stays(objective, faders, policy):
    trials = quiet_round(objective, faders, policy=policy)
    records = all_records(trials)
    stays = gain_of(faders, QUIET)
    assert set(trials.removed) == set(prunable_nodes(faders)) - {stays}
    refused = [r for r in records if not r["kept"]]
    assert refused
    for record in refused:
        assert stays in record["candidates"]
        assert record["audible"]["track"] == QUIET
        assert record["audible"]["db"] > record["audible"]["limit_db"] == 1.0


def test_a_wide_limit_refuses_nothing(objective, faders):
    trials = quiet_round(objective, faders, limit=20.0, policy="brute-force")
    assert all(record["kept"] for record in all_records(trials))


def test_small_changes_do_not_add_up(objective, faders):
    """Twice 0.7 dB: the second removal would bring the track to 1.4 dB from the console."""
    first, second = find_ways(faders)[QUIET].nodes[1], find_ways(faders)[QUIET].nodes[3]
    for node in (first, second):
        set_gain(faders, node, 0.7)
    trials = quiet_round(objective, faders, policy="brute-force")
    all_records(trials)
    assert len({first, second} & set(trials.removed)) == 1


def test_a_track_that_training_moved_too_far_may_move_no_farther(objective, faders):
    console = faders.clone()
    set_gain(console, gain_of(console, QUIET), -3.0)
    audibility = Audibility(objective, console, objective.segments, 1.0)
    tracks = RoundAudibility(audibility, Judge(objective, faders, objective.segments))
    assert 1.5 < tracks.limits[QUIET] < 3.1
    assert tracks.limits[TRACKS[1]] == 1.0


@pytest.mark.parametrize("policy", ["brute-force", "dry-wet", "leave-one-out"])
def test_a_round_that_is_replayed_goes_on_as_it_was(objective, faders, policy):
    whole, verdicts = quiet_round(objective, faders, policy=policy), []
    records = []
    while (record := whole.advance()) is not None:
        verdicts.append(whole.verdict)
        records.append(record)
    assert any("excluded" in verdict for verdict in verdicts)
    for done in (1, len(verdicts) // 2, len(verdicts)):
        resumed = quiet_round(objective, faders, policy=policy)
        resumed.replay(verdicts[:done])
        rest = all_records(resumed)
        assert resumed.kept == whole.kept
        assert [{**r, "seconds": 0} for r in rest] == [{**r, "seconds": 0} for r in records[done:]]


def test_excluded_nodes_do_not_end_their_type(faders):
    from graphmix.search.policies import Candidate

    policy = DryWet()
    policy.begin([Candidate(node, "gain", node / 10) for node in range(5)], 0, 0)
    assert policy.propose() == (0,)
    policy.exclude([0])
    assert policy.propose() == (1,)
    policy.exclude([1, 2, 3, 4])
    assert policy.propose() == ()


# --- settings


def test_it_is_on_in_the_draft_and_off_in_the_paper_and_the_demo():
    assert DRAFT.audible_db > 0
    assert PAPER.audible_db == DEMO_SETTINGS.audible_db == 0
    assert "audible_db" not in PAPER.to_dict(), "as runs of earlier versions, which are resumed"
    assert DRAFT.to_dict()["audible_db"] == DRAFT.audible_db


def test_pruning_says_in_its_trace_what_is_audible(objective, faders):
    song, rack = objective.song, objective.rack
    settings = replace(SETTINGS, rounds=1, round_steps=0, tolerance=1e6, policy="brute-force")
    free = prune(faders, song, rack, settings)
    kept = prune(faders, song, rack, replace(settings, audible_db=1.0))
    assert all("audible" not in record for record in free.trace)
    assert free.graph.nodes_of("gain").numel() == 0
    assert kept.graph.nodes_of("gain").numel() == 1
    trials = [record for record in kept.trace if record["event"] == "trial"]
    assert {record["audible"]["track"] for record in trials} <= set(TRACKS)
