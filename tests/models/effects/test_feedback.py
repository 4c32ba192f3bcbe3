"""The feedback network: companding, the named output, its loss, and the compiled free run against plain loops."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torchaudio.functional import mu_law_decoding, mu_law_encoding

from graphmix.models.effects import Control
from graphmix.models.effects.feedback import LEVELS, FeedbackConfig, FeedbackEffect, mu_law, mu_law_inverse

KINDS = [(companding, output) for companding in ("linear", "mu_law") for output in ("linear", "one_hot")]
CONTROLS = (Control(name="drive", low=0.0, high=10.0), Control(name="tone"))


def a_network(
    companding: str = "linear", output: str = "linear", controls: bool = False, **sizes: int
) -> FeedbackEffect:
    torch.manual_seed(3)
    values = {"window": 9, "hidden": 19, "layers": 3, **sizes, "companding": companding, "output": output}
    model = FeedbackEffect(FeedbackConfig(**values, controls=CONTROLS if controls else ()))
    with torch.no_grad():
        for bias in model.biases:
            bias += 0.3 * torch.randn_like(bias)
    return model.eval()


def sound(rows: int = 2, samples: int = 120) -> Tensor:
    return 0.4 * torch.randn(rows, samples, generator=torch.Generator().manual_seed(5))


def plain_free_run(model: FeedbackEffect, audio: Tensor, unit: Tensor) -> Tensor:
    """From silence, a sample at a time, in float64: numpy, and the formulas of the module."""
    weights = [w.detach().double().numpy() for w in model.weights]
    biases = [b.detach().double().numpy() for b in model.biases]
    m, dry = model.config.window, np.pad(audio.double().numpy(), ((0, 0), (model.config.window - 1, 0)))
    curved, one_hot = model.config.companding == "mu_law", model.config.output == "one_hot"

    def narrow(x: np.ndarray) -> np.ndarray:
        return np.sign(x) * np.log(1 + 255 * np.abs(x)) / np.log(256)

    def widen(y: np.ndarray) -> np.ndarray:
        return np.sign(y) * (256 ** np.abs(y) - 1) / 255

    wet = np.zeros_like(dry)
    for n in range(m - 1, dry.shape[1]):
        window = np.concatenate([dry[:, n - m + 1 : n + 1], wet[:, n - m + 1 : n]], axis=1)
        units = np.concatenate([narrow(window) if curved else window, unit.double().numpy()], axis=1)
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            units = units @ weight.T / np.sqrt(weight.shape[1]) + bias
            if i < len(weights) - 1:
                units = 0.5 * units * (1 + np.tanh(np.sqrt(2 / np.pi) * (units + 0.044715 * units**3)))
        if one_hot:
            place = units[:, :256].argmax(1) + 0.5 + 0.5 * np.tanh(units[:, 256])
            wet[:, n] = widen(place / 128 - 1)
        else:
            wet[:, n] = widen(units[:, 0]) if curved else units[:, 0]
    return torch.from_numpy(wet[:, m - 1 :])


@pytest.mark.parametrize("controls", [False, True])
@pytest.mark.parametrize(("companding", "output"), KINDS)
def test_the_compiled_free_run_equals_a_plain_one(companding: str, output: str, controls: bool):
    model, audio = a_network(companding, output, controls), sound()
    unit = torch.tensor([[0.3, -1.0], [-0.5, 0.7]])[:, : 2 * controls]
    silence = torch.zeros(2, model.config.window - 1)
    expected = plain_free_run(model, audio, unit)
    out, _ = model.run(audio, unit, (silence, silence))
    assert expected.std() > 1e-3
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-5)
    model, audio, unit, silence = model.double(), audio.double(), unit.double(), silence.double()
    torch.testing.assert_close(model.run(audio, unit, (silence, silence))[0], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("companding", "output"), KINDS)
@torch.no_grad()
def test_fed_its_own_output_teacher_forcing_is_the_free_run(companding: str, output: str):
    """What runs freely agrees with what is trained: the same windows."""
    model = a_network(companding, output)
    m, audio = model.config.window, sound().double()
    model.double()
    silence = torch.zeros(2, m - 1, dtype=torch.float64)
    free, _ = model.run(audio, torch.zeros(2, 0, dtype=torch.float64), (silence, silence))
    forced = model.teacher_forcing(*(torch.cat([silence, signal], dim=1) for signal in (audio, free)))
    torch.testing.assert_close(model.expand(model.decode(forced)), free)


def unrolled(model: FeedbackEffect, audio: Tensor, unit: Tensor) -> Tensor:
    """The free run one sample at a time, by what autograd follows."""
    m = model.config.window
    signal = model.compress(torch.cat([audio.new_zeros(len(audio), m - 1), audio], dim=1))
    past = list(model.compress(torch.zeros_like(signal[:, : m - 1])).unbind(1))
    for n in range(audio.size(1)):
        window = torch.cat([signal[:, n : n + m], torch.stack(past[n:], dim=1), unit], dim=1)
        past.append(model.decode(model.network(window)))
    return model.expand(torch.stack(past[m - 1 :], dim=1))


@pytest.mark.parametrize("chunk", [1, 14, 1000])
@pytest.mark.parametrize(("companding", "output"), KINDS)
def test_gradients_of_a_free_run_are_those_of_its_steps(
    companding: str, output: str, chunk: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("graphmix.models.effects.feedback.CHUNK", chunk)
    model = a_network(companding, output, controls=True).double()
    audio, unit = sound(2, 50).double().requires_grad_(), torch.tensor([[0.3, -1.0], [-0.5, 0.7]]).double()
    unit.requires_grad_()
    weight = sound(2, 50).double().cos()
    silence = torch.zeros(2, model.config.window - 1, dtype=torch.float64)
    found = torch.autograd.grad((model.run(audio, unit, (silence, silence))[0] * weight).sum(), (audio, unit))
    expected = torch.autograd.grad((unrolled(model, audio, unit) * weight).sum(), (audio, unit))
    for a, b in zip(found, expected, strict=True):
        assert float(b.abs().max()) > 1e-3
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("hidden", [1, 8, 13])
def test_any_number_of_layers_and_units(layers: int, hidden: int):
    model = a_network(layers=layers, hidden=hidden, window=6)
    silence, controls = torch.zeros(1, 5), torch.zeros(1, 0)
    out, _ = model.run(sound(1, 40), controls, (silence, silence))
    torch.testing.assert_close(out.double(), plain_free_run(model, sound(1, 40), controls), rtol=1e-4, atol=1e-5)


# --- companding


def test_mu_law_has_its_known_values():
    """F(x) = ln(1 + 255 |x|) / ln 256, so F of (256^k - 1) / 255 is k."""
    k = torch.linspace(0, 1, 9, dtype=torch.float64)
    x = (256**k - 1) / 255
    torch.testing.assert_close(mu_law(torch.cat([x, -x])), torch.cat([k, -k]))
    torch.testing.assert_close(mu_law_inverse(torch.cat([k, -k])), torch.cat([x, -x]))


def test_companding_has_its_slope_at_zero():
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    for function, slope in ((mu_law, 255 / math.log(256)), (mu_law_inverse, math.log(256) / 255)):
        (gradient,) = torch.autograd.grad(function(x).sum(), x)
        assert gradient.tolist() == pytest.approx(3 * [slope])


def test_mu_law_agrees_with_torchaudio():
    audio = sound(1, 2000).clamp(-1, 1)
    codes = ((mu_law(audio) + 1) / 2 * 255 + 0.5).long()
    different = codes != mu_law_encoding(audio, 256)
    assert different.float().mean() < 1e-3  # on the edge between two codes
    codes = torch.arange(256)
    torch.testing.assert_close(mu_law_inverse(codes / 127.5 - 1), mu_law_decoding(codes, 256), rtol=1e-5, atol=1e-7)


@settings(deadline=None)
@given(st.floats(-8, 8))
def test_expanding_undoes_compressing(value: float):
    x = torch.tensor(value, dtype=torch.float64)
    torch.testing.assert_close(mu_law_inverse(mu_law(x)), x, rtol=1e-12, atol=1e-15)


# --- the loss


def with_constant_output(model: FeedbackEffect, outputs: Tensor) -> FeedbackEffect:
    with torch.no_grad():
        model.weights[-1].zero_()
        model.biases[-1].copy_(outputs)
    return model


@pytest.mark.parametrize("companding", ["linear", "mu_law"])
def test_the_loss_is_the_squared_error_on_the_networks_scale(companding: str):
    model = with_constant_output(a_network(companding), torch.tensor([0.25]))
    audio, target = sound().double(), sound(2).flip(1).double()
    wanted = target.numpy()[:, 8:]
    if companding == "mu_law":
        wanted = np.sign(wanted) * np.log1p(255 * np.abs(wanted)) / np.log(256)
    assert float(model.double().loss(audio, target)) == pytest.approx(np.square(wanted - 0.25).mean(), rel=1e-6)


@pytest.mark.parametrize("companding", ["linear", "mu_law"])
def test_not_knowing_the_level_costs_the_logarithm_of_their_number(companding: str):
    model = with_constant_output(a_network(companding, "one_hot"), torch.zeros(LEVELS + 1))
    target = mu_law_inverse(torch.full((1, 30), -1 + (70 + 0.8) * 2 / LEVELS))  # 0.8 of the way through a level
    loss = float(model.loss(torch.zeros(1, 30), target).detach())
    assert loss == pytest.approx(math.log(LEVELS) + 0.3**2, rel=1e-4)


@settings(deadline=None)
@given(value=st.floats(-0.999, 0.999), companding=st.sampled_from(["linear", "mu_law"]))
def test_the_named_level_and_its_residual_are_the_sample(value: float, companding: str):
    """The outputs that minimise the loss decode to the target."""
    model = a_network(companding, "one_hot")
    place = (math.copysign(math.log1p(255 * abs(value)), value) / math.log(256) + 1) * LEVELS / 2
    within = min(max(place - math.floor(place), 1e-6), 1 - 1e-6)
    outputs = torch.full((LEVELS + 1,), -20.0, dtype=torch.float64)
    outputs[math.floor(place)] = 20.0
    outputs[LEVELS] = math.atanh(2 * within - 1)
    decoded = model.expand(model.decode(outputs))
    assert float(decoded) == pytest.approx(value, abs=1e-6)
    model = with_constant_output(model.double(), outputs)
    target = torch.full((1, 12), value, dtype=torch.float64)
    assert float(model.loss(torch.zeros(1, 12, dtype=torch.float64), target).detach()) < 1e-6


@pytest.mark.parametrize("companding", ["linear", "mu_law"])
def test_noise_enters_the_feedback_path_in_training_only(companding: str):
    """Its spread is that of the configuration, on the network's scale, and the inputs stay exact."""
    model = a_network(companding, hidden=1, layers=1, window=4)
    audio, target = torch.zeros(1, 40003), torch.zeros(1, 40003)
    assert model.teacher_forcing(audio, target).std() < 1e-6
    model.train()
    with torch.no_grad():
        model.weights[0] *= 1e-3  # small enough for the network to be linear
        slope = torch.autograd.functional.jacobian(model.network, torch.zeros(1, 7))[0, 0, 0]
        expected = model.config.noise * slope[4:].norm()
        assert float(model.teacher_forcing(audio, target).std()) == pytest.approx(float(expected), rel=0.03)
