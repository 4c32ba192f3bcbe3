"""Laws of all effect models: blocks, batches, gradients, files; and of the node type that they make."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.graph import MixGraph
from graphmix.graph.storage import load_graph, save_graph
from graphmix.models.effects import CapturedEffect, EffectModel, build_effect, captured_effect, load_effect, save_effect
from graphmix.models.effects.effect_files import digest_of
from graphmix.processors import Rack
from graphmix.render import Renderer

CONTROLS = ({"name": "drive", "low": 0.0, "high": 10.0, "unit": "dB"}, {"name": "tone", "neutral": 0.3})
ARRAY = {"channels": 3, "head": 1, "dilations": (1, 4, 2)}
TINY = {
    "wavenet": {"arrays": ({"channels": 4, "head": 3, "dilations": (1, 8)}, ARRAY), "head_scale": 1.0},
    "lstm": {"hidden": 4, "layers": 2},
    "gru": {"hidden": 5, "skip": True},
    "feedback": {"window": 8, "hidden": 6, "layers": 2},
    "grey_box": {"taps": 15, "direct": 3, "resonances": 2, "points": 5, "hidden": 3, "shapers": 2, "branches": 2},
    "conv_net": {"channels": 3, "dilations": (1, 2), "batchnorm": False},
    "linear": {"taps": 7},
    "tcn": {"width": 2, "channels": 3, "taps": 3, "dilations": (1, 4), "hidden": 3},
}
RESTING = ("lstm", "gru", "feedback")
"""Models whose state after silence counts as a constant."""
WITH_CONTROLS = ("wavenet", "lstm", "gru", "feedback", "grey_box", "tcn")
LONG_TO_COMPILE = ("wavenet", "lstm", "gru")
"""Models whose loops take a minute to be compiled for float64; there they are tested in the slow part."""


def a_model(name: str, controls: bool = False) -> EffectModel:
    torch.manual_seed(4)
    model = build_effect({"model": name, **TINY[name], "controls": CONTROLS if controls else (), "sample_rate": 8000})
    with torch.no_grad():
        for value in model.parameters():
            value += 0.1 * torch.randn_like(value)
    return model.eval()


def noise(rows: int = 2, samples: int = 300, dtype: torch.dtype = torch.float32) -> Tensor:
    torch.manual_seed(6)
    return 0.4 * torch.randn(rows, samples, dtype=dtype)


def settings(rows: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.tensor([[2.0, 0.9], [7.5, 0.1], [5.0, 0.5]], dtype=dtype)[:rows]


CASES = [(name, False) for name in TINY] + [(name, True) for name in WITH_CONTROLS]


def in_float64(cases: list[tuple[Any, ...]]) -> list[Any]:
    """Cases that begin with the name of a model, those in the slow part that belong there."""
    slow = pytest.mark.slow
    return [pytest.param(*case, marks=slow) if case[0] in LONG_TO_COMPILE else case for case in cases]


@pytest.mark.parametrize(("name", "controls"), CASES)
@torch.no_grad()
def test_blocks_equal_the_whole(name: str, controls: bool):
    model, audio = a_model(name, controls), noise()
    knobs = settings(2) if controls else None
    whole, state, blocks = model(audio, knobs), None, []
    for block in audio.split([1, 100, 7, 192], dim=-1):
        out, state = model.stream(block, knobs, state)
        blocks.append(out)
    torch.testing.assert_close(torch.cat(blocks, dim=-1), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "controls"), CASES)
@torch.no_grad()
def test_a_batch_equals_a_loop_over_its_rows(name: str, controls: bool):
    model, audio = a_model(name, controls), noise(3)
    knobs = settings(3) if controls else audio.new_zeros(3, 0)
    alone = [model(audio[i : i + 1], knobs[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(model(audio, knobs), torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "controls"), CASES)
@torch.no_grad()
def test_silence_before_a_signal_changes_nothing(name: str, controls: bool):
    model, audio = a_model(name, controls), noise()
    knobs = settings(2) if controls else None
    late = model(torch.cat([torch.zeros(2, 500), audio], dim=-1), knobs)[:, 500:]
    torch.testing.assert_close(late, model(audio, knobs), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "controls"), in_float64(CASES))
def test_gradients_agree_with_finite_differences(name: str, controls: bool):
    model = a_model(name, controls).double().requires_grad_(False)
    audio = noise(2, 12, torch.float64).requires_grad_()
    knobs = settings(2, torch.float64).requires_grad_() if controls else None
    if name in RESTING:
        state = model.rest(model.normalized(None if knobs is None else knobs.detach(), audio))
        inputs = (audio,) if knobs is None else (audio, knobs)
        assert torch.autograd.gradcheck(lambda x, *k: model.stream(x, k[0] if k else None, state)[0], inputs)
    else:
        assert torch.autograd.gradcheck(model, (audio,) if knobs is None else (audio, knobs))


@pytest.mark.parametrize(("name", "controls"), CASES)
def test_what_respond_gives_is_the_end_of_the_whole(name: str, controls: bool):
    model = a_model(name, controls)
    knobs = settings(1) if controls else None
    audio = noise(1, model.context + 50)
    with torch.no_grad():
        torch.testing.assert_close(model.respond(audio, knobs), model(audio, knobs)[:, -50:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("level", [0.0, 1.0, -4.0], ids=["silence", "dc", "overload"])
@torch.no_grad()
def test_silence_dc_and_overload_stay_finite(name: str, level: float):
    assert a_model(name)(torch.full((1, 64), level)).isfinite().all()


@pytest.mark.parametrize(("name", "controls"), CASES)
def test_a_model_survives_its_file(name: str, controls: bool, tmp_path: Path):
    model = a_model(name, controls)
    again, about = load_effect(save_effect(model, tmp_path / "amp.safetensors", {"device": "amp"}))
    assert about == {"device": "amp"}
    assert again.config == model.config
    with torch.no_grad():
        assert torch.equal(again(noise()), model(noise()))


def test_the_digest_of_an_effect_stays_what_it_was():
    """Graphs name it: of a GRU with a control, all weights 0.5."""
    model = build_effect({"model": "gru", "hidden": 2, "controls": ({"name": "tone"},)})
    with torch.no_grad():
        for value in model.state_dict().values():
            value.fill_(0.5)
    assert digest_of(model) == "50b547a621677193"


@pytest.mark.parametrize(("low", "high"), [(0.0, 1e39), (0.0, math.inf), (math.nan, 1.0), (1e8, 1e8 + 1), (1.0, 1.0)])
def test_ranges_that_single_precision_cannot_hold_are_refused(low: float, high: float):
    with pytest.raises(GraphmixError, match="gru: control"):
        build_effect({"model": "gru", "hidden": 2, "controls": ({"name": "tone", "low": low, "high": high},)})


def test_wrong_controls_are_refused():
    with pytest.raises(GraphmixError, match=r"controls have shape \[2, 1\], expected \[2, 2\].*: drive, tone\."):
        a_model("lstm", True)(noise(), torch.zeros(2, 1))


# --- as a node


def effect_in(graph_rate: int, controls: bool = True, name: str = "gru") -> CapturedEffect:
    return CapturedEffect(a_model(name, controls), "amp", "a", graph_rate)


def test_the_controls_are_the_parameters():
    node_type = effect_in(8000).node_type
    assert [(p.name, p.low, p.high, p.neutral, p.unit) for p in node_type.parameters] == [
        ("drive", 0.0, 10.0, 5.0, "dB"),
        ("tone", 0.0, 1.0, 0.3, ""),
    ]


@torch.no_grad()
def test_it_renders_as_a_node_channel_by_channel():
    effect = effect_in(8000)
    rack = Rack.console("g", 8000).with_processor(effect)
    graph = MixGraph(rack.types, 8000)
    graph.chain(graph.add("in"), graph.add("a", drive=2.0, tone=0.9), graph.add("out"))
    audio = noise(2)[None]
    expected = effect.model(audio[0], settings(1).expand(2, 2))
    torch.testing.assert_close(Renderer(rack)(graph, audio)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rate", [4000, 11025, 16000])
@torch.no_grad()
def test_a_graph_at_another_rate_sounds_alike(rate: int):
    """A linear device: what it does to a tone below both bands' ends is the same at any rate."""

    def response(at: int) -> Tensor:
        effect = CapturedEffect(a_model("linear"), "box", "x", at)
        time = torch.arange(2 * at) / at
        wave = torch.sin(2 * torch.pi * 440 * time).expand(1, 2, -1)
        out = effect(wave, torch.zeros(1, 0))[0, 0, at : at + at // 2]
        basis = torch.exp(-2j * torch.pi * 440 * time[at : at + at // 2])
        return (out * basis).mean()

    assert abs(response(rate) - response(8000)) < 2e-3 * abs(response(8000))


def test_gradients_reach_controls_and_audio():
    effect = effect_in(8000, name="wavenet")
    audio, knobs = noise(4).view(2, 2, -1).requires_grad_(), settings(2).requires_grad_()
    effect(audio, knobs).square().sum().backward()
    assert audio.grad is not None and knobs.grad is not None  # noqa: PT018
    assert (knobs.grad != 0).all()


def test_a_graph_names_its_capture_and_refuses_another(tmp_path: Path):
    one = captured_effect(save_effect(a_model("lstm"), tmp_path / "amp.safetensors"), "a", 8000)
    graph = MixGraph(Rack.console("g", 8000).with_processor(one).types, 8000)
    graph.chain(graph.add("in"), graph.add("amp"), graph.add("out"))
    for path in (tmp_path / "graph.safetensors", tmp_path / "graph.json"):
        types = load_graph(save_graph(graph, path)).types.types
        Rack.for_types(types, 8000, [one])
        with pytest.raises(GraphmixError, match=r"captured effect 'amp', from amp\.safetensors .*--effect a=FILE"):
            Rack.for_types(types, 8000)
        (tmp_path / "other").mkdir(exist_ok=True)
        other = captured_effect(save_effect(a_model("gru"), tmp_path / "other" / "amp.safetensors"), "a", 8000)
        with pytest.raises(GraphmixError, match=r"'amp' is from amp\.safetensors .*another capture sounds otherwise"):
            Rack.for_types(types, 8000, [other])


DAMAGE: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda b: b[:-7], "damaged or cut off"),
    (lambda b: b.replace(b'\\"hidden\\": 4', b'\\"hidden\\": 5'), "put together from two"),
    (lambda b: b.replace(b"lstm", b"lute"), "the model 'lute' is none of"),
    (lambda b: b.replace(b"graphmix_effect", b"graphmix_affect"), "this is no effect of graphmix"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE, ids=[m[:20] for _, m in DAMAGE])
def test_damaged_files_are_refused_in_one_sentence(damage: Callable[[bytes], bytes], message: str, tmp_path: Path):
    path = save_effect(a_model("lstm"), tmp_path / "amp.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(GraphmixError, match=message):
        load_effect(path)
