"""Rides in exact Ardour sessions: automation of a plugin, written, read, moved and played."""

import shutil
from xml.etree import ElementTree

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.ride import Ride, breakpoints, used_points
from graphmix.render.reference import render_reference
from graphmix.sessions import describe_session, export_session, import_session
from graphmix.sessions.ardour_ride import LEAD_SECONDS, automation_of
from tests.sessions.headless_ardour import error_db, needs_ardour, render
from tests.sessions.random_sessions import a_rack, stems
from tests.sessions.test_ardour import song_of

RATE = 44100
POINTS = [(0.2001237, 0.0), (0.3500111, -20.0), (0.3500211, -6.0), (0.5000123, 3.0), (0.700009, -40.0)]
"""Between samples, two of them within one."""


def a_graph(points, wet=1.0):
    """A track through an equalizer, the ride and a compressor, beside another."""
    graph = MixGraph(a_rack(RATE).types, RATE)
    a, b, out = graph.add("in", name="a.wav"), graph.add("in", name="b.wav"), graph.add("out")
    ride = graph.add("ride", wet=wet, **breakpoints(points))
    graph.chain(a, graph.add("equalizer", gain_db=2.0), ride, graph.add("compressor", threshold_db=-30.0, ratio=4.0))
    graph.connect(ride + 2, out).connect(b, out)
    return graph, ride


def a_session(folder, points=POINTS, wet=1.0):
    """The exported session's graph, the ride in it, the tracks, and its XML."""
    graph, ride = a_graph(points, wet)
    audio = stems(2, RATE, 1)
    export_session(graph, song_of(folder / "stems", ["a", "b"], audio, RATE), folder / "session")
    return graph, ride, audio, ElementTree.parse(folder / "session" / "session.ardour")


def the_ride(tree):
    return next(p for p in tree.iter("Processor") if p.get("name") == "graphmix ride")


def the_line(tree):
    return the_ride(tree).find("Automation/AutomationList")


times = st.lists(st.floats(0, 2), min_size=1, max_size=8, unique=True).map(sorted)


@given(times, st.integers(0, 1000))
def test_the_automation_is_the_ride_at_each_sample(seconds, seed):
    """Against the processor's own curve."""
    rate = 8000
    seconds = [t for k, t in enumerate(seconds) if k == 0 or t - seconds[k - 1] > 1e-3]
    gains = np.random.default_rng(seed).uniform(-60, 12, len(seconds))
    graph = MixGraph(a_rack(rate).types, rate)
    ride = graph.add("ride", **breakpoints(list(zip(seconds, gains, strict=True))))
    graph.chain(graph.add("in"), ride, graph.add("out"))
    (device,) = describe_session(graph, "session").devices()
    points = np.array(automation_of(device, rate))
    places = np.round(points[:, 0] * rate)
    assert np.abs(places - points[:, 0] * rate).max() < 1e-6, "Ardour cuts its blocks at whole samples"
    got = np.interp(np.arange(17000), places, points[:, 1])
    expected = Ride(rate).curve(graph.params["ride"], 17000)[0].numpy()
    assert np.abs(got - expected).max() < 2e-4


def test_a_ride_that_begins_with_the_song_is_there_before_it():
    graph, ride = a_graph([(0.0, -30.0), (1.0, 0.0)])
    device = next(d for d in describe_session(graph, "session").devices() if d.node == ride)
    assert automation_of(device, RATE)[0] == (-LEAD_SECONDS, -45.0)


def test_a_ride_is_automation_of_a_plugin_whose_latency_the_next_one_states(tmp_path):
    _, _, _, tree = a_session(tmp_path)
    assert {route.get("name") for route in tree.iter("Route")} >= {"a.wav", "b.wav"}
    assert not any("gain" in route.get("name") for route in tree.iter("Route")), "no track plays the gain"
    route = next(route for route in tree.iter("Route") if route.get("name") == "a.wav")
    plugins = [(p.get("name"), p.get("user-latency")) for p in route.findall("Processor[@type='luaproc']")]
    assert plugins[1:3] == [("graphmix ride", "0"), ("graphmix latency", "2048")]
    line = the_line(tree)
    assert (line.get("automation-id"), line.get("state")) == ("parameter-0", "Play")
    assert len(line.findtext("events").split("\n")) > len(POINTS)


def test_what_was_not_moved_comes_back_to_the_last_bit(tmp_path):
    graph, _, _, _ = a_session(tmp_path, wet=0.7)
    back = import_session(tmp_path / "session", tmp_path / "back")
    assert back.notices == ()
    assert torch.equal(back.graph.params["ride"], graph.params["ride"])
    assert torch.equal(back.graph.wet, graph.wet)


def test_points_that_were_moved_are_in_the_graph(tmp_path):
    _, ride, _, tree = a_session(tmp_path, [(0.25, 0.0), (0.5, -12.0)])
    events = the_line(tree).find("events")
    (first, _), (last, _) = (row.split() for row in events.text.split("\n"))
    events.text = f"{first} -3\n{last} -20"
    tree.write(tmp_path / "session" / "session.ardour")
    back = import_session(tmp_path / "session", tmp_path / "back")
    row = int(back.graph.rows()[ride])
    assert used_points(back.graph.params["ride"][row]) == [(0.25, -3.0), (0.5, -20.0)]


@pytest.mark.parametrize("changes", [{}, {"active": "0"}])
def test_the_plugin_is_a_ride_in_a_session_of_others(tmp_path, changes):
    _, _, _, tree = a_session(tmp_path, [(0.25, 0.0), (0.5, -12.0)], wet=0.5)
    tree.getroot().remove(tree.find("Extra"))
    the_ride(tree).attrib.update(changes)
    tree.write(tmp_path / "session" / "session.ardour")
    graph = import_session(tmp_path / "session", tmp_path / "back").graph
    assert used_points(graph.params["ride"][0]) == [(0.25, 0.0), (0.5, -12.0)]
    (node,) = (n for n in range(graph.num_nodes) if graph.type_of(n).name == "ride")
    assert float(graph.wet[node]) == (0.0 if changes else 0.5)


@needs_ardour
@pytest.mark.slow  # renders by Ardour
@pytest.mark.parametrize(
    ("points", "wet"), [(POINTS, 1.0), (POINTS, 0.7), ([(0.0, -60.0), (0.9, 0.0)], 1.0)], ids=["1", "0.7", "fade-in"]
)
def test_ardour_plays_the_ride(tmp_path, points, wet):
    graph, _, audio, _ = a_session(tmp_path, points, wet)
    longer = np.pad(audio.double().numpy(), ((0, 0), (0, 0), (0, RATE // 2)))
    expected = render_reference(graph, longer).sum(0)[:, : audio.shape[2]]
    assert error_db(render(tmp_path / "session"), expected) < -110
    shutil.rmtree(tmp_path / "session")
