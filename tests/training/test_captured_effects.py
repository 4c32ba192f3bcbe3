"""Estimators whose chain has captured effects: what is stored, what is read, what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from graphmix.errors import GraphError, GraphmixError
from graphmix.evaluation.evaluate import score_model
from graphmix.evaluation.human_mix import HumanMix
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.config import model_config
from graphmix.models.effects import captured_effect
from graphmix.models.mixing.estimator import build_estimator
from graphmix.models.mixing.stems import Stems
from graphmix.processors.rack import Rack
from graphmix.training.checkpoint import FORMAT, load_estimator, read_description, save_estimator
from graphmix.training.matching import check_effects, console_target
from graphmix.training.trainer import train
from tests.small_effects import write_amp, write_pedal
from tests.small_song import RATE
from tests.training.tiny_songbook import DMC, GRAPH, tiny_config


def with_effects(model: dict[str, Any], folder: Path) -> dict[str, Any]:
    effects = {"a": str(write_amp(folder)), "p": str(write_pedal(folder))}
    return {**model, "chain": "apg", "effects": effects}


def stems() -> Stems:
    audio = 0.2 * torch.randn(2, 2, RATE, generator=torch.Generator().manual_seed(5))
    return Stems(audio, ("bass", "voice"), RATE, {"band": ("bass", "voice")})


@pytest.mark.parametrize("model", [DMC, GRAPH], ids=["dmc", "graph"])
def test_a_stored_model_needs_no_file_of_its_effects(tmp_path: Path, model: dict[str, Any]):
    estimator = build_estimator(model_config(with_effects(model, tmp_path))).eval()
    (tmp_path / "trained").mkdir()
    save_estimator(estimator, tmp_path / "trained" / "model")
    for name in ("amp", "pedal"):
        (tmp_path / f"{name}.safetensors").unlink()
    loaded = load_estimator(tmp_path / "trained")
    assert loaded.rack.types == estimator.rack.types
    with torch.no_grad():
        assert torch.equal(loaded.mix(stems()), estimator.mix(stems()))
    config = read_description(tmp_path / "trained" / "model.json")["model"]
    assert config["effects"] == {t.letter: t.source for t in estimator.rack.types if t.source}
    save_estimator(loaded, tmp_path / "again")  # a model that was read is written as it was
    assert read_description(tmp_path / "again.json")["model"] == config


def test_a_checkpoint_without_its_effects_is_refused(tmp_path: Path):
    path = save_estimator(build_estimator(model_config(with_effects(DMC, tmp_path))), tmp_path / "model")
    text = json.loads(path.read_text())
    del text["rack"]["effects"]["a"]
    path.write_text(json.dumps(text))
    with pytest.raises(GraphmixError, match=r"model\.json: its captured effects \(amp\.safetensors \w+, .* train it"):
        load_estimator(path)
    text["rack"]["effects"]["a"] = {"model": "grey_box", "taps": 4}
    path.write_text(json.dumps(text))
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("rack._processors.amp.model.curves")
    from graphmix.io import open_tensors

    with open_tensors(tmp_path / "model.safetensors") as file:
        header = file.metadata()
    save_file(weights, tmp_path / "model.safetensors", {FORMAT: header[FORMAT]})
    with pytest.raises(GraphmixError, match=r"model\.json: curves is missing"):
        load_estimator(path)


def test_an_effect_outside_of_the_chain_or_without_a_file_is_refused(tmp_path: Path):
    amp = str(write_amp(tmp_path))
    with pytest.raises(GraphmixError, match="chain 'g' has no letter 'a' for its effect"):
        build_estimator(model_config({**DMC, "chain": "g", "effects": {"a": amp}}))
    with pytest.raises(GraphmixError, match=r"cannot load .*gone\.safetensors: there is no such file"):
        build_estimator(model_config({**DMC, "chain": "ag", "effects": {"a": str(tmp_path / "gone.safetensors")}}))


def test_a_configuration_without_effects_reads_as_before(songbook: Path):
    assert "effects" not in tiny_config(songbook, DMC).model_dump(mode="json")["model"]


def test_a_training_is_known_by_its_effects(songbook: Path, tmp_path: Path):
    out, folder = tmp_path / "trained", tmp_path / "effects"
    small = {"training": {"steps": 1, "evaluate_every": 1}}
    model = {**GRAPH, "chain": "aeg", "effects": {"a": str(write_amp(folder))}}
    loss = {"loss": {"audio": 1.0, "keep": 1.0, "coefficients": 1.0}}
    trained = train(tiny_config(songbook, model, **small, **loss), out)
    assert trained.facts["value"] is not None
    moved = (folder / "amp.safetensors").rename(tmp_path / "amp.safetensors")
    again = train(tiny_config(songbook, {**model, "effects": {"a": str(moved)}}, **small, **loss), out)
    assert again.already_done
    other = str(write_amp(folder, drive=3.0))
    with pytest.raises(GraphmixError, match=r"a training with model\.effects\.a = amp\.safetensors \w+, not amp\.saf"):
        train(tiny_config(songbook, {**model, "effects": {"a": other}}, **small, **loss), out)


def true_graph(rack: Rack) -> MixGraph:
    graph = MixGraph(rack.types, RATE)
    mix, out = graph.add("mix", name="band"), graph.add("out", name="mix")
    graph.chain(graph.add("in", name="bass"), graph.add("amp", wet=0.8), graph.add("gain", gain_db=-3), mix)
    graph.chain(graph.add("in", name="voice"), graph.add("gain", gain_db=-6), mix, out)
    return graph


def test_another_capture_is_not_the_models(tmp_path: Path):
    own = Rack.console("g", RATE).with_effect("a", write_amp(tmp_path))
    other = Rack.console("g", RATE).with_effect("a", write_amp(tmp_path, drive=3.0))
    from graphmix.graph import mixing_console

    console = mixing_console(own, {"band": ["bass", "voice"]}, "ag")
    assert int(console_target(true_graph(own), console).keep.sum()) == 3
    target = console_target(true_graph(other), console)
    assert (int(target.keep.sum()), target.lost) == (2, 1)
    check_effects(true_graph(own), own, tmp_path)
    with pytest.raises(GraphError, match=r"the 'amp' of .* is from amp\.safetensors .* and the model's from amp\.saf"):
        check_effects(true_graph(other), own, tmp_path)


def test_models_with_and_without_the_effect_are_evaluated_on_songs_that_have_it(tmp_path: Path):
    from graphmix.audio import load_song
    from graphmix.render.renderer import Renderer
    from tests.small_song import dry_tracks, write_song

    amp = captured_effect(write_amp(tmp_path), "a", RATE)
    rack = Rack.console("g", RATE, []).with_processor(amp)
    tracks = {name: audio[:, :RATE] for name, audio in list(dry_tracks().items())[1:]}
    graph = MixGraph(rack.types, RATE)
    out = graph.add("out")
    for name in tracks:
        graph.chain(graph.add("in", name=name), graph.add("amp"), graph.add("gain", gain_db=-6), out)
    with torch.no_grad():
        mix = Renderer(rack)(graph, torch.stack(list(tracks.values())))[0]
    song = load_song(write_song(tmp_path / "song", tracks, mix), RATE)
    model = {**DMC, "chain": "ag", "effects": {"a": str(tmp_path / "amp.safetensors")}}
    counted = []
    for config in ({**DMC, "chain": "g"}, model):
        estimator = build_estimator(model_config(config)).eval()
        agreement = score_model("model", "song", estimator, HumanMix(song, graph)).agreement
        assert agreement is not None
        counted.append((set(agreement.counts), agreement.lost))
    assert counted == [({"gain"}, 2), ({"gain", "amp"}, 0)]


def test_a_model_with_a_plugin_trains_and_is_loaded_again(tmp_path: Path):
    pytest.importorskip("pedalboard")
    text = "plugin:Compressor,ratio=4,gradient=spsa"
    config = model_config({**GRAPH, "chain": "pg", "effects": {"p": text}})
    model = build_estimator(config)
    path = save_estimator(model, tmp_path / "model")
    again = load_estimator(path)
    assert again.rack.types == model.rack.types
    assert again.config.effects == {"p": text}
    assert save_estimator(again, tmp_path / "again").read_text() == path.read_text()


def test_a_plugin_of_another_version_is_refused(tmp_path: Path):
    pytest.importorskip("pedalboard")
    config = model_config({**GRAPH, "chain": "pg", "effects": {"p": "plugin:Compressor"}})
    path = save_estimator(build_estimator(config), tmp_path / "model")
    described = path.read_text()
    version = re.search(r"pedalboard (\d+\.\d+\.\d+)", described)
    assert version is not None, described
    path.write_text(described.replace(version[0], "pedalboard 0.1.2"))
    with pytest.raises(GraphmixError, match=r"its plugin 'plugin_compressor' was .*0\.1\.2.*install that version"):
        load_estimator(path)


def test_a_model_from_anybody_does_not_load_a_vst3_file(tmp_path: Path):
    pytest.importorskip("pedalboard")
    config = model_config({**GRAPH, "chain": "pg", "effects": {"p": "plugin:Compressor"}})
    path = save_estimator(build_estimator(config), tmp_path / "model")
    described = json.loads(path.read_text())
    described["rack"]["effects"]["p"]["plugin"] = "/tmp/foreign.vst3"
    path.write_text(json.dumps(described))
    with pytest.raises(GraphmixError, match=r"'/tmp/foreign\.vst3' is none of pedalboard's own; it is not loaded"):
        load_estimator(path)
