"""Ardour sessions read: graphmix's own with what was moved in them, and those of others."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("defusedxml", reason="sessions are read with defusedxml")

from graphmix.audio import load_stems
from graphmix.errors import FileError, GraphError
from graphmix.processors.ride import used_points
from graphmix.render.reference import render_reference
from graphmix.sessions import export_session, import_session
from graphmix.sessions.ardour_levels import factor_at, position_of, simplified
from tests.sessions.headless_ardour import needs_ardour
from tests.sessions.random_sessions import RandomGraph, stems
from tests.sessions.test_ardour import named_after_files, song_of

RATE = 48000
SHARED = Path(__file__).resolve().parents[3] / "shared" / "formats" / "ardour"
TICKS = 5880
"""Of a sample."""


# --- graphmix's own


def exported(folder, seed, how, linear=False):
    graph = named_after_files(RandomGraph(RATE, seed, linear).graph)
    audio = stems(3, RATE, seed, seconds=0.7)
    song = song_of(folder / "stems", [name.removesuffix(".wav") for name in graph.input_names], audio, RATE)
    export_session(graph, song, folder / "session", how=how)
    return graph, audio


def assert_same(graph, other):
    assert graph.names == other.names
    assert Counter(graph.edges()) == Counter(other.edges())
    assert torch.equal(graph.wet, other.wet)
    assert graph.node_type.tolist() == other.node_type.tolist()
    for kind, values in graph.params.items():
        assert torch.equal(values, other.params[kind]), kind


@pytest.mark.parametrize(("seed", "how"), [(0, "exact"), (1, "exact"), (1, "editable")])
def test_a_session_comes_back_as_the_graph_that_it_was(tmp_path, seed, how):
    graph, audio = exported(tmp_path, seed, how)
    back = import_session(tmp_path / "session", tmp_path / "back")
    assert back.notices == ()
    assert_same(back.graph, graph)
    assert np.array_equal(load_stems(tmp_path / "back", RATE).read(0, audio.shape[2]).stems, audio)


@needs_ardour
@pytest.mark.slow  # loads and saves by Ardour
@pytest.mark.parametrize("how", ["exact", "editable"])
def test_a_session_that_ardour_has_saved_comes_back_as_well(tmp_path, how):
    lua = shutil.which("ardour7-lua")
    if lua is None:
        pytest.skip("needs ardour7-lua")
    graph, _ = exported(tmp_path, 2, how)
    script = tmp_path / "save.lua"
    script.write_text(
        'AudioEngine:set_backend("None (Dummy)", "", "")\n'
        f's = load_session("{tmp_path}/session", "session")\nassert (s)\ns:save_state ("")\n'
    )
    path = tmp_path / "session" / "session.ardour"
    before = path.read_text()
    subprocess.run([lua, str(script)], capture_output=True, timeout=120, check=False)
    assert "ProgramVersion" in path.read_text() != before, "Ardour has written it"
    back = import_session(tmp_path / "session", tmp_path / "back")
    assert back.notices == ()
    assert_same(back.graph, graph)


class Edited:
    """A session of a small graph, to be changed: two tracks, a bus with an equalizer, a compressor, an output."""

    def __init__(self, folder, how):
        from graphmix.graph.mixgraph import MixGraph
        from tests.sessions.random_sessions import a_rack

        graph = MixGraph(a_rack(RATE).types, RATE)
        a, b, bus, out = (
            graph.add("in", name="a.wav"),
            graph.add("in", name="b.wav"),
            graph.add("mix"),
            graph.add("out"),
        )
        self.gain = graph.add("gain", gain_db=[-6.0, -9.0], wet=0.8)
        self.compressor = graph.add("ballistic_compressor", threshold_db=-30.0, ratio=3.0)
        self.equalizer = graph.add("equalizer", gain_db=2.0)
        graph.chain(a, self.gain, bus).chain(b, self.compressor, bus).chain(bus, self.equalizer, out)
        song = song_of(folder / "stems", ["a", "b"], stems(2, RATE, 0, seconds=0.5), RATE)
        export_session(graph, song, folder / "session", how=how)
        self.graph, self.folder = graph, folder
        self.path = folder / "session" / "session.ardour"
        self.root = ElementTree.parse(self.path).getroot()

    def route(self, name):
        return next(route for route in self.root.iter("Route") if route.get("name") == name)

    def control(self, route, name):
        return next(c for c in self.route(route).iter("Controllable") if c.get("name") == name)

    def plugin(self, route, name):
        return next(p for p in self.route(route).findall("Processor") if p.get("name") == name)

    def read(self):
        ElementTree.ElementTree(self.root).write(self.path)
        return import_session(self.path, self.folder / "back")


def test_a_moved_fader_is_a_changed_gain(tmp_path):
    edited = Edited(tmp_path, "exact")
    fader = edited.control("a.wav", "gaincontrol")
    fader.set("value", repr(float(fader.get("value")) / 2))
    graph = edited.read().graph
    mixed = 20 * np.log10(0.8 * 10 ** (np.array([-6, -9]) / 20) + 0.2)
    assert graph.parameter(edited.gain, "gain_db").tolist() == pytest.approx(
        (mixed - 20 * np.log10(2)).tolist(), abs=1e-4
    )
    assert torch.equal(graph.params["equalizer"], edited.graph.params["equalizer"])


def test_a_moved_fader_without_a_gain_is_a_new_gain(tmp_path):
    edited = Edited(tmp_path, "exact")
    edited.control("b.wav", "gaincontrol").set("value", "0.5")
    edited.control("Master", "gaincontrol").set("value", "2")
    graph = edited.read().graph
    assert graph.num_nodes == edited.graph.num_nodes + 2
    impulse = np.zeros((2, 2, 64))
    impulse[0, :, 9] = 1
    ratio = render_reference(graph, impulse).sum() / render_reference(edited.graph, impulse).sum()
    assert ratio == pytest.approx(2, rel=1e-4)


def test_a_moved_balance_and_knobs_of_plugins_are_read(tmp_path):
    edited = Edited(tmp_path, "editable")
    azimuth = edited.control("a.wav", "pan-azimuth")
    azimuth.set("value", repr(float(azimuth.get("value")) / 2))
    compressor = edited.plugin("b.wav", "ACE Compressor")
    old = {port.get("symbol"): port for port in compressor.iter("Port")}
    for symbol, change in (("thr", -4.0), ("att", None)):
        value = float(old[symbol].get("value"))
        old[symbol].set("value", repr(value + change if change else 2 * value))
    graph = edited.read().graph
    left, right = graph.parameter(edited.gain, "gain_db").tolist()
    mixed = 20 * np.log10(0.8 * 10 ** (np.array([-6, -9]) / 20) + 0.2)
    assert (left, right) == (pytest.approx(mixed[0], abs=1e-4), pytest.approx(mixed[1] - 20 * np.log10(2), abs=1e-4))
    assert graph.parameter(edited.compressor, "threshold_db").item() == pytest.approx(-34, abs=1e-4)
    before = edited.graph.parameter(edited.compressor, "attack_ms").item()
    assert graph.parameter(edited.compressor, "attack_ms").item() == pytest.approx(2 * before, rel=1e-4)


def test_a_moved_band_changes_the_curve_and_a_switch_bypasses(tmp_path):
    edited = Edited(tmp_path, "editable")
    ports = {port.get("symbol"): port for port in edited.plugin("bus 2", "ACE EQ").iter("Port")}
    ports["g2"].set("value", "6")
    ports["filtog2"].set("value", "1")
    edited.plugin("b.wav", "ACE Compressor").set("active", "0")
    graph = edited.read().graph
    width = graph.params["equalizer"].size(1)
    curve = graph.parameter(edited.equalizer, "gain_db")
    at = round(1000 / (RATE / (2 * width - 1)))
    assert curve[at].item() == pytest.approx(8, abs=0.05)
    assert curve[-1].item() == pytest.approx(2, abs=0.05)
    assert graph.wet[edited.compressor].item() == 0


def test_a_muted_track_feeds_nothing(tmp_path):
    edited = Edited(tmp_path, "exact")
    ElementTree.SubElement(edited.route("a.wav"), "Controllable", name="mute", value="1")
    done = edited.read()
    assert done.notices == ("a.wav: it is muted or switched off and feeds nothing.",)
    audio = np.zeros((2, 2, 64))
    audio[0] = 1
    assert not render_reference(done.graph, audio).any()


def test_a_session_with_a_new_route_is_read_as_one_of_others_with_the_settings_that_are_known(tmp_path):
    edited = Edited(tmp_path, "exact")
    new = ElementTree.SubElement(
        edited.root.find("Routes"), "Route", {"id": "9999", "name": "new", "default-type": "audio"}
    )
    ElementTree.SubElement(new, "PresentationInfo", flags="AudioBus")
    done = edited.read()
    assert "is no more as graphmix wrote it (1 routes are new and 0 are gone)" in done.notices[0]
    assert torch.equal(done.graph.params["equalizer"], edited.graph.params["equalizer"])
    assert done.graph.input_names == ["a.wav", "b.wav"]


def test_what_is_kept_and_damaged_is_an_error(tmp_path):
    edited = Edited(tmp_path, "exact")
    edited.root.find("Extra/graphmix/graph").text = "AAAA"
    with pytest.raises(FileError, match="is damaged there"):
        edited.read()


# --- sessions of others


def region(name, start, position, length, source, more="", inside=""):
    return (
        f'<Region name="{name}" muted="0" opaque="1" start="a{start * TICKS}" '
        f'length="a{length * TICKS}@a{position * TICKS}" '
        f'layering-index="0" envelope-active="0" fade-in-active="0" fade-out-active="0" scale-amplitude="1" {more} '
        f'channels="2" source-0="{source}0" source-1="{source}1" id="{abs(hash((name, position)))}" type="audio">'
        f"{inside}</Region>"
    )


def ports(name, way, count, others=lambda channel: ()):
    found = "".join(
        f'<Port type="audio" name="{name}/audio_{way} {c}">'
        + "".join(f'<Connection other="{other}"/>' for other in others(c))
        + "</Port>"
        for c in range(1, count + 1)
    )
    return f'<IO name="{name}" direction="{"Input" if way == "in" else "Output"}">{found}</IO>'


def route(number, name, flags, target, body="", playlist="", more="", inputs=2):
    leaves = (lambda c: [f"{target}/audio_in {c}"]) if target else (lambda c: [f"system:playback_{c}"])
    attributes = f'audio-playlist="{playlist}"' if playlist else ""
    return (
        f'<Route id="{number}" name="{name}" default-type="audio" active="1" {attributes} {more}>'
        f'<PresentationInfo order="1" flags="{flags}"/>{ports(name, "in", inputs)}{ports(name, "out", 2, leaves)}{body}'
        f'<Processor id="{number}9" name="{name}" active="1" type="main-outs" role="Main">'
        '<PannerShell bypassed="0" user-panner=""/></Processor></Route>'
    )


def amp(value, automation=""):
    return (
        f'<Processor id="1" name="Amp" active="1" type="amp">{automation}'
        f'<Controllable name="gaincontrol" value="{value}"/></Processor>'
    )


def lv2(number, name, uri, more="", **values):
    written = "".join(f'<Port symbol="{key}" value="{value}"/>' for key, value in values.items())
    return (
        f'<Processor id="{number}" name="{name}" active="1" type="lv2" unique-id="{uri}" {more}>'
        f"<ConfiguredInput/><lv2>{written}</lv2></Processor>"
    )


SEND = (
    '<Processor id="31" name="room" active="1" type="intsend" role="Aux" target="3">'
    '<PannerShell bypassed="0"/><Controllable name="gaincontrol" value="0.25"/></Processor>'
)
VOX = (
    lv2(40, "ACE EQ", "urn:ardour:a-eq", g1=6, freq1=1000, bw1=1)
    + lv2(41, "ACE Compressor", "urn:ardour:a-comp#stereo", att=5, rel=90, kn=1, rat=3, thr=-20, mak=4)
    + lv2(42, "Shiny", "urn:other")
    + amp(0.5)
    + SEND
)
PAN = '<Pannable><Controllable name="pan-azimuth" value="0.25"/></Pannable>'


def session(vox=VOX, regions=None, room="", routes="", vox_more="", mute=""):
    regions = regions or region("one", 100, 1000, 500, "5") + region("two", 0, 3000, 400, "5")
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Session version="7002" name="song" sample-rate="48000">'
        '<Sources><Source name="vox.wav" id="50" channel="0" gain="1"/>'
        '<Source name="vox.wav" id="51" channel="1"/></Sources>'
        f'<Locations><Location start="a{1000 * TICKS}" end="a{9000 * TICKS}" flags="IsSessionRange"/></Locations>'
        "<Routes>"
        + route(1, "Master", "MasterOut", "", amp(1) + room.replace("<ROOM>", ""))
        + route(2, "Vox", "AudioTrack", "Master", vox + PAN + mute, "60", vox_more)
        + route(3, "Room", "AudioBus", "Master", amp(1))
        + routes
        + f'</Routes><Playlists><Playlist id="60" name="Vox">{regions}</Playlist></Playlists></Session>'
    )


def a_folder(folder, text, name="song"):
    place = folder / name / "interchange" / name / "audiofiles"
    place.mkdir(parents=True)
    ramp = np.arange(1, 4001) / 8000
    soundfile.write(place / "vox.wav", np.stack([ramp, -ramp], 1), RATE, "FLOAT")
    (folder / name / f"{name}.ardour").write_text(text)
    return folder / name


def test_a_session_of_another_program_becomes_a_song_and_a_graph(tmp_path):
    done = import_session(a_folder(tmp_path, session()), tmp_path / "song again")
    graph = done.graph
    assert graph.input_names == ["Vox.wav"]
    kinds = Counter(graph.type_of(node).name for node in range(graph.num_nodes))
    assert kinds == {"in": 1, "mix": 2, "equalizer": 1, "ballistic_compressor": 1, "gain": 4, "send": 1, "out": 1}
    assert done.notices == ("Vox: the plugin 'Shiny' is bypassed: it has no counterpart.",)
    compressor = int(graph.nodes_of("ballistic_compressor"))
    names = ("threshold_db", "ratio", "knee_db", "attack_ms", "release_ms")
    found = {name: graph.parameter(compressor, name).item() for name in names}
    wanted = {"threshold_db": -23.01, "ratio": 3, "knee_db": 6.01, "attack_ms": 5, "release_ms": 90}
    assert found == pytest.approx(wanted, abs=1e-2)
    curve = graph.parameter(int(graph.nodes_of("equalizer")), "gain_db")
    assert curve.max().item() == pytest.approx(6, abs=0.05)
    audio = load_stems(tmp_path / "song again", RATE).read(0, 2400).stems[0].numpy()
    ramp = np.arange(1, 4001) / 8000
    assert np.allclose(audio[0, :500], ramp[100:600])
    assert np.allclose(audio[1, 2000:2400], -ramp[:400])
    assert not audio[:, 500:2000].any()


def test_levels_of_another_program_are_as_it_plays_them(tmp_path):
    text = session(vox=amp(0.5) + SEND)
    graph = import_session(a_folder(tmp_path, text), tmp_path / "back").graph
    impulse = np.zeros((1, 2, 8))
    impulse[0, :, 2] = 1
    # the fader 0.5; the send a quarter of it, before the balance; which turns the right side to a half
    assert render_reference(graph, impulse)[0, :, 2] == pytest.approx([0.5 + 0.125, 0.25 + 0.125], rel=1e-5)


def test_fades_and_layers_of_regions_are_laid_out(tmp_path):
    fade = "".join(
        f"<{tag}><AutomationList><events>a0 {first}\na{100 * TICKS} {last}</events></AutomationList></{tag}>"
        for tag, first, last in (("FadeIn", 0, 1), ("FadeOut", 1, 0))
    )
    upper = region("up", 0, 1200, 400, "5", inside=fade).replace('layering-index="0"', 'layering-index="1"')
    upper = upper.replace('fade-in-active="0" fade-out-active="0" scale-amplitude="1"', "FADED")
    upper = upper.replace("FADED", 'fade-in-active="1" fade-out-active="1" scale-amplitude="0.5"')
    text = session(regions=upper + region("low", 0, 1000, 1000, "5"))
    import_session(a_folder(tmp_path, text), tmp_path / "back")
    audio = load_stems(tmp_path / "back", RATE).read(0, 1000).stems[0, 0].numpy()
    ramp = np.arange(1, 4001) / 8000
    assert np.allclose(audio[:200], ramp[:200])
    assert np.allclose(audio[300:500], 0.5 * ramp[100:300]), "the upper one hides the lower one"
    assert audio[250] == pytest.approx(0.5 * 0.5 * ramp[50] + 0.5 * ramp[250], rel=1e-4), "half of the cross-fade"
    assert np.allclose(audio[600:], ramp[600:1000])


def test_automation_of_a_fader_is_a_ride(tmp_path):
    line = (
        '<Automation><AutomationList automation-id="gain" interpolation-style="Exponential" state="Play"><events>'
        f"a{1000 * TICKS} 1\na{25000 * TICKS} 0.5</events></AutomationList></Automation>"
    )
    graph = import_session(a_folder(tmp_path, session(vox=amp(0.7, line))), tmp_path / "back").graph
    points = used_points(graph.params["ride"][0])
    assert points[0] == pytest.approx((0, 0), abs=1e-6)
    assert points[-1] == pytest.approx((0.5, 20 * np.log10(0.5)), abs=1e-4)
    middle = np.interp(0.25, *zip(*points, strict=True))
    assert middle == pytest.approx(20 * np.log10(factor_at((position_of(1) + position_of(0.5)) / 2)), abs=0.05)


def test_many_points_are_simplified_to_those_that_matter():
    times = np.linspace(0, 10, 500)
    gains = np.interp(times, [0, 3, 4, 10], [0, 0, -12, -6])
    found, error = simplified(list(zip(times, gains, strict=True)))
    assert len(found) <= 6
    assert error < 0.1
    _, error = simplified(list(zip(times, 6 * np.sin(30 * times), strict=True)))
    assert error > 1, "more than 32 points would be needed"


def test_a_muted_route_feeds_nothing_and_says_so(tmp_path):
    text = session(mute='<Controllable name="mute" value="1"/>')
    done = import_session(a_folder(tmp_path, text), tmp_path / "back")
    assert "Vox: it is muted or switched off and feeds nothing." in done.notices
    assert not render_reference(done.graph, np.ones((1, 2, 16))).any()


@pytest.mark.parametrize(("folder", "kinds"), [("lua_session", {"gain"}), ("convolver_session", {"gain"})])
def test_the_sessions_that_a_real_ardour_rendered_open(tmp_path, folder, kinds):
    if not SHARED.is_dir():
        pytest.skip("needs the sessions of ../shared/formats/ardour")
    (source,) = (SHARED / folder).glob("*.ardour")
    place = tmp_path / source.stem / "interchange" / source.stem / "audiofiles"
    place.mkdir(parents=True)
    shutil.copy(source, tmp_path / source.stem)
    soundfile.write(place / "vox.wav", stems(1, RATE, 0, seconds=2.0)[0].numpy().T, RATE, "FLOAT")
    done = import_session(tmp_path / source.stem, tmp_path / "back")
    assert done.graph.input_names == ["Vox.wav"]
    assert len(done.notices) == 1, "the plugin"
    assert "has no counterpart" in done.notices[0]
    audio = stems(1, RATE, 0).double().numpy()
    assert np.allclose(render_reference(done.graph, audio)[0], audio[0], atol=1e-6), "bypassed, all faders are at unity"


BAD = [
    (session().replace('name="vox.wav"', 'name="../vox.wav"'), "does not lie in the session's folder"),
    (session().replace('name="vox.wav"', 'name="no.wav"'), "there is no audio file 'no.wav'"),
    (session(vox=amp("loud")), "'loud', and a number is expected"),
    (session().replace('target="3"', 'target="77"'), "sends to route '77', which is not there"),
    ('<!DOCTYPE x [<!ENTITY a "b">]>' + session().split("?>")[1], "XML entities or a document type"),
    ("<Song/>", "holds <Song>"),
    ("<Session", "is no XML"),
    (session().replace('sample-rate="48000"', 'sample-rate="fast"'), "its sample rate is 'fast'"),
    (session().replace('id="60"', 'id="61"'), "no audio track with regions"),
    (session(regions=region("x", 0, 2 * 10**9, 10, "5")), "at most 36000 s are read"),
    (session(regions=region("x", 0, 1000, 10**8, "5")), "which has 4000"),
    (session(regions=region("x", 0, 0, 35000 * 48000, "5")), "'x' has 1680000000 samples; at most 268"),
    (session().replace('length="a2940000@', 'length="soon@'), "a time such as"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_sessions_are_one_clear_error_and_nothing_is_written(tmp_path, text, message):
    folder = a_folder(tmp_path, text)
    with pytest.raises(FileError, match=message):
        import_session(folder, tmp_path / "back")
    assert [path.name for path in tmp_path.iterdir()] == ["song"]


def test_a_loop_of_sends_is_an_error(tmp_path):
    text = session(routes=route(4, "Echo", "AudioBus", "Master", SEND.replace('target="3"', 'target="4"')))
    with pytest.raises(GraphError, match="cycle"):
        import_session(a_folder(tmp_path, text), tmp_path / "back")
