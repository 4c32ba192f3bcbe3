"""Every processor, in float32 and float64, agrees with the float64 reference."""

import numpy as np
import pytest
import torch

from graphmix.graph import MixGraph
from graphmix.processors import LTIProcessor, Rack
from graphmix.processors.base import Processor
from graphmix.render.reference import render_reference
from graphmix.render.reference_linear import LINEAR
from graphmix.render.reference_signals import Signal
from tests.random_parameters import random_parameters

NAMES = tuple(name for name in Rack.full().names if name not in ("align", "ride"))
RATES = (30000, 44100)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
REVERB_FLOAT64 = 1e-6
"""The reverb keeps its noise in float32 whatever the parameters are."""


@pytest.fixture(scope="module", params=RATES)
def rack(request: pytest.FixtureRequest) -> Rack:
    return Rack.full(request.param)


def tolerance(name: str, dtype: torch.dtype) -> float:
    return REVERB_FLOAT64 if (name, dtype) == ("reverb", torch.float64) else TOLERANCE[dtype]


def noise(*shape: int) -> torch.Tensor:
    """Noise that goes on and off, so that envelopes rise and fall."""
    audio = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    bursts = 0.05 + 0.95 * (torch.arange(shape[-1]) // 700 % 2)
    return 0.3 * audio * bursts


def relative_error(value: torch.Tensor, reference: np.ndarray) -> float:
    value = value.double().numpy()
    assert value.shape == reference.shape
    return float(np.abs(value - reference).max() / np.abs(reference).max())


def one_node_of_each_row(processor: Processor, params: torch.Tensor) -> MixGraph:
    """For each row: an input for each inlet -> the processor -> an output for each outlet."""
    node_type = processor.node_type
    graph = MixGraph([node_type], processor.sample_rate)
    for row in params.double().tolist():
        values = {p.name: row[node_type.columns(p.name)] for p in node_type.parameters}
        node = graph.add(node_type.name, **values)
        for inlet in range(len(node_type.inlets)):
            graph.connect(graph.add("in"), node, inlet=inlet)
        for outlet in range(len(node_type.outlets)):
            graph.connect(node, graph.add("out"), outlet=outlet)
    return graph


@pytest.mark.parametrize("name", NAMES)
def test_every_processor_agrees_with_the_reference(name: str, rack: Rack) -> None:
    processor, rows = rack[name], 2
    samples = 20000 if name == "delay" else 6001
    params = random_parameters(processor.node_type, rows, torch.Generator().manual_seed(3))
    inlets, outlets = len(processor.node_type.inlets), len(processor.node_type.outlets)
    audio = noise(rows * inlets, 2, samples)
    graph = one_node_of_each_row(processor, params)
    expected = render_reference(graph, audio.numpy()).reshape(rows, outlets, 2, samples)
    shaped = audio if inlets == 1 else audio.view(rows, inlets, 2, samples)
    for dtype in TOLERANCE:
        result = processor(shaped.to(dtype), params.to(dtype))
        assert result.dtype == dtype
        assert relative_error(result.view(rows, outlets, 2, samples), expected) < tolerance(name, dtype)


@pytest.mark.parametrize("name", [n for n in NAMES if isinstance(Rack.full()[n], LTIProcessor)])
def test_every_impulse_response_agrees_with_the_reference_over_its_whole_extent(name: str, rack: Rack) -> None:
    processor = rack[name]
    assert isinstance(processor, LTIProcessor)
    params = random_parameters(processor.node_type, 1, torch.Generator().manual_seed(4))
    columns = {p.name: processor.node_type.columns(p.name) for p in processor.node_type.parameters}
    values = {key: params[0, column].double().numpy() for key, column in columns.items()}
    before, after = processor.extent
    outlets = LINEAR[name](Signal(0, np.ones((2, 1))), values, rack.sample_rate)
    assert all((outlet.start, outlet.stop) == (-before, after + 1) for outlet in outlets)
    expected = np.stack([outlet.samples for outlet in outlets])
    for dtype in TOLERANCE:
        taps = processor.impulse_response(params.to(dtype))
        taps = taps.view(len(expected), -1, taps.size(-1)).expand(*expected.shape)
        assert relative_error(taps, expected) < tolerance(name, dtype)


@pytest.mark.parametrize("time_ms", [0.1, 20.0, 2000.0])
def test_a_compressor_in_float32_keeps_its_accuracy_for_all_times(time_ms: float) -> None:
    processor = Rack.console("c")["compressor"]
    params = torch.tensor([[-30.0, 4.0, 6.0, time_ms]])
    audio = noise(1, 2, 20000)
    expected = render_reference(one_node_of_each_row(processor, params), audio.numpy())
    assert relative_error(processor(audio, params), expected) < TOLERANCE[torch.float32]
