"""A trained model on disk: its tensors in ``NAME.safetensors``, its description in ``NAME.json``.

The description holds ``model`` (the configuration, which builds the model), ``rack`` (the node types of its graphs,
since other versions of graphmix may have others), ``training`` (facts about the training) and ``versions``. The tensors
carry a digest of the configuration, so that they are never read with another one. Both files are written atomically,
the description last. Nothing is unpickled.

Checkpoints that come with graphmix lie in ``graphmix/models/pretrained`` and are loaded by name.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

import graphmix.models
from graphmix.errors import GraphmixError
from graphmix.graph.document import plain_type, type_from_plain
from graphmix.io import decode_text, open_tensors, write_atomically, write_json
from graphmix.models.config import ModelConfig, model_config
from graphmix.models.effects.captured import CapturedEffect
from graphmix.models.effects.effect_files import config_of, restore_effect
from graphmix.models.mixing.estimator import MODELS, Estimator, build_estimator
from graphmix.processors.base import Processor
from graphmix.processors.plugin import VST3, PluginEffect, is_plugin, plugin_from_text
from graphmix.processors.plugin_host import PREFIX
from graphmix.processors.rack import Rack
from graphmix.spec import NodeType

FORMAT, SCHEMA_VERSION = "graphmix-estimator", 1
PRETRAINED = Path(graphmix.models.__file__).parent / "pretrained"
_MODEL = "model"
PLUGIN = "plugin"
"""Key of a plugin among a model's effects."""
_VERSIONS = ("graphmix", "torch", "torch_geometric")
_SHOWN = 3


def save_estimator(estimator: Estimator, path: str | Path, training: Mapping[str, Any] | None = None) -> Path:
    """Write a model, and return the path of its description.

    Args:
        estimator: to be written.
        path: of the files, without ending; their folder is there.
        training: JSON values on how it was trained.

    Raises:
        GraphmixError: the folder is missing or not writable, or the disk is full.
    """
    path = Path(path)
    config = plain_config(estimator.config, estimator.rack)
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in estimator.state_dict().items()}
    description = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "model": config,
        "rack": {"sample_rate": estimator.sample_rate, "types": _types(estimator), **_effects(path, estimator)},
        "training": None if training is None else dict(training),
        "versions": {name: _version(name) for name in _VERSIONS},
    }
    write_atomically(_with_ending(path, ".safetensors"), save(tensors, {FORMAT: _digest(config)}))
    described = _with_ending(path, ".json")
    write_json(described, description)
    return described


def plain_config(config: ModelConfig, rack: Rack) -> dict[str, Any]:
    """A model's configuration as JSON values: captured effects by file name and digest, plugins as they are written."""
    plain = config.model_dump(mode="json")
    given = {t.letter: (config.effects.get(t.letter, ""), t.source) for t in rack.types if t.source}
    effects = {letter: text if is_plugin(text) else source for letter, (text, source) in given.items()}
    return {**plain, "effects": effects} if effects else plain


def load_estimator(source: str | Path, device: torch.device | str = "cpu") -> Estimator:
    """Read a model, in evaluation mode.

    Args:
        source: a folder that ``graphmix train`` wrote, a ``.json`` or ``.safetensors`` file, or the name of a model
            that comes with graphmix.
        device: where to put it.

    Raises:
        GraphmixError: there is no such model (the known names are listed), its files are damaged, or do not fit each
            other or this version of graphmix.
    """
    path = find_checkpoint(source)
    if path is None:
        return build_estimator(model_config({"name": str(source)})).to(device).eval()
    description = read_description(path)
    try:
        config = model_config(description["model"])
    except GraphmixError as error:
        raise GraphmixError(f"{path}: {error}") from None
    weights = _read_weights(path.with_suffix(".safetensors"), description["model"])
    estimator = _built(path, config, description, weights)
    _check_rack(path, description, estimator)
    _load_weights(path.with_suffix(".safetensors"), estimator, weights)
    return estimator.to(device).eval()


def find_checkpoint(source: str | Path) -> Path | None:
    """The description of a checkpoint; None for a model without anything to learn.

    Raises:
        GraphmixError: there is no such file, folder or name.
    """
    path = Path(source)
    if path.is_dir():
        described = path / f"{_MODEL}.json"
        if described.is_file():
            return described
        raise GraphmixError(f"{path} holds no trained model ({_MODEL}.json); has its training begun?")
    described = path.with_suffix(".json") if path.suffix == ".safetensors" else path
    if described.suffix == ".json" and described.is_file():
        return described
    if path.suffix in (".safetensors", ".json"):
        raise GraphmixError(f"there is no file {described}; a model is a pair of files, .safetensors and .json.")
    if _with_ending(path, ".json").is_file():
        return _with_ending(path, ".json")
    shipped = _with_ending(PRETRAINED / path.name, ".json")
    if path.name == str(source) and shipped.is_file():
        return shipped
    if str(source) in _untrained():
        return None
    raise GraphmixError(
        f"there is no model {str(source)!r}; give a folder that graphmix train wrote, a file, or one of: "
        f"{', '.join(known_models())}."
    )


def known_models() -> list[str]:
    """Names that need no path: models that come with graphmix, and those without anything to learn."""
    shipped = sorted(path.stem for path in PRETRAINED.glob("*.json"))
    return [*shipped, *_untrained()]


def _untrained() -> list[str]:
    """Models that are of use before any training: their names are enough."""
    return [name for name, model in MODELS.items() if not model.needs_training]


def read_description(path: str | Path) -> dict[str, Any]:
    """The description of a checkpoint.

    Args:
        path: of its ``.json`` file.

    Raises:
        GraphmixError: the file is damaged, or describes something else.
    """
    try:
        text = json.loads(decode_text(Path(path).read_bytes(), str(path)))
    except GraphmixError:
        raise
    except OSError as error:
        raise GraphmixError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        raise GraphmixError(f"{path} is damaged or cut off: it is no JSON ({error}).") from None
    if not isinstance(text, dict) or text.get("format") != FORMAT:
        raise GraphmixError(f"{path} describes no model of graphmix; give the .json file that lies beside the weights.")
    schema = text.get("schema_version")
    if not isinstance(schema, int) or schema > SCHEMA_VERSION:
        raise GraphmixError(
            f"{path} is of schema {schema}; this graphmix reads up to {SCHEMA_VERSION}: upgrade graphmix."
        )
    if not isinstance(text.get("model"), dict) or not isinstance(text.get("rack"), dict):
        raise GraphmixError(f"{path} is damaged: it lacks the model's configuration or its rack.")
    return text


def _built(path: Path, config: ModelConfig, description: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Estimator:
    """The model with random weights, drawn without touching the caller's random numbers."""
    try:
        rack = _captured_rack(config, description["rack"], weights) if config.effects else None
        with torch.random.fork_rng(devices=[]):
            return build_estimator(config, rack)
    except GraphmixError as error:
        raise GraphmixError(f"{path}: {error}") from None


# --- captured effects: their weights are among the tensors of the model, whose rack holds them


def _effects(path: Path, estimator: Estimator) -> dict[str, Any]:
    """Letter -> configuration of each captured effect, or how a plugin is written; nothing where there are none."""
    effects = {}
    for processor in estimator.rack:
        node_type = processor.node_type
        if isinstance(processor, CapturedEffect):
            effects[node_type.letter] = config_of(processor.model)
        elif isinstance(processor, PluginEffect) and _is_built_in(estimator.config.effects.get(node_type.letter, "")):
            effects[node_type.letter] = {PLUGIN: estimator.config.effects[node_type.letter]}
        elif node_type.source:
            raise GraphmixError(
                f"{path}: the effect {node_type.name!r}, from {node_type.source}, cannot be stored: a model has "
                "captured effects and pedalboard's own."
            )
    return {"effects": effects} if effects else {}


def _captured_rack(config: ModelConfig, described: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Rack:
    """The rack of a model with captured effects, from what its checkpoint holds."""
    try:
        types = {t.letter: t for t in map(type_from_plain, described["types"]) if t.source}
        configs = {letter: described["effects"][letter] for letter in config.effects}
        effects = list[Processor]()
        for letter, plain in configs.items():
            own = types[letter]
            if PLUGIN in plain:
                effects.append(_plugin(plain[PLUGIN], own, config.sample_rate))
                continue
            begin = f"rack._processors.{own.name}.model."
            tensors = {name.removeprefix(begin): value for name, value in weights.items() if name.startswith(begin)}
            effects.append(
                CapturedEffect(restore_effect(plain, tensors), own.name, letter, config.sample_rate, own.source)
            )
    except (KeyError, TypeError, AttributeError):
        raise GraphmixError(
            f"its captured effects ({', '.join(config.effects.values())[:200]}) are missing or damaged; train it again."
        ) from None
    return Rack.console(config.chain, config.sample_rate, effects)


def _types(estimator: Estimator) -> list[dict[str, Any]]:
    return [plain_type(node_type) for node_type in estimator.rack.types]


def _check_rack(path: Path, description: Mapping[str, Any], estimator: Estimator) -> None:
    """The node types that the model was trained for are those that this graphmix has."""
    theirs = description["rack"].get("types")
    ours = json.loads(json.dumps(_types(estimator)))
    if theirs == ours:
        return
    known = {t["name"]: t for t in theirs if isinstance(t, dict) and "name" in t} if isinstance(theirs, list) else {}
    node_type = next((t for t, own in zip(estimator.rack.types, ours, strict=True) if known.get(t.name) != own), None)
    if node_type is None:
        raise GraphmixError(f"{path} was trained for the node types {', '.join(known)}, not {_names(estimator)}.")
    raise GraphmixError(
        f"{path} does not fit this graphmix's rack: its {node_type.name!r} has {_width(known.get(node_type.name))} "
        f"values a node, or other ranges, and this one's {node_type.width}; train it again, or use the graphmix that "
        "made it."
    )


def _names(estimator: Estimator) -> str:
    return ", ".join(estimator.rack.names)


def _width(plain: Mapping[str, Any] | None) -> str:
    """Number of parameters of a type, according to a file."""
    try:
        return "no" if plain is None else str(sum(p["size"] for p in plain["parameters"]))
    except (KeyError, TypeError):
        return "unknown"


def _read_weights(path: Path, config: Mapping[str, Any]) -> dict[str, Tensor]:
    if not path.is_file():
        raise GraphmixError(f"the weights {path} are missing; they belong beside {path.with_suffix('.json').name}.")
    try:
        with open_tensors(path) as file:
            digest = (file.metadata() or {}).get(FORMAT)
            weights = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise GraphmixError(f"{path} is damaged or cut off ({error}).") from None
    if digest is None:
        raise GraphmixError(f"{path} holds no model of graphmix: the file holds other tensors.")
    if digest != _digest(config):
        raise GraphmixError(
            f"{path} was made with another configuration than {path.with_suffix('.json').name} has; restore the pair "
            "that belongs together."
        )
    return weights


def _load_weights(path: Path, estimator: Estimator, weights: Mapping[str, Tensor]) -> None:
    try:
        estimator.load_state_dict(weights)
    except RuntimeError as error:
        reason = _misfit(weights, estimator) or " ".join(str(error).split())[:200]
        raise GraphmixError(f"{path} does not fit its configuration: {reason}.") from None


def _misfit(weights: Mapping[str, Tensor], estimator: Estimator) -> str | None:
    """The first tensor at fault."""
    own = estimator.state_dict()
    for name, value in own.items():
        if name not in weights:
            return f"the tensor {name!r} is missing"
        if weights[name].shape != value.shape:
            return f"{name!r} has shape {list(weights[name].shape)}, expected {list(value.shape)}"
    extra = [name for name in weights if name not in own]
    return f"the model has no {', '.join(map(repr, extra[:_SHOWN]))}" if extra else None


def _digest(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _with_ending(path: Path, ending: str) -> Path:
    """The path with an ending added, whatever dots its name has."""
    return path.with_name(path.name + ending)


def _plugin(text: str, own: NodeType, sample_rate: int) -> Processor:
    """The plugin of a model, which has to be installed where the model is used.

    Raises:
        GraphmixError: it is not, or in another version.
    """
    if not isinstance(text, str) or not _is_built_in(text):  # a file from anybody does not say which code to load
        raise GraphmixError(f"its effect {str(text)[:100]!r} is none of pedalboard's own; it is not loaded.")
    plugin = plugin_from_text(text, own.letter, sample_rate)
    if plugin.node_type != own:
        raise GraphmixError(
            f"its plugin {own.name!r} was {own.source}, and the one found is {plugin.node_type.source}, or has other "
            "parameters; install that version, or train the model again."
        )
    return plugin


def _is_built_in(text: str) -> bool:
    """Whether a text names an effect that comes with pedalboard, and no file."""
    return text.startswith(PREFIX) and VST3 not in text.lower()
