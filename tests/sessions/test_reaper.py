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
        assert torch.equal(back.params[kind], values), kind


# --- what REAPER would play


def check_play(folder, graph, rate, bar_db):
    audio = stems(3, rate, 0, seconds=0.8)
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
