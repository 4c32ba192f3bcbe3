"""Impulse responses from files: what they sound like, at other rates, in graph files, and what is refused."""

import numpy as np
import pytest
import torch

from graphmix.audio.files import write_audio
from graphmix.errors import GraphError, GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph, save_graph
from graphmix.models.effects.captured import effect_from_file
from graphmix.models.effects.impulse_response import impulse_response
from graphmix.processors import Rack
from graphmix.processors.spaces import Convolution
from graphmix.render import Renderer

RATE = 30000
TAPS = 0.5 * np.random.default_rng(0).normal(size=(2, 400)) * np.exp(-np.arange(400) / 80)


@pytest.fixture
def hall(tmp_path):
    write_audio(tmp_path / "hall.wav", TAPS, RATE)
    return tmp_path / "hall.wav"


def graph_of(rack: Rack) -> MixGraph:
    graph = MixGraph(rack.types, RATE)
    return graph.chain(graph.add("in"), graph.add("hall", gain_db=6.0206), graph.add("out"))


def test_a_graph_convolves_with_the_file_and_finds_it_again_by_its_digest(hall, tmp_path) -> None:
    rack = Rack.console("eg").with_processor(impulse_response(hall, "h"))
    graph, audio = graph_of(rack), torch.randn(1, 2, 900, generator=torch.Generator().manual_seed(1))
    mix = Renderer(rack)(graph, audio)[0].numpy()
    expected = [np.convolve(a, 2 * h)[:900] for a, h in zip(audio[0].numpy(), TAPS, strict=True)]
    np.testing.assert_allclose(mix, expected, atol=2e-5)
    hall.rename(tmp_path / "moved.wav")
    again = load_graph(save_graph(graph, tmp_path / "graph.safetensors"))
    found = Rack.for_types(again.types.types, RATE, [effect_from_file(tmp_path / "moved.wav", "x", RATE)])
    np.testing.assert_array_equal(Renderer(found)(again, audio)[0].numpy(), mix)
    with pytest.raises(GraphError, match=r"'hall', from hall\.wav [0-9a-f]{16}; give its file: --effect h=FILE"):
        Rack.for_types(again.types.types, RATE)


def test_another_file_of_the_name_is_refused(hall, tmp_path) -> None:
    graph = graph_of(Rack([impulse_response(hall, "h")]))
    write_audio(hall, 0.9 * TAPS, RATE)
    with pytest.raises(GraphError, match="another capture sounds otherwise"):
        Rack.for_types(graph.types.types, RATE, [impulse_response(hall, "h")])


def test_a_file_at_another_rate_is_resampled_and_says_so(tmp_path) -> None:
    write_audio(tmp_path / "room.wav", TAPS[:1], 48000)
    with pytest.warns(UserWarning, match=r"room\.wav is at 48000 Hz and is resampled to the graph's 30000 Hz"):
        room = impulse_response(tmp_path / "room.wav", "h", RATE)
    assert isinstance(room, Convolution)
    assert room.taps.shape == (1, 250)
    assert room.node_type.name == "room"


def test_a_rate_that_no_resampler_connects_and_a_file_without_sound_are_refused(tmp_path) -> None:
    write_audio(tmp_path / "odd.wav", TAPS, 29989)
    with pytest.raises(GraphError, match="no resampler connects two rates with so little in common"):
        impulse_response(tmp_path / "odd.wav", "h", RATE)
    write_audio(tmp_path / "silent.wav", 0 * TAPS, RATE)
    with pytest.raises(GraphError, match=r"'silent\.wav [0-9a-f]{16}' is silent or not finite"):
        impulse_response(tmp_path / "silent.wav", "h", RATE)
    with pytest.raises(GraphmixError, match="not a file"):
        impulse_response(tmp_path / "none.wav", "h", RATE)
