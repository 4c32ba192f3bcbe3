"""DAWproject files against the format's own schema (tests/sessions/dawproject, MIT), and read back."""

import io
import json
import re
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("defusedxml", reason="sessions are read with defusedxml")

from graphmix import MixGraph, Rack
from graphmix.audio import load_stems
from graphmix.errors import FileError, GraphError
from graphmix.graph.storage import load_graph
from graphmix.render.reference import render_reference
from graphmix.sessions import export_session, import_session
from tests.sessions.random_sessions import RandomGraph, stems
from tests.sessions.test_ardour import named_after_files, song_of

SCHEMA = Path(__file__).parent / "dawproject" / "Project.xsd"
RATE = 48000


def a_session(folder, seed):
    """A random graph and its DAWproject."""
    graph = named_after_files(RandomGraph(RATE, seed, linear=False).graph)
    audio = stems(3, RATE, seed, seconds=0.7)
    song = song_of(folder / "stems", [name.removesuffix(".wav") for name in graph.input_names], audio, RATE)
    done = export_session(graph, song, folder / "session", "dawproject")
    return graph, audio, done, folder / "session" / "session.dawproject"


def edges_of(graph):
    return Counter(graph.edges())


def check(folder, seed):
    lxml = pytest.importorskip("lxml.etree", reason="the schema is checked by lxml")
    graph, audio, done, path = a_session(folder, seed)
    with zipfile.ZipFile(path) as archive:
        lxml.XMLSchema(lxml.parse(SCHEMA)).assertValid(lxml.parse(io.BytesIO(archive.read("project.xml"))))
    back = import_session(path, folder / "back")
    assert back.graph.names == graph.names
    assert [back.graph.type_of(n).name for n in range(graph.num_nodes)] == [
        graph.type_of(n).name for n in range(graph.num_nodes)
    ]
    assert edges_of(back.graph) == edges_of(graph)
    assert torch.equal(back.graph.wet, graph.wet)
    for kind, values in graph.params.items():
        assert torch.allclose(back.graph.params[kind], values, rtol=2e-7, atol=0), kind
    assert back.notices == ()
    assert np.array_equal(load_stems(folder / "back", RATE).read(0, audio.shape[2]).stems, audio)
    assert edges_of(load_graph(folder / "back" / "graph.safetensors")) == edges_of(graph)
    return done


@pytest.mark.parametrize("seed", range(2))
def test_a_session_is_valid_and_comes_back_as_the_graph_that_it_was(tmp_path, seed):
    done = check(tmp_path, seed)
    assert "left out in other programs" in done.notices[-1]


@pytest.mark.slow
def test_a_hundred_random_sessions_are_valid_and_come_back(tmp_path):
    for seed in range(100, 200):
        (tmp_path / str(seed)).mkdir()
        check(tmp_path / str(seed), seed)


# --- projects of others

PROJECT = """<?xml version="1.0" encoding="UTF-8"?>
<Project version="1.0"><Application name="Other" version="5"/>
<Transport><Tempo unit="bpm" value="60" id="t"/></Transport>
<Structure>
 <Track contentType="audio" id="t1" name="Vox"><Channel id="c1" role="regular" destination="c3">
  <Devices>
   <Compressor deviceName="Comp" deviceRole="audioFX"><Attack unit="seconds" value="0.01"/>
    <Ratio unit="percent" value="75"/><Release unit="seconds" value="0.1"/><Threshold unit="decibel" value="-20"/>
   </Compressor>
   <Vst3Plugin deviceName="Shiny" deviceRole="audioFX"/>
  </Devices>
  <Pan unit="normalized" value="0.25"/>
  <Sends><Send destination="c2" type="post"><Volume unit="linear" value="0.5"/></Send></Sends>
  <Volume id="v1" unit="linear" value="0.5"/></Channel></Track>
 <Track contentType="audio" id="t2" name="Room"><Channel id="c2" role="effect" destination="c3"/></Track>
 <Track contentType="audio" id="t3" name="Master"><Channel id="c3" role="master">
  <Volume id="v3" unit="linear" value="2.0"/></Channel></Track>
</Structure>
<Arrangement id="a"><Lanes timeUnit="beats" id="l">
 <Lanes track="t1" id="l1"><Clips id="k"><Clip time="0.5" duration="0.5" playStart="0.25" contentTimeUnit="seconds">
  <Audio channels="1" sampleRate="48000" duration="1"><File path="audio/vox.wav"/></Audio></Clip></Clips></Lanes>
</Lanes></Arrangement></Project>"""


def a_project(path, text=PROJECT, audio_name="audio/vox.wav", more=()):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("project.xml", text)
        file = io.BytesIO()
        soundfile.write(file, np.arange(RATE) / RATE, RATE, "FLOAT", format="WAV")
        archive.writestr(audio_name, file.getvalue())
        for name, content in more:
            archive.writestr(name, content)
    return path


def test_a_project_of_another_program_becomes_a_song_and_a_graph(tmp_path):
    imported = import_session(a_project(tmp_path / "x.dawproject"), tmp_path / "song")
    graph = imported.graph
    assert graph.input_names == ["Vox.wav"]
    kinds = Counter(graph.type_of(node).name for node in range(graph.num_nodes))
    assert kinds == {"in": 1, "ballistic_compressor": 1, "gain": 3, "send": 1, "mix": 2, "out": 1}
    assert imported.notices == ("Vox: the device 'Shiny' has no counterpart and is bypassed.",)
    values = {name: graph.parameter(1, f"{name}").item() for name in ("ratio", "attack_ms", "threshold_db")}
    assert values == pytest.approx({"ratio": 4, "attack_ms": 10, "threshold_db": -20})
    vox = load_stems(tmp_path / "song", RATE).read(0, RATE).stems[0]
    assert not vox[:, : RATE // 2].any()
    assert vox[0, RATE // 2 :] == pytest.approx(np.arange(RATE // 4, 3 * RATE // 4) / RATE), "one beat is a second"


def test_levels_of_another_program_are_as_it_plays_them(tmp_path):
    text = PROJECT.replace('value="75"', 'value="0"')  # no compression
    graph = import_session(a_project(tmp_path / "x.dawproject", text), tmp_path / "song").graph
    impulse = np.zeros((1, 2, 8))
    impulse[0, :, 2] = 1
    mix = render_reference(graph, impulse)[0, :, 2]
    # volume 0.5, pan half left; the send adds half of it; the master doubles
    assert mix == pytest.approx([0.5 * 1.5 * 2, 0.25 * 1.5 * 2], rel=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PROJECT.replace("audio/vox.wav", "../vox.wav"), "leads out of the project"),
        (PROJECT.replace("audio/vox.wav", "audio/no.wav"), "there is no file 'audio/no.wav'"),
        (PROJECT.replace('value="-20"', 'value="loud"'), "a number is expected"),
        (PROJECT.replace('destination="c3"', 'destination="c9"', 1), "there is no such channel"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + PROJECT.split("?>")[1], "XML entities or a document type"),
        ('<!DOCTYPE x SYSTEM "file:///etc/hosts">' + PROJECT.split("?>")[1], "XML entities or a document type"),
        (re.sub(r'(<Clip [^>]*)time="[^"]*"', r'\1time="30000"', PROJECT), "a track has [0-9]+ samples; at most 268"),
        ("<Song/>", "holds <Song>"),
        ("<Project", "is no XML"),
        (PROJECT.replace("<Audio", "<Video").replace("</Audio", "</Video"), "no audio clip"),
    ],
)
def test_bad_projects_are_one_clear_error_and_nothing_is_written(tmp_path, text, message):
    with pytest.raises(FileError, match=message):
        import_session(a_project(tmp_path / "x.dawproject", text), tmp_path / "song")
    assert [path.name for path in tmp_path.iterdir()] == ["x.dawproject"]


def test_a_gain_that_is_not_all_wet_is_the_volume_and_comes_back(tmp_path):
    graph = MixGraph(Rack.console("g", RATE).types, RATE)
    track, gain, out = (
        graph.add("in", name="vox.wav"),
        graph.add("gain", wet=0.9, gain_db=[-40.0, -6.0]),
        graph.add("out"),
    )
    graph.chain(track, gain, out)
    song = song_of(tmp_path / "stems", ["vox"], stems(1, RATE, 0, seconds=0.7), RATE)
    done = export_session(graph, song, tmp_path / "session", "dawproject")
    assert done.notices == (), "nothing is left out"
    path = tmp_path / "session" / "session.dawproject"
    with zipfile.ZipFile(path) as archive:
        text = archive.read("project.xml").decode()
    right = 0.9 * 10 ** (-6 / 20) + 0.1
    volume = re.search(r'<Volume value="([^"]+)"[^>]*wet', text)
    assert float(volume[1]) == pytest.approx(right, rel=1e-6)
    back = import_session(path, tmp_path / "back").graph
    assert back.parameter(1, "gain_db").tolist() == pytest.approx([-40.0, -6.0], abs=1e-4)
    assert float(back.wet[1]) == pytest.approx(0.9)
    moved = text.replace(volume[1], "0.05")
    with zipfile.ZipFile(tmp_path / "moved.dawproject", "w") as archive, zipfile.ZipFile(path) as before:
        for name in before.namelist():
            archive.writestr(name, moved if name == "project.xml" else before.read(name))
    back = import_session(tmp_path / "moved.dawproject", tmp_path / "moved").graph
    assert float(back.wet[1]) == 1, "lower than what is dry of it"
    assert back.parameter(1, "gain_db")[1].item() == pytest.approx(20 * np.log10(0.05), abs=1e-4)


def test_a_loop_of_channels_is_an_error(tmp_path):
    text = PROJECT.replace('id="c2" role="effect" destination="c3"', 'id="c2" role="effect" destination="c2"')
    with pytest.raises(GraphError, match="cycle"):
        import_session(a_project(tmp_path / "x.dawproject", text), tmp_path / "song")


def test_a_file_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("graphmix.sessions.clips.MOST_AUDIO", 1000)
    with pytest.raises(FileError, match="unpacks to"):
        import_session(a_project(tmp_path / "x.dawproject"), tmp_path / "song")


def test_audio_that_decodes_to_hours_is_refused_before_it_is_read(tmp_path):
    flac = io.BytesIO()
    with soundfile.SoundFile(flac, "w", RATE, 1, format="FLAC") as file:
        for _ in range(120):
            file.write(np.zeros(60 * RATE, dtype="int16"))
    assert len(flac.getvalue()) < 2 << 20
    text = PROJECT.replace("audio/vox.wav", "audio/hours.flac")
    path = a_project(tmp_path / "x.dawproject", text)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("audio/hours.flac", flac.getvalue())
    with pytest.raises(FileError, match=r"'audio/hours.flac' has [0-9]+ samples; at most"):
        import_session(path, tmp_path / "song")
    assert [file.name for file in tmp_path.iterdir()] == ["x.dawproject"]


@pytest.mark.parametrize("name", ["../evil.txt", "audio/../../evil.txt", "/evil.txt"])
def test_an_archive_that_climbs_out_of_its_folder_is_refused(tmp_path, name):
    path = a_project(tmp_path / "x.dawproject")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(FileError, match="leads out of the project; nothing was read"):
        import_session(path, tmp_path / "song")


def test_settings_that_are_damaged_are_an_error(tmp_path):
    _, _, _, path = a_session(tmp_path, 0)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    state = next(name for name in files if name.startswith("plugins/"))
    files[state] = json.dumps({"type": "x"}).encode()
    with zipfile.ZipFile(tmp_path / "bad.dawproject", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(FileError, match="does not hold the settings"):
        import_session(tmp_path / "bad.dawproject", tmp_path / "song")


# --- the built-in equalizer, and printing


def test_an_editable_project_has_built_in_equalizers_and_comes_back_as_it_was(tmp_path):
    lxml = pytest.importorskip("lxml.etree", reason="the schema is checked by lxml")
    graph = named_after_files(RandomGraph(RATE, 2, linear=True).graph)
    song = song_of(tmp_path / "stems", [n.removesuffix(".wav") for n in graph.input_names], stems(3, RATE, 0), RATE)
    done = export_session(graph, song, tmp_path / "session", "dawproject", how="editable")
    with zipfile.ZipFile(tmp_path / "session" / "session.dawproject") as archive:
        content = archive.read("project.xml")
    lxml.XMLSchema(lxml.parse(SCHEMA)).assertValid(lxml.parse(io.BytesIO(content)))
    count = len(graph.params["equalizer"])
    assert content.count(b"<Equalizer") == count == len(done.approximations) > 0
    assert "equalizer" not in " ".join(done.notices)
    back = import_session(tmp_path / "session", tmp_path / "back").graph
    assert torch.allclose(back.params["equalizer"], graph.params["equalizer"], rtol=2e-7, atol=0)
    assert edges_of(back) == edges_of(graph)


def test_the_built_in_equalizer_of_another_program_is_a_curve(tmp_path):
    bands = """<Equalizer deviceName="EQ" deviceRole="audioFX">
     <Band type="bell"><Freq unit="semitones" value="81"/><Gain unit="decibel" value="6"/>
      <Q unit="linear" value="1"/></Band>
     <Band type="highPass" order="4"><Freq unit="hertz" value="50"/></Band>
     <Band type="bell"><Freq unit="hertz" value="5000"/><Gain unit="decibel" value="9"/>
      <Enabled value="false"/></Band>
     <OutputGain unit="decibel" value="-2"/></Equalizer><Vst3Plugin"""
    done = import_session(
        a_project(tmp_path / "x.dawproject", PROJECT.replace("<Vst3Plugin", bands)), tmp_path / "song"
    )
    curve = done.graph.params["equalizer"][0]
    step = RATE / (2 * len(curve) - 1)
    assert curve[round(880 / step)].item() == pytest.approx(4, abs=0.05)
    assert curve[round(5000 / step)].item() == pytest.approx(-2, abs=0.3)
    share = (3 * step / 50) ** 4  # a highpass of two sections, each a Butterworth filter of order 2
    assert curve[3].item() == pytest.approx(-2 + 20 * np.log10(share / (1 + share)), abs=0.1)
    assert len(done.notices) == 1


def test_what_the_format_lacks_is_printed_into_tracks_and_returns(tmp_path):
    from graphmix.graph.mixgraph import MixGraph
    from tests.sessions.random_sessions import a_rack

    graph = MixGraph(a_rack(RATE).types, RATE)
    a, gain, out = graph.add("in", name="a.wav"), graph.add("gain", gain_db=-6.0), graph.add("out")
    graph.chain(a, graph.add("equalizer", gain_db=3.0), gain, out)
    send, reverb = graph.add("send", gain_db=-9.0), graph.add("reverb")
    graph.connect(gain, send, inlet="send").chain(send, reverb, out)
    audio = stems(1, RATE, 0)
    done = export_session(
        graph, song_of(tmp_path / "stems", ["a"], audio, RATE), tmp_path / "s", "dawproject", prints=True
    )
    assert done.notices == ("printed into the clips: equalizer 3, send 4, reverb 5.",)
    back = import_session(tmp_path / "s", tmp_path / "back").graph
    kinds = Counter(back.type_of(node).name for node in range(back.num_nodes))
    assert kinds["equalizer"] == kinds["reverb"] == kinds["send"] == 0
    assert kinds["in"] == 2
    clips = load_stems(tmp_path / "back", RATE)
    rows = [clips.track_names.index(name) for name in back.input_names]
    got = render_reference(back, clips.read(0, audio.shape[2]).stems.double().numpy()[rows])[0]
    wanted = render_reference(graph, audio.double().numpy())[0]
    assert np.abs(got - wanted).max() < 1e-5
