"""Laws that every processor keeps, and what its parameters mean at each sample rate."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.dsp.biquads import pole_radius
from graphmix.dsp.fft import good_length
from graphmix.errors import GraphError
from graphmix.processors import Crossover, Equalizer, LTIProcessor, MultitapDelay, Rack, Reverb
from graphmix.processors.base import Processor
from graphmix.processors.delay import NUM_TAPS
from graphmix.processors.recursive import RecursiveFilter
from graphmix.spec import ParameterSpec
from tests.random_parameters import random_parameters

RATES = (30000, 44100, 48000)
RACKS = {rate: Rack(p for p in Rack.full(rate) if p.node_type.name != "align") for rate in RATES}
"""Alignment has tests of its own."""
SMALL_RATE = 3000
"""Filters of 205 taps and delays of 300 samples a segment, for finite differences."""
NAMES = RACKS[30000].names
UNIT_ENERGY = ("delay", "reverb", "feedback_network", "velvet_reverb", "early_reflections")
CHANGING = (
    *UNIT_ENERGY, "chorus", "flanger", "vibrato", "phaser", "feedback_delay", "mid_side_encoder", "mid_side_decoder",
)  # fmt: skip
"""They are never the identity: their neutral parameters are an echo, a room, a delay or a matrix."""
ACROSS = ("imager", "rotation", "mid_side_encoder", "mid_side_decoder", "bass_width", "feedback_delay")
"""They mix left and right on purpose."""
SAMPLES = 3000
FEW_SAMPLES = 300
"""Of types without letters, of which there are many, where length adds nothing."""


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def processor(name: str) -> Processor:
    return RACKS[30000][name]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def usual(processor: Processor, rows: int) -> Tensor:
    return random_parameters(processor.node_type, rows, seeded())


def noise_for(processor: Processor, rows: int, samples: int = SAMPLES) -> Tensor:
    """Noise of the shape that the processor takes."""
    return shaped(processor, 0.3 * torch.randn(rows, 2, samples, generator=seeded(1)))


def enough(processor: Processor) -> int:
    """How many samples show what there is to see."""
    return SAMPLES if processor.node_type.letter else FEW_SAMPLES


def shaped(processor: Processor, audio: Tensor) -> Tensor:
    """The same signal at every inlet."""
    inlets = len(processor.node_type.inlets)
    return audio if inlets == 1 else audio[:, None].repeat(1, inlets, 1, 1)


def summed(processor: Processor, output: Tensor) -> Tensor:
    """The sum of all outlets."""
    return output.sum(1) if len(processor.node_type.outlets) > 1 else output


# --- laws


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_dtype_and_device_are_kept(processor: Processor, dtype: torch.dtype) -> None:
    audio = noise_for(processor, 3).to(dtype)
    output = processor(audio, usual(processor, 3).to(dtype))
    outlets = len(processor.node_type.outlets)
    assert output.shape == ((3, 2, SAMPLES) if outlets == 1 else (3, outlets, 2, SAMPLES))
    assert (output.dtype, output.device) == (audio.dtype, audio.device)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in CHANGING])
def test_neutral_parameters_are_the_identity(name: str, rate: int) -> None:
    processor = RACKS[rate][name]
    audio = noise_for(processor, 1, enough(processor))
    output = summed(processor, processor(audio, processor.node_type.neutral()[None]))
    expected = audio if len(processor.node_type.inlets) == 1 else audio[:, 0]
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)


def test_bands_of_a_crossover_add_up_to_its_input_wherever_they_meet() -> None:
    for bands in (2, 3, 5):
        crossover = Crossover(bands=bands)
        audio = noise_for(crossover, 2)
        output = crossover(audio, usual(crossover, 2))
        assert output.shape == (2, bands, 2, SAMPLES)
        torch.testing.assert_close(output.sum(1), audio, rtol=1e-5, atol=1e-6)


def test_a_batch_is_its_items_one_by_one(processor: Processor) -> None:
    audio, params = noise_for(processor, 3, enough(processor)), usual(processor, 3)
    single = torch.cat([processor(audio[i : i + 1], params[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(processor(audio, params), single, rtol=1e-5, atol=1e-6)


def test_two_nodes_with_two_channels_are_not_mixed_up(processor: Processor) -> None:
    """Silence left, or in one node, stays there, but for those that mix left and right on purpose."""
    audio = noise_for(processor, 2)
    audio[0] = 0
    audio[1, ..., 0, :] = 0
    output = processor(audio, usual(processor, 2))
    assert not output[0].any()
    if processor.node_type.name not in ACROSS:
        assert float(output[1, ..., 0, :].detach().abs().max()) < 1e-5


SIGNALS = {
    "silence": torch.zeros(1, 2, SAMPLES),
    "DC": torch.full((1, 2, SAMPLES), 0.5),
    "full scale": torch.sign(torch.randn(1, 2, SAMPLES, generator=seeded(2))),
    "one sample": torch.ones(1, 2, 1),
    "no samples": torch.zeros(1, 2, 0),
    "left only": torch.randn(1, 2, SAMPLES, generator=seeded(3)) * torch.tensor([1.0, 0.0])[:, None],
    "side only": torch.randn(1, 1, SAMPLES, generator=seeded(4)) * torch.tensor([1.0, -1.0])[:, None],
    "subnormal": torch.full((1, 2, SAMPLES), 1e-41),
}


def extremes(processor: Processor) -> Tensor:
    """Neutral, all low, all high, and each parameter low and high beside neutral others, [rows, width]."""
    node_type = processor.node_type
    neutral, (low, high) = node_type.neutral(), node_type.bounds()
    rows = [neutral, low, high]
    for p in node_type.parameters:
        for edge in (low, high):
            row = neutral.clone()
            row[node_type.columns(p.name)] = edge[node_type.columns(p.name)]
            rows.append(row)
    return torch.stack(rows)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_processed_in_float32(processor: Processor, dtype: torch.dtype) -> None:
    audio, params = noise_for(processor, 1).to(dtype), usual(processor, 1)
    assert torch.equal(processor(audio, params), processor(audio.float(), params))


def test_what_is_no_audio_is_refused_by_name(processor: Processor) -> None:
    audio, params = noise_for(processor, 1), usual(processor, 1)
    with pytest.raises(GraphError, match=r"audio: int32 found; audio is float32"):
        processor(audio.int(), params)
    with pytest.raises(GraphError, match=r"audio: complex numbers found; audio is real"):
        processor(audio.to(torch.complex64), params)


@pytest.mark.parametrize("signal", SIGNALS)
def test_output_and_gradients_are_finite_at_the_ends_of_every_range(processor: Processor, signal: str) -> None:
    params = extremes(processor).requires_grad_()
    audio = (
        shaped(processor, SIGNALS[signal][..., : enough(processor)].expand(len(params), -1, -1))
        .clone()
        .requires_grad_()
    )
    output = processor(audio, params)
    assert torch.isfinite(output).all()
    for weight in (torch.ones_like(output), torch.randn_like(output)):
        for gradient in torch.autograd.grad((output * weight).sum(), (audio, params), retain_graph=True):
            assert torch.isfinite(gradient).all()


def test_raw_and_physical_values_map_to_each_other(processor: Processor) -> None:
    params_of = [usual(processor, 4)]
    if processor.node_type.name != "delay":  # a tap's delay of 0 comes back as the beginning of its own 100 ms
        params_of += [processor.node_type.neutral()[None], extremes(processor)]
    for params in params_of:
        back = processor.from_raw(processor.to_raw(params))
        torch.testing.assert_close(back, params, rtol=1e-4, atol=1e-3)


def test_raw_values_of_a_delay_sound_the_same() -> None:
    delay = RACKS[30000]["delay"]
    for params in (usual(delay, 2), delay.node_type.neutral()[None], extremes(delay)):
        audio = noise_for(delay, len(params))
        back = delay.from_raw(delay.to_raw(params))
        torch.testing.assert_close(delay(audio, back), delay(audio, params), rtol=1e-3, atol=1e-4)


def test_projection_brings_raw_values_into_the_range_and_leaves_those_inside(processor: Processor) -> None:
    low, high = processor.node_type.bounds()
    slack = 1e-4 * (high - low) + 1e-4
    inside = processor.to_raw(usual(processor, 4))
    far = inside + 1e3 * torch.randn(inside.shape, generator=seeded(3))
    for raw in (inside.clone(), far):
        processor.project(raw)
        physical = processor.from_raw(raw)
        assert torch.isfinite(physical).all()
        assert ((physical >= low - slack) & (physical <= high + slack)).all()
    kept = inside.clone()
    processor.project(kept)
    torch.testing.assert_close(kept, inside)


def test_a_start_lies_in_the_range(processor: Processor) -> None:
    neutral = processor.node_type.neutral().expand(3, -1)
    start = processor.start(neutral, seeded())
    low, high = processor.node_type.bounds()
    assert start.shape == neutral.shape
    assert ((start >= low) & (start <= high)).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("delay", "ride", "bit_crusher")])
def test_gradients_agree_with_finite_differences(name: str) -> None:
    processor = Rack.full(SMALL_RATE)[name]
    audio = noise_for(processor, 2, 60).double().requires_grad_()
    params = random_parameters(processor.node_type, 2, seeded()).double()
    params = params.clamp(*(bound.double() for bound in processor.node_type.bounds())).requires_grad_()
    assert torch.autograd.gradcheck(processor, (audio, params), fast_mode=True)


def test_the_gradients_of_a_delay_without_its_delays_agree_with_finite_differences() -> None:
    delay = Rack.standard(SMALL_RATE)["delay"]
    filters = delay.node_type.columns("filter_db")
    params = random_parameters(delay.node_type, 2, seeded()).double()
    audio = noise_for(delay, 2, 2000).double().requires_grad_()

    def with_filters(audio: Tensor, values: Tensor) -> Tensor:
        return delay(audio, torch.cat([params[:, : filters.start], values], dim=1))

    values = params[:, filters].clone().requires_grad_()
    assert torch.autograd.gradcheck(with_filters, (audio, values), fast_mode=True)


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(RACKS[30000][name], LTIProcessor)])
def test_a_response_is_the_transform_of_the_impulse_response_laid_around_time_zero(name: str) -> None:
    processor = RACKS[30000][name]
    assert isinstance(processor, LTIProcessor)
    params = usual(processor, 2).double()
    taps, (before, after) = processor.impulse_response(params), processor.extent
    n_fft = good_length(before + 1 + after)
    circle = torch.nn.functional.pad(taps, (0, n_fft - taps.size(-1))).roll(-before, -1)
    expected = torch.fft.rfft(circle)
    ring = 0.0  # of a recursive filter what comes back at the beginning of the circle
    if isinstance(processor, RecursiveFilter):
        ring = 10 * float(pole_radius(processor.sections(params)).max()) ** n_fft
    torch.testing.assert_close(
        processor.response(params, n_fft).to(expected.dtype).expand_as(expected), expected, rtol=1e-7, atol=1e-7 + ring
    )
    assert ring < 1e-3


# --- delay and reverb


@pytest.mark.parametrize("wanted_ms", [20.0, pytest.param(50.0, marks=pytest.mark.slow), 85.0])
def test_gradient_descent_moves_a_delay_to_where_it_belongs(wanted_ms: float) -> None:
    """The squared difference of two responses says nothing of where an echo should go; the surrogate does."""
    delay = MultitapDelay(SMALL_RATE)
    params = delay.node_type.neutral()[None]
    target_params = params.clone()
    column = delay.node_type.columns("delay_ms").start
    target_params[:, column] = wanted_ms
    target = delay.impulse_response(target_params).detach()
    params[:, column] = 35.0
    raw = delay.to_raw(params).requires_grad_()
    optimizer = torch.optim.Adam([raw], lr=0.01)
    for _ in range(400):
        difference = delay.impulse_response(delay.from_raw(raw)) - target
        optimizer.zero_grad()
        difference.square().sum().backward()
        gradient = torch.zeros_like(raw)
        gradient[:, :2] = raw.grad[:, :2]  # one echo moves
        raw.grad = gradient
        optimizer.step()
        delay.project(raw)
    found_ms = float(delay.from_raw(raw.detach())[0, column])
    assert abs(found_ms - wanted_ms) * SMALL_RATE / 1000 < 3


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", UNIT_ENERGY)
def test_responses_have_unit_energy(name: str, rate: int) -> None:
    processor = RACKS[rate][name]
    assert isinstance(processor, LTIProcessor)
    for params in (usual(processor, 1), extremes(processor)):
        energy = processor.impulse_response(params).square().sum(dim=(1, 2)) / 2
        torch.testing.assert_close(energy, torch.ones(len(params)), rtol=1e-4, atol=0)


def test_the_decay_of_a_reverb_is_in_db_per_second() -> None:
    for rate in RATES:
        reverb = RACKS[rate]["reverb"]
        assert isinstance(reverb, Reverb)
        params = reverb.node_type.neutral()[None].clone()
        params[:, reverb.node_type.columns("decay_db_per_s")] = -40.0
        response = reverb.impulse_response(params)[0]
        early, late = (response[:, round(t * rate) : round((t + 0.2) * rate)] for t in (0.2, 1.2))
        fall = 10 * math.log10(float(early.square().mean() / late.square().mean()))
        assert fall == pytest.approx(40, abs=1.5)


# --- units mean the same at every rate


def level_db(values: Tensor) -> float:
    return 10 * math.log10(float(values.double().square().mean()))


@pytest.mark.parametrize("rate", RATES)
def test_a_bump_at_1_khz_stays_at_1_khz(rate: int) -> None:
    equalizer = RACKS[rate]["equalizer"]
    assert isinstance(equalizer, Equalizer)
    columns = equalizer.node_type.width
    centers = torch.arange(columns) * (rate / equalizer.taps)
    params = (12 * torch.exp(-(((centers - 1000) / 200) ** 2)))[None]
    response = equalizer.response(params, 60000)[0, 0]
    at = torch.arange(len(response)) * (rate / 60000)
    assert float(at[response.argmax()]) == pytest.approx(1000, abs=10)
    assert 20 * math.log10(float(response.max())) == pytest.approx(12, abs=0.2)
    assert 20 * math.log10(abs(float(response[round(3000 * 60000 / rate)]))) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_a_crossover_is_6_db_down_at_its_corner(rate: int) -> None:
    crossover = RACKS[rate]["crossover"]
    assert isinstance(crossover, Crossover)
    low = crossover.response(torch.tensor([[1000.0, 5000.0]]), 60000)[0, 0, 0]
    assert 20 * math.log10(float(low[round(1000 * 60000 / rate)])) == pytest.approx(-6, abs=0.2)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("name", "parameter"), [("compressor", "time_ms"), ("ballistic_compressor", "attack_ms")])
def test_a_compressor_settles_in_the_same_time(name: str, parameter: str, rate: int) -> None:
    """20 ms after a step of DC to 0 dB the energy is at 1 - 1/e, 2 dB below where it ends."""
    compressor = RACKS[rate][name]
    values = {"threshold_db": -40.0, "ratio": 4.0, "knee_db": 1.0, parameter: 20.0}
    params = torch.tensor([[values.get(p.name, p.neutral) for p in compressor.node_type.parameters]])
    output = compressor(torch.ones(1, 2, rate // 2), params)[0, 0]
    assert 20 * math.log10(float(output[-1])) == pytest.approx(-30, abs=0.01)
    after = 20 * math.log10(float(output[round(0.02 * rate) - 1]))
    assert after == pytest.approx(-30 - 0.75 * 10 * math.log10(1 - 1 / math.e), abs=0.01)


@pytest.mark.parametrize("rate", RATES)
def test_a_delay_lands_in_the_same_place(rate: int) -> None:
    delay = RACKS[rate]["delay"]
    wanted_ms = 100.0 * np.arange(NUM_TAPS) + 40
    params = delay.node_type.neutral()[None].clone()
    params[:, delay.node_type.columns("delay_ms")] = torch.from_numpy(np.tile(wanted_ms, 2)).float()
    impulse = torch.zeros(1, 2, 2 * rate)
    impulse[..., 0] = 1
    echoes = delay(impulse, params)[0, 0]
    found = (echoes > 0.5 * echoes.max()).nonzero().flatten().numpy() * 1000 / rate
    np.testing.assert_allclose(found, wanted_ms, atol=1000 / rate)


@pytest.mark.parametrize("rate", RATES)
def test_every_rate_has_the_same_parameters_but_for_filter_lengths(rate: int) -> None:
    def face(p: ParameterSpec) -> tuple[object, ...]:
        return p.name, p.unit, p.neutral if p.neutral < p.high else "as high as can be"

    for mine, standard in zip(RACKS[rate], RACKS[30000], strict=True):
        own, first = mine.node_type, standard.node_type
        assert [face(p) for p in own.parameters] == [face(p) for p in first.parameters]
        assert (own.name, own.inlets, own.outlets) == (first.name, first.inlets, first.outlets)
