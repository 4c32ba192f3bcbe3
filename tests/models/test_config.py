"""Configurations of models: by name, strict, with clear errors."""

import json

import pytest

from graphmix.errors import GraphError, GraphmixError
from graphmix.models import (
    DMC,
    MODELS,
    AutoregressiveConfig,
    DMCConfig,
    GraphEstimatorConfig,
    ModelConfig,
    SumConfig,
    build_estimator,
    model_config,
)


def test_the_registry_holds_every_model_under_its_name() -> None:
    assert {"dmc", "graph", "sum", "loudness_sum", "mean_parameters", "nearest_song"} <= set(MODELS)
    for name, model in MODELS.items():
        assert model.config_type.model_fields["name"].default == name


@pytest.mark.parametrize("name", ["dmc", "graph", "sum", "loudness_sum", "mean_parameters", "nearest_song"])
def test_a_configuration_survives_json(name: str) -> None:
    config = model_config({"name": name})
    assert model_config(json.loads(json.dumps(config.model_dump(mode="json")))) == config


def test_values_are_taken_at_every_depth() -> None:
    config = model_config({"name": "graph", "gnn": "gine", "encoder": {"kind": "residual", "width": 4}})
    assert isinstance(config, GraphEstimatorConfig)
    assert (config.gnn, config.encoder.kind, config.encoder.width) == ("gine", "residual", 4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "gpt"}, "there is no model 'gpt'; give one of: autoregressive, dmc, graph"),
        ({}, "there is no model None"),
        ({"name": ["dmc"]}, "there is no model"),
        ({"name": "dmc", "colour": 3}, "model 'dmc': the key 'colour' is unknown; remove it"),
        ({"name": "dmc", "hidden": 0}, "model 'dmc': hidden is 0: input should be greater than"),
        ({"name": "graph", "gnn": "cnn"}, "model 'graph': gnn is 'cnn'"),
        ({"name": "graph", "encoder": {"width": "wide"}}, r"encoder\.width is 'wide'"),
        ({"name": "graph", "channels": 10, "heads": 4}, "channels is 10 and heads 4; make it a multiple"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(values: dict, message: str) -> None:
    with pytest.raises(GraphmixError, match=message) as caught:
        model_config(values)
    assert "\n" not in str(caught.value)


def test_models_come_from_their_configurations() -> None:
    assert isinstance(build_estimator(DMCConfig(chain="g")), DMC)
    with pytest.raises(GraphmixError, match="there is no model 'other'"):
        build_estimator(ModelConfig(name="other"))
    with pytest.raises(GraphmixError, match="DMC takes a DMCConfig, not a SumConfig"):
        DMC(SumConfig())


@pytest.mark.parametrize(("name", "chain"), [("dmc", "gz"), ("graph", "gz"), ("dmc", "x"), ("graph", "k")])
def test_a_chain_that_cannot_be_built_is_refused(name: str, chain: str) -> None:
    with pytest.raises(GraphError, match=r"letter|chain"):
        build_estimator(model_config({"name": name, "chain": chain}))


def test_names_and_keys_of_older_files_are_read() -> None:
    model = model_config({"name": "writer", "chain": "eg"})
    assert model == AutoregressiveConfig(chain="eg")
    assert model.model_dump()["name"] == "autoregressive"
    graph = model_config({"name": "graph", "heard_by": "all"})
    assert graph == model_config({"name": "graph", "conditioned_nodes": "all"})
    assert "heard_by" not in graph.model_dump()
    with pytest.raises(GraphmixError, match="'heard_by'"):
        model_config({"name": "graph", "heard_by": "all", "conditioned_nodes": "all"})
