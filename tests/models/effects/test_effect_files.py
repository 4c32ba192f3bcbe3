"""Effect files of graphmix: what is damaged is refused in one sentence, before it takes any memory."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.models.effects import CapturedEffect, build_effect, load_effect, save_effect
from graphmix.models.effects.effect_files import HEADER, VERSION

SMALL = {"model": "lstm", "hidden": 3}
Tensors = dict[str, Tensor]


def header(**changes: object) -> str:
    config = build_effect(SMALL).config.model_dump(mode="json")
    return json.dumps({"version": VERSION, "config": config, "about": {}, **changes})


def changed(tensors: Tensors, **values: Tensor | None) -> Tensors:
    """With the first tensor, or one more, replaced; None removes it."""
    result = {**tensors, **{name.replace("_", "."): value for name, value in values.items()}}
    return {name: value for name, value in result.items() if value is not None}


WRONG: dict[str, tuple[Callable[[Tensors], bytes], str]] = {
    "other tensors": (lambda t: save(t), "this is no effect of graphmix; the file holds other tensors"),
    "no JSON": (lambda t: save(t, {HEADER: "{"}), "its header is damaged"),
    "deep": (lambda t: save(t, {HEADER: "[" * 9000}), "its header is damaged"),
    "no config": (lambda t: save(t, {HEADER: '{"version": 1}'}), "its header is damaged"),
    "later version": (lambda t: save(t, {HEADER: header(version=9)}), "its version is 9, this graphmix reads 1"),
    "no such model": (lambda t: save(t, {HEADER: header(config={"model": "banjo"})}), "the model 'banjo' is none of"),
    "no model": (lambda t: save(t, {HEADER: header(config={"model": []})}), "is none of: wavenet"),
    "unknown key": (
        lambda t: save(t, {HEADER: header(config={**SMALL, "wobble": 1})}),
        "lstm: the key 'wobble' is unknown; remove it",
    ),
    "too wide": (
        lambda t: save(t, {HEADER: header(config={**SMALL, "hidden": 10**9})}),
        "hidden is 1000000000: input should be less than or equal to 1024",
    ),
    "wider than its weights": (
        lambda t: save(t, {HEADER: header(config={**SMALL, "hidden": 1024, "layers": 16})}),
        "cells.0.bias_hh_l0 has shape .12., its config asks for .4096.; the file was put together from two",
    ),
    "missing": (
        lambda t: save(changed(t, output_weight=None), {HEADER: header()}),
        "output.weight is missing; the file is damaged",
    ),
    "too many": (
        lambda t: save(changed(t, more=torch.ones(1)), {HEADER: header()}),
        "more is in the file, but its config",
    ),
    "shape": (
        lambda t: save(changed(t, output_weight=torch.ones(3, 1)), {HEADER: header()}),
        r"output.weight has shape \[3, 1\], its config asks for \[1, 3\]",
    ),
    "type": (
        lambda t: save(changed(t, output_weight=torch.ones(1, 3).double()), {HEADER: header()}),
        "output.weight has type float64, expected float32",
    ),
    "NaN": (
        lambda t: save(changed(t, output_weight=torch.full((1, 3), torch.nan)), {HEADER: header()}),
        "output.weight is not finite: the training failed",
    ),
    "cut off": (lambda t: save(t, {HEADER: header()})[:-9], "the file is damaged or cut off"),
    "cut off in the header": (lambda t: save(t, {HEADER: header()})[:99], "its header should have"),
    "nothing": (lambda t: b"", "the file is damaged or cut off: it has 0 bytes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_damaged_file_is_refused_in_one_sentence(case: str, tmp_path: Path):
    spoil, message = WRONG[case]
    path = save_effect(build_effect(SMALL), tmp_path / "a.safetensors")
    path.write_bytes(spoil(dict(build_effect(SMALL).state_dict())))
    with pytest.raises(GraphmixError, match=message) as error:
        load_effect(path)
    assert str(error.value).startswith(f"cannot load {path}: ")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path):
    with pytest.raises(GraphmixError, match=r"nowhere\.safetensors: there is no such file"):
        load_effect(tmp_path / "nowhere.safetensors")
    with pytest.raises(GraphmixError, match="it is no regular file"):
        load_effect(tmp_path)


def test_two_rates_without_a_common_resampler_are_refused():
    model = build_effect({**SMALL, "sample_rate": 48000})
    assert CapturedEffect(model, "amp", "a", 44100).sample_rate == 44100
    with pytest.raises(GraphmixError, match="was captured at 48000 Hz and the graph has 44101 Hz: no resampler"):
        CapturedEffect(model, "amp", "a", 44101)
