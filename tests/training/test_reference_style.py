"""Style of a reference: measured against closed forms, matched, and never made worse."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphmix.audio import write_audio
from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.training.reference_style import NAME, match_style, measure_style, read_reference

RATE = 30000


def noise(width: float, seed: int = 0, tilt_db: float = 0.0, seconds: float = 4.0) -> Tensor:
    """White noise, its side channel so many times the mid, with a tilt in dB an octave."""
    generator = torch.Generator().manual_seed(seed)
    samples = round(seconds * RATE)
    mid, side = 0.05 * torch.randn(2, samples, generator=generator)
    spectrum = torch.fft.rfft(torch.stack([mid + width * side, mid - width * side]))
    hz = torch.fft.rfftfreq(samples, 1 / RATE).clamp(min=20)
    return torch.fft.irfft(spectrum * (hz / 1000) ** (tilt_db / 6.0206), samples)


def passing(graph_type: str = "gain") -> MixGraph:
    graph = MixGraph(Rack.console("g", RATE).types, RATE)
    return graph.chain(graph.add("in", name="mix"), graph.add(graph_type), graph.add("out"))


def test_white_noise_rises_by_a_decibel_each_third_octave_and_has_its_width() -> None:
    style = measure_style(noise(0.5), RATE)
    steps = style.balance[12:].diff()
    assert float(steps.mean()) == pytest.approx(1.003, abs=0.1)
    assert style.width.tolist() == pytest.approx([-6.02] * 3, abs=0.7)
    assert float(style.crest) == pytest.approx(20 * torch.tensor(105.0 ** (1 / 8)).log10().item(), abs=0.3)
    assert float(style.spread) < 0.3


def test_a_mix_comes_closer_by_nodes_behind_its_sum_alone() -> None:
    graph, mix, reference = passing(), noise(0.1), noise(0.6, seed=1, tilt_db=-3.0)
    styled = match_style(graph, mix, reference, steps=20)
    assert styled.after["balance"] < 0.4 * styled.before["balance"]
    assert styled.after["width"] < 0.7 * styled.before["width"]
    new = [n for n, name in enumerate(styled.graph.names) if name == NAME]
    assert len(new) == styled.graph.node_type.numel() - graph.node_type.numel() > 0
    with torch.no_grad():
        heard = Renderer(Rack.for_types(styled.graph.types.types, RATE))(styled.graph, mix[None])[0]
    found = {
        name: float(value)
        for name, value in measure_style(heard, RATE).distance(measure_style(reference, RATE)).items()
    }
    assert found == pytest.approx(styled.after, abs=2e-3)


def test_the_level_of_a_reference_is_no_style() -> None:
    one, other = (measure_style(noise(0.3) * gain, RATE) for gain in (1.0, 0.2))
    assert all(float(part) < 0.05 for part in one.distance(other).values())


def test_a_mix_in_the_style_already_is_left_alone() -> None:
    graph, mix = passing(), noise(0.3)
    styled = match_style(graph, mix, mix, steps=2)
    assert styled.after == styled.before
    assert styled.graph is graph


def test_references_that_are_too_short_or_silent_are_refused(tmp_path: Path) -> None:
    write_audio(tmp_path / "short.wav", noise(0.3, seconds=1.0), RATE)
    write_audio(tmp_path / "silent.wav", torch.zeros(2, 4 * RATE), RATE)
    with pytest.raises(GraphmixError, match=r"lasts 1\.0 s; give 3 s"):
        read_reference(tmp_path / "short.wav", RATE)
    with pytest.raises(GraphmixError, match="is silent"):
        read_reference(tmp_path / "silent.wav", RATE)
