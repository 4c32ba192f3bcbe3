"""The channel strip, the network that imitates it, and how it learns to."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphmix.errors import GraphError, GraphmixError
from graphmix.graph import MixGraph, mixing_console
from graphmix.graph.storage import load_graph, save_graph
from graphmix.models.effects.pretraining import (
    HELD_OUT,
    RESTING,
    TRAINED_ON,
    ProxyTraining,
    Sounds,
    at_rest,
    clicks,
    coloured_noise,
    pretrain_proxy,
    proxy_loss,
    score_proxy,
)
from graphmix.models.effects.proxy import HEADER, TCNProxy, load_proxy, save_proxy
from graphmix.models.effects.strip import (
    STRIP_TYPE,
    ChannelStrip,
    equalizer_curves,
    random_settings,
    tilt_curve,
    unit_settings,
)
from graphmix.models.effects.tcn import DILATED, TCN, BlockConfig, TCNBlock, TCNConfig, convolve
from graphmix.processors import Rack
from graphmix.render import Renderer

BLOCKS = (
    BlockConfig(channels=3, taps=81, lookahead=40, shortest=1.0, longest=20.0),
    BlockConfig(channels=2, taps=5, lookahead=2, levels=True),
    BlockConfig(channels=3, taps=300, shortest=20.0, longest=100.0, own_sides=True),
)
SMALL = TCNConfig(hidden=8, level_times_ms=(5.0, 50.0), blocks=BLOCKS)
WIDE = TCNConfig(
    width=3, hidden=8, blocks=(BlockConfig(channels=4, taps=7, dilation=3), BlockConfig(channels=4, taps=90))
)
NETWORKS = {"small": SMALL, "wide": WIDE, "dilated": DILATED}
SAMPLES = 2000
STRIP = ChannelStrip()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(nodes: int, samples: int = SAMPLES, seed: int = 1) -> Tensor:
    return 0.2 * torch.randn(nodes, 2, samples, generator=seeded(seed))


def some_settings(nodes: int, seed: int = 2) -> Tensor:
    return random_settings(nodes, seeded(seed))


def busy_proxy(config: TCNConfig = SMALL, seed: int = 0) -> TCNProxy:
    """A proxy that does something: every weight is random, and its statistics are measured."""
    torch.manual_seed(seed)
    proxy = TCNProxy(config.sample_rate, config)
    with torch.no_grad():
        for name, parameter in proxy.network.named_parameters():
            if name.endswith(("mixdown", "last.weight", "last.bias")):
                parameter.copy_(0.2 * torch.randn(parameter.shape))
            if name.endswith("activation.weight"):
                parameter.copy_(0.5 + 0.5 * torch.rand(parameter.shape))
    proxy.network.calibrate(noise(3, seed=8), unit_settings(some_settings(3)))
    return proxy


@pytest.fixture(params=NETWORKS)
def proxy(request: pytest.FixtureRequest) -> TCNProxy:
    return busy_proxy(NETWORKS[request.param])


# --- the strip


def test_the_strip_is_a_graph_of_three_processors() -> None:
    settings, audio = some_settings(2), noise(2, 8000)
    graph = STRIP.graph(settings, ["voice", "bass"])
    assert graph.names.count("voice") == 1
    mix = Renderer(STRIP.rack())(graph, audio)[0]
    torch.testing.assert_close(mix, STRIP(audio, settings).sum(0), rtol=1e-4, atol=1e-5)
    with pytest.raises(GraphError, match="there are 2 rows of settings for 1 tracks"):
        STRIP.graph(settings, ["voice"])


def test_neutral_settings_are_the_identity() -> None:
    audio = noise(1)
    torch.testing.assert_close(STRIP(audio, STRIP_TYPE.neutral()[None]), audio, rtol=1e-5, atol=1e-6)


def test_settings_come_back_from_the_parameters_that_they_made() -> None:
    settings = some_settings(6)
    again = STRIP.settings(STRIP.params(settings), settings[:, STRIP_TYPE.columns("reverb_wet")][:, 0])
    torch.testing.assert_close(again, settings, rtol=1e-3, atol=1e-3)


def test_settings_of_any_parameters_lie_in_their_bounds() -> None:
    params = {p.node_type.name: p.node_type.neutral()[None].clone() for p in STRIP.rack()}
    params["equalizer"] += 100
    params["reverb"] -= 3000
    settings = STRIP.settings(params, torch.tensor([1.0]))
    low, high = STRIP_TYPE.bounds()
    assert ((settings >= low) & (settings <= high)).all()
    assert settings[0, STRIP_TYPE.columns("reverb_wet")] == 0.5


def test_each_gain_of_the_equalizer_does_what_it_is_called() -> None:
    low, first, second, high = equalizer_curves(torch.tensor([20.0, 500.0, 2000.0, 14000.0], dtype=torch.float64))
    assert low[0] > 0.98
    assert low[3] < 0.001
    assert float(first[1]) == pytest.approx(1)
    assert float(second[2]) == pytest.approx(1)
    assert high[0] < 0.001
    assert high[3] > 0.85
    assert tilt_curve(torch.tensor([0.0, 1000.0, 2000.0, 16000.0])).tolist() == pytest.approx([-1, 0, 0.25, 1])


def test_settings_fill_their_ranges_evenly() -> None:
    settings = some_settings(4000)
    low, high = STRIP_TYPE.bounds()
    assert ((settings >= low) & (settings <= high)).all()
    units = unit_settings(settings)
    assert units.shape == (4000, STRIP_TYPE.width)
    torch.testing.assert_close(units.mean(0), torch.zeros(STRIP_TYPE.width), rtol=0, atol=0.05)
    torch.testing.assert_close(units.std(0), torch.full((STRIP_TYPE.width,), 3**-0.5), rtol=0.05, atol=0)
    edges = torch.stack(STRIP_TYPE.bounds())
    torch.testing.assert_close(unit_settings(edges)[1] - unit_settings(edges)[0], torch.full((STRIP_TYPE.width,), 2.0))
    assert torch.equal(some_settings(3), some_settings(3))


def test_gradients_of_the_true_chain_reach_settings_and_audio() -> None:
    settings, audio = some_settings(2).requires_grad_(), noise(2).requires_grad_()
    for gradient in torch.autograd.grad(STRIP(audio, settings).square().sum(), (settings, audio)):
        assert torch.isfinite(gradient).all()
        assert gradient.abs().sum() > 0


# --- the network


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize(
    ("taps", "lookahead", "dilation"), [(5, 0, 1), (5, 2, 7), (90, 0, 1), (90, 30, 1), (90, 89, 1)]
)
def test_a_convolution_is_the_sum_that_numpy_makes(
    sides: int, width: int, taps: int, lookahead: int, dilation: int
) -> None:
    stream = torch.randn(2, 2, width, 150, generator=seeded(), dtype=torch.float64)
    kernel = torch.randn(sides, 3, width, taps, generator=seeded(1), dtype=torch.float64)
    spread = np.zeros((sides, 3, width, (taps - 1) * dilation + 1))
    spread[..., ::dilation] = kernel.numpy()
    expected = np.zeros((2, 2, 3, 150))
    for node, side, channel, row in np.ndindex(2, 2, 3, width):
        full = np.convolve(stream[node, side, row].numpy(), spread[side % sides, channel, row])
        expected[node, side, channel] += full[lookahead * dilation :][:150]
    np.testing.assert_allclose(convolve(stream, kernel, lookahead, dilation).numpy(), expected, atol=1e-9)


def test_a_block_is_convolution_normalization_modulation_and_prelu_beside_a_residual() -> None:
    block = busy_proxy(WIDE).network.tcn_blocks[1].double()
    stream = torch.randn(2, 2, 3, 200, generator=seeded(), dtype=torch.float64)
    embedded = torch.randn(2, 8, generator=seeded(1), dtype=torch.float64)
    outputs = block.film.last(embedded)
    scale, shift, gain = outputs[:, :4], outputs[:, 4:8], outputs[:, 8]
    result = torch.empty_like(stream)
    for side in range(2):
        filtered = block.convolve(stream)[:, side]
        block.norm.eval()
        normed = block.norm(filtered)  # PyTorch's own batch normalization
        active = block.activation(normed * (1 + scale)[:, :, None] + shift[:, :, None])
        active = active - block.activation(shift[:, :, None])
        residual = stream[:, side] * torch.exp(4 * torch.tanh(gain / 4))[:, None, None]
        result[:, side] = residual + torch.einsum("hc,nct->nht", block.mixdown, active)
    torch.testing.assert_close(block(stream, embedded), result)


def test_statistics_are_those_of_all_batches_shown_and_then_kept() -> None:
    torch.manual_seed(0)
    network = TCN(TCNConfig(hidden=8, blocks=BLOCKS[:1]), STRIP_TYPE.width)
    block = network.tcn_blocks[0]
    batches = [noise(2, seed=seed) for seed in (5, 6)]
    settings = unit_settings(some_settings(2))
    variances = []
    for batch in batches:
        filtered = block.convolve(batch[:, :, None]).detach()
        variances.append(filtered.flatten(0, 1).transpose(0, 1).flatten(1).var(1))
        network.calibrate(batch, settings)
    torch.testing.assert_close(block.norm.running_var, torch.stack(variances).mean(0))
    assert not block.norm.running_mean.any()
    network.train()
    network(batches[0], settings)
    torch.testing.assert_close(block.norm.running_var, torch.stack(variances).mean(0))


def test_a_new_proxy_does_nearly_nothing() -> None:
    audio = noise(2)
    change = TCNProxy(30000, SMALL)(audio, some_settings(2)) - audio
    assert change.square().mean() < 0.01 * audio.square().mean()


@torch.no_grad()
def test_silence_stays_silence(proxy: TCNProxy) -> None:
    audio = noise(2)
    audio[0] = 0
    audio[1, 0] = 0
    audio[1, 1, SAMPLES // 2 :] = 0
    output = proxy(audio, some_settings(2))
    assert not output[0].any()
    assert not output[1, 0].any()
    assert output[1, 1].any()


@torch.no_grad()
@pytest.mark.parametrize("config", [SMALL, WIDE])
def test_it_reaches_no_further_than_declared(config: TCNConfig) -> None:
    proxy, settings = busy_proxy(config), some_settings(1)
    audio, at = noise(1, 4000), 1500
    other = audio.clone()
    other[..., at] += 0.5
    _, ahead = proxy.memory(settings)
    differs = (proxy(audio, settings) - proxy(other, settings)).abs().amax((0, 1)) > 1e-5
    assert differs[at]
    assert not differs[: at - ahead].any()


def test_the_dilated_network_is_causal() -> None:
    assert busy_proxy(DILATED).memory(some_settings(1)) == (12 * 1111, 0)


def test_without_levels_and_shifts_it_is_as_loud_as_its_input() -> None:
    """PReLUs are positively homogeneous; a compressor is not, and so a block with levels must not be."""
    audio, settings = noise(1), some_settings(1)
    homogeneous = []
    for config in (SMALL.model_copy(update={"blocks": BLOCKS[:1]}), SMALL.model_copy(update={"blocks": BLOCKS[1:2]})):
        proxy = busy_proxy(config)
        for block in proxy.network.tcn_blocks:
            channels = block.config.channels
            with torch.no_grad():
                block.film.last.weight[channels : 2 * channels] = 0
                block.film.last.bias[channels : 2 * channels] = 0
        quiet = proxy(0.1 * audio, settings)
        homogeneous.append(torch.allclose(10 * quiet, proxy(audio, settings), rtol=1e-3, atol=1e-5))
    assert homogeneous == [True, False]


def test_an_envelope_has_two_time_constants_and_a_kernel_a_time_zero() -> None:
    with pytest.raises(ValueError, match="give both or none"):
        BlockConfig(shortest=1.0)
    with pytest.raises(ValueError, match="lookahead is 13 of 13 taps"):
        BlockConfig(lookahead=13)


# --- as a processor


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_are_kept(proxy: TCNProxy, dtype: torch.dtype) -> None:
    audio = noise(3).to(dtype)
    output = proxy(audio, some_settings(3).to(dtype))
    assert (output.shape, output.dtype) == (audio.shape, dtype)


def test_a_batch_is_its_items_one_by_one(proxy: TCNProxy) -> None:
    audio, settings = noise(3), some_settings(3)
    single = torch.cat([proxy(audio[i : i + 1], settings[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(proxy(audio, settings), single, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("signal", [torch.zeros(1, 2, 500), torch.ones(1, 2, 500), torch.ones(1, 2, 1)])
def test_it_is_finite_at_the_ends_of_every_range(signal: Tensor) -> None:
    low, high = STRIP_TYPE.bounds()
    settings = torch.stack([low, high, STRIP_TYPE.neutral()]).requires_grad_()
    audio = signal.expand(3, -1, -1).clone().requires_grad_()
    output = busy_proxy()(audio, settings)
    assert torch.isfinite(output).all()
    for gradient in torch.autograd.grad(output.sum(), (settings, audio)):
        assert torch.isfinite(gradient).all()


def test_gradients_flow_to_settings_and_audio_and_not_to_the_weights() -> None:
    proxy = busy_proxy()
    settings, audio = some_settings(2).requires_grad_(), noise(2).requires_grad_()
    proxy(audio, settings).square().sum().backward()
    assert settings.grad is not None
    assert (settings.grad.abs().sum(0) > 0).all()
    assert audio.grad is not None
    assert audio.grad.abs().sum() > 0
    assert all(not p.requires_grad and p.grad is None for p in proxy.parameters())


def test_gradients_agree_with_finite_differences() -> None:
    proxy = busy_proxy()
    proxy.network.double()
    settings = unit_settings(some_settings(1).double()).requires_grad_()
    audio = noise(1, 60).double().requires_grad_()
    assert torch.autograd.gradcheck(proxy.network, (audio, settings), fast_mode=True)


def test_it_is_a_node_type_like_any_other(tmp_path: Path) -> None:
    proxy = busy_proxy()
    rack = Rack([*Rack.console("g"), proxy])
    console = mixing_console(rack, {"band": ["voice", "guitar"]}, "pg")
    console.params["proxy"] = some_settings(3)
    sources = noise(2)
    mix = Renderer(rack)(console, sources)
    strips = console.params["proxy"]
    expected = proxy(proxy(sources, strips[:2]).sum(0, keepdim=True), strips[2:])
    torch.testing.assert_close(mix, expected, rtol=1e-4, atol=1e-5)
    again = load_graph(save_graph(console, tmp_path / "console.safetensors"))
    assert torch.equal(Renderer(rack)(again, sources), mix)
    raw = proxy.to_raw(strips)
    torch.testing.assert_close(proxy.from_raw(raw), strips, rtol=1e-4, atol=1e-4)
    with pytest.raises(GraphError, match="uses 'proxy', which graphmix does not have; render it with a rack"):
        Rack.for_types(again.types.types, 30000)


def test_gradient_descent_through_it_finds_settings() -> None:
    """Settings that an audio loss recovers from the proxy's own sound, through the renderer."""
    proxy = busy_proxy()
    rack, sources = Rack([proxy]), noise(1)
    graph = MixGraph(rack.types)
    graph.chain(graph.add("in"), graph.add("p"), graph.add("out"))
    renderer, wanted = Renderer(rack), some_settings(1)
    graph.params["proxy"] = wanted
    target = renderer(graph, sources)
    raw = proxy.to_raw(some_settings(1, seed=7)).requires_grad_()
    optimizer = torch.optim.Adam([raw], lr=0.03)
    losses = []
    for _ in range(80):
        graph.params = {"proxy": proxy.from_raw(raw)}
        loss = (renderer(graph, sources) - target).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        proxy.project(raw)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_a_proxy_is_for_one_rate() -> None:
    with pytest.raises(ValueError, match="the network is for 30000 Hz and the proxy for 44100 Hz"):
        TCNProxy(44100, SMALL)
    assert TCNProxy(44100).config.sample_rate == 44100


# --- files


def test_a_proxy_is_saved_and_loaded_to_the_bit(tmp_path: Path, proxy: TCNProxy) -> None:
    loaded = load_proxy(save_proxy(proxy, tmp_path / "proxy.safetensors"))
    assert loaded.config == proxy.config
    assert all(not p.requires_grad for p in loaded.parameters())
    audio, settings = noise(2), some_settings(2)
    assert torch.equal(loaded(audio, settings), proxy(audio, settings))


def test_loading_leaves_the_random_numbers_alone(tmp_path: Path) -> None:
    path = save_proxy(busy_proxy(), tmp_path / "proxy.safetensors")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_proxy(path)
    assert torch.equal(torch.rand(2), expected)


def test_files_that_are_no_proxy(tmp_path: Path) -> None:
    with pytest.raises(GraphmixError, match=r"cannot load .*none.safetensors: there is no such file"):
        load_proxy(tmp_path / "none.safetensors")
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(GraphmixError, match="this is no proxy; the file holds other tensors"):
        load_proxy(path)
    path.write_bytes(save_proxy(busy_proxy(), tmp_path / "proxy.safetensors").read_bytes()[:3000])
    with pytest.raises(GraphmixError, match=r"cannot load .*other.safetensors: the file is damaged or cut off"):
        load_proxy(path)
    header = json.dumps({"version": 1, "config": {"hidden": "many"}})
    save_file({"x": torch.zeros(2)}, path, {HEADER: header})
    with pytest.raises(GraphmixError, match="its header is damaged"):
        load_proxy(path)
    header = json.dumps({"version": 1, "config": WIDE.model_dump(mode="json")})
    save_file(dict(busy_proxy().network.state_dict()), path, {HEADER: header})
    with pytest.raises(GraphmixError, match=r"its config asks for .*; the file was put together from two"):
        load_proxy(path)


# --- pretraining


def tracks() -> Sounds:
    """A pulsing tone and bursts of noise, one second each."""
    time = torch.arange(30000) / 30000
    tone = torch.sin(2 * torch.pi * 220 * time) * (0.5 + 0.5 * torch.sin(20 * time))
    bursts = torch.randn(30000, generator=seeded(4)) * torch.exp(-30 * (time % 0.25))
    return Sounds(0.2 * torch.stack([tone.expand(2, -1), bursts.expand(2, -1)]), 30000)


QUICK = ProxyTraining(clicks=1, levels=1, steps=3, batch=2, seconds=0.1, warmup=1, calibration=1)


def test_pretraining_brings_it_nearer_to_the_chain() -> None:
    torch.manual_seed(0)
    proxy = TCNProxy(30000, SMALL)
    training = ProxyTraining(
        clicks=30, levels=10, steps=30, batch=2, seconds=0.15, warmup=5, calibration=2, learning_rate=1e-2
    )
    sounds = tracks()
    audio, settings = sounds.draw(12, 0.3, seeded(99)), some_settings(12, seed=98)
    before = score_proxy(proxy, audio, settings)
    losses = pretrain_proxy(proxy, sounds, training)
    after = score_proxy(proxy, audio, settings)
    assert before.share == pytest.approx(1, abs=0.1)
    assert after.bypass == before.bypass
    assert after.share < 0.95
    assert len(losses) == 70
    assert sum(losses[20:30]) < 0.95 * sum(losses[:10])
    assert all(not p.requires_grad for p in proxy.parameters())


def test_the_same_seed_gives_the_same_proxy() -> None:
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        proxy = TCNProxy(30000, SMALL)
        steps: list[int] = []
        losses = pretrain_proxy(proxy, tracks(), QUICK, lambda step, loss, steps=steps: steps.append(step))
        assert steps == [1, 2, 3, 4, 5]
        results.append((losses, proxy.network.lift.clone()))
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])


def test_doing_nothing_scores_as_the_bypass() -> None:
    proxy = TCNProxy(30000, SMALL)
    with torch.no_grad():
        for block in proxy.network.tcn_blocks:
            assert isinstance(block, TCNBlock)
            block.mixdown.zero_()
    score = score_proxy(proxy, noise(3, 6000), some_settings(3))
    assert score.share == pytest.approx(1, abs=1e-4)
    assert len(score.proxy) == len(score.bypass) == 3


def test_the_loss_is_zero_for_the_target_and_the_mean_over_its_items() -> None:
    target, prediction = noise(3), noise(3, seed=5)
    target[1] *= 0.01
    assert float(proxy_loss(prediction=target, target=target)) == 0
    single = [proxy_loss(prediction=prediction[i : i + 1], target=target[i : i + 1]) for i in range(3)]
    together = proxy_loss(prediction=prediction, target=target)
    torch.testing.assert_close(together, torch.stack(single).mean(), rtol=1e-4, atol=0)


def test_the_learning_rate_rises_and_falls() -> None:
    training = ProxyTraining(steps=100, warmup=9)
    rates = [training.rate(step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9]
    assert rates[100] == pytest.approx(0)


def test_sounds_are_drawn_as_often_as_asked_and_by_seed() -> None:
    sounds = tracks()
    drawn = sounds.draw(5, 0.2, seeded(1), noise=0.5)
    assert drawn.shape == (5, 2, 6000)
    assert drawn.abs().max() <= 1.0
    assert torch.equal(drawn, sounds.draw(5, 0.2, seeded(1), noise=0.5))
    assert (drawn.square().mean((1, 2)) > 0).all()
    longer = sounds.draw(1, 1.5, seeded(2))
    assert longer.shape == (1, 2, 45000)


def test_a_click_is_one_sample_and_shows_the_response_of_a_filter() -> None:
    drawn = clicks(40, 800, seeded(1))
    assert (drawn != 0).sum((1, 2)).tolist() == [2] * 40
    levels = drawn[:, :, 100].abs()
    assert torch.equal(levels[:, 0], levels[:, 1])
    assert float(levels.min()) >= 10 ** (-12 / 20)
    assert float(levels.max()) <= 1
    assert set(drawn[:, :, 100].sign().flatten().tolist()) == {-1.0, 1.0}


def test_effects_at_rest_do_nothing() -> None:
    settings = some_settings(400)
    resting = at_rest(settings, 0.25, seeded(3))
    neutral = STRIP_TYPE.neutral()
    for name in RESTING:
        columns = STRIP_TYPE.columns(name)
        still = (resting[:, columns] == neutral[columns]).all(1)
        assert 60 < int(still.sum()) < 140, name
        assert torch.equal(resting[~still][:, columns], settings[~still][:, columns])
    assert torch.equal(at_rest(settings, 0.0, seeded(3)), settings)
    audio, all_resting = noise(3), at_rest(some_settings(3), 1.0, seeded(3))
    torch.testing.assert_close(STRIP(audio, all_resting), audio, rtol=1e-4, atol=1e-5)


def test_levels_are_learned_by_the_blocks_that_take_them() -> None:
    torch.manual_seed(0)
    proxy = TCNProxy(30000, SMALL)
    before = {name: value.clone() for name, value in proxy.network.named_parameters()}
    pretrain_proxy(proxy, tracks(), replace(QUICK, clicks=0, levels=2, learning_rate=0.0))
    moved = {name for name, value in proxy.network.named_parameters() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("blocks.1.") for name in moved)


def test_coloured_noise_has_a_level_and_is_finite() -> None:
    for seed in range(10):
        sound = coloured_noise(3001, 30000, seeded(seed))
        assert sound.shape == (2, 3001)
        level_db = 10 * float(sound.square().mean().log10())
        assert -30.01 <= level_db <= -9.99


def test_no_track_is_both_learned_and_tested() -> None:
    assert not set(HELD_OUT) & set(TRAINED_ON)
    assert len(HELD_OUT) + len(TRAINED_ON) == 10
    song = Sounds.of_demo_song(HELD_OUT, [1], seconds=1.0)
    assert song.tracks.shape == (3, 2, 30000)


def test_what_cannot_be_trained_on() -> None:
    with pytest.raises(GraphmixError, match=r"tracks have shape \[1, 2, 100\]; give \[tracks, 2, samples\] that sound"):
        Sounds(torch.zeros(1, 2, 100), 30000)
    with pytest.raises(GraphmixError, match="the sounds are at 30000 Hz and the proxy at 44100 Hz"):
        pretrain_proxy(TCNProxy(44100, SMALL.model_copy(update={"sample_rate": 44100})), tracks(), QUICK)
    with pytest.raises(GraphmixError, match="cannot train"):
        ProxyTraining(steps=0)
