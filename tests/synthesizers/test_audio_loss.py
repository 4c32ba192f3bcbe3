"""The loss of proposals on their sound: numbers in their places, zero at the truth, gradients as differences."""

import pytest
import torch

from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.synthesizers import SYNTHESIZERS
from graphmix.synthesizers.audio_loss import places, sound_distance, with_numbers
from graphmix.synthesizers.programming import random_patches

NAMES = list(SYNTHESIZERS)


def make(name: str, count: int) -> tuple[list, torch.Tensor]:
    synthesizer = SYNTHESIZERS[name]
    patches = random_patches(synthesizer, count, 3)
    graphs = [synthesizer.patch(v, pitch=50.0 + 7 * i, length_ms=120.0) for i, v in enumerate(patches)]
    return graphs, torch.stack([synthesizer.vector(v) for v in patches])


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_of_a_patch_stand_where_the_patch_has_them(name: str):
    graphs, vectors = make(name, 3)
    batch = with_numbers(name, graphs[::-1], vectors)
    for kind, values in batch.params.items():
        wanted = torch.cat([graph.params[kind] for graph in graphs])
        if kind != "note" and len(wanted):
            held = torch.cat([graph.params[kind] for graph in graphs[::-1]])
            columns = {place.column for place in places(name).get(kind, ())}
            for column in range(values.size(1)):
                expected = wanted if column in columns else held
                moved = (values[:, column] - expected[:, column]).abs()
                assert float(moved.max()) <= 1e-3 * float(expected[:, column].abs().max().clamp(min=1)), (kind, column)
    torch.testing.assert_close(batch.wet, torch.cat([graph.wet for graph in graphs]), atol=1e-5, rtol=0)
    continuous = sum(p.size for p in SYNTHESIZERS[name].parameters if not p.options)
    assert sum(len(own) for own in places(name).values()) == continuous


@pytest.mark.parametrize("name", NAMES)
def test_the_distance_is_least_at_the_truth_and_its_gradient_is_that_of_differences(name: str):
    graphs, vectors = make(name, 2)
    renderer = Renderer(Rack.generators(graphs[0].sample_rate))
    true = sound_distance(name, graphs, vectors, renderer, 0.15)
    assert float(true.max()) < 0.15  # 0.1 dB is what an exact match has
    entry = next(p.entry for own in places(name).values() for p in own if p.parameter.name.endswith("level_db"))
    other = vectors.clone()
    other[:, entry] = 0.6
    moved = other.requires_grad_()
    distance = sound_distance(name, graphs, moved, renderer, 0.15)
    distance.sum().backward()
    assert moved.grad is not None
    assert moved.grad.isfinite().all()
    step = 3e-3
    with torch.no_grad():
        shift = torch.zeros_like(other)
        shift[:, entry] = step
        up, down = (sound_distance(name, graphs, other + sign * shift, renderer, 0.15) for sign in (1, -1))
    torch.testing.assert_close(moved.grad[:, entry], (up - down) / (2 * step), rtol=0.1, atol=0.02)
