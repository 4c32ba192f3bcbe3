"""Separators on disk."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from graphmix.errors import GraphmixError
from graphmix.models.masks import load_separator, save_separator
from graphmix.models.masks.files import HEADER
from tests.models.masks.small_separators import NETWORKS, REPRESENTATIONS, small_separator


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_what_was_saved_is_loaded(tmp_path: Path, model: str, representation: str) -> None:
    separator, audio = small_separator(model, representation), 0.1 * torch.randn(1, 2, 1500)
    path = save_separator(tmp_path / "model.safetensors", separator, {"steps": 3})
    state = torch.random.get_rng_state()
    loaded, record = load_separator(path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert record == {"steps": 3}
    assert loaded.config == separator.config
    assert (loaded.sources, loaded.sample_rate, loaded.channels) == (("drums", "rest"), 8000.0, 2)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    with torch.no_grad():
        expected = separator.separate(audio)
    # oneDNN has other kernels for weights that are frozen
    torch.testing.assert_close(loaded.separate(audio), expected, atol=1e-6, rtol=1e-5)
    assert torch.equal(load_separator(tmp_path)[0].separate(audio), loaded.separate(audio))  # of its folder


def test_half_precision_takes_half_the_bytes(tmp_path: Path) -> None:
    separator, audio = small_separator("mask_inference"), 0.1 * torch.randn(1, 2, 1500)
    whole = save_separator(tmp_path / "whole.safetensors", separator)
    half = save_separator(tmp_path / "half.safetensors", separator, half=True)
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    loaded = load_separator(half)[0]
    assert next(loaded.parameters()).dtype == torch.float32
    torch.testing.assert_close(loaded.separate(audio), separator.separate(audio), atol=1e-3, rtol=0)


def test_what_half_precision_cannot_hold_stays_whole(tmp_path: Path) -> None:
    """Variances of a U-Net's inner layers exceed 65504, where half precision ends."""
    separator = small_separator("unet")
    norm = next(module for module in separator.modules() if isinstance(module, torch.nn.BatchNorm2d))
    assert norm.running_var is not None
    norm.running_var.fill_(3e5)
    loaded = load_separator(save_separator(tmp_path / "half.safetensors", separator, half=True))[0]
    found = next(module for module in loaded.modules() if isinstance(module, torch.nn.BatchNorm2d))
    assert torch.equal(found.running_var, norm.running_var)


def rewritten(path: Path, change: str) -> None:
    tensors = load_file(path)
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(json.loads(file.read(size))["__metadata__"][HEADER])
    if change == "version":
        header["version"] = 99
    elif change == "model":
        header["config"]["model"] = "magic"
    elif change == "key":
        header["config"]["colour"] = "red"
    elif change == "sources":
        header["sources"] = ["a", "b"]
    elif change == "size":
        header["config"]["recurrent"]["hidden"] = 7
    elif change == "tensor":
        tensors.pop("masks.linear.bias")
    elif change == "nan":
        tensors["masks.linear.bias"][0] = torch.nan
    save_file(tensors, path, {} if change == "other" else {HEADER: json.dumps(header)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("version", "its version is 99"),
        ("model", "no separator 'magic'"),
        ("key", "'colour' is unknown"),
        ("sources", "not those of its configuration"),
        ("size", "its config asks for"),
        ("tensor", "is missing"),
        ("nan", "is not finite"),
        ("other", "no separator of graphmix"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(tmp_path: Path, change: str, message: str) -> None:
    path = save_separator(tmp_path / "model.safetensors", small_separator("mask_inference"))
    rewritten(path, change)
    with pytest.raises(GraphmixError, match=message) as caught:
        load_separator(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(b"\x00" * 5)
    with pytest.raises(GraphmixError, match="damaged or cut off"):
        load_separator(tmp_path / "cut.safetensors")
    with pytest.raises(GraphmixError, match="no such file"):
        load_separator(tmp_path / "missing.safetensors")
    with pytest.raises(GraphmixError, match="there is no separator 'magic'"):
        load_separator("magic")
    with pytest.raises(GraphmixError, match="holds no trained separator"):
        load_separator(tmp_path)
    with pytest.raises(GraphmixError, match=r"ends in \.safetensors"):
        save_separator(tmp_path / "model.pt", small_separator("unet"))
