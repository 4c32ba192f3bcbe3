"""REAPER projects: parsed by ``rpp``, played as REAPER is documented to, and read back."""

from collections import Counter

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("rpp", reason="REAPER projects are read with rpp")

from graphmix.audio import load_stems
from graphmix.errors import FileError, GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph
from graphmix.processors.rack import Rack
from graphmix.render.reference import render_reference
from graphmix.sessions import export_session, import_session
from tests.sessions.pure_data import needs_eel2
from tests.sessions.random_sessions import RandomGraph, a_rack, stems
from tests.sessions.reaper_mixer import Mixer
from tests.sessions.test_ardour import named_after_files, song_of
from tests.sessions.test_jsfx import error_db

RATE = 48000


def exported(folder, graph, audio, rate=RATE):
    """The project of a graph whose inputs are named without an ending."""
    graph = named_after_files(graph)
    song = song_of(folder / "stems", [name.removesuffix(".wav") for name in graph.input_names], audio, rate)
    export_session(graph, song, folder / "session", "reaper")
    return folder / "session" / "session.RPP"


def is_same(back, graph):
    assert back.names == graph.names
    assert [back.type_of(n).name for n in range(back.num_nodes)] == [
        graph.type_of(n).name for n in range(graph.num_nodes)
    ]
    assert Counter(back.edges()) == Counter(graph.edges())
    assert torch.equal(back.wet, graph.wet)
    for kind, values in graph.params.items():
        assert not len(values) or torch.equal(back.params[kind], values), kind


# --- what REAPER would play


def check_play(folder, graph, rate, bar_db):
    audio = stems(3, rate, 0, seconds=0.7)
    path = exported(folder, graph, audio, rate)
    longer = np.pad(audio.double().numpy(), ((0, 0), (0, 0), (0, rate // 2)))  # a DAW goes on behind the stems' end
    expected = render_reference(graph, longer).sum(0)
    got = Mixer(path, folder, longer.shape[2]).play()
    error = error_db(got[:, : audio.shape[2]], expected[:, : audio.shape[2]])
    print(f"error {error:.1f} dB")
    assert error < bar_db


@needs_eel2
def test_a_project_plays_what_graphmix_renders(tmp_path):
    check_play(tmp_path, RandomGraph(RATE, 1, linear=False).graph, RATE, -90)


@needs_eel2
@pytest.mark.slow  # half a minute each
@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize(("linear", "bar_db"), [(True, -110), (False, -90)])
@pytest.mark.parametrize("seed", range(5))
def test_random_projects_play_what_graphmix_renders(tmp_path, rate, linear, bar_db, seed):
    check_play(tmp_path, RandomGraph(rate, seed, linear).graph, rate, bar_db)


# --- and back


def test_a_project_comes_back_as_the_graph_that_it_was(tmp_path):
    graph = RandomGraph(RATE, 0, linear=False).graph
    audio = stems(3, RATE, 0, seconds=0.5)
    back = import_session(exported(tmp_path, graph, audio), tmp_path / "back")
    is_same(back.graph, graph)
    assert back.notices == ()
    assert np.array_equal(load_stems(tmp_path / "back", RATE).read(0, audio.shape[2]).stems, audio)
    is_same(load_graph(tmp_path / "back" / "graph.safetensors"), graph)


@pytest.mark.slow  # minutes: the responses of a hundred graphs
def test_a_hundred_random_projects_come_back(tmp_path):
    for seed in range(100, 200):
        graph = RandomGraph(RATE, seed, linear=False).graph
        (tmp_path / str(seed)).mkdir()
        path = exported(tmp_path / str(seed), graph, stems(3, RATE, seed, seconds=0.5))
        is_same(import_session(path, tmp_path / str(seed) / "back").graph, graph)


def small(*chain, names=("a", "b")):
    """Two tracks to the output, the first one through nodes of such types, names and values."""
    graph = MixGraph(a_rack(RATE).types, RATE)
    first, second, out = graph.add("in", name=names[0]), graph.add("in", name=names[1]), graph.add("out", name="main")
    nodes = [graph.add(kind, name=name, **values) for kind, name, values in chain]
    graph.chain(first, *nodes, out)
    return graph.connect(second, out)


def ride(*points):
    from graphmix.processors.ride import breakpoints

    return breakpoints(list(points))


def with_send():
    """A send with its return, a parallel way, a track that feeds the output twice, and a bus that is the master's."""
    graph = MixGraph(a_rack(RATE).types, RATE)
    a, b, out = graph.add("in", name="a"), graph.add("in", name="b"), graph.add("out")
    send, back, all_tracks = graph.add("send", gain_db=[-6.0, -9.0]), graph.add("gain"), graph.add("mix", name="all")
    graph.connect(a, send, inlet="send").chain(send, back, all_tracks)
    graph.chain(a, graph.add("gain", gain_db=-3.0), all_tracks).connect(a, all_tracks).connect(a, all_tracks)
    graph.connect(b, all_tracks)
    return graph.chain(all_tracks, graph.add("imager", side_db=-3.0), graph.add("gain", gain_db=-1.0), out)


SMALL = {
    "a ride in the middle": lambda: small(
        ("gain", "", {"gain_db": -2.0}),
        ("ride", "up", ride((0.1, -120.0), (0.2, 3.0))),
        ("imager", "", {"side_db": -4.0}),
        ("gain", "pan", {"gain_db": [-3.0, -7.0]}),
        ("ride", "down", {**ride((0.1, 0.0), (0.4, -9.0)), "wet": 0.5}),
    ),
    "odd names": lambda: small(("gain", 'say "it\'s" `so`', {"wet": 0.5}), names=("x'y z", "`q`")),
    "several ways": with_send,
    "twice into the output": lambda: small().connect(0, 2).connect(0, 2),
}


@pytest.mark.parametrize("name", SMALL)
def test_special_graphs_come_back(tmp_path, name):
    graph = SMALL[name]()
    back = import_session(exported(tmp_path, graph, stems(2, RATE, 0, seconds=0.5)), tmp_path / "back")
    is_same(back.graph, graph)


@needs_eel2
@pytest.mark.parametrize("name", SMALL)
def test_special_graphs_play_as_they_render(tmp_path, name):
    graph, audio = SMALL[name](), stems(2, RATE, 0, seconds=0.5)
    path = exported(tmp_path, graph, audio)
    expected = render_reference(graph, audio.double().numpy()).sum(0)
    assert error_db(Mixer(path, tmp_path, audio.shape[2]).play(), expected) < -90


def test_what_an_engineer_changed_is_read(tmp_path):
    graph = small(
        ("compressor", "squash", {"ratio": 3.0}),
        ("ride", "", ride((0.1, 0.0), (0.2, -6.0))),
        ("gain", "", {"gain_db": -6}),
    )
    path = exported(tmp_path, graph, stems(2, RATE, 0, seconds=0.5))
    text = path.read_text("utf-8")
    lines = text.splitlines()
    fader = next(n for n, line in enumerate(lines) if line.strip().startswith("VOLPAN 0.501"))
    lines[fader] = "    VOLPAN 0.25 0 1 -1 1"
    bypass = next(n for n, line in enumerate(lines) if line.strip() == "BYPASS 0 0 0")
    lines[bypass] = "      BYPASS 1 0 0"
    first = next(n for n, line in enumerate(lines) if line.strip().startswith("PT 0.1"))
    lines[first] = "      PT 0.1 0.5 0"
    path.write_text("\n".join(lines), "utf-8")
    back = import_session(path, tmp_path / "back").graph
    kinds = [back.type_of(n).name for n in range(back.num_nodes)]
    assert kinds == [graph.type_of(n).name for n in range(graph.num_nodes)]
    assert back.parameter(kinds.index("gain"), "gain_db").tolist() == pytest.approx([20 * np.log10(0.25)] * 2)
    assert back.parameter(kinds.index("ride"), "gain_db")[0].item() == pytest.approx(20 * np.log10(0.5))
    assert back.wet[kinds.index("compressor")] == 0


# --- projects of others

PROJECT = """<REAPER_PROJECT 0.1 "7.22/win64" 1726000000
  PANLAW 1
  SAMPLERATE 48000 1 0
  MASTER_VOLUME 2 0 -1 -1 1
  <TRACK {11111111-1111-1111-1111-111111111111}
    NAME Band
    VOLPAN 0.5 0 -1 -1 1
    ISBUS 1 1
    AUXRECV 2 3 0.5 0 0 0 0 0 0 -1:U 0 -1 ''

    MAINSEND 1 0
  >
  <TRACK
    NAME Bass
    VOLPAN 1 1 -1 -1 1
    ISBUS 2 -1
    IPHASE 1
    MAINSEND 1 0
    <FXCHAIN
      BYPASS 0 0 0
      <VST "VST: ReaEQ (Cockos)" reaeq.dll 0 "" 1919247729<56535472656571726561657100000000> ""
        cWVlcu5e7f4CAAAAAQAAAAAAAAACAAAAAAAAAAIAAAABAAAAAAAAAAIAAAAAAAAA
      >
      WAK 0 0
      BYPASS 0 0 0
      <JS loser/3BandEQ "my tone"
        0 0 0 - -
      >
      WAK 0 0
    >
    <ITEM
      POSITION 0.25
      LENGTH 0.5
      LOOP 0
      FADEIN 0 0.1 0 0 0 0 0
      FADEOUT 0 0 0 0 0 0 0
      MUTE 0 0
      VOLPAN 2 0 1 -1
      SOFFS 0.125
      CHANMODE 0
      <SOURCE WAVE
        FILE "C:\\\\Sessions\\\\ramp.wav"
      >
    >
    <ITEM
      POSITION 1
      LENGTH 0.5
      LOOP 1
      FADEIN 1 0 0 1 0 0 0
      SOFFS 0.75
      <SOURCE WAVE
        FILE audio/ramp.wav
      >
    >
    <ITEM
      POSITION 3
      LENGTH 1
      MUTE 1 0
      <SOURCE WAVE
        FILE gone.wav
      >
    >
    <ITEM
      POSITION 3
      LENGTH 1
      NAME "a beat"
      <SOURCE MIDI
        HASDATA 1 960 QN
      >
    >
  >
  <TRACK
    NAME Vox
    VOLPAN 0.5 0 -1 -1 1
    MUTESOLO 0 0 0
    ISBUS 0 0
    MAINSEND 0 0
    <VOLENV2
      ACT 1 -1
      PT 0 1 0
      PT 0.5 0.5 1
      PT 1 0.25 0
    >
    <ITEM
      POSITION 0
      LENGTH 1
      LOOP 0
      FADEIN 0 0 0 0 0 0 0
      <SOURCE WAVE
        FILE audio/ramp.wav
      >
    >
  >
  <TRACK
    NAME Click
    MUTESOLO 1 0 0
    <ITEM
      POSITION 0
      LENGTH 1
      <SOURCE WAVE
        FILE audio/ramp.wav
      >
    >
  >
>
"""


def a_project(folder, text=PROJECT):
    (folder / "project" / "audio").mkdir(parents=True)
    ramp = np.arange(RATE) / RATE
    soundfile.write(folder / "project" / "audio" / "ramp.wav", ramp, RATE, "FLOAT")
    soundfile.write(folder / "project" / "ramp.wav", ramp, RATE, "FLOAT")
    path = folder / "project" / "song.rpp"
    path.write_bytes(text.replace("\n", "\r\n").encode())
    return path


def test_a_project_of_another_program_becomes_a_song_and_a_graph(tmp_path):
    imported = import_session(a_project(tmp_path), tmp_path / "song")
    graph = imported.graph
    assert graph.input_names == ["Bass.wav", "Vox.wav", "Click.wav"]
    kinds = Counter(graph.type_of(node).name for node in range(graph.num_nodes))
    assert kinds == {"in": 3, "mix": 2, "gain": 5, "align": 1, "send": 1, "out": 1}
    assert imported.notices == (
        "Bass: the plugin 'VST: ReaEQ (Cockos)' has no counterpart and is bypassed.",
        "Bass: the plugin 'my tone' has no counterpart and is bypassed.",
        "Bass: 'a beat' is no audio and is left out.",
    )
    bass, vox, _ = load_stems(tmp_path / "song", RATE).read(0, 2 * RATE).stems[:, 0].double().numpy()
    ramp = np.arange(RATE) / RATE
    fade = np.minimum(1, (np.arange(RATE // 2) + 0.5) / 4800)
    assert not bass[: RATE // 4].any()
    assert bass[RATE // 4 : 3 * RATE // 4] == pytest.approx(2 * fade * ramp[RATE // 8 : 5 * RATE // 8], abs=1e-6)
    assert bass[RATE : 3 * RATE // 2] == pytest.approx(np.tile(ramp, 2)[3 * RATE // 4 : 5 * RATE // 4], abs=1e-6)
    assert vox[:RATE] == pytest.approx(ramp, abs=1e-6)


def test_what_is_not_read_is_said(tmp_path):
    text = PROJECT.replace("NAME Bass", "NAME Bass\n    PANMODE 5\n    MUTESOLO 0 1 0")
    text = text.replace("<VOLENV2", "<VOLENV2\n      VOLTYPE 1").replace(
        "AUXRECV 2 3 0.5 0 0 0 0 0 0", "AUXRECV 2 0 1 0 0 0 0 0 2"
    )
    text = text.replace("SOFFS 0.75", "SOFFS 0.75\n      PLAYRATE 1.5 1 0 -1 0 0.0025")
    notices = import_session(a_project(tmp_path, text), tmp_path / "song").notices
    for part in (
        "Bass: solo is not read",
        "Bass: its pan mode or pan law is not REAPER's usual one",
        "Vox: its volume envelope has curved segments",
        "Band: its receive from Vox is on other channels than 1 and 2",
        "Bass: 'an item' is stretched or transposed and is left out",
    ):
        assert any(part in notice for notice in notices), part


def test_a_graph_at_another_rate_comes_back_at_that_of_its_tracks(tmp_path):
    from graphmix.rewrite import at_rate

    rack = a_rack(30000)
    graph = MixGraph(rack.types, 30000)
    a, out = graph.add("in", name="a"), graph.add("out")
    tilt = np.linspace(2, -8, rack["equalizer"].node_type.width).tolist()
    room = graph.add("reverb", wet=0.25, initial_db=-3.0, decay_db_per_s=-200.0)
    graph.chain(a, graph.add("equalizer", gain_db=tilt), room, out)
    back = import_session(exported(tmp_path, graph, stems(1, RATE, 0, seconds=0.5)), tmp_path / "back").graph
    is_same(back, at_rate(graph, RATE))
    assert back.type_of(room).base_rate == 30000


def test_levels_of_another_program_are_as_it_plays_them(tmp_path):
    graph = import_session(a_project(tmp_path), tmp_path / "song").graph
    samples = RATE + RATE // 4
    impulses = np.zeros((3, 2, samples))
    impulses[0, :, 10] = 1
    times = [RATE // 4, 3 * RATE // 4, RATE + 10]
    impulses[1, :, times] = 1
    mix = render_reference(graph, impulses)[0]
    # Bass: panned right, inverted, half of it by the folder, twice by the master
    assert mix[:, 10] == pytest.approx([0, -1], abs=1e-6)
    # Vox goes nowhere but before its fader into the folder, by half: neither its envelope nor its fader is on the way
    assert mix[:, times] == pytest.approx(np.full((2, 3), 0.5), rel=1e-5)


def test_an_envelope_of_another_program_is_a_ride_and_its_fader_adds_to_it(tmp_path):
    text = PROJECT.replace("AUXRECV 2 3 0.5", "AUXRECV 2 0 1").replace("MASTER_VOLUME 2", "MASTER_VOLUME 1")
    graph = import_session(a_project(tmp_path, text), tmp_path / "song").graph
    signal = np.zeros((3, 2, 2 * RATE))
    signal[1] = 1
    mix = render_reference(graph, signal)[0][0] / 0.25  # Vox's fader, the folder's
    time = np.arange(2 * RATE) / RATE
    expected = np.interp(time, [0, 0.5, 0.9999, 1.0], [1, 0.5, 0.5, 0.25])
    jump = (time > 0.998) & (time < 1)  # the ride's takes a millisecond
    assert np.abs(20 * np.log10(mix / expected))[~jump].max() < 0.05
    assert mix[-1] == pytest.approx(0.25, rel=1e-5)


def test_the_panner_of_another_program_is_as_others_measured_it():
    from graphmix.sessions.reaper_text import fader_of, pan_gains

    # the boost at the law of 0 dB, as a fraction of that in the middle, at pans of 0.1, 0.5 and 0.9
    for pan, fraction in ((0.1, 0.99253), (0.5, 0.80109), (0.9, 0.23931)):
        left, right = pan_gains(pan, 1.0)
        assert np.hypot(left, right) == pytest.approx(1 + (2**0.5 - 1) * fraction, abs=2e-5)
    assert pan_gains(0.3, 0.5) == pytest.approx((0.35, 0.65))
    for left, right in ((0.5, 0.1), (2.0, 2.0), (1e-6, 3.0)):
        volume, pan = fader_of(left, right)
        assert tuple(volume * x for x in pan_gains(pan, 1.0)) == pytest.approx((left, right), rel=1e-9)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (PROJECT.replace("audio/ramp.wav", "audio/no.wav"), FileError, r"'audio/no.wav' of 'an item' is missing"),
        (PROJECT.replace("VOLPAN 0.5 0", "VOLPAN loud 0"), FileError, "'loud', and a number is expected"),
        (PROJECT.replace("AUXRECV 2", "AUXRECV 9"), FileError, "receives from track 10, and there is no such track"),
        (PROJECT.rstrip()[:-1], FileError, "is damaged: syntax error at EOF"),
        (PROJECT + ">\n", FileError, "is damaged"),
        ("<Project/>", FileError, "is no REAPER project"),
        ("", FileError, "is no REAPER project"),
        (PROJECT.replace("SOURCE WAVE", "SOURCE MIDI").replace(".wav", ".mid"), FileError, "no track has audio"),
        (PROJECT.replace("LENGTH 0.5", "LENGTH 1e9"), FileError, "LENGTH 1e[+]09 s; 0 to 36000 s are read"),
        (PROJECT.replace("LENGTH 0.5", "LENGTH 35000"), FileError, "the track '.*' has [0-9]+ samples; at most 268"),
        (PROJECT.replace("AUXRECV 2 3", "AUXRECV 0 0"), GraphError, "cycle"),
    ],
)
def test_bad_projects_are_one_clear_error_and_nothing_is_written(tmp_path, text, error, message):
    with pytest.raises(error, match=message):
        import_session(a_project(tmp_path, text), tmp_path / "song")
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


@pytest.mark.parametrize(
    ("old", "new"), [("<EXT\n", "<EXT\n      graphmix AAAA\n"), ("<JS_SER\n", "<JS_SER\n        AAAA\n")]
)
def test_damaged_data_of_ours_are_an_error(tmp_path, old, new):
    tilt = np.linspace(2, -8, a_rack(RATE)["equalizer"].node_type.width).tolist()
    graph = small(("equalizer", "", {"gain_db": tilt}))
    path = exported(tmp_path, graph, stems(2, RATE, 0, seconds=0.5))
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(FileError, match="damaged"):
        import_session(path, tmp_path / "song")


# --- what cannot be held


def test_several_outputs_are_refused(tmp_path):
    graph = small()
    graph.connect(0, graph.add("out"))
    with pytest.raises(GraphError, match="has one master, and this graph several out nodes"):
        exported(tmp_path, graph, stems(2, RATE, 0, seconds=0.5))
    assert not (tmp_path / "session").exists()


def test_what_is_no_jsfx_is_named(tmp_path):
    from graphmix.processors.generators import Noise

    rack = Rack.for_types([*Rack.standard(RATE).types, Noise(RATE).node_type], RATE)
    graph = MixGraph(rack.types, RATE)
    out = graph.add("out")
    graph.connect(graph.add("noise"), out).chain(graph.add("in", name="a"), out)
    with pytest.raises(GraphError, match="cannot hold noise 1"):
        exported(tmp_path, graph, stems(1, RATE, 0, seconds=0.5))
