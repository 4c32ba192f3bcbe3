"""Models that come with graphmix: they load, are small, describe their training, and do their work."""

from pathlib import Path

import pytest
import torch

from graphmix.audio import load_song
from graphmix.graph import mixing_console, validate
from graphmix.models import Stems
from graphmix.models.effects.pretraining import HELD_OUT, Sounds, score_proxy
from graphmix.models.effects.proxy import SHIPPED, load_proxy
from graphmix.models.effects.strip import random_settings
from graphmix.processors import Rack
from graphmix.search import Objective
from graphmix.search.mix_measures import compare_mixes
from graphmix.songbook.demo import write_demo_song
from graphmix.training import EstimatorStart, load_estimator, propose
from graphmix.training.checkpoint import PRETRAINED, known_models, read_description

MODELS = ("graph", "reverse")
LARGEST = 8 * 2**20


@pytest.fixture(scope="module")
def song_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song of another generator than the one that the models learned from."""
    folder = tmp_path_factory.mktemp("songs") / "demo"
    write_demo_song(folder, 7)
    return folder


def test_the_models_are_known_by_name() -> None:
    assert set(MODELS) <= set(known_models())


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_small_and_names_its_training_songs(name: str) -> None:
    path = PRETRAINED / f"{name}.json"
    description = read_description(path)
    training = description["training"]
    assert path.stat().st_size + path.with_suffix(".safetensors").stat().st_size <= LARGEST
    assert training["songs"]["train"] >= 500
    assert training["evaluations"][-1]["proposal"] < 0.8 * training["evaluations"][0]["proposal"]
    assert training["config"]["model"] == description["model"]
    assert not any(Path(folder).is_absolute() for folder in training["config"]["data"]["songs"])


def test_the_graph_model_mixes_better_than_the_plain_sum(song_folder: Path) -> None:
    song = load_song(song_folder, 30000)
    target = song.read(0, song.num_samples).mix
    losses = {}
    for name in ("graph", "sum"):
        proposal = propose(load_estimator(name), song)
        validate(proposal.graph)
        losses[name] = compare_mixes(prediction=proposal.mix, target=target, sample_rate=30000)["audio_loss"]
    assert losses["graph"] < 0.9 * losses["sum"]


def test_the_reverse_model_starts_a_search_better_than_the_plain_sum(song_folder: Path) -> None:
    song = load_song(song_folder, 30000)
    rack = Rack.console("ecnsgdr", 30000)
    console = mixing_console(rack, song.subgroups, "ecnsgdr")
    objective = Objective(song, rack)
    graph = EstimatorStart()(console, song, rack)
    plain = mixing_console(rack, song.subgroups, "")
    assert float(objective.evaluate(graph).total) < 0.6 * float(objective.evaluate(plain).total)


@pytest.mark.parametrize("tracks", [1, 133])
def test_one_track_and_133_are_mixed(tracks: int) -> None:
    audio = 0.05 * torch.randn(tracks, 2, 15000, generator=torch.Generator().manual_seed(0))
    stems = Stems(audio, tuple(f"track {i}" for i in range(tracks)), 48000)
    model = load_estimator("graph")
    graph = validate(model(stems))
    assert graph.nodes_of("in").numel() == tracks
    assert bool(model.render(graph, stems).isfinite().all())


def test_the_proxy_imitates_the_strip_on_sounds_and_settings_that_it_never_met() -> None:
    proxy = load_proxy()
    generator = torch.Generator().manual_seed(5)
    audio = Sounds.of_demo_song(HELD_OUT, (200,)).draw(6, 2.0, generator)
    score = score_proxy(proxy, audio, random_settings(6, generator))
    assert SHIPPED.stat().st_size <= LARGEST
    assert score.share < 0.35  # 0.25 over many; see docs/proxy.md
