"""What filters do, beside the laws: sliders that are met, amounts that add up, and what is refused."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import sosfreqz

from graphmix.errors import GraphError
from graphmix.graph import MixGraph, validate
from graphmix.processors import (
    FIRFilter,
    GraphicEqualizer,
    OctaveEqualizer,
    ParametricEqualizer,
    PoleZero,
    Rack,
    RecursiveFilter,
    StateVariableFilter,
)
from graphmix.render import Renderer

RATES = (30000, 44100, 48000)


def decibels(processor: RecursiveFilter, params: torch.Tensor, at_hz: np.ndarray) -> np.ndarray:
    sections = np.insert(processor.sections(params)[0].numpy(), 3, 1.0, axis=-1)
    return np.asarray(20 * np.log10(np.abs(sosfreqz(sections, at_hz, fs=processor.sample_rate)[1])))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", [GraphicEqualizer, OctaveEqualizer])
def test_a_graphic_equalizer_meets_its_sliders(kind: type[GraphicEqualizer], rate: int) -> None:
    """Random ones and the worst ones, up and down by turns, within 12 dB: within 1 dB at each center."""
    processor = kind(rate)
    bands = processor.node_type.width
    generator = torch.Generator().manual_seed(0)
    sliders = 24 * torch.rand(8, bands, generator=generator, dtype=torch.float64) - 12
    sliders = torch.cat([sliders, 12 * (-1.0) ** torch.arange(bands, dtype=torch.float64)[None]])
    for row in sliders:
        found = decibels(processor, row[None], np.array(processor.centers_hz))
        assert np.abs(found - row.numpy()).max() < 1


def test_bands_of_a_graphic_equalizer_go_to_another_rate_and_back() -> None:
    low, high = GraphicEqualizer(30000), GraphicEqualizer(48000)
    params = torch.rand(2, low.node_type.width)
    moved = low.params_at(params, high)
    assert moved.shape == (2, high.node_type.width)
    torch.testing.assert_close(high.params_at(moved, low), params)


def test_a_state_variable_filter_is_low_pass_notch_and_bell_by_its_amounts() -> None:
    processor = StateVariableFilter(30000)
    at = np.array([50.0, 1000.0, 10000.0])

    def gains(low: float, band: float, high: float) -> np.ndarray:
        row = torch.tensor([[1000.0, 2.0, low, band, high]], dtype=torch.float64)
        return 10 ** (decibels(processor, row, at) / 20)

    np.testing.assert_allclose(gains(1, 0, 0)[:2], [1.0, 2.0], atol=0.01)
    np.testing.assert_allclose(gains(0, 0, 1)[1:], [2.0, 1.0], atol=0.01)
    assert gains(1, 0, 1)[1] < 1e-9
    np.testing.assert_allclose(gains(1, -1, 1), 1.0, atol=1e-9)
    np.testing.assert_allclose(gains(1, 4, 1)[1], 4.0, atol=1e-9)


def test_a_search_begins_with_shelves_and_bells_that_do_nothing() -> None:
    processor = ParametricEqualizer(30000)
    start = processor.start(processor.node_type.neutral()[None], torch.Generator())
    assert processor.choice(start, "shape")[0].tolist() == [6, 5, 5, 5, 5, 5, 5, 7]
    frequency = processor.get(start, "frequency_hz")[0]
    assert (frequency[1:] > frequency[:-1]).all()
    audio = torch.randn(1, 2, 500)
    torch.testing.assert_close(processor(audio, start), audio)


def test_zeros_and_poles_that_meet_cancel() -> None:
    processor = PoleZero(30000)
    start = processor.start(processor.node_type.neutral()[None], torch.Generator())
    audio = torch.randn(1, 2, 500)
    torch.testing.assert_close(processor(audio, start), audio)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_designed_band_has_its_gains_inside_and_outside(swapped: bool) -> None:
    processor = FIRFilter(30000)
    edges = [5000.0, 1000.0] if swapped else [1000.0, 5000.0]
    response = processor.response(torch.tensor([[*edges, 6.0, -40.0, 80.0]]), 60000)[0, 0]
    levels = 20 * response.abs().log10()
    assert float((levels[2200:9800] - 6).abs().max()) < 0.02
    assert float((levels[:1800] + 40).abs().max()) < 0.5
    assert float((levels[10200:] + 40).abs().max()) < 0.5


def test_an_unstable_filter_is_refused_with_its_pole() -> None:
    """Values outside of their range, which no graph may have, in a processor that is called by hand."""
    processor = PoleZero(30000, pairs=1)
    params = processor.node_type.neutral()[None].clone()
    params[:, processor.node_type.columns("pole_bandwidth_hz")] = -100.0
    with pytest.raises(GraphError, match=r"pole_zero: section 0 of node 0 has a pole of radius 1\.01.* at 1000 Hz"):
        processor(torch.randn(1, 2, 100), params)
    with pytest.raises(GraphError, match="has a pole of radius"):
        processor.response(params, 1000)


def test_values_out_of_range_and_unknown_shapes_are_refused() -> None:
    graph = MixGraph(Rack.full().types)
    graph.chain(graph.add("in"), graph.add("parametric_eq", q=100.0), graph.add("out"))
    with pytest.raises(GraphError, match=r"parametric_eq 1: q is 100; it is a number between 0\.1 and 40"):
        validate(graph)
    with pytest.raises(GraphError, match=r"shape cannot be 'peak'; it takes: low_pass, high_pass, .*bell"):
        graph.add("biquad", shape="peak")
    with pytest.raises(GraphError, match="gain_db takes 8 values in dB"):
        graph.add("parametric_eq", gain_db=[1.0, 2.0])


@pytest.mark.parametrize("bands", [0, -1])
def test_an_equalizer_without_bands_is_refused(bands: int) -> None:
    with pytest.raises(ValueError, match="one band or more"):
        ParametricEqualizer(30000, bands)


def test_a_filter_at_another_rate_is_the_same_below_its_corner() -> None:
    """The bilinear transform keeps corner and center at every rate."""
    at = np.array([1000.0])
    for rate in RATES:
        processor = Rack.full(rate)["biquad"]
        assert isinstance(processor, RecursiveFilter)
        params = torch.tensor([[5.0, 1000.0, 9.0, 2.0, 2.0]], dtype=torch.float64)
        assert decibels(processor, params, at)[0] == pytest.approx(9.0, abs=1e-6)
        params[0, 0], params[0, 3], params[0, 4] = 0.0, math.sqrt(0.5), 7.0
        assert decibels(processor, params, at)[0] == pytest.approx(-10 * math.log10(2), abs=1e-6)


def test_a_console_of_all_new_types_renders_and_has_gradients() -> None:
    rack = Rack.full(4000)
    names = [t.name for t in rack.types if not t.letter and t.can_be_bypassed and len(t.inlets) == 1]
    graph = MixGraph(rack.types, 4000)
    graph.chain(graph.add("in"), *(graph.add(name, wet=0.5) for name in names), graph.add("out"))
    for values in graph.params.values():
        values.requires_grad_()
    mix = Renderer(rack)(graph, torch.randn(1, 2, 2000))
    mix.square().sum().backward()
    for name in names:
        gradient = graph.params[name].grad
        assert gradient is not None
        assert torch.isfinite(gradient).all()


def test_no_two_processors_have_the_same_name() -> None:
    names = [t.name for rack in (Rack.full(RATES[0]), Rack.generators(RATES[0])) for t in rack.types]
    assert len(names) == len(set(names))
