"""Baselines against calculations by hand."""

from dataclasses import replace

import pytest
import torch

from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.baselines import (
    LoudnessSum,
    LoudnessSumConfig,
    MeanParameters,
    MeanParametersConfig,
    SumBaseline,
    SumConfig,
)
from graphmix.models.mixing.estimator import Estimator
from graphmix.models.mixing.stems import Stems
from graphmix.processors import Rack
from tests.models.small_stems import RATE, gains_by_track, gains_graph, make_stems, tone


def proposal(model: Estimator, stems: Stems) -> MixGraph:
    graph = model.eval()(stems)
    assert isinstance(graph, MixGraph)
    return graph


def test_the_sum_is_the_sum() -> None:
    stems = make_stems(4, silent=(1,))
    model = SumBaseline(SumConfig())
    graph = proposal(model, stems)
    assert (graph.num_nodes, graph.num_edges) == (5, 4)
    assert torch.allclose(model.mix(stems), stems.audio.sum(0), atol=1e-6)


def two_tones() -> Stems:
    """A sine of 997 Hz on both channels has its peak level in LUFS, by the definition of BS.1770: -20 and -26 here."""
    return Stems(torch.stack([tone(997, 0.1), tone(997, 0.05)]), ("a", "b"), RATE)


def test_each_track_comes_at_the_same_loudness() -> None:
    gains = gains_by_track(proposal(LoudnessSum(LoudnessSumConfig(mix_lufs=-16.0)), two_tones()))
    # 10 log10(2) = 3.01 of the mix's loudness are left to each of two
    assert gains["a"] == pytest.approx([0.99, 0.99], abs=0.4)
    assert gains["b"] == pytest.approx([7.01, 7.01], abs=0.4)
    assert gains["b"][0] - gains["a"][0] == pytest.approx(6.02, abs=0.01)


def test_the_sum_is_as_loud_as_the_mixes_of_the_training_songs() -> None:
    model = LoudnessSum(LoudnessSumConfig())
    silence = torch.zeros(2, RATE)
    songs = [replace(two_tones(), mix=mix) for mix in (tone(997, 0.1), tone(997, 0.4), silence, None)]
    model.fit_songs((song, gains_graph({})) for song in songs)
    assert float(model.mix_lufs) == pytest.approx((-20.0 - 7.96) / 2, abs=0.4)


def test_hardly_audible_tracks_are_not_made_loud() -> None:
    stems = Stems(torch.stack([tone(997, 0.1), tone(997, 2e-5)]), ("a", "b"), RATE)
    assert gains_by_track(proposal(LoudnessSum(LoudnessSumConfig()), stems))["b"] == [24.0, 24.0]


def fitted() -> MeanParameters:
    """Three of four tracks have a gain, none an equalizer, and no bus has anything."""
    graphs = [
        gains_graph({"a": [-6.0, -6.0], "b": None}),
        gains_graph({"a": [-2.0, -4.0], "b": [-1.0, 4.0]}, bus="other"),
    ]
    first_gain = int(graphs[0].nodes_of("gain")[0])
    graphs[0].wet[first_gain] = 0.4
    model = MeanParameters(MeanParametersConfig(chain="eg"))
    model.fit_graphs(graphs)
    return model


def test_mean_parameters_are_the_means_of_what_is_kept() -> None:
    graph = proposal(fitted(), make_stems(3, buses=2))
    assert [graph.type_of(node).name for node in graph.processors.tolist()] == ["gain"] * 3
    for gains in gains_by_track(graph).values():
        assert gains == pytest.approx([-3.0, -2.0], abs=1e-5)
    assert graph.wet[graph.processors].tolist() == pytest.approx([0.8] * 3)


def test_the_soft_console_has_the_rates_at_which_places_are_kept() -> None:
    graph = fitted().console(make_stems(2, buses=1))
    assert isinstance(graph, MixGraph)
    gains, equalizers = graph.nodes_of("gain"), graph.nodes_of("equalizer")
    assert graph.wet[gains].tolist() == pytest.approx([0.75 * 0.8, 0.75 * 0.8, 0.0])
    assert not bool(graph.wet[equalizers].any())


def test_bypassed_processors_count_as_dropped() -> None:
    graph = gains_graph({"a": [6.0, 6.0], "b": [3.0, 3.0]})
    graph.wet[graph.nodes_of("gain")[0]] = 0.0
    model = MeanParameters(MeanParametersConfig(chain="g"))
    model.fit_graphs([graph])
    assert model.keep.tolist() == [[0.5], [0.0]]
    assert gains_by_track(proposal(model, make_stems(1)))["track 0"] == pytest.approx([3.0, 3.0], abs=1e-5)


def test_buses_have_means_of_their_own() -> None:
    graph = MixGraph(Rack.console("g").types, RATE)
    strip = [graph.add("mix", name="bus 0"), graph.add("gain", gain_db=-5.0)]
    graph.chain(graph.add("in", name="a"), *strip, graph.add("out"))
    model = MeanParameters(MeanParametersConfig(chain="g"))
    model.fit_graphs([graph])
    found = proposal(model, make_stems(2, buses=1))
    assert found.params["gain"].tolist() == [pytest.approx([-5.0, -5.0], abs=1e-5)]
    assert gains_by_track(found) == {}


def test_the_first_of_a_type_takes_the_first_place() -> None:
    graph = MixGraph(Rack.console("g").types, RATE)
    gains = [graph.add("gain", gain_db=gain_db) for gain_db in (-5.0, -1.0)]
    graph.chain(graph.add("in", name="a"), *gains, graph.add("out"))
    model = MeanParameters(MeanParametersConfig(chain="ggg"))
    model.fit_graphs([graph])
    assert model.keep[0].tolist() == [1.0, 1.0, 0.0]
    found = proposal(model, make_stems(1))
    assert found.params["gain"][:, 0].tolist() == pytest.approx([-5.0, -1.0], abs=1e-5)


def test_before_it_is_fitted_the_mean_is_neutral() -> None:
    graph = proposal(MeanParameters(MeanParametersConfig(chain="g")), make_stems(2, buses=1))
    assert graph.params["gain"].tolist() == [[0.0, 0.0]] * 3


def test_what_was_fitted_is_saved() -> None:
    model, other = fitted(), MeanParameters(MeanParametersConfig(chain="eg"))
    other.load_state_dict(model.state_dict())
    stems = make_stems(2)
    assert torch.equal(proposal(model, stems).params["gain"], proposal(other, stems).params["gain"])


@pytest.mark.parametrize("hiss", [0.0, 1e-4])
def test_a_track_that_rests_is_as_loud_as_where_it_plays(hiss: float) -> None:
    playing, model = two_tones(), LoudnessSum(LoudnessSumConfig())
    resting = playing.audio.clone()
    resting[0] = hiss * torch.randn(resting[0].shape, generator=torch.Generator().manual_seed(0))
    rest = replace(playing, audio=resting)
    blocks = [playing, playing, rest, rest, rest]
    expected = gains_by_track(model.forward_blocks([playing, playing]))
    at_once = replace(playing, audio=torch.cat([block.audio for block in blocks], dim=2))
    for graph in (model.forward_blocks(blocks), proposal(model, at_once)):
        gains = gains_by_track(graph)
        assert gains["a"] == pytest.approx(expected["a"], abs=0.7)
        assert gains["b"] == pytest.approx(expected["b"], abs=0.1)
