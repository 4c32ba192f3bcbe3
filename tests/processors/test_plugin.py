"""Plugins as nodes: the sound is pedalboard's own; blocks, gradients, graph files, messages."""

import copy
import math
import pickle
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.audio import load_stems, write_audio
from graphmix.errors import GraphError, GraphmixError, SearchError
from graphmix.graph import MixGraph
from graphmix.graph.storage import load_graph, save_graph
from graphmix.processors import PluginEffect, Rack, plugin_effect
from graphmix.processors.perturbation import Perturbation
from graphmix.processors.plugin import plugin_from_text
from graphmix.processors.plugin_parameters import BUILT_IN
from graphmix.render import Renderer
from graphmix.render.blocks import render_song
from graphmix.search.fit import check_gradients
from tests.random_parameters import random_parameters

pedalboard = pytest.importorskip("pedalboard")

RATE = 16000
NAMES = [name for name in BUILT_IN if hasattr(pedalboard, name)]
TRIED = ("ZamCompX2", "ZamGate")
INSTALLED = [path for path in map(Path, pedalboard.VST3Plugin.installed_plugins) if path.stem in TRIED]
"""Of Debian's zam-plugins, where they are installed: a stereo and a mono one."""
WET = {
    "Chorus": {"mix": 1.0},
    "Phaser": {"mix": 1.0},
    "Delay": {"mix": 1.0},
    "Reverb": {"wet_level": 1 / 3, "dry_level": 0},
}


def noise(rows: int = 1, samples: int = 3000, seed: int = 0) -> Tensor:
    return 0.3 * torch.randn(rows, 2, samples, generator=torch.Generator().manual_seed(seed))


def usual(effect: PluginEffect, rows: int = 1) -> Tensor:
    values = random_parameters(effect.node_type, rows, torch.Generator().manual_seed(1))
    return values.clamp(*effect.node_type.bounds())


def chain_of(effect: PluginEffect, *others: str, **values: float) -> tuple[Rack, MixGraph]:
    """A track through the effect and then others."""
    rack = Rack.console("ecgdr", RATE).with_processor(effect)
    graph = MixGraph(rack.types, RATE)
    nodes = [graph.add(effect.node_type.name, **values), *(graph.add(name) for name in others)]
    return rack, graph.chain(graph.add("in", name="a.wav"), *nodes, graph.add("out"))


# --- rendering


@pytest.mark.parametrize("name", NAMES)
def test_it_sounds_as_in_pedalboard_to_the_last_bit(name: str):
    effect = plugin_effect(name, "k", RATE)
    audio, params = noise(3), usual(effect, 3)
    output = effect(audio, params)
    for row, values, out in zip(audio.numpy(), params, output, strict=True):
        named = {p.name: float(v) for p, v in zip(effect.node_type.parameters, values, strict=True)}
        plugin = getattr(pedalboard, name)(**named, **WET.get(name, {}))
        np.testing.assert_array_equal(out.numpy(), plugin.process(row, RATE))


@pytest.mark.parametrize("name", NAMES)
def test_its_own_latency_is_made_up_for(name: str):
    """An impulse stays where it is or comes later, but for what rings before it in filters."""
    effect = plugin_effect(name, "k", RATE)
    audio = torch.zeros(1, 2, 3000)
    audio[..., 1000] = 0.9
    output = effect(audio, effect.node_type.neutral()[None])
    assert not output[..., :1000].any()


SIGNALS = {
    "silence": torch.zeros(1, 2, 2000),
    "DC": torch.full((1, 2, 2000), 0.5),
    "full scale": torch.sign(noise(1, 2000)),
    "one sample": torch.ones(1, 2, 1),
    "two samples": torch.ones(1, 2, 2),
    "no samples": torch.zeros(1, 2, 0),
}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_finite_at_the_ends_of_every_range(name: str):
    effect = plugin_effect(name, "k", RATE)
    for params in (*effect.node_type.bounds(), effect.node_type.neutral()):
        for signal in SIGNALS.values():
            output = effect(signal, params[None])
            assert output.shape == signal.shape
            assert torch.isfinite(output).all()


def test_float64_comes_back_as_float64():
    assert plugin_effect("Gain", "k", RATE)(noise().double(), torch.zeros(1, 1)).dtype == torch.float64


def test_left_and_right_act_on_each_other_in_a_reverb_alone():
    coupled = {name for name in NAMES if plugin_effect(name, "k", RATE).coupled}
    varying = {name for name in NAMES if plugin_effect(name, "k", RATE).varies}
    assert coupled == {"Reverb"}
    assert varying == {"Chorus", "Phaser"}


def test_threads_do_not_disturb_each_other():
    effect = plugin_effect("Reverb", "k", RATE)
    audio, params = noise(1, 20000), usual(effect, 8)
    expected = [effect(audio, params[i : i + 1]) for i in range(8)]
    found: dict[int, Tensor] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: effect(audio, params[i : i + 1])})) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[i], expected[i]) for i in range(8))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda effect: pickle.loads(pickle.dumps(effect))])
def test_a_copy_sounds_the_same(copied):
    effect = plugin_effect("LadderFilter", "k", RATE, gradient="spsa", mode="HPF24")
    params = usual(effect)
    assert torch.equal(copied(effect)(noise(), params), effect(noise(), params))


@pytest.mark.parametrize("name", ["Compressor", "Chorus", "Reverb", "BrickwallLimiter"])
@pytest.mark.parametrize("after", [(), ("equalizer",), ("delay",)])
@torch.no_grad()
def test_blocks_equal_the_whole(name: str, after: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    effect = plugin_effect(name, "k", RATE)
    rack, graph = chain_of(effect, *after, effect.node_type.name)
    graph.params[effect.node_type.name] = usual(effect, 2)
    graph.wet[graph.nodes_of("k")] = torch.tensor([0.7, 1.0])
    write_audio(tmp_path / "a.wav", noise(1, 6 * RATE + 1)[0], RATE)
    song = load_stems(tmp_path, RATE)
    whole = Renderer(rack)(graph, song.read(0, song.num_samples).stems)[0]
    monkeypatch.setattr("graphmix.render.blocks.BLOCK_SECONDS", 0.25)
    torch.testing.assert_close(render_song(graph, song, rack), whole, rtol=1e-4, atol=1e-5)


def test_two_tracks_with_other_paths_stream_each_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One plugin behind an equalizer, which looks ahead, and one behind nothing, in one stage."""
    effect = plugin_effect("Limiter", "k", RATE)
    rack = Rack.console("ed", RATE).with_processor(effect)
    graph = MixGraph(rack.types, RATE)
    out = graph.add("out")
    graph.chain(
        graph.add("in", "a.wav"), graph.add("equalizer"), graph.add("k", threshold_db=-20.0), graph.add("delay"), out
    )
    graph.chain(graph.add("in", "b.wav"), graph.add("k", threshold_db=-30.0), out)
    for name in "ab":
        write_audio(tmp_path / f"{name}.wav", noise(1, 5 * RATE + 2, ord(name))[0], RATE)
    song = load_stems(tmp_path, RATE)
    whole = Renderer(rack)(graph, song.read(0, song.num_samples).stems)[0]
    monkeypatch.setattr("graphmix.render.blocks.BLOCK_SECONDS", 0.25)
    torch.testing.assert_close(render_song(graph, song, rack), whole, rtol=1e-4, atol=1e-5)


# --- gradients


def test_without_a_gradient_the_weight_has_an_exact_one_and_the_rest_none():
    effect = plugin_effect("Clipping", "k", RATE)
    rack, graph = chain_of(effect, threshold_db=-20.0)
    audio = noise().requires_grad_()
    graph.wet.requires_grad_()
    graph.params["plugin_clipping"].requires_grad_()
    output = Renderer(rack)(graph, audio)
    weight = noise(seed=5)
    (output * weight).sum().backward()
    wet = effect(audio.detach(), torch.tensor([[-20.0]]))
    assert float(graph.wet.grad[graph.nodes_of("k")]) == pytest.approx(
        float(((wet - audio.detach()) * weight).sum()), rel=1e-4
    )
    assert graph.params["plugin_clipping"].grad is None
    assert not audio.grad.any()  # fully wet


def test_the_gradient_of_a_gain_is_that_of_its_closed_form():
    effect = plugin_effect("Gain", "k", RATE, gradient="spsa")
    audio, params, weight = (
        noise(2).requires_grad_(),
        torch.tensor([[-7.0], [3.0]], requires_grad=True),
        noise(2, seed=5),
    )
    output = effect(audio, params)
    (output * weight).sum().backward()
    wanted = (output * weight).sum((1, 2)) * math.log(10) / 20
    torch.testing.assert_close(params.grad[:, 0], wanted.detach(), rtol=2e-3, atol=1e-4)
    torch.testing.assert_close(audio.grad, weight * 10 ** (params.detach()[:, :, None] / 20), rtol=1e-3, atol=1e-4)


def test_draws_agree_with_finite_differences_on_the_average():
    audio, weight = noise(1, 4000), noise(1, 4000, seed=5)
    params = torch.tensor([[-25.0, 4.0, 3.0, 80.0]])
    effect = plugin_effect("Compressor", "k", RATE, gradient="spsa", how=Perturbation(draws=4, size=0.005))
    unknown = params.clone().requires_grad_()
    (effect(audio, unknown) * weight).sum().backward()
    for k, step in enumerate((0.05, 0.01, 0.02, 0.5)):
        change = torch.zeros_like(params)
        change[0, k] = step
        difference = ((effect(audio, params + change) - effect(audio, params - change)) * weight).sum() / (2 * step)
        assert float(unknown.grad[0, k]) == pytest.approx(float(difference), rel=0.1, abs=2e-4)


FITS = [
    ("Gain", {}, [-9.0], [0.0], 1.0),
    ("HighpassFilter", {}, [700.0], [50.0], 20.0),
    ("Compressor", {"ratio": 4, "attack_ms": 5, "release_ms": 80}, [-28.0], [-10.0], 1.0),
]


@pytest.mark.parametrize(("name", "fixed", "truth", "start", "tolerance"), FITS, ids=[fit[0] for fit in FITS])
def test_descent_finds_a_parameter(name: str, fixed: dict, truth: list, start: list, tolerance: float):
    effect = plugin_effect(name, "k", RATE, gradient="spsa", **fixed)
    target = effect(noise(), torch.tensor([truth]))
    raw = effect.to_raw(torch.tensor([start])).requires_grad_()
    optimizer = torch.optim.Adam([raw], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        (effect(noise(), effect.from_raw(raw)) - target).square().sum().backward()
        optimizer.step()
        effect.project(raw)
    assert abs(float(effect.from_raw(raw.detach())) - truth[0]) < tolerance


def test_a_search_is_refused_what_it_cannot_fit_and_nothing_else():
    rack, graph = chain_of(plugin_effect("Clipping", "k", RATE))
    with pytest.raises(
        SearchError, match=r"'plugin_clipping' has the parameters threshold_db and passes no gradients.*spsa"
    ):
        check_gradients(graph, rack)
    for effect in (
        plugin_effect("Clipping", "k", RATE, gradient="spsa"),
        plugin_effect("Clipping", "k", RATE, threshold_db=-6),
    ):
        rack, graph = chain_of(effect)
        check_gradients(graph, rack)


# --- what a graph says of it


def test_a_graph_names_plugin_settings_and_versions_and_refuses_others(tmp_path: Path):
    effect = plugin_effect("LadderFilter", "k", RATE, mode="HPF24", drive=2)
    _, graph = chain_of(effect)
    source = rf"plugin:LadderFilter,drive=2,mode=HPF24 \(pedalboard {pedalboard.__version__}\)"
    for path in (tmp_path / "graph.safetensors", tmp_path / "graph.json"):
        types = load_graph(save_graph(graph, path)).types.types
        Rack.for_types(types, RATE, [plugin_from_text("plugin:LadderFilter,mode=HPF24,drive=2.0", "x", RATE)])
        with pytest.raises(GraphError, match=rf"{source} .*--effect k=plugin:LadderFilter,drive=2,mode=HPF24\."):
            Rack.for_types(types, RATE)
        with pytest.raises(
            GraphError, match=rf"is from {source} .*, and the one given from plugin:LadderFilter,drive=3"
        ):
            Rack.for_types(types, RATE, [plugin_effect("LadderFilter", "k", RATE, mode="HPF24", drive=3)])


@pytest.mark.parametrize("name", NAMES)
def test_neutral_values_are_floating_point_and_in_range(name: str):
    node_type = plugin_effect(name, "k", RATE).node_type
    low, high = node_type.bounds()
    assert node_type.neutral().dtype == low.dtype == high.dtype == torch.float32
    assert all(p.low < p.high for p in node_type.parameters)


def test_what_is_fixed_is_no_parameter():
    effect = plugin_effect("Compressor", "k", RATE, ratio=4, attack_ms=5)
    assert [p.name for p in effect.node_type.parameters] == ["threshold_db", "release_ms"]


def test_a_search_starts_where_the_plugin_does_something():
    effect = plugin_effect("Compressor", "k", RATE)
    start = effect.start(effect.node_type.neutral().expand(2, -1), torch.Generator())
    assert start.tolist() == [[-20.0, 2.0, 5.0, 100.0]] * 2


def test_a_text_says_what_keywords_say():
    effect = plugin_from_text("plugin:Compressor,ratio=4,gradient=spsa,draws=4,name=squeeze", "k", RATE)
    assert (effect.node_type.name, effect.node_type.letter, effect.gradient) == ("squeeze", "k", "spsa")
    same = plugin_effect("Compressor", "k", RATE, gradient="spsa", how=Perturbation(draws=4), name="squeeze", ratio=4.0)
    assert effect.node_type == same.node_type
    assert "draws=4" in effect.extra_repr()


# --- bad input

WRONG = [
    ("plugin:Compresor", r"there is no plugin 'Compresor': give a \.vst3 file or one of .*Compressor"),
    ("plugin:PitchShift", r"there is no plugin 'PitchShift'"),
    ("plugin:Gain,gain=3", r"Gain has no setting 'gain'; it has: gain_db\."),
    ("plugin:Gain,gain_db=loud", r"Gain: gain_db=loud: .*float"),
    ("plugin:LadderFilter,mode=LPF36", r"the mode is 'LPF36'; it is one of LPF12, "),
    ("plugin:Compressor,ratio=0.5", r"Compressor: ratio=0\.5: .*>= 1"),
    ("plugin:Gain,gradient=exact", r"the gradient of a plugin is 'exact'; it is one of none, spsa"),
    ("plugin:Gain,gradient=spsa,draws=-1", r"draws is '-1'"),
    ("plugin:Gain,loud", r"'loud' is no setting"),
    ("plugin:Gain,gain_db=1,gain_db=2", r"'gain_db=2' is no setting of its own"),
    ("no/such.vst3", r"cannot load no/such\.vst3: there is no such file"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[text for text, _ in WRONG])
def test_what_cannot_be_is_refused_in_one_line(text: str, message: str):
    with pytest.raises(GraphmixError, match=message) as refused:
        plugin_from_text(text, "k", RATE)
    assert "\n" not in str(refused.value)


def test_a_letter_of_two_characters_is_refused():
    with pytest.raises(GraphmixError, match=r"letter"):
        Rack.console("eg", RATE, [plugin_effect("Gain", "g", RATE)])


def test_a_file_that_is_no_plugin_is_refused_in_one_line(tmp_path: Path):
    path = tmp_path / "fake.vst3"
    path.write_bytes(b"no plugin at all")
    with pytest.raises(GraphmixError, match=r"cannot load .*fake\.vst3") as refused:
        plugin_effect(path, "k", RATE)
    assert "\n" not in str(refused.value)


def test_without_pedalboard_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pedalboard", None)
    with pytest.raises(GraphmixError, match=r"pip install 'graphmix\[plugins\]'"):
        plugin_effect("Gain", "k", RATE)


# --- VST3 files, where there are some


@pytest.mark.parametrize("path", INSTALLED, ids=[path.stem for path in INSTALLED])
def test_an_installed_plugin_is_a_node(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    effect = plugin_effect(path, "k", RATE, gradient="spsa")
    name = effect.node_type.name
    params = usual(effect, 2)
    expected = torch.cat([plugin_effect(path, "k", RATE)(noise(), row[None]) for row in params])
    torch.testing.assert_close(effect(noise().expand(2, -1, -1), params), expected, rtol=0, atol=0)
    rack, graph = chain_of(effect, "equalizer", name)
    graph.params[name] = params
    write_audio(tmp_path / "a.wav", noise(1, 3 * RATE)[0], RATE)
    song = load_stems(tmp_path, RATE)
    whole = Renderer(rack)(graph, song.read(0, song.num_samples).stems)[0]
    monkeypatch.setattr("graphmix.render.blocks.BLOCK_SECONDS", 0.25)
    torch.testing.assert_close(render_song(graph, song, rack), whole, rtol=1e-5, atol=1e-5)
    unknown = effect.start(params, torch.Generator()).requires_grad_()
    effect(noise().expand(2, -1, -1), unknown).square().sum().backward()
    assert torch.isfinite(unknown.grad).all()
    assert unknown.grad.any()
    again = pickle.loads(pickle.dumps(effect))
    assert again.node_type == effect.node_type
    assert load_graph(save_graph(graph, tmp_path / "graph.json")).types.types[-1] == effect.node_type


@pytest.mark.parametrize("path", INSTALLED, ids=lambda path: path.stem)
def test_a_plugin_leaves_the_arithmetic_of_the_process_alone(path: Path):
    plugin_effect(path, "p", RATE)
    assert float(np.float32(1e-40) * np.float32(1)) > 0
