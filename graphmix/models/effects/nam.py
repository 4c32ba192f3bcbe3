"""Neural Amp Modeler files: any of the public captures becomes an effect, and ours open in the plugin.

A ``.nam`` file is one JSON object: ``version``, ``architecture``, ``config``, ``weights`` (one flat list), usually
``sample_rate`` (48 kHz if not given) and ``metadata``. Read are WaveNet, LSTM, ConvNet and Linear, in the form of
versions 0.5 and 0.7; written is version 0.5.4, which every plugin of today reads. What is new in version 0.7
(modulated layers, slimmable ones, bottlenecks, groups, a head behind the arrays) is refused by name where it is used.

Order of the weights: see :func:`_wavenet_parts` and its siblings, which list the tensors in the order of the file.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.io import read_json, regular_file_size, write_atomically
from graphmix.models.config import describe_error
from graphmix.models.effects.conv_net import ConvNetConfig, ConvNetEffect, LinearConfig, LinearEffect
from graphmix.models.effects.effect import LARGEST_RATE, EffectConfig, EffectModel, loading, outline
from graphmix.models.effects.recurrent_effect import RecurrentConfig, RecurrentEffect
from graphmix.models.effects.wavenet import ACTIVATIONS, ArrayConfig, WaveNetConfig, WaveNetEffect

VERSION = "0.5.4"
DEFAULT_RATE = 48000
MAX_BYTES = 1 << 25
"""Largest file that is read or written, 32 MiB; a standard WaveNet takes 0.3 MB."""
_LARGEST = float(torch.finfo(torch.float32).max)
GEAR_TYPES = ("amp", "pedal", "pedal_amp", "amp_cab", "amp_pedal_cab", "preamp", "studio")
TONE_TYPES = ("clean", "overdrive", "crunch", "hi_gain", "fuzz")
_ARRAY_KEYS = {
    "input_size", "condition_size", "head_size", "channels", "kernel_size", "dilations", "activation", "gated",
    "head_bias",
}  # fmt: skip


def load_nam(path: str | PathLike[str]) -> tuple[EffectModel, dict[str, Any]]:
    """Read a capture.

    Returns:
        The model, ready to render, and the file's metadata.

    Raises:
        GraphmixError: names the file and what is wrong with it.
    """
    path = Path(path)
    with loading(path):
        regular_file_size(path, MAX_BYTES, GraphmixError)
        return _decode(read_json(path, MAX_BYTES, fix="the file is damaged or cut off; get it again"))


def _decode(content: Any) -> tuple[EffectModel, dict[str, Any]]:
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise GraphmixError("this is no .nam file: it has no config.")
    architecture = content.get("architecture")
    if not isinstance(architecture, str) or architecture not in _READERS:
        raise GraphmixError(f"architecture {str(architecture)[:60]!r} is none of: {', '.join(_READERS)}.")
    weights = _finite_weights(content.get("weights"))
    rate = content.get("sample_rate")
    rate = DEFAULT_RATE if rate is None else rate
    if type(rate) not in (int, float) or not 1 <= rate <= LARGEST_RATE or rate != int(rate):
        raise GraphmixError(f"sample_rate is {str(rate)[:60]}; expected a whole number of Hz, up to {LARGEST_RATE}.")
    build, read = _READERS[architecture]
    try:
        config = read(content["config"], int(rate), len(weights))
    except GraphmixError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise GraphmixError(f"the config of this {architecture}: {_reason(error)}.") from None
    if isinstance(config, WaveNetConfig) and weights:
        config = config.model_copy(update={"head_scale": weights[-1]})
    _check_count(outline(build, config), len(weights))
    with torch.random.fork_rng(devices=[]):
        model = build(config)
    _set_weights(model, weights)
    metadata = content.get("metadata")
    return model.eval().requires_grad_(False), metadata if isinstance(metadata, dict) else {}


def _reason(error: Exception) -> str:
    """Why a config cannot be read, in one sentence without a full stop."""
    if isinstance(error, ValidationError):
        return describe_error(error)
    return f"lacks {str(error)[:60]}" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]


def _finite_weights(values: Any) -> list[float]:
    if not isinstance(values, list):
        raise GraphmixError("its weights are no list of finite numbers.")
    for place, value in enumerate(values):
        if type(value) not in (int, float) or not -_LARGEST <= value <= _LARGEST:
            raise GraphmixError(
                f"its weights are no list of finite numbers: number {place} of {len(values)} is {str(value)[:60]}."
            )
    return values


def _check_count(model: EffectModel, found: int) -> None:
    """Before the memory for the weights is taken."""
    expected = sum(part.numel() for part, _ in _PARTS[type(model)](model)) + isinstance(model, WaveNetEffect)
    if found != expected:
        raise GraphmixError(
            f"the file has {found} weights, its config asks for {expected}; it was cut off, or put together from two."
        )


def _set_weights(model: EffectModel, weights: list[float]) -> None:
    flat, place = torch.tensor(weights, dtype=torch.float64), 0
    with torch.no_grad():
        for part, assign in _PARTS[type(model)](model):
            assign(flat[place : place + part.numel()].view(part.shape).to(torch.float32))
            place += part.numel()


def _to(parameter: Tensor) -> tuple[Tensor, Callable[[Tensor], Any]]:
    return parameter, parameter.copy_


Parts = Iterator[tuple[Tensor, Callable[[Tensor], Any]]]
"""Tensors in the order of the file, each with what sets it."""


def _wavenet_parts(model: EffectModel) -> Parts:
    """Array by array: rechannel; of each layer taps, bias, mixer, 1×1, its bias; head (bias). At the end head_scale."""
    assert isinstance(model, WaveNetEffect)
    for array in model.arrays:
        yield _to(array.rechannel.weight)
        for layer in array.layers:
            yield _to(layer.conv.weight)
            yield _to(layer.conv.bias)
            yield _to(layer.mixer.weight)
            yield _to(layer.last.weight)
            yield _to(layer.last.bias)
        yield _to(array.head.weight)
        if array.head.bias is not None:
            yield _to(array.head.bias)


def _lstm_parts(model: EffectModel) -> Parts:
    """For each layer: input and recurrent weights side by side, one bias, state; then the output's weight and bias."""
    assert isinstance(model, RecurrentEffect)
    for i, cell in enumerate(model.cells):
        inputs = cell.weight_ih_l0.size(1)

        def set_weights(value: Tensor, cell: Any = cell, inputs: int = inputs) -> None:
            cell.weight_ih_l0.copy_(value[:, :inputs])
            cell.weight_hh_l0.copy_(value[:, inputs:])

        def set_bias(value: Tensor, cell: Any = cell) -> None:
            cell.bias_ih_l0.copy_(value)
            cell.bias_hh_l0.zero_()

        yield torch.cat([cell.weight_ih_l0, cell.weight_hh_l0], dim=1), set_weights
        yield cell.bias_ih_l0 + cell.bias_hh_l0, set_bias
        yield _to(model.initial[0, i])
        yield _to(model.initial[1, i])
    yield _to(model.output.weight)
    yield _to(model.output.bias)


def _conv_net_parts(model: EffectModel) -> Parts:
    """For each block: taps, then bias or the five parts of batch normalization; then the head's weight and bias."""
    assert isinstance(model, ConvNetEffect)
    for block in model.blocks:
        yield _to(block.conv.weight)
        if block.norm is None:
            yield _to(block.conv.bias)
        else:
            for part in (block.norm.running_mean, block.norm.running_var, block.norm.weight, block.norm.bias):
                yield _to(part)

            def set_eps(value: Tensor, norm: Any = block.norm) -> None:
                norm.running_var += value - norm.eps  # ours stays what it is, so that it need not be kept
                if not bool((norm.running_var > -norm.eps).all()):
                    raise GraphmixError("a batch normalization has a negative variance; the file is damaged.")

            yield torch.tensor(block.norm.eps), set_eps
    yield _to(model.head.weight)
    assert model.head.bias is not None, "the head has one"
    yield _to(model.head.bias)


def _linear_parts(model: EffectModel) -> Parts:
    """Taps, the latest last, then the bias."""
    assert isinstance(model, LinearEffect)
    yield _to(model.taps)
    if model.bias is not None:
        yield _to(model.bias)


_PARTS: dict[type, Callable[[EffectModel], Parts]] = {
    WaveNetEffect: _wavenet_parts,
    RecurrentEffect: _lstm_parts,
    ConvNetEffect: _conv_net_parts,
    LinearEffect: _linear_parts,
}


def _activation(value: Any) -> str:
    name = value.get("type") if isinstance(value, dict) else value
    if isinstance(value, dict) and set(value) != {"type"}:
        raise GraphmixError(f"activation {str(value)[:80]} has settings of its own, which are not read.")
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise GraphmixError(f"activation {str(name)[:60]!r} is none of: {', '.join(ACTIVATIONS)}.")
    return name


def _check_size(config: Mapping[str, Any], largest: int, *keys: str) -> None:
    """No more than the file has weights for: before anything of that size is made."""
    for key in keys:
        if type(config[key]) is not int or not 1 <= config[key] <= max(1, largest):
            raise GraphmixError(f"{key} is {str(config[key])[:60]} in a file of {largest} weights.")


def _read_wavenet(config: Mapping[str, Any], rate: int, count: int) -> EffectConfig:
    if config.get("head") is not None or config.get("condition_dsp") is not None:
        raise GraphmixError("it has a head or a conditioning network, of a later version than 0.5, which is not read.")
    arrays, channels = [], 1
    for i, layer in enumerate(config["layers"]):
        layer = _in_first_form(layer, i)
        _check_size(layer, count, "channels", "head_size", "kernel_size", "condition_size", "input_size")
        if layer["condition_size"] != 1 or layer["input_size"] != channels:
            raise GraphmixError(
                f"layer array {i} takes {layer['input_size']} channels and {layer['condition_size']}"
                f" conditions, expected {channels} and 1."
            )
        channels = layer["channels"]
        arrays.append(
            ArrayConfig(
                channels=channels, head=layer["head_size"], kernel=layer["kernel_size"],
                dilations=tuple(layer["dilations"]), activation=_activation(layer["activation"]),
                gated=layer.get("gated", False), head_bias=layer["head_bias"],
            )
        )  # fmt: skip
    return WaveNetConfig(sample_rate=rate, arrays=tuple(arrays), head_scale=config["head_scale"])


def _in_first_form(layer: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A layer array of version 0.7 as versions 0.5 have it."""
    layer = dict(layer)
    if "head" in layer:
        head = layer.pop("head")
        layer |= {"head_size": head["out_channels"], "head_bias": head["bias"]}
        if head.get("kernel_size", 1) != 1:
            raise GraphmixError(f"layer array {number} has a head of {head['kernel_size']} taps, which is not read.")
    for plural, key in (("kernel_sizes", "kernel_size"), ("activation", "activation"), ("gating_mode", "gated")):
        values = layer.pop(plural, layer.get(key))
        if isinstance(values, list):
            if not values or any(value != values[0] for value in values):
                raise GraphmixError(f"layer array {number} has layers of different {plural}, which are not read.")
            values = values[0]
        if values is not None:
            layer[key] = {"none": False, "gated": True}.get(values, values) if key == "gated" else values
    second = layer.pop("secondary_activation", None)
    if second is not None and any(_activation(value) != "Sigmoid" for value in second if value is not None):
        raise GraphmixError(f"layer array {number} has gates other than the sigmoid, which are not read.")
    ordinary = {
        "bottleneck": layer["channels"], "groups_input": 1, "groups_input_mixin": 1, "slimmable": None,
        "layer1x1": {"active": True, "groups": 1},
    }  # fmt: skip
    for key in sorted(set(layer) - _ARRAY_KEYS):
        value = layer[key]
        inactive = isinstance(value, dict) and value.get("active") is False and key != "layer1x1"
        if not inactive and (key not in ordinary or value != ordinary[key]):
            raise GraphmixError(f"layer array {number} has {key!r}, which is new in version 0.7 and is not read.")
    return layer


def _read_lstm(config: Mapping[str, Any], rate: int, count: int) -> EffectConfig:
    if config.get("input_size", 1) != 1:
        raise GraphmixError(f"it has {str(config['input_size'])[:60]} inputs; expected 1.")
    _check_size(config, count, "hidden_size", "num_layers")
    sizes = {"hidden": config["hidden_size"], "layers": config["num_layers"]}
    return RecurrentConfig(model="lstm", sample_rate=rate, **sizes)


def _read_conv_net(config: Mapping[str, Any], rate: int, count: int) -> EffectConfig:
    _check_size(config, count, "channels")
    return ConvNetConfig(
        sample_rate=rate, channels=config["channels"], dilations=tuple(config["dilations"]),
        activation=_activation(config["activation"]), batchnorm=config["batchnorm"],
    )  # fmt: skip


def _read_linear(config: Mapping[str, Any], rate: int, count: int) -> EffectConfig:
    _check_size(config, count, "receptive_field")
    return LinearConfig(sample_rate=rate, taps=config["receptive_field"], bias=config.get("bias", False))


Reader = Callable[[Mapping[str, Any], int, int], EffectConfig]
_READERS: dict[str, tuple[Callable[[Any], EffectModel], Reader]] = {
    "WaveNet": (WaveNetEffect, _read_wavenet),
    "LSTM": (RecurrentEffect, _read_lstm),
    "ConvNet": (ConvNetEffect, _read_conv_net),
    "Linear": (LinearEffect, _read_linear),
}
"""The model of an architecture, and what reads its configuration, given the sample rate and the number of weights."""


# --- writing


def save_nam(model: EffectModel, path: str | PathLike[str], metadata: Mapping[str, Any] | None = None) -> Path:
    """Write a capture that the plugin opens.

    Args:
        model: a WaveNet, an LSTM without skip, a convolutional or a linear network, without controls.
        path: ends in ``.nam``.
        metadata: ``name``, ``modeled_by``, ``gear_make``, ``gear_model``, ``gear_type``, ``tone_type``, ``loudness``
            (dB), ``gain`` (0 to 1), ``input_level_dbu``, ``output_level_dbu``, ``training``, …

    Raises:
        GraphmixError: a model that has no such form or is too large, metadata that the format does not know, a file
            that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".nam":
        raise GraphmixError(f"{path}: a Neural Amp Modeler file ends in .nam, not in {path.suffix!r}.")
    architecture, config = describe_for_nam(model)
    weights = torch.cat([part.detach().flatten().float() for part, _ in _PARTS[type(model)](_at_rest(model))])
    if isinstance(model, WaveNetEffect):
        weights = torch.cat([weights, torch.tensor([model.head_scale])])
    now = time.localtime()
    date = dict(zip(("year", "month", "day", "hour", "minute", "second"), now[:6], strict=True))
    content = {
        "version": VERSION,
        "metadata": {"date": date, **check_metadata(metadata or {})},
        "architecture": architecture,
        "config": config,
        "weights": weights.tolist(),
        "sample_rate": model.config.sample_rate,
    }
    text = json.dumps(content, allow_nan=False).encode()
    if len(text) > MAX_BYTES:
        raise GraphmixError(f"{path}: the model takes {len(text)} bytes; a .nam file has up to {MAX_BYTES}.")
    write_atomically(path, text)
    return path


def check_metadata(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata themselves.

    Raises:
        GraphmixError: a type of gear or of tone that the format does not know.
    """
    for key, known in (("gear_type", GEAR_TYPES), ("tone_type", TONE_TYPES)):
        if metadata.get(key) not in (None, *known):
            raise GraphmixError(f"{key} is {metadata[key]!r}; the format knows: {', '.join(known)}.")
    return metadata


def _at_rest(model: EffectModel) -> EffectModel:
    """An LSTM with the state after silence as the initial one, as files have it."""
    if not isinstance(model, RecurrentEffect):
        return model
    layers = model.config.layers
    state = model.rest(torch.zeros(1, 0))
    settled = RecurrentEffect(model.config)
    settled.load_state_dict(model.state_dict())
    settled.initial.copy_(torch.stack([torch.cat(state[:layers]), torch.cat(state[layers:])]))
    return settled


def describe_for_nam(model: EffectModel) -> tuple[str, dict[str, Any]]:
    """Architecture and config as the format has them.

    Raises:
        GraphmixError: the model has no such form.
    """
    config = model.config
    if config.controls:
        raise GraphmixError(f"a .nam file has no controls, and this model has {len(config.controls)}: no such export.")
    if isinstance(model, WaveNetEffect):
        sizes = [1, *(array.channels for array in model.config.arrays[:-1])]
        layers = [
            {
                "input_size": size, "condition_size": 1, "head_size": array.head, "channels": array.channels,
                "kernel_size": array.kernel, "dilations": list(array.dilations), "activation": array.activation,
                "gated": array.gated, "head_bias": array.head_bias,
            }
            for array, size in zip(model.config.arrays, sizes, strict=True)
        ]  # fmt: skip
        return "WaveNet", {"layers": layers, "head": None, "head_scale": model.head_scale}
    if isinstance(model, RecurrentEffect) and model.config.model == "lstm" and not model.config.skip:
        return "LSTM", {"input_size": 1, "hidden_size": model.config.hidden, "num_layers": model.config.layers}
    if isinstance(model, ConvNetEffect):
        keys = ("channels", "dilations", "batchnorm", "activation")
        return "ConvNet", model.config.model_dump(mode="json", include=set(keys))
    if isinstance(model, LinearEffect):
        return "Linear", {"receptive_field": model.config.taps, "bias": model.config.bias}
    forms = "wavenet, linear, and lstm without skip have"
    raise GraphmixError(f"the model {config.model!r} has no form as a .nam file ({forms}).")
