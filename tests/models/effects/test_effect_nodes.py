"""Captured effects as processors: the laws of tests/processors/test_laws.py, at the capture's rate and at others."""

import pytest
import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.models.effects import CapturedEffect
from tests.models.effects.test_effect_laws import RESTING, WITH_CONTROLS, a_model, in_float64, noise, settings

OWN_RATE = 8000
RATES = (OWN_RATE, 6000, 16000)
NODES = [(name, rate) for name in WITH_CONTROLS for rate in RATES]
SAMPLES = 240


def node(name: str, rate: int) -> CapturedEffect:
    return CapturedEffect(a_model(name, controls=True), "amp", "a", rate)


def stereo(nodes: int, samples: int = SAMPLES, dtype: torch.dtype = torch.float32) -> Tensor:
    return noise(2 * nodes, samples, dtype).view(nodes, 2, samples)


@pytest.mark.parametrize(
    ("name", "rate", "dtype"),
    [(*case, torch.float32) for case in NODES] + in_float64([(*case, torch.float64) for case in NODES]),
)
@torch.no_grad()
def test_shape_and_dtype_are_kept(name: str, rate: int, dtype: torch.dtype):
    out = node(name, rate)(stereo(2, dtype=dtype), settings(2, dtype))
    assert (out.shape, out.dtype) == ((2, 2, SAMPLES), dtype)


@pytest.mark.parametrize(("name", "rate"), NODES)
@torch.no_grad()
def test_a_batch_is_its_nodes_one_by_one(name: str, rate: int):
    effect, audio, controls = node(name, rate), stereo(3), settings(3)
    alone = torch.cat([effect(audio[i : i + 1], controls[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(effect(audio, controls), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "rate"), NODES)
@torch.no_grad()
def test_two_nodes_with_two_channels_are_not_mixed_up(name: str, rate: int):
    effect, audio, controls = node(name, rate), stereo(2), settings(2)
    changed = audio.clone()
    changed[0, 1] += 0.3
    before, after = effect(audio, controls), effect(changed, controls)
    torch.testing.assert_close(after[0, 0], before[0, 0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(after[1], before[1], rtol=1e-5, atol=1e-6)
    assert (after[0, 1] - before[0, 1]).abs().max() > 1e-3


@pytest.mark.parametrize(("name", "rate"), NODES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_half_precision_is_processed_in_float32(name: str, rate: int, dtype: torch.dtype):
    effect, audio, controls = node(name, rate), stereo(1).to(dtype), settings(1)
    assert torch.equal(effect(audio, controls), effect(audio.float(), controls))


@pytest.mark.parametrize(("name", "rate"), NODES)
def test_what_is_no_audio_is_refused_by_name(name: str, rate: int):
    with pytest.raises(GraphError, match=r"audio: int32 found; audio is float32"):
        node(name, rate)(stereo(1).int(), settings(1))


@pytest.mark.parametrize(("name", "rate"), NODES)
@pytest.mark.parametrize("level", [0.0, 1.0, 1e-41], ids=["silence", "full scale", "subnormal"])
def test_output_and_gradients_are_finite_at_the_ends_of_every_range(name: str, rate: int, level: float):
    effect = node(name, rate)
    neutral, (low, high) = effect.node_type.neutral(), effect.node_type.bounds()
    controls = torch.stack([neutral, low, high]).requires_grad_()
    audio = torch.full((3, 2, SAMPLES), level).requires_grad_()
    out = effect(audio, controls)
    assert out.isfinite().all()
    for gradient in torch.autograd.grad(out.square().sum(), (audio, controls)):
        assert gradient.isfinite().all()


@pytest.mark.parametrize(("name", "rate"), NODES)
def test_raw_and_physical_values_map_to_each_other(name: str, rate: int):
    effect = node(name, rate)
    bounds = torch.stack(effect.node_type.bounds())
    for controls in (settings(3), bounds):
        torch.testing.assert_close(effect.from_raw(effect.to_raw(controls)), controls, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("name", "rate"), in_float64(NODES))
def test_gradients_agree_with_finite_differences(name: str, rate: int):
    effect = node(name, rate)
    audio = stereo(2, 24, torch.float64).requires_grad_()
    controls = settings(2, torch.float64).requires_grad_()
    if name not in RESTING:
        assert torch.autograd.gradcheck(effect, (audio, controls), fast_mode=True)
        return
    _, rested = effect.resume(audio.detach(), controls.detach(), None, 0)

    def from_rest(audio: Tensor, controls: Tensor) -> Tensor:
        return effect.resume(audio, controls, rested, 0)[0]

    assert torch.autograd.gradcheck(from_rest, (audio, controls), fast_mode=True)
