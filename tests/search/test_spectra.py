"""Equalizers from spectra: known ones come back, and nothing is equalized that asks for nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.audio import load_song
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.search import Objective, find_baselines, start_graph
from graphmix.search.spectra import RANGE_DB, equalizer_gains, with_equalizers
from tests.small_song import RATE, write_song

RACK = Rack.console("eg", RATE)
BINS = RACK["equalizer"].node_type.width
AUDIBLE = slice(20, 900)
"""From 0.3 to 13 kHz."""


def noises(names: tuple[str, ...] = ("1_drum.wav", "3_voice.wav")) -> dict[str, Tensor]:
    """Independent stereo noises; each falls silent for a while, at a time of its own."""
    generator = torch.Generator().manual_seed(11)
    samples = 5 * RATE
    tracks = {}
    for number, name in enumerate(names):
        noise = 0.05 * torch.randn(2, samples, generator=generator)
        noise[:, (number + 1) * RATE : (number + 2) * RATE] *= 0.02
        tracks[name] = noise
    return tracks


def bump(center_hz: float, gain_db: float) -> Tensor:
    """A bell one octave wide on each side, as an equalizer's parameters."""
    frequency = np.arange(1, BINS + 1) * (RATE / 2 / BINS)
    return torch.from_numpy(gain_db * np.exp(-0.5 * np.log2(frequency / center_hz) ** 2)).float()


@torch.no_grad()
def an_objective(folder: Path, tracks: dict[str, Tensor], curves: dict[str, Tensor]) -> Objective:
    """A song whose mix is each track through its equalizer, and their sum."""
    graph = MixGraph(RACK.types, RATE)
    out = graph.add("out")
    for name in tracks:
        equalizer = graph.add("equalizer", gain_db=curves[name].tolist())
        graph.chain(graph.add("in", name=name), equalizer, out)
    mix = Renderer(RACK)(graph, torch.stack(list(tracks.values())))[0]
    return Objective(load_song(write_song(folder, tracks, mix), RATE), RACK)


def test_the_equalizers_of_two_noises_come_back(tmp_path):
    tracks = noises()
    curves = {"1_drum.wav": bump(3000, 9.0), "3_voice.wav": bump(1000, -8.0) + bump(8000, 5.0)}
    found = equalizer_gains(an_objective(tmp_path / "song", tracks, curves), None)
    assert found.shape == (2, BINS)
    for row, name in zip(found, tracks, strict=True):
        error = (row - curves[name])[AUDIBLE].abs()
        assert error.mean() < 1.0, name
        assert error.max() < 3.0, name


def test_levels_are_taken_into_account(tmp_path):
    """With each track given at half its level and gains of 2 the equalizers are the same."""
    tracks = noises()
    curves = {"1_drum.wav": bump(3000, 9.0), "3_voice.wav": bump(1000, -8.0)}
    plain = equalizer_gains(an_objective(tmp_path / "plain", tracks, curves), None)
    objective = an_objective(tmp_path / "loud", tracks, curves)
    louder = equalizer_gains(objective, torch.full((2, 2), 2.0))
    assert (plain - 6.02 - louder)[:, AUDIBLE].abs().mean() < 1.0


def test_a_mix_without_equalizers_asks_for_none(tmp_path):
    tracks = noises()
    flat = {name: torch.zeros(BINS) for name in tracks}
    assert equalizer_gains(an_objective(tmp_path / "song", tracks, flat), None).abs().max() < 1.0


def test_gains_stay_in_their_range_and_silence_stays_flat(tmp_path):
    tracks = noises()
    tracks["3_voice.wav"] = torch.zeros_like(tracks["3_voice.wav"])
    curves = {"1_drum.wav": torch.full((BINS,), 30.0), "3_voice.wav": torch.zeros(BINS)}
    found = equalizer_gains(an_objective(tmp_path / "song", tracks, curves), None)
    assert found[0].max() <= RANGE_DB
    assert found[0][AUDIBLE].min() > RANGE_DB - 3
    assert found[1].abs().max() < 1e-3


@pytest.mark.parametrize("chain", ["e", "eg", "ge", "eeg", "g"])
def test_they_go_to_the_first_equalizer_after_each_input_and_nowhere_else(chain):
    graph = mixing_console(RACK, {"one": ["b"], "two": ["a"]}, chain)
    gain_db = torch.tensor([[1.0], [2.0]]).expand(2, BINS)
    result = with_equalizers(graph, gain_db, ("a", "b"))
    changed = (result.params["equalizer"] != graph.params["equalizer"]).any(1).nonzero().flatten().tolist()
    assert len(changed) == (2 if "e" in chain else 0)
    for track, wanted in (("a", 1.0), ("b", 2.0)):
        node = graph.names.index(track)
        while "e" in chain and graph.type_of(node).letter != "e":
            node = int(graph.edge_index[1, graph.edge_index[0] == node][0])
        if "e" in chain:
            assert (result.parameter(node, "gain_db") == wanted).all()
    assert torch.equal(result.params["gain"], graph.params["gain"])


def start_of(objective: Objective, chain: str) -> MixGraph:
    console = mixing_console(RACK, objective.song.subgroups, chain)
    return start_graph(console, objective, find_baselines(objective, with_gains="g" in chain), seed=0)


@pytest.mark.parametrize("chain", ["e", "eg"])
def test_a_start_takes_them_where_the_loss_confirms_them(tmp_path, chain):
    curves = {"1_drum.wav": bump(3000, 12.0), "3_voice.wav": bump(1000, -12.0)}
    objective = an_objective(tmp_path / "song", noises(), curves)
    start = start_of(objective, chain)
    assert start.params["equalizer"].abs().max() > 6
    baseline = min(float(a.loss.total) for a in find_baselines(objective, with_gains="g" in chain))
    assert float(objective.evaluate(start).total) < 0.5 * baseline


def test_a_start_leaves_them_where_it_does_not(tmp_path, monkeypatch):
    flat = {name: torch.zeros(BINS) for name in noises()}
    objective = an_objective(tmp_path / "song", noises(), flat)
    monkeypatch.setattr("graphmix.search.initialization.equalizer_gains", lambda *_: torch.full((2, BINS), -12.0))
    assert start_of(objective, "eg").params["equalizer"].abs().max() == 0
