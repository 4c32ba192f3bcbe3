"""Editable sessions: what is in them, Ardour's own plugins as graphmix takes them to be, faders that can be moved."""

import shutil
from xml.etree import ElementTree

import numpy as np
import pytest

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.ride import breakpoints
from graphmix.rewrite.parametric import Band, Shape, response, response_db
from graphmix.sessions import export_session
from graphmix.sessions.ardour_dynamics import Knobs, fit_knobs, gain_db, reduction_db
from graphmix.sessions.ardour_editable import curve_db
from graphmix.sessions.ardour_equalizer import bands_of, q_of, units_of, width_of
from graphmix.sessions.ardour_plugins import controls_of
from graphmix.sessions.session import describe_session
from tests.sessions.headless_ardour import error_db, needs_ardour, render
from tests.sessions.random_sessions import a_rack, stems
from tests.sessions.test_ardour import song_of

RATE = 48000
CURVE = (Band(Shape.low_shelf, 100.0, -5.0), Band(Shape.bell, 600.0, 6.0, 1.0), Band(Shape.bell, 3000.0, -9.0, 2.0))
COMPRESSOR = {"threshold_db": -30.0, "ratio": 4.0, "attack_ms": 5.0, "release_ms": 100.0}
GATE = {"threshold_db": -25.0, "ratio": 3.0, "attack_ms": 5.0, "release_ms": 60.0}


def a_curve(graph):
    width = graph.types[graph.types.index("equalizer")].width
    return response_db(CURVE, np.arange(width) * RATE / (2 * width - 1), RATE).tolist()


def a_session(folder, *chains, audio=None):
    """An editable session of tracks with chains of (kind, parameters)."""
    graph = MixGraph(a_rack(RATE).types, RATE)
    out = graph.add("out")
    names = [f"track {index}" for index in range(len(chains))]
    for name, chain in zip(names, chains, strict=True):
        nodes = [graph.add("in", name=f"{name}.wav")]
        for kind, values in chain:
            nodes.append(graph.add(kind, **(values(graph) if callable(values) else values)))
        graph.chain(*nodes, out)
    audio = stems(len(chains), RATE, 0) if audio is None else audio
    song = song_of(folder / "stems", names, audio, RATE)
    done = export_session(graph, song, folder / "session", how="editable")
    return done, ElementTree.parse(folder / "session" / "session.ardour").getroot(), audio


def route_of(root, name):
    return next(route for route in root.iter("Route") if route.get("name") == name)


def plugins_of(root, name):
    return [p for p in route_of(root, name).findall("Processor") if p.find("ConfiguredInput") is not None]


def fader_of(root, name):
    return next(c for c in route_of(root, name).iter("Controllable") if c.get("name") == "gaincontrol")


# --- what is in a session


def test_a_gain_before_linear_processors_is_fader_and_balance(tmp_path):
    _, root, _ = a_session(tmp_path, [("gain", {"gain_db": [-4.0, -10.0]}), ("reverb", {})])
    assert float(fader_of(root, "track 0.wav").get("value")) == pytest.approx(10 ** (-4 / 20))
    azimuth = next(c for c in route_of(root, "track 0.wav").iter("Controllable") if c.get("name") == "pan-azimuth")
    assert float(azimuth.get("value")) == pytest.approx(10 ** (-6 / 20) / 2)
    assert [p.get("name") for p in plugins_of(root, "track 0.wav")] == ["reverb"]


def test_a_gain_before_a_compressor_stays_before_it(tmp_path):
    chain = [("gain", {"gain_db": [-4.0, -4.0]}), ("ballistic_compressor", COMPRESSOR)]
    _, root, _ = a_session(tmp_path, chain)
    assert [p.get("name") for p in plugins_of(root, "track 0.wav")] == ["graphmix gain", "ACE Compressor"]
    assert float(fader_of(root, "track 0.wav").get("value")) == 1


def test_a_balance_stays_before_an_imager(tmp_path):
    _, root, _ = a_session(tmp_path, [("gain", {"gain_db": [-4.0, -10.0]}), ("imager", {"side_db": 3.0})])
    assert [p.get("name") for p in plugins_of(root, "track 0.wav")] == ["graphmix gain", "graphmix imager"]
    controls = controls_of(plugins_of(root, "track 0.wav")[0])
    assert (controls["Left"], controls["Right"]) == (pytest.approx(0, abs=1e-6), pytest.approx(-6, abs=1e-5))


def test_a_ride_is_automation_of_the_fader_with_the_gain_in_it(tmp_path):
    ride = breakpoints([(0.2, 0.0), (0.5, -12.0)])
    _, root, _ = a_session(tmp_path, [("gain", {"gain_db": [-6.0, -6.0]}), ("ride", ride)])
    line = next(x for x in route_of(root, "track 0.wav").iter("AutomationList"))
    points = [row.split() for row in line.find("events").text.split("\n")]
    assert line.get("state") == "Play"
    assert len(points) == 13, "steps of 1 dB"
    assert float(points[-1][1]) == pytest.approx(10 ** (-18 / 20))
    assert int(points[-1][0][1:]) - int(points[0][0][1:]) == pytest.approx(0.3 * 282_240_000, abs=5)


def test_the_bands_of_an_equalizer_have_its_curve(tmp_path):
    done, root, _ = a_session(tmp_path, [("equalizer", lambda graph: {"gain_db": a_curve(graph)})])
    assert done.approximations[0].startswith("equalizer 2: 1 ACE EQ of ")
    (plugin,) = plugins_of(root, "track 0.wav")
    bands, gain = bands_of(controls_of(plugin), RATE)
    hz = np.geomspace(60, 12000, 100)
    difference = response_db(bands, hz, RATE) + gain - response_db(CURVE, hz, RATE)
    assert np.sqrt(np.mean(difference**2)) < 0.6


def test_controls_of_the_equalizer_are_bands_and_bands_are_controls():
    from graphmix.rewrite.parametric import Fitted

    bands = [*CURVE, Band(Shape.high_shelf, 6000.0, 4.0), *(Band(Shape.bell, 100.0 * k, 2.0, 1.0) for k in range(2, 6))]
    units = units_of(Fitted(tuple(bands), -1.5, 0.0), RATE)
    assert len(units) == 2
    found = [bands_of(unit, RATE) for unit in units]
    hz = np.geomspace(30, 15000, 50)
    got = sum(response_db(b, hz, RATE) + gain for b, gain in found)
    assert np.allclose(got, response_db(bands, hz, RATE) - 1.5, atol=1e-6)
    assert q_of(width_of(3.3)) == pytest.approx(3.3)


def test_curve_of_an_equalizer_is_its_response_with_dry_and_wet():
    graph = MixGraph(a_rack(RATE).types, RATE)
    graph.chain(graph.add("in", name="a"), graph.add("equalizer", gain_db=a_curve(graph), wet=0.5), graph.add("out"))
    (device,) = describe_session(graph, "x").devices()
    hz = np.array([200.0, 600.0, 3000.0])
    expected = 20 * np.log10(0.5 * 10 ** (response_db(CURVE, hz, RATE) / 20) + 0.5)
    assert np.allclose(curve_db(device, hz, RATE), expected, atol=0.1)


@pytest.mark.parametrize(("kind", "values"), [("ballistic_compressor", COMPRESSOR), ("ballistic_gate", GATE)])
def test_knobs_of_dynamics_are_nearer_to_its_gains_than_the_settings_as_they_are(kind, values):
    from graphmix.sessions.ardour_dynamics import first_knobs

    graph = MixGraph(a_rack(RATE).types, RATE)
    graph.chain(graph.add("in", name="a"), graph.add(kind, wet=0.7, **values), graph.add("out"))
    (device,) = describe_session(graph, "x").devices()
    audio = stems(1, RATE, 3)[0].double().numpy()
    knobs = fit_knobs(device, audio, RATE)
    wanted, sounding = gain_db(device, audio, RATE), slice(RATE // 4, 3 * RATE // 4)

    def error(knobs):
        return np.sqrt(np.mean((-reduction_db(audio, knobs, RATE) - wanted)[sounding] ** 2))

    assert error(knobs) < 0.7 * error(first_knobs(device))
    assert knobs.error_db < 3


def test_a_reduction_rises_with_the_attack_and_falls_with_the_release():
    audio = np.zeros((2, RATE))
    audio[0, RATE // 4 : RATE // 2] = 0.5  # -6 dB
    knobs = Knobs(1, -26.0, 4.0, 0.0, 10.0, 100.0)
    reduction = reduction_db(audio, knobs, RATE)
    full = (20 * np.log10(0.5) + 26) * 0.75
    assert reduction[RATE // 4 + RATE // 100] == pytest.approx(full * (1 - np.exp(-1)), rel=1e-2)
    assert reduction[RATE // 2 - 1] == pytest.approx(full, rel=1e-6)
    assert reduction[RATE // 2 + RATE // 10] == pytest.approx(full * np.exp(-1), rel=1e-2)


def test_another_way_to_write_a_session_is_refused(tmp_path):
    graph = MixGraph(a_rack(RATE).types, RATE)
    graph.chain(graph.add("in", name="a.wav"), graph.add("out"))
    song = song_of(tmp_path / "stems", ["a"], stems(1, RATE, 0), RATE)
    with pytest.raises(GraphError, match="is not written as 'loud'; choose exact or editable"):
        export_session(graph, song, tmp_path / "session", how="loud")


# --- by Ardour itself


@needs_ardour
@pytest.mark.slow  # renders by Ardour
def test_the_plugins_of_ardour_do_what_they_are_taken_to_do(tmp_path):
    """Three tracks, one after the other in time, through its equalizer, compressor and gate."""
    audio = np.zeros((3, 2, 3 * RATE))
    one = stems(1, RATE, 0)[0].numpy()
    for index in range(3):
        audio[index, :, index * RATE : (index + 1) * RATE] = one
    chains = [
        [("equalizer", lambda graph: {"gain_db": a_curve(graph)})],
        [("ballistic_compressor", COMPRESSOR)],
        [("ballistic_gate", GATE)],
    ]
    import torch

    _, root, _ = a_session(tmp_path, *chains, audio=torch.from_numpy(audio).float())
    got = render(tmp_path / "session")
    audio = audio.astype(np.float32).astype(float)
    before = np.zeros((2, RATE))  # the session begins a second before the song
    for index, direction in ((1, 1), (2, -1)):
        (plugin,) = plugins_of(root, f"track {index}.wav")
        values = controls_of(plugin)
        knobs = Knobs(direction, values["thr"], values["rat"], values["kn"], values["att"], values["rel"])
        reduction = reduction_db(np.concatenate([before, audio[index]], 1), knobs, RATE)[RATE:]
        part = slice(index * RATE, (index + 1) * RATE)
        assert error_db(got[:, part], (audio[index] * 10 ** (-reduction / 20))[:, part]) < -75
    (plugin,) = plugins_of(root, "track 0.wav")
    bands, gain = bands_of(controls_of(plugin), RATE)
    spectrum = np.fft.rfft(audio[0]) * response(bands, np.fft.rfftfreq(3 * RATE, 1 / RATE), RATE)
    wanted = np.fft.irfft(spectrum * 10 ** (gain / 20), 3 * RATE)
    assert error_db(got[:, :RATE], wanted[:, :RATE]) < -50


@needs_ardour
@pytest.mark.slow  # renders twice by Ardour
def test_a_fader_that_is_moved_by_6_db_changes_the_level_by_6_db(tmp_path):
    chain = [("equalizer", lambda graph: {"gain_db": a_curve(graph)}), ("gain", {"gain_db": [-3.0, -5.0]})]
    _, root, _ = a_session(tmp_path, chain)
    before = render(tmp_path / "session")
    shutil.copytree(tmp_path / "session", tmp_path / "moved")
    fader = fader_of(root, "track 0.wav")
    fader.set("value", repr(float(fader.get("value")) * 10 ** (-6 / 20)))
    root.set("name", "moved")
    (tmp_path / "moved" / "session.ardour").unlink()
    shutil.move(tmp_path / "moved" / "interchange" / "session", tmp_path / "moved" / "interchange" / "moved")
    ElementTree.ElementTree(root).write(tmp_path / "moved" / "moved.ardour")
    after = render(tmp_path / "moved")
    assert error_db(after, before * 10 ** (-6 / 20)) < -100


@needs_ardour
@pytest.mark.slow  # renders by Ardour
def test_an_automated_fader_follows_the_ride(tmp_path):
    ride = breakpoints([(0.3, 0.0), (0.6, -18.0)])
    _, _, audio = a_session(tmp_path, [("gain", {"gain_db": [-3.0, -3.0]}), ("ride", ride)])
    got, dry = render(tmp_path / "session"), audio[0].double().numpy()

    def level(start, stop):
        part = slice(round(start * RATE), round(stop * RATE))
        return 10 * np.log10(np.mean(got[:, part] ** 2) / np.mean(dry[:, part] ** 2))

    assert level(0.21, 0.29) == pytest.approx(-3, abs=0.1)
    assert level(0.44, 0.46) == pytest.approx(-12, abs=1.0)
    assert level(0.65, 0.78) == pytest.approx(-21, abs=0.1)
