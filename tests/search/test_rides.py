"""Gains that move: curves found from their moments, places in graphs, and in a search that needs them or does not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphmix.audio import load_song
from graphmix.errors import GraphError
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors import Rack, Ride
from graphmix.processors.ride import breakpoints
from graphmix.render import render_song
from graphmix.search import Objective, Search
from graphmix.search.mine_song import begin_search
from graphmix.search.ride_curve import constant, error_of, find_curve
from graphmix.search.ride_frames import RideFrames, measure_frames
from graphmix.search.rides import describe_rides, find_places, find_rides, with_ride_type
from graphmix.search.search_state import SearchState
from graphmix.search.settings import LookFor
from tests.small_song import (
    RATE,
    SETTINGS,
    SUBGROUPS,
    TRACKS,
    dry_tracks,
    hidden_graph,
    mine_without_plots,
    mixed,
    same_graph,
    write_song,
)

BLOCKS = 200
CURVES = {
    "fade-out": [(120, 0.0), (190, -40.0)],
    "ride": [(30, 0.0), (60, 5.0), (110, 5.0), (140, -4.0)],
    "mute": [(80, 0.0), (81, -60.0), (120, -60.0), (121, 0.0)],
}


def moments(points: list[tuple[int, float]], noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a track whose level changes by itself and that is ridden, in a mix with noise; and the true curve."""
    rng = np.random.default_rng(1)
    power = np.exp(rng.normal(0, 1, BLOCKS))
    curve = np.interp(np.arange(BLOCKS), *zip(*points, strict=True))
    right = power * 10 ** (curve / 20) + noise * np.sqrt(power) * rng.normal(0, 1, BLOCKS)
    return power, right, curve


@pytest.mark.parametrize("kind", CURVES)
def test_curves_are_found_in_noise_with_few_breakpoints(kind: str) -> None:
    gram, right, curve = moments(CURVES[kind], 0.1)
    found = find_curve(gram, right, cost=0.1)
    assert len(found.places) <= len(CURVES[kind]) + 2
    loud = curve > -25
    assert np.sqrt(np.mean((found.at(BLOCKS) - curve)[loud] ** 2)) < 0.7
    assert (found.at(BLOCKS)[curve < -35] < -18).all()


def test_noise_alone_has_no_curve() -> None:
    gram, right, _ = moments([(0, 0.0), (1, 0.0)], 0.1)
    found = find_curve(gram, right, cost=0.1)
    assert len(found.places) == 1
    assert found.gains[0] == pytest.approx(0, abs=0.2)


def test_a_gain_that_stays_is_that_of_least_squares() -> None:
    gram, right, _ = moments(CURVES["ride"], 0.1)
    steady = constant(gram, right)
    assert 10 ** (steady.gains[0] / 20) == pytest.approx(right.sum() / gram.sum(), rel=1e-5)
    assert steady.error == pytest.approx(error_of(np.full(BLOCKS, steady.gains[0]), gram, right))


# --- places


def test_places_are_the_ends_of_chains_and_every_set_of_tracks_has_one() -> None:
    graph = mixing_console(Rack.console("eg", RATE), {**SUBGROUPS, "more": ["a", "b"]}, "eg")
    places = find_places(graph)
    assert [p.name for p in places] == [*TRACKS, "a", "b", "rhythm", "more", "mix"]
    assert [p.tracks for p in places] == [(0,), (1,), (2,), (3,), (4,), (0, 1), (3, 4), (0, 1, 2, 3, 4)]
    assert [graph.type_of(p.node).name for p in places] == [*["gain"] * 7, "out"]
    mastered = mixing_console(Rack.console("egl", RATE), SUBGROUPS, "g", "gl")
    assert find_places(mastered)[-1].tracks == (0, 1, 2)  # behind the master chain
    for place in places:
        ridden = place.insert(with_ride_type(graph), [(1.0, -3.0), (2.0, 0.0)])
        (described,) = describe_rides(ridden)
        assert described == {"of": place.name, "points": [[1.0, -3.0], [2.0, 0.0]]}
        again = next(p for p in find_places(ridden) if p.tracks == place.tracks)
        assert again.points == [(1.0, -3.0), (2.0, 0.0)]
        changed = again.insert(ridden, [(0.5, 1.0)])
        assert changed.num_nodes == ridden.num_nodes
        assert describe_rides(changed)[0]["points"] == [[0.5, 1.0]]


# --- moments of a graph


def ridden_graph(place: str, points: list[tuple[float, float]]) -> MixGraph:
    graph = hidden_graph(equalized=False)
    found = next(p for p in find_places(graph) if p.name == place)
    return found.insert(with_ride_type(graph), points)


def write_ridden(folder: Path, place: str, points: list[tuple[float, float]]) -> Path:
    tracks = dry_tracks()
    return write_song(folder, tracks, mixed(ridden_graph(place, points), tracks))


FADE = [(2.0, 0.0), (3.3, -50.0)]
MUTE = [(1.0, 0.0), (1.05, -70.0), (2.0, -70.0), (2.05, 0.0)]


def objective_of(folder: Path, chain: str = "eg") -> Objective:
    return Objective(load_song(folder, RATE), Rack.console(chain, RATE))


def test_moments_give_the_error_of_any_gains(tmp_path: Path) -> None:
    objective, graph = objective_of(write_ridden(tmp_path / "song", "2_bass.wav", MUTE)), hidden_graph(False)
    frames = measure_frames(objective, graph)
    assert isinstance(frames, RideFrames)
    there = np.interp(frames.times, *zip(*MUTE, strict=True))  # without the frames across its edges
    gains = np.ones((len(there), 3))
    gains[:, 1] = 10 ** (there / 20)
    without, ridden = frames.errors(np.ones_like(gains)), frames.errors(gains)
    inside = (frames.times > 1.15) & (frames.times < 1.9)
    outside = (frames.times < 0.85) | (frames.times > 2.2)
    assert without[inside].min() > 20 * ridden[inside].max()
    assert without[outside].max() < 1e-3 * without[inside].min()


@pytest.mark.parametrize(("place", "points"), [("mix", FADE), ("2_bass.wav", MUTE)])
def test_a_ride_is_found_where_it_is(tmp_path: Path, place: str, points: list[tuple[float, float]]) -> None:
    objective = objective_of(write_ridden(tmp_path / "song", place, points))
    frames = measure_frames(objective, hidden_graph(False))
    (found,) = find_rides(frames, find_places(hidden_graph(False)))
    assert found.place.name == place
    times, gains = zip(*found.points, strict=True)
    true = np.interp(frames.times, *zip(*points, strict=True))
    error = np.interp(frames.times, times, gains) + found.steady_db - true
    assert np.quantile(np.abs(error[true > -20]), 0.9) < 1.0  # but for the blocks across an edge


# --- searches


def events_of(folder: Path) -> list[dict[str, Any]]:
    """The trace of a search without its times."""
    events = [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()]
    return [{key: value for key, value in event.items() if key != "seconds"} for event in events]


QUICK = replace(SETTINGS, chain="g", steps=2, rounds=1, round_steps=2)


def test_a_search_matches_a_fade_out_and_says_so(tmp_path: Path) -> None:
    folder = write_ridden(tmp_path / "song", "mix", FADE)
    plain = mine_without_plots(folder, tmp_path / "plain", QUICK, device="cpu", rides=False)
    ridden = mine_without_plots(folder, tmp_path / "ridden", QUICK, device="cpu", rides=True)
    assert ridden.metrics["audio_loss"] < 0.3 * plain.metrics["audio_loss"]
    (ride,) = ridden.metrics["rides"]
    assert ride["of"] == "mix"
    assert ridden.graph.nodes_of("ride").numel() == 1
    assert "rides" not in plain.metrics
    assert "ride" not in plain.graph.params
    song = load_song(folder, RATE)
    true, *made = (
        mix[:, -15000:-6000].square().mean().log10()
        for mix in (song.read_mix(0, song.num_samples), render_song(ridden.graph, song), render_song(plain.graph, song))
    )
    assert 10 * abs(float(made[0] - true)) < 5
    assert 10 * abs(float(made[1] - true)) > 15
    assert any(event["kept"] for event in events_of(ridden.folder) if event["event"] == "ride")


def test_a_song_without_rides_is_mined_to_the_last_bit_as_without_looking_for_any(
    tmp_path: Path,
) -> None:
    folder = write_song(tmp_path / "song", dry_tracks(), mixed(hidden_graph(equalized=False), dry_tracks()))
    one = mine_without_plots(folder, tmp_path / "auto", QUICK, device="cpu", rides=True)
    other = mine_without_plots(folder, tmp_path / "off", QUICK, device="cpu", rides=False)
    assert same_graph(one.graph, other.graph)
    for name in ("graph.safetensors", "graph.json"):
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()
    assert events_of(one.folder) == events_of(other.folder)


@pytest.mark.slow
def test_a_search_with_rides_is_resumed_from_its_checkpoints(tmp_path: Path) -> None:
    objective = objective_of(write_ridden(tmp_path / "song", "mix", FADE), "g")
    states: list[Path] = []

    def keep(state: SearchState) -> None:
        states.append(tmp_path / f"{len(states)}.safetensors")
        state.save(states[-1], {})

    def begun() -> SearchState:
        console = mixing_console(objective.rack, SUBGROUPS, "g")
        state = begin_search(console, objective, QUICK)
        state.phase = "rides"
        return state

    whole = Search(objective, QUICK, begun(), save=keep, look_for=LookFor(ducking=False)).run()
    assert whole.current.graph.nodes_of("ride").numel() == 1
    for path in (states[0], states[len(states) // 2]):
        state, _ = SearchState.load(path, Rack.console("g", RATE))
        again = Search(objective_of(tmp_path / "song", "g"), QUICK, state, look_for=LookFor(ducking=False)).run()
        assert same_graph(again.current.graph, whole.current.graph)


def test_a_ride_behind_the_end_of_the_song_is_refused_by_the_objective(song_folder: Path) -> None:
    objective = objective_of(song_folder)
    objective = objective.with_processor(Ride(RATE))
    graph = ridden_graph("mix", [(1.0, 0.0), (60.0, -50.0)])
    with pytest.raises(GraphError, match=r"'mix ride' has a breakpoint at 60\.000 s, and the song ends at 3\.400 s"):
        objective.evaluate(graph)


def test_trials_and_gradients_know_where_their_segment_lies(tmp_path: Path) -> None:
    objective = objective_of(write_ridden(tmp_path / "song", "mix", FADE))
    objective = objective.with_processor(Ride(RATE))
    graph = ridden_graph("mix", FADE)
    graph.params = {name: values.requires_grad_() for name, values in graph.params.items()}
    assert float(objective.evaluate(graph).total) < 1e-3
    moved = ridden_graph("mix", [(1.0, 0.0), (2.3, -50.0)])
    assert float(objective.evaluate(moved).total) > 0.1
    assert float(objective.step_loss(moved, 0, 0).audio) > 0.1
    values = torch.tensor([breakpoints(FADE)["gain_db"]])
    assert torch.equal(graph.params["ride"][:, 32:].detach(), values)
