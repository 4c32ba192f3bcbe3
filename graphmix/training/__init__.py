"""Training, predicting and evaluating: what is done with the models of :mod:`graphmix.models`.

The names below are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphmix.training.checkpoint import known_models, load_estimator, save_estimator
    from graphmix.training.config import TrainConfig, known_configs, load_config
    from graphmix.training.data import Example, SongSegments, split_songs
    from graphmix.training.evaluation import evaluate, songs_to_evaluate, summarize
    from graphmix.training.matching import carry_over, console_target, match_nodes
    from graphmix.training.measures import compare_mixes
    from graphmix.training.prediction import predict, propose
    from graphmix.training.start import EstimatorStart
    from graphmix.training.trainer import Trained, train

_WHERE = {
    "EstimatorStart": "start",
    "Example": "data",
    "SongSegments": "data",
    "TrainConfig": "config",
    "Trained": "trainer",
    "carry_over": "matching",
    "compare_mixes": "measures",
    "console_target": "matching",
    "evaluate": "evaluation",
    "known_configs": "config",
    "known_models": "checkpoint",
    "load_config": "config",
    "load_estimator": "checkpoint",
    "match_nodes": "matching",
    "predict": "prediction",
    "propose": "prediction",
    "save_estimator": "checkpoint",
    "songs_to_evaluate": "evaluation",
    "split_songs": "data",
    "summarize": "evaluation",
    "train": "trainer",
}

__all__ = [
    "EstimatorStart",
    "Example",
    "SongSegments",
    "TrainConfig",
    "Trained",
    "carry_over",
    "compare_mixes",
    "console_target",
    "evaluate",
    "known_configs",
    "known_models",
    "load_config",
    "load_estimator",
    "match_nodes",
    "predict",
    "propose",
    "save_estimator",
    "songs_to_evaluate",
    "split_songs",
    "summarize",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'graphmix.training' has no attribute {name!r}")
    return getattr(import_module(f"graphmix.training.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
