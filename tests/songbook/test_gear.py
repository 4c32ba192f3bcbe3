"""Captured effects in songbooks: the true graph has them, and its sound is the written mix."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graphmix.audio.song import load_song
from graphmix.errors import GraphError, SongError
from graphmix.graph.storage import load_graph
from graphmix.models.effects import CapturedEffect, captured_effect
from graphmix.processors.rack import Rack
from graphmix.render.blocks import render_song
from graphmix.songbook import SongbookSettings, make_song, oracle_loss, oracle_mix, write_songbook
from tests.small_effects import write_amp, write_pedal

SMALL = SongbookSettings(seed=3, min_tracks=3, max_tracks=3, seconds=(2.0, 2.0), effect_share=0.7)


@pytest.fixture(scope="module")
def effects(tmp_path_factory: pytest.TempPathFactory) -> list[CapturedEffect]:
    folder = tmp_path_factory.mktemp("gear")
    return [captured_effect(write_amp(folder), "a"), captured_effect(write_pedal(folder), "p")]


@pytest.fixture(scope="module")
def book(effects: list[CapturedEffect], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("books") / "book"
    write_songbook(out, 2, SMALL, effects=effects)
    return out


def test_the_true_graph_has_the_gear_and_renders_to_the_written_mix(book: Path, effects: list[CapturedEffect]):
    found = 0
    for folder in sorted(book.glob("song_*")):
        song, graph = load_song(folder), load_graph(folder / "graph.safetensors")
        gear = json.loads((folder / "song.json").read_text())["songbook"]["gear"]
        nodes = [node for effect in effects for node in graph.nodes_of(effect.node_type.name).tolist()]
        assert len(nodes) == len(gear)
        assert all(0.5 <= float(graph.wet[node]) <= 1 for node in nodes)
        rack = Rack.for_types(graph.types.types, graph.sample_rate, effects)
        mix = song.read(0, song.num_samples).mix
        assert mix is not None
        # Equalizers look beyond the end of the song, where a network of random weights is not silent.
        assert (render_song(graph, song, rack) - mix)[:, : -graph.sample_rate // 20].abs().max() < 2e-6
        with pytest.raises(GraphError, match="uses the captured effect"):
            render_song(graph, song)
        found += len(nodes)
    assert found > 0


def test_effects_leave_the_dry_tracks_as_they_are(book: Path, effects: list[CapturedEffect]):
    plain, played = make_song(SMALL, 0), make_song(SMALL, 0, effects=effects)
    assert plain.session.stems.keys() == played.session.stems.keys()
    assert all(torch.equal(audio, played.session.stems[name]) for name, audio in plain.session.stems.items())
    assert not plain.session.gear
    assert len(make_song(replace(SMALL, effect_share=1.0), 0, effects=effects).session.gear) == len(plain.session.stems)


def test_the_oracle_knows_the_gear(book: Path, effects: list[CapturedEffect]):
    folder = book / "song_00000"
    true, again = load_graph(folder / "graph.safetensors"), oracle_mix(folder, style=True, chance=True, effects=effects)
    assert torch.equal(true.node_type, again.graph.node_type)
    assert oracle_loss(folder, effects).same < 0.01
    with pytest.raises(SongError, match=r"its tracks use the captured effect 'amp', from amp\.safetensors"):
        oracle_mix(folder)


def test_a_songbook_is_continued_with_its_own_effects_alone(book: Path, effects: list[CapturedEffect], tmp_path: Path):
    write_songbook(book, 2, SMALL, effects=effects)
    for given in ([], [captured_effect(write_amp(tmp_path, drive=3.0), "a"), effects[1]]):
        with pytest.raises(SongError, match="holds a songbook with another effects"):
            write_songbook(book, 2, SMALL, effects=given)


@pytest.mark.slow  # two processes are started
def test_workers_write_the_same_songs(book: Path, effects: list[CapturedEffect], tmp_path: Path):
    write_songbook(tmp_path / "book", 2, SMALL, effects=effects, workers=2)
    for name in ("song_00000", "song_00001"):
        one, other = (root / name / "graph.safetensors" for root in (book, tmp_path / "book"))
        assert one.read_bytes() == other.read_bytes()
