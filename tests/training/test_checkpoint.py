"""Models on disk: what is written comes back, and what does not fit is refused with the reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from graphmix.errors import GraphmixError
from graphmix.models.config import model_config
from graphmix.models.mixing.estimator import Estimator, build_estimator
from graphmix.training import checkpoint
from graphmix.training.checkpoint import known_models, load_estimator, read_description, save_estimator
from tests.training.tiny_songbook import DMC, GRAPH


@pytest.fixture
def estimator() -> Estimator:
    return build_estimator(model_config(DMC))


@pytest.fixture
def saved(estimator: Estimator, tmp_path: Path) -> Path:
    return save_estimator(estimator, tmp_path / "model", training={"artists": ["artist ann"]})


@pytest.mark.parametrize("model", [DMC, GRAPH], ids=["dmc", "graph"])
def test_a_model_comes_back_as_it_was(tmp_path: Path, model: dict[str, Any]) -> None:
    estimator = build_estimator(model_config(model))
    with torch.no_grad():
        for parameter in estimator.parameters():
            parameter.add_(0.01)
    save_estimator(estimator, tmp_path / "model")
    loaded = load_estimator(tmp_path)
    assert loaded.config == estimator.config
    assert not loaded.training
    own, found = estimator.state_dict(), loaded.state_dict()
    assert own.keys() == found.keys()
    assert all(torch.equal(own[name], found[name]) for name in own)


@pytest.mark.parametrize("name", ["", "model", "model.json", "model.safetensors"])
def test_a_model_is_found_by_folder_or_file(saved: Path, name: str) -> None:
    assert load_estimator(saved.parent / name).config.name == "dmc"


def test_a_name_with_dots_keeps_them(estimator: Estimator, tmp_path: Path) -> None:
    path = save_estimator(estimator, tmp_path / "v1.2")
    assert path.name == "v1.2.json"
    assert load_estimator(tmp_path / "v1.2").config == estimator.config
    assert load_estimator(tmp_path / "v1.2.safetensors").config == estimator.config


def test_models_with_nothing_to_learn_need_no_file() -> None:
    assert load_estimator("sum").config.name == "sum"
    assert load_estimator("loudness_sum").config.name == "loudness_sum"
    assert {"sum", "loudness_sum"} <= set(known_models())


def test_a_shipped_model_is_found_by_its_name(saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checkpoint, "PRETRAINED", saved.parent)
    monkeypatch.chdir(tmp_path.parent)
    assert "model" in known_models()
    assert load_estimator("model").config.name == "dmc"


def test_the_description_describes_the_model(saved: Path) -> None:
    description = read_description(saved)
    assert description["model"]["name"] == "dmc"
    assert description["rack"]["sample_rate"] == 30000
    assert [t["name"] for t in description["rack"]["types"]] == ["gain"]
    assert description["training"] == {"artists": ["artist ann"]}
    assert "torch" in description["versions"]


def test_no_half_file_is_left(saved: Path) -> None:
    assert {path.name for path in saved.parent.iterdir()} == {"model.json", "model.safetensors"}


# --- what does not fit


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    text = json.loads(path.read_text())
    change(text)
    path.write_text(json.dumps(text))


def spoil_tensor(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    from safetensors import safe_open

    weights = path.with_suffix(".safetensors")
    with safe_open(weights, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(weights)
    change(tensors)
    save_file(tensors, weights, metadata)


def first_weight(tensors: dict[str, torch.Tensor]) -> str:
    return next(name for name in tensors if name.startswith("post_processor") and name.endswith("weight"))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda p: p.with_suffix(".safetensors").unlink(), "weights .* are missing"),
    "cut weights": (
        lambda p: p.with_suffix(".safetensors").write_bytes(p.with_suffix(".safetensors").read_bytes()[:-100]),
        "damaged or cut off",
    ),
    "other tensors": (
        lambda p: save_file({"x": torch.zeros(2)}, p.with_suffix(".safetensors")),
        "holds no model of graphmix",
    ),
    "another configuration": (
        lambda p: edit(p, lambda text: text["model"].update(hidden=16)),
        "another configuration",
    ),
    "missing tensor": (
        lambda p: spoil_tensor(p, lambda t: t.pop(first_weight(t))),
        "does not fit its configuration: the tensor 'post_processor.* is missing",
    ),
    "another shape": (
        lambda p: spoil_tensor(p, lambda t: t.update({first_weight(t): torch.zeros(3, 5)})),
        r"does not fit its configuration: 'post_processor.* has shape \[3, 5\], expected \[8, 16\]",
    ),
    "a tensor too many": (
        lambda p: spoil_tensor(p, lambda t: t.update(extra=torch.zeros(1))),
        "does not fit its configuration: the model has no 'extra'",
    ),
    "another rack": (
        lambda p: edit(p, lambda text: text["rack"]["types"][0]["parameters"][0].update(size=3)),
        "does not fit this graphmix's rack: its 'gain' has 3 values a node.* this one's 2",
    ),
    "unknown model": (lambda p: edit(p, lambda text: text["model"].update(name="dcm")), "there is no model 'dcm'"),
    "wrong key": (
        lambda p: edit(p, lambda text: text["model"].update(depth=1)),
        "model 'dmc': the key 'depth' is unknown",
    ),
    "newer schema": (lambda p: edit(p, lambda text: text.update(schema_version=9)), "schema 9; .* upgrade graphmix"),
    "no JSON": (lambda p: p.write_text("{"), "damaged or cut off: it is no JSON"),
    "other JSON": (lambda p: p.write_text('{"mix": 1}'), "describes no model of graphmix"),
}


@pytest.mark.parametrize(("spoil", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_checkpoint_that_does_not_fit_is_refused(saved: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(saved)
    with pytest.raises(GraphmixError, match=message) as caught:
        load_estimator(saved)
    assert "\n" not in str(caught.value)


def test_an_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(GraphmixError, match=r"there is no model 'bach'; .* one of: .*sum"):
        load_estimator("bach")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphmixError, match="holds no trained model"):
        load_estimator(tmp_path)
    with pytest.raises(GraphmixError, match="there is no file"):
        load_estimator(tmp_path / "model.safetensors")
