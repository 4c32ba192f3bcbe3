"""Compiled compressors and gates against their tensor operations, and what subclasses may change."""

import pytest
import torch
from torch import Tensor

from graphmix.processors import Compressor, Processor, Rack
from graphmix.processors.dynamics import Dynamics, KneeDynamics
from tests.random_parameters import random_parameters

RACK = Rack.standard()
NAMES = [name for name in RACK.names if isinstance(RACK[name], KneeDynamics)]
SAMPLES = 1500


def bursts(processor: Processor, nodes: int) -> Tensor:
    """Noise that goes on and off, at each inlet another."""
    inlets = len(processor.node_type.inlets)
    audio = 0.3 * torch.randn(nodes, inlets, 2, SAMPLES, dtype=torch.float64)
    audio *= torch.arange(SAMPLES) // 400 % 2
    return audio if inlets > 1 else audio[:, 0]


def ends(processor: Processor) -> Tensor:
    """All low, all high, and every other pattern of low and high, [rows, width]."""
    low, high = (bound.double() for bound in processor.node_type.bounds())
    patterns = torch.cartesian_prod(*[torch.arange(2)] * len(low)).bool()
    return torch.where(patterns, high, low)


def with_gradients(processor: Processor, audio: Tensor, params: Tensor, wet: Tensor) -> list[Tensor]:
    inputs = [t.clone().requires_grad_() for t in (audio, params, wet)]
    mixed, energy = processor.mix(*inputs)
    assert energy is None
    weights = torch.linspace(-1, 1, mixed.numel(), dtype=mixed.dtype).view_as(mixed).sin()
    return [mixed.detach(), *torch.autograd.grad((mixed * weights).sum(), inputs)]


@pytest.mark.parametrize("kind", ["random", "ends"])
@pytest.mark.parametrize("name", NAMES)
def test_compiled_they_are_their_tensor_operations(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = RACK[name]
    usual = random_parameters(processor.node_type, 5, torch.Generator())
    params = ends(processor) if kind == "ends" else usual.double()
    audio, wet = bursts(processor, len(params)), torch.linspace(0, 1, len(params), dtype=torch.float64)
    compiled = with_gradients(processor, audio, params, wet)
    single = with_gradients(processor, audio.float(), params.float(), wet.float())
    monkeypatch.setattr(KneeDynamics, "compiles", lambda self, audio: False)
    tensors = with_gradients(processor, audio, params, wet)
    by_tensors = with_gradients(processor, audio.float(), params.float(), wet.float())
    for mine, plain in zip(compiled, tensors, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-8, atol=1e-9 * float(plain.abs().max()))
    for mine, plain, exact in zip(single, by_tensors, tensors, strict=True):
        assert torch.isfinite(mine).all()
        scale = float(exact.abs().max())
        assert float((mine - exact).abs().max()) < max(1e-5 * scale, 2 * float((plain - exact).abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_a_forward_is_a_mix_that_is_all_wet(name: str) -> None:
    processor = RACK[name]
    params = random_parameters(processor.node_type, 2, torch.Generator())
    audio = bursts(processor, 2).float()
    assert torch.equal(processor(audio, params), processor.mix(audio, params, torch.ones(2))[0])


class Halver(Dynamics):
    """6 dB less at any level."""

    node_type = RACK["compressor"].node_type

    def curve(self, over_db: Tensor, params: Tensor) -> Tensor:
        return 0 * over_db - 20 * torch.tensor(2.0).log10()


class HalvingCompressor(Compressor):
    curve = Halver.curve


class Inverter(Compressor):
    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        return -audio


class Muter(Compressor):
    def gain(self, detector: Tensor, params: Tensor) -> Tensor:
        return detector.new_zeros(detector.size(0), detector.size(-1))


@pytest.mark.parametrize(("kind", "factor"), [(Halver, 0.5), (HalvingCompressor, 0.5), (Inverter, -1), (Muter, 0)])
def test_a_subclass_does_what_it_says(kind: type[Dynamics], factor: float) -> None:
    processor = kind()
    params = processor.node_type.neutral()[None]
    audio = bursts(processor, 1).float()
    torch.testing.assert_close(processor(audio, params), factor * audio)
    mixed, _ = processor.mix(audio, params, torch.tensor([0.5]))
    torch.testing.assert_close(mixed, (0.5 + 0.5 * factor) * audio)


class Staged(Compressor):
    gain_staged = True


def test_energies_of_gain_staged_dynamics_are_measured() -> None:
    params = torch.tensor([[-30.0, 4.0, 6.0, 20.0]])
    audio = bursts(Staged(), 1).float()
    mixed, energy = Staged().mix(audio, params, torch.tensor([0.3]))
    wet = Compressor()(audio, params)
    torch.testing.assert_close(mixed, 0.3 * wet + 0.7 * audio)
    expected = [signal.mean(1).square().sum() for signal in (wet, audio)]
    torch.testing.assert_close(energy, torch.stack(expected)[None])
