"""Moves: each does what it says, sounds as if all were rendered, and the true order and type are found."""

import importlib
import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from graphmix.audio import Song, load_song
from graphmix.cli.app import SearchName
from graphmix.cli.mine_command import ended_early
from graphmix.errors import SearchError
from graphmix.graph import validate
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.sketch import Sketch
from graphmix.graph.strips import find_strips
from graphmix.processors import Rack
from graphmix.report.course import read_course
from graphmix.search import Objective, Search, SearchSettings, moves_stage
from graphmix.search.moves import Move
from graphmix.search.moves_proposals import KINDS, Proposals, find_chains
from graphmix.search.moves_settings import converted_part, halves_of, merged_part, start_part
from graphmix.search.moves_stage import ADDED_GAIN, LEAST_GAIN, chosen_processors
from graphmix.search.moves_trials import MoveJudge, touched_part
from graphmix.search.search_state import ScoredGraph, SearchState
from graphmix.search.settings import SEARCHES
from tests.search.test_resume import Interrupting, assert_same
from tests.small_song import (
    RATE,
    SUBGROUPS,
    TRACKS,
    dry_tracks,
    mine_without_plots,
    mixed,
    write_small_song,
    write_song,
    write_tiny_song,
)

EVENLY = dict.fromkeys(TRACKS, 1 / 3)
SETTINGS = SearchSettings(chain="ceg", rounds=1, search="moves", moves=6, sample_rate=RATE)


@pytest.fixture(scope="module")
def objective(tmp_path_factory: pytest.TempPathFactory) -> Objective:
    folder = write_small_song(tmp_path_factory.mktemp("song") / "song")
    return Objective(load_song(folder, RATE), Rack.console("ecgsl", RATE))


def twisted(rack: Rack, chain: str = "ecg", master: str = "sl") -> MixGraph:
    """A console whose processors all do something."""
    graph = mixing_console(rack, SUBGROUPS, chain, master)
    generator = torch.Generator().manual_seed(0)
    for name, values in graph.params.items():
        if values.numel():
            raw = rack[name].to_raw(values)
            moved = rack[name].from_raw(raw + 0.2 * torch.randn(raw.shape, generator=generator))
            low, high = rack[name].node_type.bounds()
            graph.params[name] = moved.clamp(low, high)
    graph.wet = 0.5 + 0.5 * torch.rand(graph.wet.shape, generator=generator)
    return graph


def proposals(sketch: Sketch, rack: Rack, seed: int = 0) -> Proposals:
    known = {p.node_type.name: p for p in rack}
    return Proposals(sketch, known, known, EVENLY, Random(seed))


def one_of_each(sketch: Sketch, rack: Rack) -> dict[str, Move]:
    found: dict[str, Move] = {}
    for move in proposals(sketch, rack).draw(400):
        found.setdefault(move.name, move)
    return found


def test_every_kind_of_move_is_drawn_and_leaves_a_valid_graph_with_as_many_processors_as_it_says(
    objective: Objective,
) -> None:
    graph = twisted(objective.rack, "eecg")
    sketch = Sketch(graph)
    moves = proposals(sketch, objective.rack).draw(300)
    assert {move.name for move in moves} == set(KINDS)
    assert len({move.key for move in moves}) == len(moves)
    for move in moves:
        made = move.apply(sketch)
        assert made is not None
        after = validate(made[0].graph()[0])
        assert len(after.processors) - len(graph.processors) == move.added, move
    assert [m.to_json() for m in proposals(sketch, objective.rack).draw(300)] == [m.to_json() for m in moves]


def test_a_trial_of_a_move_has_the_loss_of_the_whole_graph(objective: Objective) -> None:
    sketch = Sketch(twisted(objective.rack, "eecg"))
    segments = objective.segments[:1]
    judge = MoveJudge(objective, sketch, segments)
    for move in one_of_each(sketch, objective.rack).values():
        made = move.apply(sketch)
        assert made is not None
        touched = touched_part(sketch, made[0])
        assert touched is not None
        whole = made[0].graph()[0]
        assert touched.graph.num_nodes < whole.num_nodes
        expected = float(objective.evaluate(whole, segments).total)
        assert judge.judge_move(touched, 9.0, race=False).loss == pytest.approx(expected, rel=1e-4), move.name


def test_a_move_can_be_written_and_read_and_knows_when_it_can_no_longer_be_made(objective: Objective) -> None:
    sketch = Sketch(twisted(objective.rack, "eecg"))
    types = {p.node_type.name: p.node_type for p in objective.rack}
    for move in one_of_each(sketch, objective.rack).values():
        again = Move.from_json(json.loads(json.dumps(move.to_json())), types)
        one, other = (m.apply(sketch) for m in (move, again))
        assert one is not None
        assert other is not None
        assert one[0].edges == other[0].edges
    swap = one_of_each(sketch, objective.rack)["swap"]
    without = sketch.copy()
    without.replace([swap.free[0]], [])
    assert swap.apply(without) is None


def test_what_changes_nothing_touches_nothing(objective: Objective) -> None:
    sketch = Sketch(twisted(objective.rack))
    assert touched_part(sketch, sketch.copy()) is None


def test_only_the_free_nodes_are_fitted(objective: Objective) -> None:
    sketch = Sketch(twisted(objective.rack))
    move = one_of_each(sketch, objective.rack)["insert"]
    made = move.apply(sketch)
    assert made is not None
    touched = touched_part(sketch, made[0])
    assert touched is not None
    judge = MoveJudge(objective, sketch, objective.segments)
    segment = objective.segments[0]
    before = touched.graph.clone()
    (node,) = made[1].values()
    fitted = judge.fit(touched, [node], segment, 2)
    assert list(fitted) == [node]
    assert not fitted[node].is_same(made[0].parts[node])
    assert all(torch.equal(before.params[name], touched.graph.params[name]) for name in before.params)


def test_a_converted_compressor_keeps_what_both_types_have() -> None:
    full = Rack.full(RATE)
    compressor = replace(start_part(full["compressor"], Random(0)))
    values = compressor.values.clone()
    values[full["compressor"].node_type.columns("threshold_db")] = -33.0
    values[full["compressor"].node_type.columns("time_ms")] = 70.0
    other = converted_part(replace(compressor, values=values, wet=0.4), full["ballistic_compressor"])
    assert other is not None
    kind = full["ballistic_compressor"].node_type
    named = {name: float(other.values[kind.columns(name)]) for name in ("threshold_db", "attack_ms", "release_ms")}
    assert named == {"threshold_db": -33.0, "attack_ms": 70.0, "release_ms": 70.0}
    assert other.wet == 0.4
    assert converted_part(compressor, full["reverb"]) is None


def test_halves_of_a_gain_are_the_gain_and_merging_them_gives_it_back() -> None:
    gain = Rack.full(RATE)["gain"]
    part = replace(start_part(gain, Random(0)), values=torch.tensor([-6.0, 4.0]))
    halves = halves_of(part, gain)
    assert halves is not None
    torch.testing.assert_close(halves[0].values, torch.tensor([-3.0, 2.0]))
    torch.testing.assert_close(merged_part(*halves, gain).values, part.values)


@pytest.mark.parametrize(("types", "message"), [("x", "'x' cannot stand"), ("e[what]", "'what' cannot stand")])
def test_types_that_cannot_be_brought_in(types: str, message: str) -> None:
    with pytest.raises(SearchError, match=message):
        chosen_processors(replace(SETTINGS, types=types), Rack.console("g", RATE))


def test_types_are_those_of_the_chain_or_those_that_are_named() -> None:
    rack = Rack.console("ceg", RATE)
    assert set(chosen_processors(SETTINGS, rack)) == {"equalizer", "compressor", "gain"}
    assert set(chosen_processors(replace(SETTINGS, types="r[tanh]"), rack)) == {"reverb", "tanh"}
    full = chosen_processors(replace(SETTINGS, types="full"), rack)
    assert {"phaser", "limiter", "equalizer"} < set(full)
    assert not {"ride", "send", "align", "crossover", "sidechain_compressor"} & set(full)


def test_empty_chains_are_places_as_well() -> None:
    sketch = Sketch(mixing_console(Rack.console("g", RATE), SUBGROUPS, ""))
    assert sorted(chain.where for chain in find_chains(sketch, EVENLY)) == sorted([*TRACKS, *SUBGROUPS])


# --- a pass


COMPRESSED: dict[str, Any] = {"threshold_db": -36.0, "ratio": 12.0, "knee_db": 2.0, "time_ms": 15.0}


def one_track(rack: Rack, chain: list[tuple[str, dict[str, Any]]]) -> MixGraph:
    """The drums through a chain, the others as they are."""
    graph = MixGraph(rack.types, RATE)
    out = graph.add("out", name="mix")
    for bus, tracks in SUBGROUPS.items():
        mix = graph.add("mix", name=bus)
        for track in tracks:
            nodes = [graph.add(kind, **values) for kind, values in chain] if track == TRACKS[0] else []
            graph.chain(graph.add("in", name=track), *nodes, mix)
        graph.chain(mix, out)
    return graph


def kinds_on_drums(graph: MixGraph) -> list[str]:
    return [graph.type_of(node).name for node in find_strips(graph).tracks[TRACKS[0]]]


def one_pass(folder: Path, truth: MixGraph, start: MixGraph, settings: SearchSettings) -> SearchState:
    """One pass of moves on a graph, where the mix is made by another one."""
    tracks = dry_tracks()
    tracks[TRACKS[0]] = tracks[TRACKS[0]] + tracks[TRACKS[1]]  # low and high, so that the order matters
    objective = Objective(load_song(write_song(folder, tracks, mixed(truth, tracks)), RATE), Rack.console("ceg", RATE))
    scored = ScoredGraph(start, objective.evaluate(start))
    state = SearchState(scored, "moves", console=scored, best=scored)
    search = Search(objective, settings, state)
    search.begin_pruning()
    search.stage("moves")
    return state


@pytest.fixture
def _short_heats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer steps: what is right here is right at once."""
    monkeypatch.setattr(moves_stage, "HEATS", (1, 2))


def low_cut(rack: Rack) -> dict[str, Any]:
    width = rack["equalizer"].node_type.width
    return {"gain_db": torch.linspace(-24, 12, width).clamp(max=0).tolist()}


@pytest.mark.usefixtures("_short_heats")
def test_a_wrong_order_is_put_right(tmp_path: Path) -> None:
    rack = Rack.console("ceg", RATE)
    compressor, equalizer = ("compressor", COMPRESSED), ("equalizer", low_cut(rack))
    truth, start = one_track(rack, [compressor, equalizer]), one_track(rack, [equalizer, compressor])
    state = one_pass(tmp_path / "song", truth, start, replace(SETTINGS, moves=4, seed=4))
    assert kinds_on_drums(state.current.graph)[:2] == ["compressor", "equalizer"]
    kept = [record for record in state.trace if record["event"] == "move" and record["kept"]]
    assert "swap" in {record["move"] for record in kept}
    for record in kept:
        share = ADDED_GAIN * record["added"] if record["added"] > 0 else LEAST_GAIN
        assert record["added"] < 0 or record["loss_after"] < (1 - share) * record["loss_before"]
    assert state.phase == "trials"
    assert state.moves == {}


@pytest.mark.slow  # oversampled saturation, forward and backward, for each step of each move
def test_a_wrong_type_is_replaced(tmp_path: Path) -> None:
    rack = Rack.full(RATE)
    truth = one_track(rack, [("tanh", {"drive_db": 24.0}), ("gain", {"gain_db": [6.0, 6.0]})])
    start = one_track(rack, [("equalizer", {}), ("gain", {"gain_db": [6.0, 6.0]})])
    state = one_pass(tmp_path / "song", truth, start, replace(SETTINGS, types="[tanh]", moves=8, seed=4))
    assert "tanh" in kinds_on_drums(state.current.graph)
    assert float(state.minimum or 1) < 0.8 * float(state.trace[-1]["loss_before"])


# --- in a search from files to files


MINE = importlib.import_module("graphmix.search.mine_song")
SHORT = SearchSettings(
    chain="g", steps=2, rounds=1, round_steps=1, ramp_steps=2, evaluate_every=1, learning_rate=0.03, tolerance=0.05,
    search="moves", types="gs", moves=2, sample_rate=RATE,
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Song:
    return load_song(write_tiny_song(tmp_path_factory.mktemp("tiny") / "tiny"), RATE)


def test_a_search_with_moves_is_resumed_wherever_it_was_in_a_pass(
    tiny: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MINE, "SAVE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(moves_stage, "HEATS", (1, 1))
    listener = Interrupting()
    whole = mine_without_plots(tiny, tmp_path / "whole", SHORT, device="cpu", listener=listener)
    assert {"moves 1/1+", "pruning 1/1+"} <= set(listener.where)
    assert whole.metrics["moves"]["tried"] == 2
    places = [i + 1 for i, name in enumerate(listener.where) if name == "moves 1/1+"]
    for place in (places[0], places[-1]):  # in a heat, and in the last trial
        out = tmp_path / f"out {place}"
        with pytest.raises(KeyboardInterrupt):
            mine_without_plots(tiny, out, SHORT, device="cpu", listener=Interrupting(place))
        rest = Interrupting()
        assert_same(mine_without_plots(tiny, out, SHORT, device="cpu", listener=rest), whole)
        assert rest.calls <= listener.calls - place + 2


def test_a_search_ends_when_its_minutes_are_over_with_everything_written(tiny: Song, tmp_path: Path) -> None:
    settings = replace(SHORT, steps=4000, minutes=0.02)
    mined = mine_without_plots(tiny, tmp_path / "out", settings, device="cpu")
    assert mined.metrics["stopped"] == {"minutes": 0.02, "where": "fitting the console"}
    assert mined.metrics["steps"] < 4000
    assert (tmp_path / "out" / "graph.safetensors").exists()
    assert not (tmp_path / "out" / "checkpoint.safetensors").exists()
    assert "Stopped after 0.02 minutes, in fitting the console" in ended_early(mined.metrics)[0]
    without = mine_without_plots(tiny, tmp_path / "other", replace(SHORT, rounds=0), device="cpu")
    assert "stopped" not in without.metrics
    assert ended_early(without.metrics) == []


def test_names_of_searches_are_those_of_the_command_line() -> None:
    assert [name.value for name in SearchName] == list(SEARCHES)
    with pytest.raises(SearchError, match="there is no search 'swap'"):
        SearchSettings(search="swap")


def test_a_search_that_prunes_alone_has_none_of_it_in_its_run() -> None:
    assert not {"search", "types", "moves", "minutes"} & SearchSettings().to_dict().keys()


def test_the_course_of_a_search_goes_on_by_numbers_after_moves() -> None:
    console = mixing_console(Rack.console("eg", RATE), SUBGROUPS, "eg")
    trial = {"event": "trial", "step": 2, "round": 1, "candidates": ["gain 3"], "loss_before": 1.0, "loss_after": 1.0}
    trace = [
        {"event": "evaluate", "step": 2, "loss": 1.0},
        {"event": "move", "step": 2, "move": "insert", "of": "imager on 2_bass.wav", "kept": True},
        {"event": "moves", "step": 2, "kept": 1, "tried": 3},
        {**trial, "threshold": 1.1, "kept": True},
        {"event": "round", "step": 3, "round": 1, "loss": 0.9, "processors": 10},
        {"event": "stopped", "step": 3, "where": "pruning 2/4", "minutes": 10.0},
    ]
    course = read_course(trace, console, {})
    assert [(r.processors, r.present is None) for r in course.rounds] == [(10, False), (10, True)]
    assert course.rounds[1].trials[0].nodes == ()
    assert course.grown == ["insert: imager on 2_bass.wav", "ended early, after 10 minutes, in pruning 2/4"]
