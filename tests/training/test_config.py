"""Configurations: those that come with graphmix, old keys, and messages on wrong values."""

import re
from pathlib import Path
from typing import Any

import pytest

from graphmix.errors import GraphmixError
from graphmix.models.config import EncoderConfig, Table
from graphmix.models.mixing.dmc import DMCConfig
from graphmix.training.config import (
    DataConfig,
    LossConfig,
    RunConfig,
    TrainConfig,
    known_configs,
    load_config,
    parse_config,
)
from tests.training.tiny_songbook import DMC


@pytest.mark.parametrize("name", known_configs())
def test_every_configuration_that_comes_with_graphmix_can_be_read(name: str) -> None:
    config = load_config(name)
    assert config.training.steps >= 0
    assert load_config(name) == config


def test_the_shipped_configurations_cover_every_model() -> None:
    names = {load_config(name).model.name for name in known_configs()}
    assert {"dmc", "graph", "autoregressive", "waveunet", "mean_parameters", "nearest_song", "loudness_sum"} <= names


def test_a_configuration_survives_a_round_trip_through_json_values() -> None:
    config = load_config("graph")
    assert TrainConfig.model_validate(config.model_dump(mode="json")) == config


def test_the_model_table_becomes_the_configuration_of_its_model() -> None:
    config = parse_config({"model": DMC}, "here")
    assert isinstance(config.model, DMCConfig)
    assert config.model.encoder == EncoderConfig(kind="vggish", width=2, embedding=8)


def test_changes_override_the_file() -> None:
    config = parse_config({"model": DMC, "training": {"steps": 7, "seed": 3}}, "here")
    changed = config.changed(data={"songs": ["x"]}, training={"steps": 9, "seed": None})
    assert (changed.training.steps, changed.training.seed, changed.data.songs) == (9, 3, ("x",))
    with pytest.raises(GraphmixError, match=r"the options: training.steps is -1"):
        config.changed(training={"steps": -1})


def test_old_keys_stay_readable() -> None:
    assert parse_config({"model": DMC, "data": {"hear": "song"}}, "here").data.encode == "song"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({}, "the key 'model' is missing"),
    "unknown table": ({"model": DMC, "optimizer": {}}, "the key 'optimizer' is unknown"),
    "unknown key": ({"model": DMC, "training": {"epochs": 3}}, "the key 'training.epochs' is unknown"),
    "unknown model": ({"model": {"name": "dcm"}}, "there is no model 'dcm'; give one of: .*dmc"),
    "unknown key of the model": ({"model": {**DMC, "depth": 3}}, "model 'dmc': the key 'depth' is unknown"),
    "wrong value of the model": ({"model": {**DMC, "hidden": 0}}, "model 'dmc': hidden is 0"),
    "negative rate": ({"model": DMC, "training": {"learning_rate": -1}}, "training.learning_rate is -1: .*greater"),
    "text for a number": ({"model": DMC, "training": {"steps": "many"}}, "training.steps is 'many'"),
    "unknown word": ({"model": DMC, "device": {"precision": "8"}}, "device.precision is '8'"),
    "nothing to minimise": ({"model": DMC, "loss": {"audio": 0}}, "nothing to minimise"),
    "nothing to train on": ({"model": DMC, "data": {"validation": 0.5, "test": 0.5}}, "take less than 1"),
    "too short": ({"model": DMC, "data": {"segment_seconds": 1.0}}, "make segment_seconds longer"),
    "uneven": (
        {"model": DMC, "training": {"batch_size": 3}, "device": {"devices": 2}},
        "make the first a multiple of the second",
    ),
    "nothing before the sound": ({"model": DMC, "training": {"audio_after": 0.5}}, "audio the only term of the loss"),
    "no validation songs": (
        {"model": DMC, "loss": {"wet": 1}, "training": {"audio_after": 0.5}, "data": {"validation": 0}},
        "hold out songs",
    ),
}


@pytest.mark.parametrize(("values", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_value_is_named_with_its_place(values: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphmixError, match=f"^here: .*{message}") as caught:
        parse_config(values, "here")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_lists_the_known_names() -> None:
    with pytest.raises(GraphmixError, match=r"no configuration 'nothing'; give a .toml file or one of: .*dmc-gain.*"):
        load_config("nothing")


def test_a_file_that_is_no_toml_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("[model]\nname = \n")
    with pytest.raises(GraphmixError, match=r"broken.toml is no TOML .*line 2"):
        load_config(path)


# --- the page

PAGE = (Path(__file__).resolve().parents[2] / "docs/training.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", known_configs())
def test_the_page_names_every_configuration(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("table", [DataConfig, LossConfig, RunConfig], ids=lambda table: table.__name__)
def test_the_page_lists_every_key_with_its_default(table: type[Table]) -> None:
    shown: dict[str, str] = {}
    for keys, defaults in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ([^|]+) \|", PAGE, re.M):
        names = re.findall(r"\w+", keys)
        values = [defaults.strip()] if len(names) == 1 else defaults.strip().split(", ")
        shown |= dict(zip(names, values, strict=False))
    for name, field in table.model_fields.items():
        assert name in shown, f"docs/training.md does not list {name}"
        text = shown[name].replace("`", "")
        if isinstance(field.default, bool | str):
            assert text.strip('"') == str(field.default).lower(), name
        elif isinstance(field.default, int | float):
            assert float(text) == field.default, name


def test_a_configuration_is_found_by_its_older_name() -> None:
    assert load_config("writer") == load_config("autoregressive")
    assert load_config("writer").model.name == "autoregressive"
