"""Gain staging: what a fader did before the model is undone by the proposed settings."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torchaudio.functional import loudness

from graphmix.audio.loudness import k_weighting
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.config import ModelConfig
from graphmix.models.features import band_centers, mel_filters
from graphmix.models.mixing.autoregressive import AutoregressiveConfig
from graphmix.models.mixing.canonical import canonical_song
from graphmix.models.mixing.dmc import DMCConfig
from graphmix.models.mixing.estimator import Estimator, build_estimator
from graphmix.models.mixing.gain_staging import STANDARD_DB, offsets_of, put_back
from graphmix.models.mixing.graph_estimator import GraphEstimatorConfig
from graphmix.models.mixing.neural import NeuralEstimator
from graphmix.models.mixing.stems import Stems
from graphmix.processors.rack import Rack
from tests.models.small_stems import RATE, TINY, TINY_GRAPH, TINY_LEVELS, gains_by_track, make_stems, shake

MOVED_DB = {"track 0": 9.0, "track 1": 0.0, "track 2": -14.0}
STAGED: dict[str, ModelConfig] = {
    "dmc": DMCConfig(chain="ecnsgdr", hidden=8, gain_staging=True, **TINY),
    "levels": DMCConfig(chain="cng", hidden=8, gain_staging=True, **TINY_LEVELS),
    "graph": GraphEstimatorConfig(chain="ecg", gnn="gine", conditioned_nodes="all", gain_staging=True, **TINY_GRAPH),
    "no fader": DMCConfig(chain="ec", hidden=8, gain_staging=True, **TINY_LEVELS),
}


def made(config: ModelConfig) -> Estimator:
    torch.manual_seed(3)
    model = build_estimator(config)
    shake(model, amount=0.1)
    return model.eval()


def at_other_levels(stems: Stems) -> Stems:
    """The same song, its tracks recorded louder or softer."""
    factors = torch.tensor([10 ** (MOVED_DB[name] / 20) for name in stems.names])
    return replace(stems, audio=stems.audio * factors[:, None, None])


def settings_of(graph: MixGraph, kind: str, parameter: str) -> Mapping[str, Tensor]:
    """Values of the first processor of a kind behind each input."""
    after, rows = dict(graph.edge_index.t().tolist()), graph.rows().tolist()
    found = {}
    for node in graph.nodes_of("in").tolist():
        name = graph.names[node]
        while graph.type_of(node).name not in (kind, "out", "mix"):
            node = after[node]
        if graph.type_of(node).name == kind:
            found[name] = graph.params[kind][rows[node], graph.types.by_letter(kind[0]).columns(parameter)].detach()
    return found


@pytest.mark.parametrize("name", STAGED)
@torch.no_grad()
def test_what_a_fader_did_before_is_undone(name: str) -> None:
    model, stems = made(STAGED[name]), make_stems(3)
    moved = at_other_levels(stems)
    console, other = model.console(stems), model.console(moved)
    assert isinstance(console, MixGraph)
    assert isinstance(other, MixGraph)
    before, after = (settings_of(g, "compressor", "threshold_db") for g in (console, other))
    for track, by_db in MOVED_DB.items():
        low, high = (float(bound[0]) for bound in model.rack["compressor"].node_type.bounds())
        if low < float(before[track]) < high:
            assert float(after[track]) == pytest.approx(min(max(float(before[track]) + by_db, low), high), abs=0.02)
    if "gain" in console.params:
        gains, others = (settings_of(g, "gain", "gain_db") for g in (console, other))
        for track, by_db in MOVED_DB.items():
            assert torch.allclose(others[track], gains[track] - by_db, atol=0.02)
        for graph in (console, other):
            graph.wet[graph.nodes_of("gain")] = 1.0  # what is dry passes a fader as it is
        sound, other_sound = model.render(console, stems), model.render(other, moved)
        assert float((sound - other_sound).abs().max()) < 3e-3 * float(sound.abs().max())


@torch.no_grad()
def test_without_gain_staging_it_is_not() -> None:
    config = STAGED["levels"].model_copy(update={"gain_staging": False})
    model, stems = made(config), make_stems(3)
    sound, other_sound = (model.mix(song) for song in (stems, at_other_levels(stems)))
    assert float((sound - other_sound).abs().max()) > 0.1 * float(sound.abs().max())


@torch.no_grad()
def test_decoded_graphs_are_staged_as_well() -> None:
    sizes = {"channels": 8, "heads": 2, "layers": 1, "rounds": 1, "hidden": 8}
    model = made(AutoregressiveConfig(chain="g", gain_staging=True, nodes_per_track=2, **sizes, **TINY_LEVELS))
    stems = make_stems(3)
    graphs = model(stems), model(at_other_levels(stems))
    names = [model.embed([song])[0].names for song in (stems, at_other_levels(stems))]
    if names[0] == names[1]:  # decoded in canonical order, which is that of a hash
        gains, others = (gains_by_track(graph) for graph in graphs)
        assert gains.keys() == others.keys()
        for track in gains:
            assert others[track][0] == pytest.approx(gains[track][0] - MOVED_DB[track], abs=0.02)


def test_thresholds_behind_the_fader_stay() -> None:
    graph = MixGraph(Rack.console("cg", RATE).types, RATE)
    early, late = (graph.add("compressor", threshold_db=-20) for _ in range(2))
    graph.chain(graph.add("in", name="a"), early, graph.add("gain"), late, graph.add("out"))
    offsets = offsets_of(graph, ["a"], torch.tensor([6.0]))
    column = graph.types.by_letter("c").columns("threshold_db")
    assert offsets["compressor"][:, column].flatten().tolist() == [6.0, 0.0]
    assert float(offsets["compressor"].abs().sum()) == 6.0
    assert offsets["gain"].tolist() == [[-6.0, -6.0]]


def test_buses_stay() -> None:
    console = mixing_console(Rack.console("cg", RATE), {"band": ["a", "b"]}, "cg")
    offsets = offsets_of(console, ["b", "a"], torch.tensor([1.0, -2.0]))
    assert sorted(offsets["gain"][:, 0].tolist()) == [-1.0, 0.0, 2.0]
    names = [console.names[node] for node in console.nodes_of("in").tolist()]
    assert offsets["gain"][: len(names), 0].tolist() == [{"a": 2.0, "b": -1.0}[name] for name in names]


def test_what_is_put_back_stays_within_its_range() -> None:
    rack = Rack.console("g", RATE)
    low, high = (float(bound[0]) for bound in rack["gain"].node_type.bounds())
    offsets = {"gain": torch.tensor([[200.0, 0.0], [-200.0, 1.0]])}
    assert put_back({"gain": torch.zeros(2, 2)}, offsets, rack)["gain"].tolist() == [[high, 0.0], [low, 1.0]]


@pytest.mark.parametrize("name", ["dmc", "levels"])
def test_the_excess_is_the_level_above_the_standard(name: str) -> None:
    model, stems = made(STAGED[name]), make_stems(3)
    assert isinstance(model, NeuralEstimator)
    song = model.embed([stems])[0]
    assert song.excess_db is not None
    levels = 10 * stems.audio.square().mean((1, 2)).log10()  # of steady tones: loudness is the level, nearly
    order = [stems.names.index(track) for track in song.names]
    off = song.excess_db + STANDARD_DB - levels[order]
    assert float(off.std()) < 3.0
    louder = model.embed([replace(stems, audio=2 * stems.audio)])[0]
    by_name = dict(zip(song.names, song.excess_db.tolist(), strict=True))
    for track, excess in zip(louder.names, louder.excess_db.tolist(), strict=True):  # type: ignore[union-attr]
        assert excess == pytest.approx(by_name[track] + 20 * np.log10(2), abs=1e-3)


def test_silence_stays_silence() -> None:
    model = made(STAGED["levels"])
    assert isinstance(model, NeuralEstimator)
    features = model.front_end(torch.zeros(1, 2, RATE))
    staged = model.staging.staged(features, torch.tensor([20.0]))
    assert torch.equal(staged[..., :-1], features[..., :-1])


def test_a_song_in_blocks_has_the_excess_of_the_mean_power() -> None:
    model, loud = made(STAGED["levels"]), make_stems(2)
    soft = replace(loud, audio=0.5 * loud.audio)
    from graphmix.models.mixing.canonical import join_blocks

    one, other = (model.embed([song])[0] for song in (loud, soft))
    joined = join_blocks([one, other])
    assert joined.excess_db is not None
    level = {name: float(x) for name, x in zip(one.names, one.excess_db, strict=True)}  # type: ignore[arg-type]
    for name, excess in zip(joined.names, joined.excess_db.tolist(), strict=True):
        assert excess == pytest.approx(level[name] + 10 * np.log10((1 + 0.25) / 2), abs=1e-3)


def test_an_analysis_is_the_same_with_and_without_features() -> None:
    model, stems = made(STAGED["levels"]), make_stems(3, silent=(1,))
    assert isinstance(model, NeuralEstimator)
    song = model.analyze(stems)
    again = canonical_song(model.features(stems))
    assert song.names == again.names
    assert torch.equal(song.features, again.features)  # type: ignore[arg-type]


def test_bands_are_weighed_as_in_bs1770() -> None:
    frequencies = np.array([100.0, 200, 400, 1000, 3000, 8000])
    time = torch.arange(3 * 48000, dtype=torch.float64) / 48000
    tones = [0.1 * torch.sin(2 * torch.pi * hz * time).float().expand(2, -1) for hz in frequencies]
    measured = np.array([float(loudness(tone, 48000)) for tone in tones])
    ours = 10 * np.log10(k_weighting(frequencies))
    assert np.abs((measured - measured[3]) - (ours - ours[3])).max() < 1.2


def test_bands_have_their_peaks_at_their_centers() -> None:
    filters = mel_filters(RATE, 2**15, 16)
    hz = filters.argmax(0).double() * RATE / 2**15
    assert np.allclose(hz.numpy(), band_centers(RATE, 16), atol=RATE / 2**15)
