"""Every node type of graphmix in every format: held, printed, or named."""

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve

pytest.importorskip("defusedxml", reason="sessions are read with defusedxml")

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.base import LTIProcessor, MatrixProcessor
from graphmix.processors.rack import Rack
from graphmix.render.reference import render_reference
from graphmix.sessions import export_session, import_session
from graphmix.sessions.export import FORMATS
from graphmix.sessions.session import describe_session
from graphmix.sessions.stretches import LINEAR, response_of
from tests.random_parameters import random_parameters
from tests.sessions.headless_ardour import error_db, needs_ardour, render
from tests.sessions.random_sessions import stems
from tests.sessions.test_ardour import song_of

RATE = 48000
RACK = Rack.full(RATE)
ONE_WAY = sorted(name for name in LINEAR if len(RACK[name].node_type.outlets) == 1)


def chain(*kinds: str, wet: float = 1.0, seed: int = 0) -> MixGraph:
    """One track through some processors with random settings."""
    graph, generator = MixGraph(RACK.types, RATE), torch.Generator().manual_seed(seed)
    nodes = [graph.add("in", name="a.wav")]
    for kind in kinds:
        node_type = RACK[kind].node_type
        values = random_parameters(node_type, 1, generator)[0]
        named = {p.name: values[node_type.columns(p.name)].tolist() for p in node_type.parameters}
        if kind == "feedback_delay":
            named |= {"time_ms": [23.0, 31.0], "feedback": 0.5}
        nodes.append(graph.add(kind, wet=wet if node_type.can_be_bypassed else 1.0, **named))
    return graph.chain(*nodes, graph.add("out"))


def name_of(graph: MixGraph):
    """Names of types by node."""
    return lambda node: graph.type_of(node).name


def test_all_processors_that_state_a_response_or_a_matrix_are_linear_stretches():
    stated = {p.node_type.name for p in RACK if isinstance(p, LTIProcessor | MatrixProcessor)}
    assert stated <= LINEAR


@pytest.mark.parametrize("kind", ONE_WAY)
def test_a_linear_stretch_is_the_processor(kind):
    graph = chain(kind, wet=0.7)
    audio = np.zeros((1, 2, 3 * RATE // 2))
    audio[..., RATE // 2 : RATE // 2 + 2000] = np.random.default_rng(0).normal(size=(2, 2000))
    (channel,) = (c for c in describe_session(graph, "x").channels if c.devices)
    response = response_of(channel.devices, RATE)
    played = sum(fftconvolve(audio[0, source][None], response.taps[:, source], axes=1) for source in range(2))
    begin = RATE // 4
    got = played[:, begin - response.start :][:, :RATE]
    wanted = render_reference(graph, audio).sum(0)[:, begin : begin + got.shape[1]]
    assert np.mean((got - wanted) ** 2) < 1e-10 * np.mean(wanted**2)


@pytest.mark.parametrize("to", sorted(FORMATS))
def test_each_type_is_held_or_named(to):
    """What a format cannot hold it says, and says what helps."""
    for processor in RACK:
        kind = processor.node_type
        if len(kind.inlets) != 1 or len(kind.outlets) != 1:
            continue
        session = describe_session(chain(kind.name), "x")
        if FORMATS[to].lacking(session, False) and to != "dawproject":
            with pytest.raises(GraphError, match=rf"cannot hold {kind.name} \d+.*\(--print"):
                FORMATS[to].check(session)
        else:
            FORMATS[to].check(session)


@pytest.mark.parametrize("to", ["ardour", "reaper"])
def test_what_a_format_lacks_is_printed_into_the_track(tmp_path, to):
    audio = stems(1, RATE, 0, seconds=0.6)
    graph = chain("tanh", "gain")
    done = export_session(graph, song_of(tmp_path / "stems", ["a"], audio, RATE), tmp_path / "x", to, prints=True)
    back = import_session(tmp_path / "x", tmp_path / "back")
    assert any("printed into the clips: tanh" in notice for notice in done.notices)
    assert [back.graph.type_of(n).name for n in range(back.graph.num_nodes)] == ["in", "gain", "out"]
    from graphmix.audio import load_stems

    printed = load_stems(tmp_path / "back" / "dry", RATE).read(0, audio.shape[2]).stems.double().numpy()
    wanted = render_reference(graph, audio.double().numpy()).sum(0)
    assert error_db(render_reference(back.graph, printed).sum(0), wanted) < -60  # the renderer's own blocks


def test_what_is_on_a_bus_cannot_be_printed_and_is_named(tmp_path):
    graph = MixGraph(RACK.types, RATE)
    bus, tanh = graph.add("mix"), graph.add("tanh")
    for name in "ab":
        graph.connect(graph.add("in", name=f"{name}.wav"), bus)
    graph.chain(bus, tanh, graph.add("out"))
    song = song_of(tmp_path / "stems", ["a", "b"], stems(2, RATE, 0, seconds=0.6), RATE)
    with pytest.raises(GraphError, match=r"cannot hold tanh \d+"):
        export_session(graph, song, tmp_path / "x", "ardour", prints=True)


@pytest.mark.parametrize(
    ("to", "kinds"),
    [
        ("reaper", ("parametric_eq", "pan", "velvet_reverb", "haas")),
        ("dawproject", ("tanh", "chorus", "studio_compressor", "rotation")),
        ("ardour", ("biquad", "rotation", "feedback_delay")),
    ],
)
def test_they_come_back_as_they_were(tmp_path, to, kinds):
    graph = chain(*kinds, wet=0.8)
    song = song_of(tmp_path / "stems", ["a"], stems(1, RATE, 0, seconds=0.6), RATE)
    export_session(graph, song, tmp_path / "x", to)
    back = import_session(tmp_path / "x", tmp_path / "back").graph
    assert sorted(map(name_of(back), range(back.num_nodes))) == sorted(map(name_of(graph), range(graph.num_nodes)))
    for kind in kinds:
        assert torch.allclose(back.params[kind], graph.params[kind], rtol=1e-6)


@needs_ardour
@pytest.mark.slow  # renders by Ardour
@pytest.mark.parametrize("part", range(3))
def test_ardour_plays_all_linear_types(tmp_path, part):
    kinds = [kind for kind in ONE_WAY if kind not in ("reverb", "velvet_reverb", "feedback_network")][part::3]
    graph = chain(*kinds, wet=0.7, seed=part)
    audio = stems(1, RATE, part)
    audio[..., : RATE // 2] = 0  # the reference ends at the first sample what is earlier by then, a DAW does not
    export_session(graph, song_of(tmp_path / "stems", ["a"], audio, RATE), tmp_path / "session")
    longer = np.pad(audio.double().numpy(), ((0, 0), (0, 0), (0, RATE // 2)))
    expected = render_reference(graph, longer).sum(0)[:, : audio.shape[2]]
    assert error_db(render(tmp_path / "session"), expected) < -110
