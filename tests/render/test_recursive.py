"""Recursive filters among other processors: exact on samples, sampled on spectra, and in blocks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.audio import load_stems, write_audio
from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.render.blocks import BlockRenderer, render_song
from graphmix.render.reference import render_reference
from graphmix.render.schedule import schedule
from tests.random_parameters import random_parameters

RATE = 4000
RACK = Rack.full(RATE)


def chain_of(*kinds: str, seed: int = 0) -> MixGraph:
    """Random parameters, half wet where a node can be bypassed."""
    graph = MixGraph(RACK.types, RATE)
    graph.chain(graph.add("in", "a.wav"), *(graph.add(kind, wet=0.5) for kind in kinds), graph.add("out"))
    for t in RACK.types:
        graph.params[t.name] = random_parameters(t, len(graph.params[t.name]), torch.Generator().manual_seed(seed))
        low, high = t.bounds()
        graph.params[t.name] = graph.params[t.name].clamp(low, high)
    return graph


def domains(graph: MixGraph, in_time: bool = False) -> dict[str, bool]:
    """Type -> whether it works on spectra."""
    plan = schedule(graph, RACK, recursions_in_time=in_time)
    return {stage.kind: stage.fft_group is not None for stage in plan.stages}


def relative_error(graph: MixGraph, audio: Tensor) -> float:
    expected = render_reference(graph, audio.numpy())
    return float(np.abs(Renderer(RACK)(graph, audio).numpy() - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(
    ("kinds", "spectral"),
    [
        (["parametric_eq"], False),
        (["compressor", "parametric_eq", "gain"], False),
        (["parametric_eq", "biquad", "gain", "compressor", "equalizer"], False),
        (["parametric_eq", "gain", "equalizer"], True),
        (["equalizer", "parametric_eq", "compressor"], True),
        (["equalizer", "parametric_eq", "reverb"], True),
        (["delay", "gain", "parametric_eq", "imager", "equalizer"], True),
    ],
)
def test_a_filter_works_on_spectra_next_to_others(kinds: list[str], spectral: bool) -> None:
    graph = chain_of(*kinds)
    assert domains(graph)["parametric_eq"] is spectral
    assert not domains(graph, in_time=True)["parametric_eq"]
    audio = 0.3 * torch.randn(1, 2, 3000, generator=torch.Generator().manual_seed(1))
    assert relative_error(graph, audio) < 1e-5


def test_alone_it_is_exact_however_long_it_rings() -> None:
    graph = chain_of("parametric_eq")
    graph.params["parametric_eq"] = RACK["parametric_eq"].node_type.neutral()[None].clone()
    columns = {
        p.name: RACK["parametric_eq"].node_type.columns(p.name) for p in RACK["parametric_eq"].node_type.parameters
    }
    for name, value in {"frequency_hz": 20.0, "q": 40.0, "gain_db": 12.0}.items():
        graph.params["parametric_eq"][:, columns[name].start] = value
    audio = torch.randn(1, 2, 2000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    graph.params = {name: values.double() for name, values in graph.params.items()}
    graph.wet = graph.wet.double()
    assert relative_error(graph, audio) < 1e-9


def test_between_spectra_what_rings_for_longer_than_half_a_second_comes_back_as_stated() -> None:
    """A bell of quality 10 at 20 Hz has fallen by 27 dB after half a second."""
    graph = chain_of("equalizer", "biquad", "equalizer")
    row = torch.tensor([[5.0, 20.0, 12.0, 10.0, 2.0]])
    graph.params["biquad"] = row
    graph.wet[:] = 1
    audio = torch.zeros(1, 2, 3000)
    audio[..., 2990] = 1
    found, exact = (Renderer(RACK)(graph, audio), torch.from_numpy(render_reference(graph, audio.numpy())))
    early = (found - exact)[..., :1500].abs().max() / exact.abs().max()
    assert 1e-5 < float(early) < 10 ** (-27 / 20)


@torch.no_grad()
def test_a_song_in_blocks_is_the_song_at_once_for_all_new_types(tmp_path: Path) -> None:
    audio = 0.1 * torch.randn(2, 24 * RATE, generator=torch.Generator().manual_seed(2))
    write_audio(tmp_path / "a.wav", audio, RATE)
    song = load_stems(tmp_path, RATE)
    kinds = [t.name for t in RACK.types if not t.letter and RACK[t.name].resumable and t.can_be_bypassed]
    graph = chain_of(*kinds)
    assert BlockRenderer(RACK, graph).warmup < RATE
    renderer = Renderer(RACK)
    renderer.recursions_in_time = True
    whole = renderer(graph, song.read(0, song.num_samples).stems).sum(0)
    before_end = slice(0, -RATE // 10)  # behind the end a look-ahead sees what rings on, in one piece silence
    blocks, whole = render_song(graph, song, RACK)[:, before_end], whole[:, before_end]
    torch.testing.assert_close(blocks, whole, rtol=1e-4, atol=1e-4 * float(whole.abs().max()))
