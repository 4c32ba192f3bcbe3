"""What the types beyond the console do with bad input: one clear error, or a finite result."""

import pytest
import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.processors.base import Processor
from graphmix.processors.gear import MORE
from graphmix.render import Renderer

RATE = 8000
TYPES = [kind(RATE) for kind in MORE]
WITH_VALUES = [p for p in TYPES if p.node_type.width]


def name_of(processor: Processor) -> str:
    return processor.node_type.name


def extremes(processor: Processor) -> Tensor:
    """Neutral values, both ends of all ranges, and a mix of the ends."""
    low, high = processor.node_type.bounds()
    mixed = torch.rand(len(low), generator=torch.Generator().manual_seed(0)) < 0.5
    return torch.stack([processor.node_type.neutral(), low, high, torch.where(mixed, low, high)])


@pytest.mark.parametrize("processor", TYPES, ids=name_of)
def test_audio_and_values_of_another_shape_are_refused_by_name(processor: Processor) -> None:
    """Compiled loops would read beyond the end of what they are given."""
    good, values = torch.zeros(4, 2, 50), extremes(processor)
    name, expected = name_of(processor), r"expected \[nodes, 2, samples\]"
    for audio in (good[:, :1], good.repeat(1, 2, 1), good[0], good[:, None]):
        with pytest.raises(GraphError, match=f"{name}: audio has shape .*{expected}"):
            processor(audio, values)
    wide = torch.cat([values, values[:, :1], torch.zeros(4, 1)], dim=1)
    for params in (values[:3], values[0], wide):
        with pytest.raises(GraphError, match=f"{name}: parameters have shape"):
            processor(good, params)


@pytest.mark.parametrize("samples", [0, 1, 3])
@pytest.mark.parametrize("processor", TYPES, ids=name_of)
def test_hardly_any_samples_are_processed(processor: Processor, samples: int) -> None:
    values = extremes(processor)
    output = processor(torch.ones(len(values), 2, samples), values)
    assert output.shape == (len(values), 2, samples)
    assert bool(output.isfinite().all())


@pytest.mark.parametrize("scale", [1e15, 1e-40])
@pytest.mark.parametrize("processor", TYPES, ids=name_of)
def test_absurd_levels_stay_finite_with_their_gradients(processor: Processor, scale: float) -> None:
    values = extremes(processor).requires_grad_()
    noise = torch.randn(len(values), 2, 300, generator=torch.Generator().manual_seed(1))
    audio = (scale * noise).requires_grad_()
    output = processor(audio, values)
    assert bool(output.isfinite().all())
    for gradient in torch.autograd.grad(output.sum(), (audio, values)):
        assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("processor", WITH_VALUES, ids=name_of)
def test_values_out_of_range_are_refused_with_the_node_and_the_range(processor: Processor) -> None:
    """Of each parameter: below, above, and no number."""
    rack = Rack([processor])
    graph, kind = MixGraph(rack.types, RATE), processor.node_type
    graph.chain(graph.add("in"), graph.add(kind.name, name="strange"), graph.add("out"))
    low, high = kind.bounds()
    for parameter in kind.parameters:
        column = kind.columns(parameter.name).stop - 1
        span = float(high[column] - low[column])
        for value in (float(low[column]) - span, float(high[column]) + span, float("nan"), float("inf")):
            graph.params[kind.name] = kind.neutral()[None].clone()
            graph.params[kind.name][0, column] = value
            with pytest.raises(GraphError, match=rf"strange.*{parameter.name} is .*between") as refused:
                Renderer(rack)(graph, torch.zeros(1, 2, 100))
            assert "\n" not in str(refused.value)
