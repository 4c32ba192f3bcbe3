"""The demo song: the same on every machine, mixed through effects that make a difference."""

import json
from pathlib import Path

import pytest
import torch

from graphmix.audio import Song, load_song, read_audio
from graphmix.errors import SongError
from graphmix.graph.editing import bypass_nodes
from graphmix.graph.storage import load_graph
from graphmix.graph.validation import validate
from graphmix.processors.rack import Rack
from graphmix.render.blocks import render_song
from graphmix.search import Objective
from graphmix.search.losses import mix_loss
from graphmix.songbook.demo import DEMO_RATE, DEMO_SETTINGS, bell_curve, hidden_console, write_demo_song


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_song(tmp_path_factory.mktemp("demo") / "song")


@pytest.fixture(scope="module")
def song(folder: Path) -> Song:
    return load_song(folder, DEMO_RATE)


def test_the_song_has_the_size_that_it_is_said_to_have(song):
    assert song.num_tracks == 10
    assert len(song.subgroups) == 3
    assert song.notices == ()
    assert 11 < song.num_samples / DEMO_RATE < 13
    audio = song.read(0, song.num_samples)
    assert audio.mix is not None
    assert 0.1 < float(audio.mix.abs().max()) <= 1
    assert all(0.01 < float(stem.abs().max()) <= 1 for stem in audio.stems)


def test_the_mix_is_the_hidden_consoles(song, folder):
    hidden = validate(load_graph(folder / "hidden_console.json"))
    assert DEMO_SETTINGS.sample_rate == hidden.sample_rate == DEMO_RATE
    assert torch.allclose(render_song(hidden, song), read_audio(folder / "mix.wav"), atol=1e-5)


def test_the_song_is_the_same_every_time_and_another_with_another_seed(song, folder, tmp_path):
    again = load_song(write_demo_song(tmp_path / "again"), DEMO_RATE)
    other = load_song(write_demo_song(tmp_path / "other", seed=1), DEMO_RATE)
    audio, same, different = (s.read(0, s.num_samples) for s in (song, again, other))
    assert torch.equal(audio.stems, same.stems)
    assert torch.equal(audio.mix, same.mix)
    assert not torch.equal(audio.mix, different.mix)
    assert (folder / "song.json").read_bytes() == (tmp_path / "again" / "song.json").read_bytes()


def test_every_type_of_the_hidden_console_changes_a_few_seconds_of_sound(song):
    """Without it the loss rises above the tolerance of a search."""
    hidden = hidden_console()
    objective = Objective(song, Rack.for_types(hidden.types.types, DEMO_RATE))
    segment = objective.segments[1:2]
    base = float(objective.evaluate(hidden, segment).total)
    for node_type in hidden.types.types:
        nodes = hidden.nodes_of(node_type.name)
        if node_type.can_be_bypassed and nodes.numel():
            without = bypass_nodes(hidden, nodes)
            assert float(objective.evaluate(without, segment).total) > base + DEMO_SETTINGS.tolerance, node_type.name


@pytest.mark.slow
def test_every_processor_of_the_hidden_console_changes_the_mix(song):
    """Without any one of them the mix differs by more than the tolerance of a search."""
    hidden = hidden_console()
    count = song.num_samples
    with torch.no_grad():
        target = render_song(hidden, song)[None, :, :count]
        for node in hidden.processors.tolist():
            without = render_song(bypass_nodes(hidden, [node]), song)[None, :, :count]
            loss = float(mix_loss(prediction=without, target=target, sample_rate=DEMO_RATE).total)
            assert loss > DEMO_SETTINGS.tolerance, hidden.describe(node)


def test_a_song_that_is_there_is_left_alone(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert write_demo_song(folder) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_the_song_of_another_seed_is_refused(folder):
    with pytest.raises(SongError, match="holds the demo song of seed 0, not 7"):
        write_demo_song(folder, seed=7)


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "my song"}'])
def test_somebody_elses_song_is_refused(tmp_path, text):
    (tmp_path / "song.json").write_text(text)
    with pytest.raises(SongError, match="holds something else than the demo song"):
        write_demo_song(tmp_path)
    assert (tmp_path / "song.json").read_text() == text


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("content")
    with pytest.raises(SongError, match="cannot write to"):
        write_demo_song(tmp_path / "file" / "song")


def test_the_description_says_what_a_song_description_says(folder):
    described = json.loads((folder / "song.json").read_text())
    assert described["mix"] == "mix.wav"
    assert sum(len(tracks) for tracks in described["subgroups"].values()) == 10


def test_a_bell_has_its_gain_at_its_center():
    rack = Rack.console("e", DEMO_RATE)
    curve = bell_curve(rack, (1000.0, 6.0, 1.0), (8000.0, -3.0, 0.3))
    bins = curve.numel()
    assert float(curve[round(1000 / (DEMO_RATE / 2 / bins))]) == pytest.approx(6, abs=0.05)
    assert float(curve.min()) == pytest.approx(-3, abs=0.1)
    assert torch.equal(bell_curve(rack), torch.zeros(bins))
