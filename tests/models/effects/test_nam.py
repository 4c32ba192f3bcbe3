"""Neural Amp Modeler files: read back by its own package, read from it, and refused where they are damaged."""

import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from graphmix.errors import GraphmixError
from graphmix.models.effects.conv_net import ConvNetConfig, ConvNetEffect, LinearConfig, LinearEffect
from graphmix.models.effects.effect import Control, EffectModel
from graphmix.models.effects.effect_files import load_effect, save_effect
from graphmix.models.effects.nam import load_nam, save_nam
from graphmix.models.effects.recurrent_effect import RecurrentConfig, RecurrentEffect
from graphmix.models.effects.wavenet import ArrayConfig, WaveNetConfig, WaveNetEffect

SMALL = (ArrayConfig(channels=4, head=3, dilations=(1, 2, 8)), ArrayConfig(channels=3, head=1, dilations=(1, 4)))
GATED = (ArrayConfig(channels=4, head=1, kernel=2, dilations=(1, 16), activation="ReLU", gated=True, head_bias=True),)
MODELS: dict[str, Callable[[], EffectModel]] = {
    "standard": lambda: WaveNetEffect(WaveNetConfig(head_scale=0.5)),
    "small": lambda: WaveNetEffect(WaveNetConfig(arrays=SMALL, head_scale=0.7)),
    "gated": lambda: WaveNetEffect(WaveNetConfig(arrays=GATED, head_scale=1.0)),
    "lstm": lambda: RecurrentEffect(RecurrentConfig(hidden=8, layers=2)),
    "conv_net": lambda: ConvNetEffect(ConvNetConfig(channels=3, dilations=(1, 2, 4))),
    "plain_conv_net": lambda: ConvNetEffect(ConvNetConfig(channels=3, dilations=(1, 2), batchnorm=False)),
    "linear": lambda: LinearEffect(LinearConfig(taps=31, bias=True)),
}


def shaken(name: str) -> EffectModel:
    """A model with random weights, all of which matter."""
    torch.manual_seed(3)
    model = MODELS[name]()
    with torch.no_grad():
        for value in [*model.parameters(), *model.buffers()]:
            if value.is_floating_point():
                value += 0.2 * torch.rand_like(value)
    return model.eval()


def noise(samples: int = 6000) -> torch.Tensor:
    torch.manual_seed(5)
    return 0.3 * torch.randn(2, samples)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_survives_the_file(name: str, tmp_path: Path):
    model = shaken(name)
    again, metadata = load_nam(save_nam(model, tmp_path / "a.nam", {"name": "x", "gear_type": "amp"}))
    assert metadata["name"] == "x"
    with torch.no_grad():
        torch.testing.assert_close(again(noise()), model(noise()), rtol=0, atol=3e-6)


@pytest.mark.parametrize("name", MODELS)
def test_the_package_of_the_format_computes_the_same(name: str, tmp_path: Path):
    from_nam = pytest.importorskip("nam.models._from_nam", reason="neural-amp-modeler is not installed")
    if name.endswith("conv_net"):
        pytest.skip("the package writes ConvNet files but does not read them")
    model = shaken(name)
    content = json.loads(save_nam(model, tmp_path / "a.nam").read_text())
    theirs = from_nam.init_from_nam({**content, "config": as_later_version(content["config"])})
    theirs.eval()
    audio = noise()[0]
    quiet = torch.zeros(24000 if name == "lstm" else model.context)
    with torch.no_grad():
        expected = theirs(torch.cat([quiet, audio]), pad_start=True)[quiet.numel() :]
        torch.testing.assert_close(model(audio[None])[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["wavenet", "lstm", "conv_net"])
def test_what_the_package_writes_is_read(name: str, tmp_path: Path):
    pytest.importorskip("nam.models", reason="neural-amp-modeler is not installed")
    theirs = their_model(name)
    theirs.eval()
    theirs.export(tmp_path)
    model, _ = load_nam(tmp_path / "model.nam")
    assert model.config.sample_rate == 48000
    audio = noise()[0]
    with torch.no_grad():
        quiet = torch.zeros(48000)
        expected = theirs(torch.cat([quiet, audio]), pad_start=True)[quiet.numel() :]
        torch.testing.assert_close(model(audio[None])[0], expected, rtol=0, atol=1e-5)


def as_later_version(config: dict[str, Any]) -> dict[str, Any]:
    """Layer arrays as version 0.7 has them: the package reads no others any more."""
    if "layers" not in config:
        return config
    layers = []
    for layer in map(dict, config["layers"]):
        number, gated = len(layer["dilations"]), layer.pop("gated")
        layer["head"] = {"out_channels": layer.pop("head_size"), "kernel_size": 1, "bias": layer.pop("head_bias")}
        layer["activation"] = [{"type": layer["activation"]}] * number
        layer["gating_mode"] = ["gated" if gated else "none"] * number
        layer["secondary_activation"] = [{"type": "Sigmoid"} if gated else None] * number
        layers.append(layer)
    return {**config, "layers": layers}


def their_model(name: str) -> Any:
    from nam.models.conv_net import ConvNet
    from nam.models.recurrent import LSTM
    from nam.models.wavenet import WaveNet

    torch.manual_seed(7)
    if name == "lstm":
        return LSTM(hidden_size=6, num_layers=2, sample_rate=48000)
    if name == "conv_net":
        return ConvNet(channels=4, dilations=[1, 2, 4], batchnorm=True, sample_rate=48000)
    array = {"condition_size": 1, "kernel_size": 3, "activation": "Tanh"}
    heads = [{"out_channels": 8, "kernel_size": 1, "bias": False}, {"out_channels": 1, "kernel_size": 1, "bias": True}]
    layers = [
        {**array, "input_size": 1, "head": heads[0], "channels": 16, "dilations": [1, 2, 4]},
        {**array, "input_size": 16, "head": heads[1], "channels": 8, "dilations": [8, 16]},
    ]
    return WaveNet.init_from_config({"layers_configs": layers, "head_scale": 0.5, "sample_rate": 48000})


def test_a_model_with_controls_or_skip_has_no_such_form(tmp_path: Path):
    with pytest.raises(GraphmixError, match=r"a \.nam file has no controls, and this model has 1"):
        save_nam(RecurrentEffect(RecurrentConfig(controls=(Control(name="drive"),))), tmp_path / "a.nam")
    with pytest.raises(GraphmixError, match=r"the model 'gru' has no form as a \.nam file"):
        save_nam(RecurrentEffect(RecurrentConfig(model="gru")), tmp_path / "a.nam")
    with pytest.raises(GraphmixError, match="gear_type is 'kazoo'; the format knows: amp, pedal"):
        save_nam(shaken("lstm"), tmp_path / "a.nam", {"gear_type": "kazoo"})
    assert not list(tmp_path.iterdir())


WRONG: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda c: c.update(architecture="Banjo"), "architecture 'Banjo' is none of: WaveNet, LSTM, ConvNet, Linear"),
    (lambda c: c["weights"].pop(), r"the file has \d+ weights, its config asks for \d+"),
    (lambda c: c["weights"].append(1.0), r"the file has \d+ weights, its config asks for \d+; it was cut off"),
    (lambda c: c["weights"].append(float("nan")), r"no list of finite numbers: number \d+ of \d+ is nan"),
    (lambda c: c["weights"].__setitem__(0, 10**400), r"no list of finite numbers: number 0 of \d+ is 1000"),
    (lambda c: c["weights"].__setitem__(0, 1e39), r"no list of finite numbers: number 0 of \d+ is 1e\+39"),
    (lambda c: c.update(weights="AAAA"), r"no list of finite numbers\."),
    (lambda c: c.pop("config"), "this is no .nam file: it has no config"),
    (lambda c: c["config"].pop("layers"), "lacks 'layers'"),
    (lambda c: c["config"]["layers"][0].update(channels=10**9), "channels is 1000000000 in a file of"),
    (lambda c: c["config"]["layers"][0].update(head_size=2), "layer array 0 has a head of 2 channels, expected 3"),
    (lambda c: c["config"]["layers"][0].update(dilations=[1, 2, 0]), "dilations.2 is 0: input should be greater"),
    (lambda c: c["config"]["layers"][0].update(dilations=[65536] * 64), r"values of the past; at most \d+"),
    (lambda c: c.update(architecture=["WaveNet"]), "is none of: WaveNet, LSTM, ConvNet, Linear"),
    (lambda c: c["config"]["layers"][0].update(activation="Wobble"), "activation 'Wobble' is none of: Tanh"),
    (
        lambda c: c["config"]["layers"][0].update(film={"active": True}),
        "layer array 0 has 'film', which is new",
    ),
    (lambda c: c["config"].update(head={"channels": 3}), "it has a head or a conditioning network, of a later version"),
    (lambda c: c.update(sample_rate="fast"), "sample_rate is fast; expected a whole number of Hz"),
]


@pytest.mark.parametrize(("spoil", "message"), WRONG, ids=[message[:30] for _, message in WRONG])
def test_a_damaged_file_is_refused_in_one_sentence(
    spoil: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path
):
    path = save_nam(shaken("small"), tmp_path / "a.nam")
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    with pytest.raises(GraphmixError, match=message) as error:
        load_nam(path)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 500


SPOILED: dict[str, tuple[Callable[[str], bytes], str]] = {
    "cut off": (lambda text: text[: len(text) // 2].encode(), "is not JSON .*: the file is damaged or cut off"),
    "empty": (lambda text: b"", "is not JSON .*: the file is damaged or cut off"),
    "a web page": (lambda text: b"<html>", "is not JSON"),
    "deep": (lambda text: b"[" * 100_000, "is not JSON .*recursion"),
    "UTF-16 without a mark": (lambda text: text.encode("utf-16-le"), "it looks like UTF-16 without a byte order mark"),
    "Latin-1": (lambda text: text.replace("x", "\xe4").encode("latin-1"), "may be Latin-1 or Windows-1252"),
    "a key twice": (lambda text: b'{"weights": [],' + text[1:].encode(), "has the key 'weights' twice"),
    "a list": (lambda text: b"[]", "this is no .nam file: it has no config"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_what_is_no_such_json_is_refused_in_one_sentence(case: str, tmp_path: Path):
    spoil, message = SPOILED[case]
    path = save_nam(shaken("small"), tmp_path / "a.nam", {"name": "x"})
    path.write_bytes(spoil(path.read_text()))
    with pytest.raises(GraphmixError, match=message) as error:
        load_nam(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_files_with_a_byte_order_mark_are_read(encoding: str, tmp_path: Path):
    path = save_nam(shaken("small"), tmp_path / "a.nam")
    path.write_bytes(path.read_text().encode(encoding))
    assert isinstance(load_nam(path)[0], WaveNetEffect)


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path):
    path = tmp_path / "a.nam"
    with open(path, "wb") as file:
        file.truncate(10**12)
    with pytest.raises(GraphmixError, match=r"the file has 1000000000000 bytes; one of this kind has up to"):
        load_nam(path)


def test_what_is_too_large_to_be_read_is_not_written_either(tmp_path: Path):
    large = RecurrentEffect(RecurrentConfig(hidden=700))
    with pytest.raises(GraphmixError, match=r"the model takes \d+ bytes; a \.nam file has up to \d+"):
        save_nam(large, tmp_path / "a.nam")
    assert not list(tmp_path.iterdir())


def test_a_negative_variance_is_refused(tmp_path: Path):
    model = shaken("conv_net")
    path = save_nam(model, tmp_path / "a.nam")
    content = json.loads(path.read_text())
    first = 2 * 3 + 3  # taps of the first block, then its means
    content["weights"][first] = -1.0
    path.write_text(json.dumps(content))
    with pytest.raises(GraphmixError, match="a batch normalization has a negative variance"):
        load_nam(path)


def test_another_epsilon_of_batch_normalization_is_kept_by_our_own_file(tmp_path: Path):
    model = shaken("conv_net")
    model.blocks[0].norm.eps = 0.1
    read, _ = load_nam(save_nam(model, tmp_path / "a.nam"))
    again, _ = load_effect(save_effect(read, tmp_path / "a.safetensors"))
    with torch.no_grad():
        torch.testing.assert_close(again(noise()), model(noise()), rtol=0, atol=3e-6)


def test_reading_a_file_leaves_the_random_numbers_alone(tmp_path: Path):
    path = save_nam(shaken("lstm"), tmp_path / "a.nam")
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_nam(path)
    assert torch.equal(torch.rand(3), expected)


def test_cut_or_changed_files_never_end_in_another_error(tmp_path: Path):
    path = save_nam(shaken("small"), tmp_path / "a.nam")
    content, rng = path.read_bytes(), random.Random(0)
    for _ in range(300):
        damaged = bytearray(content[: rng.randrange(len(content))] if rng.random() < 0.3 else content)
        for _ in range(rng.randrange(4)):
            if damaged:
                damaged[rng.randrange(min(len(damaged), 900))] = rng.randrange(32, 127)
        path.write_bytes(damaged)
        with suppress(GraphmixError):
            model, _ = load_nam(path)
            assert model(torch.zeros(1, 10)).shape == (1, 10)
