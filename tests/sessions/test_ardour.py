"""The Ardour session rendered by Ardour itself, and what is in it."""

import base64
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from graphmix.audio import load_stems, write_audio
from graphmix.errors import FileError, GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.reference import render_reference
from graphmix.sessions import describe_session, export_session
from graphmix.sessions.ardour_plan import MASTER_LATENCY, plan_routes
from graphmix.sessions.session import Role
from tests.sessions.headless_ardour import error_db, needs_ardour, render
from tests.sessions.random_sessions import RandomGraph, stems

RATE = 48000


def song_of(folder, names, audio, rate):
    folder.mkdir()
    for name, stem in zip(names, audio, strict=True):
        write_audio(folder / f"{name}.wav", stem, rate)
    return load_stems(folder, rate)


def named_after_files(graph):
    """The graph with its inputs named as the files of :func:`song_of`."""
    from dataclasses import replace

    names = [f"{n}.wav" if t == 0 else n for n, t in zip(graph.names, graph.node_type.tolist(), strict=True)]
    graph.info = replace(graph.info, names=tuple(names))
    return graph


@needs_ardour
@pytest.mark.slow
@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize(("linear", "bar_db"), [(True, -110), (False, -90)])
@pytest.mark.parametrize("seed", range(5))
def test_ardour_renders_what_graphmix_renders(tmp_path, rate, linear, bar_db, seed):
    graph = RandomGraph(rate, seed, linear).graph
    audio = stems(3, rate, seed)
    song = song_of(tmp_path / "stems", graph.input_names, audio, rate)
    export_session(named_after_files(graph), song, tmp_path / "session")
    longer = np.pad(audio.double().numpy(), ((0, 0), (0, 0), (0, rate // 2)))  # a DAW goes on behind the stems' end
    expected = render_reference(graph, longer).sum(0)[:, : audio.shape[2]]
    error = error_db(render(tmp_path / "session"), expected)
    print(f"graph {seed} at {rate} Hz, {'linear' if linear else 'all'}: {error:.1f} dB")
    assert error < bar_db


def test_the_master_is_late_by_what_keeps_ardours_export_from_reading_too_far():
    """Ardour 7.3's with AVX-512; a multiple of 4 would do nothing."""
    plan = plan_routes(describe_session(RandomGraph(44100, 0, linear=False).graph, "session"))
    (master,) = (route for route in plan.routes if route.role is Role.master)
    assert master.plugins[-1].latency == dict(master.plugins[-1].controls)["Samples"] == MASTER_LATENCY
    assert MASTER_LATENCY % 4


@pytest.fixture
def exported(tmp_path):
    """Two tracks; one with panning in a fader and a plugin, one through an equalizer and a compressor."""
    graph = MixGraph(Rack.standard(RATE).types, RATE)
    a, b, out = graph.add("in", name="a.wav"), graph.add("in", name="b.wav"), graph.add("out")
    graph.chain(a, graph.add("gain", gain_db=[-6.0, -9.0]), out)
    tilt = np.linspace(2, -8, graph.types[graph.types.index("equalizer")].width).tolist()
    graph.chain(b, graph.add("equalizer", gain_db=tilt), graph.add("compressor", ratio=3.0), out)
    audio = stems(2, RATE, 0)
    song = song_of(tmp_path / "stems", ["a", "b"], audio, RATE)
    export_session(graph, song, tmp_path / "session")
    return tmp_path / "session", audio


def test_the_louder_side_of_a_last_gain_is_the_fader(exported):
    folder, _ = exported
    root = ElementTree.parse(folder / "session.ardour").getroot()
    route = next(route for route in root.iter("Route") if route.get("name") == "a.wav")
    (fader,) = (c for c in route.iter("Controllable") if c.get("name") == "gaincontrol")
    assert float(fader.get("value")) == pytest.approx(10 ** (-6 / 20))
    controls = {c.get("name"): float(c.get("value")) for c in route.iter("Controllable")}
    assert (controls["Left"], controls["Right"]) == (pytest.approx(0, abs=1e-6), pytest.approx(-3, abs=1e-6))


def test_an_equalizer_is_an_impulse_response_with_its_latency(exported):
    folder, _ = exported
    (response,) = folder.glob("externals/*.wav")
    taps, rate = soundfile.read(response)
    root = ElementTree.parse(folder / "session.ardour").getroot()
    (processor,) = (p for p in root.iter("Processor") if p.get("name") == "equalizer")
    script = base64.b64decode(processor.findtext("luaproc/script")).decode()
    assert f'Session:path () .. "/externals/{response.name}"' in script
    center = int(processor.get("user-latency")) - 64  # the convolver's own
    assert rate == RATE
    assert 0 < center <= Rack.standard(RATE)["equalizer"].taps // 2
    assert np.allclose(taps[: center + 1, 0], taps[center : 2 * center + 1, 0][::-1]), "symmetric about its center"
    assert taps.sum(0) == pytest.approx([10 ** (2 / 20), 0, 0, 10 ** (2 / 20)], abs=1e-2)


def test_dynamics_carry_their_source_and_the_tracks_lie_in_the_session(exported):
    folder, audio = exported
    root = ElementTree.parse(folder / "session.ardour").getroot()
    scripts = [base64.b64decode(script.text).decode() for script in root.iter("script")]
    assert any("graphmix compressor" in script for script in scripts)
    files = sorted((folder / "interchange" / "session" / "audiofiles").iterdir())
    assert np.array_equal(soundfile.read(files[1])[0].T, audio[1].double().numpy())


def test_a_folder_that_holds_something_is_refused(exported, tmp_path):
    folder, _ = exported
    song = load_stems(tmp_path / "stems", RATE)
    graph = MixGraph(Rack.standard(RATE).types, RATE)
    graph.chain(graph.add("in", name="a.wav"), graph.add("out"))
    with pytest.raises(FileError, match="is no empty folder"):
        export_session(graph, song, folder)


def test_what_the_session_cannot_hold_is_named_and_nothing_is_written(tmp_path):
    from graphmix.processors.generators import Noise

    rack = Rack.for_types([*Rack.standard(RATE).types, Noise(RATE).node_type], RATE)
    graph = MixGraph(rack.types, RATE)
    noise, out = graph.add("noise"), graph.add("out")
    graph.chain(graph.add("in", name="a.wav"), out)
    graph.connect(noise, out)
    song = song_of(tmp_path / "stems", ["a"], stems(1, RATE, 0), RATE)
    with pytest.raises(GraphError, match="cannot hold noise 0"):
        export_session(graph, song, tmp_path / "session")
    assert [path.name for path in tmp_path.iterdir()] == ["stems"]


def test_a_rate_that_ardour_has_not_is_refused(tmp_path):
    graph = MixGraph(Rack.standard(30000).types, 30000)
    graph.chain(graph.add("in", name="a.wav"), graph.add("out"))
    song = song_of(tmp_path / "stems", ["a"], stems(1, 30000, 0), 30000)
    with pytest.raises(GraphError, match="is at 30000 Hz, and Ardour works at"):
        export_session(graph, song, tmp_path / "session")


def test_a_graph_at_another_rate_is_brought_to_that_of_the_tracks(tmp_path):
    graph = MixGraph(Rack.standard(30000).types, 30000)
    graph.chain(graph.add("in", name="a.wav"), graph.add("equalizer", gain_db=1.0), graph.add("out"))
    song = song_of(tmp_path / "stems", ["a"], stems(1, RATE, 0), RATE)
    done = export_session(graph, song, tmp_path / "session")
    assert done.session.sample_rate == RATE
    assert "knows nothing above 15 kHz" in done.notices[0]
